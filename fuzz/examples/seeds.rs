//! Writes the hand-made part of the corpus: whole inputs of every kind, from which a fuzzer starts.
//!
//! `cargo run -p torrens-fuzz --example seeds` rewrites the same files with the same bytes.

#![allow(
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::type_complexity,
    reason = "a generator of test inputs, not a part of anything"
)]

use std::error::Error;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use torrens::store::{MemoryFactory, MemoryStore};
use torrens::{
    Background, Derive, DestroyCause, Engine, KeyRange, NewRegion, Peer, PeerChange, PeerId,
    PeerRole, RaftPosition, Region, RegionEpoch, RegionId, Split, StoreId, WriteBatch,
};
use torrens_fuzz::ToolChange;
use torrens_journal::disk::Disk;
use torrens_journal::format::SEGMENT_HEADER_BYTES;
use torrens_journal::testing::SimDisk;
use torrens_journal::{
    Found, Journal, JournalOptions, RecordKind, SegmentId, SegmentReader, StoreUuid, list,
};

fn main() -> Result<(), Box<dyn Error>> {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    let put = |target: &str, name: &str, bytes: &[u8]| -> Result<(), Box<dyn Error>> {
        let folder = corpus.join(target);
        fs::create_dir_all(&folder)?;
        Ok(fs::write(folder.join(name), bytes)?)
    };
    let groups = groups()?;
    put("segment", "three_groups", &groups)?;
    put("segment", "torn_in_the_second", &groups[..4096 + 100])?;
    put(
        "segment",
        "hole_before_the_third",
        &[&groups[..4096], &[0; 4096], &groups[8192..]].concat(),
    )?;
    put("group", "one_record", &groups[..4096])?;
    put("group", "two_records", &groups[4096..8192])?;
    put("group", "two_pages", &groups[8192..16384])?;
    let lived = lived()?;
    for (name, payload) in records(&lived)? {
        put("record", &name, &payload)?;
    }
    for path in lived.files() {
        let name = path
            .file_name()
            .map(|name| name.to_string_lossy())
            .unwrap_or_default();
        let target = match path.extension().and_then(|extension| extension.to_str()) {
            Some("ckpt") => "checkpoint",
            Some("snap") => "snapshot",
            _ => continue,
        };
        let whole = lived.contents(&path).ok_or("a listed file is gone")?;
        put(target, "whole", &whole)?;
        put(
            target,
            "cut",
            whole.get(..whole.len() / 2).unwrap_or_default(),
        )?;
        put(target, "empty", &[])?;
        println!("{target} from {name}");
    }
    for (name, is_mended, changes) in tool_changes() {
        let changes = changes.iter().flat_map(|change| change.encode());
        let input: Vec<u8> = [u8::from(is_mended)].into_iter().chain(changes).collect();
        put("tool", name, &input)?;
    }
    Ok(())
}

/// What may become of a directory, from which a fuzzer goes on.
fn tool_changes() -> Vec<(&'static str, bool, Vec<ToolChange>)> {
    let change = |file: u8, what: u8, at: u32, by: u16| ToolChange { file, what, at, by };
    // The places in the list of files: three segments, the mark, two checkpoints.
    vec![
        ("untouched", false, vec![]),
        ("bit_in_a_group", false, vec![change(0, 0, 8192 + 100, 4)]),
        (
            "bit_in_a_padding",
            false,
            vec![change(1, 0, 8192 + 4000, 1)],
        ),
        ("bit_in_a_header", false, vec![change(0, 0, 20, 1)]),
        (
            "bit_in_both_headers",
            false,
            vec![change(1, 0, 20, 1), change(1, 0, 4096 + 20, 1)],
        ),
        ("bit_behind_the_end", false, vec![change(2, 0, 60_000, 1)]),
        ("bit_in_a_checkpoint", false, vec![change(5, 0, 200, 1)]),
        ("bit_in_the_mark", false, vec![change(3, 0, 40, 1)]),
        (
            "bits_in_all_marks",
            false,
            (0..4)
                .map(|page| change(3, 0, page * 4096 + 40, 1))
                .collect(),
        ),
        (
            "zero_page_in_the_middle",
            false,
            vec![change(1, 1, 16_384, 0)],
        ),
        ("zero_last_group", false, vec![change(2, 1, 24_576, 0)]),
        (
            "zero_last_group_and_marks",
            false,
            (0..4)
                .map(|page| change(3, 1, page * 4096, 0))
                .chain([change(2, 1, 24_576, 0)])
                .collect(),
        ),
        ("cut_in_a_group", false, vec![change(2, 2, 20_000, 0)]),
        ("cut_in_a_header", false, vec![change(2, 2, 100, 0)]),
        ("empty_segment", false, vec![change(1, 2, 0, 0)]),
        ("first_segment_gone", false, vec![change(0, 3, 0, 0)]),
        ("middle_segment_gone", false, vec![change(1, 3, 0, 0)]),
        ("last_segment_gone", false, vec![change(2, 3, 0, 0)]),
        ("mark_gone", false, vec![change(3, 3, 0, 0)]),
        (
            "checkpoints_gone",
            false,
            vec![change(4, 3, 0, 0), change(5, 3, 0, 0)],
        ),
        (
            "first_segment_and_checkpoints_gone",
            false,
            vec![change(0, 3, 0, 0), change(4, 3, 0, 0), change(5, 3, 0, 0)],
        ),
        (
            "everything_gone",
            false,
            (0..6).map(|file| change(file, 3, 0, 0)).collect(),
        ),
        ("group_over_another", false, vec![change(1, 4, 12_288, 2)]),
        ("last_group_twice", false, vec![change(2, 4, 28_672, 6)]),
        (
            "segment_under_another_name",
            false,
            vec![change(2, 5, 0, 0)],
        ),
        ("checkpoint_as_segment", false, vec![change(1, 5, 0, 5)]),
        ("segment_as_mark", false, vec![change(3, 5, 0, 2)]),
        (
            "kind_of_a_record_mended",
            true,
            vec![change(2, 6, 8192 + 96, 0x31)],
        ),
        (
            "payload_of_a_record_mended",
            true,
            vec![change(2, 0, 8192 + 120, 8)],
        ),
        (
            "length_of_a_record_mended",
            true,
            vec![change(2, 6, 8192 + 84, 0xffff)],
        ),
        (
            "last_payload_mended",
            true,
            vec![change(2, 0, 24_576 + 110, 2)],
        ),
    ]
}

/// A disk on which a store has lived a little: records of many kinds, a checkpoint, a snapshot.
fn lived() -> Result<SimDisk, Box<dyn Error>> {
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

/// One payload of each kind that the store's journal holds, behind the two bytes of its kind.
fn records(disk: &SimDisk) -> Result<Vec<(String, Vec<u8>)>, Box<dyn Error>> {
    let dir = Path::new("store/journal");
    let mut found = std::collections::BTreeMap::new();
    for segment in list(disk, dir)?.segments {
        let mut reader = SegmentReader::open(disk, dir, segment.id, None)?;
        let mut offset = SEGMENT_HEADER_BYTES;
        while let Found::Group(group) = reader.group_at(offset, None)? {
            offset = group.end_offset_bytes();
            for record in group.records() {
                let record = record?;
                let kind = record.kind.get();
                let input = [&kind.to_le_bytes(), record.payload].concat();
                found.entry(format!("kind-{kind:04x}")).or_insert(input);
            }
        }
    }
    Ok(found.into_iter().collect())
}

/// The groups of a small journal: one record, two records, one record over two pages.
fn groups() -> Result<Vec<u8>, Box<dyn Error>> {
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
