//! `JournalBuilder`: the groups and headers of a journal at rest, made from its records: what a writer
//! would have left in its files. For tools that make a journal anew (a fixture, a salvage), never for a
//! journal that is written to.
//!
//! Pure: it gives bytes and says where they belong. Not here: files, syncs, the order of writes that makes
//! a crash harmless (the writer); a journal that is built has its name only when it is complete.

use std::collections::VecDeque;

use crate::checksum::Seed;
use crate::format::{
    self, GROUP_PAGES_MAX, PAGE_BYTES, PAYLOAD_BYTES_MAX, SEGMENT_BYTES_MAX, SEGMENT_BYTES_MIN,
    SEGMENT_HEADER_BYTES,
};
use crate::group::{GroupFlags, Sealing, encode};
use crate::header::{self, HeaderFault, Predecessor, SegmentHeader};
use crate::ids::{Boot, SegmentId};
use crate::lsn::Lsn;
use crate::record::{self, NewRecord};

/// What a group says beside its records. What is `None` follows from the groups before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GroupPlan {
    /// The boot that writes it.
    pub boot: Boot,
    /// Highest LSN that was durable when it was sealed; below its first record.
    pub durable_lsn: Lsn,
    /// Header checksum of the group that ends at `durable_lsn`; if `None`, that of the last group built
    /// that does, and 0 if none does.
    pub durable_chain: Option<u32>,
    /// See [`GroupFlags`].
    pub flags: GroupFlags,
    /// Its length, a multiple of the page; if `None`, the least that holds the records.
    pub padded_bytes: Option<u32>,
}

/// A group that was built.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BuiltGroup {
    /// Where it belongs in its segment's file.
    pub offset_bytes: u64,
    /// Its bytes, whole pages.
    pub bytes: Vec<u8>,
}

/// Why something cannot be in a journal.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BuildFault {
    /// No segment was begun.
    #[error("no segment was begun")]
    NoSegment,
    /// The header is none that a reader accepts.
    #[error("the header of segment {segment} cannot be")]
    Header {
        /// The segment.
        segment: SegmentId,
        /// Why a reader would refuse it.
        #[source]
        fault: HeaderFault,
    },
    /// The segment does not follow the one before.
    #[error(
        "segment {found} with first LSN {found_lsn} does not follow segment {last}; LSN {expected_lsn} is next"
    )]
    Order {
        /// The segment before.
        last: SegmentId,
        /// The one that was to be begun.
        found: SegmentId,
        /// Its first LSN.
        found_lsn: Lsn,
        /// The LSN that comes next.
        expected_lsn: Lsn,
    },
    /// A payload is longer than any group holds.
    #[error("a payload of {bytes} bytes is longer than {max}")]
    PayloadTooLong {
        /// Its length.
        bytes: u64,
        /// The longest.
        max: u64,
    },
    /// The records do not fit the group or the group does not fit the segment.
    #[error(
        "a group at offset {offset_bytes} of segment {segment} does not fit: it needs {needed_bytes} bytes, there are {room_bytes}"
    )]
    NoRoom {
        /// The segment.
        segment: SegmentId,
        /// Where the group would begin.
        offset_bytes: u64,
        /// What it needs.
        needed_bytes: u64,
        /// What there is.
        room_bytes: u64,
    },
    /// A group says that records are durable which come in it or after it.
    #[error("a group that begins with LSN {first_lsn} cannot say that {durable_lsn} is durable")]
    Durable {
        /// Its first record.
        first_lsn: Lsn,
        /// What it says.
        durable_lsn: Lsn,
    },
    /// There is no LSN left.
    #[error("the LSNs are used up")]
    LsnsUsedUp,
}

/// The open segment.
#[derive(Clone, Debug)]
struct Open {
    header: SegmentHeader,
    seed: Seed,
    offset_bytes: u64,
    groups: u32,
}

/// Builds one segment after the other, and in each one group after the other.
#[derive(Clone, Debug, Default)]
pub struct JournalBuilder {
    open: Option<Open>,
    next_lsn: Lsn,
    chain: u32,
    /// Where each of the last groups ends; the newest last.
    ends: VecDeque<Predecessor>,
}

/// Groups whose ends are remembered. A writer seals few groups before the first of them is durable.
const ENDS_MAX: usize = 4096;

impl JournalBuilder {
    /// A journal without a segment.
    pub fn new() -> Self {
        Self::default()
    }

    /// The LSN of the record that comes next; 0 before the first segment.
    pub fn next_lsn(&self) -> Lsn {
        self.next_lsn
    }

    /// Where the open segment ends so far.
    pub fn end(&self) -> Option<Predecessor> {
        let open = self.open.as_ref()?;
        Some(Predecessor {
            segment: open.header.segment,
            last_lsn: Lsn::new(self.next_lsn.get().saturating_sub(1)),
            end_offset_bytes: open.offset_bytes,
            chain: self.chain,
        })
    }

    /// Bytes that a group may still take in the open segment, of which the last page is kept for a seal.
    pub fn room_bytes(&self) -> u64 {
        self.open.as_ref().map_or(0, |open| {
            open.header
                .file_bytes
                .saturating_sub(open.offset_bytes)
                .saturating_sub(PAGE_BYTES)
        })
    }

    /// Where the last group that ends with `lsn` ends, if it is among the last few thousand.
    pub fn end_at(&self, lsn: Lsn) -> Option<Predecessor> {
        self.ends
            .iter()
            .rev()
            .find(|end| end.last_lsn == lsn)
            .copied()
    }

    /// Begins the segment of `header`. Gives the page that belongs at offset 0 and at 4096.
    ///
    /// # Errors
    /// [`BuildFault::Header`] or [`BuildFault::Order`]; nothing is begun then.
    pub fn begin_segment(&mut self, header: &SegmentHeader) -> Result<Vec<u8>, BuildFault> {
        let SegmentHeader {
            segment,
            first_lsn,
            file_bytes,
            ..
        } = *header;
        let in_bounds = (SEGMENT_BYTES_MIN..=SEGMENT_BYTES_MAX).contains(&file_bytes);
        let page = header.encode();
        if let Err(fault) = header::decode(&page, None, Some(segment)) {
            return Err(BuildFault::Header { segment, fault });
        }
        if !in_bounds {
            let fault = HeaderFault::Impossible {
                field_offset: format::header_at::FILE_BYTES,
                found: file_bytes,
            };
            return Err(BuildFault::Header { segment, fault });
        }
        if let Some(open) = &self.open {
            let last = open.header.segment;
            if last.next() != Some(segment) || first_lsn != self.next_lsn {
                return Err(BuildFault::Order {
                    last,
                    found: segment,
                    found_lsn: first_lsn,
                    expected_lsn: self.next_lsn,
                });
            }
        } else {
            self.next_lsn = first_lsn;
            self.chain = header.first_chain();
        }
        self.open = Some(Open {
            header: *header,
            seed: Seed::new(header.store, segment, header.salt),
            offset_bytes: SEGMENT_HEADER_BYTES,
            groups: 0,
        });
        Ok(page)
    }

    /// Builds the next group of the open segment; its records get the next LSNs.
    ///
    /// # Errors
    /// [`BuildFault`]; nothing is built then.
    pub fn push_group(
        &mut self,
        plan: &GroupPlan,
        records: &[NewRecord<'_>],
    ) -> Result<BuiltGroup, BuildFault> {
        let open = self.open.as_ref().ok_or(BuildFault::NoSegment)?;
        if plan.durable_lsn >= self.next_lsn {
            return Err(BuildFault::Durable {
                first_lsn: self.next_lsn,
                durable_lsn: plan.durable_lsn,
            });
        }
        let mut encoded = Vec::new();
        let mut lsn = self.next_lsn;
        for record in records {
            let bytes = record.payload.len() as u64;
            if bytes > PAYLOAD_BYTES_MAX {
                let max = PAYLOAD_BYTES_MAX;
                return Err(BuildFault::PayloadTooLong { bytes, max });
            }
            record::push(&mut encoded, lsn, record);
            lsn = lsn.next().ok_or(BuildFault::LsnsUsedUp)?;
        }
        let segment = open.header.segment;
        let room_bytes = (open.header.file_bytes.saturating_sub(open.offset_bytes))
            .min(GROUP_PAGES_MAX * PAGE_BYTES);
        let record_bytes = encoded.len() as u64;
        let no_room = |needed_bytes| BuildFault::NoRoom {
            segment,
            offset_bytes: open.offset_bytes,
            needed_bytes,
            room_bytes,
        };
        let pages = format::group_pages(record_bytes).ok_or_else(|| no_room(record_bytes))?;
        let least = pages * PAGE_BYTES;
        let padded = plan.padded_bytes.map_or(least, u64::from);
        let fits = format::group_capacity_bytes(padded / PAGE_BYTES) >= record_bytes;
        if padded < least || !padded.is_multiple_of(PAGE_BYTES) || !fits || padded > room_bytes {
            return Err(no_room(least.max(padded)));
        }
        let durable_chain = plan
            .durable_chain
            .or_else(|| Some(self.end_at(plan.durable_lsn)?.chain));
        let sealing = Sealing {
            offset_bytes: open.offset_bytes,
            first_lsn: self.next_lsn,
            record_count: records.len() as u32,
            chain: self.chain,
            segment,
            durable_lsn: plan.durable_lsn,
            durable_chain: durable_chain.unwrap_or(0),
            flags: plan.flags,
            boot: plan.boot,
            number: open.groups.saturating_add(1),
        };
        let mut bytes = vec![0; padded as usize];
        let chain = encode(&mut bytes, &encoded, &sealing, open.seed);
        let built = BuiltGroup {
            offset_bytes: open.offset_bytes,
            bytes,
        };
        if let Some(open) = &mut self.open {
            open.offset_bytes += padded;
            open.groups = sealing.number;
        }
        self.chain = chain;
        self.next_lsn = lsn;
        if self.ends.len() >= ENDS_MAX {
            self.ends.pop_front();
        }
        self.ends.extend(self.end());
        Ok(built)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::group;
    use crate::ids::{RecordKind, StoreUuid};

    fn header(segment: u64, first_lsn: u64, predecessor: Option<Predecessor>) -> SegmentHeader {
        SegmentHeader {
            format_minor: 0,
            compat_flags: 0,
            store: StoreUuid([7; 16]),
            segment: SegmentId::new(segment),
            salt: 9,
            first_lsn: Lsn::new(first_lsn),
            file_bytes: SEGMENT_BYTES_MIN,
            boot: Boot::FIRST,
            predecessor,
            oldest_needed_lsn: Lsn::FIRST,
            wall_clock_micros: 0,
        }
    }

    fn plan(durable: u64) -> GroupPlan {
        GroupPlan {
            boot: Boot::FIRST,
            durable_lsn: Lsn::new(durable),
            durable_chain: None,
            flags: GroupFlags::NONE,
            padded_bytes: None,
        }
    }

    fn record(payload: &[u8]) -> NewRecord<'_> {
        NewRecord {
            kind: RecordKind::new(1),
            tag: 2,
            payload,
        }
    }

    #[test]
    fn what_is_built_is_what_a_reader_takes() {
        let mut builder = JournalBuilder::new();
        let first = header(1, 1, None);
        builder.begin_segment(&first).unwrap();
        let context = group::GroupContext::new(&first);
        let mut chain = 0;
        for (payload, durable) in [(&b"one"[..], 0), (&[5; 9000], 2), (b"", 4)] {
            let next = builder.next_lsn();
            let built = builder
                .push_group(&plan(durable), &[record(payload), record(b"x")])
                .unwrap();
            let read = group::decode(&built.bytes, built.offset_bytes, &context).unwrap();
            assert_eq!(read.header.chain, chain);
            assert_eq!((read.header.first_lsn, read.header.record_count), (next, 2));
            assert_eq!(read.records().next().unwrap().unwrap().payload, payload);
            // Each says that the group before was durable.
            assert_eq!(read.header.durable_chain, chain);
            chain = read.header.crc;
        }
        let end = builder.end().unwrap();
        assert_eq!((end.last_lsn, end.chain), (Lsn::new(6), chain));
        let second = header(2, 7, Some(end));
        builder.begin_segment(&second).unwrap();
        let built = builder.push_group(&plan(6), &[]).unwrap();
        let context = group::GroupContext::new(&second);
        let read = group::decode(&built.bytes, built.offset_bytes, &context).unwrap();
        assert_eq!((read.header.chain, read.header.number), (chain, 1));
    }

    #[test]
    fn what_no_writer_writes_is_refused_and_changes_nothing() {
        let mut builder = JournalBuilder::new();
        let nothing = builder.push_group(&plan(0), &[]);
        assert_eq!(nothing, Err(BuildFault::NoSegment));
        let refused = builder.begin_segment(&header(2, 7, None));
        assert!(
            matches!(refused, Err(BuildFault::Header { .. })),
            "{refused:?}"
        );
        builder.begin_segment(&header(1, 1, None)).unwrap();
        let ahead = builder.push_group(&plan(1), &[record(b"x")]);
        assert!(
            matches!(ahead, Err(BuildFault::Durable { .. })),
            "{ahead:?}"
        );
        let large = vec![0; SEGMENT_BYTES_MIN as usize];
        let large = builder.push_group(&plan(0), &[record(&large)]);
        assert!(matches!(large, Err(BuildFault::NoRoom { .. })), "{large:?}");
        let odd = GroupPlan {
            padded_bytes: Some(5000),
            ..plan(0)
        };
        let odd = builder.push_group(&odd, &[]);
        assert!(matches!(odd, Err(BuildFault::NoRoom { .. })), "{odd:?}");
        let again = builder.begin_segment(&header(1, 1, None));
        assert!(matches!(again, Err(BuildFault::Order { .. })), "{again:?}");
        assert_eq!(builder.next_lsn(), Lsn::FIRST);
        assert_eq!(
            builder.end().unwrap().end_offset_bytes,
            SEGMENT_HEADER_BYTES
        );
    }
}
