//! A small disk in memory for the tests of this room: live and durable contents and names, and a
//! process that dies at the Nth mutating call.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;
use torrens_journal::disk::{
    Disk, DiskFile, DiskLock, DiskMap, Entry, EntryKind, LockError, OpenMode, SyncMethod, SyncPath,
};

#[derive(Clone, Debug, Default)]
struct Content {
    live: Vec<u8>,
    durable: Vec<u8>,
}

type Contents = Arc<Mutex<Content>>;

#[derive(Debug, Default)]
struct State {
    names: BTreeMap<PathBuf, Contents>,
    durable_names: BTreeMap<PathBuf, Contents>,
    calls: u64,
    dies_at: u64,
}

/// Clones are the same disk.
#[derive(Clone, Debug, Default)]
pub(super) struct TestDisk(Arc<Mutex<State>>);

impl TestDisk {
    /// Mutating calls so far.
    pub(super) fn calls(&self) -> u64 {
        self.0.lock().calls
    }

    /// Lets the `call`th mutating call and everything after it fail.
    pub(super) fn dies_at(&self, call: u64) {
        self.0.lock().dies_at = call;
    }

    /// What is left when the power goes: only what was synced.
    pub(super) fn power_cut(&self) -> TestDisk {
        let state = self.0.lock();
        let names = state.durable_names.iter().map(|(path, content)| {
            let durable = content.lock().durable.clone();
            (
                path.clone(),
                Arc::new(Mutex::new(Content {
                    live: durable.clone(),
                    durable,
                })),
            )
        });
        let names: BTreeMap<_, _> = names.collect();
        let durable_names = names.clone();
        TestDisk(Arc::new(Mutex::new(State {
            names,
            durable_names,
            ..State::default()
        })))
    }

    pub(super) fn put(&self, path: &Path, live: Vec<u8>) {
        let content = Content {
            durable: live.clone(),
            live,
        };
        self.0
            .lock()
            .names
            .insert(path.to_owned(), Arc::new(Mutex::new(content)));
    }

    pub(super) fn read(&self, path: &Path) -> Vec<u8> {
        self.0.lock().names[path].lock().live.clone()
    }

    pub(super) fn names(&self) -> Vec<String> {
        let name = |path: &PathBuf| path.file_name().unwrap().to_str().unwrap().to_owned();
        self.0.lock().names.keys().map(name).collect()
    }

    fn mutate(&self) -> io::Result<()> {
        let mut state = self.0.lock();
        state.calls += 1;
        if state.dies_at != 0 && state.calls >= state.dies_at {
            return Err(io::Error::other("dead"));
        }
        Ok(())
    }
}

impl Disk for TestDisk {
    fn create_dir_all(&self, _: &Path) -> io::Result<()> {
        self.mutate()
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<Entry>> {
        let state = self.0.lock();
        let inside = state
            .names
            .iter()
            .filter(|(path, _)| path.parent() == Some(dir));
        let entry = |(path, content): (&PathBuf, &Contents)| Entry {
            name: path.file_name().unwrap().to_str().unwrap().to_owned(),
            kind: if path.extension() == Some("d".as_ref()) {
                EntryKind::Directory
            } else {
                EntryKind::File
            },
            bytes: content.lock().live.len() as u64,
        };
        Ok(inside.map(entry).collect())
    }

    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn DiskFile>> {
        if mode == OpenMode::CreateNew {
            self.mutate()?;
        }
        let mut state = self.0.lock();
        let content = match (state.names.get(path), mode) {
            (Some(_), OpenMode::CreateNew) => return Err(io::ErrorKind::AlreadyExists.into()),
            (None, OpenMode::Read | OpenMode::Write) => return Err(io::ErrorKind::NotFound.into()),
            (Some(content), OpenMode::Read | OpenMode::Write) => content.clone(),
            (None, OpenMode::CreateNew) => {
                let content = Contents::default();
                state.names.insert(path.to_owned(), content.clone());
                content
            }
        };
        Ok(Arc::new(TestFile {
            disk: self.clone(),
            content,
        }))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.mutate()?;
        let mut state = self.0.lock();
        let content = state.names.remove(from).ok_or(io::ErrorKind::NotFound)?;
        state.names.insert(to.to_owned(), content);
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.mutate()?;
        let removed = self.0.lock().names.remove(path);
        removed
            .map(drop)
            .ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.mutate()?;
        let mut state = self.0.lock();
        assert!(
            state.names.keys().all(|path| path.parent() == Some(dir)),
            "one directory"
        );
        state.durable_names = state.names.clone();
        Ok(())
    }

    fn lock(&self, _: &Path) -> Result<Box<dyn DiskLock>, LockError> {
        Err(LockError::Io(io::ErrorKind::Unsupported.into()))
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
            fallback_reason: None,
        }
    }
}

#[derive(Debug)]
struct TestFile {
    disk: TestDisk,
    content: Contents,
}

impl DiskFile for TestFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.content.lock().live.len() as u64)
    }

    fn read_exact_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        let content = self.content.lock();
        let from = content.live.get(offset as usize..).unwrap_or_default();
        match from.get(..buffer.len()) {
            Some(bytes) => {
                buffer.copy_from_slice(bytes);
                Ok(())
            }
            None => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }

    fn write_all_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.disk.mutate()?;
        let mut content = self.content.lock();
        let (start, end) = (offset as usize, offset as usize + bytes.len());
        if content.live.len() < end {
            content.live.resize(end, 0);
        }
        content.live[start..end].copy_from_slice(bytes);
        Ok(())
    }

    fn write_zeros(&self, _: u64, _: u64) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn set_len(&self, _: u64) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn sync_data(&self) -> io::Result<()> {
        self.disk.mutate()?;
        let mut content = self.content.lock();
        content.durable = content.live.clone();
        Ok(())
    }

    fn drop_cache(&self) -> io::Result<()> {
        Ok(())
    }

    fn map(&self, _: u64) -> io::Result<Box<dyn DiskMap>> {
        Err(io::ErrorKind::Unsupported.into())
    }
}
