//! With which settings one life of the storage process opens the store: drawn anew for each, so that
//! what one life wrote is always read by another that is set up differently.
//!
//! Not here: what they mean (`torrens::Options`), when a life ends (`kills`).

use std::time::Duration;

use torrens::observe::HistorySettings;
use torrens::{CacheSettings, Options};
use torrens_journal::WriterChoice;
use torrens_journal::disk::SyncChoice;

use super::random::Random;

/// With `--small`: the smallest segments, so that short histories rotate.
const SMALL_SEGMENT_BYTES: u64 = 32 * 1024;
/// Small enough for a short run to rotate.
const SEGMENT_BYTES: u64 = 1024 * 1024;
/// A checkpoint every so many records.
const CHECKPOINT_RECORDS: u64 = 2_000;
/// How soon a region that came is found to be led here.
const AUDIT_INTERVAL: Duration = Duration::from_millis(50);
const MIB: u64 = 1 << 20;

/// The settings of one life.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct LifeSettings {
    segment_bytes: u64,
    checkpoint_records: u64,
    barrier_interval: Duration,
    writer: WriterChoice,
    pub(super) sync: SyncChoice,
    sled_cache_bytes: Option<u64>,
    cache: CacheSettings,
    history: HistorySettings,
    /// How long the consumer sleeps at first, so that it falls behind what is kept for it.
    pub(super) consumer_sleeps: Option<Duration>,
}

impl LifeSettings {
    /// The same for every life: what a fixed history runs with.
    pub(super) fn fixed() -> Self {
        LifeSettings {
            segment_bytes: SMALL_SEGMENT_BYTES,
            checkpoint_records: CHECKPOINT_RECORDS,
            barrier_interval: Duration::from_millis(50),
            writer: WriterChoice::Auto,
            sync: SyncChoice::Auto,
            sled_cache_bytes: None,
            cache: CacheSettings::default(),
            history: HistorySettings::default(),
            consumer_sleeps: None,
        }
    }

    /// Those of one life.
    pub(super) fn drawn(seed: u64) -> Self {
        let mut random = Random::new(seed);
        let mut one_of = |choices: &[u64]| random.pick(choices).copied().unwrap_or_default();
        let segment_bytes = one_of(&[64 * 1024, 256 * 1024, SEGMENT_BYTES, SEGMENT_BYTES, 4 * MIB]);
        let checkpoint_records = one_of(&[150, CHECKPOINT_RECORDS, CHECKPOINT_RECORDS]);
        let barrier_millis = one_of(&[5, 50, 50, 400]);
        let writer = match one_of(&[0, 1, 2, 3]) {
            0 => WriterChoice::Mapped,
            1 => WriterChoice::Direct,
            _ => WriterChoice::Auto,
        };
        let sync = match one_of(&[0, 1]) {
            0 => SyncChoice::Fdatasync,
            _ => SyncChoice::Auto,
        };
        let sled_cache_bytes = one_of(&[0, 0, 4 * MIB, 64 * MIB]);
        // Most of the time less than what is asked to be in memory, so that loads and evictions press.
        let capacity_bytes = one_of(&[MIB, 2 * MIB, 8 * MIB, 1024 * MIB]);
        let cache = CacheSettings {
            capacity_bytes,
            round_interval: Duration::from_secs(1),
            hot_reads: 20,
            cold_reads: 5,
            residence_min: Duration::ZERO,
            reload_pause: Duration::from_millis(200),
            expected_region_bytes: 128 * 1024,
            warm_restart: one_of(&[0, 1]) == 1,
            pin_timeout: Some(Duration::from_millis(500)),
            check_interval: Some(Duration::from_secs(1)),
            ..CacheSettings::default()
        };
        let mut history = HistorySettings::default();
        history.bytes_max = one_of(&[4 * MIB, 64 * MIB]);
        history.tail_bytes = one_of(&[64 * 1024, 8 * MIB]) as usize;
        let consumer_sleeps = (one_of(&[0, 1, 2, 3, 4, 5, 6]) == 0).then(|| Duration::from_secs(1));
        LifeSettings {
            segment_bytes,
            checkpoint_records,
            barrier_interval: Duration::from_millis(barrier_millis),
            writer,
            sync,
            sled_cache_bytes: (sled_cache_bytes > 0).then_some(sled_cache_bytes),
            cache,
            history,
            consumer_sleeps,
        }
    }

    /// Gives them to an opening.
    pub(super) fn apply(&self, options: Options) -> Options {
        let options = options
            .segment_bytes(self.segment_bytes)
            .checkpoint_records(self.checkpoint_records)
            .barrier_interval(self.barrier_interval)
            .writer(self.writer)
            .cache(self.cache.clone())
            .history(self.history.clone())
            .observer_audit_interval(AUDIT_INTERVAL);
        match self.sled_cache_bytes {
            Some(bytes) => options.sled_cache_bytes(bytes),
            None => options,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn a_seed_draws_the_same_settings_and_many_draw_every_kind_that_can_be_opened_with() {
        assert_eq!(LifeSettings::drawn(7), LifeSettings::drawn(7));
        let all: Vec<_> = (0..300).map(LifeSettings::drawn).collect();
        let segments: BTreeSet<u64> = all.iter().map(|one| one.segment_bytes).collect();
        assert_eq!(segments.len(), 4, "{segments:?}");
        let writers: BTreeSet<String> = all.iter().map(|one| format!("{:?}", one.writer)).collect();
        assert_eq!(writers.len(), 3, "{writers:?}");
        assert!(all.iter().any(|one| one.sync == SyncChoice::Fdatasync));
        assert!(all.iter().any(|one| one.consumer_sleeps.is_some()));
        for one in all {
            assert!(one.segment_bytes.is_multiple_of(4096), "{one:?}");
            assert!(one.cache.clone().validated().is_ok(), "{one:?}");
            assert!(one.history.clone().validated().is_ok(), "{one:?}");
        }
    }
}
