//! Reports of leadership in any order, some twice and some never: in the end what is led is attached once,
//! and all of it was told.

use std::collections::BTreeMap;
use std::sync::Arc;

use torrens::{Leadership, LeadershipRole, LeadershipSource, ObserverPolicy, StartFrom};

use super::*;

/// Regions 1 and 2.
const REGIONS: u64 = 2;

/// A small generator: the seed is all that a failure needs.
struct Random(u64);

impl Random {
    fn below(&mut self, count: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % count
    }
}

struct Truth(BTreeMap<RegionId, Leadership>);

impl LeadershipSource for Truth {
    fn leadership(&self, region: RegionId) -> Option<Leadership> {
        self.0.get(&region).copied()
    }
}

/// What a peer is, term by term, as Raft has it.
fn edges(random: &mut Random, engine: &Engine, region: u64) -> Vec<Leadership> {
    let incarnation = incarnation(engine, region);
    let mut edges = Vec::new();
    for term in 6..12 {
        let mut then = |role| {
            edges.push(Leadership {
                incarnation,
                term,
                role,
            });
        };
        then(LeadershipRole::Candidate);
        if random.below(3) > 0 {
            then(LeadershipRole::Leader);
        }
        if random.below(2) > 0 {
            then(LeadershipRole::Follower);
        }
    }
    edges
}

#[test]
fn edges_in_any_order_twice_or_never_leave_what_is_true_attached() {
    for seed in 0..40 {
        println!("seed {seed}");
        let mut random = Random(seed);
        let world = World::new(seed);
        let (engine, _) = world.open().unwrap();
        support::bootstrap(&engine).unwrap();
        support::split_at_m(&engine).unwrap();
        let observer = observe(&engine, "copy", StartFrom::Now, ObserverPolicy::default());
        let mut subscription = subscribe(&engine, observer);
        let mut truth = BTreeMap::new();
        let mut told_edges = Vec::new();
        for region in 1..=REGIONS {
            let edges = edges(&mut random, &engine, region);
            truth.insert(RegionId(region), *edges.last().unwrap());
            for edge in edges {
                match random.below(10) {
                    0 | 1 => {}
                    2 | 3 => told_edges.extend([(region, edge), (region, edge)]),
                    _ => told_edges.push((region, edge)),
                }
            }
        }
        let (mut written, mut found) = (Vec::new(), Vec::new());
        let mut take = |subscription: &mut Subscription| {
            while let Some(item) = subscription.try_next().unwrap() {
                if let FeedItem::Entry(entry) = item {
                    found.push((entry.region.0, entry.position.index));
                }
            }
        };
        let mut next = BTreeMap::from([(1, 8), (2, 6)]);
        while !told_edges.is_empty() {
            let place = random.below(told_edges.len() as u64);
            let (region, edge) = told_edges.swap_remove(usize::try_from(place).unwrap());
            let _answer = engine
                .report_leadership(RegionId(region), edge.incarnation, edge.term, edge.role)
                .unwrap();
            let region = 1 + random.below(REGIONS);
            let index = next.get_mut(&region).unwrap();
            let mut batch = WriteBatch::new();
            batch.put(key(if region == 1 { "a" } else { "n" }), b"v".as_slice());
            let answer = engine.write(RegionId(region), epoch(&engine, region), at(*index), &batch);
            support::written(answer).unwrap();
            written.push((region, *index));
            *index += 1;
            match random.below(4) {
                0 => engine.wait_idle().unwrap(),
                1 => drop(engine.flush().unwrap()),
                2 => take(&mut subscription),
                _ => {}
            }
        }
        let source: Arc<dyn LeadershipSource> = Arc::new(Truth(truth.clone()));
        engine.set_leadership_source(Some(source));
        let _report = engine.audit_observers().unwrap();
        engine.wait_idle().unwrap();
        engine.flush().unwrap();
        take(&mut subscription);
        for one in engine.observed_regions(observer) {
            let leads = truth[&one.region].role == LeadershipRole::Leader;
            let is_attached = matches!(one.state, "live" | "catching-up");
            assert_eq!(is_attached, leads, "seed {seed}: {one:?}");
        }
        // Of what is led everything was told, of what is not nothing came twice or out of order.
        for region in 1..=REGIONS {
            let of = |all: &[(u64, u64)]| -> Vec<u64> {
                let own = all.iter().filter(|(of, _)| *of == region);
                own.map(|(_, index)| *index).collect()
            };
            let (found, written) = (of(&found), of(&written));
            let leads = truth[&RegionId(region)].role == LeadershipRole::Leader;
            let expected = if leads {
                &written[..]
            } else {
                &written[..found.len()]
            };
            assert_eq!(found, expected, "seed {seed}, r{region}");
        }
        let second = engine.audit_observers().unwrap();
        assert_eq!(second.attachments_repaired, 0, "seed {seed}");
    }
}
