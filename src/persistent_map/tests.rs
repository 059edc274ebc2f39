//! A map beside the standard library's, step by step, with clones that must stay as they were.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::hash::BuildHasher;

use super::{MapKey, PersistentMap, Probe};
use crate::{Key, RegionId};

/// Numbers from a seed.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = foldhash::fast::FixedState::with_seed(7).hash_one(self.0);
        self.0 % end
    }
}

fn compare<K: MapKey + Debug>(map: &PersistentMap<K, u64>, plain: &BTreeMap<K, u64>, probe: &K) {
    assert_eq!(map.len(), plain.len());
    assert_eq!(map.get(probe.clone()), plain.get(probe));
    let from = map.from(probe.clone()).take(40);
    assert!(from.eq(plain.range(probe..).take(40)), "from {probe:?}");
    let before = map.before(probe.clone()).take(40);
    let wanted = plain.range(..probe).rev().take(40);
    assert!(before.eq(wanted), "before {probe:?}");
    let wanted = plain.range(..=probe).next_back();
    assert_eq!(map.at_or_before(probe.clone()), wanted);
    assert_eq!(map.last_key_value(), plain.last_key_value());
}

fn history<K: MapKey + Debug>(seed: u64, key: impl Fn(u64) -> K) {
    println!("seed {seed}");
    let mut numbers = Numbers(seed);
    let (mut map, mut plain) = (PersistentMap::default(), BTreeMap::new());
    let mut kept: Vec<(PersistentMap<K, u64>, BTreeMap<K, u64>)> = Vec::new();
    for step in 0..30_000_u64 {
        // Grows to some thousands, then shrinks to nothing, and again.
        let grows = step / 6_000 % 2 == 0;
        let wanted = key(match grows {
            true => numbers.below(20_000),
            // Among those that are there, in clusters, so that nodes empty and join.
            false => numbers.below(200) + (step % 6_000) * 20_000 / 6_000,
        });
        match (grows, numbers.below(8)) {
            (true, 0..6) | (false, 0) => {
                assert_eq!(
                    map.insert(wanted.clone(), step),
                    plain.insert(wanted.clone(), step)
                );
            }
            (true, 6) | (false, 1..7) => {
                // From the plain one's place on, so that something goes.
                let there = plain.range(&wanted..).next().map(|(key, _)| key.clone());
                let gone = there.unwrap_or_else(|| wanted.clone());
                assert_eq!(map.remove(gone.clone()), plain.remove(&gone));
            }
            _ => {
                let (a, b) = (map.get_mut(wanted.clone()), plain.get_mut(&wanted));
                assert_eq!(a.as_deref(), b.as_deref());
                if let (Some(a), Some(b)) = (a, b) {
                    (*a, *b) = (step, step);
                }
            }
        }
        compare(&map, &plain, &wanted);
        if step % 1_500 == 0 {
            kept.push((map.clone(), plain.clone()));
        }
    }
    for (map, plain) in &kept {
        assert!(
            map.iter().eq(plain.iter()),
            "a clone changed with its original"
        );
    }
    let (map, plain) = kept.iter().max_by_key(|(map, _)| map.len()).unwrap();
    assert!(
        map.len() > 2_000,
        "{} entries are one node or two",
        map.len()
    );
    let (mut map, mut entries) = (map.clone(), plain.len());
    for key in plain.keys() {
        assert!(map.remove(key.clone()).is_some());
        entries -= 1;
        assert_eq!(map.len(), entries);
    }
    assert!(map.is_empty() && map == PersistentMap::default());
}

#[test]
fn numbers_behave_as_in_an_ordinary_map_and_clones_stay_as_they_were() {
    for seed in [1, 2] {
        history(seed, RegionId);
    }
}

#[test]
fn keys_with_and_without_shared_prefixes_behave_as_in_an_ordinary_map() {
    let keys: [fn(u64) -> Key; 4] = [
        |n| Key::from(format!("{n}").into_bytes()),
        |n| Key::from(format!("t{:03}_r{n:020}", n % 7).into_bytes()),
        // More than an index takes, and heads that tie.
        |n| Key::from(format!("{:060}{n:010}", 5).into_bytes()),
        // Zeros at the end, which a head cannot tell from nothing.
        |n| Key::from(vec![0; (n % 40) as usize + usize::from(n % 3 == 0)]),
    ];
    for (seed, key) in keys.iter().take(3).enumerate() {
        history(seed as u64, key);
    }
    let zeros = keys[3];
    let (mut map, mut plain) = (PersistentMap::default(), BTreeMap::new());
    for n in 0..200 {
        assert_eq!(map.insert(zeros(n), n), plain.insert(zeros(n), n));
        compare(&map, &plain, &zeros(n * 7));
    }
    assert!(map.iter().eq(plain.iter()));
}

#[test]
fn what_comes_in_order_fills_its_nodes() {
    let mut map = PersistentMap::default();
    for n in 0..100_000 {
        map.insert(RegionId(n), n);
    }
    let copy = map.clone();
    *map.get_mut(RegionId(50_000)).unwrap() = 0;
    assert_eq!(copy.get(RegionId(50_000)), Some(&50_000));
    assert!(map != copy);
    *map.get_mut(RegionId(50_000)).unwrap() = 50_000;
    assert!(map == copy, "maps are compared by what they hold");
    assert_eq!(map.get_mut(RegionId(100_000)), None);
    assert_eq!(*map.get_or_default(RegionId(100_000)), 0);
    let filling = map.fill();
    assert!(filling > 0.9, "nodes are {filling} full");
}

impl<K: MapKey, V: Clone> PersistentMap<K, V> {
    /// How full the leaves are, from 0 to 1.
    fn fill(&self) -> f64 {
        self.len() as f64 / (self.root.leaves() * super::node::ENTRIES_MAX) as f64
    }
}

/// Anything that stands for a key finds it.
#[test]
fn bytes_find_their_key() {
    let mut map = PersistentMap::default();
    map.insert(Key::from(b"k".as_slice()), 1);
    let probe: &[u8] = b"k";
    assert_eq!(map.get(probe), Some(&1));
    let keys = [Key::from(b"k".as_slice()), Key::from(b"m".as_slice())];
    let index = Key::index(&keys);
    for (probe, place) in [
        ("j", Err(0)),
        ("k", Ok(0)),
        ("l", Err(1)),
        ("m", Ok(1)),
        ("n", Err(2)),
    ] {
        assert_eq!(probe.as_bytes().find(&index, &keys), place, "{probe}");
    }
}
