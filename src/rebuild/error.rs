//! Why a directory could not be made.

use std::io;
use std::path::{Path, PathBuf};

use torrens_journal::{BuildFault, Lsn, ReadError, SegmentId};

use crate::inspector::InspectError;

/// Why a directory was not made. What was made so far is in no state to be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RebuildError {
    /// The parts cannot be in a journal.
    #[error("the parts make no journal")]
    Build(#[from] BuildFault),
    /// A record carries another position than the next one.
    #[error("record {found} comes where {expected} is next")]
    Lsn {
        /// The next one.
        expected: Lsn,
        /// What came.
        found: Lsn,
    },
    /// A page belongs to no segment that is being made, or lies outside of it.
    #[error("there is no page at {offset_bytes} of segment {segment} now")]
    Page {
        /// The segment that it names.
        segment: SegmentId,
        /// Its offset.
        offset_bytes: u64,
    },
    /// A file that no store has, or bytes outside of one.
    #[error("a store has no file {name:?} with bytes up to {end_bytes}")]
    File {
        /// Its name.
        name: String,
        /// Where the bytes end.
        end_bytes: u64,
    },
    /// There is nothing to make a journal of.
    #[error("there is no record and no segment")]
    Nothing,
    /// The source could not be looked at.
    #[error("cannot look at the source")]
    Source(#[from] InspectError),
    /// The operating system refused a read of the source.
    #[error("cannot read the source")]
    Read(#[from] ReadError),
    /// The operating system refused a write.
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
    /// It was stopped by whoever watches it.
    #[error("stopped before the end")]
    Stopped,
}

impl RebuildError {
    /// Stable lower-case word for scripts.
    pub const fn code(&self) -> &'static str {
        match self {
            RebuildError::Build(_) => "not-buildable",
            RebuildError::Lsn { .. } => "not-the-next-record",
            RebuildError::Page { .. } => "no-such-page",
            RebuildError::File { .. } => "no-such-file",
            RebuildError::Nothing => "nothing-to-build",
            RebuildError::Source(error) => error.code(),
            RebuildError::Read(_) => "source-io",
            RebuildError::Io { .. } => "target-io",
            RebuildError::Stopped => "stopped",
        }
    }
}

pub(super) fn io_error(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> RebuildError {
    let path = path.to_owned();
    move |source| RebuildError::Io {
        doing,
        path,
        source,
    }
}
