//! Why a directory could not be looked at. Damage is not in here: it is a verdict.

use std::io;
use std::path::PathBuf;

use torrens_recovery::RecoveryError;

/// Why an inspection gave no answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InspectError {
    /// There is nothing at that path.
    #[error("there is nothing at {}", path.display())]
    Missing {
        /// The path that was asked for.
        path: PathBuf,
    },
    /// The path is a file, a device, or anything else that holds no entries.
    #[error("{} is not a directory", path.display())]
    NotADirectory {
        /// The path that was asked for.
        path: PathBuf,
    },
    /// The directory is empty.
    #[error("{} is empty: no store was ever created there", path.display())]
    Empty {
        /// The directory.
        path: PathBuf,
    },
    /// The directory holds other things than a store's.
    #[error("{} is not a store: it has no journal, and holds {found:?}", path.display())]
    NotAStore {
        /// The directory.
        path: PathBuf,
        /// The first of the names that were found.
        found: String,
    },
    /// A file or a stream holds no segment.
    #[error("{} holds no segment: {why}", path.display())]
    NoSegment {
        /// The file; `-` for a stream.
        path: PathBuf,
        /// What is there instead.
        why: String,
    },
    /// There are segments and no store, and what was asked for rests on earlier ones.
    #[error("{} begins with record {first_lsn}: the state before it is not known", path.display())]
    OnlyAPart {
        /// Where they are.
        path: PathBuf,
        /// The first record.
        first_lsn: torrens_journal::Lsn,
    },
    /// There is a journal's directory, and nothing was ever acknowledged in it.
    #[error("{} holds no journal yet: nothing was ever acknowledged there", path.display())]
    NoJournal {
        /// The directory.
        path: PathBuf,
    },
    /// The state that was asked for is older than everything that the directory still holds.
    #[error("the state at LSN {asked} is gone; the oldest that can be rebuilt is at LSN {oldest}")]
    Purged {
        /// The position that was asked for.
        asked: torrens_journal::Lsn,
        /// The oldest one that there is.
        oldest: torrens_journal::Lsn,
    },
    /// There is no record that far.
    #[error("there is no record {asked}; the last one is {last}")]
    BeyondEnd {
        /// The position that was asked for.
        asked: torrens_journal::Lsn,
        /// The last one that there is.
        last: torrens_journal::Lsn,
    },
    /// The place in the history that was named is not there.
    #[error("there is no point {point}: {why}")]
    NoSuchPoint {
        /// As it was named.
        point: String,
        /// Why not.
        why: String,
    },
    /// A record that was durable is not readable.
    #[error("{} is damaged: {why}", path.display())]
    Damaged {
        /// The directory.
        path: PathBuf,
        /// Where and how.
        why: String,
    },
    /// The look was stopped by whoever watches it.
    #[error("stopped before the end")]
    Stopped,
    /// The operating system refused.
    #[error("cannot {doing} {}", path.display())]
    Io {
        /// What was tried.
        doing: &'static str,
        /// On what.
        path: PathBuf,
        /// Its answer.
        #[source]
        source: io::Error,
    },
    /// The directory could be read and still not be inspected.
    #[error("cannot inspect {}", path.display())]
    Recovery {
        /// The directory.
        path: PathBuf,
        /// Why.
        #[source]
        source: Box<RecoveryError>,
    },
}

impl InspectError {
    /// Stable lower-case word for scripts.
    pub const fn code(&self) -> &'static str {
        match self {
            InspectError::Missing { .. } => "missing",
            InspectError::NotADirectory { .. } => "not-a-directory",
            InspectError::Empty { .. } => "empty",
            InspectError::NotAStore { .. } => "not-a-store",
            InspectError::NoSegment { .. } => "no-segment",
            InspectError::OnlyAPart { .. } => "only-a-part",
            InspectError::NoJournal { .. } => "no-journal",
            InspectError::Purged { .. } => "purged",
            InspectError::BeyondEnd { .. } => "beyond-end",
            InspectError::NoSuchPoint { .. } => "no-such-point",
            InspectError::Damaged { .. } => "damaged",
            InspectError::Stopped => "stopped",
            InspectError::Io { .. } => "io",
            InspectError::Recovery { .. } => "inspect",
        }
    }

    /// What a person can do about it, if there is anything to say.
    pub const fn hint(&self) -> Option<&'static str> {
        match self {
            InspectError::Missing { .. } => Some("check the path"),
            InspectError::NotADirectory { .. } => {
                Some("give the store's directory, the one that holds journal/")
            }
            InspectError::Empty { .. } | InspectError::NotAStore { .. } => {
                Some("a store's directory holds LOCK, journal/, checkpoints/, snapshots/ and data/")
            }
            InspectError::NoSegment { .. } => {
                Some("give one or more segments, as they are or packed by zstd")
            }
            InspectError::OnlyAPart { .. } => Some(
                "dump, tail, stats and verify need no state; for the others give the store's directory",
            ),
            InspectError::NoJournal { .. } => {
                Some("opening it with the engine creates a new store")
            }
            InspectError::Purged { .. } => Some("ask for that position or a later one"),
            InspectError::BeyondEnd { .. } => {
                Some("ask for that position or an earlier one, or for `last`")
            }
            InspectError::NoSuchPoint { .. } => Some(
                "points are 8412, @09:21:07, ~5, boot:-1, ckpt:last, raft:8/912, first, last and durable",
            ),
            InspectError::Damaged { .. } => {
                Some("torrens explain says what is left and what to do")
            }
            InspectError::Stopped => None,
            InspectError::Io { .. } => {
                Some("check the permissions of the directory and the device")
            }
            InspectError::Recovery { .. } => None,
        }
    }

    /// The exit code of the tool: 8, as everything that could not be looked at; 2 for a position
    /// that is not there; 130 for a look that was stopped.
    pub fn exit_code(&self) -> u8 {
        match self {
            InspectError::Purged { .. }
            | InspectError::BeyondEnd { .. }
            | InspectError::NoSuchPoint { .. } => 2,
            InspectError::Stopped => 130,
            InspectError::Damaged { .. } => 5,
            InspectError::Missing { .. }
            | InspectError::NotADirectory { .. }
            | InspectError::Empty { .. }
            | InspectError::NotAStore { .. }
            | InspectError::NoSegment { .. }
            | InspectError::OnlyAPart { .. }
            | InspectError::NoJournal { .. }
            | InspectError::Io { .. }
            | InspectError::Recovery { .. } => 8,
        }
    }
}
