//! Why torture could not run, as opposed to what it found: findings are its result, not errors.

use std::io;
use std::path::PathBuf;
use std::process::ExitCode;

/// Why a run could not start or go on. Nothing in the store's directory was changed because of it.
#[derive(Debug, thiserror::Error)]
pub(super) enum TortureError {
    #[error("{path} has no rows to work with")]
    DataEmpty { path: PathBuf },
    #[error("{path} has more than {bytes_max} bytes")]
    DataTooLarge { path: PathBuf, bytes_max: u64 },
    #[error(
        "{dir} is not empty and was not made by torture ({oracle} is missing): \
         name a directory that does not exist yet"
    )]
    ForeignDirectory { dir: PathBuf, oracle: PathBuf },
    #[error("{dir} is gone, but {oracle} still remembers it: remove that too to start anew")]
    StoreGone { dir: PathBuf, oracle: PathBuf },
    #[error("{dir} holds store {found}, and {oracle} remembers store {expected}")]
    OtherStore {
        dir: PathBuf,
        oracle: PathBuf,
        expected: String,
        found: String,
    },
    #[error(
        "{dir} was filled from {expected} (checksum {expected_checksum:08x}), not from {found} \
         (checksum {found_checksum:08x}): give the same --data"
    )]
    OtherData {
        dir: PathBuf,
        expected: String,
        expected_checksum: u32,
        found: String,
        found_checksum: u32,
    },
    #[error("{path} is not a line of an oracle: line {line}")]
    OracleLine {
        path: PathBuf,
        line: u64,
        #[source]
        source: serde_json::Error,
    },
    #[error("{path} is not an oracle's model")]
    OracleModel {
        path: PathBuf,
        #[source]
        source: serde_json::Error,
    },
    #[error("{path} is of format {found}, and this release reads {expected}")]
    OracleFormat {
        path: PathBuf,
        expected: u32,
        found: u32,
    },
    #[error("another torture works on this directory ({path} is locked)")]
    Busy { path: PathBuf },
    #[error("the storage process answered something that is no answer: {line}")]
    Protocol {
        line: String,
        #[source]
        source: serde_json::Error,
    },
    #[error("the disk is full: {text}")]
    DiskFull { text: String },
    #[error("a snapshot for the storage process could not be written")]
    Snapshot(#[source] torrens::snapshot::SnapshotError),
    #[error(
        "--power-cut cannot be done here: {why} (it needs the right to mount, loop devices and mkfs.ext4)"
    )]
    PowerCut { why: String },
    #[error("cannot watch for an interrupt")]
    Interrupt(#[source] ctrlc::Error),
    #[error("cannot {doing} {path}")]
    Io {
        doing: &'static str,
        path: PathBuf,
        #[source]
        source: io::Error,
    },
}

impl TortureError {
    /// For `map_err`: what was being done, where.
    pub(super) fn io(
        doing: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(io::Error) -> TortureError {
        let path = path.into();
        move |source| TortureError::Io {
            doing,
            path,
            source,
        }
    }

    /// 2: nothing was tried, or nothing can be said about the store.
    pub(super) fn exit_code(&self) -> ExitCode {
        ExitCode::from(2)
    }
}
