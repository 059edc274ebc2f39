//! Counts, sizes and rates of the records that a selection wants. Memory grows with the number of rows,
//! never with the number of records.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use torrens_journal::format::RECORD_HEADER_BYTES;
use torrens_recovery::RecoveryReport;

use super::timeline::Instant;
use super::{InspectError, Inspector, Selected, Selection};

/// What the rows stand for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum GroupBy {
    /// The kind of record.
    Kind,
    /// The part of the kind before the dot.
    Family,
    /// The region.
    Region,
    /// Who asked.
    Cause,
    /// The opening of the store.
    Boot,
    /// The segment.
    Segment,
}

/// A distribution in buckets whose width is an eighth of their size: a quantile is right to 12 %.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Histogram {
    buckets: BTreeMap<u16, u64>,
    count: u64,
    max: u64,
}

/// Buckets of a rate.
const SLOTS: usize = 24;

/// How many records came when, in at most 24 slots of equal length that grow with the time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rate {
    slots: [u64; SLOTS],
    /// A slot is `2^shift` microseconds long.
    shift: u32,
}

/// One row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatsRow {
    /// What it stands for.
    pub name: String,
    /// Records.
    pub records: u64,
    /// Their bytes, with their headers.
    pub bytes: u64,
    /// The sizes of the records, in bytes.
    pub sizes: Histogram,
    /// When they came.
    pub rate: Rate,
    /// The first.
    pub first: Instant,
    /// The last.
    pub last: Instant,
}

/// What was counted.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Stats {
    /// The rows, the largest number of records first.
    pub rows: Vec<StatsRow>,
    /// All of them together.
    pub total: StatsRow,
    /// Groups, which are written and made durable at once.
    pub groups: u64,
    /// Records in each group.
    pub group_sizes: Histogram,
    /// Places where the history does not go on.
    pub gaps: u64,
    /// The verdict about the whole directory.
    pub report: RecoveryReport,
}

impl Histogram {
    /// Adds one value.
    pub fn add(&mut self, value: u64) {
        *self.buckets.entry(bucket(value)).or_insert(0) += 1;
        self.count += 1;
        self.max = self.max.max(value);
    }

    /// How many values there are.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The largest value; 0 if there is none.
    pub fn max(&self) -> u64 {
        self.max
    }

    /// The largest value of each bucket that is not empty, and how many values are in it; smallest first.
    pub fn buckets(&self) -> impl Iterator<Item = (u64, u64)> {
        let buckets = self.buckets.iter();
        buckets.map(|(bucket, count)| (upper(*bucket).min(self.max), *count))
    }

    /// The value that `part` of a thousand values are not above; 0 if there is none.
    pub fn quantile(&self, per_mille: u64) -> u64 {
        let wanted = self.count.saturating_mul(per_mille).div_ceil(1000).max(1);
        let mut below = 0;
        for (bucket, count) in &self.buckets {
            below += count;
            if below >= wanted {
                return upper(*bucket).min(self.max);
            }
        }
        self.max
    }
}

/// Three bits behind the highest one.
fn bucket(value: u64) -> u16 {
    if value < 16 {
        return value as u16;
    }
    let high = value.ilog2();
    let rest = value >> (high - 3) & 7;
    (high * 8 + rest as u32) as u16
}

fn upper(bucket: u16) -> u64 {
    if bucket < 16 {
        return bucket.into();
    }
    let (high, rest) = (u32::from(bucket / 8), u64::from(bucket % 8));
    let first = (8 + rest) << (high - 3);
    first + ((1u64 << (high - 3)) - 1)
}

impl Default for Rate {
    fn default() -> Self {
        // A slot of about a second to begin with.
        Rate {
            slots: [0; SLOTS],
            shift: 20,
        }
    }
}

impl Rate {
    fn add(&mut self, since_micros: u64) {
        while since_micros >> self.shift >= SLOTS as u64 {
            self.coarser();
        }
        let slot = usize::try_from(since_micros >> self.shift).unwrap_or(0);
        if let Some(count) = self.slots.get_mut(slot) {
            *count += 1;
        }
    }

    fn coarser(&mut self) {
        let mut slots = [0; SLOTS];
        for (slot, pair) in slots.iter_mut().zip(self.slots.chunks(2)) {
            *slot = pair.iter().sum();
        }
        self.slots = slots;
        self.shift += 1;
    }

    /// Records in each slot, oldest first.
    pub fn slots(&self) -> &[u64] {
        &self.slots
    }

    /// Length of a slot in microseconds.
    pub fn slot_micros(&self) -> u64 {
        1 << self.shift
    }
}

impl StatsRow {
    fn new(name: String) -> Self {
        StatsRow {
            name,
            records: 0,
            bytes: 0,
            sizes: Histogram::default(),
            rate: Rate::default(),
            first: Instant::default(),
            last: Instant::default(),
        }
    }

    fn add(&mut self, bytes: u64, at: Instant, start_micros: u64) {
        if self.records == 0 {
            self.first = at;
        }
        self.records += 1;
        self.bytes = self.bytes.saturating_add(bytes);
        self.sizes.add(bytes);
        self.last = at;
        if at.micros > 0 {
            self.rate.add(at.micros.saturating_sub(start_micros));
        }
    }
}

impl Inspector {
    /// Counts the records that `selection` wants.
    ///
    /// # Errors
    /// As [`Inspector::select`].
    pub fn stats(&self, selection: &Selection, by: GroupBy) -> Result<Stats, InspectError> {
        let mut rows: BTreeMap<String, StatsRow> = BTreeMap::new();
        let mut total = StatsRow::new("total".to_owned());
        let (mut groups, mut group_sizes, mut gaps, mut start) = (0, Histogram::default(), 0, 0);
        let mut group = None;
        let report = self.select(selection, &mut |selected| {
            let Selected::Record { item, description } = selected else {
                gaps += 1;
                return ControlFlow::Continue(());
            };
            let place = Some((item.segment, item.group_offset_bytes));
            if group != place {
                group = place;
                groups += 1;
                group_sizes.add(item.group_records.into());
            }
            let micros = description.written_micros().unwrap_or(0);
            let at = Instant {
                lsn: item.record.lsn,
                micros,
            };
            if start == 0 {
                start = micros;
            }
            let name = match by {
                GroupBy::Kind => description.kind.to_string(),
                GroupBy::Family => match description.kind.split_once('.') {
                    Some((family, _)) => family.to_owned(),
                    None => description.kind.to_string(),
                },
                GroupBy::Region => description
                    .region()
                    .map_or("store".to_owned(), |region| region.to_string()),
                GroupBy::Cause => description
                    .cause()
                    .map_or("unknown".to_owned(), |cause| cause.as_str().to_owned()),
                GroupBy::Boot => item.boot.to_string(),
                GroupBy::Segment => format!("{:04}", item.segment.get()),
            };
            let bytes = (RECORD_HEADER_BYTES + item.record.payload.len()) as u64;
            rows.entry(name)
                .or_insert_with_key(|name| StatsRow::new(name.clone()))
                .add(bytes, at, start);
            total.add(bytes, at, start);
            ControlFlow::Continue(())
        })?;
        let mut rows: Vec<StatsRow> = rows.into_values().collect();
        for row in &mut rows {
            while row.rate.shift < total.rate.shift {
                row.rate.coarser();
            }
        }
        rows.sort_by_key(|row| std::cmp::Reverse(row.records));
        Ok(Stats {
            rows,
            total,
            groups,
            group_sizes,
            gaps,
            report,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quantile_is_right_to_an_eighth() {
        let mut histogram = Histogram::default();
        for value in 1..=10_000u64 {
            histogram.add(value);
        }
        for (per_mille, exact) in [(1, 10u64), (500, 5_000), (990, 9_900), (1000, 10_000)] {
            let found = histogram.quantile(per_mille);
            assert!(
                found >= exact && found <= exact + exact / 8 + 1,
                "{per_mille}: {found}"
            );
        }
        assert_eq!(Histogram::default().quantile(500), 0);
        for value in (0..64)
            .map(|bit| 1u64 << bit)
            .chain([u64::MAX, 15, 16, 17, 255])
        {
            assert!(
                upper(bucket(value)) >= value && bucket(value) <= bucket(value.saturating_add(1)),
                "{value}"
            );
        }
    }

    #[test]
    fn a_rate_keeps_every_record_however_long_it_takes() {
        let mut rate = Rate::default();
        for second in 0..1_000u64 {
            rate.add(second * 1_000_000);
        }
        rate.add(u64::MAX);
        assert_eq!(rate.slots().iter().sum::<u64>(), 1_001);
    }
}
