//! What can be wrong with a snapshot file, and what can go wrong around it.

use std::io;
use std::path::PathBuf;

use super::SnapshotName;
use crate::{Key, KeyRange, RegionError, RegionId};

/// Why the bytes of a snapshot are not accepted. Offsets count from the start of the file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SnapshotFault {
    /// The bytes end inside something.
    #[error("the bytes end at offset {offset}, inside {inside}")]
    Truncated {
        /// Where what is cut short starts.
        offset: u64,
        /// What is cut short.
        inside: &'static str,
    },
    /// Not a snapshot file at all.
    #[error("the bytes do not start with the magic of a snapshot")]
    NotASnapshot,
    /// Written by a newer version.
    #[error("snapshot format {found}, newer than {supported}")]
    Unsupported {
        /// Format in the file.
        found: u16,
        /// Newest format that this version reads.
        supported: u16,
    },
    /// A header field that no writer writes.
    #[error("malformed header field {field}")]
    BadHeader {
        /// Which.
        field: &'static str,
    },
    /// The region's description breaks a rule.
    #[error("the region described in the header is not valid")]
    BadRegion(#[source] RegionError),
    /// Neither a chunk nor a trailer.
    #[error("unknown frame at offset {offset}")]
    UnknownFrame {
        /// Where it starts.
        offset: u64,
    },
    /// A length above its limit; nothing was allocated for it.
    #[error("{what} at offset {offset} declares {declared} bytes, more than the {max} allowed")]
    TooLong {
        /// What declares it.
        what: &'static str,
        /// Where it starts.
        offset: u64,
        /// Length declared.
        declared: u64,
        /// Most that is allowed.
        max: u64,
    },
    /// The checksum of a header, chunk or the whole file does not match.
    #[error(
        "checksum mismatch in {what} at offset {offset}: stored {stored:#010x}, computed {computed:#010x}"
    )]
    Checksum {
        /// What it covers.
        what: &'static str,
        /// Where that starts.
        offset: u64,
        /// Checksum in the file.
        stored: u32,
        /// Checksum of the bytes.
        computed: u32,
    },
    /// A chunk out of its order, or a row that does not fill its chunk as declared.
    #[error("chunk {chunk} at offset {offset} is malformed: {what}")]
    BadChunk {
        /// Number of the chunk, from 0.
        chunk: u64,
        /// Where it starts.
        offset: u64,
        /// What is wrong.
        what: &'static str,
    },
    /// A row whose key is not above the one before it.
    #[error("row {row} is not in ascending order")]
    OutOfOrder {
        /// Number of the row, from 0.
        row: u64,
    },
    /// A row that does not belong to the region.
    #[error("row {row} lies outside the snapshot's range")]
    KeyOutside {
        /// Number of the row, from 0.
        row: u64,
        /// Its key.
        key: Key,
        /// The region's range.
        range: KeyRange,
    },
    /// A row of a column family that this store does not have.
    #[error("row {row} is of column family {family}, which this store does not have")]
    UnknownFamily {
        /// Number of the row, from 0.
        row: u64,
        /// Number of the family.
        family: u8,
    },
    /// The trailer counts something else than what came before it.
    #[error("the trailer says {declared} {what}, the file has {found}")]
    Count {
        /// What is counted.
        what: &'static str,
        /// Count in the trailer.
        declared: u64,
        /// Count in the file.
        found: u64,
    },
    /// Bytes behind the trailer.
    #[error("unexpected bytes behind the trailer at offset {offset}")]
    TrailingBytes {
        /// Where they start.
        offset: u64,
    },
    /// The header is of another snapshot than the name says.
    #[error("the header is of {region} at index {index}, term {term}")]
    NameMismatch {
        /// Region in the header.
        region: RegionId,
        /// Index in the header.
        index: u64,
        /// Term in the header.
        term: u64,
    },
}

/// Why a snapshot file was not written, read or received.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SnapshotError {
    /// The bytes are not those of a good snapshot.
    #[error("snapshot {name} is not acceptable")]
    Fault {
        /// Which snapshot.
        name: SnapshotName,
        /// What is wrong with it.
        #[source]
        source: SnapshotFault,
    },
    /// The operating system refused; that says nothing about the bytes.
    #[error("cannot {operation} {}", path.display())]
    Io {
        /// What was tried.
        operation: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// The operating system's answer.
        #[source]
        source: io::Error,
    },
    /// The sender's stream failed.
    #[error("cannot read the stream of snapshot {name}")]
    Source {
        /// Which snapshot.
        name: SnapshotName,
        /// The stream's answer.
        #[source]
        source: io::Error,
    },
    /// A complete file with that name is there already.
    #[error("snapshot {name} is staged already")]
    Exists {
        /// Which snapshot.
        name: SnapshotName,
    },
    /// There is no complete file with that name.
    #[error("snapshot {name} is not staged")]
    Missing {
        /// Which snapshot.
        name: SnapshotName,
    },
}

impl SnapshotError {
    /// Whether the file itself is at fault (or absent), so that reading it again cannot help.
    pub fn is_lost(&self) -> bool {
        matches!(
            self,
            SnapshotError::Fault { .. } | SnapshotError::Missing { .. }
        )
    }
}
