//! The segment scan: a directory with one segment whose bytes are the fuzzer's.

use std::path::Path;
use std::sync::Arc;

use torrens_journal::disk::{Disk, OpenMode};
use torrens_journal::testing::SimDisk;
use torrens_journal::{Expectation, Found, GroupContext, SegmentId, SegmentReader, list};

use crate::group::{SEGMENT_BYTES, first_header};

/// Lays the bytes after a good header and walks them as recovery does: groups in a chain, then
/// whatever verifies by itself behind the first that does not.
pub fn segment(data: &[u8]) {
    let header = first_header();
    let mut bytes = header.encode();
    bytes.extend(header.encode());
    bytes.extend(data.iter().take(SEGMENT_BYTES as usize - bytes.len()));
    bytes.resize(SEGMENT_BYTES as usize, 0);
    walk(&bytes);
    let offset = torrens_journal::format::SEGMENT_HEADER_BYTES;
    if let Some(groups) = bytes.get_mut(offset as usize..) {
        torrens_journal::testing::mend(groups, offset, &GroupContext::new(&header));
    }
    walk(&bytes);
}

fn walk(bytes: &[u8]) {
    let disk: Arc<dyn Disk> = Arc::new(SimDisk::new(1));
    let dir = Path::new("journal");
    let path = dir.join(SegmentId::FIRST.file_name());
    disk.create_dir_all(dir)
        .expect("an empty simulated disk takes a directory");
    let file = disk.open(&path, OpenMode::CreateNew).expect("and a file");
    file.write_all_at(0, bytes).expect("and its bytes");

    let found = list(&*disk, dir).expect("a simulated disk lists its directory");
    assert_eq!(found.segments.len(), 1);
    let mut reader = SegmentReader::open(&*disk, dir, SegmentId::FIRST, None)
        .expect("a simulated disk reads its file");
    let Ok(header) = reader.header().cloned() else {
        return;
    };
    let mut expected = Expectation::first_of(&header);
    let mut offset = torrens_journal::format::SEGMENT_HEADER_BYTES;
    while let Found::Group(group) = reader.group_at(offset, Some(&expected)).expect("readable") {
        assert!(group.end_offset_bytes() > offset, "the walk moves on");
        expected = Expectation::after(&group.header);
        offset = group.end_offset_bytes();
    }
    assert!(
        offset <= SEGMENT_BYTES,
        "no group reaches behind the segment"
    );
    let groups = reader.tail_scan(offset).count() as u64;
    assert!(
        groups <= SEGMENT_BYTES / 4096,
        "a tail holds at most one group a page"
    );
}
