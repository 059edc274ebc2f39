//! Names of snapshot files: `r{region}-{index}-{term}-{id}.snap`, numbers in canonical decimal.
//!
//! A name is always made from numbers and never taken from outside, so it cannot leave its
//! directory.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use crate::RegionId;

const SUFFIX: &str = ".snap";
const UNFINISHED_SUFFIX: &str = ".new";
/// Four numbers of 20 digits, separators and suffix.
const NAME_BYTES_MAX: usize = 4 * 20 + 4 + SUFFIX.len();

/// Which snapshot a file holds; its `Display` is the file's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SnapshotName {
    /// The region.
    pub region: RegionId,
    /// Raft index that the rows are at.
    pub index: u64,
    /// Raft term of that index.
    pub term: u64,
    /// Tells apart snapshots of one region at one index; chosen by whoever stages the file.
    pub id: u64,
}

/// A text that is not the name of a snapshot file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not the name of a snapshot file")]
pub struct NameError;

impl fmt::Display for SnapshotName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let SnapshotName {
            region,
            index,
            term,
            id,
        } = self;
        write!(f, "r{}-{index}-{term}-{id}{SUFFIX}", region.0)
    }
}

impl FromStr for SnapshotName {
    type Err = NameError;

    /// Accepts exactly what `Display` writes: no sign, no leading zero, nothing around it.
    fn from_str(text: &str) -> Result<Self, NameError> {
        if text.len() > NAME_BYTES_MAX {
            return Err(NameError);
        }
        let numbers = text
            .strip_prefix('r')
            .and_then(|rest| rest.strip_suffix(SUFFIX));
        let mut numbers = numbers.ok_or(NameError)?.split('-').map(str::parse::<u64>);
        let mut next = || numbers.next().and_then(Result::ok).ok_or(NameError);
        let name = SnapshotName {
            region: RegionId(next()?),
            index: next()?,
            term: next()?,
            id: next()?,
        };
        // Formatting it again refuses every other spelling of the same numbers.
        if name.to_string() == text {
            Ok(name)
        } else {
            Err(NameError)
        }
    }
}

impl SnapshotName {
    /// Where the file lies.
    pub fn path_in(&self, dir: &Path) -> PathBuf {
        dir.join(self.to_string())
    }

    /// Where the file lies while it is being written.
    pub(super) fn unfinished_path_in(&self, dir: &Path) -> PathBuf {
        dir.join(format!("{self}{UNFINISHED_SUFFIX}"))
    }

    /// Reads the name of a file that is still being written.
    pub(super) fn parse_unfinished(text: &str) -> Option<SnapshotName> {
        text.strip_suffix(UNFINISHED_SUFFIX)?.parse().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_round_trip_for_every_width() {
        for number in [0, 7, 4_294_967_296, u64::MAX] {
            let name = SnapshotName {
                region: RegionId(number),
                index: number,
                term: number,
                id: number,
            };
            assert_eq!(name.to_string().parse(), Ok(name));
            assert!(name.to_string().len() <= NAME_BYTES_MAX);
        }
    }

    #[test]
    fn no_other_spelling_and_no_path_is_a_name() {
        let name: SnapshotName = "r1-2-3-4.snap".parse().unwrap();
        assert_eq!(
            (name.region, name.index, name.term, name.id),
            (RegionId(1), 2, 3, 4)
        );
        for text in [
            "",
            "r1-2-3-4",
            "r1-2-3.snap",
            "r1-2-3-4-5.snap",
            "r01-2-3-4.snap",
            "r+1-2-3-4.snap",
            "r1-2-3--4.snap",
            "r1-2-3-18446744073709551616.snap",
            "R1-2-3-4.snap",
            " r1-2-3-4.snap",
            "r1-2-3-4.snap.new",
            "r1-2-3-4.snap\0",
            "../r1-2-3-4.snap",
            "/etc/r1-2-3-4.snap",
            "r../../1-2-3-4.snap",
        ] {
            assert_eq!(text.parse::<SnapshotName>(), Err(NameError), "{text:?}");
        }
    }
}
