//! Writes the hand-made part of the corpus: whole inputs of every kind, from which a fuzzer starts.
//!
//! `cargo run -p torrens-fuzz --example seeds` rewrites the same files with the same bytes.

use std::error::Error;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use torrens_journal::disk::Disk;
use torrens_journal::format::SEGMENT_HEADER_BYTES;
use torrens_journal::testing::SimDisk;
use torrens_journal::{Journal, JournalOptions, RecordKind, SegmentId, StoreUuid};

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
    Ok(())
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
