//! The frame decoder: one group of records at one place of a segment.

use std::path::Path;
use std::sync::Arc;

use arbitrary::{Arbitrary, Unstructured};
use torrens_journal::disk::Disk;
use torrens_journal::format::{PAGE_BYTES, SEGMENT_HEADER_BYTES};
use torrens_journal::testing::{SimDisk, mend};
use torrens_journal::{
    Boot, GroupContext, Journal, JournalOptions, Lsn, NewRecord, RecordKind, SegmentHeader,
    SegmentId, StoreUuid, group, header,
};

use crate::Strings;

/// The place that the fuzzer's bytes are decoded at.
pub(crate) const SEGMENT_BYTES: u64 = 64 * 1024;

/// The header of the segment that the fuzzer's groups lie in.
pub(crate) fn first_header() -> SegmentHeader {
    SegmentHeader {
        format_minor: 0,
        compat_flags: 0,
        store: StoreUuid([7; 16]),
        segment: SegmentId::FIRST,
        salt: 0x5a17,
        first_lsn: Lsn::FIRST,
        file_bytes: SEGMENT_BYTES,
        boot: Boot::FIRST,
        predecessor: None,
        oldest_needed_lsn: Lsn::FIRST,
        wall_clock_micros: 0,
    }
}

/// Decodes the bytes as a group; if they are one, every record of it must be whole and in order.
///
/// A fuzzer does not guess a checksum, so the bytes are also tried with their checksums put right; and as changes
/// of a group that the journal wrote.
pub fn group(data: &[u8]) {
    let context = GroupContext::new(&first_header());
    check(data, SEGMENT_HEADER_BYTES, &context);
    let mut mended = data.to_vec();
    mend(&mut mended, SEGMENT_HEADER_BYTES, &context);
    check(&mended, SEGMENT_HEADER_BYTES, &context);
    if let Ok(Strings(parts)) = Strings::arbitrary(&mut Unstructured::new(data)) {
        changed(&parts);
    }
}

/// Writes all but the first string as the records of one group, and changes the bytes that the first one names
/// (each: two of a place, one of bits). What the journal wrote is read as it was; with a changed byte it is refused.
fn changed(parts: &[&[u8]]) -> Option<()> {
    let (changes, payloads) = parts.split_first()?;
    let records = payloads.iter().map(|payload| NewRecord {
        kind: RecordKind::new(u16::from(payload.first().copied().unwrap_or(7))),
        tag: 1,
        payload,
    });
    let records: Vec<NewRecord<'_>> = records.collect();
    if records.is_empty() {
        return None;
    }
    let (bytes, context) = written(&records)?;
    let decoded = group::decode(&bytes, SEGMENT_HEADER_BYTES, &context);
    let decoded = decoded.expect("what the journal wrote is a group");
    let mut found = 0;
    for (record, wanted) in decoded.records().zip(&records) {
        let record = record.expect("it is whole");
        assert_eq!((record.kind, record.payload), (wanted.kind, wanted.payload));
        found += 1;
    }
    assert_eq!(found, records.len(), "every record is there");
    let group_bytes = decoded.bytes().len();

    let mut torn = bytes.clone();
    for change in changes.chunks_exact(3) {
        let [low, high, bits] = *change.first_chunk::<3>()?;
        let at = usize::from(u16::from_le_bytes([low, high])) % group_bytes;
        *torn.get_mut(at)? ^= bits;
    }
    let is_changed = torn.get(..group_bytes) != bytes.get(..group_bytes);
    let again = group::decode(&torn, SEGMENT_HEADER_BYTES, &context);
    assert_eq!(again.is_err(), is_changed, "a changed byte is never read");
    Some(())
}

/// A segment with one group of these records, from behind its header; and what it is decoded with. `None` if they
/// do not fit.
fn written(records: &[NewRecord<'_>]) -> Option<(Vec<u8>, GroupContext)> {
    let simulated = SimDisk::new(1);
    let disk: Arc<dyn Disk> = Arc::new(simulated.clone());
    let dir = Path::new("journal");
    let options = JournalOptions::new().segment_bytes(SEGMENT_BYTES);
    let journal = Journal::create(disk, dir, StoreUuid([7; 16]), options);
    let journal = journal.expect("a simulated disk takes a journal");
    journal.append_all(records).ok()?;
    journal.sync().expect("nothing fails");
    let bytes = simulated.contents(&dir.join(SegmentId::FIRST.file_name()))?;
    let header = header::decode(bytes.get(..PAGE_BYTES as usize)?, None, None).ok()?;
    let from = usize::try_from(SEGMENT_HEADER_BYTES).ok()?;
    Some((bytes.get(from..)?.to_vec(), GroupContext::new(&header)))
}

fn check(data: &[u8], offset: u64, context: &GroupContext) {
    let Ok(group) = group::decode(data, offset, context) else {
        return;
    };
    assert!(
        group.bytes().len() <= data.len(),
        "a group lies inside its input"
    );
    let mut next = group.header.first_lsn;
    let mut count = 0;
    for record in group.records() {
        let Ok(record) = record else { return };
        assert_eq!(record.lsn, next, "LSNs are dense");
        assert!(record.payload.len() <= data.len());
        next = record
            .lsn
            .next()
            .expect("a header names an LSN after the last record");
        count += 1;
    }
    assert_eq!(
        count, group.header.record_count,
        "a group holds as many records as it says"
    );
}
