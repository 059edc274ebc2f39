//! `PackedDisk`: a disk whose journals may be packed by zstd, file by file. `NAME.zst` is `NAME` then, for
//! segments, marks and checkpoints; nothing is written but nameless files in the system's directory for such.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;
use torrens_journal::SegmentId;
use torrens_journal::disk::{Disk, DiskFile, Entry, EntryKind, OpenMode, RealDisk};
use torrens_journal::format::{MARK_FILE_NAME, MARK_PAGES, PAGE_BYTES, SEGMENT_BYTES_MAX};
use torrens_recovery::checkpoint;

use super::read_only::Readable;
use super::slice::Slice;
use super::unpack::spool;

/// What is added to the name of a packed file.
const SUFFIX: &str = ".zst";
/// Bytes of a checkpoint; no store has so many regions.
const CHECKPOINT_BYTES_MAX: u64 = 64 * 1024 * 1024 * 1024;

/// The operating system's files, or what was packed of them.
#[derive(Debug)]
pub(super) struct PackedDisk {
    disk: RealDisk,
    /// What was unpacked, of which file in which state.
    unpacked: Mutex<HashMap<PathBuf, (State, Slice)>>,
}

/// A packed file's state, so that a newer one is unpacked again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct State {
    inode: u64,
    bytes: u64,
    changed: (i64, i64),
}

impl PackedDisk {
    pub(super) fn new(disk: RealDisk) -> PackedDisk {
        PackedDisk {
            disk,
            unpacked: Mutex::default(),
        }
    }

    /// The unpacked form of `path`, where only a packed one is.
    fn unpack(&self, path: &Path) -> io::Result<Slice> {
        let mut name = path.as_os_str().to_owned();
        name.push(SUFFIX);
        let packed = PathBuf::from(name);
        // Links are refused here as everywhere.
        let found = packed.symlink_metadata()?;
        if !found.is_file() {
            return Err(io::ErrorKind::NotFound.into());
        }
        let state = State {
            inode: found.ino(),
            bytes: found.len(),
            changed: (found.mtime(), found.mtime_nsec()),
        };
        let mut unpacked = self.unpacked.lock();
        if let Some((_, slice)) = unpacked.get(path).filter(|(then, _)| *then == state) {
            return Ok(slice.clone());
        }
        let bytes_max = bytes_max(path);
        let slice = spool(&mut File::open(&packed)?, bytes_max)?;
        unpacked.insert(path.to_owned(), (state, slice.clone()));
        Ok(slice)
    }
}

/// What a file of that name unpacks to at most, whatever was packed in it.
fn bytes_max(path: &Path) -> u64 {
    match path.file_name().and_then(|name| name.to_str()) {
        Some(MARK_FILE_NAME) => MARK_PAGES * PAGE_BYTES,
        Some(name) if SegmentId::from_file_name(name).is_some() => SEGMENT_BYTES_MAX,
        _ => CHECKPOINT_BYTES_MAX,
    }
}

/// Whether a file of that name is looked for in a packed form.
fn may_be_packed(name: &str) -> bool {
    SegmentId::from_file_name(name).is_some()
        || name == MARK_FILE_NAME
        || checkpoint::lsn_of_name(name).is_some()
}

impl Readable for PackedDisk {
    fn real(&self) -> &RealDisk {
        &self.disk
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<Entry>> {
        let mut entries = self.disk.list(dir)?;
        let packed: Vec<String> = entries
            .iter()
            .filter(|entry| entry.kind == EntryKind::File)
            .filter_map(|entry| entry.name.strip_suffix(SUFFIX))
            .filter(|name| may_be_packed(name))
            .filter(|name| entries.iter().all(|entry| entry.name != **name))
            .map(str::to_owned)
            .collect();
        for name in packed {
            // One that cannot be unpacked is there all the same: whoever opens it is told why.
            let bytes = self
                .unpack(&dir.join(&name))
                .map_or(0, |slice| slice.bytes());
            if let Some(entry) = entries
                .iter_mut()
                .find(|entry| entry.name.strip_suffix(SUFFIX) == Some(name.as_str()))
            {
                *entry = Entry {
                    name,
                    kind: EntryKind::File,
                    bytes,
                };
            }
        }
        Ok(entries)
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        match self.disk.open(path, OpenMode::Read) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let name = path.file_name().and_then(|name| name.to_str());
                match name.is_some_and(may_be_packed) {
                    true => Ok(Arc::new(self.unpack(path)?)),
                    false => Err(error),
                }
            }
            other => other,
        }
    }

    fn lock_holder(&self, path: &Path) -> io::Result<Option<u32>> {
        self.disk.lock_holder(path)
    }
}
