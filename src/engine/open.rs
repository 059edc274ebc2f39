//! Opening: a directory becomes an engine.
//!
//! lock → recover the register → open the data store → find what cannot be trusted → resolve what a
//! crash left open → start. The register outlives the data: whatever the data store has become, the
//! engine opens with epochs, tombstones and incarnations exactly as they were, and regions whose
//! data cannot be trusted are damaged.

use std::cell::Cell;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use torrens_journal::disk::{Disk, DiskLock, EntryKind, LockError};
use torrens_journal::{Journal, Lsn, StoreUuid, planted};
use torrens_recovery::{
    InspectOptions, Recovered, RecoveryError, RecoveryOptions, inspect, recover_if,
};

use super::background::{self, Background};
use super::core::{Core, Parts};
use super::layout::Layout;
use super::log::Log;
use super::report::OpenReport;
use super::submit::parking;
use super::trust::StoreFacts;
use super::{
    Engine, EngineError, Handle, OpenError, OpenMode, Options, append, set_aside, trust, unfinished,
};
use crate::crash_points::{CrashPoint, reach};
use crate::lifecycle::{CacheEntry, Event, ObserverEvent, Register};
use crate::machine::RegisterMachine;
use crate::observe::history::{self as observe_history, History, OpenedHistory, Place};
use crate::snapshot;
use crate::store::{
    DataStore, NoStore, RolledBack, StoreBatch, StoreError, StoreOpenMode, VersionedStore,
    holds_data, read_covered, roll_back,
};
use crate::{Incarnation, RegionId, trace};

pub(super) fn open(options: Options, dir: &Path) -> Result<(Engine, OpenReport), OpenError> {
    let started = Instant::now();
    options.validate()?;
    let _span = trace::open(options.store);
    let disk = options
        .open_disk()
        .map_err(io_error("probe the disk for", dir))?;
    let layout = Layout::of(dir.to_owned());
    prepare_directory(&*disk, &options, &layout)?;
    let (parts, mut report) = match options.mode {
        OpenMode::ReadOnly => look(&disk, &options, layout)?,
        OpenMode::CreateIfMissing | OpenMode::ExistingOnly => bring_up(&disk, &options, layout)?,
    };
    report.took = started.elapsed();
    let core = Arc::new(Core::new(parts));
    core.attend_syncs();
    if let Ok(settings) = options.cache.clone().validated() {
        core.caches.put_settings(settings);
    }
    match core.find_rows() {
        // Nothing to read from is the one thing that a look at the metadata can do without.
        Err(_) if options.mode == OpenMode::ReadOnly => {}
        found => found.map_err(OpenError::Finish)?,
    }
    if options.mode != OpenMode::ReadOnly {
        core.open_history().map_err(OpenError::Finish)?;
        core.find_carried().map_err(OpenError::Finish)?;
    }
    let needs_worker = options.mode != OpenMode::ReadOnly;
    if needs_worker {
        core.queue_open_work();
    }
    let workers = match options.background {
        Background::Thread if needs_worker => {
            let (keeping, caching) = (Arc::clone(&core), Arc::clone(&core));
            let schedule = options.schedule();
            let thread = |name: &str| std::thread::Builder::new().name(name.to_owned());
            let caching = thread("torrens-cache").spawn(move || background::run_caching(&caching));
            let caching = caching.map_err(io_error("start a thread for", dir))?;
            let keeping = thread("torrens").spawn(move || background::run(&keeping, schedule));
            let keeping = keeping.map_err(|error| {
                core.queue.stop();
                io_error("start a thread for", dir)(error)
            })?;
            let parking = Arc::clone(&core);
            core.parking.serve();
            let parking = thread("torrens-park").spawn(move || parking::run(&parking));
            let parking = parking.map_err(|error| {
                core.queue.stop();
                core.parking.stop();
                io_error("start a thread for", dir)(error)
            })?;
            vec![keeping, caching, parking]
        }
        Background::Thread | Background::Manual => Vec::new(),
    };
    let handle = Handle {
        core: Arc::clone(&core),
        report: report.clone(),
        schedule: options.schedule(),
        workers: Mutex::new(workers),
    };
    trace::opened(&report);
    Ok((
        Engine {
            core,
            handle: Arc::new(handle),
        },
        report,
    ))
}

/// Everything that opening for writing does: lock, recover, judge the data, end what is open.
fn bring_up(
    disk: &Arc<dyn Disk>,
    options: &Options,
    layout: Layout,
) -> Result<(Parts, OpenReport), OpenError> {
    let lock = lock(&**disk, &layout)?;
    let (mut recovered, created) = recover_or_create(disk, options, &layout)?;
    reach(CrashPoint::OpenRecovered);
    let OpenedData {
        data,
        facts,
        rolled_back,
        lost,
    } = open_data(&**disk, options, &layout, &recovered)?;
    adopt_families(&*data, &facts, options, &layout)?;
    let damaged = trust::judge_data(&mut recovered, &*data, &facts, &**disk)?;
    reach(CrashPoint::OpenJudged);
    let warm = cached(recovered.machine.register());
    // What a crash left open is ended before anybody looks at the state.
    unfinished::resolve_all(&mut recovered, &*data, disk, &layout)?;
    reach(CrashPoint::OpenResolved);
    if recovered.machine.register().store().is_none() {
        append::append(
            &mut recovered,
            &**disk,
            &Event::Identify {
                store: options.store,
            },
        )?;
        append::sync(&recovered)?;
    }
    // What the process before had attached, nobody delivers any more.
    let before = recovered.machine.register().last_lsn();
    let restart = Event::Observer(ObserverEvent::Restart);
    if !planted!("attached-across-a-restart") {
        append::append(&mut recovered, &**disk, &restart)?;
    }
    if recovered.machine.register().last_lsn() > before {
        append::sync(&recovered)?;
    }
    snapshot::remove_unfinished(&**disk, &layout.snapshots)
        .map_err(|source| OpenError::Finish(source.into()))?;

    let last = recovered.machine.register().last_lsn();
    let opened = open_history(disk, options, &layout, (recovered.journal.store(), last))?;
    let set_aside = set_aside::prune(&**disk, &layout.root, options.set_aside_max)
        .map_err(io_error("list", &layout.root))?;
    let versioned = VersionedStore::open(Arc::clone(&data))
        .map_err(|source| OpenError::Finish(source.into()))?;
    let Recovered {
        machine,
        journal,
        report: recovery,
        ..
    } = recovered;
    let report = OpenReport {
        store: options.store,
        created,
        data_store: data.kind(),
        data_store_lost: lost,
        set_aside,
        rolled_back,
        history_lost: opened.lost,
        damaged,
        recovery,
        took: Duration::ZERO,
    };
    let parts = Parts {
        layout,
        disk: Arc::clone(disk),
        journal: Log::Writable(Box::new(journal)),
        data: Arc::new(versioned),
        history: Arc::new(opened.history),
        families: options.families.clone(),
        lock: Some(lock),
        checkpoint: report.recovery.checkpoint.as_ref().map(|used| used.lsn),
        register: machine.into_register(),
        warm,
        slow_transition_threshold: options.slow_transition_threshold,
    };
    Ok((parts, report))
}

/// The regions that were in memory, or on their way, when the process before ended.
fn cached(register: &Register) -> Vec<(RegionId, Incarnation)> {
    let cached = register
        .slots()
        .filter_map(|(region, slot)| match *slot.cache {
            CacheEntry::Active { incarnation, .. } | CacheEntry::Loading { incarnation } => {
                Some((region, incarnation))
            }
            CacheEntry::Absent
            | CacheEntry::LoadRequested { .. }
            | CacheEntry::LoadQueued { .. }
            | CacheEntry::Cancelled { .. }
            | CacheEntry::EvictPending { .. }
            | CacheEntry::Evicting { .. } => None,
        });
    cached.collect()
}

/// Opening for reading only: takes no lock, changes nothing, sees what is durable.
fn look(
    disk: &Arc<dyn Disk>,
    options: &Options,
    layout: Layout,
) -> Result<(Parts, OpenReport), OpenError> {
    let refused = |source| {
        let path = layout.root.clone();
        OpenError::Recovery {
            path,
            source: Box::new(source),
        }
    };
    let live = disk
        .lock_holder(&layout.lock)
        .is_ok_and(|holder| holder.is_some());
    let inspection = inspect(
        &**disk,
        &layout.directories(),
        RegisterMachine::default(),
        InspectOptions::new(live),
    )
    .map_err(refused)?;
    let recovery = inspection.report;
    if !recovery.verdict.can_open() {
        return Err(refused(RecoveryError::Refused {
            report: Box::new(recovery),
        }));
    }
    check_store(inspection.machine.register(), options, &layout)?;
    let opened = options.data.open(&layout.data, StoreOpenMode::ReadOnly);
    let is_whole =
        |data: &Arc<dyn DataStore>| trust::is_whole(inspection.machine.register(), &**data);
    let whole = opened.ok().filter(is_whole);
    // Not every store can be read without writing to it; and what lacks data must not be served,
    // though nothing can be journaled as damaged. Then only metadata is there to see.
    let data = whole
        .and_then(|data| VersionedStore::open(data).ok())
        .unwrap_or_else(|| VersionedStore::unread(Arc::new(NoStore)));
    let report = OpenReport {
        store: inspection
            .machine
            .register()
            .store()
            .unwrap_or(options.store),
        created: false,
        data_store: data.kind(),
        data_store_lost: None,
        set_aside: Vec::new(),
        rolled_back: RolledBack::default(),
        history_lost: None,
        damaged: Vec::new(),
        recovery,
        took: Duration::ZERO,
    };
    let parts = Parts {
        layout,
        disk: Arc::clone(disk),
        journal: Log::ReadOnly(inspection.position),
        data: Arc::new(data),
        history: Arc::new(History::none(options.history.clone())),
        families: options.families.clone(),
        lock: None,
        checkpoint: None,
        register: inspection.machine.into_register(),
        warm: Vec::new(),
        slow_transition_threshold: options.slow_transition_threshold,
    };
    Ok((parts, report))
}

/// Opens the history of observed regions; one that cannot be used is set aside.
fn open_history(
    disk: &Arc<dyn Disk>,
    options: &Options,
    layout: &Layout,
    (journal, last): (StoreUuid, Lsn),
) -> Result<OpenedHistory, OpenError> {
    let place = Place {
        dir: layout.history.clone(),
        disk: Arc::clone(disk),
        store: history_uuid(journal),
        options: options.journal(),
    };
    let aside = layout.aside(set_aside::Kind::History, last, disk.random_u64());
    observe_history::open(place, options.history.clone(), &aside).map_err(|source| {
        let path = layout.root.clone();
        OpenError::History { path, source }
    })
}

/// The history's journal has an identity of its own, which follows from that of the store's: files of
/// one never pass for files of the other, and those of another store's history for neither.
fn history_uuid(StoreUuid(journal): StoreUuid) -> StoreUuid {
    StoreUuid(journal.map(|byte| byte ^ 0x5a))
}

/// Refuses column families that lack one of the store's, and lets the store know new ones.
fn adopt_families(
    data: &dyn DataStore,
    facts: &StoreFacts,
    options: &Options,
    layout: &Layout,
) -> Result<(), OpenError> {
    let given = &options.families;
    if let Some(before) = facts.families() {
        given
            .extends(before)
            .map_err(|source| OpenError::Families {
                path: layout.root.clone(),
                source,
            })?;
        if before == given {
            return Ok(());
        }
    }
    // Durable with the first barrier, which comes before any data of a new family is relied on.
    let mut batch = StoreBatch::new();
    batch.put_families(given);
    data.apply(&batch)
        .map_err(|source| OpenError::Finish(source.into()))
}

/// Refuses another store's directory.
fn check_store(register: &Register, options: &Options, layout: &Layout) -> Result<(), OpenError> {
    match register.store() {
        Some(found) if found != options.store => {
            let (path, expected) = (layout.root.clone(), options.store);
            Err(OpenError::OtherStore {
                path,
                expected,
                found,
            })
        }
        Some(_) | None => Ok(()),
    }
}

/// Refuses what is not a store's directory, and makes the folders of one that is new.
fn prepare_directory(disk: &dyn Disk, options: &Options, layout: &Layout) -> Result<(), OpenError> {
    let path = &layout.root;
    let entries = match disk.list(path) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        Err(error) => return Err(io_error("list", path)(error)),
    };
    let foreign = entries.iter().find(|entry| !Layout::is_ours(&entry.name));
    if let Some(entry) = foreign {
        return Err(OpenError::NotAStore {
            path: path.clone(),
            found: entry.name.clone(),
        });
    }
    let journal = entries.iter().find(|entry| entry.name == "journal");
    if journal.is_none() && options.mode != OpenMode::CreateIfMissing {
        return Err(OpenError::NotFound { path: path.clone() });
    }
    if let Some(entry) = journal.filter(|entry| entry.kind != EntryKind::Directory) {
        return Err(OpenError::NotAStore {
            path: path.clone(),
            found: entry.name.clone(),
        });
    }
    if options.mode == OpenMode::ReadOnly {
        return Ok(());
    }
    for folder in [
        path,
        &layout.journal,
        &layout.checkpoints,
        &layout.snapshots,
    ] {
        disk.create_dir_all(folder)
            .map_err(io_error("create", folder))?;
    }
    disk.sync_dir(path).map_err(io_error("sync", path))
}

fn lock(disk: &dyn Disk, layout: &Layout) -> Result<Box<dyn DiskLock>, OpenError> {
    disk.lock(&layout.lock).map_err(|error| match error {
        LockError::Busy { holder_pid } => OpenError::Busy {
            path: layout.root.clone(),
            holder_pid,
        },
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
    let directories = layout.directories();
    // Another store's directory is refused before anything in it is repaired or written.
    let refusal = Cell::new(None);
    let recover_now = || {
        let mut recovery = RecoveryOptions::new(options.journal());
        if let Some(told) = options.on_recovery.clone() {
            recovery = recovery.with_progress(Box::new(move |progress| told(progress)));
        }
        let accepts = |machine: &RegisterMachine| {
            let refused = check_store(machine.register(), options, layout).err();
            let accepts = refused.is_none();
            refusal.set(refused);
            accepts
        };
        recover_if(
            Arc::clone(disk),
            &directories,
            RegisterMachine::default(),
            recovery,
            accepts,
        )
    };
    let recovery_error = |source| {
        if let Some(refused) = refusal.take() {
            return refused;
        }
        let path = layout.root.clone();
        OpenError::Recovery {
            path,
            source: Box::new(source),
        }
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
    let created = Journal::create(
        Arc::clone(disk),
        &layout.journal,
        StoreUuid(uuid),
        options.journal(),
    );
    let created = created.map_err(|source| OpenError::CreateJournal {
        path: layout.journal.clone(),
        source,
    })?;
    // A new journal is opened as every other: through recovery, which says what it found.
    drop(created);
    Ok((recover_now().map_err(recovery_error)?, true))
}

/// An opened data store.
struct OpenedData {
    data: Arc<dyn DataStore>,
    facts: StoreFacts,
    /// What was taken away because no barrier covered it.
    rolled_back: RolledBack,
    /// Why the one that was there before could not be used, if it could not.
    lost: Option<String>,
}

/// Opens the data store; one that cannot be used is set aside, and a new one takes its place.
fn open_data(
    disk: &dyn Disk,
    options: &Options,
    layout: &Layout,
    recovered: &Recovered<RegisterMachine>,
) -> Result<OpenedData, OpenError> {
    let failed = |source| OpenError::Data {
        path: layout.root.clone(),
        source,
    };
    let (register, boot) = (recovered.machine.register(), recovered.journal.boot());
    let known = register.barrier();
    let open = || options.data.open(&layout.data, StoreOpenMode::CreateOrOpen);
    let facts_of = |data: &dyn DataStore| {
        let facts = StoreFacts::read(data, known)?;
        let is_ours = facts.generation() == register.generation();
        // A journal that lost records, and was repaired, may end in the same boot.
        let is_known = facts.newest_record() <= register.last_lsn();
        let was_closed = facts.closed_in() == Some(u64::from(boot.get()).saturating_sub(1));
        if is_ours && was_closed && is_known {
            return Ok((facts, RolledBack::default()));
        }
        // Whoever put it there may want it back; one without data is what an opening left that had not
        // come to its end.
        if !is_ours && !planted!("another-stores-data-wiped") && holds_data(data)? {
            return Err(StoreError::Exchanged);
        }
        // A crash leaves one barrier that the journal does not know, at most.
        let barrier = read_covered(data, u64::MAX)?.barrier;
        let is_ahead = barrier > known.saturating_add(1) && facts.covered().barrier == 0;
        if is_ours && is_ahead && holds_data(data)? {
            return Err(StoreError::Ahead { barrier, known });
        }
        let is_new = facts.generation().is_none();
        if let Some(reason) = data.doubt().filter(|_| !is_new) {
            return Err(StoreError::Doubtful { reason });
        }
        // Also finds what cannot be read: rows that are there say nothing about the pages beside them,
        // and a store may open after a power cut and find only later that it cannot read itself.
        let rolled_back = match planted!("unclean-end-trusted") {
            true => RolledBack::default(),
            false => roll_back(data, is_ours.then_some(known))?,
        };
        Ok::<_, StoreError>((StoreFacts::read(data, known)?, rolled_back))
    };
    let damage = match open() {
        Ok(data) => match facts_of(&*data) {
            Ok((facts, rolled_back)) => {
                return Ok(OpenedData {
                    data,
                    facts,
                    rolled_back,
                    lost: None,
                });
            }
            Err(error) if error.is_damage() => error.to_string(),
            // The operating system refusing to read is no reason to give the data up.
            Err(error) => return Err(OpenError::Finish(EngineError::Data(error))),
        },
        Err(error) if error.is_damage() => error.to_string(),
        Err(error) => return Err(failed(error)),
    };
    let aside = layout.aside(
        set_aside::Kind::Data,
        register.last_lsn(),
        disk.random_u64(),
    );
    let kept = options.data.set_aside(disk, &layout.data, &aside);
    kept.map_err(io_error("set aside", &layout.data))?;
    disk.sync_dir(&layout.root)
        .map_err(io_error("sync", &layout.root))?;
    let data = open().map_err(failed)?;
    let lost = Some(format!("{damage}; it is kept in {}", aside.display()));
    Ok(OpenedData {
        data,
        facts: StoreFacts::default(),
        rolled_back: RolledBack::default(),
        lost,
    })
}

pub(super) fn io_error(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> OpenError {
    let path = path.to_owned();
    move |source| OpenError::Io {
        doing,
        path,
        source,
    }
}
