//! `MemoryFactory`: lets the engine open a memory store as it opens one on disk.

use std::io;
use std::path::Path;
use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use torrens_journal::disk::Disk;

use super::MemoryStore;
use crate::store::{DataStore, StoreFactory, StoreOpenError, StoreOpenMode};

/// Opens one [`MemoryStore`], whatever the directory; one holder at a time.
#[derive(Debug)]
pub struct MemoryFactory {
    store: MemoryStore,
    holder: Mutex<Weak<MemoryStore>>,
}

impl MemoryFactory {
    /// A factory of handles on `store`.
    pub fn new(store: MemoryStore) -> Self {
        MemoryFactory {
            store,
            holder: Mutex::new(Weak::new()),
        }
    }
}

impl StoreFactory for MemoryFactory {
    fn open(&self, dir: &Path, mode: StoreOpenMode) -> Result<Arc<dyn DataStore>, StoreOpenError> {
        let mut holder = self.holder.lock();
        if holder.upgrade().is_some() {
            return Err(StoreOpenError::Busy {
                path: dir.to_owned(),
            });
        }
        let mut state = self.store.state.lock();
        match mode {
            StoreOpenMode::CreateOrOpen => state.exists = true,
            StoreOpenMode::ExistingOnly | StoreOpenMode::ReadOnly if !state.exists => {
                return Err(StoreOpenError::Missing {
                    path: dir.to_owned(),
                });
            }
            StoreOpenMode::ExistingOnly | StoreOpenMode::ReadOnly => {}
        }
        drop(state);
        let handle = Arc::new(MemoryStore {
            state: self.store.state.clone(),
            read_only: mode == StoreOpenMode::ReadOnly,
        });
        *holder = Arc::downgrade(&handle);
        Ok(handle)
    }

    fn set_aside(&self, _: &dyn Disk, _: &Path, _: &Path) -> io::Result<()> {
        self.store.empty()
    }
}
