//! Every error of this crate: one enum per operation, facts as fields.
//!
//! A *fault* (in `header`, `group`, `record`, `mark`) describes bytes that were read; an *error*
//! here says why an operation did not do what it was asked.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use crate::header::HeaderFault;
use crate::ids::SegmentId;
use crate::lsn::Lsn;

/// The operating system did not let us look; nothing is known about the bytes.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// The directory could not be listed.
    #[error("cannot list directory {}", .dir.display())]
    List {
        /// The directory.
        dir: PathBuf,
        /// What the operating system said.
        #[source]
        source: io::Error,
    },
    /// A file could not be opened or measured.
    #[error("cannot open {}", .path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        #[source]
        source: io::Error,
    },
    /// A read failed.
    #[error("cannot read {length_bytes} bytes at offset {offset_bytes} of {}", .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Where the read started.
        offset_bytes: u64,
        /// How much was asked for.
        length_bytes: u64,
        /// What the operating system said.
        #[source]
        source: io::Error,
    },
}

/// Options that cannot be used together, or at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OptionsError {
    /// The segment size is too small, too large or not a multiple of the page.
    #[error(
        "segment size of {segment_bytes} bytes is not a multiple of 4096 from {min_bytes} to {max_bytes}"
    )]
    SegmentBytes {
        /// The size that was asked for.
        segment_bytes: u64,
        /// The smallest allowed.
        min_bytes: u64,
        /// The largest allowed.
        max_bytes: u64,
    },
    /// The group size is too small or too large.
    #[error("group size of {group_bytes_max} bytes is not from {min_bytes} to {max_bytes}")]
    GroupBytes {
        /// The size that was asked for.
        group_bytes_max: u64,
        /// The smallest allowed.
        min_bytes: u64,
        /// The largest allowed.
        max_bytes: u64,
    },
    /// A count or a time is outside the range that its setter states.
    #[error("{option} is outside its range")]
    OutOfRange {
        /// Which one.
        option: &'static str,
    },
}

/// Why a journal was not opened for writing. Nothing was appended.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The options are not usable.
    #[error("options are not usable")]
    Options(#[from] OptionsError),
    /// `create` met a journal.
    #[error("{} already holds a journal: {found}", .dir.display())]
    NotEmpty {
        /// The directory.
        dir: PathBuf,
        /// The file that shows it.
        found: String,
    },
    /// `resume` met a segment that the tail does not know of.
    #[error("segment {found} lies behind the tail, which is in segment {tail}")]
    BehindTail {
        /// The segment of the tail.
        tail: SegmentId,
        /// The segment found.
        found: SegmentId,
    },
    /// The tail is no position at which the segment can go on.
    #[error("segment {segment} of {file_bytes} bytes cannot go on at offset {end_offset_bytes}")]
    TailOutOfPlace {
        /// The segment of the tail.
        segment: SegmentId,
        /// The end that the tail states.
        end_offset_bytes: u64,
        /// The segment's length.
        file_bytes: u64,
    },
    /// The bytes after the tail were not cleared.
    #[error("segment {segment} is not zero at offset {offset_bytes}, after its tail")]
    TailNotZero {
        /// The segment of the tail.
        segment: SegmentId,
        /// The page that is not zero.
        offset_bytes: u64,
    },
    /// A segment's header is not usable.
    #[error("segment {segment} has no usable header")]
    Header {
        /// The segment.
        segment: SegmentId,
        /// What is wrong with it.
        #[source]
        fault: HeaderFault,
    },
    /// No position or number is left in its integer.
    #[error("the journal has no {what} left")]
    Exhausted {
        /// What ran out: boot, segment or LSN.
        what: &'static str,
    },
    /// A read failed.
    #[error("cannot read the journal")]
    Read(#[from] ReadError),
    /// The group that starts the new boot could not be stored.
    #[error("cannot start the new boot")]
    Poisoned(#[source] Arc<Poison>),
    /// The mark that names the tail as durable could not be written.
    #[error("cannot mark the tail as durable")]
    Mark(#[source] MarkError),
    /// The disk has no room for the files that are needed.
    #[error("no room for {needed_bytes} bytes at {}", .path.display())]
    Full {
        /// The file that did not fit.
        path: PathBuf,
        /// Its length.
        needed_bytes: u64,
        /// What the operating system said.
        #[source]
        source: io::Error,
    },
    /// Anything else that the operating system refused.
    #[error("cannot prepare {}", .path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// What the operating system said.
        #[source]
        source: io::Error,
    },
}

/// The operation that failed and ended a journal for good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PoisonedBy {
    /// Storing a group through the map.
    Store,
    /// Writing a new segment's header, with the groups behind it, or making them durable.
    WriteHeader,
    /// Making a segment durable.
    Sync,
    /// Giving a new segment its name.
    Rename,
    /// Making the directory durable.
    SyncDir,
    /// The thread that led the sync panicked.
    Panic,
}

impl PoisonedBy {
    /// Stable lower-case name.
    pub const fn as_str(self) -> &'static str {
        match self {
            PoisonedBy::Store => "store",
            PoisonedBy::WriteHeader => "header write",
            PoisonedBy::Sync => "sync",
            PoisonedBy::Rename => "rename",
            PoisonedBy::SyncDir => "directory sync",
            PoisonedBy::Panic => "panic",
        }
    }
}

/// Why a journal takes nothing more until it is opened anew.
///
/// The outcome of every record that was appended and not acknowledged is unknown: it may be there
/// after reopening, or not.
#[derive(Debug, thiserror::Error)]
#[error("{} of segment {segment} failed", .by.as_str())]
#[non_exhaustive]
pub struct Poison {
    /// What failed.
    pub by: PoisonedBy,
    /// The segment that it concerned.
    pub segment: SegmentId,
    /// What the operating system said.
    #[source]
    pub source: io::Error,
}

/// Why a record was not appended. No LSN was used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AppendError {
    /// The records do not fit one group of this journal's segments. A group is stored whole and in one
    /// segment, so this is the limit of a record and of one append call:
    /// [`JournalOptions::payload_bytes_max`](crate::JournalOptions::payload_bytes_max) for a single
    /// record, [`JournalOptions::record_bytes_max`](crate::JournalOptions::record_bytes_max) for all
    /// together. Larger segments take more, up to 4,091,912 bytes.
    #[error(
        "records take {record_bytes} bytes with their headers, one group of these segments takes {max_bytes}"
    )]
    TooLarge {
        /// What the records take, headers and padding included.
        record_bytes: u64,
        /// What one group takes.
        max_bytes: u64,
    },
    /// No room on the disk for the next segment. The journal goes on when there is room again.
    #[error("no room for the next segment of {needed_bytes} bytes")]
    Full {
        /// Length of the segment.
        needed_bytes: u64,
        /// What the operating system said.
        #[source]
        source: io::Error,
    },
    /// The next segment could not be prepared for another reason; trying again is safe.
    #[error("cannot prepare the next segment {}", .path.display())]
    Prepare {
        /// The unfinished file.
        path: PathBuf,
        /// What the operating system said.
        #[source]
        source: io::Error,
    },
    /// The 64-bit position space is used up.
    #[error("the journal has no LSN left")]
    Exhausted,
    /// An earlier failure ended this journal.
    #[error("journal is poisoned, reopen it")]
    Poisoned(#[source] Arc<Poison>),
    /// The journal was closed.
    #[error("journal is closed")]
    Closed,
}

/// Why a record is not known to be durable.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SyncError {
    /// Nobody appended this LSN yet.
    #[error("LSN {lsn} was not appended, the last is {appended}")]
    NotAppended {
        /// The LSN that was waited for.
        lsn: Lsn,
        /// The last one there is.
        appended: Lsn,
    },
    /// This or an earlier failure ended the journal; the record's outcome is unknown.
    #[error("journal is poisoned, reopen it")]
    Poisoned(#[source] Arc<Poison>),
    /// The record is durable; the mark that would prove it is not.
    #[error("the record is durable, the mark that proves it is not")]
    NotWitnessed(#[source] Arc<MarkError>),
}

/// Why records were not committed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CommitError {
    /// They were not appended.
    #[error("cannot append")]
    Append(#[from] AppendError),
    /// They were appended and are not known to be as durable as asked for.
    #[error("cannot make durable")]
    Sync(#[from] SyncError),
}

/// Why a mark was not written. The journal itself is not concerned.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MarkError {
    /// An earlier failure ended this journal; it writes nothing more.
    #[error("journal is poisoned, reopen it")]
    Poisoned(#[source] Arc<Poison>),
    /// The journal was closed.
    #[error("journal is closed")]
    Closed,
    /// The operating system refused the write or the sync.
    #[error("cannot write mark {number} to {}", .path.display())]
    Io {
        /// The mark file.
        path: PathBuf,
        /// The mark's number.
        number: u64,
        /// What the operating system said.
        #[source]
        source: io::Error,
    },
}

/// Why segments were not purged; those removed before the failure stay removed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PurgeError {
    /// An earlier failure ended this journal; it removes nothing more.
    #[error("journal is poisoned, reopen it")]
    Poisoned(#[source] Arc<Poison>),
    /// The journal was closed.
    #[error("journal is closed")]
    Closed,
    /// The operating system refused.
    #[error("cannot remove {}", .path.display())]
    Io {
        /// The segment file, or the directory whose sync failed.
        path: PathBuf,
        /// What the operating system said.
        #[source]
        source: io::Error,
    },
}

/// Why a journal was not closed in order. It is closed all the same.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CloseError {
    /// The last records could not be made durable.
    #[error("cannot sync the last records")]
    Sync(#[source] SyncError),
    /// The records are durable, the mark that says so is not.
    #[error("cannot write the closing mark")]
    Mark(#[source] MarkError),
}
