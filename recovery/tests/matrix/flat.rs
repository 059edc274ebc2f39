//! A disk that only reads: files in memory with a few changes laid over them, so that a million
//! damaged directories cost no million copies.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use torrens_journal::disk::{
    Disk, DiskFile, DiskLock, DiskMap, Entry, EntryKind, LockError, OpenMode, SyncMethod, SyncPath,
};

pub(crate) type Files = BTreeMap<PathBuf, Arc<Vec<u8>>>;

/// What is different from the undamaged files.
#[derive(Clone, Debug, Default)]
pub(crate) struct Changes {
    /// Whole files; `None` removes.
    pub(crate) files: Vec<(PathBuf, Option<Arc<Vec<u8>>>)>,
    /// Bytes, by path and offset.
    pub(crate) bytes: Vec<(PathBuf, usize, Vec<u8>)>,
}

#[derive(Clone, Debug)]
pub(crate) struct FlatDisk {
    files: Arc<Files>,
    changes: Arc<Changes>,
}

#[derive(Debug)]
struct FlatFile {
    bytes: Arc<Vec<u8>>,
    path: PathBuf,
    changes: Arc<Changes>,
}

impl FlatDisk {
    pub(crate) fn new(files: &Arc<Files>, changes: Changes) -> Self {
        FlatDisk {
            files: Arc::clone(files),
            changes: Arc::new(changes),
        }
    }

    /// The file as it is now, before bytes are laid over it.
    fn file(&self, path: &Path) -> Option<&Arc<Vec<u8>>> {
        let changed = self.changes.files.iter().rfind(|(name, _)| name == path);
        match changed {
            Some((_, file)) => file.as_ref(),
            None => self.files.get(path),
        }
    }

    /// All files with their contents, for a disk that can be written.
    pub(crate) fn contents(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let added = self.changes.files.iter().map(|(path, _)| path);
        let names: std::collections::BTreeSet<&PathBuf> = self.files.keys().chain(added).collect();
        let mut contents = BTreeMap::new();
        for path in names {
            if let Some(bytes) = self.file(path) {
                let mut bytes = bytes.to_vec();
                for (name, at, patch) in &self.changes.bytes {
                    if name == path {
                        bytes[*at..*at + patch.len()].copy_from_slice(patch);
                    }
                }
                contents.insert(path.clone(), bytes);
            }
        }
        contents
    }
}

fn read_only() -> io::Error {
    io::ErrorKind::ReadOnlyFilesystem.into()
}

impl Disk for FlatDisk {
    fn create_dir_all(&self, _: &Path) -> io::Result<()> {
        Err(read_only())
    }
    fn list(&self, dir: &Path) -> io::Result<Vec<Entry>> {
        let added = self.changes.files.iter().map(|(path, _)| path);
        let mut entries = BTreeMap::new();
        for path in self.files.keys().chain(added) {
            if path.parent() == Some(dir)
                && let Some(file) = self.file(path)
            {
                let name = path.file_name().expect("a file").to_string_lossy();
                let bytes = file.len() as u64;
                let kind = EntryKind::File;
                let name = name.into_owned();
                entries.insert(name.clone(), Entry { name, kind, bytes });
            }
        }
        if entries.is_empty() {
            return Err(io::ErrorKind::NotFound.into());
        }
        Ok(entries.into_values().collect())
    }
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn DiskFile>> {
        if mode != OpenMode::Read {
            return Err(read_only());
        }
        let bytes = self.file(path).ok_or(io::ErrorKind::NotFound)?;
        Ok(Arc::new(FlatFile {
            bytes: Arc::clone(bytes),
            path: path.to_owned(),
            changes: Arc::clone(&self.changes),
        }))
    }
    fn rename(&self, _: &Path, _: &Path) -> io::Result<()> {
        Err(read_only())
    }
    fn remove(&self, _: &Path) -> io::Result<()> {
        Err(read_only())
    }
    fn sync_dir(&self, _: &Path) -> io::Result<()> {
        Err(read_only())
    }
    fn lock(&self, _: &Path) -> Result<Box<dyn DiskLock>, LockError> {
        Err(LockError::Io(read_only()))
    }
    fn lock_holder(&self, _: &Path) -> io::Result<Option<u32>> {
        Ok(None)
    }
    fn random_u64(&self) -> u64 {
        4
    }
    fn wall_clock_micros(&self) -> u64 {
        0
    }
    fn sync_path(&self) -> SyncPath {
        SyncPath {
            method: SyncMethod::Simulated,
            zeros_by_io_uring: false,
            fallback_reason: None,
        }
    }
}

impl DiskFile for FlatFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.bytes.len() as u64)
    }
    fn read_exact_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        let from = offset as usize;
        let end = from
            .checked_add(buffer.len())
            .ok_or(io::ErrorKind::UnexpectedEof)?;
        let there = self
            .bytes
            .get(from..end)
            .ok_or(io::ErrorKind::UnexpectedEof)?;
        buffer.copy_from_slice(there);
        for (path, at, patch) in &self.changes.bytes {
            if *path == self.path {
                let (begin, stop) = ((*at).max(from), (at + patch.len()).min(end));
                if begin < stop {
                    buffer[begin - from..stop - from]
                        .copy_from_slice(&patch[begin - at..stop - at]);
                }
            }
        }
        Ok(())
    }
    fn write_all_at(&self, _: u64, _: &[u8]) -> io::Result<()> {
        Err(read_only())
    }
    fn write_zeros(&self, _: u64, _: u64) -> io::Result<()> {
        Err(read_only())
    }
    fn set_len(&self, _: u64) -> io::Result<()> {
        Err(read_only())
    }
    fn sync_data(&self) -> io::Result<()> {
        Err(read_only())
    }
    fn drop_cache(&self) -> io::Result<()> {
        Ok(())
    }
    fn map(&self, _: u64) -> io::Result<Box<dyn DiskMap>> {
        Err(read_only())
    }
}
