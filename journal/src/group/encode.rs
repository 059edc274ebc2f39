//! Encoding a group: records, page checksums, header, in this order.

use super::{GroupFlags, PAGE};
use crate::bytes::put;
use crate::checksum::Seed;
use crate::format::{self, GROUP_HEADER_BYTES, group_at as at};
use crate::ids::{Boot, SegmentId};
use crate::lsn::Lsn;
use crate::record::stamp_checksums;

/// What a writer states in a group's header beside what follows from the records.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sealing {
    pub(crate) offset_bytes: u64,
    pub(crate) first_lsn: Lsn,
    pub(crate) record_count: u32,
    pub(crate) chain: u32,
    pub(crate) segment: SegmentId,
    pub(crate) durable_lsn: Lsn,
    pub(crate) durable_chain: u32,
    pub(crate) flags: GroupFlags,
    pub(crate) boot: Boot,
    pub(crate) number: u32,
}

/// Encodes a group into `out`, which is as long as the group, replacing what it held. `records`
/// were made by `record::push` and fit one group. Returns the header's checksum, the chain value of
/// the next group.
pub(crate) fn encode(out: &mut [u8], records: &[u8], sealing: &Sealing, seed: Seed) -> u32 {
    let padded = out.len();
    let pages = (padded / PAGE) as u64;
    let from = format::records_offset_bytes(pages) as usize;
    let used = from + records.len();
    let (head, rest) = out
        .split_at_mut_checked(from)
        .expect("the records fit the group");
    let (body, padding) = rest
        .split_at_mut_checked(records.len())
        .expect("the records fit the group");
    head.fill(0);
    body.copy_from_slice(records);
    padding.fill(0);
    stamp_checksums(body, sealing.offset_bytes + from as u64, seed);

    let table_end = GROUP_HEADER_BYTES + 4 * pages as usize;
    for number in 0..pages as usize {
        let start = number * PAGE;
        let from = if number == 0 { table_end } else { start };
        let summed = out
            .get(from..start + PAGE)
            .expect("the group has whole pages");
        let crc = seed.sum(sealing.offset_bytes + start as u64, summed);
        put(out, at::TABLE + 4 * number, &crc.to_le_bytes());
    }
    put(out, at::MAGIC, &format::GROUP_MAGIC.to_le_bytes());
    put(out, at::PADDED, &(padded as u32).to_le_bytes());
    put(out, at::USED, &(used as u32).to_le_bytes());
    put(out, at::FIRST_LSN, &sealing.first_lsn.get().to_le_bytes());
    put(out, at::COUNT, &sealing.record_count.to_le_bytes());
    put(out, at::CHAIN, &sealing.chain.to_le_bytes());
    put(out, at::SEGMENT, &sealing.segment.get().to_le_bytes());
    put(
        out,
        at::DURABLE_LSN,
        &sealing.durable_lsn.get().to_le_bytes(),
    );
    put(out, at::DURABLE_CHAIN, &sealing.durable_chain.to_le_bytes());
    put(out, at::FLAGS, &sealing.flags.bits().to_le_bytes());
    put(out, at::RECORDS, &(from as u16).to_le_bytes());
    put(out, at::BOOT, &sealing.boot.get().to_le_bytes());
    put(out, at::NUMBER, &sealing.number.to_le_bytes());
    let summed = out
        .get(at::CRC_FROM..table_end)
        .expect("the table lies in the first page");
    let crc = seed.sum(sealing.offset_bytes, summed);
    put(out, at::CRC, &crc.to_le_bytes());
    crc
}
