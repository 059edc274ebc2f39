//! Feeding records to a state machine: the checkpoint first, then every record behind it in order.
//!
//! The walk over the evidence hands the accepted groups over as it goes, so that a directory is read
//! once. That is safe because the machine is a value that nobody sees before the verdict is known:
//! if the walk ends in damage, it is dropped.
//!
//! What is long is decoded here, on the walk's thread, and applied on another one (`apply`). Not here: which
//! groups are accepted (`evidence`).

mod apply;

use std::ops::ControlFlow;
use std::sync::mpsc::{self, SyncSender};
use std::thread::{Builder, Scope, ScopedJoinHandle};

use torrens_journal::{Lsn, RecordRef, SegmentId};

pub(crate) use self::apply::{Applied, ReplayStop};
use self::apply::{Place, Work};
use crate::checkpoint::{CheckpointInfo, read_verified};
use crate::evidence::{Feed, FeedContext};
use crate::machine::StateMachine;

/// Decoded pieces that change hands at once.
const BATCH_PIECES: usize = 1024;
/// Batches that wait for the thread that applies them; with [`BATCH_PIECES`] the bound of what is decoded
/// ahead.
const BATCHES_AHEAD: usize = 4;

/// A machine being replayed.
pub(crate) struct Replay<'scope, 'env, M: StateMachine> {
    /// Where a thread may be started for what is long.
    scope: Option<&'scope Scope<'scope, 'env>>,
    hand: Hand<'scope, M>,
    batch: Vec<Work<M>>,
    /// Replay nothing behind this one.
    until: Option<Lsn>,
    /// The last record that was handed over, or that the checkpoint covers.
    position: Lsn,
    /// Why the checkpoint could not be read after all.
    unread: Option<ReplayStop>,
}

/// Who has the machine.
enum Hand<'scope, M: StateMachine> {
    Here(Box<Applied<M>>),
    There {
        batches: SyncSender<Handed<M>>,
        thread: ScopedJoinHandle<'scope, Option<Box<Applied<M>>>>,
    },
}

/// What the other thread gets: the machine, and then batches.
enum Handed<M: StateMachine> {
    Machine(Box<Applied<M>>),
    Batch(Vec<Work<M>>),
}

impl<'scope, 'env, M: StateMachine + 'scope> Replay<'scope, 'env, M> {
    /// Of `machine`, which is empty; `scope` is where what is long may be applied on another thread.
    pub(crate) fn new(
        machine: M,
        until: Option<Lsn>,
        scope: Option<&'scope Scope<'scope, 'env>>,
    ) -> Self {
        Replay {
            scope,
            hand: Hand::Here(Box::new(Applied::new(machine))),
            batch: Vec::new(),
            until,
            position: Lsn::ZERO,
            unread: None,
        }
    }

    /// The machine, and what became of what was handed over.
    pub(crate) fn finish(mut self) -> Applied<M> {
        let batch = std::mem::take(&mut self.batch);
        let mut applied = match self.hand {
            Hand::Here(mut applied) => {
                let _ = applied.carry_out_all(batch);
                applied
            }
            Hand::There { batches, thread } => {
                // If the thread has stopped it wants no more.
                let _ = batches.send(Handed::Batch(batch));
                drop(batches);
                match thread.join() {
                    Ok(applied) => applied.expect("the machine is the first that the thread got"),
                    Err(panic) => std::panic::resume_unwind(panic),
                }
            }
        };
        // What was refused came before the place where the checkpoint could not be read.
        applied.stop = applied.stop.take().or(self.unread);
        *applied
    }

    fn hand_over(&mut self, work: Work<M>) -> ControlFlow<()> {
        if let (Hand::Here(applied), None) = (&mut self.hand, self.scope) {
            return applied.carry_out(work);
        }
        self.batch.push(work);
        if self.batch.len() < BATCH_PIECES {
            return ControlFlow::Continue(());
        }
        let batch = std::mem::replace(&mut self.batch, Vec::with_capacity(BATCH_PIECES));
        self.start_thread();
        match &mut self.hand {
            Hand::Here(applied) => applied.carry_out_all(batch),
            Hand::There { batches, .. } => match batches.send(Handed::Batch(batch)) {
                Ok(()) => ControlFlow::Continue(()),
                Err(_) => ControlFlow::Break(()),
            },
        }
    }

    /// Gives the machine to a thread of its own, if it has none and one can be started.
    fn start_thread(&mut self) {
        let (Some(scope), Hand::Here(_)) = (self.scope, &self.hand) else {
            return;
        };
        let (batches, from) = mpsc::sync_channel::<Handed<M>>(BATCHES_AHEAD);
        let apply = move || {
            let Ok(Handed::Machine(mut applied)) = from.recv() else {
                return None;
            };
            while let Ok(Handed::Batch(batch)) = from.recv() {
                if applied.carry_out_all(batch).is_break() {
                    break;
                }
            }
            Some(applied)
        };
        let builder = Builder::new().name("torrens-apply".to_owned());
        let Ok(thread) = builder.spawn_scoped(scope, apply) else {
            self.scope = None;
            return;
        };
        let there = Hand::There {
            batches: batches.clone(),
            thread,
        };
        if let Hand::Here(applied) = std::mem::replace(&mut self.hand, there) {
            batches
                .send(Handed::Machine(applied))
                .expect("the thread waits for it");
        }
    }
}

impl<'scope, M: StateMachine + 'scope> Feed for Replay<'scope, '_, M> {
    fn start(
        &mut self,
        context: &FeedContext<'_>,
        checkpoint: Option<&CheckpointInfo>,
    ) -> ControlFlow<()> {
        let Some(info) = checkpoint else {
            return ControlFlow::Continue(());
        };
        self.hand_over(Work::Checkpoint(info.clone()))?;
        let store = Some(info.meta.store);
        let read = read_verified(context.disk, &info.path, store, &mut |item| match self
            .hand_over(Work::Item(M::decode_item(item)))
        {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(()) => Err(()),
        });
        match read {
            Ok(info) => {
                self.position = info.meta.lsn;
                self.hand_over(Work::Loaded)
            }
            Err(error) => {
                self.unread = Some(ReplayStop::Checkpoint(error));
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
        self.position = record.lsn;
        let place = Place {
            lsn: record.lsn,
            kind: record.kind,
            segment,
            offset_bytes: record.offset_bytes,
        };
        self.hand_over(Work::Record(place, M::decode(record.kind, record.payload)))
    }
}
