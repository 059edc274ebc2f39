//! Puts the checksums of a group right, so that a fuzzer gets past them to what they protect.
//!
//! For tests only (feature `testing`). Follows the lengths in the bytes as far as they are possible
//! and gives up where they are not.

use super::GroupContext;
use crate::bytes::{put, u16_at, u32_at};
use crate::format::{
    GROUP_HEADER_BYTES, GROUP_MAGIC, PAGE_BYTES, RECORD_ALIGN_BYTES, RECORD_HEADER_BYTES, group_at,
    record_at,
};

const PAGE: usize = PAGE_BYTES as usize;

/// Mends the group at the start of `bytes`, which lie at `offset_bytes` of the segment, and each
/// group that follows it without a gap.
pub fn mend(bytes: &mut [u8], offset_bytes: u64, context: &GroupContext) {
    let (mut rest, mut offset_bytes) = (bytes, offset_bytes);
    while let Some(group_bytes) = mend_one(rest, offset_bytes, context) {
        let Some((_, after)) = rest.split_at_mut_checked(group_bytes) else {
            return;
        };
        rest = after;
        offset_bytes += group_bytes as u64;
    }
}

/// Length of the group in bytes, if it has a possible one.
fn mend_one(bytes: &mut [u8], offset_bytes: u64, context: &GroupContext) -> Option<usize> {
    let group_bytes = u32_at(bytes, group_at::PADDED)? as usize;
    let group = bytes.get_mut(..group_bytes)?;
    let pages = group_bytes / PAGE;
    let table_end = GROUP_HEADER_BYTES + 4 * pages;
    if pages == 0 || !group_bytes.is_multiple_of(PAGE) || table_end > PAGE {
        return None;
    }
    put(group, group_at::MAGIC, &GROUP_MAGIC.to_le_bytes());
    put(
        group,
        group_at::SEGMENT,
        &context.segment.get().to_le_bytes(),
    );
    // Records are mended as far as their lengths go; the rest stays as it is.
    let _ = mend_records(group, offset_bytes, context);
    for page in 0..pages {
        let from = if page == 0 { table_end } else { page * PAGE };
        let summed = group.get(from..(page + 1) * PAGE)?;
        let sum = context
            .seed
            .sum(offset_bytes + (page * PAGE) as u64, summed);
        put(group, group_at::TABLE + 4 * page, &sum.to_le_bytes());
    }
    let summed = group.get(group_at::CRC_FROM..table_end)?;
    let sum = context.seed.sum(offset_bytes, summed);
    put(group, group_at::CRC, &sum.to_le_bytes());
    Some(group_bytes)
}

fn mend_records(group: &mut [u8], offset_bytes: u64, context: &GroupContext) -> Option<()> {
    let used = (u32_at(group, group_at::USED)? as usize).min(group.len());
    let mut from = usize::from(u16_at(group, group_at::RECORDS)?);
    loop {
        let record = group.get_mut(from..used)?;
        let payload_bytes = u32_at(record, record_at::PAYLOAD_BYTES)? as usize;
        let end = RECORD_HEADER_BYTES.checked_add(payload_bytes)?;
        let summed = record.get(record_at::CRC_FROM..end)?;
        let sum = context.seed.sum(offset_bytes + from as u64, summed);
        put(record, record_at::CRC, &sum.to_le_bytes());
        from = from.checked_add(end.checked_next_multiple_of(RECORD_ALIGN_BYTES)?)?;
    }
}
