//! What lies in the snapshot directory: complete files, unfinished ones, others.
//!
//! Not here: which of them may go (the engine asks the register first).

use std::io;
use std::path::Path;

use torrens_journal::disk::{Disk, EntryKind};

use super::{SnapshotError, SnapshotName};

/// A complete snapshot file: synced, and under its final name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StagedSnapshot {
    /// Its name.
    pub name: SnapshotName,
    /// Checksum of the whole file: two files with the same one hold the same snapshot.
    pub checksum: u32,
    /// Length of the file, in bytes.
    pub bytes: u64,
    /// Rows in it.
    pub rows: u64,
}

/// One entry of the snapshot directory, by name only; nothing was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FoundFile {
    /// Under a final name.
    Complete {
        /// Which snapshot.
        name: SnapshotName,
        /// Length of the file, in bytes.
        bytes: u64,
    },
    /// Still being written, or left by a crash.
    Unfinished {
        /// Which snapshot it was to become.
        name: SnapshotName,
        /// Length of the file, in bytes.
        bytes: u64,
    },
    /// Nothing that this module made.
    Foreign {
        /// Name in the directory.
        entry: String,
    },
}

/// The entries of the snapshot directory, complete files first, each kind in order of name. A
/// missing directory has none.
///
/// # Errors
/// [`SnapshotError::Io`] if it cannot be listed.
pub fn list(disk: &dyn Disk, dir: &Path) -> Result<Vec<FoundFile>, SnapshotError> {
    let entries = match disk.list(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(source) => return Err(io_error("list", dir, source)),
    };
    let (mut complete, mut unfinished, mut foreign) = (Vec::new(), Vec::new(), Vec::new());
    for entry in entries {
        let is_file = entry.kind == EntryKind::File;
        match (
            entry.name.parse(),
            SnapshotName::parse_unfinished(&entry.name),
        ) {
            (Ok(name), _) if is_file => complete.push((name, entry.bytes)),
            (_, Some(name)) if is_file => unfinished.push((name, entry.bytes)),
            _ => foreign.push(entry.name),
        }
    }
    complete.sort_unstable();
    unfinished.sort_unstable();
    foreign.sort_unstable();
    let complete = complete
        .into_iter()
        .map(|(name, bytes)| FoundFile::Complete { name, bytes });
    let unfinished = unfinished
        .into_iter()
        .map(|(name, bytes)| FoundFile::Unfinished { name, bytes });
    let foreign = foreign
        .into_iter()
        .map(|entry| FoundFile::Foreign { entry });
    Ok(complete.chain(unfinished).chain(foreign).collect())
}

/// Removes a complete snapshot file; `false` if there is none.
///
/// # Errors
/// [`SnapshotError::Io`] if it cannot be removed.
///
/// # Durability
/// The removal is durable on return.
pub fn remove(disk: &dyn Disk, dir: &Path, name: SnapshotName) -> Result<bool, SnapshotError> {
    let path = name.path_in(dir);
    match disk.remove(&path) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(source) => return Err(io_error("remove", &path, source)),
    }
    disk.sync_dir(dir)
        .map_err(|source| io_error("sync", dir, source))?;
    Ok(true)
}

/// Removes every unfinished file, for use at open when nobody writes one; returns how many.
///
/// # Errors
/// [`SnapshotError::Io`] if one cannot be removed; others may be gone by then.
pub fn remove_unfinished(disk: &dyn Disk, dir: &Path) -> Result<usize, SnapshotError> {
    let mut removed = 0;
    for found in list(disk, dir)? {
        if let FoundFile::Unfinished { name, .. } = found {
            let path = name.unfinished_path_in(dir);
            disk.remove(&path)
                .map_err(|source| io_error("remove", &path, source))?;
            removed += 1;
        }
    }
    if removed > 0 {
        disk.sync_dir(dir)
            .map_err(|source| io_error("sync", dir, source))?;
    }
    Ok(removed)
}

pub(super) fn io_error(operation: &'static str, path: &Path, source: io::Error) -> SnapshotError {
    SnapshotError::Io {
        operation,
        path: path.to_owned(),
        source,
    }
}
