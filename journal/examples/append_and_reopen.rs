//! Append a few records, make them durable, reopen the journal as after a restart, and read them back.
//!
//! `cargo run -p torrens-journal --example append_and_reopen [DIRECTORY]`
//!
//! Reopening after a crash is the work of `torrens-recovery`, which finds the tail, judges it and cuts
//! only what was torn. This example closed its journal in order, so a plain walk finds the tail.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use torrens_journal::disk::{Disk, RealDisk};
use torrens_journal::{
    Expectation, Found, Journal, JournalOptions, Lsn, NewRecord, RecordKind, SegmentReader,
    StoreUuid, Tail, list,
};

/// The caller's own numbering of what its payloads are.
const DEPOSIT: RecordKind = RecordKind::new(1);
/// Every file names the store that it belongs to; a real one draws this once, at random.
const STORE: StoreUuid = StoreUuid([7; 16]);

/// Appends three records and closes the journal.
fn first_run(
    disk: &Arc<dyn Disk>,
    dir: &Path,
    options: JournalOptions,
) -> Result<(), Box<dyn Error>> {
    let journal = Journal::create(Arc::clone(disk), dir, STORE, options)?;
    let lsn = journal.append(DEPOSIT, 0, b"10 to anna")?;
    // Until here a crash may take the record. From here on none does.
    journal.wait_durable(lsn)?;
    // Two records that are there both or not at all.
    let pair = [b"-4 from anna", b"+4 to berta "].map(|payload| NewRecord {
        kind: DEPOSIT,
        tag: 0,
        payload,
    });
    journal.append_all(&pair)?;
    // Closing makes everything durable and writes a mark that says so.
    journal.close()?;
    Ok(())
}

/// Where a journal that was closed in order goes on.
fn tail_of(disk: &dyn Disk, dir: &Path) -> Result<Option<Tail>, Box<dyn Error>> {
    let mut tail = None;
    for entry in list(disk, dir)?.segments {
        let mut reader = SegmentReader::open(disk, dir, entry.id, Some(STORE))?;
        let header = *reader.header().map_err(Clone::clone)?;
        let mut expected = Expectation::first_of(&header);
        let mut found = Tail {
            segment: header.segment,
            end_offset_bytes: torrens_journal::format::SEGMENT_HEADER_BYTES,
            last_lsn: Lsn::new(header.first_lsn.get() - 1),
            chain: header.first_chain(),
            group_number: 0,
            sealed: false,
            boot: header.boot,
        };
        while let Found::Group(group) = reader.group_at(found.end_offset_bytes, Some(&expected))? {
            expected = Expectation::after(&group.header);
            found = Tail {
                segment: header.segment,
                end_offset_bytes: group.end_offset_bytes(),
                last_lsn: group.header.last_lsn(),
                chain: group.header.crc,
                group_number: group.header.number,
                sealed: group.header.is_seal(),
                boot: group.header.boot,
            };
        }
        tail = Some(found);
    }
    Ok(tail)
}

/// Goes on where the first run ended, and gives all payloads.
fn second_run(
    disk: &Arc<dyn Disk>,
    dir: &Path,
    options: JournalOptions,
) -> Result<Vec<String>, Box<dyn Error>> {
    let tail = tail_of(&**disk, dir)?.ok_or("there is no journal")?;
    let journal = Journal::resume(Arc::clone(disk), dir, STORE, tail, options)?;
    let lsn = journal.append(DEPOSIT, 0, b"2 to anna")?;
    journal.wait_durable(lsn)?;
    let mut payloads = Vec::new();
    for lsn in journal.oldest().get()..=journal.synced().get() {
        let record = journal.read(Lsn::new(lsn))?;
        payloads.push(
            String::from_utf8_lossy(&record.payload)
                .trim_end()
                .to_owned(),
        );
    }
    journal.close()?;
    Ok(payloads)
}

/// Both runs in a fresh `root`.
///
/// # Errors
/// Whatever the journal says.
pub(crate) fn run(root: &Path) -> Result<Vec<String>, Box<dyn Error>> {
    let disk: Arc<dyn Disk> = Arc::new(RealDisk::new());
    let dir = root.join("journal");
    disk.create_dir_all(root)?;
    // Two writers in one directory would destroy it, so whoever writes holds the lock. A journal can
    // be given it to hold (`Journal::holding`).
    let _lock = disk.lock(&root.join("LOCK"))?;
    let options = JournalOptions::new().segment_bytes(1024 * 1024);
    first_run(&disk, &dir, options)?;
    second_run(&disk, &dir, options)
}

#[expect(clippy::print_stdout, reason = "an example shows what it did")]
fn main() -> Result<(), Box<dyn Error>> {
    let given = std::env::args().nth(1).map(PathBuf::from);
    let fresh = tempfile::tempdir()?;
    for (number, payload) in run(given.as_deref().unwrap_or(fresh.path()))?
        .iter()
        .enumerate()
    {
        println!("LSN {}: {payload}", number + 1);
    }
    Ok(())
}
