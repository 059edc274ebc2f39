//! `CacheSettings`: every knob of the caches, validated once, changeable while running.
//!
//! Not here: what is done with them (`engine`).

use std::time::Duration;

/// How much memory cached regions may take, and how the engine looks after them by itself.
///
/// [`CacheSettings::validated`] fills in what depends on other settings; the result is what is in
/// force, with every value readable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CacheSettings {
    /// Whether regions are cached at all. Switching it off evicts every cached region at once;
    /// default true.
    pub enabled: bool,
    /// Bytes that cached regions may take, at least 1 MiB; default 1 GiB. A load that reaches it is
    /// cancelled, and a write that reaches it evicts its region.
    pub capacity_bytes: u64,
    /// Above this the coldest regions are evicted until [`stop_load_bytes`](Self::stop_load_bytes)
    /// is reached; at most the capacity. Default: the capacity less a tenth of it, or less 200 MiB
    /// if that is less.
    pub evict_bytes: Option<u64>,
    /// From this on no load begins; at most [`evict_bytes`](Self::evict_bytes). Default: that, less
    /// a tenth of the capacity.
    pub stop_load_bytes: Option<u64>,
    /// Whether hot regions are loaded, and cold ones evicted, without being asked for; default true.
    pub automatic: bool,
    /// Time between two rounds of that, at least 1 s; default 1 minute.
    pub round_interval: Duration,
    /// Reads (gets, and rows of scans) per round, on a moving average, from which a region is worth
    /// loading; at least 1 and at least twice [`cold_reads`](Self::cold_reads). Default 10 000.
    pub hot_reads: u64,
    /// Reads per round, on a moving average, below which a region is not worth its memory once
    /// memory is short; default 100.
    pub cold_reads: u64,
    /// A region that was loaded is not evicted for being cold before that; default 5 minutes.
    pub residence_min: Duration,
    /// A region that was evicted for being cold, or for memory, is not loaded for being hot before
    /// that; default 5 minutes.
    pub reload_pause: Duration,
    /// What a region is taken to need before it was ever loaded, in bytes; default 64 MiB.
    pub expected_region_bytes: u64,
    /// Whether regions that were cached when the process ended are loaded again; default true.
    pub warm_restart: bool,
    /// How long readers that hold a region's memory keep its eviction from ending. After that the
    /// eviction ends without them: they read on, and their memory counts until they are done.
    /// Default 1 minute; none waits without limit.
    pub pin_timeout: Option<Duration>,
    /// How long a preload may be waited for, at most, whatever its caller asks for; default 10 s.
    pub preload_wait_max: Duration,
    /// Time between two comparisons of a cached region with the data store, at least 1 s; none, the
    /// default, compares only on request.
    pub check_interval: Option<Duration>,
}

/// A value of [`CacheSettings`] that cannot be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{setting} is {given}, and must be {must}")]
#[non_exhaustive]
pub struct CacheSettingError {
    /// Name of the field.
    pub setting: &'static str,
    /// Its value.
    pub given: String,
    /// What is allowed.
    pub must: String,
}

const MIB: u64 = 1 << 20;
const CAPACITY_BYTES_MIN: u64 = MIB;
const INTERVAL_MIN: Duration = Duration::from_secs(1);

impl Default for CacheSettings {
    fn default() -> Self {
        CacheSettings {
            enabled: true,
            capacity_bytes: 1024 * MIB,
            evict_bytes: None,
            stop_load_bytes: None,
            automatic: true,
            round_interval: Duration::from_secs(60),
            hot_reads: 10_000,
            cold_reads: 100,
            residence_min: Duration::from_secs(300),
            reload_pause: Duration::from_secs(300),
            expected_region_bytes: 64 * MIB,
            warm_restart: true,
            pin_timeout: Some(Duration::from_secs(60)),
            preload_wait_max: Duration::from_secs(10),
            check_interval: None,
        }
    }
}

impl CacheSettings {
    /// The settings as they will be in force: thresholds that were left open are set.
    ///
    /// # Errors
    /// [`CacheSettingError`] names the first field that is out of its range.
    pub fn validated(mut self) -> Result<CacheSettings, CacheSettingError> {
        let capacity = self.capacity_bytes;
        require(
            "capacity_bytes",
            capacity,
            capacity >= CAPACITY_BYTES_MIN,
            || format!("at least {CAPACITY_BYTES_MIN}"),
        )?;
        let evict = *self
            .evict_bytes
            .get_or_insert(capacity - (capacity / 10).min(200 * MIB));
        require("evict_bytes", evict, evict <= capacity, || {
            format!("at most the capacity of {capacity}")
        })?;
        let stop = *self
            .stop_load_bytes
            .get_or_insert(evict.saturating_sub(capacity / 10));
        require("stop_load_bytes", stop, stop <= evict, || {
            format!("at most evict_bytes, {evict}")
        })?;
        let (hot, cold) = (self.hot_reads, self.cold_reads);
        let apart = hot >= 1 && hot / 2 >= cold;
        require("hot_reads", hot, apart, || {
            format!("at least 1 and at least twice cold_reads, {cold}")
        })?;
        let intervals = [
            ("round_interval", Some(self.round_interval)),
            ("check_interval", self.check_interval),
        ];
        for (setting, interval) in intervals {
            let short = interval.filter(|interval| *interval < INTERVAL_MIN);
            let given = format!("{:?}", interval.unwrap_or_default());
            require(setting, given, short.is_none(), || {
                format!("at least {INTERVAL_MIN:?}")
            })?;
        }
        Ok(self)
    }

    /// Above this the coldest regions are evicted.
    pub fn evict_bytes_effective(&self) -> u64 {
        self.evict_bytes.unwrap_or(self.capacity_bytes)
    }

    /// From this on no load begins.
    pub fn stop_load_bytes_effective(&self) -> u64 {
        self.stop_load_bytes.unwrap_or(self.capacity_bytes)
    }
}

fn require(
    setting: &'static str,
    given: impl ToString,
    holds: bool,
    must: impl FnOnce() -> String,
) -> Result<(), CacheSettingError> {
    match holds {
        true => Ok(()),
        false => Err(CacheSettingError {
            setting,
            given: given.to_string(),
            must: must(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_valid_and_thresholds_descend_from_the_capacity() {
        let set = CacheSettings::default().validated().unwrap();
        assert_eq!(set.evict_bytes, Some(1024 * MIB - 102 * MIB - MIB * 2 / 5));
        assert_eq!(
            set.clone().validated().unwrap(),
            set,
            "validating twice changes nothing"
        );
        let small = CacheSettings {
            capacity_bytes: 10 * MIB,
            ..CacheSettings::default()
        };
        let small = small.validated().unwrap();
        assert_eq!(small.evict_bytes, Some(9 * MIB));
        assert_eq!(small.stop_load_bytes, Some(8 * MIB));
    }

    #[test]
    fn each_value_out_of_its_range_is_named() {
        let ok = CacheSettings::default();
        let wrong = [
            (
                CacheSettings {
                    capacity_bytes: 1,
                    ..ok.clone()
                },
                "capacity_bytes",
            ),
            (
                CacheSettings {
                    evict_bytes: Some(1 << 40),
                    ..ok.clone()
                },
                "evict_bytes",
            ),
            (
                CacheSettings {
                    stop_load_bytes: Some(1 << 40),
                    ..ok.clone()
                },
                "stop_load_bytes",
            ),
            (
                CacheSettings {
                    hot_reads: 199,
                    ..ok.clone()
                },
                "hot_reads",
            ),
            (
                CacheSettings {
                    hot_reads: 0,
                    cold_reads: 0,
                    ..ok.clone()
                },
                "hot_reads",
            ),
            (
                CacheSettings {
                    round_interval: Duration::ZERO,
                    ..ok.clone()
                },
                "round_interval",
            ),
            (
                CacheSettings {
                    check_interval: Some(Duration::ZERO),
                    ..ok
                },
                "check_interval",
            ),
        ];
        for (settings, name) in wrong {
            assert_eq!(settings.validated().unwrap_err().setting, name);
        }
    }
}
