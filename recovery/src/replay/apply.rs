//! The machine, and what became of it: takes decoded pieces in order, up to the first that it refuses.
//!
//! Not here: on which thread (`replay`).

use std::ops::ControlFlow;

use torrens_journal::{Lsn, RecordKind, SegmentId};

use crate::checkpoint::{CheckpointError, CheckpointInfo};
use crate::facts::NewerFormat;
use crate::machine::StateMachine;
use crate::verdict::{ImpossibleSequence, Verdict};

/// Why replay stopped before the walk did.
#[derive(Debug)]
pub(crate) enum ReplayStop {
    /// A verdict about the records themselves.
    Verdict(Verdict),
    /// The checkpoint could not be loaded after all.
    Checkpoint(CheckpointError),
}

/// Where a record lies.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    pub(super) lsn: Lsn,
    pub(super) kind: RecordKind,
    pub(super) segment: SegmentId,
    pub(super) offset_bytes: u64,
}

/// A decoded piece, or what decoding it said.
pub(super) enum Work<M: StateMachine> {
    /// The items of this one follow.
    Checkpoint(CheckpointInfo),
    Item(Result<M::Item, M::Error>),
    /// All of them were read.
    Loaded,
    Record(Place, Result<Option<M::Record>, M::Error>),
}

/// A machine, and what it took.
#[derive(Debug)]
pub(crate) struct Applied<M> {
    pub(crate) machine: M,
    /// The last record that is part of the machine's state.
    pub(crate) position: Lsn,
    pub(crate) records: u64,
    pub(crate) skipped: u64,
    pub(crate) stop: Option<ReplayStop>,
    checkpoint: Option<CheckpointInfo>,
    items: u64,
}

impl<M: StateMachine> Applied<M> {
    pub(super) fn new(machine: M) -> Self {
        Applied {
            machine,
            position: Lsn::ZERO,
            records: 0,
            skipped: 0,
            stop: None,
            checkpoint: None,
            items: 0,
        }
    }

    /// Breaks if nothing more is wanted.
    pub(super) fn carry_out_all(&mut self, batch: Vec<Work<M>>) -> ControlFlow<()> {
        batch.into_iter().try_for_each(|work| self.carry_out(work))
    }

    /// Breaks if nothing more is wanted.
    pub(super) fn carry_out(&mut self, work: Work<M>) -> ControlFlow<()> {
        if self.stop.is_some() {
            return ControlFlow::Break(());
        }
        let outcome = match work {
            Work::Checkpoint(info) => {
                self.checkpoint = Some(info);
                Ok(())
            }
            Work::Loaded => {
                let loaded = self.checkpoint.as_ref();
                self.position = loaded.map_or(Lsn::ZERO, |info| info.meta.lsn);
                Ok(())
            }
            Work::Item(item) => self.item(item),
            Work::Record(place, record) => self.record(place, record),
        };
        match outcome {
            Ok(()) => ControlFlow::Continue(()),
            Err(verdict) => {
                self.stop = Some(ReplayStop::Verdict(*verdict));
                ControlFlow::Break(())
            }
        }
    }

    fn item(&mut self, item: Result<M::Item, M::Error>) -> Result<(), Box<Verdict>> {
        let loaded = item.and_then(|item| self.machine.load(item));
        loaded.map_err(|error| {
            let from = self.checkpoint.as_ref();
            let path = from.map(|info| info.path.clone()).unwrap_or_default();
            Box::new(Verdict::ImpossibleSequence(ImpossibleSequence {
                lsn: from.map_or(Lsn::ZERO, |info| info.meta.lsn),
                kind: RecordKind::new(0),
                segment: SegmentId::new(0),
                offset_bytes: 0,
                reason: format!(
                    "item {} of {}: {}",
                    self.items,
                    path.display(),
                    chain(&error)
                ),
            }))
        })?;
        self.items += 1;
        Ok(())
    }

    fn record(
        &mut self,
        place: Place,
        record: Result<Option<M::Record>, M::Error>,
    ) -> Result<(), Box<Verdict>> {
        let impossible = |error: M::Error| {
            Box::new(Verdict::ImpossibleSequence(ImpossibleSequence {
                lsn: place.lsn,
                kind: place.kind,
                segment: place.segment,
                offset_bytes: place.offset_bytes,
                reason: chain(&error),
            }))
        };
        match record.map_err(impossible)? {
            Some(decoded) => {
                let applied = self.machine.apply(place.lsn, &decoded);
                applied.map_err(impossible)?;
                self.records += 1;
            }
            None if place.kind.is_ignorable() => self.skipped += 1,
            None => return Err(Box::new(Verdict::NewerFormat(unknown(&place)))),
        }
        self.position = place.lsn;
        Ok(())
    }
}

fn unknown(place: &Place) -> NewerFormat {
    NewerFormat {
        place: format!("record {} in segment {}", place.lsn, place.segment),
        what: format!(
            "kind {} is unknown here and must not be ignored",
            place.kind
        ),
    }
}

/// An error and its causes on one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut line = error.to_string();
    let mut cause = error.source();
    while let Some(source) = cause {
        line.push_str(": ");
        line.push_str(&source.to_string());
        cause = source.source();
    }
    line
}
