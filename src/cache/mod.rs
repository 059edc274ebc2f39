//! Cached regions: the versions of a region's rows in memory, served while they are there.
//!
//! * `versions`: the map that holds them, shared by whoever came out of one load.
//! * `region`: [`RegionCache`], one region's view of it; reads, writes, pins.
//! * `meter`: [`CacheMeter`], how much memory all cached regions take.
//!
//! Invariants
//! * A read is answered only at or above the load sequence and inside the view's range; then the
//!   answer is what the store would give.
//! * What a version takes is added to the meter when it comes and subtracted when it goes, so a
//!   store without cached regions has a meter of zero.
//!
//! Not here: which state a cached region is in (`lifecycle`), who fills it and when (`engine`).

mod meter;
mod region;
mod versions;

pub use meter::CacheMeter;
pub use region::{CachePin, CacheRefusal, RegionCache};

#[cfg(test)]
mod tests;
