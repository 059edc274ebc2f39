//! How much history is kept: limits that can be changed at any time, and the stages on the way to one.
//!
//! Not here: what happens at a limit (`retention`).

use std::time::Duration;

use crate::KeyRange;

/// How much history is kept, for whom, and how much of it in memory.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct HistorySettings {
    /// Most bytes that are kept for a consumer that has not acknowledged them; the files take up to two
    /// segments more. At least 64 KiB, default 1 GiB.
    pub bytes_max: u64,
    /// How long changes are kept for a consumer that has not acknowledged them; `None`, the default, for
    /// as long as there is room.
    pub age_max: Option<Duration>,
    /// Bytes of the newest records that stay in memory, for all consumers together. 64 KiB to 1 GiB,
    /// default 8 MiB.
    pub tail_bytes: usize,
    /// Most bytes of the store's own journal that are kept for a follower of its transitions that does not
    /// read on, in whole segments behind the one that is written to: 0 keeps none of those. Beyond it the
    /// follower ends. Default 1 GiB.
    pub transitions_bytes_max: u64,
    /// Ranges whose changes are kept within the limits although no observer wants them, so that one may
    /// begin in the past. Default none.
    pub ranges: Vec<KeyRange>,
}

impl Default for HistorySettings {
    fn default() -> Self {
        HistorySettings {
            bytes_max: 1024 * 1024 * 1024,
            age_max: None,
            tail_bytes: 8 * 1024 * 1024,
            transitions_bytes_max: 1024 * 1024 * 1024,
            ranges: Vec::new(),
        }
    }
}

/// A setting that is out of its range.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("history setting {setting} is {given}, and must be {must}")]
pub struct HistorySettingError {
    /// Which.
    pub setting: &'static str,
    /// What was given.
    pub given: String,
    /// What it may be.
    pub must: &'static str,
}

impl HistorySettings {
    /// Bytes that `bytes_max` must have at least.
    pub const BYTES_MIN: u64 = 64 * 1024;
    /// Bytes that `tail_bytes` may have.
    pub const TAIL_BYTES: std::ops::RangeInclusive<usize> = 64 * 1024..=1024 * 1024 * 1024;

    /// The settings, if every one is in its range.
    ///
    /// # Errors
    /// The first that is not.
    pub fn validated(self) -> Result<Self, HistorySettingError> {
        let wrong = |setting, given: String, must| {
            Err(HistorySettingError {
                setting,
                given,
                must,
            })
        };
        if self.bytes_max < Self::BYTES_MIN {
            return wrong("bytes_max", self.bytes_max.to_string(), "at least 65536");
        }
        if self.age_max.is_some_and(|age| age.is_zero()) {
            return wrong("age_max", "0".to_owned(), "more than nothing");
        }
        if !Self::TAIL_BYTES.contains(&self.tail_bytes) {
            let given = self.tail_bytes.to_string();
            return wrong("tail_bytes", given, "65536 to 1073741824");
        }
        Ok(self)
    }
}

/// How near a consumer is to losing what it has not acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RetentionStage {
    /// Within half of every limit.
    Ok,
    /// Beyond half of a limit.
    Extended,
    /// Beyond four fifths of a limit: it has to acknowledge soon.
    AtRisk,
    /// Beyond a limit: what it had not acknowledged is gone, or will be at any moment, and its
    /// attachment says so.
    Invalidated,
}

impl RetentionStage {
    /// The stage at which `used` of `max` is.
    pub const fn of(used: u64, max: u64) -> Self {
        if used > max {
            RetentionStage::Invalidated
        } else if used > max / 5 * 4 {
            RetentionStage::AtRisk
        } else if used > max / 2 {
            RetentionStage::Extended
        } else {
            RetentionStage::Ok
        }
    }

    /// Stable lower-case name.
    pub const fn as_str(self) -> &'static str {
        match self {
            RetentionStage::Ok => "ok",
            RetentionStage::Extended => "extended",
            RetentionStage::AtRisk => "at-risk",
            RetentionStage::Invalidated => "invalidated",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stages_come_in_their_order_and_the_limit_itself_is_allowed() {
        let stages = [0, 50, 51, 80, 81, 100, 101].map(|used| RetentionStage::of(used, 100));
        use RetentionStage::{AtRisk, Extended, Invalidated, Ok};
        assert_eq!(
            stages,
            [Ok, Ok, Extended, Extended, AtRisk, AtRisk, Invalidated]
        );
    }

    #[test]
    fn settings_out_of_their_range_are_named() {
        let of = |change: fn(&mut HistorySettings)| {
            let mut settings = HistorySettings::default();
            change(&mut settings);
            settings
                .validated()
                .map(drop)
                .map_err(|error| error.setting)
        };
        assert_eq!(of(|_| {}), Ok(()));
        assert_eq!(of(|settings| settings.bytes_max = 65535), Err("bytes_max"));
        assert_eq!(
            of(|settings| settings.age_max = Some(Duration::ZERO)),
            Err("age_max")
        );
        assert_eq!(
            of(|settings| settings.tail_bytes = 65535),
            Err("tail_bytes")
        );
    }
}
