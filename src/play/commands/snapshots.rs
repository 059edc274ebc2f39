//! Snapshots: taken, made up, sent between machines, damaged on the way or on the disk, applied.
//!
//! A scenario names a snapshot; behind the name are its bytes as another store would send them.

use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use torrens_journal::disk::{Disk, OpenMode};
use torrens_journal::testing::SimDisk;

use super::{creation_of, epoch_of};
use crate::engine::{SnapshotProgress, SnapshotStep};
use crate::play::args::Args;
use crate::play::show;
use crate::play::spec::{CommandSpec, at, command, many, may, must};
use crate::play::value::Kind;
use crate::play::world::{Lines, Parcel, Trouble, World};
use crate::snapshot::{SnapshotError, SnapshotMeta, SnapshotReader, SnapshotWriter};
use crate::{Answer, EngineError, KeyRange, RaftPosition, Region, RegionEpoch, Sequence, Taken};

pub(super) const COMMANDS: &[CommandSpec] = &[
    command(
        "take-snapshot",
        &[
            at("region", Kind::Region),
            must("as", Kind::Name),
            may("epoch", Kind::Epoch),
        ],
        take,
        "Writes a snapshot file of the region as it is now, and gives it a name.",
    ),
    command(
        "make-snapshot",
        &[
            at("region", Kind::Region),
            must("as", Kind::Name),
            must("peers", Kind::Peers),
            must("at", Kind::Position),
            may("range", Kind::Range),
            may("epoch", Kind::Epoch),
            many("row", Kind::Row),
        ],
        make,
        "Makes a snapshot up, as another store would send it.",
    ),
    command(
        "resend-snapshot",
        &[
            at("snapshot", Kind::Name),
            must("as", Kind::Name),
            may("peers", Kind::Peers),
            may("at", Kind::Position),
            may("epoch", Kind::Epoch),
        ],
        resend,
        "The same rows with another description, as the other store sends them later.",
    ),
    command(
        "receive",
        &[at("snapshot", Kind::Name), may("damage", Kind::Number)],
        receive,
        "The bytes arrive and are staged; `damage` flips the byte at that offset on the way.",
    ),
    command(
        "apply-snapshot",
        &[
            at("region", Kind::Region),
            at("snapshot", Kind::Name),
            may("incarnation", Kind::Incarnation),
            many("over", Kind::Region),
            may("progress", Kind::Word(&["yes"])),
        ],
        apply,
        "Replaces the peer's region and data by the staged snapshot: begin, clear, ingest, flush, end. Regions in `over` were merged into it and end here. `progress` shows how it goes on.",
    ),
    command(
        "remove-snapshot",
        &[at("snapshot", Kind::Name)],
        remove,
        "Removes the staged file, as a host does that does not want it.",
    ),
    command("snapshots", &[], list, "The files that are staged."),
    command(
        "damage-snapshot",
        &[at("snapshot", Kind::Name), may("offset", Kind::Number)],
        damage,
        "Flips a byte of the staged file on the disk.",
    ),
    command(
        "lose-snapshot",
        &[at("snapshot", Kind::Name)],
        lose,
        "Takes the staged file from the disk behind the engine's back.",
    ),
];

pub(super) fn bad(error: SnapshotError) -> Trouble {
    Trouble::Engine(EngineError::Snapshot(error))
}

fn bytes_of(reader: &SnapshotReader) -> Result<Vec<u8>, Trouble> {
    let mut bytes = Vec::new();
    let read = reader.bytes_stream().read_to_end(&mut bytes);
    read.map_err(|error| Trouble::Script(format!("cannot read the snapshot: {error}")))?;
    Ok(bytes)
}

fn take(world: &mut World, args: &Args) -> Result<Lines, Trouble> {
    let machine = world.machine()?;
    let region = args.region("region")?;
    let epoch = epoch_of(machine, region, args.opt_epoch("epoch"))?;
    let engine = machine.engine()?;
    let staged = match engine.take_snapshot(region, epoch)? {
        Taken::Snapshot(staged) => staged,
        Taken::Refused(refusal) => return Ok(show::answer(&Answer::Refused(refusal))),
        #[allow(unreachable_patterns)]
        _ => return Err(Trouble::Script("an answer without a name".to_owned())),
    };
    let bytes = bytes_of(&engine.open_snapshot(staged.name)?)?;
    world
        .parcels
        .insert(args.text("as")?, Parcel { staged, bytes });
    Ok(described(&staged))
}

fn described(staged: &crate::snapshot::StagedSnapshot) -> Lines {
    let at = RaftPosition {
        index: staged.name.index,
        term: staged.name.term,
    };
    vec![format!(
        "{} at {at}, {} rows",
        staged.name.region, staged.rows
    )]
}

/// Writes a snapshot on a disk of its own: another store's.
fn written(
    world: &mut World,
    meta: &SnapshotMeta,
    rows: impl IntoIterator<Item = Result<crate::snapshot::SnapshotRow, SnapshotError>>,
) -> Result<Parcel, Trouble> {
    world.made += 1;
    let (elsewhere, dir) = (Arc::new(SimDisk::new(world.made)), Path::new("sender"));
    let broken = |error: std::io::Error| Trouble::Script(format!("the sender's disk: {error}"));
    elsewhere.create_dir_all(dir).map_err(broken)?;
    let disk = Arc::clone(&elsewhere) as Arc<dyn Disk>;
    let mut writer = SnapshotWriter::create(disk, dir, world.made, meta).map_err(bad)?;
    for row in rows {
        let row = row.map_err(bad)?;
        writer.push_cf(row.cf, &row.key, &row.value).map_err(bad)?;
    }
    let staged = writer.finish().map_err(bad)?;
    let reader = SnapshotReader::open(&*elsewhere, dir, staged.name).map_err(bad)?;
    let bytes = bytes_of(&reader)?;
    Ok(Parcel { staged, bytes })
}

fn make(world: &mut World, args: &Args) -> Result<Lines, Trouble> {
    let position = args.position("at")?;
    let meta = SnapshotMeta {
        region: Region {
            id: args.region("region")?,
            range: args.opt_range("range").unwrap_or_else(KeyRange::all),
            epoch: args.opt_epoch("epoch").unwrap_or(RegionEpoch::BOOTSTRAP),
            peers: args.peers("peers")?,
        },
        index: position.index,
        term: position.term,
        sequence: Sequence::new(1),
    };
    let mut rows = args.rows("row");
    rows.sort();
    let rows = rows.into_iter().map(|(key, value)| {
        Ok(crate::snapshot::SnapshotRow {
            cf: crate::ColumnFamily::DEFAULT,
            key,
            value: value.as_slice().into(),
        })
    });
    let parcel = written(world, &meta, rows)?;
    let lines = described(&parcel.staged);
    world.parcels.insert(args.text("as")?, parcel);
    Ok(lines)
}

pub(super) fn parcel(world: &World, args: &Args) -> Result<Parcel, Trouble> {
    let name = args.text("snapshot")?;
    let unknown = || Trouble::Script(format!("there is no snapshot {name}"));
    world.parcels.get(&name).cloned().ok_or_else(unknown)
}

fn resend(world: &mut World, args: &Args) -> Result<Lines, Trouble> {
    let original = parcel(world, args)?;
    // Read back through a disk of its own, as the sender would.
    let (disk, dir) = (SimDisk::new(0), Path::new("sender"));
    let broken = |error: std::io::Error| Trouble::Script(format!("the sender's disk: {error}"));
    disk.create_dir_all(dir).map_err(broken)?;
    let path = original.staged.name.path_in(dir);
    let file = disk.open(&path, OpenMode::CreateNew).map_err(broken)?;
    file.write_all_at(0, &original.bytes).map_err(broken)?;
    let reader = SnapshotReader::open(&disk, dir, original.staged.name).map_err(bad)?;
    let mut meta = reader.meta().clone();
    if let Some(peers) = args.opt_peers("peers") {
        meta.region.peers = peers;
    }
    if let Some(epoch) = args.opt_epoch("epoch") {
        meta.region.epoch = epoch;
    }
    if let Some(position) = args.opt_position("at") {
        (meta.index, meta.term) = (position.index, position.term);
    }
    let rows = reader.rows().map_err(bad)?;
    let parcel = written(world, &meta, rows)?;
    let lines = described(&parcel.staged);
    world.parcels.insert(args.text("as")?, parcel);
    Ok(lines)
}

/// The bytes with the one at `offset` flipped; beyond the end, cut short by one.
fn flipped(mut bytes: Vec<u8>, offset: u64) -> Vec<u8> {
    let place = usize::try_from(offset).unwrap_or(usize::MAX);
    match bytes.get_mut(place) {
        Some(byte) => *byte ^= 1,
        None => {
            bytes.pop();
        }
    }
    bytes
}

fn receive(world: &mut World, args: &Args) -> Result<Lines, Trouble> {
    let Parcel { staged, mut bytes } = parcel(world, args)?;
    if let Some(offset) = args.opt_number("damage") {
        bytes = flipped(bytes, offset);
    }
    let engine = world.machine()?.engine()?;
    let received = engine.receive_snapshot(staged.name, bytes.as_slice())?;
    Ok(match received == staged {
        true => vec!["received".to_owned()],
        false => vec!["received, and not what was sent".to_owned()],
    })
}

fn apply(world: &mut World, args: &Args) -> Result<Lines, Trouble> {
    let Parcel { staged, .. } = parcel(world, args)?;
    let machine = world.machine()?;
    let region = args.region("region")?;
    let incarnation = creation_of(machine, region, args.opt_ordinal("incarnation"))?;
    let engine = machine.engine()?;
    let sources = args.regions("over");
    if args.opt_word("progress").is_some() {
        let mut lines = Vec::new();
        let tell = |progress: SnapshotProgress| {
            let step = match progress.step {
                SnapshotStep::Clear => "clear",
                SnapshotStep::Ingest => "ingest",
                SnapshotStep::Flush => "flush",
            };
            lines.push(format!("{step} {}/{}", progress.rows_done, progress.rows));
        };
        let answer = engine.apply_snapshot_with(region, incarnation, &staged, tell)?;
        lines.dedup();
        lines.extend(world.answered(answer)?);
        return Ok(lines);
    }
    let answer = match sources.is_empty() {
        true => engine.apply_snapshot(region, incarnation, &staged)?,
        false => engine.apply_snapshot_over(region, incarnation, &staged, &sources)?,
    };
    world.answered(answer)
}

fn remove(world: &mut World, args: &Args) -> Result<Lines, Trouble> {
    let name = parcel(world, args)?.staged.name;
    let removed = world.machine()?.engine()?.remove_snapshot(name)?;
    Ok(vec![
        if removed { "removed" } else { "not there" }.to_owned(),
    ])
}

fn list(world: &mut World, _: &Args) -> Result<Lines, Trouble> {
    let staged = world.machine()?.engine()?.snapshots()?;
    let line = |name: crate::snapshot::SnapshotName| {
        let (index, term) = (name.index, name.term);
        format!("{} at {}", name.region, RaftPosition { index, term })
    };
    let mut lines: Lines = staged.into_iter().map(line).collect();
    lines.sort();
    Ok(show::none_if_empty(lines))
}

/// The staged file on the current machine, and the machine's disk.
fn on_disk(world: &mut World, args: &Args) -> Result<(Arc<dyn Disk>, std::path::PathBuf), Trouble> {
    let name = parcel(world, args)?.staged.name;
    let machine = world.machine()?;
    let folder = machine.dir().join("snapshots");
    Ok((machine.disk(), name.path_in(&folder)))
}

fn damage(world: &mut World, args: &Args) -> Result<Lines, Trouble> {
    let (disk, path) = on_disk(world, args)?;
    let offset = args.opt_number("offset").unwrap_or(0);
    let flip = || {
        let file = disk.open(&path, OpenMode::Write)?;
        let mut byte = [0];
        file.read_exact_at(offset, &mut byte)?;
        file.write_all_at(offset, &byte.map(|byte| byte ^ 1))?;
        file.sync_data()
    };
    flip().map_err(|error| Trouble::Script(format!("cannot damage the file: {error}")))?;
    Ok(vec!["damaged".to_owned()])
}

fn lose(world: &mut World, args: &Args) -> Result<Lines, Trouble> {
    let (disk, path) = on_disk(world, args)?;
    let parent = path.parent().unwrap_or(Path::new("."));
    let lost = disk.remove(&path).and_then(|()| disk.sync_dir(parent));
    lost.map_err(|error| Trouble::Script(format!("cannot lose the file: {error}")))?;
    Ok(vec!["lost".to_owned()])
}
