//! Feeding records to a state machine: the checkpoint first, then every record behind it in order.
//!
//! The walk over the evidence hands the accepted groups over as it goes, so that a directory is read
//! once. That is safe because the machine is a value that nobody sees before the verdict is known:
//! if the walk ends in damage, it is dropped. Not here: which groups are accepted (`evidence`).

use std::ops::ControlFlow;

use torrens_journal::{Lsn, RecordKind, RecordRef, SegmentId};

use crate::checkpoint::{CheckpointError, CheckpointInfo, load_verified};
use crate::evidence::{Feed, FeedContext};
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

/// A machine being replayed.
#[derive(Debug)]
pub(crate) struct Replay<M> {
    pub(crate) machine: M,
    /// Replay nothing behind this one.
    pub(crate) until: Option<Lsn>,
    /// The last record that is part of the machine's state.
    pub(crate) position: Lsn,
    pub(crate) records: u64,
    pub(crate) skipped: u64,
    pub(crate) stop: Option<ReplayStop>,
}

impl<M: StateMachine> Replay<M> {
    pub(crate) fn new(machine: M, until: Option<Lsn>) -> Self {
        Replay {
            machine,
            until,
            position: Lsn::ZERO,
            records: 0,
            skipped: 0,
            stop: None,
        }
    }

    fn record(&mut self, segment: SegmentId, record: &RecordRef<'_>) -> Result<(), Box<Verdict>> {
        let impossible = |reason: String| {
            Box::new(Verdict::ImpossibleSequence(ImpossibleSequence {
                lsn: record.lsn,
                kind: record.kind,
                segment,
                offset_bytes: record.offset_bytes,
                reason,
            }))
        };
        match self.machine.decode(record.kind, record.payload) {
            Ok(Some(decoded)) => {
                let applied = self.machine.apply(record.lsn, &decoded);
                applied.map_err(|error| impossible(chain(&error)))?;
                self.records += 1;
            }
            Ok(None) if record.kind.is_ignorable() => self.skipped += 1,
            Ok(None) => return Err(Box::new(Verdict::NewerFormat(unknown(segment, record)))),
            Err(error) => return Err(impossible(chain(&error))),
        }
        self.position = record.lsn;
        Ok(())
    }
}

fn unknown(segment: SegmentId, record: &RecordRef<'_>) -> NewerFormat {
    NewerFormat {
        place: format!("record {} in segment {segment}", record.lsn),
        what: format!(
            "kind {} is unknown here and must not be ignored",
            record.kind
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

impl<M: StateMachine> Feed for Replay<M> {
    fn start(
        &mut self,
        context: &FeedContext<'_>,
        checkpoint: Option<&CheckpointInfo>,
    ) -> ControlFlow<()> {
        let Some(info) = checkpoint else {
            return ControlFlow::Continue(());
        };
        let loaded = load_verified(
            context.disk,
            &info.path,
            Some(info.meta.store),
            &mut self.machine,
        );
        match loaded {
            Ok(info) => {
                self.position = info.meta.lsn;
                ControlFlow::Continue(())
            }
            Err(error) => {
                self.stop = Some(match error {
                    CheckpointError::Refused { item, source, .. } => {
                        ReplayStop::Verdict(Verdict::ImpossibleSequence(ImpossibleSequence {
                            lsn: info.meta.lsn,
                            kind: RecordKind::new(0),
                            segment: SegmentId::new(0),
                            offset_bytes: 0,
                            reason: format!(
                                "item {item} of {}: {}",
                                info.path.display(),
                                chain(&*source)
                            ),
                        }))
                    }
                    other => ReplayStop::Checkpoint(other),
                });
                ControlFlow::Break(())
            }
        }
    }

    fn record(&mut self, segment: SegmentId, record: &RecordRef<'_>) -> ControlFlow<()> {
        if self.until.is_some_and(|until| record.lsn > until) {
            return ControlFlow::Break(());
        }
        if record.lsn <= self.position {
            return ControlFlow::Continue(());
        }
        match Replay::record(self, segment, record) {
            Ok(()) => ControlFlow::Continue(()),
            Err(verdict) => {
                self.stop = Some(ReplayStop::Verdict(*verdict));
                ControlFlow::Break(())
            }
        }
    }
}
