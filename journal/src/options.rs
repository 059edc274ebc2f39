//! `JournalOptions`: sizes, ways and times, checked when a journal is opened. Beside them the words
//! for what can be chosen: the writer, the durability of one append.

use std::fmt;
use std::time::Duration;

use crate::error::OptionsError;
use crate::format::{
    self, GROUP_PAGES_MAX, PAGE_BYTES, RECORD_HEADER_BYTES, SEGMENT_BYTES_MAX, SEGMENT_BYTES_MIN,
    SEGMENT_HEADER_BYTES,
};

/// What an append is waited for, or what its ticket stands for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Durability {
    /// Nothing. The journal syncs after a while on its own, where the disk allows threads.
    Relaxed,
    /// The record is on the device: whatever crash follows, it is read back.
    #[default]
    Durable,
    /// And a mark on the device says so: whatever is damaged later, its loss is seen as a loss. Costs
    /// one more small write. For records whose silent loss would be worst.
    Witnessed,
}

/// Which of the two writers to use. Both write the same bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum WriterChoice {
    /// The faster one by measurement (docs/PERFORMANCE.md): direct, where the directory can be
    /// written around the page cache; mapped elsewhere.
    #[default]
    Auto,
    /// Stores through a map of the segment and syncs it.
    Mapped,
    /// Writes from aligned memory, durable when the write returns; through the page cache where it
    /// cannot go around it.
    Direct,
}

/// One of the two writers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum WriterKind {
    /// Stores through a map of the segment and syncs it.
    Mapped,
    /// Writes from aligned memory, durable when the write returns.
    Direct,
}

impl WriterKind {
    /// Stable lower-case name for reports and machine-readable output.
    pub const fn as_str(self) -> &'static str {
        match self {
            WriterKind::Mapped => "mapped",
            WriterKind::Direct => "direct",
        }
    }
}

impl fmt::Display for WriterKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The writer in use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WriterPath {
    /// Which one.
    pub kind: WriterKind,
    /// Why the preferred way is not in use, for the report; `None` if it is.
    pub fallback_reason: Option<String>,
}

/// How a journal is written. Reading needs none of this: files say what they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JournalOptions {
    segment_bytes: u64,
    group_bytes_max: u64,
    writer: WriterChoice,
    syncs_in_flight: usize,
    wait_awake: Duration,
    idle: Duration,
    segments_ahead: u32,
    recycled_segments_max: u32,
}

impl Default for JournalOptions {
    fn default() -> Self {
        JournalOptions {
            segment_bytes: 64 * 1024 * 1024,
            group_bytes_max: 256 * 1024,
            writer: WriterChoice::Auto,
            syncs_in_flight: 1,
            wait_awake: Duration::from_micros(300),
            idle: Duration::from_millis(20),
            segments_ahead: 1,
            recycled_segments_max: 2,
        }
    }
}

impl JournalOptions {
    /// The defaults: segments of 64 MiB, groups of up to 256 KiB.
    pub fn new() -> Self {
        Self::default()
    }

    /// Length of new segment files: a multiple of 4096 from 32 KiB to 4 GiB. Default 64 MiB.
    #[must_use]
    pub fn segment_bytes(mut self, bytes: u64) -> Self {
        self.segment_bytes = bytes;
        self
    }

    /// A group that would grow past this is stored without waiting for a sync: 4096 to 4,096,000.
    /// A larger single record gets a group of its own. Default 256 KiB.
    #[must_use]
    pub fn group_bytes_max(mut self, bytes: u64) -> Self {
        self.group_bytes_max = bytes;
        self
    }

    /// Which writer to use. Default [`WriterChoice::Auto`].
    #[must_use]
    pub fn writer(mut self, choice: WriterChoice) -> Self {
        self.writer = choice;
        self
    }

    /// Syncs that may be under way at once: 1 to 16. A second one starts only when as many threads
    /// wait as the first serves. Default 1, which measured best where a device flush takes tens of
    /// microseconds; more pays where it takes milliseconds and overlaps.
    #[must_use]
    pub fn syncs_in_flight(mut self, count: usize) -> Self {
        self.syncs_in_flight = count;
        self
    }

    /// How long a waiting thread gives its processor away again and again before it sleeps: up to
    /// 10 ms, zero for never. Where a sync takes longer than this, threads sleep at once. Waiting
    /// awake saves the wake-ups, which cost as much as half a sync on a virtual machine, and costs
    /// the processor time that nobody else wants. Default 300 µs.
    #[must_use]
    pub fn wait_awake(mut self, limit: Duration) -> Self {
        self.wait_awake = limit;
        self
    }

    /// When nothing was appended for this long, records that nobody waits for are synced; and when
    /// nothing was synced for as long, a synced mark says how far everything is durable. 1 ms to
    /// 60 s, default 20 ms. Needs a disk that allows threads.
    #[must_use]
    pub fn idle(mut self, quiet: Duration) -> Self {
        self.idle = quiet;
        self
    }

    /// Segments that are prepared before they are needed: 0 to 8, default 1. With 0, or on a disk
    /// that does not allow threads, the append that needs one prepares it.
    #[must_use]
    pub fn segments_ahead(mut self, count: u32) -> Self {
        self.segments_ahead = count;
        self
    }

    /// Purged segments whose blocks are kept for the next ones: 0 to 64, default 2.
    #[must_use]
    pub fn recycled_segments_max(mut self, count: u32) -> Self {
        self.recycled_segments_max = count;
        self
    }

    /// Which writer to use.
    pub fn get_writer(&self) -> WriterChoice {
        self.writer
    }

    /// Syncs that may be under way at once.
    pub fn get_syncs_in_flight(&self) -> usize {
        self.syncs_in_flight
    }

    /// How long a waiting thread stays awake.
    pub fn get_wait_awake(&self) -> Duration {
        self.wait_awake
    }

    /// How long it must be quiet before the journal acts on its own.
    pub fn get_idle(&self) -> Duration {
        self.idle
    }

    /// Segments that are prepared before they are needed.
    pub fn get_segments_ahead(&self) -> u32 {
        self.segments_ahead
    }

    /// Purged segments whose blocks are kept.
    pub fn get_recycled_segments_max(&self) -> u32 {
        self.recycled_segments_max
    }

    /// Length of new segment files.
    pub fn get_segment_bytes(&self) -> u64 {
        self.segment_bytes
    }

    /// The size at which a group is stored without waiting.
    pub fn get_group_bytes_max(&self) -> u64 {
        self.group_bytes_max
    }

    /// Bytes that the records of one append may take in these segments, headers and padding
    /// included.
    pub fn record_bytes_max(&self) -> u64 {
        // One page stays free for the group that seals the segment.
        let room = self
            .segment_bytes
            .saturating_sub(SEGMENT_HEADER_BYTES + PAGE_BYTES);
        format::group_capacity_bytes((room / PAGE_BYTES).min(GROUP_PAGES_MAX))
    }

    /// The largest payload of a single record in these segments, at most
    /// [`format::PAYLOAD_BYTES_MAX`].
    pub fn payload_bytes_max(&self) -> u64 {
        self.record_bytes_max()
            .saturating_sub(RECORD_HEADER_BYTES as u64)
    }

    /// # Errors
    /// The first option that is out of its range.
    pub fn validate(&self) -> Result<(), OptionsError> {
        let sizes = SEGMENT_BYTES_MIN..=SEGMENT_BYTES_MAX;
        if !sizes.contains(&self.segment_bytes) || !self.segment_bytes.is_multiple_of(PAGE_BYTES) {
            return Err(OptionsError::SegmentBytes {
                segment_bytes: self.segment_bytes,
                min_bytes: SEGMENT_BYTES_MIN,
                max_bytes: SEGMENT_BYTES_MAX,
            });
        }
        let max_bytes = GROUP_PAGES_MAX * PAGE_BYTES;
        if !(PAGE_BYTES..=max_bytes).contains(&self.group_bytes_max) {
            return Err(OptionsError::GroupBytes {
                group_bytes_max: self.group_bytes_max,
                min_bytes: PAGE_BYTES,
                max_bytes,
            });
        }
        let within = [
            ("syncs in flight", (1..=16).contains(&self.syncs_in_flight)),
            ("time awake", self.wait_awake <= Duration::from_millis(10)),
            (
                "idle time",
                (Duration::from_millis(1)..=Duration::from_secs(60)).contains(&self.idle),
            ),
            ("segments ahead", self.segments_ahead <= 8),
            ("recycled segments", self.recycled_segments_max <= 64),
        ];
        match within.into_iter().find(|(_, is_within)| !is_within) {
            Some((option, _)) => Err(OptionsError::OutOfRange { option }),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_outside_their_ranges_are_refused() {
        assert!(JournalOptions::new().validate().is_ok());
        for bytes in [0, 28 * 1024, 32 * 1024 + 1, SEGMENT_BYTES_MAX + 4096] {
            let options = JournalOptions::new().segment_bytes(bytes);
            assert!(
                matches!(options.validate(), Err(OptionsError::SegmentBytes { .. })),
                "{bytes}"
            );
        }
        for bytes in [0, 4095, 4_096_001] {
            let options = JournalOptions::new().group_bytes_max(bytes);
            assert!(
                matches!(options.validate(), Err(OptionsError::GroupBytes { .. })),
                "{bytes}"
            );
        }
    }

    #[test]
    fn counts_and_times_outside_their_ranges_are_refused() {
        let day = Duration::from_secs(86_400);
        for options in [
            JournalOptions::new().syncs_in_flight(0),
            JournalOptions::new().syncs_in_flight(17),
            JournalOptions::new().wait_awake(day),
            JournalOptions::new().idle(Duration::ZERO),
            JournalOptions::new().idle(day),
            JournalOptions::new().segments_ahead(9),
            JournalOptions::new().recycled_segments_max(65),
        ] {
            let refused = options.validate();
            assert!(
                matches!(refused, Err(OptionsError::OutOfRange { .. })),
                "{options:?}"
            );
        }
    }

    #[test]
    fn the_payload_limit_follows_the_segment_up_to_the_largest_group() {
        let small = JournalOptions::new().segment_bytes(32 * 1024);
        assert_eq!(small.payload_bytes_max(), 5 * 4096 - 88 - 24);
        assert_eq!(
            JournalOptions::new().payload_bytes_max(),
            format::PAYLOAD_BYTES_MAX
        );
    }
}
