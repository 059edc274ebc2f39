//! What to load and what to evict: pure decisions over read statistics.
//!
//! * Memory above `evict_bytes`: the coldest regions go until it is below `stop_load_bytes`, labelled
//!   ones last.
//! * Memory above `stop_load_bytes`: regions below `cold_reads` go, a tenth of all in one round.
//! * Room: the hottest regions from `hot_reads` on are loaded.
//! * No room: a region that is read twice as much as the coldest cached one takes its place.
//!
//! What keeps a region from going in and out: hot is at least twice cold; a region stays for
//! `residence_min` and stays out for `reload_pause`; a newcomer has to be twice as hot as what it
//! replaces; averages move slowly.
//!
//! Not here: measuring (`engine`), carrying decisions out.

use std::time::Duration;

use super::CacheSettings;
use crate::RegionId;
use crate::lifecycle::{EvictReason, LoadReason};

/// Rounds that a moving average remembers: each counts a fourth of what is left.
const AVERAGE_PART: u64 = 4;

/// One region, as a round sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RegionHeat {
    pub(crate) region: RegionId,
    /// Reads per round, moving average.
    pub(crate) reads: u64,
    /// Whether a label holds it in memory, and how much.
    pub(crate) label: Option<i32>,
    pub(crate) place: HeatPlace,
}

/// Whether a region is in memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum HeatPlace {
    /// Active, for that long.
    Cached { bytes: u64, since: Duration },
    /// Not, and free to be loaded; when it was last evicted by a round.
    Absent { evicted: Option<Duration> },
    /// On its way in or out, or not for this store to load.
    Neither,
}

/// What a round decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CacheDecision {
    /// Load a region.
    Load(RegionId, LoadReason),
    /// Evict a region.
    Evict(RegionId, EvictReason),
}

/// The next moving average.
pub(crate) fn average(before: u64, reads: u64) -> u64 {
    before - before / AVERAGE_PART + reads / AVERAGE_PART
}

/// One round's decisions, evictions first.
pub(crate) fn decide(
    settings: &CacheSettings,
    used: u64,
    regions: &[RegionHeat],
) -> Vec<CacheDecision> {
    let (evict, stop) = (
        settings.evict_bytes_effective(),
        settings.stop_load_bytes_effective(),
    );
    let mut decisions = Vec::new();
    let mut left = used;
    let mut cached = coldest_first(regions);
    if used > evict {
        for (region, bytes, _) in &cached {
            if left < stop {
                break;
            }
            left = left.saturating_sub(*bytes);
            decisions.push(CacheDecision::Evict(
                region.region,
                EvictReason::MemoryLimit,
            ));
        }
        return decisions;
    }
    if !settings.automatic {
        return decisions;
    }
    // What may go for its coldness.
    cached.retain(|(region, _, since)| region.label.is_none() && *since >= settings.residence_min);
    let per_round = (cached.len() / 10).max(1);
    if used >= stop {
        let cold = cached
            .iter()
            .filter(|(region, ..)| region.reads < settings.cold_reads);
        for (region, bytes, _) in cold.take(per_round) {
            left = left.saturating_sub(*bytes);
            decisions.push(CacheDecision::Evict(region.region, EvictReason::Cold));
        }
    }
    let mut room = stop.saturating_sub(left);
    let mut coldest = cached.into_iter().skip(decisions.len());
    let need = settings.expected_region_bytes;
    for newcomer in hottest_first(settings, regions) {
        if room >= need {
            room -= need;
            decisions.push(CacheDecision::Load(newcomer.region, LoadReason::Hot));
            continue;
        }
        // It comes in with a later round, when the memory is there.
        let Some((region, ..)) = coldest.next() else {
            break;
        };
        if newcomer.reads / 2 < region.reads {
            break;
        }
        decisions.push(CacheDecision::Evict(region.region, EvictReason::Cold));
        if decisions.len() >= per_round {
            break;
        }
    }
    decisions.sort_by_key(|decision| matches!(decision, CacheDecision::Load(..)));
    decisions
}

/// Cached regions with their bytes and age: without label first, then by reads, then by size.
fn coldest_first(regions: &[RegionHeat]) -> Vec<(&RegionHeat, u64, Duration)> {
    let cached = regions.iter().filter_map(|region| match region.place {
        HeatPlace::Cached { bytes, since } => Some((region, bytes, since)),
        HeatPlace::Absent { .. } | HeatPlace::Neither => None,
    });
    let mut cached: Vec<_> = cached.collect();
    cached.sort_by_key(|(region, bytes, _)| {
        (
            region.label,
            region.reads,
            std::cmp::Reverse(*bytes),
            region.region,
        )
    });
    cached
}

/// Regions that are worth loading and may be.
fn hottest_first<'a>(settings: &CacheSettings, regions: &'a [RegionHeat]) -> Vec<&'a RegionHeat> {
    let may = |region: &&RegionHeat| match region.place {
        HeatPlace::Absent { evicted } => {
            region.reads >= settings.hot_reads
                && evicted.is_none_or(|ago| ago >= settings.reload_pause)
        }
        HeatPlace::Cached { .. } | HeatPlace::Neither => false,
    };
    let mut hot: Vec<_> = regions.iter().filter(may).collect();
    hot.sort_by_key(|region| (std::cmp::Reverse(region.reads), region.region));
    hot
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;
    const LONG: Duration = Duration::from_secs(3600);

    fn settings() -> CacheSettings {
        let settings = CacheSettings {
            capacity_bytes: 100 * MIB,
            expected_region_bytes: 10 * MIB,
            ..CacheSettings::default()
        };
        settings.validated().unwrap()
    }

    fn cached(region: u64, reads: u64, mib: u64) -> RegionHeat {
        let (bytes, since) = (mib * MIB, LONG);
        RegionHeat {
            region: RegionId(region),
            reads,
            label: None,
            place: HeatPlace::Cached { bytes, since },
        }
    }

    fn absent(region: u64, reads: u64) -> RegionHeat {
        RegionHeat {
            region: RegionId(region),
            reads,
            label: None,
            place: HeatPlace::Absent { evicted: None },
        }
    }

    fn evict(region: u64, reason: EvictReason) -> CacheDecision {
        CacheDecision::Evict(RegionId(region), reason)
    }

    fn load(region: u64) -> CacheDecision {
        CacheDecision::Load(RegionId(region), LoadReason::Hot)
    }

    #[test]
    fn with_room_the_hottest_regions_come_in_as_long_as_there_is_some() {
        let regions = [
            absent(1, 9_999),
            absent(2, 10_000),
            absent(3, 90_000),
            absent(4, 50_000),
        ];
        assert_eq!(decide(&settings(), 60 * MIB, &regions), [load(3), load(4)]);
        let manual = CacheSettings {
            automatic: false,
            ..settings()
        };
        assert_eq!(decide(&manual, 0, &regions), []);
    }

    #[test]
    fn above_the_threshold_the_coldest_go_until_loads_are_possible_again() {
        let mut labelled = cached(1, 0, 20);
        labelled.label = Some(0);
        let young = RegionHeat {
            place: HeatPlace::Cached {
                bytes: 20 * MIB,
                since: Duration::ZERO,
            },
            ..cached(4, 5, 20)
        };
        let regions = [labelled, cached(2, 7, 15), cached(3, 9, 40), young];
        let reason = EvictReason::MemoryLimit;
        // Neither youth nor warmth helps; a label does as long as there are others.
        assert_eq!(
            decide(&settings(), 95 * MIB, &regions),
            [evict(4, reason)],
            "95 - 20 is below 80"
        );
        let by_size = [cached(5, 3, 10), cached(6, 3, 30), cached(7, 3, 55)];
        assert_eq!(decide(&settings(), 95 * MIB, &by_size), [evict(7, reason)]);
        let only_labelled = RegionHeat {
            label: Some(3),
            ..cached(8, 1, 95)
        };
        assert_eq!(
            decide(&settings(), 95 * MIB, &[only_labelled]),
            [evict(8, reason)]
        );
    }

    #[test]
    fn above_the_threshold_only_what_is_in_memory_matters() {
        let cached: Vec<_> = (1..=9).map(|n| cached(n, 2 * n, 11)).collect();
        let all: Vec<_> = cached
            .iter()
            .cloned()
            .chain((10..=20).map(|n| absent(n, n * 10_000)))
            .collect();
        let decided = decide(&settings(), 99 * MIB, &all);
        assert!(decided.len() > 1, "{decided:?}");
        assert_eq!(decided, decide(&settings(), 99 * MIB, &cached));
    }

    #[test]
    fn cold_regions_go_slowly_and_only_when_memory_is_short() {
        let many: Vec<_> = (1..=30).map(|n| cached(n, n, 1)).collect();
        assert_eq!(decide(&settings(), 30 * MIB, &many), []);
        let reason = EvictReason::Cold;
        assert_eq!(
            decide(&settings(), 85 * MIB, &many),
            [evict(1, reason), evict(2, reason), evict(3, reason)]
        );
    }

    #[test]
    fn a_newcomer_replaces_only_what_it_is_twice_as_hot_as() {
        let regions = [cached(1, 6_000, 78), absent(2, 11_000)];
        assert_eq!(decide(&settings(), 78 * MIB, &regions), []);
        let regions = [cached(1, 5_000, 78), absent(2, 11_000)];
        assert_eq!(
            decide(&settings(), 78 * MIB, &regions),
            [evict(1, EvictReason::Cold)]
        );
    }

    #[test]
    fn what_was_just_moved_is_not_moved_back() {
        let just_out = RegionHeat {
            place: HeatPlace::Absent {
                evicted: Some(Duration::from_secs(1)),
            },
            ..absent(1, 99_999)
        };
        assert_eq!(decide(&settings(), 0, &[just_out]), []);
        let just_in = RegionHeat {
            place: HeatPlace::Cached {
                bytes: 85 * MIB,
                since: Duration::from_secs(1),
            },
            ..cached(1, 0, 85)
        };
        assert_eq!(decide(&settings(), 85 * MIB, &[just_in]), []);
    }

    #[test]
    fn load_that_swings_around_a_threshold_settles() {
        // Reads alternate between far above hot and nothing; the region moves at most once a pause.
        let (mut reads, mut moves, mut is_cached) = (0, 0, false);
        let mut since = LONG;
        for round in 0..200_u64 {
            reads = average(reads, if round % 2 == 0 { 30_000 } else { 0 });
            let place = match is_cached {
                true => HeatPlace::Cached {
                    bytes: 85 * MIB,
                    since,
                },
                false => HeatPlace::Absent {
                    evicted: Some(since),
                },
            };
            let heat = RegionHeat {
                place,
                ..absent(1, reads)
            };
            let used = if is_cached { 85 * MIB } else { 0 };
            since += Duration::from_secs(60);
            if !decide(&settings(), used, &[heat]).is_empty() {
                (moves, is_cached, since) = (moves + 1, !is_cached, Duration::ZERO);
            }
        }
        assert_eq!((moves, is_cached), (1, true));
    }
}
