//! `Follow`: the records that are yet to come, one after the other, beside a live writer.

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use torrens_journal::{Lsn, LsnReader, PositionError, SegmentId};
use torrens_recovery::facts::Position;
use torrens_recovery::{Gap, GapKind, RecordItem, StateMachine};

use super::select::Resolved;
use super::{Description, InspectError, Inspector, Selection, chain, describe};
use crate::RegionId;
use crate::machine::RegisterMachine;

/// A reader at the end of a journal. Plain reads, so the writer is not disturbed.
#[derive(Debug)]
pub struct Follow {
    inspector: Inspector,
    reader: LsnReader,
    unsynced: bool,
    resolved: Resolved,
    /// Whose keys a record touches is known only with the register.
    machine: Option<RegisterMachine>,
}

/// One thing that came.
#[derive(Debug)]
#[non_exhaustive]
pub enum FollowItem<'a> {
    /// A record that was wanted.
    Record {
        /// Where it lies and what is known of it.
        item: RecordItem<'a>,
        /// What it says.
        description: &'a Description,
    },
    /// A writer purged records before they were read.
    Purged(Gap),
}

impl Inspector {
    /// Follows the journal from the record `from` on, which may be the next one to come, and gives what
    /// `selection` wants of it.
    ///
    /// With `unsynced`, records are given as soon as they lie there; otherwise when something says that
    /// they are durable, which an idle writer does a moment later.
    ///
    /// # Errors
    /// [`InspectError::Purged`], [`InspectError::BeyondEnd`], [`InspectError::Damaged`]; others as
    /// [`Inspector::select`].
    pub fn follow(
        &self,
        from: Lsn,
        unsynced: bool,
        selection: &Selection,
    ) -> Result<Follow, InspectError> {
        let resolved = self.resolve_selection(selection)?;
        let machine = match resolved.wants_keys() {
            true => {
                let before = Lsn::new(from.get().saturating_sub(1));
                Some(RegisterMachine::new(self.look(Some(before))?.register))
            }
            false => None,
        };
        Ok(Follow {
            reader: self.reader(from, unsynced)?,
            inspector: self.clone(),
            unsynced,
            resolved,
            machine,
        })
    }

    fn reader(&self, from: Lsn, unsynced: bool) -> Result<LsnReader, InspectError> {
        let disk = Arc::clone(&self.disk);
        let reader = LsnReader::open(disk, &self.directories.journal, None, from);
        let reader = reader.map_err(|error| self.position_error(error))?;
        Ok(reader.witnessed_only(!unsynced))
    }

    fn position_error(&self, error: PositionError) -> InspectError {
        match error {
            PositionError::Gone { asked, oldest } => InspectError::Purged { asked, oldest },
            PositionError::NotYet { asked, end } => InspectError::BeyondEnd { asked, last: end },
            PositionError::NoJournal { .. } => InspectError::NoJournal {
                path: self.path.clone(),
            },
            error => InspectError::Damaged {
                path: self.path.clone(),
                why: chain(&error),
            },
        }
    }
}

impl Follow {
    /// Waits up to `timeout` for the next records that were written together and gives those that are
    /// wanted to `visit`; `false` if none came.
    ///
    /// # Errors
    /// [`InspectError::Damaged`] if a record that was durable is not readable.
    pub fn poll(
        &mut self,
        timeout: Duration,
        visit: &mut dyn FnMut(FollowItem<'_>) -> ControlFlow<()>,
    ) -> Result<bool, InspectError> {
        let next = match self.reader.next_batch_within(timeout) {
            Ok(next) => next,
            Err(PositionError::Gone { asked, oldest }) => {
                self.reader = self.inspector.reader(oldest, self.unsynced)?;
                if let Some(machine) = &mut self.machine {
                    let before = Lsn::new(oldest.get().saturating_sub(1));
                    *machine = RegisterMachine::new(self.inspector.look(Some(before))?.register);
                }
                let _ = visit(FollowItem::Purged(Gap {
                    position: Position {
                        segment: SegmentId::new(0),
                        offset_bytes: 0,
                        expected: asked,
                    },
                    why: format!("purged before it was read; the oldest record is {oldest}"),
                    kind: GapKind::Reclaimed,
                }));
                return Ok(true);
            }
            Err(error) => return Err(self.inspector.position_error(error)),
        };
        let Some(batch) = next else {
            return Ok(false);
        };
        for record in batch.records() {
            let record = record.map_err(|fault| InspectError::Damaged {
                path: self.inspector.path.clone(),
                why: fault.to_string(),
            })?;
            let item = RecordItem::in_batch(&batch, record);
            if let Some(description) = wanted(&self.resolved, self.machine.as_mut(), &item)
                && visit(FollowItem::Record {
                    item,
                    description: &description,
                })
                .is_break()
            {
                break;
            }
        }
        Ok(true)
    }

    /// The next record that is to come.
    pub fn next_lsn(&self) -> Lsn {
        self.reader.next_lsn()
    }
}

/// The record's description, if it is wanted.
fn wanted(
    resolved: &Resolved,
    machine: Option<&mut RegisterMachine>,
    item: &RecordItem<'_>,
) -> Option<Description> {
    let record = &item.record;
    let mut owners: BTreeSet<RegionId> = BTreeSet::new();
    let wants_keys = machine.is_some();
    if let Some(machine) = machine {
        resolved.owners(machine.register(), &mut owners);
        if let Ok(Some(decoded)) = RegisterMachine::decode(record.kind, record.payload) {
            // What cannot follow changes nothing; the look at the whole directory says so.
            let _ = machine.apply(record.lsn, &decoded);
        }
        resolved.owners(machine.register(), &mut owners);
    }
    if !resolved.may_want(item) {
        return None;
    }
    let description = describe(record.lsn, record.kind, record.payload);
    let owns = |region: &RegionId| owners.contains(region);
    let is_owned = !wants_keys || description.regions().iter().any(owns);
    (is_owned && resolved.wants(item, &description)).then_some(description)
}
