//! What was decided, and what everybody may see: the picture of the last record that is durable.
//!
//! Decisions build on one picture, to which each record is applied as soon as it is appended. What a sync
//! will make durable ends at a record, and the picture behind that one is kept aside at the moment at which
//! the sync is sealed ([`Publication::seal`]), with the records up to it; a picture behind each record would
//! be copied for nothing. Publishing puts it in the place of the one before; nobody ever sees one that is
//! ahead of the device, and nobody who waited for a record sees one that is behind it. Not here: when a
//! record is durable (`log`), what a picture is.
//!
//! What was sealed is handed on as a whole. So whoever adds a record waits for no publication, however many
//! records that is about.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use torrens_journal::Lsn;

use crate::sync::{ArcSwap, AtomicU64, Guard, Mutex, MutexGuard, RwLock, RwLockReadGuard};

/// The decided picture, the published one, and the records between them. `F` is what follows a record in one
/// step with its publication.
#[derive(Debug)]
pub(super) struct Publication<P, F> {
    /// Everything that was appended. Records are appended while this is held.
    decided: Mutex<P>,
    /// Held while something is published, so that records are in their order.
    publishing: Mutex<()>,
    unpublished: Mutex<Unpublished<P, F>>,
    published: RwLock<P>,
    /// The same once more, for those who look at one moment and take no lock.
    visible: ArcSwap<P>,
    /// Position of the published picture.
    published_lsn: AtomicU64,
}

/// The records that are not known to be durable yet.
#[derive(Debug)]
struct Unpublished<P, F> {
    /// What no sync was sealed for yet.
    open: Vec<Pending<P, F>>,
    /// Up to where each sync goes, in order.
    sealed: VecDeque<Sealed<P, F>>,
}

/// A record that is not known to be durable yet.
#[derive(Debug)]
struct Pending<P, F> {
    lsn: Lsn,
    /// Everything up to the record, if what follows needs it.
    picture: Option<Box<P>>,
    follows: F,
}

/// Records that become durable together, and the picture behind the last one.
#[derive(Debug)]
struct Sealed<P, F> {
    records: Vec<Pending<P, F>>,
    last: Lsn,
    picture: Arc<P>,
}

/// Records that were published just now, in order.
#[derive(Debug)]
pub(super) struct Published<P, F>(Vec<Sealed<P, F>>);

impl<P, F> Published<P, F> {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What follows each.
    pub(super) fn iter(&self) -> impl Iterator<Item = &F> {
        let records = self.0.iter().flat_map(|sealed| &sealed.records);
        records.map(|record| &record.follows)
    }

    /// As [`Published::iter`], to keep.
    pub(super) fn into_each(self) -> impl Iterator<Item = F> {
        let records = self.0.into_iter().flat_map(|sealed| sealed.records);
        records.map(|record| record.follows)
    }
}

impl<P: Clone, F> Publication<P, F> {
    /// Everything up to `lsn` is durable.
    pub(super) fn new(picture: P, lsn: Lsn) -> Self {
        Publication {
            decided: Mutex::new(picture.clone()),
            publishing: Mutex::new(()),
            unpublished: Mutex::new(Unpublished {
                open: Vec::new(),
                sealed: VecDeque::new(),
            }),
            visible: ArcSwap::from_pointee(picture.clone()),
            published: RwLock::new(picture),
            published_lsn: AtomicU64::new(lsn.get()),
        }
    }

    /// The picture that decisions build on. Nothing is decided or sealed while this is held.
    pub(super) fn decided(&self) -> MutexGuard<'_, P> {
        self.decided.lock()
    }

    /// The published picture. Nothing is published while this is held.
    pub(super) fn read(&self) -> RwLockReadGuard<'_, P> {
        self.published.read()
    }

    /// The published picture as it is at this moment. Waits for nobody and holds nobody up.
    pub(super) fn visible(&self) -> Guard<Arc<P>> {
        self.visible.load()
    }

    /// Adds the record at `lsn`, which was applied to the decided picture. The caller has held that since it
    /// appended the record. With a `picture`, what follows sees that.
    pub(super) fn push(&self, lsn: Lsn, picture: Option<P>, follows: F) {
        self.unpublished.lock().open.push(Pending {
            lsn,
            picture: picture.map(Box::new),
            follows,
        });
    }

    /// Calls `seal`, which decides that a sync covers every record so far, and keeps the picture behind the
    /// last one for when it is durable. No record comes in between.
    pub(super) fn seal(&self, seal: impl FnOnce()) {
        let decided = self.decided.lock();
        let mut unpublished = self.unpublished.lock();
        let Unpublished { open, sealed } = &mut *unpublished;
        if let Some(last) = open.last().map(|record| record.lsn) {
            // As many are likely to come again.
            let next = Vec::with_capacity(open.len());
            sealed.push_back(Sealed {
                records: std::mem::replace(open, next),
                last,
                picture: Arc::new(decided.clone()),
            });
        }
        drop(unpublished);
        seal();
    }

    /// Whether the record at `lsn` is published.
    pub(super) fn has_reached(&self, lsn: Lsn) -> bool {
        self.published_lsn.load(Ordering::Acquire) >= lsn.get()
    }

    /// Lets everybody see the picture of the last record up to what `synced` answers. `follow` sees what
    /// follows each, with its position and the picture that came with it, before anybody sees the last one.
    /// Gives what followed them, in order.
    pub(super) fn publish(
        &self,
        synced: impl FnOnce() -> Lsn,
        mut follow: impl FnMut(Lsn, Option<&P>, &F),
    ) -> Published<P, F> {
        let one_at_a_time = self.publishing.lock();
        let durable: Vec<_> = {
            let mut unpublished = self.unpublished.lock();
            // Asked under the lock: whoever publishes later knows at least as much.
            let synced = synced();
            let sealed = &mut unpublished.sealed;
            // A sync ends where something was sealed, so what is durable is whole.
            let durable = sealed.partition_point(|sealed| sealed.last <= synced);
            sealed.drain(..durable).collect()
        };
        let Some(last) = durable.last() else {
            return Published(durable);
        };
        let picture = P::clone(&last.picture);
        let mut published = self.published.write();
        let before = std::mem::replace(&mut *published, picture);
        for record in durable.iter().flat_map(|sealed| &sealed.records) {
            follow(record.lsn, record.picture.as_deref(), &record.follows);
        }
        self.visible.store(Arc::clone(&last.picture));
        self.published_lsn.store(last.last.get(), Ordering::Release);
        drop((published, one_at_a_time));
        // What nobody else has of the earlier pictures is freed here, where nobody waits for it.
        drop(before);
        Published(durable)
    }
}

#[cfg(all(test, shuttle))]
mod schedules {
    use std::sync::Arc;

    use shuttle::thread;

    use super::*;
    use crate::sync::explore;

    /// A store whose picture is the number of its records, on a journal of which only the positions are left.
    struct Store {
        appended: AtomicU64,
        synced: AtomicU64,
        publication: Publication<u64, u64>,
        /// The last record that something followed.
        followed: AtomicU64,
    }

    impl Store {
        fn new() -> Arc<Self> {
            Arc::new(Store {
                appended: AtomicU64::new(0),
                synced: AtomicU64::new(0),
                publication: Publication::new(0, Lsn::ZERO),
                followed: AtomicU64::new(0),
            })
        }

        /// As `Core::append`: the record goes to the journal and to the picture under the lock of decisions.
        fn append(&self) -> Lsn {
            let mut decided = self.publication.decided();
            let next = *decided + 1;
            self.appended.store(next, Ordering::SeqCst);
            *decided = next;
            self.publication.push(Lsn::new(next), None, next);
            Lsn::new(next)
        }

        /// One sync that carries everything that was appended before it was sealed, and publishes as the
        /// journal's leader does.
        fn sync(&self) {
            let mut sealed = 0;
            self.publication
                .seal(|| sealed = self.appended.load(Ordering::SeqCst));
            thread::yield_now();
            self.synced.fetch_max(sealed, Ordering::SeqCst);
            thread::yield_now();
            self.publish();
        }

        /// As `Core::wait_durable`: another one's sync may be durable and not published yet.
        fn wait_durable(&self, lsn: Lsn) {
            while self.synced.load(Ordering::SeqCst) < lsn.get() {
                self.sync();
            }
            if !self.publication.has_reached(lsn) {
                self.publish();
            }
        }

        fn publish(&self) {
            let synced = || Lsn::new(self.synced.load(Ordering::SeqCst));
            self.publication.publish(synced, |_, _, lsn| {
                let before = self.followed.swap(*lsn, Ordering::SeqCst);
                assert_eq!(before + 1, *lsn, "each is followed once, in order");
            });
        }

        /// appended ≥ synced ≥ published, read from the back: whatever moves meanwhile moves the right way.
        fn look(&self) -> u64 {
            let visible = **self.publication.visible();
            let published = *self.publication.read();
            let synced = self.synced.load(Ordering::SeqCst);
            let appended = self.appended.load(Ordering::SeqCst);
            assert!(visible <= synced, "{visible} is seen, {synced} is durable");
            assert!(published <= synced && synced <= appended);
            assert!(self.followed.load(Ordering::SeqCst) >= visible);
            visible.max(published)
        }
    }

    #[test]
    fn nobody_sees_what_is_not_durable_and_whoever_waited_sees_it() {
        explore(|| {
            let store = Store::new();
            let writers = (0..2).map(|_| {
                let store = Arc::clone(&store);
                thread::spawn(move || {
                    for _ in 0..2 {
                        let lsn = store.append();
                        store.wait_durable(lsn);
                        assert!(*store.publication.read() >= lsn.get(), "waited in vain");
                        assert!(**store.publication.visible() >= lsn.get());
                    }
                })
            });
            let writers: Vec<_> = writers.collect();
            let reader = {
                let store = Arc::clone(&store);
                thread::spawn(move || {
                    let mut last = 0;
                    for _ in 0..4 {
                        let seen = **store.publication.visible();
                        assert!(seen >= last, "{seen} after {last}");
                        last = seen;
                        store.look();
                    }
                })
            };
            let syncer = {
                let store = Arc::clone(&store);
                thread::spawn(move || {
                    store.append();
                    store.sync();
                })
            };
            for thread in writers.into_iter().chain([reader, syncer]) {
                thread.join().expect("no thread fails");
            }
            store.sync();
            assert_eq!(store.look(), 5);
        });
    }
}
