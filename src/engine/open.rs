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
use torrens_journal::disk::{Disk, DiskLock, EntryKind, LockError};
use torrens_journal::{Journal, StoreUuid};
use torrens_recovery::{Directories, Recovered, RecoveryError, RecoveryOptions, recover};

use super::background::{self, Background};
use super::core::{Core, Layout, Parts};
use super::report::OpenReport;
use super::{Engine, Handle, OpenError, OpenMode, Options, append, trust, unfinished};
use crate::lifecycle::Event;
use crate::machine::RegisterMachine;
use crate::snapshot;
use crate::store::{DataStore, StoreFactory, StoreOpenMode};

pub(super) fn open(options: Options, dir: &Path) -> Result<(Engine, OpenReport), OpenError> {
    let started = Instant::now();
    options.validate()?;
    let disk = options.open_disk().map_err(io_error("probe the disk for", dir))?;
    let layout = Layout::of(dir.to_owned());
    prepare_directory(&*disk, &options, &layout)?;
    let lock = lock(&*disk, &layout)?;

    let (mut recovered, created) = recover_or_create(&disk, &options, &layout)?;
    if let Some(found) = recovered.machine.register().store()
        && found != options.store
    {
        return Err(OpenError::OtherStore {
            path: layout.root,
            expected: options.store,
            found,
        });
    }
    let (data, data_store_lost) = open_data(&*disk, &*options.data, &layout)?;
    let damaged = trust::judge_data(&mut recovered, &*data, &*disk)?;
    // What a crash left open is ended before anybody looks at the state.
    unfinished::resolve_all(&mut recovered, &*data, &disk, &layout)?;
    if recovered.machine.register().store().is_none() {
        append::append(&mut recovered, &*disk, &Event::Identify { store: options.store })?;
        append::sync(&recovered)?;
    }
    snapshot::remove_unfinished(&*disk, &layout.snapshots)
        .map_err(|source| OpenError::Finish(source.into()))?;

    let Recovered { machine, journal, report: recovery, .. } = recovered;
    let report = OpenReport {
        store: options.store,
        created,
        data_store: data.kind(),
        data_store_lost,
        damaged,
        recovery,
        took: started.elapsed(),
    };
    let core = Arc::new(Core::new(Parts {
        layout,
        disk,
        journal,
        data,
        lock,
        checkpoint: report.recovery.checkpoint.as_ref().map(|used| used.lsn),
        register: machine.into_register(),
    }));
    core.find_rows().map_err(OpenError::Finish)?;
    let worker = match options.background {
        Background::Manual => None,
        Background::Thread => {
            let (core, schedule) = (Arc::clone(&core), options.schedule());
            let thread = std::thread::Builder::new().name("torrens".to_owned());
            let spawned = thread.spawn(move || background::run(&core, schedule));
            Some(spawned.map_err(io_error("start a thread for", dir))?)
        }
    };
    let handle = Handle {
        core: Arc::clone(&core),
        report: report.clone(),
        schedule: options.schedule(),
        worker: Mutex::new(worker),
    };
    Ok((Engine { core, handle: Arc::new(handle) }, report))
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
    let journal = entries.iter().find(|entry| entry.name == "journal");
    if journal.is_none() && options.mode != OpenMode::CreateIfMissing {
        return Err(OpenError::NotFound { path: path.clone() });
    }
    if let Some(entry) = journal.filter(|entry| entry.kind != EntryKind::Directory) {
        return Err(OpenError::NotAStore { path: path.clone(), found: entry.name.clone() });
    }
    for folder in [path, &layout.journal, &layout.checkpoints, &layout.snapshots] {
        disk.create_dir_all(folder).map_err(io_error("create", folder))?;
    }
    disk.sync_dir(path).map_err(io_error("sync", path))
}

fn lock(disk: &dyn Disk, layout: &Layout) -> Result<Box<dyn DiskLock>, OpenError> {
    disk.lock(&layout.lock).map_err(|error| match error {
        LockError::Busy { holder_pid } => {
            OpenError::Busy { path: layout.root.clone(), holder_pid }
        }
        LockError::Io(source) => io_error("lock", &layout.lock)(source),
        error => io_error("lock", &layout.lock)(io::Error::other(error)),
    })
}

/// Recovers the register; where the journal never acknowledged anything, begins a new one.
fn recover_or_create(
    disk: &Arc<dyn Disk>,
    options: &Options,
    layout: &Layout,
) -> Result<(Recovered<RegisterMachine>, bool), OpenError> {
    let directories =
        Directories { journal: layout.journal.clone(), checkpoints: layout.checkpoints.clone() };
    let recover_now = || {
        let recovery = RecoveryOptions::new(options.journal());
        recover(Arc::clone(disk), &directories, RegisterMachine::default(), recovery)
    };
    let recovery_error = |source| {
        let path = layout.root.clone();
        OpenError::Recovery { path, source: Box::new(source) }
    };
    match recover_now() {
        Ok(recovered) => return Ok((recovered, false)),
        // Region data beside no journal means that the journal was lost, not that there never was
        // one: the data store is made only after the first segment.
        Err(RecoveryError::NotAJournal { .. })
            if options.mode == OpenMode::CreateIfMissing && !layout.has_data(&**disk) => {}
        Err(error) => return Err(recovery_error(error)),
    }
    let mut uuid = [0; 16];
    for part in uuid.chunks_exact_mut(8) {
        part.copy_from_slice(&disk.random_u64().to_le_bytes());
    }
    let created =
        Journal::create(Arc::clone(disk), &layout.journal, StoreUuid(uuid), options.journal());
    let created = created.map_err(|source| OpenError::CreateJournal {
        path: layout.journal.clone(),
        source,
    })?;
    // A new journal is opened as every other: through recovery, which says what it found.
    drop(created);
    Ok((recover_now().map_err(recovery_error)?, true))
}

/// Opens the data store; one that cannot be used is set aside, and a new one takes its place.
fn open_data(
    disk: &dyn Disk,
    factory: &dyn StoreFactory,
    layout: &Layout,
) -> Result<(Arc<dyn DataStore>, Option<String>), OpenError> {
    let failed = |source| OpenError::Data { path: layout.root.clone(), source };
    let damage = match factory.open(&layout.data, StoreOpenMode::CreateOrOpen) {
        Ok(data) => return Ok((data, None)),
        Err(error) if error.is_damage() => error,
        Err(error) => return Err(failed(error)),
    };
    let aside = layout.set_aside(disk.random_u64());
    disk.rename(&layout.data, &aside).map_err(io_error("set aside", &layout.data))?;
    disk.sync_dir(&layout.root).map_err(io_error("sync", &layout.root))?;
    let data = factory.open(&layout.data, StoreOpenMode::CreateOrOpen).map_err(failed)?;
    Ok((data, Some(format!("{damage}; it is kept in {}", aside.display()))))
}

pub(super) fn io_error(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> OpenError {
    let path = path.to_owned();
    move |source| OpenError::Io { doing, path, source }
}
