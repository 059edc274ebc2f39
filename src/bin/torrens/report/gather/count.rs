//! What one walk through a history counts: records, bytes, kinds, time between groups, samples of the register, and
//! the newest records.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::ControlFlow;

use torrens::RegionId;
use torrens::inspector::stats::Histogram;
use torrens::inspector::{Description, HistoryReader, KeyForm, Step, describe};
use torrens::lifecycle::{CacheState, Register};
use torrens_journal::format::RECORD_HEADER_BYTES;
use torrens_recovery::RecordItem;

use super::{LISTED_MAX, text};
use crate::report::model::RowPart;

/// Records that the page lists.
pub(super) const ROWS_MAX: usize = 2_000;
/// Bars of a chart over time.
pub(super) const SLOTS: u64 = 96;

/// The histogram with one bucket for each power of two, from its smallest value to its largest.
pub(super) fn buckets(histogram: &Histogram) -> Vec<(u64, u64)> {
    let mut powers: BTreeMap<u32, u64> = BTreeMap::new();
    for (upper, count) in histogram.buckets() {
        *powers.entry(u64::BITS - upper.leading_zeros()).or_default() += count;
    }
    let (Some(first), Some(last)) = (powers.keys().min(), powers.keys().max()) else {
        return Vec::new();
    };
    (*first..=*last)
        .map(|power| {
            let upper = 1u64.checked_shl(power).map_or(u64::MAX, |next| next - 1);
            (upper, powers.get(&power).copied().unwrap_or(0))
        })
        .collect()
}

/// Regions, caches that serve, regions that somebody observes.
pub(super) fn sample(register: &Register) -> [u64; 3] {
    let regions = register.region_ids().count() as u64;
    let serving = register
        .slots()
        .filter(|(_, slot)| slot.cache.state() == CacheState::Active)
        .count() as u64;
    let observed: BTreeSet<RegionId> = register
        .observers()
        .iter()
        .flat_map(|(_, observer)| observer.attachments().map(|(region, _)| region))
        .collect();
    [regions, serving, observed.len() as u64]
}

/// Records of one kind.
#[derive(Default)]
pub(super) struct Counts {
    pub(super) records: u64,
    pub(super) bytes: u64,
    pub(super) sizes: Histogram,
}

/// A record that the page lists.
pub(super) struct Row {
    pub(super) description: Description,
    pub(super) behind: bool,
}

impl Row {
    pub(super) fn part(&self, keys: &KeyForm) -> RowPart {
        let said = &self.description;
        let mut regions: Vec<u64> = said.regions().iter().map(|region| region.0).collect();
        regions.truncate(LISTED_MAX);
        RowPart {
            lsn: said.lsn.get(),
            micros: said.written_micros().unwrap_or(0),
            kind: said.kind.to_string(),
            region: said.region().map(|region| region.0),
            regions,
            peer: said.peer().map(|peer| peer.0),
            epoch: said.epoch_text().unwrap_or_default(),
            cause: text(&said.cause_text()),
            detail: text(&said.detail(keys)),
            behind: self.behind,
        }
    }
}

/// What one walk through the history counts.
pub(super) struct Counted<'s> {
    /// Only records of these are listed; all if empty.
    pub(super) regions: &'s BTreeSet<RegionId>,
    pub(super) start_micros: u64,
    pub(super) slot_micros: u64,
    pub(super) records: u64,
    pub(super) bytes: u64,
    pub(super) groups: u64,
    pub(super) group_max: u64,
    pub(super) group: Option<(u64, u64)>,
    /// The boot of the last group, and when its first record was decided.
    pub(super) group_began: Option<(u32, u64)>,
    pub(super) pace: Histogram,
    pub(super) kinds: BTreeMap<String, Counts>,
    pub(super) slots: Vec<(u64, u64)>,
    pub(super) slot: usize,
    pub(super) sampled: Vec<[u64; 3]>,
    pub(super) first_sample: [u64; 3],
    pub(super) rows: VecDeque<Row>,
    pub(super) rows_seen: u64,
}

impl<'s> Counted<'s> {
    pub(super) fn new(
        start_micros: u64,
        slot_micros: u64,
        first_sample: [u64; 3],
        regions: &'s BTreeSet<RegionId>,
    ) -> Self {
        Counted {
            regions,
            start_micros,
            slot_micros,
            records: 0,
            bytes: 0,
            groups: 0,
            group_max: 0,
            group: None,
            group_began: None,
            pace: Histogram::default(),
            kinds: BTreeMap::new(),
            slots: vec![(0, 0); SLOTS as usize],
            slot: 0,
            sampled: Vec::new(),
            first_sample,
            rows: VecDeque::new(),
            rows_seen: 0,
        }
    }

    /// The samples of all slots; those behind the last record are as the register is now.
    pub(super) fn samples(&self, now: [u64; 3]) -> Vec<[u64; 3]> {
        let mut samples = self.sampled.clone();
        samples.resize(SLOTS as usize, now);
        samples
    }

    fn row(&mut self, description: Description, behind: bool) {
        let wanted = |region| self.regions.contains(region);
        if !self.regions.is_empty() && !description.regions().iter().any(wanted) {
            return;
        }
        if self.rows.len() == ROWS_MAX {
            self.rows.pop_front();
        }
        self.rows_seen += 1;
        self.rows.push_back(Row {
            description,
            behind,
        });
    }

    fn described(item: &RecordItem<'_>) -> Description {
        describe(item.record.lsn, item.record.kind, item.record.payload)
    }
}

impl HistoryReader for Counted<'_> {
    fn before(&mut self, register: &Register, step: &Step<'_>) {
        let Some(record) = step.record else { return };
        let since = record
            .header
            .wall_clock_micros
            .saturating_sub(self.start_micros);
        let slot = usize::try_from(since / self.slot_micros).unwrap_or(usize::MAX);
        // A clock that was set back does not lead back.
        let slot = slot.min(self.slots.len() - 1);
        if slot > self.slot {
            // A slot's sample is the register at its end, which no record of a later slot has moved yet.
            let ended = sample(register);
            self.sampled.resize(self.slot, self.first_sample);
            self.sampled.resize(slot, ended);
            self.slot = slot;
        }
    }

    fn after(&mut self, _: &Register, step: &Step<'_>) -> ControlFlow<()> {
        let (item, record) = (&step.item, step.record);
        let bytes = (RECORD_HEADER_BYTES + item.record.payload.len()) as u64;
        self.records += 1;
        self.bytes += bytes;
        let description = match record {
            Some(record) => Description::of(item.record.lsn, record.clone()),
            None => Self::described(item),
        };
        let counts = self.kinds.entry(description.kind.to_string()).or_default();
        counts.records += 1;
        counts.bytes += bytes;
        counts.sizes.add(bytes);
        if let Some((records, sum)) = self.slots.get_mut(self.slot) {
            *records += 1;
            *sum += bytes;
        }
        let group = Some((item.segment.get(), item.group_offset_bytes));
        if group != self.group {
            self.group = group;
            self.groups += 1;
            self.group_max = self.group_max.max(item.group_records.into());
            let boot = item.boot.get();
            let micros = description.written_micros().filter(|micros| *micros > 0);
            if let (Some((last_boot, last)), Some(micros)) = (self.group_began, micros)
                && last_boot == boot
                && let Some(between) = micros.checked_sub(last)
            {
                self.pace.add(between);
            }
            self.group_began = micros.map(|micros| (boot, micros));
        }
        self.row(description, false);
        ControlFlow::Continue(())
    }

    fn behind(&mut self, item: &RecordItem<'_>) -> ControlFlow<()> {
        self.row(Self::described(item), true);
        ControlFlow::Continue(())
    }
}
