//! Every order of publishing, pinning, merging, splitting and letting go.
//!
//! All that threads share is one pointer, and whoever changes it holds a lock; so a step is one
//! publication or one load of the pointer, and what threads can do to each other is the order of
//! their steps. A test below runs a writer, a merger, a reader and a splitter or evictor through all
//! of them; another lets real threads at it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use super::*;

/// One thread's next step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Write,
    Merge,
    Pin,
    /// Splits at "m", or lets go.
    End,
}

const KEYS: [&[u8]; 2] = [b"a", b"z"];

/// What was written at a sequence: a value, or at every third a deletion of the first key.
fn expected(key: &[u8], sequence: u64) -> Option<Vec<u8>> {
    match sequence {
        1 => Some(b"loaded".to_vec()),
        _ if key == KEYS[0] && sequence.is_multiple_of(3) => None,
        _ => Some(sequence.to_be_bytes().to_vec()),
    }
}

fn batch(sequence: u64) -> WriteBatch {
    let mut batch = WriteBatch::new();
    for key in KEYS {
        match expected(key, sequence) {
            Some(value) => batch.put(key, value),
            None => batch.delete(key),
        };
    }
    batch
}

fn check(pin: &CachePin, sequence: u64, order: &[Step]) {
    for key in KEYS.into_iter().filter(|key| pin.range().contains(key)) {
        let found = pin.get(CF, key, at(sequence)).unwrap();
        assert_eq!(found, expected(key, sequence).as_deref(), "{order:?}");
    }
    for direction in [Direction::Forward, Direction::Reverse] {
        let rows = pin.scan(CF, pin.range(), at(sequence), direction).unwrap();
        let mut rows: Vec<_> = rows.map(|(key, value)| (key, value.to_vec())).collect();
        if direction == Direction::Reverse {
            rows.reverse();
        }
        let keys = KEYS.into_iter().filter(|key| pin.range().contains(key));
        let wanted: Vec<_> = keys
            .filter_map(|key| Some((key, expected(key, sequence)?)))
            .collect();
        assert_eq!(rows, wanted, "{order:?}");
    }
}

fn run(order: &[Step], splits: bool) {
    let meter = CacheMeter::new();
    let whole = RegionCache::loading(KeyRange::all(), &meter);
    let mut loader = whole.loader(at(1));
    KEYS.into_iter()
        .for_each(|key| loader.push(CF, key, b"loaded"));
    loader.finish();
    // Of the whole before the split, of its parts behind it.
    let (mut parts, mut ended) = (Vec::new(), false);
    let (mut written, mut pins, mut merging) = (1, Vec::new(), None);
    for step in order {
        let now: &[RegionCache] = match parts.is_empty() {
            true => std::slice::from_ref(&whole),
            false => &parts,
        };
        match step {
            Step::Write => {
                written += 1;
                for cache in now {
                    let _ = cache.insert(&batch(written), at(written));
                }
            }
            // The merge of the whole may go on when there are parts.
            Step::Merge => match merging.take() {
                None => merging = whole.begin_merge(at(written)),
                Some(merge) => {
                    let _ = region::Merging::finish(merge);
                }
            },
            Step::Pin => {
                for cache in now {
                    match cache.pin(at(written)) {
                        Ok(pin) => {
                            check(&pin, written, order);
                            pins.push((written, pin));
                        }
                        Err(refusal) => assert!(ended && !splits, "{refusal} {order:?}"),
                    }
                }
            }
            Step::End => {
                ended = true;
                if splits {
                    parts = [range("", "m"), range("m", "")]
                        .map(|range| whole.part(range).unwrap())
                        .to_vec();
                }
                whole.free();
            }
        }
    }
    drop(merging);
    for part in &parts {
        assert!(part.merge(at(written)), "{order:?}");
        check(&part.pin(at(written)).unwrap(), written, order);
    }
    for (sequence, pin) in &pins {
        check(pin, *sequence, order);
    }
    drop((pins, parts, whole));
    assert_eq!(meter.bytes(), 0, "{order:?}");
}

/// Calls `each` with every order of the steps that are left.
fn orders(left: &mut [(Step, usize)], order: &mut Vec<Step>, each: &mut impl FnMut(&[Step])) {
    let mut is_last = true;
    for at in 0..left.len() {
        let (step, count) = left[at];
        if count > 0 {
            is_last = false;
            left[at].1 -= 1;
            order.push(step);
            orders(left, order, each);
            order.pop();
            left[at].1 += 1;
        }
    }
    if is_last {
        each(order);
    }
}

#[test]
fn every_order_of_steps_shows_each_reader_one_moment() {
    let mut ran = 0;
    for splits in [true, false] {
        let mut left = [
            (Step::Write, 3),
            (Step::Merge, 4),
            (Step::Pin, 2),
            (Step::End, 1),
        ];
        orders(&mut left, &mut Vec::new(), &mut |order| {
            run(order, splits);
            ran += 1;
        });
    }
    // 10! / (3! 4! 2! 1!), with a split and with an eviction.
    assert_eq!(ran, 2 * 12_600);
}

#[test]
fn threads_that_read_see_one_moment_while_others_write_and_merge() {
    let (meter, rounds) = (CacheMeter::new(), 20_000_u64);
    let cache = RegionCache::loading(KeyRange::all(), &meter);
    let mut loader = cache.loader(at(1));
    KEYS.into_iter()
        .for_each(|key| loader.push(CF, key, b"loaded"));
    loader.finish();
    let visible = AtomicU64::new(1);
    thread::scope(|scope| {
        scope.spawn(|| {
            for sequence in 2..rounds {
                let _ = cache.insert(&batch(sequence), at(sequence));
                visible.store(sequence, Ordering::Release);
            }
            cache.free();
        });
        scope.spawn(|| {
            while cache.floor().is_some() {
                let _ = cache.merge(at(visible.load(Ordering::Acquire)));
            }
        });
        for _ in 0..2 {
            scope.spawn(|| {
                let mut held: Option<(u64, CachePin)> = None;
                loop {
                    let sequence = visible.load(Ordering::Acquire);
                    match cache.pin(at(sequence)) {
                        Ok(pin) => {
                            check(&pin, sequence, &[]);
                            if let Some((sequence, pin)) = &held {
                                check(pin, *sequence, &[]);
                            }
                            held = Some((sequence, pin));
                        }
                        // A merge was quicker.
                        Err(CacheRefusal::TooOld { .. }) => {}
                        Err(CacheRefusal::Gone) => break,
                        Err(refusal) => panic!("{refusal}"),
                    }
                }
            });
        }
    });
    drop(cache);
    assert_eq!(meter.bytes(), 0);
}
