//! One record inside a group: a 24-byte header and an opaque payload.
//!
//! Pure. The record's own checksum makes it safe to read alone, by its offset. Not here: what kind,
//! tag and payload mean; groups ([`crate::group`]).

use crate::bytes::{put, u16_at, u32_at, u64_at};
use crate::checksum::Seed;
use crate::format::{RECORD_ALIGN_BYTES, RECORD_HEADER_BYTES, record_at as at};
use crate::ids::RecordKind;
use crate::lsn::Lsn;

/// A record to append.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NewRecord<'a> {
    /// What the payload is, in the caller's own numbering.
    pub kind: RecordKind,
    /// Free for the caller, for example a hash of the region, to find records without decoding.
    pub tag: u32,
    /// Opaque bytes, at most
    /// [`JournalOptions::payload_bytes_max`](crate::JournalOptions::payload_bytes_max).
    pub payload: &'a [u8],
}

/// A record as it was read, borrowed from the reader's buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordRef<'a> {
    /// Its position in the journal.
    pub lsn: Lsn,
    /// What the payload is.
    pub kind: RecordKind,
    /// The caller's own tag.
    pub tag: u32,
    /// The bytes as they were appended.
    pub payload: &'a [u8],
    /// Where the record's header starts in the segment file.
    pub offset_bytes: u64,
}

/// Why the bytes at a record's place are not that record, inside a group whose checksums match.
///
/// Only a writer with a bug, or a forger, makes such a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RecordFault {
    /// The group's used bytes end inside the record.
    #[error("record at offset {offset_bytes} runs past its group's {left_bytes} remaining bytes")]
    PastGroup {
        /// Where the record starts in the file.
        offset_bytes: u64,
        /// Bytes that the group had left.
        left_bytes: u64,
    },
    /// The record's checksum does not match.
    #[error(
        "record at offset {offset_bytes}: checksum stored {stored:#010x}, computed {computed:#010x}"
    )]
    Checksum {
        /// Where the record starts in the file.
        offset_bytes: u64,
        /// The value in the record.
        stored: u32,
        /// The value of the bytes.
        computed: u32,
    },
    /// The record carries another position than its place in the group.
    #[error("record at offset {offset_bytes} carries LSN {found}, expected {expected}")]
    Lsn {
        /// Where the record starts in the file.
        offset_bytes: u64,
        /// The position that follows from the group.
        expected: Lsn,
        /// The position in the record.
        found: Lsn,
    },
    /// The reserved field is not zero.
    #[error("record at offset {offset_bytes} has reserved field {found:#06x}, expected zero")]
    Reserved {
        /// Where the record starts in the file.
        offset_bytes: u64,
        /// The value found.
        found: u16,
    },
    /// Bytes are left after the last record that the group counts.
    #[error("group has {left_bytes} bytes after its last record, at offset {offset_bytes}")]
    Trailing {
        /// Where the bytes start in the file.
        offset_bytes: u64,
        /// How many there are.
        left_bytes: u64,
    },
}

/// Appends a record to `buffer`, without its checksum: that needs the place in the file.
pub(crate) fn push(buffer: &mut Vec<u8>, lsn: Lsn, record: &NewRecord<'_>) {
    let payload_bytes =
        u32::try_from(record.payload.len()).expect("the payload's length was checked before");
    let mut head = [0; RECORD_HEADER_BYTES];
    put(&mut head, at::PAYLOAD_BYTES, &payload_bytes.to_le_bytes());
    put(&mut head, at::LSN, &lsn.get().to_le_bytes());
    put(&mut head, at::KIND, &record.kind.get().to_le_bytes());
    put(&mut head, at::TAG, &record.tag.to_le_bytes());
    buffer.extend_from_slice(&head);
    buffer.extend_from_slice(record.payload);
    buffer.resize(buffer.len().next_multiple_of(RECORD_ALIGN_BYTES), 0);
}

/// Writes the checksum of each record in `records`, whose first byte lies at `offset_bytes` of the
/// file. The bytes are our own, made by [`push`].
pub(crate) fn stamp_checksums(mut records: &mut [u8], mut offset_bytes: u64, seed: Seed) {
    while let Some(payload_bytes) = u32_at(records, at::PAYLOAD_BYTES) {
        let end = RECORD_HEADER_BYTES + payload_bytes as usize;
        let padded = end.next_multiple_of(RECORD_ALIGN_BYTES);
        let (record, rest) = records
            .split_at_mut_checked(padded)
            .expect("push wrote whole records");
        let summed = record
            .get(at::CRC_FROM..end)
            .expect("a record has a header");
        let crc = seed.sum(offset_bytes, summed);
        put(record, at::CRC, &crc.to_le_bytes());
        offset_bytes += padded as u64;
        records = rest;
    }
}

/// The records of one group, in order; after an `Err` it yields nothing more.
#[derive(Clone, Debug)]
pub struct Records<'a> {
    rest: &'a [u8],
    offset_bytes: u64,
    next_lsn: Lsn,
    left: u32,
    /// `None` if the checksums were compared before.
    seed: Option<Seed>,
    ended: bool,
}

impl<'a> Records<'a> {
    /// `records` are the used bytes of a group after its table; they lie at `offset_bytes`.
    pub(crate) fn new(
        records: &'a [u8],
        offset_bytes: u64,
        first_lsn: Lsn,
        count: u32,
        seed: Seed,
    ) -> Self {
        Records {
            rest: records,
            offset_bytes,
            next_lsn: first_lsn,
            left: count,
            seed: Some(seed),
            ended: false,
        }
    }

    /// The same records, for a caller that has compared their checksums before.
    pub(crate) fn without_checksums(self) -> Self {
        Records { seed: None, ..self }
    }

    fn decode_next(&mut self) -> Result<RecordRef<'a>, RecordFault> {
        let offset_bytes = self.offset_bytes;
        let rest = self.rest;
        let past_group = || RecordFault::PastGroup {
            offset_bytes,
            left_bytes: rest.len() as u64,
        };
        let payload_bytes = u32_at(rest, at::PAYLOAD_BYTES).ok_or_else(past_group)? as usize;
        let end = RECORD_HEADER_BYTES
            .checked_add(payload_bytes)
            .ok_or_else(past_group)?;
        let padded = end
            .checked_next_multiple_of(RECORD_ALIGN_BYTES)
            .ok_or_else(past_group)?;
        let (record, after) = rest.split_at_checked(padded).ok_or_else(past_group)?;
        let stored = u32_at(record, at::CRC).ok_or_else(past_group)?;
        let summed = record.get(at::CRC_FROM..end).ok_or_else(past_group)?;
        let computed = self
            .seed
            .map_or(stored, |seed| seed.sum(offset_bytes, summed));
        if stored != computed {
            return Err(RecordFault::Checksum {
                offset_bytes,
                stored,
                computed,
            });
        }
        let found = Lsn::new(u64_at(record, at::LSN).ok_or_else(past_group)?);
        if found != self.next_lsn {
            return Err(RecordFault::Lsn {
                offset_bytes,
                expected: self.next_lsn,
                found,
            });
        }
        let reserved = u16_at(record, at::RESERVED).ok_or_else(past_group)?;
        if reserved != 0 {
            return Err(RecordFault::Reserved {
                offset_bytes,
                found: reserved,
            });
        }
        let decoded = RecordRef {
            lsn: found,
            kind: RecordKind::new(u16_at(record, at::KIND).ok_or_else(past_group)?),
            tag: u32_at(record, at::TAG).ok_or_else(past_group)?,
            payload: record.get(at::PAYLOAD..end).ok_or_else(past_group)?,
            offset_bytes,
        };
        self.rest = after;
        self.offset_bytes += padded as u64;
        // The group's header was refused if its last LSN overflows, so this only saturates there.
        self.next_lsn = self.next_lsn.next().unwrap_or(self.next_lsn);
        self.left -= 1;
        Ok(decoded)
    }
}

impl<'a> Iterator for Records<'a> {
    type Item = Result<RecordRef<'a>, RecordFault>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        if self.left == 0 {
            self.ended = true;
            return (!self.rest.is_empty()).then_some(Err(RecordFault::Trailing {
                offset_bytes: self.offset_bytes,
                left_bytes: self.rest.len() as u64,
            }));
        }
        let decoded = self.decode_next();
        self.ended = decoded.is_err();
        Some(decoded)
    }
}

#[cfg(test)]
mod tests;
