//! Who hears of a write-back that failed, and how often: the error state of one file.
//!
//! Linux keeps one counter for each file and one position in it for each open file (`errseq_t`). A
//! sync reports what happened since the file was opened or last asked, and thereby has asked. So a
//! failure is told once to each open file that was there when it happened; one that is opened later
//! hears of it only if nobody else has. Two users of one open file share one position: the first of
//! them hears of the failure, and the second is told that all is well.

use std::io;

use super::fault::SimError;

/// What went wrong with a write-back.
#[derive(Clone, Debug)]
struct Failure {
    kind: io::ErrorKind,
    error: SimError,
}

/// The failures of one file's write-back.
#[derive(Clone, Debug, Default)]
pub(super) struct Failures {
    count: u64,
    last: Option<Failure>,
    /// Whether anybody was told of the last one.
    told: bool,
}

/// How far an open file has heard of the failures.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Heard(u64);

impl Failures {
    /// A write-back failed.
    pub(super) fn add(&mut self, kind: io::ErrorKind, error: SimError) {
        self.count += 1;
        self.last = Some(Failure { kind, error });
        self.told = false;
    }

    /// Where a file that is opened now begins to listen.
    pub(super) fn heard_at_open(&self) -> Heard {
        let untold = u64::from(self.last.is_some() && !self.told);
        Heard(self.count - untold)
    }

    /// What an open file is to be told now.
    pub(super) fn tell(&mut self, heard: &mut Heard) -> io::Result<()> {
        if heard.0 == self.count {
            return Ok(());
        }
        heard.0 = self.count;
        self.told = true;
        self.last.as_ref().map_or(Ok(()), |failure| {
            Err(io::Error::new(failure.kind, failure.error.clone()))
        })
    }
}
