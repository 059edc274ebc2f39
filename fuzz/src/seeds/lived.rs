//! A store that has lived a little, and what of it is a seed: records, checkpoint, snapshot, groups.

use std::collections::BTreeMap;
use std::error::Error;
use std::path::Path;
use std::sync::Arc;

use torrens::store::{MemoryFactory, MemoryStore};
use torrens::{
    Background, Derive, DestroyCause, Engine, KeyRange, NewRegion, Peer, PeerChange, PeerId,
    PeerRole, RaftPosition, Region, RegionEpoch, RegionId, RegisterMachine, Split, StoreId,
    WriteBatch,
};
use torrens_journal::disk::Disk;
use torrens_journal::format::SEGMENT_HEADER_BYTES;
use torrens_journal::testing::SimDisk;
use torrens_journal::{
    Found, Journal, JournalOptions, Lsn, RecordKind, SegmentId, SegmentReader, StoreUuid, list,
};
use torrens_recovery::{StateMachine, checkpoint};

/// A disk on which a store has lived a little: records of many kinds, a checkpoint, a snapshot.
pub(super) fn lived() -> Result<SimDisk, Box<dyn Error>> {
    let disk = SimDisk::new(1);
    let (engine, _) = Engine::options()
        .store(StoreId(4))
        .segment_bytes(64 * 1024)
        .background(Background::Manual)
        .disk(Arc::new(disk.clone()))
        .data(Arc::new(MemoryFactory::new(MemoryStore::new())))
        .open("store")?;
    let peer = |id: u64, store: u64| Peer {
        id: PeerId(id),
        store: StoreId(store),
        role: PeerRole::Voter,
        is_witness: false,
    };
    let at = |index| RaftPosition { index, term: 6 };
    let (id, epoch) = (RegionId(1), RegionEpoch::BOOTSTRAP);
    let region = Region {
        id,
        range: KeyRange::all(),
        epoch,
        peers: vec![peer(10, 4)],
    };
    let _ = engine.bootstrap(region)?;
    let mut batch = WriteBatch::new();
    batch
        .put(b"apple".as_slice(), b"one".as_slice())
        .put(b"zebra".as_slice(), b"two".as_slice());
    let _ = engine.write(id, epoch, at(6), &batch)?;
    let _ = engine.create_peer(RegionId(3), PeerId(30), StoreId(5), epoch)?;
    let child = |id: u64| NewRegion {
        id: RegionId(id),
        peers: vec![peer(id * 10, 4)],
    };
    let _ = engine.split(Split {
        region: id,
        incarnation: None,
        epoch,
        position: at(7),
        boundaries: vec![b"h".as_slice().into(), b"q".as_slice().into()],
        children: vec![child(2), child(3)],
        derive: Derive::Left,
    })?;
    let epoch = RegionEpoch {
        version: 3,
        ..epoch
    };
    let add = PeerChange::Add { peer: peer(11, 5) };
    let _ = engine.change_peers(id, epoch, at(8), add)?;
    let _ = engine.load(id, epoch)?;
    engine.wait_idle()?;
    let _ = engine.evict(id)?;
    let _ = engine.destroy(RegionId(2), epoch, None, PeerId(20), DestroyCause::Operator)?;
    engine.wait_idle()?;
    let _ = engine.take_snapshot(RegionId(3), epoch)?;
    engine.flush()?;
    engine.checkpoint()?;
    engine.close()?;
    Ok(disk)
}

/// The one file with that ending.
pub(super) fn file(disk: &SimDisk, ending: &str) -> Result<Vec<u8>, Box<dyn Error>> {
    let mut files = disk.files().into_iter();
    let path = files.find(|path| path.extension().is_some_and(|found| found == ending));
    let path = path.ok_or_else(|| format!("no file .{ending}"))?;
    disk.contents(&path)
        .ok_or_else(|| "a listed file is gone".into())
}

/// The items of its newest checkpoint.
pub(super) fn items(disk: &SimDisk) -> Result<Vec<Vec<u8>>, Box<dyn Error>> {
    let dir = Path::new("store/checkpoints");
    let newest = checkpoint::list(disk, dir)?
        .into_iter()
        .map(|listed| listed.lsn)
        .max();
    let mut machine = RegisterMachine::default();
    checkpoint::load(disk, dir, None, newest.unwrap_or(Lsn::ZERO), &mut machine)?;
    let mut items = Vec::new();
    machine.save(&mut |item| {
        items.push(item.to_vec());
        Ok(())
    })?;
    Ok(items)
}

/// Every record of its journal in order, each behind the two bytes of its kind.
pub(super) fn history(disk: &SimDisk) -> Result<Vec<Vec<u8>>, Box<dyn Error>> {
    let dir = Path::new("store/journal");
    let mut found = Vec::new();
    for segment in list(disk, dir)?.segments {
        let mut reader = SegmentReader::open(disk, dir, segment.id, None)?;
        let mut offset = SEGMENT_HEADER_BYTES;
        while let Found::Group(group) = reader.group_at(offset, None)? {
            offset = group.end_offset_bytes();
            for record in group.records() {
                let record = record?;
                found.push([&record.kind.get().to_le_bytes(), record.payload].concat());
            }
        }
    }
    Ok(found)
}

/// One record of each kind that the store's journal holds.
pub(super) fn records(history: &[Vec<u8>]) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    for record in history {
        if let Some(kind) = record.first_chunk::<2>() {
            let kind = u16::from_le_bytes(*kind);
            found
                .entry(format!("kind-{kind:04x}"))
                .or_insert_with(|| record.clone());
        }
    }
    found
}

/// The groups of a small journal: one record, two records, one record over two pages.
pub(super) fn groups() -> Result<Vec<u8>, Box<dyn Error>> {
    let simulated = SimDisk::new(1);
    let disk: Arc<dyn Disk> = Arc::new(simulated.clone());
    let dir = Path::new("journal");
    let options = JournalOptions::new().segment_bytes(64 * 1024);
    let journal = Journal::create(disk, dir, StoreUuid([7; 16]), options)?;
    for records in [vec![40], vec![100, 3], vec![5000]] {
        for bytes in records {
            journal.append(RecordKind::new(7), 1, &vec![0xab; bytes])?;
        }
        journal.sync()?;
    }
    let path = dir.join(SegmentId::FIRST.file_name());
    let bytes = simulated
        .contents(&path)
        .ok_or("the journal's segment is gone")?;
    let from = usize::try_from(SEGMENT_HEADER_BYTES)?;
    Ok(bytes
        .get(from..from + 16384)
        .ok_or("the segment is short")?
        .to_vec())
}
