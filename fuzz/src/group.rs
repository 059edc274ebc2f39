//! The frame decoder: one group of records at one place of a segment.

use torrens_journal::{Boot, GroupContext, Lsn, SegmentHeader, SegmentId, StoreUuid, group};

/// The place that the fuzzer's bytes are decoded at.
pub(crate) const SEGMENT_BYTES: u64 = 64 * 1024;

/// The header of the segment that the fuzzer's groups lie in.
pub(crate) fn header() -> SegmentHeader {
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
/// A fuzzer does not guess a checksum, so the bytes are also tried with their checksums put right.
pub fn group(data: &[u8]) {
    let context = GroupContext::new(&header());
    let offset = torrens_journal::format::SEGMENT_HEADER_BYTES;
    check(data, offset, &context);
    let mut mended = data.to_vec();
    torrens_journal::testing::mend(&mut mended, offset, &context);
    check(&mended, offset, &context);
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
