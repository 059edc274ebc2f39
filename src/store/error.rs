//! What can go wrong with a data store, with the facts.
//!
//! Not here: what the engine makes of it (a refused store damages regions, never the register).

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use super::{KeyError, RowError, StoreOpenMode};
use crate::RegionId;

/// Why a data store did not answer.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The operating system refused, or a simulated process is dead.
    #[error("input or output failed during {operation}")]
    Io {
        /// What the store was doing.
        operation: &'static str,
        /// The operating system's answer.
        #[source]
        source: Arc<io::Error>,
    },
    /// The store's own code panicked; the panic was caught.
    #[error("the store panicked during {operation}: {message}")]
    Panicked {
        /// What the store was doing.
        operation: &'static str,
        /// The panic's message and place.
        message: String,
    },
    /// The store found its own files damaged.
    #[error("the store found itself damaged during {operation}: {detail}")]
    Corrupt {
        /// What the store was doing.
        operation: &'static str,
        /// The store's own words.
        detail: String,
    },
    /// The store says that it was used in a way that it does not support, or met a bug of its own.
    #[error("the store refused {operation}: {detail}")]
    Rejected {
        /// What the store was doing.
        operation: &'static str,
        /// The store's own words.
        detail: String,
    },
    /// Nobody can say that what was flushed is there.
    #[error("the store is in doubt: {reason}")]
    Doubtful {
        /// Why.
        reason: String,
    },
    /// It holds data, and is not the store that the journal speaks of: another one's directory was put in
    /// place, or a copy from before it was lost.
    #[error("it is not the data store that the journal knows")]
    Exchanged,
    /// Every barrier that it remembers is one that the journal does not know: records were lost that its
    /// data rests on.
    #[error("its last barrier is {barrier}, and the journal, which lost records, knows {known}")]
    Ahead {
        /// The last barrier of the store.
        barrier: u64,
        /// The last barrier of the journal.
        known: u64,
    },
    /// An earlier failure of this open store; reopening is the way back.
    #[error("the store is refused since {operation} failed: {reason}")]
    Refused {
        /// What failed first.
        operation: &'static str,
        /// How it failed.
        reason: String,
    },
    /// The store is open for reading only; nothing was changed.
    #[error("the store is open for reading only")]
    ReadOnly,
    /// A raw key or value that nobody of this version wrote.
    #[error("unreadable entry at a raw key of {} bytes", raw_key.len())]
    BadEntry {
        /// Where.
        raw_key: Vec<u8>,
        /// What is wrong with it.
        #[source]
        source: KeyError,
    },
    /// A region's row that nobody of this version wrote.
    #[error("unreadable row of {region}")]
    BadRegionRow {
        /// Whose row.
        region: RegionId,
        /// What is wrong with it.
        #[source]
        source: RowError,
    },
    /// One of the store's own rows is not readable.
    #[error("unreadable store row \"{name}\"")]
    BadStoreRow {
        /// Which row.
        name: &'static str,
        /// What is wrong with it.
        #[source]
        source: RowError,
    },
}

impl StoreError {
    /// Whether the store that lies there cannot be used, by its bytes or by what it does with them.
    pub fn is_damage(&self) -> bool {
        self.is_corruption() || matches!(self, StoreError::Panicked { .. })
    }

    /// Whether the bytes are at fault: what was read is not what was written.
    pub fn is_corruption(&self) -> bool {
        matches!(
            self,
            StoreError::Corrupt { .. }
                | StoreError::Doubtful { .. }
                | StoreError::Exchanged
                | StoreError::Ahead { .. }
                | StoreError::BadEntry { .. }
                | StoreError::BadRegionRow { .. }
                | StoreError::BadStoreRow { .. }
        )
    }
}

/// Why a data store did not open.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreOpenError {
    /// Another holder has it open.
    #[error("data store {} is open elsewhere", path.display())]
    Busy {
        /// The store's directory.
        path: PathBuf,
    },
    /// It does not exist, and the mode says not to create it.
    #[error("there is no data store at {}", path.display())]
    Missing {
        /// The store's directory.
        path: PathBuf,
    },
    /// The operating system refused.
    #[error("cannot open data store {}", path.display())]
    Io {
        /// The store's directory, or the file in it.
        path: PathBuf,
        /// The operating system's answer.
        #[source]
        source: io::Error,
    },
    /// The store's own code panicked; the panic was caught and the store is not open.
    #[error("data store {} panicked while it opened: {message}", path.display())]
    Panicked {
        /// The store's directory.
        path: PathBuf,
        /// The panic's message and place.
        message: String,
    },
    /// The store found its own files damaged.
    #[error("data store {} is damaged: {detail}", path.display())]
    Corrupt {
        /// The store's directory.
        path: PathBuf,
        /// The store's own words.
        detail: String,
    },
    /// Made by another version of the store, or with other settings.
    #[error("data store {} is not of a supported make: {detail}", path.display())]
    Unsupported {
        /// The store's directory.
        path: PathBuf,
        /// The store's own words.
        detail: String,
    },
    /// This kind of store cannot be opened that way.
    #[error("a data store of kind {kind} cannot be opened in mode {mode:?}")]
    ModeUnsupported {
        /// Kind of store.
        kind: &'static str,
        /// The mode asked for.
        mode: StoreOpenMode,
    },
}

impl StoreOpenError {
    /// Whether the store is there and its *contents* are at fault, so that trying again as it is
    /// cannot help. `Busy`, `Missing` and refusals of the operating system are not.
    pub fn is_damage(&self) -> bool {
        matches!(
            self,
            StoreOpenError::Panicked { .. } | StoreOpenError::Corrupt { .. }
        )
    }
}
