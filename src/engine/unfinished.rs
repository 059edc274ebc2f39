//! What a crash left open, and the rule that ends each:
//!
//! | begun | effect done here | ended by |
//! |---|---|---|
//! | snapshot apply, staged file whole | clear, ingest, flush | *end*: forward |
//! | snapshot apply, staged file missing or damaged | none | *abort*: back to uninitialised if the peer never had data, else damaged |
//! | keys kept free for a snapshot | none: Raft asks for it again | *release*: back |
//! | pending deletion (destroy, skipped child, shrunk range) | clear, flush | *end*: forward |
//! | cache in any state | none: memory is gone | *gone*: forward |
//!
//! Effects first, one flush for all, then the records; a crash in between repeats the effects.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::sync::Arc;

use torrens_journal::disk::Disk;
use torrens_journal::planted;
use torrens_recovery::{Direction, Recovered, Resolution, ResolveError, resolve};

use super::layout::Layout;
use super::log::{append_error, sync_error};
use super::write::LEASE_SEQUENCES;
use super::{EngineError, OpenError, append, effects};
use crate::crash_points::{CrashPoint, reach};
use crate::lifecycle::{AbortReason, Event, Floor, OpenOperation, Register};
use crate::machine::RegisterMachine;
use crate::snapshot::{self, SnapshotError, SnapshotReader};
use crate::store::{Covered, DataStore, Floored, RegionRow, StoreBatch, read_covered};
use crate::{RegionId, Sequence};

/// What doing the effects came to.
struct Done {
    /// The barrier that made them durable.
    barrier: u64,
    /// Whether there was one: some effect touched the data.
    touched: bool,
    /// Regions whose staged file cannot be used.
    lost: BTreeSet<RegionId>,
}

/// Ends every open operation. Everything that it decides is durable when it returns.
pub(super) fn resolve_all(
    recovered: &mut Recovered<RegisterMachine>,
    data: &dyn DataStore,
    disk: &Arc<dyn Disk>,
    layout: &Layout,
) -> Result<(), OpenError> {
    let operations = recovered.machine.register().open_operations();
    if operations.is_empty() {
        return Ok(());
    }
    let done = carry_out(recovered, &operations, data, disk, layout).map_err(OpenError::Finish)?;
    reach(CrashPoint::OpenCarriedOut);
    // A barrier that the store did not take part in must not be known to the journal: the store may
    // remember another one of that number, which never came about.
    if done.touched {
        let floors = Event::Barrier {
            number: done.barrier,
            floors: Vec::new(),
        };
        append::append(recovered, &**disk, &floors)?;
    }
    let stamp = append::stamp(recovered, &**disk);
    resolve(recovered, operations.clone(), |machine, operation| {
        let (event, resolution) = ending(machine.register(), operation, &done);
        let record = append::decide(machine.register(), &event, stamp);
        let records = record.iter().map(append::encode).collect();
        Ok::<_, Infallible>(Resolution {
            records,
            ..resolution
        })
    })
    .map_err(|error| match error {
        ResolveError::Append(source) => OpenError::Finish(append_error(source)),
        ResolveError::Sync(source) => OpenError::Finish(sync_error(source)),
        error => unreachable!("the end of an open operation is legal and known: {error}"),
    })?;
    for operation in &operations {
        if let OpenOperation::SnapshotApply {
            region, snapshot, ..
        } = operation
        {
            snapshot::remove(&**disk, &layout.snapshots, snapshot.staged(*region).name)
                .map_err(|source| OpenError::Finish(source.into()))?;
        }
    }
    Ok(())
}

/// Does what the operations need of the data store, and makes it durable.
fn carry_out(
    recovered: &mut Recovered<RegisterMachine>,
    operations: &[OpenOperation],
    data: &dyn DataStore,
    disk: &Arc<dyn Disk>,
    layout: &Layout,
) -> Result<Done, EngineError> {
    let barrier = recovered.machine.register().barrier().saturating_add(1);
    let mut done = Done {
        barrier,
        touched: false,
        lost: BTreeSet::new(),
    };
    let last = read_covered(data, recovered.machine.register().barrier())?;
    let mut floors = Vec::new();
    for operation in operations {
        match operation {
            OpenOperation::Deletion { range, .. } => {
                if !planted!("deletion-not-done-again") {
                    effects::clear(data, range)?;
                }
                done.touched = true;
            }
            OpenOperation::SnapshotApply {
                region,
                incarnation,
                snapshot,
                begun,
            } => {
                let staged = snapshot.staged(*region);
                let row = RegionRow {
                    incarnation: *incarnation,
                    data_index: snapshot.position.index,
                    data_term: snapshot.position.term,
                    meta_lsn: *begun,
                };
                let sequence = lease(recovered, &**disk)?;
                let opened = SnapshotReader::open(&**disk, &layout.snapshots, staged.name);
                let ingested = opened
                    .map_err(EngineError::Snapshot)
                    .and_then(|reader| effects::ingest(data, &reader, &staged, &row, sequence));
                match ingested {
                    Ok(()) => {
                        done.touched = true;
                        floors.push((
                            *region,
                            Floored {
                                barrier,
                                incarnation: row.incarnation,
                                data_index: row.data_index,
                                data_term: row.data_term,
                            },
                        ));
                    }
                    // The operating system refusing to read is no reason to give the data up.
                    Err(EngineError::Snapshot(error @ SnapshotError::Io { .. })) => {
                        return Err(EngineError::Snapshot(error));
                    }
                    Err(EngineError::Snapshot(_)) => {
                        done.lost.insert(*region);
                    }
                    Err(error) => return Err(error),
                }
            }
            OpenOperation::Reservation { .. } | OpenOperation::Cache { .. } => {}
        }
    }
    if done.touched {
        let mut batch = StoreBatch::new();
        // Whatever is in the store has a number that was leased.
        let sequence = recovered.machine.register().sequence_ceiling();
        batch.put_covered(last, Covered { barrier, sequence });
        for (region, floor) in &floors {
            // What was there before is gone, whether this barrier comes about or not.
            batch.put_floored(*region, None, floor);
        }
        data.apply(&batch)?;
        data.flush()?;
    }
    Ok(done)
}

/// A sequence number that nothing has used, leased durably.
fn lease(
    recovered: &mut Recovered<RegisterMachine>,
    disk: &dyn Disk,
) -> Result<Sequence, EngineError> {
    let ceiling = recovered.machine.register().sequence_ceiling().get();
    let up_to = Sequence::new(ceiling.saturating_add(LEASE_SEQUENCES));
    if up_to.get() == ceiling {
        return Err(EngineError::SequencesExhausted);
    }
    let leased = append::append(recovered, disk, &Event::SequenceLease { up_to })
        .and_then(|()| append::sync(recovered));
    match leased {
        Ok(()) => Ok(Sequence::new(ceiling + 1)),
        Err(OpenError::Finish(error)) => Err(error),
        Err(error) => unreachable!("appending fails with an error of the engine: {error}"),
    }
}

/// The event that ends an operation, and how the report puts it.
fn ending(register: &Register, operation: &OpenOperation, done: &Done) -> (Event, Resolution) {
    let records = Vec::new();
    match operation {
        OpenOperation::SnapshotApply {
            region,
            incarnation,
            snapshot,
            begun,
        } => {
            let (region, incarnation, begin) = (*region, *incarnation, *begun);
            let what = format!("snapshot apply of {region} at {}", snapshot.position);
            if done.lost.contains(&region) {
                let reason = AbortReason::StagedFileLost;
                let event = Event::AbortSnapshot {
                    region,
                    incarnation,
                    reason,
                };
                let rule = "the staged file is missing or damaged".to_owned();
                let direction = Direction::Back;
                return (
                    event,
                    Resolution {
                        direction,
                        what,
                        begin,
                        rule,
                        records,
                    },
                );
            }
            let floor = Floor {
                index: snapshot.position.index,
                barrier: done.barrier,
            };
            let event = Event::EndSnapshot {
                region,
                incarnation,
                floor,
            };
            let rule = "the staged file is whole: ingested again".to_owned();
            (
                event,
                Resolution {
                    direction: Direction::Forward,
                    what,
                    begin,
                    rule,
                    records,
                },
            )
        }
        OpenOperation::Deletion {
            deletion, cause, ..
        } => {
            let what = format!(
                "deletion of keys that {} left ({})",
                cause.region(),
                cause.as_str()
            );
            let rule = "cleared again".to_owned();
            let (direction, begin) = (Direction::Forward, deletion.lsn);
            let event = Event::FinishDeletion {
                deletion: *deletion,
            };
            (
                event,
                Resolution {
                    direction,
                    what,
                    begin,
                    rule,
                    records,
                },
            )
        }
        OpenOperation::Reservation {
            region,
            incarnation,
            reserved,
        } => {
            let what = format!("keys that {region} kept free for a snapshot");
            let rule = "Raft asks for the snapshot again".to_owned();
            let (direction, begin) = (Direction::Back, *reserved);
            let event = Event::ReleaseSnapshot {
                region: *region,
                incarnation: *incarnation,
            };
            (
                event,
                Resolution {
                    direction,
                    what,
                    begin,
                    rule,
                    records,
                },
            )
        }
        OpenOperation::Cache { region, state, .. } => {
            let what = format!("cache of {region} ({})", state.as_str());
            let rule = "memory ends with the process".to_owned();
            let begin = register.last_record(*region).unwrap_or_default();
            let direction = Direction::Forward;
            let event = Event::CacheLost { region: *region };
            (
                event,
                Resolution {
                    direction,
                    what,
                    begin,
                    rule,
                    records,
                },
            )
        }
    }
}
