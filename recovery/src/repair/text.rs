//! A plan as text and back: one fact a line, a checksum at the end. What lies in `repair/` is in this
//! form, and a caller may print it, keep it and hand it in again.

use std::fmt::Write;
use std::str::FromStr;

use torrens_journal::format::{SEGMENT_BYTES_MAX, SEGMENT_BYTES_MIN};
use torrens_journal::{Boot, Lsn, SegmentId, StoreUuid};

use super::model::{Choice, FileState, Fingerprint, Loss, Place, RepairPlan, Step};

const TITLE: &str = "torrens repair 1";
/// A text is refused, and nothing allocated for it, beyond this many bytes.
pub(super) const TEXT_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// Why a text is not a plan.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PlanFault {
    /// It does not begin as one, or is longer than any plan.
    #[error("it is not a repair of format 1")]
    Title,
    /// Its checksum does not match: it is cut short, or was changed.
    #[error("its checksum does not match")]
    Checksum,
    /// A line says nothing that is known.
    #[error("line {line} is not understood")]
    Line {
        /// From 1.
        line: usize,
    },
    /// A step touches a file that the plan does not rest on, or bytes that no segment has.
    #[error("step {step} is not one that a repair takes")]
    Step {
        /// From 1.
        step: usize,
    },
    /// Something is missing in it.
    #[error("it does not say {what}")]
    Missing {
        /// What.
        what: &'static str,
    },
}

impl RepairPlan {
    /// The plan as text, ending in a checksum.
    pub fn to_text(&self) -> String {
        let mut text = String::new();
        let _ = self.write(&mut text);
        sealed(&text)
    }

    fn write(&self, text: &mut String) -> std::fmt::Result {
        writeln!(text, "choice {}", self.choice)?;
        writeln!(text, "verdict {}", one_line(&self.verdict))?;
        writeln!(text, "found {}", one_line(&self.found))?;
        for step in &self.steps {
            match step {
                Step::SetAside { place, name } => {
                    writeln!(text, "step set-aside {} {name}", place.as_str())?;
                }
                Step::Zero {
                    segment,
                    from_bytes,
                    to_bytes,
                    file_bytes,
                } => writeln!(
                    text,
                    "step zero {segment} {from_bytes} {to_bytes} {file_bytes}"
                )?,
                Step::NewSegment {
                    segment,
                    first_lsn,
                    file_bytes,
                    store,
                    boot,
                } => writeln!(
                    text,
                    "step new-segment {segment} {first_lsn} {file_bytes} {} {boot}",
                    hex(store)
                )?,
            }
        }
        let Loss {
            first,
            last,
            records_readable,
            history_up_to,
            segments,
        } = &self.loss;
        let number = |lsn: &Option<Lsn>| lsn.map_or(0, Lsn::get);
        writeln!(
            text,
            "loss {} {} {records_readable} {}",
            number(first),
            number(last),
            number(history_up_to)
        )?;
        for segment in segments {
            writeln!(text, "lost-segment {segment}")?;
        }
        write_files(text, &self.fingerprint)
    }

    /// Reads a plan back.
    ///
    /// # Errors
    /// [`PlanFault`].
    pub fn from_text(text: &str) -> Result<RepairPlan, PlanFault> {
        let mut choice = None;
        let mut verdict = None;
        let mut found = None;
        let mut steps = Vec::new();
        let mut loss = None;
        let mut segments = Vec::new();
        let mut files = Vec::new();
        for (line, text) in opened(text)? {
            let understood = (|| {
                let (word, rest) = text.split_once(' ')?;
                match word {
                    "choice" => choice = Some(parse_choice(rest)?),
                    "verdict" => verdict = Some(rest.to_owned()),
                    "found" => found = Some(rest.to_owned()),
                    "step" => steps.push(parse_step(rest)?),
                    "loss" => loss = Some(parse_loss(rest)?),
                    "lost-segment" => segments.push(SegmentId::new(rest.parse().ok()?)),
                    "file" => files.push(parse_file(rest)?),
                    _ => return None,
                }
                Some(())
            })();
            understood.ok_or(PlanFault::Line { line })?;
        }
        let odd = steps.iter().position(|step| !is_possible(step, &files));
        if let Some(index) = odd {
            return Err(PlanFault::Step { step: index + 1 });
        }
        let loss = loss.ok_or(PlanFault::Missing { what: "the loss" })?;
        Ok(RepairPlan {
            fingerprint: Fingerprint { files },
            choice: choice.ok_or(PlanFault::Missing { what: "the way" })?,
            verdict: verdict.ok_or(PlanFault::Missing {
                what: "the verdict",
            })?,
            found: found.ok_or(PlanFault::Missing {
                what: "what was found",
            })?,
            steps,
            loss: Loss { segments, ..loss },
        })
    }
}

/// A sign: a text of one kind of line, for example the files after a repair.
pub(super) fn files_to_text(fingerprint: &Fingerprint) -> String {
    let mut text = String::new();
    let _ = write_files(&mut text, fingerprint);
    sealed(&text)
}

/// The files of a sign.
pub(super) fn files_from_text(text: &str) -> Result<Fingerprint, PlanFault> {
    let files = opened(text)?
        .map(|(line, text)| {
            text.strip_prefix("file ")
                .and_then(parse_file)
                .ok_or(PlanFault::Line { line })
        })
        .collect::<Result<_, _>>()?;
    Ok(Fingerprint { files })
}

/// Puts the title before and the checksum behind a text.
pub(super) fn sealed(text: &str) -> String {
    let body = format!("{TITLE}\n{text}");
    format!("{body}end {:08x}\n", crc32fast::hash(body.as_bytes()))
}

/// The lines of a sealed text with their numbers, if title and checksum are right.
fn opened(text: &str) -> Result<impl Iterator<Item = (usize, &str)>, PlanFault> {
    let body = text
        .strip_prefix(TITLE)
        .and_then(|rest| rest.strip_prefix('\n'));
    if body.is_none() || text.len() as u64 > TEXT_BYTES_MAX {
        return Err(PlanFault::Title);
    }
    let end = text
        .trim_end_matches('\n')
        .rfind('\n')
        .ok_or(PlanFault::Checksum)?;
    let (body, seal) = text.split_at(end + 1);
    let expected = format!("end {:08x}\n", crc32fast::hash(body.as_bytes()));
    if seal != expected {
        return Err(PlanFault::Checksum);
    }
    Ok(body
        .lines()
        .enumerate()
        .skip(1)
        .map(|(index, line)| (index + 1, line)))
}

/// The text of an opened sign, joined; for signs of a single line.
pub(super) fn line_of(text: &str) -> Result<String, PlanFault> {
    Ok(opened(text)?.map(|(_, line)| line).collect())
}

fn write_files(text: &mut String, fingerprint: &Fingerprint) -> std::fmt::Result {
    for FileState {
        place,
        name,
        bytes,
        crc,
    } in &fingerprint.files
    {
        writeln!(text, "file {} {name} {bytes} {crc:08x}", place.as_str())?;
    }
    Ok(())
}

pub(super) fn one_line(text: &str) -> String {
    text.replace(['\n', '\r'], " ")
}

fn hex(store: &StoreUuid) -> String {
    store.0.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Whether a step stays inside the files that were found and the sizes that the format allows: plans
/// come from outside.
fn is_possible(step: &Step, files: &[FileState]) -> bool {
    let rests_on = |place: Place, name: &str| {
        files
            .iter()
            .any(|file| file.place == place && file.name == name)
    };
    match step {
        Step::SetAside { place, name } => rests_on(*place, name),
        Step::Zero {
            segment,
            from_bytes,
            to_bytes,
            ..
        } => {
            rests_on(Place::Journal, &segment.file_name())
                && from_bytes <= to_bytes
                && *to_bytes <= SEGMENT_BYTES_MAX
        }
        Step::NewSegment { file_bytes, .. } => {
            (SEGMENT_BYTES_MIN..=SEGMENT_BYTES_MAX).contains(file_bytes)
        }
    }
}

fn parse_place(word: &str) -> Option<Place> {
    [Place::Journal, Place::Checkpoints]
        .into_iter()
        .find(|place| place.as_str() == word)
}

/// A name in one of the two directories, and nowhere else.
fn parse_name(word: &str) -> Option<String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '.';
    (!word.is_empty() && !word.starts_with('.') && word.chars().all(plain)).then(|| word.to_owned())
}

fn parse_choice(text: &str) -> Option<Choice> {
    if let Some(lsn) = text.strip_prefix("cut-before ") {
        return Some(Choice::CutBefore(Lsn::new(lsn.parse().ok()?)));
    }
    super::choose::ALL
        .into_iter()
        .find(|choice| choice.as_str() == text)
}

fn parse_file(text: &str) -> Option<FileState> {
    let words: Vec<&str> = text.split(' ').collect();
    let [place, name, bytes, crc] = words.as_slice() else {
        return None;
    };
    Some(FileState {
        place: parse_place(place)?,
        name: parse_name(name)?,
        bytes: bytes.parse().ok()?,
        crc: u32::from_str_radix(crc, 16).ok()?,
    })
}

fn parse_step(text: &str) -> Option<Step> {
    let words: Vec<&str> = text.split(' ').collect();
    match words.as_slice() {
        ["set-aside", place, name] => Some(Step::SetAside {
            place: parse_place(place)?,
            name: parse_name(name)?,
        }),
        ["zero", segment, from, to, file_bytes] => Some(Step::Zero {
            segment: SegmentId::new(number(segment)?),
            from_bytes: number(from)?,
            to_bytes: number(to)?,
            file_bytes: number(file_bytes)?,
        }),
        ["new-segment", segment, first, file_bytes, store, boot] => Some(Step::NewSegment {
            segment: SegmentId::new(number(segment)?),
            first_lsn: Lsn::new(number(first)?),
            file_bytes: number(file_bytes)?,
            store: parse_store(store)?,
            boot: Boot::new(number(boot)?),
        }),
        _ => None,
    }
}

fn parse_loss(text: &str) -> Option<Loss> {
    let words: Vec<&str> = text.split(' ').collect();
    let [first, last, readable, history] = words.as_slice() else {
        return None;
    };
    let lsn = |word: &str| Some(Some(Lsn::new(number(word)?)).filter(|lsn| *lsn > Lsn::ZERO));
    Some(Loss {
        first: lsn(first)?,
        last: lsn(last)?,
        records_readable: number(readable)?,
        history_up_to: lsn(history)?,
        segments: Vec::new(),
    })
}

fn number<N: FromStr>(word: &str) -> Option<N> {
    word.parse().ok()
}

fn parse_store(word: &str) -> Option<StoreUuid> {
    let mut bytes = [0u8; 16];
    if word.len() != 32 || !word.is_ascii() {
        return None;
    }
    for (index, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(word.get(index * 2..index * 2 + 2)?, 16).ok()?;
    }
    Some(StoreUuid(bytes))
}
