//! Cached regions: the versions of a region's rows in memory, served while they are there.
//!
//! ```text
//! RegionCache ──► Layers ──► runs      written since the last merge, newest last
//!    │ swapped as a whole └► Base ──► Segment, Segment, …      packed, shared, never changed
//!    └► CachePin: a reader's own reference to one Layers
//! ```
//!
//! * `segment`, `head`, `varint`: sorted keys with their versions in one piece of memory.
//! * `base`: one column family of a region, a list of segments.
//! * `run`: what was written since; `layers`: both, as a reader sees them; `scan`: rows out of both.
//! * `region`, `load`, `merge`, `pin`: [`RegionCache`] and what happens to it.
//! * `meter`: [`CacheMeter`], how much memory all cached regions take.
//! * `settings`, `policy`, `labels`, `counters`: what is worth its memory, decided without doing it.
//!
//! Invariants
//! * A read is answered only at or above the floor and inside the range; then the answer is what the
//!   store would give.
//! * Nothing that is published changes. Readers never wait, and nobody waits for a reader.
//! * Memory is charged to the meter from its making to its end, so a store without cached regions
//!   and pins has a meter of zero.
//!
//! Not here: which state a cached region is in (`lifecycle`), who fills it and when (`engine`).

mod base;
mod counters;
mod head;
mod labels;
mod layers;
mod load;
mod merge;
mod meter;
mod pin;
pub(crate) mod policy;
mod region;
mod run;
mod scan;
mod segment;
mod settings;
mod varint;

pub use counters::CacheCounters;
pub(crate) use counters::Counting;
pub(crate) use labels::Labels;
pub use labels::{Label, LabelId};
pub use load::CacheLoader;
pub use meter::CacheMeter;
pub use pin::CachePin;
pub use policy::CacheDecision;
pub use region::RegionCache;
pub use scan::Scan;
pub use settings::{CacheSettingError, CacheSettings};

use crate::Sequence;

/// Why the cache does not answer a read; the store can.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CacheRefusal {
    /// The load has not finished.
    #[error("the region is still being loaded")]
    Loading,
    /// It was let go.
    #[error("the region's memory was let go")]
    Gone,
    /// Older than what was loaded, or than what was kept since.
    #[error("sequence {sequence} is below {floor}, the oldest that the cache can serve")]
    TooOld {
        /// Sequence of the read.
        sequence: Sequence,
        /// Oldest sequence that can be served.
        floor: Sequence,
    },
    /// The key or range is not this region's.
    #[error("outside the cached range")]
    Outside,
}

#[cfg(test)]
mod tests;
