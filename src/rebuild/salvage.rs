//! What can be read of a store, as a new one that opens: the longest history that a state can be rebuilt
//! from, and a list of what is not in it.
//!
//! Not here: putting the directory together (`builder`), what damage means (`torrens-recovery`).

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

use torrens_journal::disk::{Disk, OpenMode};
use torrens_journal::{Lsn, StoreUuid};
use torrens_recovery::checkpoint::{self, CheckpointError};
use torrens_recovery::{Item, RecordItem, StateMachine};

use super::error::io_error;
use super::{Builder, FilePart, Part, RebuildError, RecordPart};
use crate::inspector::{InspectError, Inspector};
use crate::machine::RegisterMachine;

/// Bytes of a checkpoint that are copied at once.
const CHUNK_BYTES: u64 = 64 * 1024;

/// Something that is not in the new directory.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Left {
    /// These records are not readable, or not there.
    Unreadable {
        /// The first of them.
        first: Lsn,
        /// The last of them.
        last: Lsn,
    },
    /// These records are readable, and no state leads to them; they can be had as ndjson.
    Unreached {
        /// The first of them.
        first: Lsn,
        /// The last of them.
        last: Lsn,
    },
    /// This record is readable, and cannot follow the ones before it.
    Impossible {
        /// The record.
        lsn: Lsn,
        /// Why not.
        why: String,
    },
    /// A checkpoint is not valid, or is of a time that was not reached.
    Checkpoint {
        /// The position in its name.
        lsn: Lsn,
        /// Why it was left.
        why: String,
    },
    /// The end of the journal that was never acknowledged, and what else is no record: told in words.
    Place {
        /// Where and what.
        what: String,
    },
}

/// What became of a salvage.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Salvaged {
    /// The position that the new history starts from: 0, or that of a checkpoint.
    pub start: Lsn,
    /// The first record in the new journal; `None` if it has none.
    pub first: Option<Lsn>,
    /// The last position that its state reaches.
    pub last: Lsn,
    /// Records in the new journal.
    pub records: u64,
    /// Checkpoints that were copied.
    pub checkpoints: u64,
    /// What is not in the new directory.
    pub left: Vec<Left>,
}

impl Salvaged {
    /// Whether every record that the source knows of is part of the new history.
    pub fn is_whole(&self) -> bool {
        let is_loss = |left: &Left| {
            matches!(
                left,
                Left::Unreadable { .. } | Left::Unreached { .. } | Left::Impossible { .. }
            )
        };
        !self.left.iter().any(is_loss)
    }
}

/// Records in a row.
#[derive(Clone, Copy, Debug)]
struct Run {
    first: Lsn,
    last: Lsn,
}

/// Makes the new store in the empty directory `dir` from what `source` holds. The source is only read. Of
/// data, snapshots and histories of observed regions nothing is copied.
///
/// # Errors
/// [`RebuildError`]; `dir` is of no use then.
pub fn salvage(
    source: &Inspector,
    disk: &Arc<dyn Disk>,
    dir: &Path,
) -> Result<Salvaged, RebuildError> {
    let picture = source.survey()?;
    let mut found = Salvaged::default();
    let (runs, witness) = runs(source, &mut found)?;
    let sound = sound_checkpoints(source, &picture, &mut found)?;
    let (start, reach) = longest(source, &runs, &sound, &mut found)?;
    (found.start, found.last) = (start, reach);
    // The part of the run before the start is kept too, for whoever asks about it.
    let run = runs
        .iter()
        .find(|run| run.first <= start.next().unwrap_or(start) && run.last > start)
        .or_else(|| runs.iter().find(|run| run.last == start));
    let first = run.map_or(start.next().unwrap_or(start), |run| run.first);
    let store = picture.report.store.unwrap_or(StoreUuid([0; 16]));
    let mut builder = Builder::new(Arc::clone(disk), dir, store)?;
    let mut failed = None;
    source.records(first, &mut |item| {
        let Item::Record(item) = item else {
            return ControlFlow::Continue(());
        };
        let lsn = item.record.lsn;
        if lsn < first || lsn > reach || found.first.is_some_and(|_| lsn <= found.last_written()) {
            return ControlFlow::Continue(());
        }
        let added = builder.add(Part::Record(part(&item)));
        match added {
            Ok(()) => {
                found.first.get_or_insert(lsn);
                found.records += 1;
                ControlFlow::Continue(())
            }
            Err(error) => {
                failed = Some(error);
                ControlFlow::Break(())
            }
        }
    })?;
    if let Some(error) = failed {
        return Err(error);
    }
    builder.begin_at(first)?;
    builder.mark_all()?;
    for (lsn, path) in &sound {
        let is_reached = *lsn <= reach && lsn.next().is_some_and(|next| next >= first);
        if !is_reached {
            let why = match *lsn > reach {
                true => "the history does not reach it",
                false => "the journal does not go on from it",
            };
            let (lsn, why) = (*lsn, why.to_owned());
            found.left.push(Left::Checkpoint { lsn, why });
            continue;
        }
        copy(disk, path, &mut builder)?;
        found.checkpoints += 1;
    }
    builder.finish()?;
    unreached(&runs, first, reach, witness, &mut found);
    Ok(found)
}

impl Salvaged {
    /// The last record that was written so far.
    fn last_written(&self) -> Lsn {
        let first = self.first.unwrap_or(Lsn::ZERO);
        Lsn::new((first.get() + self.records).saturating_sub(1))
    }
}

fn part<'a>(item: &RecordItem<'a>) -> RecordPart<'a> {
    RecordPart {
        lsn: Some(item.record.lsn),
        kind: item.record.kind,
        tag: item.record.tag,
        payload: item.record.payload,
        boot: item.boot,
        group: Some((item.segment, item.group_number)),
    }
}

/// The records that can be read, as runs without a hole; and the highest LSN that is known to have been
/// durable.
fn runs(source: &Inspector, found: &mut Salvaged) -> Result<(Vec<Run>, Lsn), RebuildError> {
    let mut runs: Vec<Run> = Vec::new();
    let mut places = Vec::new();
    let report = source.records(Lsn::ZERO, &mut |item| {
        match item {
            Item::Record(item) => {
                let lsn = item.record.lsn;
                match runs.last_mut().filter(|run| run.last.next() == Some(lsn)) {
                    Some(run) => run.last = lsn,
                    None => runs.push(Run {
                        first: lsn,
                        last: lsn,
                    }),
                }
            }
            Item::Gap(gap) => places.push(format!(
                "{} at {}: {}",
                gap.kind.as_str(),
                gap.position,
                gap.why
            )),
            _ => {}
        }
        ControlFlow::Continue(())
    })?;
    let places = places.into_iter().map(|what| Left::Place { what });
    found.left.extend(places);
    let witness = report.witness.map_or(Lsn::ZERO, |witness| witness.lsn);
    Ok((runs, witness))
}

/// The checkpoints whose every checksum holds and whose items make a register, oldest first.
fn sound_checkpoints(
    source: &Inspector,
    picture: &crate::inspector::Picture,
    found: &mut Salvaged,
) -> Result<Vec<(Lsn, std::path::PathBuf)>, RebuildError> {
    let mut sound = Vec::new();
    for file in source.checkpoints(picture)? {
        match file.fault {
            Some(why) => found.left.push(Left::Checkpoint { lsn: file.lsn, why }),
            None => sound.push((file.lsn, file.path)),
        }
    }
    sound.reverse();
    Ok(sound)
}

/// Where the history starts and how far it goes: the farthest that any start leads to, from the oldest such
/// start.
fn longest(
    source: &Inspector,
    runs: &[Run],
    sound: &[(Lsn, std::path::PathBuf)],
    found: &mut Salvaged,
) -> Result<(Lsn, Lsn), RebuildError> {
    let starts = [Lsn::ZERO]
        .into_iter()
        .chain(sound.iter().map(|(lsn, _)| *lsn));
    let mut best: Option<(Lsn, Lsn, Option<Left>)> = None;
    let mut tried = BTreeSet::new();
    for start in starts {
        let Some(machine) = state_at(source, start, found)? else {
            continue;
        };
        let next = start.next().unwrap_or(start);
        let run = runs
            .iter()
            .find(|run| run.first <= next && run.last >= next);
        let (reach, stop) = match run {
            // A later start in the same run leads nowhere else, unless a record in between cannot be.
            Some(run) if tried.contains(&run.last) => continue,
            Some(run) => replay(source, machine, start, run.last)?,
            None => (start, None),
        };
        if stop.is_none() {
            tried.extend(run.map(|run| run.last));
        }
        if best
            .as_ref()
            .is_none_or(|(_, farthest, _)| reach > *farthest)
        {
            best = Some((start, reach, stop));
        }
    }
    let (start, reach, stop) = best.ok_or(RebuildError::Nothing)?;
    found.left.extend(stop);
    match reach {
        Lsn::ZERO => Err(RebuildError::Nothing),
        reach => Ok((start, reach)),
    }
}

/// The state of a checkpoint; the empty one at 0.
fn state_at(
    source: &Inspector,
    start: Lsn,
    found: &mut Salvaged,
) -> Result<Option<RegisterMachine>, RebuildError> {
    let mut machine = RegisterMachine::default();
    if start == Lsn::ZERO {
        return Ok(Some(machine));
    }
    let dir = source.path().join("checkpoints");
    match checkpoint::load(&**source.disk(), &dir, None, start, &mut machine) {
        Ok(_) => Ok(Some(machine)),
        Err(error @ (CheckpointError::Invalid { .. } | CheckpointError::Refused { .. })) => {
            let why = error.to_string();
            found.left.push(Left::Checkpoint { lsn: start, why });
            Ok(None)
        }
        Err(error) => Err(io_error("read", &dir)(std::io::Error::other(error))),
    }
}

/// How far the records behind `start` lead, and what stops them before `last`.
fn replay(
    source: &Inspector,
    mut machine: RegisterMachine,
    start: Lsn,
    last: Lsn,
) -> Result<(Lsn, Option<Left>), InspectError> {
    let mut reach = start;
    let mut stop = None;
    source.records(start.next().unwrap_or(start), &mut |item| {
        let Item::Record(item) = item else {
            return ControlFlow::Continue(());
        };
        let record = &item.record;
        if reach.next() != Some(record.lsn) {
            return ControlFlow::Continue(());
        }
        let decoded = RegisterMachine::decode(record.kind, record.payload);
        let applied = decoded.and_then(|decoded| match &decoded {
            Some(decoded) => machine.apply(record.lsn, decoded),
            None => Ok(()),
        });
        match applied {
            Ok(()) => reach = record.lsn,
            Err(error) => {
                stop = Some(Left::Impossible {
                    lsn: record.lsn,
                    why: crate::inspector::chain(&error),
                });
                return ControlFlow::Break(());
            }
        }
        match reach >= last {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        }
    })?;
    Ok((reach, stop))
}

fn copy(disk: &Arc<dyn Disk>, path: &Path, builder: &mut Builder) -> Result<(), RebuildError> {
    let file = disk
        .open(path, OpenMode::Read)
        .map_err(io_error("open", path))?;
    let file_bytes = file.len().map_err(io_error("look at", path))?;
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let name = format!("checkpoints/{name}");
    let mut offset = 0;
    while offset < file_bytes {
        let mut bytes = vec![0; (file_bytes - offset).min(CHUNK_BYTES) as usize];
        file.read_exact_at(offset, &mut bytes)
            .map_err(io_error("read", path))?;
        builder.add(Part::File(FilePart {
            name: &name,
            file_bytes,
            offset_bytes: offset,
            bytes: &bytes,
        }))?;
        offset += bytes.len() as u64;
    }
    Ok(())
}

/// Lists the records outside of what was kept, readable or not, up to what is known to have been durable.
fn unreached(runs: &[Run], first: Lsn, reach: Lsn, witness: Lsn, found: &mut Salvaged) {
    let mut expected = match first <= Lsn::FIRST {
        true => Lsn::FIRST,
        // What a checkpoint covers was purged in order.
        false => runs.first().map_or(first, |run| run.first.min(first)),
    };
    let mut left = Vec::new();
    for run in runs {
        if run.first > expected {
            let last = Lsn::new(run.first.get() - 1);
            // A checkpoint that the history starts from covers the hole before it.
            if last > reach || last >= first {
                left.push(Left::Unreadable {
                    first: expected.max(reach.next().unwrap_or(reach)),
                    last,
                });
            }
        }
        if run.last > reach {
            left.push(Left::Unreached {
                first: run.first.max(reach.next().unwrap_or(reach)),
                last: run.last,
            });
        } else if run.last < first {
            left.push(Left::Unreached {
                first: run.first,
                last: run.last,
            });
        }
        expected = run.last.next().unwrap_or(run.last).max(expected);
    }
    let end = runs.last().map_or(reach, |run| run.last).max(reach);
    if witness > end {
        left.push(Left::Unreadable {
            first: end.next().unwrap_or(end),
            last: witness,
        });
    }
    found.left.extend(left);
}
