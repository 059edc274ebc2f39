//! Checkpoints, the retention of the journal behind them, and the orderly end.

use std::sync::atomic::Ordering;
use std::time::Instant;

use torrens_journal::Lsn;
use torrens_recovery::checkpoint;

use super::EngineError;
use super::core::Core;
use crate::crash_points::{CrashPoint, reach};
use crate::lifecycle::Register;
use crate::machine::RegisterMachine;
use crate::store::{DataStore, StoreBatch};
use crate::trace;

/// How many checkpoints are kept: the newest, and one to fall back to.
const GENERATIONS: usize = 2;

impl Core {
    /// Position of the newest checkpoint.
    pub(super) fn last_checkpoint(&self) -> Lsn {
        Lsn::new(self.checkpointed.load(Ordering::Acquire))
    }

    /// Writes the durable state, then lets go of the journal below the older generation.
    pub(super) fn checkpoint(&self) -> Result<Lsn, EngineError> {
        self.check_open()?;
        let _one_at_a_time = self.checkpointing.lock();
        let _span = trace::checkpoint();
        // Exactly the fold of the records up to its own position, all of them durable; transitions
        // go on while it is written, and copy what they change of what it shares with them.
        let machine = RegisterMachine::new(Register::clone(&self.visible()));
        let lsn = machine.register().last_lsn();
        if lsn == self.last_checkpoint() {
            return Ok(lsn);
        }
        self.counted_checkpoint(|| self.write_checkpoint(&machine, lsn))
    }

    fn write_checkpoint(&self, machine: &RegisterMachine, lsn: Lsn) -> Result<Lsn, EngineError> {
        let begun = Instant::now();
        // Lineage that a crash takes is added again from the records behind the newest checkpoint.
        self.history.sync();
        let (store, boot) = self.journal.store_and_boot()?;
        let meta = checkpoint::Meta::new(store, lsn, boot);
        checkpoint::write(&*self.disk, &self.layout.checkpoints, &meta, machine)
            .map_err(EngineError::Checkpoint)?;
        reach(CrashPoint::CheckpointWritten);
        self.checkpointed.store(lsn.get(), Ordering::Release);
        let folder = &self.layout.checkpoints;
        let pruned = checkpoint::prune(&*self.disk, folder, Some(store), GENERATIONS)
            .map_err(EngineError::Checkpoint)?;
        reach(CrashPoint::CheckpointPruned);
        self.end_stalled_followers();
        self.journal.purge_below(pruned.purge_below)?;
        trace::checkpoint_written(lsn, begun.elapsed());
        Ok(lsn)
    }

    /// Lets the data store say that it was closed in order: nothing is written behind that.
    pub(super) fn close_data(&self) -> Result<(), EngineError> {
        let (_, boot) = self.journal.store_and_boot()?;
        self.closed.store(true, Ordering::SeqCst);
        self.sequencer.wait_visible(self.sequencer.last_begun());
        let mut batch = StoreBatch::new();
        batch.put_closed(boot.get().into());
        // Not before the rest is durable: a store that says so is believed.
        let closed = self
            .data
            .flush()
            .and_then(|()| self.data.apply(&batch))
            .and_then(|()| self.data.flush());
        closed.map_err(|error| self.barriers.fail(error))
    }

    /// Marks the journal as ended in order. Nothing is accepted afterwards.
    pub(super) fn close(&self) -> Result<(), EngineError> {
        self.closed.store(true, Ordering::Release);
        let synced = match self.journal.check_writable() {
            Ok(()) => self.sync().map(drop),
            Err(_) => Ok(()),
        };
        let closed = self.journal.close();
        self.history.close();
        synced.and(closed)
    }
}
