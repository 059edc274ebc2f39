//! Reasons for which both disks refuse a request before the operating system sees it.
//!
//! They travel inside an [`io::Error`] of kind `InvalidInput`, so that a caller who must tell them
//! apart can downcast and everybody else has a sentence.

use std::io;
use std::path::PathBuf;

/// A request that would be dangerous or cannot mean anything.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DiskRefusal {
    /// The path names a link, a directory, a device or a pipe.
    #[error("{} is not a regular file", .path.display())]
    NotRegular {
        /// The path that was to be opened.
        path: PathBuf,
    },
    /// A map of no bytes, or of more than the address space holds.
    #[error("cannot map {map_bytes} bytes")]
    MapLength {
        /// Bytes asked for.
        map_bytes: u64,
    },
    /// A load or store behind the end of a file kills the process (SIGBUS).
    #[error("cannot map {map_bytes} bytes of a file of {file_bytes}")]
    MapPastEnd {
        /// Bytes asked for.
        map_bytes: u64,
        /// Length of the file.
        file_bytes: u64,
    },
    /// A store into a hole needs a block when the page is written back; on a full disk the process
    /// is killed (SIGBUS) or the bytes are dropped.
    #[error(
        "cannot map {map_bytes} bytes: the file is not allocated from byte {hole_offset_bytes}"
    )]
    MapHole {
        /// Bytes asked for.
        map_bytes: u64,
        /// Where the first hole begins; where the platform cannot tell, the number of allocated
        /// bytes.
        hole_offset_bytes: u64,
    },
    /// A store outside the map.
    #[error("cannot store {bytes} bytes at offset {offset_bytes} of a map of {map_bytes}")]
    StoreOutside {
        /// Where the store was to begin.
        offset_bytes: u64,
        /// Its length.
        bytes: u64,
        /// Length of the map.
        map_bytes: u64,
    },
    /// A mapped file must not shrink: a later store through the map would kill the process.
    #[error("cannot cut a mapped file from {file_bytes} to {wanted_bytes} bytes")]
    ShrinkMapped {
        /// Length of the file.
        file_bytes: u64,
        /// Length asked for.
        wanted_bytes: u64,
    },
}

impl From<DiskRefusal> for io::Error {
    fn from(refusal: DiskRefusal) -> Self {
        io::Error::new(io::ErrorKind::InvalidInput, refusal)
    }
}

/// The range of a store of `bytes` at `offset_bytes` into a map of `map_bytes`, or the refusal.
pub(super) fn store_start(
    offset_bytes: u64,
    bytes: usize,
    map_bytes: u64,
) -> Result<usize, DiskRefusal> {
    let stored = u64::try_from(bytes).unwrap_or(u64::MAX);
    let fits = offset_bytes
        .checked_add(stored)
        .is_some_and(|end| end <= map_bytes);
    match usize::try_from(offset_bytes) {
        Ok(start) if fits => Ok(start),
        _ => Err(DiskRefusal::StoreOutside {
            offset_bytes,
            bytes: stored,
            map_bytes,
        }),
    }
}
