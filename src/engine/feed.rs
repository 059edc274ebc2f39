//! Subscriptions: what a consumer reads of an observer's regions, from the history, in order.
//!
//! ```text
//!  published register ──dirty regions──► attach ──► cursors ─┐
//!  history ──records──► subscription ──► cursor says what ───┴─► items ──► consumer ──► ack ──► register
//! ```
//!
//! A subscription has no queue that a writer fills: it reads the history, which keeps what it has not
//! read. Which regions it reads follows from the published register, looked at anew whenever a record
//! concerns one. It reads up to a record that was there *before* it looked, so whatever that record
//! stands on was seen.
//!
//! * `subscription`: reading. * `attach`: cursors after the register. * `scan`: rows after a reset.
//! * `ack`: acknowledgements. `carried`: those that come with the consumer's own writes. * `progress`, `lag`: how far. * `retention`: what may go.
//! * `transitions`: the records of the store's journal as a feed. * `stream`: for tasks.
//!
//! Not here: what an item is (`observe::feed`), who is attached to what (`lifecycle::observer`).

mod ack;
mod attach;
mod carried;
mod lag;
mod progress;
mod retention;
mod scan;
#[cfg(feature = "stream")]
mod stream;
mod subscription;
mod transitions;

#[cfg(test)]
mod tests;

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use parking_lot::Mutex;
use torrens_journal::{Lsn, planted};

pub use ack::{Ack, AckAnswer, Acker};
pub(super) use carried::Carried;
pub use lag::{ObserverLag, RegionLag};
pub use progress::{ObserverProgress, PinReason, ProgressPin};
pub(super) use retention::Retention;
pub use retention::RetentionReport;
pub use subscription::{ObserveError, ObserveOptions, Subscription};
pub use transitions::{Transition, TransitionFollower, Transitions, TransitionsError};

use super::Engine;
use super::core::Core;
use crate::lifecycle::{Change, ObserverChange};
use crate::observe::{Generation, ObserverId};
use crate::{Incarnation, RegionId};

/// The subscriptions that are open.
#[derive(Debug, Default)]
pub(super) struct Feeds {
    open: Mutex<HashMap<ObserverId, Arc<Shared>>>,
    is_any: AtomicBool,
    /// How far everything of each observer was found acknowledged.
    acknowledged: Mutex<HashMap<ObserverId, progress::Known>>,
}

/// What a subscription shares with whoever asks about it.
#[derive(Debug)]
pub(super) struct Shared {
    observer: ObserverId,
    dirty: Mutex<Dirty>,
    /// The regions for which the consumer chose a place to go on from: what is lost of them is told again.
    chosen: Mutex<BTreeSet<RegionId>>,
    /// How far each region was handed to the consumer, and under which generation.
    delivered: Mutex<HashMap<RegionId, (Generation, u64)>>,
    /// Everything before this record of the history was looked at.
    next: AtomicU64,
    progress: Mutex<progress::Known>,
}

/// The regions whose attachments may have changed since the subscription looked.
#[derive(Debug, Default)]
struct Dirty {
    all: bool,
    regions: BTreeSet<RegionId>,
}

impl Dirty {
    /// Beyond that, looking at all is no more work.
    const REGIONS_MAX: usize = 100_000;

    fn add(&mut self, region: RegionId) {
        if self.all {
            return;
        }
        self.regions.insert(region);
        if self.regions.len() > Dirty::REGIONS_MAX {
            self.all = true;
            self.regions.clear();
        }
    }

    fn add_all(&mut self) {
        self.all = true;
        self.regions.clear();
    }
}

impl Feeds {
    /// Marks what a published record may have changed; whether anybody has to look.
    pub(super) fn note(&self, change: &Change) -> bool {
        if !self.is_any.load(Ordering::Acquire) {
            return false;
        }
        let open = self.open.lock();
        match change {
            Change::Observer(change) => {
                let whose = change.observer();
                let regions = change.regions();
                let concerned = open
                    .values()
                    .filter(|shared| whose.is_none_or(|whose| whose == shared.observer));
                for shared in concerned {
                    let mut dirty = shared.dirty.lock();
                    // What a region loses, or is to be scanned with, the parts that wait for it share.
                    let is_shared = matches!(
                        change,
                        ObserverChange::Invalidated { .. } | ObserverChange::Rebased { .. }
                    );
                    let is_shared = is_shared && !planted!("parts-lose-in-silence");
                    match regions.is_empty() || is_shared {
                        true => dirty.add_all(),
                        false => regions.iter().for_each(|region| dirty.add(*region)),
                    }
                }
            }
            change => {
                let Some(region) = change.region() else {
                    return false;
                };
                let also = change.also();
                // A region whose data comes from elsewhere loses what it did not tell, and so do parts of it.
                let loses = matches!(
                    change,
                    Change::SnapshotBegun { .. }
                        | Change::SnapshotBegunOverSources { .. }
                        | Change::RegionRecovered { .. }
                );
                for shared in open.values() {
                    let mut dirty = shared.dirty.lock();
                    if loses && !planted!("parts-lose-in-silence") {
                        dirty.add_all();
                        continue;
                    }
                    dirty.add(region);
                    also.iter().for_each(|region| dirty.add(*region));
                }
            }
        }
        !open.is_empty()
    }

    /// Opens the one subscription of an observer; none if there is one.
    fn open(&self, observer: ObserverId) -> Option<Arc<Shared>> {
        let mut open = self.open.lock();
        if open.contains_key(&observer) {
            return None;
        }
        let shared = Arc::new(Shared {
            observer,
            dirty: Mutex::new(Dirty {
                all: true,
                regions: BTreeSet::new(),
            }),
            chosen: Mutex::default(),
            delivered: Mutex::default(),
            next: AtomicU64::new(0),
            progress: Mutex::default(),
        });
        open.insert(observer, Arc::clone(&shared));
        self.is_any.store(true, Ordering::Release);
        Some(shared)
    }

    /// The consumer chose where it goes on in these regions. They may have lost changes again since, the same
    /// as before, and that is news.
    pub(super) fn note_chosen(
        &self,
        observer: ObserverId,
        regions: impl Iterator<Item = RegionId>,
    ) {
        let Some(shared) = self.get(observer) else {
            return;
        };
        if !planted!("lost-again-is-no-news") {
            shared.chosen.lock().extend(regions);
        }
        shared.dirty.lock().add_all();
    }

    /// How far everything was found acknowledged the last time.
    fn acknowledged_before(&self, observer: ObserverId) -> (Lsn, Option<u64>) {
        let known = self.acknowledged.lock();
        known
            .get(&observer)
            .map_or((Lsn::ZERO, None), progress::Known::told)
    }

    /// How far everything is acknowledged is looked at anew.
    pub(super) fn forget_acknowledged(&self, observer: ObserverId) {
        self.acknowledged.lock().remove(&observer);
    }

    fn close(&self, observer: ObserverId) {
        let mut open = self.open.lock();
        open.remove(&observer);
        self.is_any.store(!open.is_empty(), Ordering::Release);
    }

    fn get(&self, observer: ObserverId) -> Option<Arc<Shared>> {
        self.open.lock().get(&observer).cloned()
    }
}

impl Engine {
    /// Opens the subscription of an observer. It goes on behind what is acknowledged, what came with writes
    /// of the consumer's own ([`WriteBatch::acknowledge`](crate::WriteBatch::acknowledge)) included, which it
    /// makes durable first.
    ///
    /// # Errors
    /// [`ObserveError::Busy`] while another one is open, [`ObserveError::Removed`] if there is no such
    /// observer.
    pub fn observe(
        &self,
        observer: ObserverId,
        options: ObserveOptions,
    ) -> Result<Subscription, ObserveError> {
        self.core.stand_by_carried(observer)?;
        Subscription::open(&self.core, observer, options)
    }

    /// Acknowledges for an observer whose subscription is open, in several regions at once: all or none.
    ///
    /// # Errors
    /// The engine takes nothing any more, or failed.
    ///
    /// # Durability
    /// With `durable`, nothing at or below comes again after any crash; without, it may.
    pub fn ack(
        &self,
        observer: ObserverId,
        acks: &[Ack],
        durable: bool,
    ) -> Result<AckAnswer, super::EngineError> {
        self.core.ack(observer, acks, durable)
    }

    /// How far everything that an observer wants was delivered; none if there is no such observer.
    pub fn observer_progress(&self, observer: ObserverId) -> Option<ObserverProgress> {
        self.core.observer_progress(observer)
    }

    /// How far an observer is behind in each region, and how near to losing changes; none if there is no
    /// such observer.
    pub fn observer_lag(&self, observer: ObserverId) -> Option<ObserverLag> {
        self.core.observer_lag(observer)
    }

    /// Lets the history go that nobody needs any more, and whatever is beyond a limit, after its observers
    /// were told durably. Runs in the background by itself.
    ///
    /// # Errors
    /// The journal or the history failed.
    pub fn retain_history(&self) -> Result<RetentionReport, super::EngineError> {
        self.core.retain_history()
    }

    /// Follows the transitions of regions, peers, caches and observers from a position of the store's
    /// journal on.
    ///
    /// # Errors
    /// [`TransitionsError::Gone`] with the oldest position that is left, or the journal's own.
    pub fn transitions(&self, from: torrens_journal::Lsn) -> Result<Transitions, TransitionsError> {
        Transitions::open(&self.core, from)
    }

    /// Who follows transitions, the one that is furthest behind first.
    pub fn transition_followers(&self) -> Vec<TransitionFollower> {
        self.core.transition_followers()
    }
}

impl Core {
    /// Everything of the region that the data store has, by its row.
    fn applied_index(&self, region: RegionId, incarnation: Incarnation) -> u64 {
        self.data_position(region, incarnation).index
    }
}
