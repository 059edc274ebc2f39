//! What reached the disk: the kernel's counters of the block device below a directory.
//!
//! They are the whole disk's. On a machine that does nothing else they are exact.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::{major, minor};

/// The block device below a directory.
#[derive(Debug)]
pub(crate) struct Device {
    stat: PathBuf,
    name: String,
}

/// Its counters since the machine started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Write requests finished; Linux counts a flush of the device's cache as one.
    pub(crate) writes: u64,
    /// Sectors of 512 bytes written.
    pub(crate) sectors_written: u64,
    /// Flushes finished; missing before Linux 5.5.
    pub(crate) flushes: Option<u64>,
}

impl Device {
    /// `None` where the file system has no single device below it, or the kernel does not tell.
    pub(crate) fn below(dir: &Path) -> Option<Device> {
        let id = fs::metadata(dir).ok()?.dev();
        let link = format!("/sys/dev/block/{}:{}", major(id), minor(id));
        let mut device = fs::canonicalize(link).ok()?;
        // Flushes are counted for whole disks only.
        if device.join("partition").exists() {
            device.pop();
        }
        let device = Device {
            stat: device.join("stat"),
            name: device.file_name()?.to_string_lossy().into_owned(),
        };
        device.read().map(|_| device)
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// A line of the kernel's about the device's queue, for example `queue/write_cache`.
    pub(crate) fn about(&self, file: &str) -> Option<String> {
        let text = fs::read_to_string(self.stat.with_file_name(file)).ok()?;
        Some(text.trim().to_owned())
    }

    pub(crate) fn read(&self) -> Option<Counts> {
        parse(&fs::read_to_string(&self.stat).ok()?)
    }
}

/// Reads a `stat` line as documented in the kernel's `Documentation/block/stat.rst`.
fn parse(line: &str) -> Option<Counts> {
    let fields: Vec<u64> = line
        .split_whitespace()
        .map(|field| field.parse().ok())
        .collect::<Option<_>>()?;
    Some(Counts {
        writes: *fields.get(4)?,
        sectors_written: *fields.get(6)?,
        flushes: fields.get(15).copied(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stat_line_is_read_by_position() {
        let line = "  10 0 80 3  20 5 160 9 0 12 12 0 0 0 0 7 1\n";
        let counts = Counts {
            writes: 20,
            sectors_written: 160,
            flushes: Some(7),
        };
        assert_eq!(parse(line), Some(counts));
        let old = "10 0 80 3 20 5 160 9 0 12 12";
        assert_eq!(parse(old).unwrap().flushes, None);
        assert_eq!(parse("10 0 80 x 20 5 160"), None);
        assert_eq!(parse(""), None);
    }
}
