//! `JournalOptions`: sizes, checked when a journal is opened.

use crate::error::OptionsError;
use crate::format::{
    self, GROUP_PAGES_MAX, PAGE_BYTES, RECORD_HEADER_BYTES, SEGMENT_BYTES_MAX, SEGMENT_BYTES_MIN,
    SEGMENT_HEADER_BYTES,
};

/// How a journal is written. Reading needs none of this: files say what they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JournalOptions {
    segment_bytes: u64,
    group_bytes_max: u64,
}

impl Default for JournalOptions {
    fn default() -> Self {
        JournalOptions {
            segment_bytes: 64 * 1024 * 1024,
            group_bytes_max: 256 * 1024,
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
        Ok(())
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
    fn the_payload_limit_follows_the_segment_up_to_the_largest_group() {
        let small = JournalOptions::new().segment_bytes(32 * 1024);
        assert_eq!(small.payload_bytes_max(), 5 * 4096 - 88 - 24);
        assert_eq!(
            JournalOptions::new().payload_bytes_max(),
            format::PAYLOAD_BYTES_MAX
        );
    }
}
