//! Backups of a running store, and stores made of them under another id.
//!
//! A backup is one moment: the register at an LSN, as a checkpoint, and for each region that holds
//! data a snapshot file of what the region held then. The moment is taken under the published picture,
//! which no transition can pass meanwhile, so no row is there that assumes a later record, and none is
//! missing that an earlier one stands on. Rows are then copied at pinned sequences while transitions
//! and writes go on; only what takes keys away (a snapshot's ingest, the clearing of a destroyed
//! range) waits for the end. The manifest comes last: a folder without one is no backup.
//!
//! A store that is made of a backup has another store id, another journal identity and, in every
//! region, another epoch: nothing that was addressed to the old one passes for it, and the old one may
//! live on. What the host's Raft keeps is the host's to bring back.
//!
//! Not here: the bytes of checkpoints (`torrens-recovery`) and of snapshot files (`snapshot`).

use std::path::{Path, PathBuf};
use std::sync::Arc;

use torrens_journal::disk::Disk;
use torrens_journal::{Boot, Journal, Lsn, StoreUuid, planted};
use torrens_recovery::checkpoint;

use super::backup_manifest::{FileEntry, Manifest, ManifestFault};
use super::collect::ReadPin;
use super::core::Core;
use super::layout::Layout;
use super::{EngineError, Options};
use crate::lifecycle::{
    INITIAL_POSITION, Normal, PeerStage, Refusal, Register, RegisterHead, RegisterItem,
};
use crate::machine::RegisterMachine;
use crate::snapshot::{
    SnapshotError, SnapshotMeta, SnapshotReader, SnapshotWriter, StagedSnapshot,
};
use crate::store::{
    Covered, Direction, Floored, RegionRow, StoreBatch, StoreError, StoreOpenError, StoreOpenMode,
    scan_at,
};
use crate::{Incarnation, RaftPosition, Region, RegionId, Sequence, StoreId};

const DATA: &str = "data";
const CHECKPOINT: &str = "checkpoint";
/// Bytes of raw rows per batch of a restore.
const BATCH_BYTES: usize = 1024 * 1024;

/// What was backed up or restored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct BackupReport {
    /// The store that the backup is of.
    pub store: StoreId,
    /// Every record up to it is part of the backup, and none after it.
    pub lsn: Lsn,
    /// Regions with data in it.
    pub regions: u64,
    /// Their rows.
    pub rows: u64,
    /// Bytes of the files with the rows.
    pub bytes: u64,
}

/// Why there is no backup, or no store made of one.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BackupError {
    /// There is something at the target already; nothing was changed.
    #[error("{} exists and is not empty", path.display())]
    NotEmpty {
        /// The target.
        path: PathBuf,
    },
    /// The manifest is missing or not what was written: the folder is no backup.
    #[error("{} is no complete backup", path.display())]
    Manifest {
        /// The backup.
        path: PathBuf,
        /// What is wrong.
        #[source]
        source: ManifestFault,
    },
    /// A file is not the one that the manifest names, or not of the region as the register has it.
    #[error("the file of {region} in the backup is not the one that was written")]
    FileMismatch {
        /// Whose data it is.
        region: RegionId,
    },
    /// The new store's id is one that the backup cannot be restored under.
    #[error("{region} has or had a peer on {store}; the new store needs an id of its own")]
    StoreIdTaken {
        /// A region that knows it.
        region: RegionId,
        /// The id asked for.
        store: StoreId,
    },
    /// The register of the backup cannot be taken over.
    #[error("the register in the backup cannot be taken over: {detail}")]
    Register {
        /// Why.
        detail: String,
    },
    /// A file of a region's rows.
    #[error("a file of rows")]
    Snapshot(#[from] SnapshotError),
    /// The checkpoint.
    #[error("the checkpoint")]
    Checkpoint(#[from] torrens_recovery::checkpoint::CheckpointError),
    /// The new journal.
    #[error("the new journal")]
    Journal(#[from] torrens_journal::OpenError),
    /// The data store that is read or written.
    #[error("the data store")]
    Data(#[from] StoreError),
    /// The new data store does not open.
    #[error("the new data store")]
    OpenData(#[from] StoreOpenError),
    /// A region cannot be copied now: after opening its host has not sent its log again yet
    /// ([`Refusal::DataBehind`]).
    #[error("a region cannot be copied now: {0}")]
    Refused(Refusal),
    /// The engine takes nothing any more.
    #[error("the engine")]
    Engine(#[from] EngineError),
    /// The operating system refused.
    #[error("cannot {doing} {}", path.display())]
    Io {
        /// What was being done.
        doing: &'static str,
        /// Where.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

impl BackupError {
    /// Stable code for logs and tools.
    pub fn code(&self) -> &'static str {
        match self {
            BackupError::NotEmpty { .. } => "backup-target-not-empty",
            BackupError::Manifest { .. } => "backup-incomplete",
            BackupError::FileMismatch { .. } => "backup-file-mismatch",
            BackupError::StoreIdTaken { .. } => "backup-store-id-taken",
            BackupError::Register { .. } => "backup-register",
            BackupError::Snapshot(_) => "backup-rows",
            BackupError::Checkpoint(_) => "backup-checkpoint",
            BackupError::Journal(_) => "backup-journal",
            BackupError::Data(_) | BackupError::OpenData(_) => "backup-data-store",
            BackupError::Refused(refusal) => refusal.code(),
            BackupError::Engine(source) => source.code(),
            BackupError::Io { .. } => "backup-io",
        }
    }
}

fn io_error(doing: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> BackupError {
    let path = path.to_owned();
    move |source| BackupError::Io {
        doing,
        path,
        source,
    }
}

/// A region as it is in the backup.
struct Part {
    region: Arc<Region>,
    position: RaftPosition,
    pin: ReadPin,
}

impl Core {
    pub(super) fn backup(&self, target: &Path) -> Result<BackupReport, BackupError> {
        self.check_open()?;
        self.barriers.check()?;
        let disk = &*self.disk;
        must_be_empty(disk, target)?;
        // No key is taken away while this is held.
        let _effects = self.effects.lock();
        let (register, parts) = self.one_moment()?;
        prepare(disk, target)?;
        let (uuid, boot) = self.journal.store_and_boot()?;
        let store = register.store().expect("opening gives the store its id");
        let lsn = register.last_lsn();
        let machine = RegisterMachine::new(register);
        let meta = checkpoint::Meta::new(uuid, lsn, boot);
        checkpoint::write(disk, &target.join(CHECKPOINT), &meta, &machine)?;
        let mut manifest = Manifest {
            store,
            uuid,
            lsn,
            files: Vec::new(),
        };
        for part in parts {
            let staged = self.copy_part(&part, &target.join(DATA))?;
            manifest.files.push(FileEntry {
                region: part.region.id,
                staged,
            });
        }
        manifest
            .write(disk, target)
            .map_err(io_error("write the manifest in", target))?;
        Ok(manifest.report())
    }

    /// The durable register, and what every region that holds data holds at that very moment.
    fn one_moment(&self) -> Result<(Register, Vec<Part>), BackupError> {
        let published = self.published();
        let register = published.clone();
        let mut parts = Vec::new();
        for (region, incarnation, normal) in register.normal_peers() {
            parts.push(self.part(region, incarnation, normal)?);
        }
        Ok((register, parts))
    }

    fn part(
        &self,
        region: RegionId,
        incarnation: Incarnation,
        normal: &Normal,
    ) -> Result<Part, BackupError> {
        if let Some(refusal) = self.data_behind(region, incarnation) {
            return Err(BackupError::Refused(refusal));
        }
        // One look at the row: its index and its sequence belong together.
        let mut position = INITIAL_POSITION;
        let pin = self.pins.pin(&normal.region.range, |_| {
            let row = self.rows.get(region, incarnation);
            position = row.map_or(INITIAL_POSITION, |row| row.data);
            Ok::<_, EngineError>(row.map_or(self.opened_at, |row| row.sequence))
        })?;
        Ok(Part {
            region: Arc::clone(&normal.region),
            position: position.max(normal.meta_index),
            pin,
        })
    }

    fn copy_part(&self, part: &Part, dir: &Path) -> Result<StagedSnapshot, BackupError> {
        let sequence = match planted!("backup-of-many-moments") {
            true => Sequence::MAX,
            false => part.pin.sequence(),
        };
        let meta = SnapshotMeta {
            region: (*part.region).clone(),
            index: part.position.index,
            term: part.position.term,
            sequence,
        };
        let mut writer = SnapshotWriter::create(Arc::clone(&self.disk), dir, 0, &meta)?;
        let range = &part.region.range;
        for cf in self.families.iter() {
            for row in scan_at(&*self.data, cf, range, sequence, Direction::Forward) {
                let (key, value) = row?;
                writer.push_cf(cf, &key, &value)?;
            }
        }
        Ok(writer.finish()?)
    }
}

fn must_be_empty(disk: &dyn Disk, target: &Path) -> Result<(), BackupError> {
    match disk.list(target) {
        Ok(entries) if entries.is_empty() => Ok(()),
        Ok(_) => {
            let path = target.to_owned();
            Err(BackupError::NotEmpty { path })
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(source) => Err(io_error("list", target)(source)),
    }
}

/// Makes the folders of a backup.
fn prepare(disk: &dyn Disk, target: &Path) -> Result<(), BackupError> {
    for folder in [target, &target.join(CHECKPOINT), &target.join(DATA)] {
        disk.create_dir_all(folder)
            .map_err(io_error("create", folder))?;
    }
    Ok(())
}

/// Makes a store in `dir` of the backup in `from`; see [`Options::restore`].
pub(super) fn restore(
    options: &Options,
    from: &Path,
    dir: &Path,
) -> Result<BackupReport, BackupError> {
    let disk = options
        .open_disk()
        .map_err(io_error("probe the disk for", dir))?;
    let manifest = Manifest::read(&*disk, from).map_err(|source| BackupError::Manifest {
        path: from.to_owned(),
        source,
    })?;
    let mut machine = RegisterMachine::default();
    let uuid = Some(manifest.uuid);
    checkpoint::load(
        &*disk,
        &from.join(CHECKPOINT),
        uuid,
        manifest.lsn,
        &mut machine,
    )?;
    let backed_up = machine.into_register();
    // Everything is looked at before anything is made.
    let readers = verify(&*disk, options, from, &manifest, &backed_up)?;
    let mut random = [0; 32];
    for part in random.chunks_exact_mut(8) {
        part.copy_from_slice(&disk.random_u64().to_le_bytes());
    }
    let (mut uuid, mut generation) = ([0; 16], [0; 16]);
    uuid.copy_from_slice(random.first_chunk::<16>().unwrap_or(&[0; 16]));
    generation.copy_from_slice(random.last_chunk::<16>().unwrap_or(&[0; 16]));
    let register = moved(&backed_up, options.store, generation)?;

    let layout = Layout::of(dir.to_owned());
    must_be_empty(&*disk, dir)?;
    for folder in [dir, &layout.checkpoints, &layout.snapshots] {
        disk.create_dir_all(folder)
            .map_err(io_error("create", folder))?;
    }
    fill_data(options, &layout, &register, &readers)?;
    let (store, lsn) = (StoreUuid(uuid), register.last_lsn());
    let machine = RegisterMachine::new(register);
    let meta = checkpoint::Meta::new(store, lsn, Boot::FIRST);
    checkpoint::write(&*disk, &layout.checkpoints, &meta, &machine)?;
    // Last: without a journal the directory does not open, and beside data none is made.
    let journal = Journal::create_after(
        Arc::clone(&disk),
        &layout.journal,
        store,
        options.journal(),
        lsn,
    )?;
    drop(journal);
    disk.sync_dir(dir).map_err(io_error("sync", dir))?;
    Ok(manifest.report())
}

/// Every file of the backup, whole and of the region that the register has.
fn verify(
    disk: &dyn Disk,
    options: &Options,
    from: &Path,
    manifest: &Manifest,
    register: &Register,
) -> Result<Vec<SnapshotReader>, BackupError> {
    let mut readers = Vec::with_capacity(manifest.files.len());
    for (region, _, normal) in register.normal_peers() {
        let entry = manifest.files.iter().find(|file| file.region == region);
        let mismatch = BackupError::FileMismatch { region };
        let Some(entry) = entry else {
            return Err(mismatch);
        };
        let reader = SnapshotReader::open(disk, &from.join(DATA), entry.staged.name)?
            .only(options.families.clone());
        let is_verified = planted!("backup-not-verified")
            || (reader.verify()? == entry.staged && reader.meta().region == *normal.region);
        if !is_verified {
            return Err(mismatch);
        }
        readers.push(reader);
    }
    Ok(readers)
}

/// The register as another store's: its id in place of the old one, and other epochs.
fn moved(before: &Register, store: StoreId, generation: [u8; 16]) -> Result<Register, BackupError> {
    let old = before.store().ok_or_else(|| BackupError::Register {
        detail: "it names no store".to_owned(),
    })?;
    let move_region = |region: &mut Arc<Region>| {
        if store == old || region.peer_on(store).is_some() {
            let region = region.id;
            return Err(BackupError::StoreIdTaken { region, store });
        }
        let description = Arc::make_mut(region);
        for peer in description
            .peers
            .iter_mut()
            .filter(|peer| peer.store == old)
        {
            peer.store = store;
        }
        // Whoever knows the region as it was is behind from now on.
        if !planted!("restored-under-the-old-epochs") {
            description.epoch.conf_ver = description.epoch.conf_ver.saturating_add(1);
        }
        Ok(())
    };
    let mut after = Register::default();
    for mut item in before.items() {
        match &mut item {
            RegisterItem::Head(head) => {
                let generation = Some(generation);
                *head = RegisterHead {
                    store: Some(store),
                    generation,
                    ..*head
                };
            }
            RegisterItem::Slot(_, slot) => {
                if let Some(peer) = &mut triomphe::Arc::make_mut(slot).peer {
                    match &mut peer.stage {
                        PeerStage::Uninitialized => {}
                        PeerStage::Normal(normal) | PeerStage::Witness(normal) => {
                            move_region(&mut normal.region)?;
                        }
                        PeerStage::Waiting(waiting) => move_region(&mut waiting.region)?,
                        PeerStage::Applying(applying) => {
                            move_region(&mut applying.region)?;
                            if let Some(previous) = &mut applying.previous {
                                move_region(&mut previous.region)?;
                            }
                        }
                        PeerStage::Damaged(damaged) => move_region(&mut damaged.region)?,
                    }
                }
            }
            RegisterItem::Deletion(..) | RegisterItem::Retiring(..) => {}
            // The snapshot that it waits for was sent to the old store.
            // A backup has no history that an observer could go on from.
            RegisterItem::Reservation(..)
            | RegisterItem::Observers { .. }
            | RegisterItem::Observer(..)
            | RegisterItem::Attachments(_) => continue,
        }
        after.restore(item).map_err(|error| BackupError::Register {
            detail: error.to_string(),
        })?;
    }
    Ok(after)
}

/// Makes the data store and writes every region's rows and its row, durably.
fn fill_data(
    options: &Options,
    layout: &Layout,
    register: &Register,
    readers: &[SnapshotReader],
) -> Result<(), BackupError> {
    let data = options
        .data
        .open(&layout.data, StoreOpenMode::CreateOrOpen)?;
    let mut batch = StoreBatch::new();
    if let Some(generation) = register.generation() {
        batch.put_generation(&generation);
    }
    batch.put_families(&options.families);
    // Everything up to the ceiling counts as used, so nothing that comes later is below it.
    let sequence = register.sequence_ceiling().max(Sequence::new(1));
    let barrier = register.barrier();
    batch.put_covered(Covered::default(), Covered { barrier, sequence });
    for reader in readers {
        let region = reader.meta().region.id;
        let Some(incarnation) = register.incarnation(region) else {
            continue;
        };
        for row in reader.rows()? {
            let row = row?;
            batch.put_version(row.cf, &row.key, sequence, Some(&row.value));
            if batch.bytes() >= BATCH_BYTES {
                data.apply(&std::mem::take(&mut batch))?;
            }
        }
        let row = RegionRow {
            incarnation,
            data_index: reader.meta().index,
            data_term: reader.meta().term,
            meta_lsn: register.last_transition(region).unwrap_or_default(),
        };
        batch.put_region_row(region, &row);
        let floor = Floored {
            barrier,
            incarnation,
            data_index: row.data_index,
            data_term: row.data_term,
        };
        batch.put_floored(region, None, &floor);
    }
    data.apply(&batch)?;
    Ok(data.flush()?)
}
