//! The engine's side of the journal: open for writing, or (in a store that is open for reading only)
//! just the position that was read. Its errors are the engine's.

use std::sync::Arc;

use torrens_journal::{
    AppendError, Boot, Durability, Follower, Journal, JournalStats, Lsn, PinId, PinInfo,
    RecordKind, StoreUuid, SyncError, SyncHooks,
};

use super::EngineError;

/// The journal, if the store may be written.
#[derive(Debug)]
pub(super) enum Log {
    /// Open for writing.
    Writable(Box<Journal>),
    /// Read up to this record, which is durable.
    ReadOnly(Lsn),
}

impl Log {
    fn journal(&self) -> Result<&Journal, EngineError> {
        match self {
            Log::Writable(journal) => Ok(journal),
            Log::ReadOnly(_) => Err(EngineError::ReadOnly),
        }
    }

    /// An error if nothing may be written.
    pub(super) fn check_writable(&self) -> Result<(), EngineError> {
        self.journal().map(drop)
    }

    /// Has this done around each sync; nothing happens around none.
    pub(super) fn set_hooks(&self, hooks: Arc<dyn SyncHooks>) {
        if let Log::Writable(journal) = self {
            journal.set_hooks(hooks);
        }
    }

    /// Appends without ever waiting for a sync. [`Log::relieve`] is called afterwards, without the lock
    /// under which this was.
    pub(super) fn append_ahead(
        &self,
        kind: u16,
        tag: u32,
        payload: &[u8],
    ) -> Result<Lsn, EngineError> {
        self.journal()?
            .append_ahead(RecordKind::new(kind), tag, payload)
            .map_err(append_error)
    }

    /// Waits for the device if records are far ahead of it.
    pub(super) fn relieve(&self) {
        if let Log::Writable(journal) = self {
            journal.relieve();
        }
    }

    /// Asks for the record at `lsn` to become durable soon, without waiting.
    pub(super) fn request_durable(&self, lsn: Lsn) {
        if let Log::Writable(journal) = self {
            journal.request_durable(lsn);
        }
    }

    /// Whether a thread syncs for those who do not wait.
    pub(super) fn has_sync_thread(&self) -> bool {
        match self {
            Log::Writable(journal) => journal.has_sync_thread(),
            Log::ReadOnly(_) => false,
        }
    }

    /// Whether it is known that the record at `lsn`, which was appended, will not become durable through
    /// this journal.
    pub(super) fn is_lost(&self, lsn: Lsn) -> bool {
        let Log::Writable(journal) = self else {
            return false;
        };
        let ticket = journal.ticket(lsn, Durability::Durable);
        ticket.is_ok_and(|ticket| matches!(ticket.outcome(), Some(Err(_))))
    }

    pub(super) fn wait_durable(&self, lsn: Lsn) -> Result<(), EngineError> {
        if lsn <= self.synced() {
            return Ok(());
        }
        self.journal()?.wait_durable(lsn).map_err(sync_error)
    }

    /// Calls `tell` once when the record is durable, or is known never to be through this journal; at once
    /// if that is known.
    pub(super) fn on_durable(
        &self,
        lsn: Lsn,
        tell: impl FnOnce(Result<(), EngineError>) + Send + 'static,
    ) -> Result<(), EngineError> {
        let ticket = self.journal()?.ticket(lsn, Durability::Durable);
        ticket
            .map_err(sync_error)?
            .on_durable(|outcome| tell(outcome.map(drop).map_err(sync_error)));
        Ok(())
    }

    pub(super) fn wait_witnessed(&self, lsn: Lsn) -> Result<(), EngineError> {
        self.journal()?.wait_witnessed(lsn).map_err(sync_error)
    }

    pub(super) fn sync(&self) -> Result<Lsn, EngineError> {
        self.journal()?.sync().map_err(sync_error)
    }

    pub(super) fn synced(&self) -> Lsn {
        match self {
            Log::Writable(journal) => journal.synced(),
            Log::ReadOnly(lsn) => *lsn,
        }
    }

    /// Says in the mark file how far everything is durable; a witness for the next opening.
    pub(super) fn mark(&self) -> Result<(), EngineError> {
        self.journal()?.write_mark().map_err(EngineError::Mark)
    }

    /// Follows the durable records from `from` on.
    pub(super) fn follow(&self, from: Lsn, holder: &str) -> Result<Follower, EngineError> {
        let followed = self.journal()?.follow(from, holder);
        followed.map_err(|error| EngineError::Follow(Box::new(error.into())))
    }

    /// Every pin, that of the oldest record first.
    pub(super) fn pins(&self) -> Vec<PinInfo> {
        self.journal().map(Journal::pins).unwrap_or_default()
    }

    /// What whoever needs a record keeps on the disk, in bytes of whole segments.
    pub(super) fn held_bytes(&self, lsn: Lsn) -> u64 {
        self.journal().map_or(0, |journal| journal.held_bytes(lsn))
    }

    /// Takes a pin away; whether there was one.
    pub(super) fn revoke_pin(&self, pin: PinId) -> bool {
        self.journal().is_ok_and(|journal| journal.revoke_pin(pin))
    }

    pub(super) fn purge_below(&self, lsn: Lsn) -> Result<(), EngineError> {
        self.journal()?
            .purge_below(lsn)
            .map(drop)
            .map_err(EngineError::Purge)
    }

    pub(super) fn close(&self) -> Result<(), EngineError> {
        match self {
            Log::Writable(journal) => journal.close().map_err(EngineError::Close),
            Log::ReadOnly(_) => Ok(()),
        }
    }

    pub(super) fn store_and_boot(&self) -> Result<(StoreUuid, Boot), EngineError> {
        self.journal()
            .map(|journal| (journal.store(), journal.boot()))
    }

    pub(super) fn stats(&self) -> JournalStats {
        self.journal().map(Journal::stats).unwrap_or_default()
    }
}

pub(super) fn append_error(error: AppendError) -> EngineError {
    match error {
        AppendError::Full { source, .. } => EngineError::DiskFull(source),
        AppendError::Poisoned(_) => EngineError::Poisoned,
        AppendError::Closed => EngineError::Closed,
        AppendError::TooLarge {
            record_bytes,
            max_bytes,
        } => EngineError::RecordTooLarge {
            bytes: record_bytes,
            bytes_max: max_bytes,
        },
        other => EngineError::Append(other),
    }
}

pub(super) fn sync_error(error: SyncError) -> EngineError {
    match error {
        SyncError::NotAppended { lsn, appended } => EngineError::NoSuchRecord { lsn, appended },
        SyncError::NotWitnessed(error) => EngineError::NotWitnessed(error),
        // Poisoned, and whatever may be added: the outcome is unknown.
        _ => EngineError::Poisoned,
    }
}
