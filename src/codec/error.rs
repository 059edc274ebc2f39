//! Why bytes are not a record or a checkpoint item. The bytes carried a valid checksum, so this is
//! never a torn write: whoever wrote them wrote something else.

use std::error::Error;

use crate::lifecycle::{ChangeKind, RestoreError};

/// Why bytes do not decode.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CodecError {
    /// There is not even a version.
    #[error("there are no bytes")]
    Empty,
    /// Version 0 does not exist.
    #[error("version 0 does not exist")]
    VersionZero,
    /// A checkpoint item of a version that this code does not know.
    #[error("item version {found} is newer than {known}")]
    NewerVersion {
        /// In the bytes.
        found: u8,
        /// The newest that is known here.
        known: u8,
    },
    /// A checkpoint item of a kind that this code does not know.
    #[error("item tag {found} is unknown")]
    UnknownItem {
        /// In the bytes.
        found: u8,
    },
    /// The bytes do not have the shape of what they claim to be.
    #[error("the bytes do not have the shape of {what}")]
    Malformed {
        /// What they claim to be.
        what: &'static str,
        /// Where it ended.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
    /// Bytes follow the value.
    #[error("{trailing} bytes follow {what}")]
    Trailing {
        /// What they follow.
        what: &'static str,
        /// How many.
        trailing: usize,
    },
    /// The bytes spell the value in another way than encoding does.
    #[error("{what} is not spelled as it is written")]
    NotCanonical {
        /// What they claim to be.
        what: &'static str,
    },
    /// A list or a key is longer than it may be.
    #[error("{count} {what}, more than {max} allowed")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// In the bytes.
        count: usize,
        /// Allowed.
        max: usize,
    },
    /// A range of keys that is empty.
    #[error("a range of keys is empty")]
    EmptyRange,
    /// A position in the journal that is 0.
    #[error("a position in the journal is 0")]
    LsnZero,
    /// The header names no region and the kind has one, or the other way round.
    #[error("a {} record {} a region", .kind.name(), if *.present { "names" } else { "does not name" })]
    Region {
        /// The record's kind.
        kind: ChangeKind,
        /// Whether the header names one.
        present: bool,
    },
    /// A checkpoint item does not fit to those before it.
    #[error("the item does not fit")]
    Restore(#[source] RestoreError),
}

impl CodecError {
    /// Whether a newer version of this code might decode the bytes.
    pub const fn is_newer_format(&self) -> bool {
        match self {
            CodecError::NewerVersion { .. } | CodecError::UnknownItem { .. } => true,
            CodecError::Empty
            | CodecError::VersionZero
            | CodecError::Malformed { .. }
            | CodecError::Trailing { .. }
            | CodecError::NotCanonical { .. }
            | CodecError::TooMany { .. }
            | CodecError::EmptyRange
            | CodecError::LsnZero
            | CodecError::Region { .. }
            | CodecError::Restore(_) => false,
        }
    }
}
