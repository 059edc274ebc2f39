//! Copies of a store and proofs of what is in it: digests, backups, stores made of backups, witnesses.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use torrens_journal::Lsn;
use torrens_journal::disk::{Disk, EntryKind, OpenMode};

use super::epoch_of;
use crate::engine::Digested;
use crate::play::args::Args;
use crate::play::machine::SEGMENT_BYTES;
use crate::play::show;
use crate::play::spec::{CommandSpec, at, command, may, must};
use crate::play::value::Kind;
use crate::play::world::{Lines, Trouble, World};
use crate::snapshot::SnapshotReader;
use crate::{BackupError, BackupReport, StoreId};

#[rustfmt::skip]
pub(super) const COMMANDS: &[CommandSpec] = &[
    command("digest", &[at("region", Kind::Region), may("epoch", Kind::Epoch)], digest,
        "A hash of the region's rows as they are now: equal on equal replicas."),
    command("verify-content", &[at("snapshot", Kind::Name)], verify_content,
        "Reads a staged snapshot in full; its hash is that of `digest` for the same rows."),
    command("backup", &[at("as", Kind::Name)], backup,
        "Writes a backup of the open store into a folder beside it."),
    command("damage-backup", &[at("backup", Kind::Name)], damage_backup,
        "Takes the last file of a backup away, as a copy does that was broken off."),
    command("restore", &[at("backup", Kind::Name), must("from", Kind::Store)], restore,
        "Makes this store, which is not there yet, of another one's backup."),
    command("witness", &[may("ahead", Kind::Number)], witness,
        "Waits until a mark proves the last record to be durable; `ahead` asks for one that many positions later."),
];

fn digest(world: &mut World, args: &Args) -> Result<Lines, Trouble> {
    let machine = world.machine()?;
    let region = args.region("region")?;
    let epoch = epoch_of(machine, region, args.opt_epoch("epoch"))?;
    let digest = match machine.engine()?.digest(region, epoch)? {
        Digested::Digest(digest) => digest,
        Digested::Refused(refusal) => return Err(Trouble::Refused(refusal)),
    };
    Ok(vec![format!(
        "{} at {}, {} rows, hash {:08x}",
        digest.region.id, digest.position, digest.rows, digest.hash
    )])
}

fn verify_content(world: &mut World, args: &Args) -> Result<Lines, Trouble> {
    let name = super::snapshots::parcel(world, args)?.staged.name;
    let machine = world.machine()?;
    machine.engine()?;
    let folder = machine.dir().join("snapshots");
    let verified = SnapshotReader::open(&*machine.disk(), &folder, name)
        .and_then(|reader| reader.verify_content());
    let (staged, hash) = verified.map_err(super::snapshots::bad)?;
    Ok(vec![format!("{} rows, hash {hash:08x}", staged.rows)])
}

fn folder(dir: &Path, name: &str) -> PathBuf {
    let beside = dir.parent().unwrap_or(Path::new(""));
    let store = dir.file_name().unwrap_or_default().to_string_lossy();
    beside.join(format!("{store}-backup-{name}"))
}

fn reported(report: BackupReport) -> Lines {
    let BackupReport {
        store,
        regions,
        rows,
        ..
    } = report;
    vec![format!("of {store}: {regions} regions, {rows} rows")]
}

fn failed(error: &BackupError) -> Lines {
    vec![show::error_line(error.code(), error)]
}

fn backup(world: &mut World, args: &Args) -> Result<Lines, Trouble> {
    let machine = world.machine()?;
    let target = folder(machine.dir(), &args.text("as")?);
    Ok(match machine.engine()?.backup(&target) {
        Ok(report) => reported(report),
        Err(error) => failed(&error),
    })
}

/// The files of a folder, in the order of their names.
fn names(disk: &dyn Disk, dir: &Path) -> std::io::Result<Vec<String>> {
    let entries = disk.list(dir)?.into_iter();
    let files = entries.filter(|entry| entry.kind == EntryKind::File);
    let mut names: Vec<_> = files.map(|entry| entry.name).collect();
    names.sort();
    Ok(names)
}

fn unusable(error: std::io::Error) -> Trouble {
    let why = show::refusal_of(&error);
    Trouble::Script(format!("the backup cannot be copied: {why}"))
}

fn damage_backup(world: &mut World, args: &Args) -> Result<Lines, Trouble> {
    let machine = world.machine()?;
    let (disk, dir) = (machine.disk(), folder(machine.dir(), &args.text("backup")?));
    let mut dirs = vec![dir.clone()];
    for entry in disk.list(&dir).map_err(unusable)? {
        if entry.kind == EntryKind::Directory {
            dirs.push(dir.join(entry.name));
        }
    }
    for dir in dirs {
        if let Some(last) = names(&*disk, &dir).map_err(unusable)?.pop() {
            let gone = disk.remove(&dir.join(last));
            gone.and_then(|()| disk.sync_dir(&dir)).map_err(unusable)?;
            return Ok(vec!["damaged".to_owned()]);
        }
    }
    Err(Trouble::Script("the backup has no files".to_owned()))
}

/// Copies a folder with its folders from one disk to another.
fn copy(from: &dyn Disk, source: &Path, to: &dyn Disk, target: &Path) -> std::io::Result<()> {
    to.create_dir_all(target)?;
    for entry in from.list(source)? {
        let (source, target) = (source.join(&entry.name), target.join(&entry.name));
        if entry.kind == EntryKind::Directory {
            copy(from, &source, to, &target)?;
            continue;
        }
        let file = from.open(&source, OpenMode::Read)?;
        let bytes = usize::try_from(file.len()?).map_err(std::io::Error::other)?;
        let mut bytes = vec![0; bytes];
        file.read_exact_at(0, &mut bytes)?;
        let copy = to.open(&target, OpenMode::CreateNew)?;
        copy.write_all_at(0, &bytes)?;
        copy.sync_data()?;
    }
    to.sync_dir(target)
}

fn restore(world: &mut World, args: &Args) -> Result<Lines, Trouble> {
    let from: StoreId = args.store("from")?;
    let name = args.text("backup")?;
    world.made += 1;
    let made = world.made;
    let sender = world.machine_of(from)?;
    let (source_disk, source) = (sender.disk(), folder(sender.dir(), &name));
    let machine = world.machine()?;
    let disk: Arc<dyn Disk> = machine.disk();
    let target = folder(machine.dir(), &format!("{name}-of-{from}-{made}"));
    let here = match from == machine.store {
        true => source,
        false => {
            copy(&*source_disk, &source, &*disk, &target).map_err(unusable)?;
            target
        }
    };
    let options = machine.options(crate::OpenMode::CreateIfMissing, SEGMENT_BYTES);
    Ok(match options.restore(&here, machine.dir()) {
        Ok(report) => reported(report),
        Err(error) => failed(&error),
    })
}

fn witness(world: &mut World, args: &Args) -> Result<Lines, Trouble> {
    let engine = world.machine()?.engine()?;
    let ahead = args.opt_number("ahead").unwrap_or(0);
    let last = engine.synced().get().saturating_add(ahead);
    engine.witness(Lsn::new(last))?;
    Ok(vec!["witnessed".to_owned()])
}
