//! Opening: a directory becomes an engine.
//!
//! lock → recover the register → open the data store → find what cannot be trusted → resolve what a
//! crash left open → start. The register outlives the data: whatever the data store has become, the
//! engine opens with epochs, tombstones and incarnations exactly as they were, and regions whose
//! data cannot be trusted are damaged.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use parking_lot::Mutex;
use torrens_journal::disk::{Disk, EntryKind, LockError};
use torrens_journal::StoreUuid;
use torrens_recovery::{Directories, Recovered, RecoveryOptions, recover};

use super::background::{self, Background};
use super::core::{Core, Layout, Parts};
use super::report::{OpenReport, Resolved};
use super::{Engine, EngineError, Handle, OpenError, OpenMode, Options};
use crate::machine::RegisterMachine;

pub(super) fn open(options: Options, dir: &Path) -> Result<(Engine, OpenReport), OpenError> {
    let started = Instant::now();
    options.validate()?;
    let disk = options.open_disk().map_err(io_error("probe the disk for", dir))?;
    let layout = Layout::of(dir.to_owned());
    prepare_directory(&*disk, &options, &layout)?;
    let lock = disk.lock(&layout.lock).map_err(|error| match error {
        LockError::Busy { holder_pid } => OpenError::Busy { path: dir.to_owned(), holder_pid },
        LockError::Io(source) => io_error("lock", &layout.lock)(source),
        error => io_error("lock", &layout.lock)(io::Error::other(error)),
    })?;
    let (mut recovered, created) = recover_or_create(&disk, &options, &layout)?;
    todo!()
}

/// Refuses what is not a store's directory, and makes the folders of one that is new.
fn prepare_directory(
    disk: &dyn Disk,
    options: &Options,
    layout: &Layout,
) -> Result<(), OpenError> {
    let path = &layout.root;
    let entries = match disk.list(path) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        Err(error) => return Err(io_error("list", path)(error)),
    };
    let foreign = entries.iter().find(|entry| !Layout::is_ours(&entry.name));
    if let Some(entry) = foreign {
        return Err(OpenError::NotAStore { path: path.clone(), found: entry.name.clone() });
    }
    let exists = entries.iter().any(|entry| entry.name == "journal" && entry.kind == EntryKind::Directory);
    if !exists && options.mode != OpenMode::CreateIfMissing {
        return Err(OpenError::NotFound { path: path.clone() });
    }
    for folder in [path, &layout.journal, &layout.checkpoints, &layout.snapshots] {
        disk.create_dir_all(folder).map_err(io_error("create", folder))?;
    }
    disk.sync_dir(path).map_err(io_error("sync", path))
}

fn io_error(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> OpenError {
    let path = path.to_owned();
    move |source| OpenError::Io { doing, path, source }
}
