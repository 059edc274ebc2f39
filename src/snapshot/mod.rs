//! Snapshot files: one region's rows at one applied index, checksummed as a whole.
//!
//! * `name`: file names, made of numbers only; parsing and formatting in one place.
//! * `meta`: the header: which region, at which index, term and sequence.
//! * `frame`: chunks and trailer as bytes, and the limits that a reader holds them to.
//! * `decode`: the one reader of the bytes, over any `Read`.
//! * `writer`, `reader`, `receive`: making a file, reading a staged one, taking one from outside.
//! * `staging`: listing and removing what lies in the snapshot directory.
//!
//! Invariants
//! * A file under its final name is complete and was synced before it got the name.
//! * No name, length or key from outside is used before it is checked; a hostile file is a typed
//!   [`SnapshotError`].
//!
//! Not here: whether a snapshot may be applied (`lifecycle`), ingesting it (`engine`).

mod decode;
mod error;
mod frame;
mod meta;
mod name;
mod reader;
mod receive;
mod staging;
mod writer;

#[cfg(test)]
mod tests;

pub use decode::SnapshotRow;
pub use error::{SnapshotError, SnapshotFault};
pub use frame::{CHUNK_PAYLOAD_BYTES_MAX, ContentHasher, ROW_BYTES_MAX};
pub use meta::SnapshotMeta;
pub use name::{NameError, SnapshotName};
pub use reader::{SnapshotReader, SnapshotRows, check_bytes};
pub use receive::{receive, receive_only};
pub use staging::{FoundFile, StagedSnapshot, list, remove, remove_unfinished};
pub use writer::SnapshotWriter;
