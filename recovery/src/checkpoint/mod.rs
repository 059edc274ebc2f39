//! Checkpoints: the whole state at one LSN, in one file that is either complete or does not count.
//!
//! * `format`: the bytes (also in docs/FORMAT.md). * `write`: aside, synced, renamed, directory
//!   synced. * `read`: verifies every checksum before it gives a single item away. * `keep`: lists and
//!   prunes generations.
//!
//! Invariants: a file under its final name was complete and durable when it got that name, and
//! everything up to its LSN was durable before that. So a checkpoint at C is a witness that every
//! record up to C was acknowledged or could have been, and a damaged checkpoint is damage, never the
//! trace of a crash.
//!
//! Not here: which checkpoint recovery uses (`evidence`), and purging the journal (the caller does
//! that with what [`prune`] returns).

use std::io;
use std::path::{Path, PathBuf};

use torrens_journal::{Boot, Lsn, StoreUuid};

mod format;
mod keep;
mod read;
mod write;

pub use format::{BLOCK_BYTES_MAX, ITEM_BYTES_MAX, VERSION_MAJOR, VERSION_MINOR};
pub(crate) use keep::file_name;
pub use keep::{Listed, Pruned, list, lsn_of_name, prune};
pub(crate) use read::read_verified;
pub use read::{examine, load};
pub use write::write;

/// What a checkpoint says about itself.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Meta {
    /// The store whose state this is.
    pub store: StoreUuid,
    /// The state is the fold of every record up to and including this one.
    pub lsn: Lsn,
    /// The boot that wrote it.
    pub boot: Boot,
    /// The oldest record that a reader of this checkpoint still wants from the journal, for history
    /// or for open operations; at most `lsn + 1`.
    pub first_needed: Lsn,
    /// When it was written, in microseconds since the Unix epoch. Information only.
    pub wall_clock_micros: u64,
}

impl Meta {
    /// The header of a checkpoint of `store` at `lsn`, written by `boot`, that needs nothing older.
    /// [`write`](fn@write) fills in the wall clock if it is 0.
    pub fn new(store: StoreUuid, lsn: Lsn, boot: Boot) -> Self {
        Meta {
            store,
            lsn,
            boot,
            first_needed: lsn.next().unwrap_or(lsn),
            wall_clock_micros: 0,
        }
    }
}

/// A checkpoint that was written, or read and verified as a whole.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CheckpointInfo {
    /// What its header says.
    pub meta: Meta,
    /// Where it lies.
    pub path: PathBuf,
    /// File length in bytes.
    pub bytes: u64,
    /// Items of the state machine in it.
    pub items: u64,
    /// Checksummed blocks in it.
    pub blocks: u64,
}

/// Why a file is not a valid checkpoint. The operating system did answer; the bytes are at fault.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CheckpointFault {
    /// The file ends before a part that must be there.
    #[error("the file ends at {file_bytes} bytes, {needed_bytes} are needed")]
    Truncated {
        /// Its length.
        file_bytes: u64,
        /// The smallest length that the bytes read so far call for.
        needed_bytes: u64,
    },
    /// The header page does not carry the magic number.
    #[error("the header has no checkpoint magic number: {found:#018x}")]
    Magic {
        /// What is in its place.
        found: u64,
    },
    /// A checksum differs.
    #[error(
        "checksum of the {part} at offset {offset_bytes}: stored {stored:#010x}, computed {computed:#010x}"
    )]
    Checksum {
        /// `header`, `block` or `trailer`.
        part: &'static str,
        /// Where that part begins.
        offset_bytes: u64,
        /// The checksum in the file.
        stored: u32,
        /// The checksum of the bytes as they lie.
        computed: u32,
    },
    /// A block declares a length that is not allowed; nothing was allocated for it.
    #[error("block at offset {offset_bytes} declares {declared_bytes} bytes")]
    BlockLength {
        /// Where the block begins.
        offset_bytes: u64,
        /// What it declares.
        declared_bytes: u32,
    },
    /// The trailer does not agree with the blocks before it.
    #[error("the trailer says {what} is {stated}, found {found}")]
    Trailer {
        /// Which of its fields.
        what: &'static str,
        /// What the trailer says.
        stated: u64,
        /// What was found.
        found: u64,
    },
    /// Bytes after the trailer.
    #[error("the file goes on for {extra_bytes} bytes after its trailer")]
    Overlong {
        /// How many.
        extra_bytes: u64,
    },
    /// An item's length is over the limit, or an item has no end.
    #[error("item {index} declares {declared_bytes} bytes, {available_bytes} are there")]
    Item {
        /// Its number from 0.
        index: u64,
        /// What it declares.
        declared_bytes: u64,
        /// What there is, or the limit if that is smaller.
        available_bytes: u64,
    },
    /// It belongs to another store.
    #[error("it belongs to store {found}, not to {expected}")]
    Foreign {
        /// The store that was asked for.
        expected: StoreUuid,
        /// The store in its header.
        found: StoreUuid,
    },
    /// Its name and its header disagree.
    #[error("its name says LSN {named}, its header says {found}")]
    Misnamed {
        /// From the file name.
        named: Lsn,
        /// From the header.
        found: Lsn,
    },
    /// It was written by a newer version.
    #[error("its format is {major}.{minor} with flags {flags:#x}, newer than this reader")]
    NewerFormat {
        /// Major version in the header.
        major: u16,
        /// Minor version in the header.
        minor: u16,
        /// Flags that a reader must know.
        flags: u32,
    },
}

/// Why a checkpoint could not be written, read or removed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CheckpointError {
    /// The operating system refused.
    #[error("cannot {operation} {}", path.display())]
    Io {
        /// What was tried.
        operation: &'static str,
        /// On what.
        path: PathBuf,
        /// Its answer.
        #[source]
        source: io::Error,
    },
    /// The state machine gave an item over the limit; nothing was left behind.
    #[error("an item of {bytes} bytes is over the limit of {max}")]
    ItemTooLong {
        /// Its length.
        bytes: usize,
        /// [`ITEM_BYTES_MAX`].
        max: usize,
    },
    /// The file is not a valid checkpoint.
    #[error("{} is not a valid checkpoint", path.display())]
    Invalid {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        fault: CheckpointFault,
    },
    /// The checksums hold and the state machine does not accept an item.
    #[error("the state machine refuses item {item} of {}", path.display())]
    Refused {
        /// The file.
        path: PathBuf,
        /// The item's number from 0.
        item: u64,
        /// The machine's reason.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl CheckpointError {
    pub(crate) fn io(
        operation: &'static str,
        path: &Path,
    ) -> impl FnOnce(io::Error) -> CheckpointError {
        let path = path.to_owned();
        move |source| CheckpointError::Io {
            operation,
            path,
            source,
        }
    }
}
