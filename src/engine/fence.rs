//! Fences: how a pinned view learns that the data under it is being taken away.
//!
//! A view holds its region's fence. Before a snapshot or a destroy clears keys, the fences of the
//! region are *tripped*; a view checks its fence **after** each read of the store, so whatever it
//! hands out was read before the first key went. Nothing waits for a view, however long it is held.
//!
//! A split gives every child a fence of its own and lets it inherit the fences of the parent:
//! clearing a child must stop the views that were taken of the parent when it still held those
//! keys, and must not stop views of the other children.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::RegionId;
use crate::sync::{AtomicBool, Mutex};

/// Shared by the views that were taken between two splits of one region.
#[derive(Debug, Default)]
pub(super) struct Fence(AtomicBool);

impl Fence {
    /// Whether the data may be on its way out.
    pub(super) fn is_tripped(&self) -> bool {
        // SeqCst: ordered against the store's own synchronisation, whatever that is.
        self.0.load(Ordering::SeqCst)
    }
}

/// The fences of all regions that have had a view.
#[derive(Debug, Default)]
pub(super) struct Fences {
    /// The last of each list is the current one; the others are inherited.
    by_region: Mutex<HashMap<RegionId, Vec<Arc<Fence>>>>,
}

impl Fences {
    /// The fence for a new view of `region`.
    pub(super) fn current(&self, region: RegionId) -> Arc<Fence> {
        let mut by_region = self.by_region.lock();
        let fences = by_region.entry(region).or_default();
        match fences.last() {
            Some(fence) => Arc::clone(fence),
            None => {
                let fence = Arc::new(Fence::default());
                fences.push(Arc::clone(&fence));
                fence
            }
        }
    }

    /// Lets the parts of a split region stop the views that were taken of the whole.
    pub(super) fn split(&self, parent: RegionId, children: impl IntoIterator<Item = RegionId>) {
        let mut by_region = self.by_region.lock();
        let Some(mut whole) = by_region.remove(&parent) else {
            return;
        };
        whole.retain(|fence| Arc::strong_count(fence) > 1);
        if whole.is_empty() {
            return;
        }
        for part in children.into_iter().chain([parent]) {
            let fences = by_region.entry(part).or_default();
            fences.extend(whole.iter().cloned());
            fences.push(Arc::new(Fence::default()));
        }
    }

    /// Stops every view that can see data of `region`; later views get a new fence.
    pub(super) fn trip(&self, region: RegionId) {
        for fence in self.by_region.lock().remove(&region).unwrap_or_default() {
            fence.0.store(true, Ordering::SeqCst);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WHOLE: RegionId = RegionId(1);
    const PART: RegionId = RegionId(2);

    #[test]
    fn clearing_a_part_stops_views_of_the_whole_and_of_that_part_only() {
        let fences = Fences::default();
        let of_whole = fences.current(WHOLE);
        fences.split(WHOLE, [PART]);
        let of_rest = fences.current(WHOLE);
        let of_part = fences.current(PART);
        fences.trip(PART);
        assert!(of_whole.is_tripped() && of_part.is_tripped());
        assert!(!of_rest.is_tripped());
        assert!(
            !fences.current(PART).is_tripped(),
            "a later tenant starts unfenced"
        );
    }

    #[test]
    fn views_that_are_gone_are_not_inherited() {
        let fences = Fences::default();
        drop(fences.current(WHOLE));
        fences.split(WHOLE, [PART]);
        assert!(fences.by_region.lock().is_empty());
    }
}

#[cfg(all(test, shuttle))]
mod schedules {
    use shuttle::thread;
    use torrens_journal::Lsn;

    use super::*;
    use crate::engine::publication::Publication;
    use crate::sync::explore;

    const REGION: RegionId = RegionId(1);

    /// What everybody may see is whether the region is here.
    struct Store {
        published: Publication<Option<RegionId>, ()>,
        fences: Fences,
        cleared: AtomicBool,
    }

    /// As a view: the fence is taken under the published picture, and looked at after each read.
    fn read(store: &Store) {
        let published = store.published.read();
        if published.is_none() {
            return;
        }
        let fence = store.fences.current(REGION);
        drop(published);
        for _ in 0..2 {
            let is_cleared = store.cleared.load(Ordering::SeqCst);
            if fence.is_tripped() {
                return;
            }
            assert!(
                !is_cleared,
                "a view hands out what was read after the clearing"
            );
        }
    }

    #[test]
    fn no_view_hands_out_what_it_read_after_a_destroy_began_to_clear() {
        explore(|| {
            let store = Arc::new(Store {
                published: Publication::new(Some(REGION), Lsn::ZERO),
                fences: Fences::default(),
                cleared: AtomicBool::new(false),
            });
            let views = (0..2).map(|_| {
                let store = Arc::clone(&store);
                thread::spawn(move || read(&store))
            });
            let views: Vec<_> = views.collect();
            // As a destroy: published first, then the fence, then the keys.
            *store.published.decided() = None;
            store.published.push(Lsn::FIRST, None, ());
            store.published.seal(|| {});
            store.published.publish(|| Lsn::FIRST, |_, _, ()| {});
            store.fences.trip(REGION);
            store.cleared.store(true, Ordering::SeqCst);
            for view in views {
                view.join().expect("no view fails");
            }
        });
    }
}
