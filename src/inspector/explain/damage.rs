//! What lies where a lost group should be, and whether one flipped bit explains it.

use torrens_journal::disk::OpenMode;
use torrens_journal::format::PAGE_BYTES;
use torrens_journal::group::{GroupContext, decode};
use torrens_journal::{Expectation, SegmentReader};
use torrens_recovery::facts::SegmentFacts;

use super::Explanation;
use crate::inspector::{Description, InspectError, Inspector, describe};

/// Pages of a group in which a flipped bit is searched for; a larger group takes too long.
const FLIP_PAGES_MAX: u64 = 64;

/// One bit that, flipped back, makes the group at the damage whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FlippedBit {
    /// Offset of its byte in the segment file.
    pub offset_bytes: u64,
    /// Its number in the byte, from 0.
    pub bit: u32,
    /// The byte as it is.
    pub found: u8,
    /// The records that the group would hold then.
    pub candidates: Vec<Description>,
}

impl Inspector {
    /// What lies where the lost group should be.
    pub(super) fn look_at_damage(&self, explanation: &mut Explanation) -> Result<(), InspectError> {
        let Some(position) = explanation.stop else {
            return Ok(());
        };
        let mut facts = explanation.picture.evidence.segments.iter();
        let Some(facts) = facts.find(|facts| facts.id == position.segment).cloned() else {
            return Ok(());
        };
        let dir = &self.directories.journal;
        let Ok(mut reader) = SegmentReader::open(&*self.disk, dir, facts.id, None) else {
            return Ok(());
        };
        if reader
            .is_zero_in(position.offset_bytes..position.offset_bytes + PAGE_BYTES)
            .unwrap_or(false)
        {
            explanation.evidence.push(
                "the page at the stop is all zero: the write never reached the device, or its blocks were \
                 discarded since"
                    .to_owned(),
            );
            return Ok(());
        }
        // Where readable groups go on bounds what is damaged.
        let next = facts.later.first_offset_bytes;
        if let Some(next) = next {
            explanation.evidence.push(format!(
                "readable groups go on at offset {next:#x}, {} bytes behind the stop",
                next.saturating_sub(position.offset_bytes)
            ));
        }
        let group = self.flipped(&mut reader, &facts, position.offset_bytes);
        explanation.evidence.push(match &group {
            Some(flip) => format!(
                "the group is whole if bit {} of byte {:#x} is flipped ({:#04x} becomes {:#04x}): bit rot, or a \
                 memory module that fails",
                flip.bit,
                flip.offset_bytes,
                flip.found,
                flip.found ^ (1 << flip.bit)
            ),
            None => "no single flipped bit explains it".to_owned(),
        });
        explanation.flipped = group;
        Ok(())
    }

    /// The bit that makes the group at `offset_bytes` the next one when it is flipped.
    fn flipped(
        &self,
        reader: &mut SegmentReader,
        facts: &SegmentFacts,
        offset_bytes: u64,
    ) -> Option<FlippedBit> {
        let context = GroupContext::new(reader.header().ok()?);
        let expected = Expectation {
            lsn: facts.expected,
            chain: facts.chain,
            group_number: facts.group_number.saturating_add(1),
            boot: facts.boot,
        };
        // What lies behind the next readable group is not part of this one.
        let end = match facts.later.first_offset_bytes {
            Some(next) if next > offset_bytes => next,
            _ => offset_bytes + FLIP_PAGES_MAX * PAGE_BYTES,
        };
        let bytes = end.min(reader.file_bytes()).saturating_sub(offset_bytes);
        if bytes > FLIP_PAGES_MAX * PAGE_BYTES && facts.later.first_offset_bytes.is_some() {
            return None;
        }
        let mut buffer = vec![0; usize::try_from(bytes).ok()?];
        let file = self.disk.open(reader.path(), OpenMode::Read).ok()?;
        file.read_exact_at(offset_bytes, &mut buffer).ok()?;
        // Until the header verifies, only bits of the first page can be the one; then all of its pages.
        let pages = |buffer: &[u8]| {
            torrens_journal::group::decode_header(buffer, offset_bytes, &context)
                .map(|header| header.padded_bytes as usize)
        };
        let searched = pages(&buffer)
            .unwrap_or(PAGE_BYTES as usize)
            .min(buffer.len());
        for index in 0..searched {
            for bit in 0..8u32 {
                let found = *buffer.get(index)?;
                *buffer.get_mut(index)? = found ^ (1 << bit);
                let group = match pages(&buffer) {
                    Ok(_) => decode(&buffer, offset_bytes, &context).ok(),
                    Err(_) => None,
                };
                if let Some(group) = group
                    && expected.check(&group.header).is_ok()
                {
                    let candidates = group
                        .records()
                        .map_while(Result::ok)
                        .map(|record| describe(record.lsn, record.kind, record.payload));
                    return Some(FlippedBit {
                        offset_bytes: offset_bytes + index as u64,
                        bit,
                        found,
                        candidates: candidates.collect(),
                    });
                }
                *buffer.get_mut(index)? = found;
            }
        }
        None
    }
}
