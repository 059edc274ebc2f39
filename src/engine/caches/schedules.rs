//! Readers that pin a cache against an eviction and a split, in many orders of their threads.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use shuttle::thread;
use torrens_journal::Lsn;

use super::Caches;
use crate::store::ColumnFamily;
use crate::sync::{AtomicBool, explore};
use crate::{Incarnation, KeyRange, RegionId, Sequence};

const REGION: RegionId = RegionId(1);
const PART: RegionId = RegionId(2);
const INCARNATION: Incarnation = Incarnation::new(Lsn::FIRST);

/// Caches with one that is filled: `a` and `n`.
fn filled() -> Arc<Caches> {
    let caches = Arc::new(Caches::default());
    let cache = caches.attach(REGION, INCARNATION, KeyRange::all());
    let mut loader = cache.loader(Sequence::new(1));
    for key in [b"a", b"n"] {
        loader.push(ColumnFamily::DEFAULT, key, b"v");
    }
    loader.finish();
    caches
}

/// Reads as a view does, if there is something to read; the memory must not have been let go meanwhile.
fn read(caches: &Caches, region: RegionId, key: &[u8], freed: &AtomicBool) {
    let Some(pin) = caches.pin(region, INCARNATION, Sequence::new(1)) else {
        return;
    };
    assert!(!freed.load(Ordering::SeqCst), "pinned what was let go");
    let value = pin.get(ColumnFamily::DEFAULT, key, Sequence::new(1));
    assert_eq!(value, Ok(Some(b"v".as_slice())));
    assert!(!freed.load(Ordering::SeqCst), "let go of what is pinned");
}

/// As the eviction: detached at once, let go when nobody pins it.
fn evict(caches: &Caches, region: RegionId, freed: &AtomicBool) {
    caches.detach(region);
    while !caches.free_retired(region, None).0 {
        thread::yield_now();
    }
    freed.store(true, Ordering::SeqCst);
}

#[test]
fn an_eviction_ends_when_nobody_pins_and_nobody_pins_what_it_let_go() {
    explore(|| {
        let (caches, freed) = (filled(), Arc::new(AtomicBool::new(false)));
        let readers = (0..2).map(|_| {
            let (caches, freed) = (Arc::clone(&caches), Arc::clone(&freed));
            thread::spawn(move || {
                for _ in 0..2 {
                    read(&caches, REGION, b"a", &freed);
                }
            })
        });
        let readers: Vec<_> = readers.collect();
        evict(&caches, REGION, &freed);
        for reader in readers {
            reader.join().expect("no reader fails");
        }
        assert_eq!(caches.bytes(), 0);
    });
}

#[test]
fn a_part_is_let_go_only_when_readers_of_the_whole_have_gone() {
    explore(|| {
        let (caches, freed) = (filled(), Arc::new(AtomicBool::new(false)));
        let of_whole = {
            let (caches, freed) = (Arc::clone(&caches), Arc::clone(&freed));
            thread::spawn(move || {
                // The whole, or the part that keeps its id: both have this key, and the whole has the
                // part's keys too.
                read(&caches, REGION, b"a", &freed);
            })
        };
        let of_part = {
            let (caches, freed) = (Arc::clone(&caches), Arc::clone(&freed));
            thread::spawn(move || read(&caches, PART, b"n", &freed))
        };
        let range = |start: &[u8], end: Option<&[u8]>| KeyRange::new(start, end).expect("a range");
        let parts = [
            (REGION, INCARNATION, range(b"", Some(b"m"))),
            (PART, INCARNATION, range(b"m", None)),
        ];
        caches.split(REGION, &parts);
        let gone = Arc::new(AtomicBool::new(false));
        evict(&caches, PART, &gone);
        // What is let go now is the rest: the readers of both have to be gone.
        evict(&caches, REGION, &freed);
        for reader in [of_whole, of_part] {
            reader.join().expect("no reader fails");
        }
        assert_eq!(caches.bytes(), 0);
    });
}
