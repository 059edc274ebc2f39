//! Repairs as values: what would be done, to what, and what would be lost by it. No I/O.

use std::fmt;

use torrens_journal::{Boot, Lsn, SegmentId, StoreUuid};

use super::text;

/// A way to make a damaged directory open again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Choice {
    /// The damage lies in records that the newest checkpoint covers: the segments up to the damage
    /// are set aside, and the journal begins behind it. Only history is lost.
    DropDamagedHistory,
    /// The mark file is set aside and made anew: the journal is whole, and a mark disagrees with it.
    RebuildMark,
    /// The newest checkpoint is set aside, and replay starts from the one before it.
    OlderCheckpoint,
    /// The journal ends at the first place where it does not go on. What was acknowledged behind that
    /// place is lost.
    CutAtDamage,
    /// The journal ends before the group that holds this record, for a record that verifies and that
    /// the state machine refuses. Everything from that group on is lost.
    CutBefore(Lsn),
    /// Everything is set aside, and an empty journal of the same store begins.
    StartEmpty,
}

impl Choice {
    /// Stable name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Choice::DropDamagedHistory => "drop-damaged-history",
            Choice::RebuildMark => "rebuild-mark",
            Choice::OlderCheckpoint => "older-checkpoint",
            Choice::CutAtDamage => "cut-at-damage",
            Choice::CutBefore(_) => "cut-before",
            Choice::StartEmpty => "start-empty",
        }
    }
}

impl fmt::Display for Choice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Choice::CutBefore(lsn) => write!(f, "cut-before {lsn}"),
            other => f.write_str(other.as_str()),
        }
    }
}

/// Which of the two directories.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Place {
    /// The journal's.
    Journal,
    /// The checkpoints'.
    Checkpoints,
}

impl Place {
    /// Stable name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Place::Journal => "journal",
            Place::Checkpoints => "checkpoints",
        }
    }
}

/// One file as it was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileState {
    /// Where.
    pub place: Place,
    /// Its name there.
    pub name: String,
    /// Its length.
    pub bytes: u64,
    /// CRC-32 of its contents.
    pub crc: u32,
}

/// What a plan rests on: every file of the journal and the checkpoints, sorted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fingerprint {
    /// The files.
    pub files: Vec<FileState>,
}

impl Fingerprint {
    /// The first file that differs, in words; `None` if nothing does.
    pub fn differs_from(&self, other: &Fingerprint) -> Option<String> {
        let name = |file: &FileState| format!("{}/{}", file.place.as_str(), file.name);
        let there = |files: &[FileState], wanted: &FileState| files.contains(wanted);
        let gone = self.files.iter().find(|file| !there(&other.files, file));
        let came = other.files.iter().find(|file| !there(&self.files, file));
        gone.or(came).map(name)
    }
}

impl fmt::Display for Fingerprint {
    /// Short: a checksum over all of it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut hasher = crc32fast::Hasher::new();
        let mut bytes = 0u64;
        for file in &self.files {
            let FileState {
                place, name, crc, ..
            } = file;
            hasher.update(format!("{} {name} {} {crc}\n", place.as_str(), file.bytes).as_bytes());
            bytes = bytes.saturating_add(file.bytes);
        }
        write!(f, "{:08x}-{}-{bytes}", hasher.finalize(), self.files.len())
    }
}

/// One step. Each can be repeated and undone.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Step {
    /// A whole file moves into `repair/`.
    SetAside {
        /// From where.
        place: Place,
        /// Its name.
        name: String,
    },
    /// Bytes of a segment become zeros, after they were copied into `repair/`. A file that is too
    /// short gets the length that its header states.
    Zero {
        /// The segment.
        segment: SegmentId,
        /// From here.
        from_bytes: u64,
        /// Up to here.
        to_bytes: u64,
        /// The file's length before.
        file_bytes: u64,
    },
    /// An empty segment is made, in which the journal goes on.
    NewSegment {
        /// Its number.
        segment: SegmentId,
        /// The first record that it will hold.
        first_lsn: Lsn,
        /// Its length.
        file_bytes: u64,
        /// The store.
        store: StoreUuid,
        /// The highest boot seen anywhere.
        boot: Boot,
    },
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Step::SetAside { place, name } => {
                write!(f, "set {}/{name} aside", place.as_str())
            }
            Step::Zero {
                segment,
                from_bytes,
                to_bytes,
                ..
            } => write!(
                f,
                "keep a copy of segment {segment} from {from_bytes:#x} to {to_bytes:#x} and make it \
                 zeros"
            ),
            Step::NewSegment {
                segment, first_lsn, ..
            } => write!(
                f,
                "make an empty segment {segment} that goes on with LSN {first_lsn}"
            ),
        }
    }
}

/// What a repair loses.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Loss {
    /// The first record that is no longer part of the state; `None` if the state loses nothing.
    pub first: Option<Lsn>,
    /// The last record that is known to have been there: acknowledged, or still readable.
    pub last: Option<Lsn>,
    /// How many of them can still be read in what is set aside.
    pub records_readable: u64,
    /// Records up to here leave the journal, and stay part of the state through the checkpoint.
    pub history_up_to: Option<Lsn>,
    /// Segments that are set aside.
    pub segments: Vec<SegmentId>,
}

impl fmt::Display for Loss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.first, self.last) {
            (Some(first), Some(last)) if last >= first => write!(
                f,
                "records {first} to {last} are lost ({} of them can still be read in what is set \
                 aside)",
                self.records_readable
            )?,
            (Some(first), _) => write!(f, "whatever was acknowledged from LSN {first} on is lost")?,
            (None, _) => f.write_str("no record of the state is lost")?,
        }
        if let Some(lsn) = self.history_up_to {
            write!(
                f,
                "; records up to {lsn} leave the journal and stay in the checkpoint"
            )?;
        }
        Ok(())
    }
}

/// What would be done, and what it rests on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RepairPlan {
    /// The directories as they were found. The plan is refused if anything differs.
    pub fingerprint: Fingerprint,
    /// The way.
    pub choice: Choice,
    /// The verdict that is repaired, by its stable name.
    pub verdict: String,
    /// What was found, in one line.
    pub found: String,
    /// What is done, in this order.
    pub steps: Vec<Step>,
    /// What is lost.
    pub loss: Loss,
}

impl RepairPlan {
    /// Bytes that are copied before anything changes; whole files move and take no room.
    pub fn copied_bytes(&self) -> u64 {
        let copied = |step: &Step| match step {
            Step::Zero {
                from_bytes,
                file_bytes,
                ..
            } => file_bytes.saturating_sub(*from_bytes),
            Step::SetAside { .. } | Step::NewSegment { .. } => 0,
        };
        self.steps.iter().map(copied).fold(0, u64::saturating_add)
    }

    /// The first part in which two plans differ.
    pub(super) fn first_difference(&self, other: &RepairPlan) -> Option<&'static str> {
        let RepairPlan {
            fingerprint,
            choice,
            verdict,
            found,
            steps,
            loss,
        } = self;
        let same = [
            (*choice == other.choice, "way"),
            (*fingerprint == other.fingerprint, "fingerprint"),
            (*steps == other.steps, "steps"),
            (*loss == other.loss, "loss"),
            (*verdict == other.verdict, "verdict"),
            // A plan's text holds one line of it.
            (
                text::one_line(found) == text::one_line(&other.found),
                "finding",
            ),
        ];
        let differs = same.into_iter().find(|(same, _)| !same);
        differs.map(|(_, what)| what)
    }
}

impl fmt::Display for RepairPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "repair    {}: {}", self.choice, self.verdict)?;
        writeln!(f, "found     {}", self.found)?;
        for (number, step) in self.steps.iter().enumerate() {
            writeln!(f, "step {:<4} {step}", number + 1)?;
        }
        writeln!(f, "loss      {}", self.loss)?;
        writeln!(f, "rests on  {}", self.fingerprint)
    }
}
