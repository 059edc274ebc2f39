//! A snapshot file from outside: once with the fuzzer's bytes, and once with the fuzzer's header and chunks in a
//! file of which every length, count and checksum is right.

use std::path::Path;
use std::sync::Arc;

use arbitrary::{Arbitrary, Unstructured};
use torrens::snapshot::{SnapshotMeta, SnapshotReader, SnapshotWriter, check_bytes, receive};
use torrens_journal::disk::Disk;
use torrens_journal::testing::SimDisk;

use crate::Strings;

/// Nothing but a typed answer, within bounded memory; what is accepted is received, read, and written again as
/// the same rows.
pub fn snapshot(data: &[u8]) {
    check(data);
    if let Ok(Strings(parts)) = Strings::arbitrary(&mut Unstructured::new(data)) {
        check(&forged(&parts));
    }
}

/// docs/FORMAT.md, with a header and chunks (four bytes of rows, then the payload) that somebody else made up.
fn forged(parts: &[&[u8]]) -> Vec<u8> {
    let (meta, chunks) = parts.split_first().unwrap_or((&(&[] as &[u8]), &[]));
    let mut file = [
        b"TORRSNAP".as_slice(),
        &1_u16.to_le_bytes(),
        &[0; 2],
        &(meta.len() as u32).to_le_bytes(),
    ]
    .concat();
    let salt = sum(&[&file, meta]);
    file.extend(salt.to_le_bytes());
    file.extend(*meta);
    let (mut rows_in_all, mut payload_bytes) = (0_u64, 0_u64);
    for (number, chunk) in (0_u32..).zip(chunks) {
        let (rows, payload) = chunk.split_first_chunk::<4>().unwrap_or((&[0; 4], &[]));
        let words = [
            number.to_le_bytes(),
            (payload.len() as u32).to_le_bytes(),
            *rows,
        ]
        .concat();
        file.extend(b"CHNK");
        file.extend(&words);
        file.extend(sum(&[&salt.to_le_bytes(), &words, payload]).to_le_bytes());
        file.extend(payload);
        rows_in_all += u64::from(u32::from_le_bytes(*rows));
        payload_bytes += payload.len() as u64;
    }
    file.extend(b"TAIL");
    file.extend((chunks.len() as u32).to_le_bytes());
    file.extend(rows_in_all.to_le_bytes());
    file.extend(payload_bytes.to_le_bytes());
    let whole = sum(&[&file]);
    file.extend(whole.to_le_bytes());
    file
}

fn sum(parts: &[&[u8]]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    parts.iter().for_each(|part| hasher.update(part));
    hasher.finalize()
}

fn check(bytes: &[u8]) {
    let Ok(meta) = check_bytes(bytes) else {
        return;
    };
    let disk: Arc<dyn Disk> = Arc::new(SimDisk::new(1));
    let (dir, again) = (Path::new("staged"), Path::new("again"));
    for dir in [dir, again] {
        let made = disk.create_dir_all(dir);
        made.expect("an empty simulated disk takes a directory");
    }
    let name = meta.name(3);
    let received = receive(Arc::clone(&disk), dir, name, bytes, bytes.len() as u64);
    let (received, _) = received.expect("what is sound is received");
    assert_eq!(received, meta);
    let reader = SnapshotReader::open(&*disk, dir, name).expect("it was staged");
    let (_, content) = reader.verify_content().expect("and is sound");
    let rows = reader.rows().expect("it was checked");
    let copied = copied(&disk, again, &meta, rows);
    let (_, same) = copied.verify_content().expect("what was written is sound");
    assert_eq!(content, same, "the rows are the same");
}

/// The rows, written by the store's own writer, which checks each.
fn copied(
    disk: &Arc<dyn Disk>,
    dir: &Path,
    meta: &SnapshotMeta,
    rows: torrens::snapshot::SnapshotRows,
) -> SnapshotReader {
    let writer = SnapshotWriter::create(Arc::clone(disk), dir, 3, meta);
    let mut writer = writer.expect("the region is valid");
    for row in rows {
        let row = row.expect("the file was verified");
        let pushed = writer.push_cf(row.cf, &row.key, &row.value);
        pushed.expect("rows that were read are in order and inside");
    }
    writer.finish().expect("a simulated disk takes a file");
    SnapshotReader::open(&**disk, dir, meta.name(3)).expect("it was written")
}
