//! What the journal's one mutex protects: the open group, the active segment, who waits.
//!
//! Sealing lives here because it is what changes most of it at once. No file is read, written or
//! synced under the mutex; the exception is the store of a sealed group into the map, which is a
//! copy of memory.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Arc;

use crate::disk::Pages;
use crate::error::{Poison, PoisonedBy};
use crate::format;
use crate::group::{self, GroupFlags, Sealing};
use crate::header::{Predecessor, SegmentHeader};
use crate::ids::{Boot, SegmentId};
use crate::lsn::Lsn;
use crate::stats::JournalStats;
use crate::writer::batch::Batch;
use crate::writer::cohort::Cohort;
use crate::writer::commit::{Flight, Lead};
use crate::writer::segment::{Segment, Spare};
use crate::writer::watch::{Ended, SyncedWatch};

/// The end of a group, as later groups, marks and headers state it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct End {
    pub(super) segment: SegmentId,
    pub(super) lsn: Lsn,
    pub(super) offset_bytes: u64,
    pub(super) chain: u32,
}

/// The segment that groups are stored to.
#[derive(Debug)]
pub(super) struct Active {
    pub(super) segment: Arc<Segment>,
    /// Number of the last group in it; 0 if it has none.
    pub(super) group_number: u32,
    /// A sealed segment takes no more groups; the next append switches to the next one.
    pub(super) sealed: bool,
}

/// Records that were appended and not stored yet; empty between a seal and the next append.
#[derive(Debug, Default)]
pub(super) struct OpenGroup {
    pub(super) records: Vec<u8>,
    pub(super) count: u32,
}

/// A segment whose last groups no sync covers yet; with its header if that is not written yet.
#[derive(Clone, Debug)]
pub(super) struct Unsynced {
    pub(super) segment: Arc<Segment>,
    pub(super) header: Option<SegmentHeader>,
}

/// Which records a segment starts with.
#[derive(Clone, Copy, Debug)]
pub(super) struct Span {
    pub(super) segment: SegmentId,
    pub(super) first_lsn: Lsn,
}

/// Buffers that are kept, and the largest that is worth keeping.
const FREE_PAGES_MAX: usize = 32;
const FREE_PAGES_BYTES_MAX: usize = 512 * 1024;

#[derive(Debug)]
pub(super) struct State {
    pub(super) boot: Boot,
    pub(super) active: Active,
    pub(super) open: OpenGroup,
    /// Memory of groups that are on the device, to be used again.
    pub(super) free_pages: Vec<Pages>,
    /// The last LSN given out.
    pub(super) appended: Lsn,
    /// The end of the last group stored.
    pub(super) stored: End,
    /// The end of the last group that a returned sync covers.
    pub(super) synced: End,
    /// Oldest first; the active segment is always the last.
    pub(super) unsynced: Vec<Unsynced>,
    /// The next segments in order, allocated and zeroed.
    pub(super) spares: VecDeque<Spare>,
    /// Files of purged segments under unfinished names, whose blocks the next segments take.
    pub(super) recycled: Vec<PathBuf>,
    /// Bytes of groups that were put and whose sync has not begun.
    pub(super) waiting_bytes: u64,
    /// All segments there are, oldest first.
    pub(super) spans: Vec<Span>,
    pub(super) oldest_needed: Lsn,
    pub(super) lead: Lead,
    /// Syncs that are under way or wait for an older one to end, oldest first.
    pub(super) flights: VecDeque<Flight>,
    pub(super) next_batch: Arc<Batch>,
    pub(super) cohort: Cohort,
    pub(super) poison: Option<Arc<Poison>>,
    /// Told when the journal is poisoned; who publishes has its own handle.
    pub(super) watch: Arc<SyncedWatch>,
    pub(super) closed: bool,
    pub(super) stats: JournalStats,
}

impl State {
    /// Ends the journal. The first failure is the one that is reported from then on.
    pub(super) fn poison(
        &mut self,
        by: PoisonedBy,
        segment: SegmentId,
        source: std::io::Error,
    ) -> Arc<Poison> {
        let poison = self.poison.get_or_insert_with(|| {
            Arc::new(Poison {
                by,
                segment,
                source,
            })
        });
        let poison = Arc::clone(poison);
        self.next_batch.fail(&poison);
        self.watch.end(Ended::Poisoned(Arc::clone(&poison)));
        poison
    }

    /// Seals the open group, even an empty one, and stores it at the end of the active segment. The
    /// caller has made sure that it fits.
    ///
    /// # Errors
    /// The journal is poisoned.
    pub(super) fn seal(&mut self, flags: GroupFlags) -> Result<(), Arc<Poison>> {
        let segment = Arc::clone(&self.active.segment);
        let offset_bytes = self.stored.offset_bytes;
        let number = self.active.group_number.saturating_add(1);
        let sealing = Sealing {
            offset_bytes,
            first_lsn: self
                .stored
                .lsn
                .next()
                .expect("append keeps one LSN in reserve"),
            record_count: self.open.count,
            chain: self.stored.chain,
            segment: segment.id(),
            durable_lsn: self.synced.lsn,
            durable_chain: self.synced.chain,
            flags,
            boot: self.boot,
            number,
        };
        let record_bytes = self.open.records.len() as u64;
        let page_count = format::group_pages(record_bytes).expect("append checked that they fit");
        let mut pages = self.free_pages.pop().unwrap_or_default();
        pages.resize(page_count as usize);
        let bytes = pages.as_mut_slice();
        let chain = group::encode(bytes, &self.open.records, &sealing, segment.seed());
        let padded_bytes = bytes.len() as u64;
        match segment.put(offset_bytes, pages) {
            Ok(None) => self.waiting_bytes += padded_bytes,
            Ok(Some(pages)) => self.free(pages),
            Err(source) => return Err(self.poison(PoisonedBy::Store, segment.id(), source)),
        }
        self.stats.groups += 1;
        self.stats.stored_bytes += padded_bytes;
        self.stats.padding_bytes += padding_bytes(&self.open, padded_bytes);
        self.stored = End {
            segment: segment.id(),
            lsn: self.appended,
            offset_bytes: offset_bytes + padded_bytes,
            chain,
        };
        self.active.group_number = number;
        self.active.sealed = flags.contains(GroupFlags::SEAL);
        self.open.records.clear();
        self.open.count = 0;
        Ok(())
    }

    /// Keeps the memory of a group for the next one, unless there is enough.
    pub(super) fn free(&mut self, pages: Pages) {
        let is_usual = pages.capacity_bytes() <= FREE_PAGES_BYTES_MAX;
        if is_usual && self.free_pages.len() < FREE_PAGES_MAX {
            self.free_pages.push(pages);
        }
    }

    /// The first LSN of the oldest segment.
    pub(super) fn oldest(&self) -> Lsn {
        self.spans.first().map_or(Lsn::FIRST, |span| span.first_lsn)
    }

    /// Goes on in the spare segment. The active one is sealed.
    pub(super) fn switch(&mut self, spare: Spare, wall_clock_micros: u64) {
        let segment = Arc::clone(&spare.segment);
        let first_lsn = self
            .stored
            .lsn
            .next()
            .expect("append keeps one LSN in reserve");
        let header = SegmentHeader {
            format_minor: format::FORMAT_MINOR,
            compat_flags: 0,
            store: spare.store,
            segment: segment.id(),
            salt: spare.salt,
            first_lsn,
            file_bytes: segment.file_bytes(),
            boot: self.boot,
            predecessor: Some(Predecessor {
                segment: self.stored.segment,
                last_lsn: self.stored.lsn,
                end_offset_bytes: self.stored.offset_bytes,
                chain: self.stored.chain,
            }),
            oldest_needed_lsn: self.oldest_needed,
            wall_clock_micros,
        };
        self.spans.push(Span {
            segment: segment.id(),
            first_lsn,
        });
        self.stored.segment = segment.id();
        self.stored.offset_bytes = format::SEGMENT_HEADER_BYTES;
        self.unsynced.push(Unsynced {
            segment: Arc::clone(&segment),
            header: Some(header),
        });
        self.active = Active {
            segment,
            group_number: 0,
            sealed: false,
        };
        self.stats.rotations += 1;
    }
}

/// Bytes of a stored group that are neither header, table nor records.
fn padding_bytes(open: &OpenGroup, padded_bytes: u64) -> u64 {
    let pages = padded_bytes / format::PAGE_BYTES;
    format::group_capacity_bytes(pages).saturating_sub(open.records.len() as u64)
}
