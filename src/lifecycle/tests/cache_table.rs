//! Every state of a region's cache against every event that touches it, held to a table that was
//! written by hand: the answer, and the state afterwards.

use super::stage_table::rows;
use super::world::{World, at, epoch, region, snapshot, split, voter, word};
use crate::lifecycle::{
    CacheEntry, CacheState, Change, DamageReason, Derive, DestroyCause, DropReason, Effect, Event,
    EvictReason, PeerChange, QueuedLoadFate, WitnessSwitch,
};
use crate::{PeerId, RegionId};

const SUBJECT: RegionId = RegionId(1);

/// `answer>state after`; `-` is "already applied". `+q` is a state with a load queued behind it.
const TABLE: &str = "
event       | absent                      | load-requested              | load-queued                 | loading                     | active                            | cancelled                   | evict-pending                   | evicting                    | cancelled+q                   | evict-pending+q                   | evicting+q
load        | cache.request>load-requested | ->load-requested           | ->load-queued               | ->loading                   | ->active                          | cache.queue>cancelled+q     | cache.queue>evict-pending+q     | cache.queue>evicting+q      | ->cancelled+q                 | ->evict-pending+q                 | ->evicting+q
begin       | cache-state>absent          | cache.loading>loading       | cache-state>load-queued     | ->loading                   | ->active                          | load-cancelled>cancelled    | load-cancelled>evict-pending    | load-cancelled>evicting     | load-cancelled>cancelled+q    | load-cancelled>evict-pending+q    | load-cancelled>evicting+q
end         | cache-state>absent          | cache-state>load-requested  | cache-state>load-queued     | cache.active>active         | ->active                          | load-cancelled>cancelled    | load-cancelled>evict-pending    | load-cancelled>evicting     | load-cancelled>cancelled+q    | load-cancelled>evict-pending+q    | load-cancelled>evicting+q
cancel      | ->absent                    | cache.gone>absent           | cache.gone>absent           | cache.cancel>cancelled      | cache-state>active                | ->cancelled                 | ->evict-pending                 | ->evicting                  | ->cancelled+q                 | ->evict-pending+q                 | ->evicting+q
evict       | ->absent                    | cache.gone>absent           | cache.gone>absent           | cache.cancel>cancelled      | cache.evict-pending>evict-pending | ->cancelled                 | ->evict-pending                 | ->evicting                  | cache.unqueue>cancelled       | cache.unqueue>evict-pending       | cache.unqueue>evicting
evict-begin | ->absent                    | cache-state>load-requested  | cache-state>load-queued     | cache-state>loading         | cache-state>active                | cache.evicting>evicting     | cache.evicting>evicting         | ->evicting                  | cache.evicting>evicting+q     | cache.evicting>evicting+q         | ->evicting+q
evict-end   | ->absent                    | cache-state>load-requested  | cache-state>load-queued     | cache-state>loading         | cache-state>active                | cache-state>cancelled       | cache-state>evict-pending       | cache.gone>absent           | cache-state>cancelled+q       | cache-state>evict-pending+q       | cache.gone>load-requested
lost        | ->absent                    | ->load-requested            | ->load-queued               | cache.gone>absent           | cache.gone>absent                 | cache.gone>absent           | cache.gone>absent               | cache.gone>absent           | cache.gone>load-requested     | cache.gone>load-requested         | cache.gone>load-requested
add-peer    | region.change-peers>absent  | region.change-peers>load-requested | region.change-peers>load-queued | region.change-peers>loading | region.change-peers>active | region.change-peers>cancelled | region.change-peers>evict-pending | region.change-peers>evicting | region.change-peers>cancelled+q | region.change-peers>evict-pending+q | region.change-peers>evicting+q
split       | region.split>absent         | region.split>absent         | region.split>absent         | region.split>cancelled      | region.split>active               | region.split>cancelled      | region.split>evict-pending      | region.split>evicting       | region.split>cancelled+q      | region.split>evict-pending+q      | region.split>evicting+q
snapshot    | snapshot.begin>absent       | snapshot.begin>absent       | snapshot.begin>absent       | snapshot.begin>cancelled    | snapshot.begin>evict-pending      | snapshot.begin>cancelled    | snapshot.begin>evict-pending    | snapshot.begin>evicting     | snapshot.begin>cancelled+q    | snapshot.begin>evict-pending+q    | snapshot.begin>evicting+q
damage      | peer.damage>absent          | peer.damage>absent          | peer.damage>absent          | peer.damage>cancelled       | peer.damage>evict-pending         | peer.damage>cancelled       | peer.damage>evict-pending       | peer.damage>evicting        | peer.damage>cancelled+q       | peer.damage>evict-pending+q       | peer.damage>evicting+q
flashback   | region.flashback-begin>absent | region.flashback-begin>absent | region.flashback-begin>absent | region.flashback-begin>cancelled | region.flashback-begin>evict-pending | region.flashback-begin>cancelled | region.flashback-begin>evict-pending | region.flashback-begin>evicting | region.flashback-begin>cancelled+q | region.flashback-begin>evict-pending+q | region.flashback-begin>evicting+q
witness     | region.switch-witness>absent | region.switch-witness>absent | region.switch-witness>absent | region.switch-witness>cancelled | region.switch-witness>evict-pending | region.switch-witness>cancelled | region.switch-witness>evict-pending | region.switch-witness>evicting | region.switch-witness>cancelled+q | region.switch-witness>evict-pending+q | region.switch-witness>evicting+q
install     | snapshot.witness>absent | snapshot.witness>absent | snapshot.witness>absent     | snapshot.witness>cancelled | snapshot.witness>evict-pending | snapshot.witness>cancelled | snapshot.witness>evict-pending | snapshot.witness>evicting | snapshot.witness>cancelled+q | snapshot.witness>evict-pending+q | snapshot.witness>evicting+q
destroy     | peer.destroy-begin>absent   | peer.destroy-begin>absent   | peer.destroy-begin>absent   | peer.destroy-begin>cancelled | peer.destroy-begin>evict-pending | peer.destroy-begin>cancelled | peer.destroy-begin>evict-pending | peer.destroy-begin>evicting | peer.destroy-begin>cancelled+q | peer.destroy-begin>evict-pending+q | peer.destroy-begin>evicting+q
remove-self | region.remove-self>absent   | region.remove-self>absent   | region.remove-self>absent   | region.remove-self>cancelled | region.remove-self>evict-pending | region.remove-self>cancelled | region.remove-self>evict-pending | region.remove-self>evicting | region.remove-self>cancelled+q | region.remove-self>evict-pending+q | region.remove-self>evicting+q
";

fn event(world: &World, name: &str) -> Event {
    let region_id = SUBJECT;
    let incarnation = world.incarnation(1);
    let reason = EvictReason::Requested;
    let change = |change| Event::ChangePeers {
        region: region_id,
        incarnation: None,
        epoch: epoch(1, 1),
        position: at(6),
        change,
    };
    match name {
        "load" => Event::LoadRequest {
            region: region_id,
            incarnation,
            epoch: epoch(1, 1),
        },
        "begin" => Event::LoadBegin {
            region: region_id,
            incarnation,
        },
        "end" => Event::LoadEnd {
            region: region_id,
            incarnation,
        },
        "cancel" => Event::LoadCancel {
            region: region_id,
            incarnation,
            reason,
        },
        "evict" => Event::Evict {
            region: region_id,
            reason,
        },
        "evict-begin" => Event::EvictBegin { region: region_id },
        "evict-end" => Event::EvictEnd { region: region_id },
        "lost" => Event::CacheLost { region: region_id },
        "add-peer" => change(PeerChange::Add { peer: voter(13, 3) }),
        "remove-self" => change(PeerChange::Remove { peer: PeerId(11) }),
        "split" => split(1, epoch(1, 1), 6, "m", 2, Derive::Left),
        "snapshot" => Event::BeginSnapshot {
            region: region_id,
            incarnation,
            description: region(1, "", "", (1, 1)),
            snapshot: snapshot(9),
            sources: Vec::new(),
        },
        "flashback" => Event::BeginFlashback {
            region: region_id,
            incarnation: None,
            epoch: epoch(1, 1),
            position: at(6),
        },
        "witness" => Event::SwitchWitness {
            region: region_id,
            incarnation: None,
            epoch: epoch(1, 1),
            position: at(6),
            switches: vec![WitnessSwitch {
                peer: PeerId(11),
                witness: true,
            }],
        },
        "install" => {
            let mut description = region(1, "", "", (1, 1));
            description.peers[0].is_witness = true;
            Event::InstallWitness {
                region: region_id,
                incarnation,
                description,
                position: at(9),
                sources: Vec::new(),
            }
        }
        "damage" => Event::Damage {
            region: region_id,
            incarnation,
            reason: DamageReason::StoreReplaced,
        },
        "destroy" => Event::Destroy {
            region: region_id,
            incarnation: None,
            peer: PeerId(11),
            cause: DestroyCause::Operator,
        },
        other => panic!("no event {other}"),
    }
}

/// Region 1 with its cache in that state, brought there by events.
pub(super) fn world(state: &str) -> World {
    let mut world = match state {
        "load-queued" => beside_leaving_memory(),
        _ => World::bootstrapped("", ""),
    };
    let (state, is_queued) = match state.strip_suffix("+q") {
        Some(state) => (state, true),
        None => (state, false),
    };
    let path: &[&str] = match state {
        "absent" => &[],
        "load-requested" | "load-queued" => &["load"],
        "loading" => &["load", "begin"],
        "active" => &["load", "begin", "end"],
        "cancelled" => &["load", "begin", "evict"],
        "evict-pending" => &["load", "begin", "end", "evict"],
        "evicting" => &["load", "begin", "end", "evict", "evict-begin"],
        other => panic!("no state {other}"),
    };
    for name in path.iter().chain(is_queued.then_some(&"load")) {
        let event = event(&world, name);
        world.accept(&event);
    }
    world
}

/// Region 1 over all keys, some of which memory of region 3 still holds, which is gone.
fn beside_leaving_memory() -> World {
    let mut world = World::new();
    let incarnation = world.create(3);
    world.accept(&world.begin(region(3, "m", "", (1, 2)), 9));
    world.end(3, 9);
    let region_id = RegionId(3);
    world.accept(&Event::LoadRequest {
        region: region_id,
        incarnation,
        epoch: epoch(1, 2),
    });
    world.accept(&Event::LoadBegin {
        region: region_id,
        incarnation,
    });
    world.accept(&Event::Destroy {
        region: region_id,
        incarnation: None,
        peer: PeerId(31),
        cause: DestroyCause::Operator,
    });
    world.finish_deletions();
    world.accept(&Event::RecoverRegion {
        region: region(1, "", "", (1, 1)),
    });
    world
}

fn shown(entry: CacheEntry) -> String {
    let queued = if entry.queued().is_some() { "+q" } else { "" };
    format!("{}{queued}", entry.state().as_str())
}

#[test]
fn every_cache_state_and_event_has_the_outcome_that_the_table_lists() {
    let mut wrong = Vec::new();
    for (name, row) in rows(TABLE) {
        for (state, expected) in row {
            let mut world = world(state);
            assert_eq!(shown(world.register.cache(SUBJECT)), state);
            let event = event(&world, name);
            let answer = word(&world.ask(&event));
            let answer = if answer == "already" { "-" } else { answer };
            let found = format!("{answer}>{}", shown(world.register.cache(SUBJECT)));
            if found != expected {
                wrong.push(format!("{name} on {state}: {found}, not {expected}"));
            }
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
    for state in CacheState::ALL {
        assert!(
            TABLE.contains(state.as_str()),
            "the table has a column for each state"
        );
    }
}

#[test]
fn memory_is_freed_whenever_a_cache_stops_being_filled_or_serving() {
    for (name, row) in rows(TABLE) {
        for (state, expected) in row {
            let mut world = world(state);
            world.effects.clear();
            let event = event(&world, name);
            let _answer = world.ask(&event);
            let free = Effect::FreeCache { region: SUBJECT };
            let held = state == "loading" || state == "active";
            let leaves = expected.ends_with(">cancelled") || expected.ends_with(">evict-pending");
            assert_eq!(
                world.effects.contains(&free),
                held && leaves,
                "{name} on {state}"
            );
            let starts = world
                .effects
                .iter()
                .any(|e| matches!(e, Effect::StartLoad { .. }));
            let is_new = expected.ends_with(">load-requested") && state != "load-requested";
            assert_eq!(starts, is_new, "{name} on {state}");
        }
    }
}

#[test]
fn children_of_a_split_share_an_active_cache_and_no_other() {
    for state in CacheState::ALL {
        let mut world = world(state.as_str());
        let event = event(&world, "split");
        let lsn = world.accept(&event);
        let child = world.register.cache(RegionId(2));
        let expected = match state {
            CacheState::Active => CacheEntry::Active {
                incarnation: crate::Incarnation::new(lsn),
                shared_from: Some(SUBJECT),
            },
            _ => CacheEntry::Absent,
        };
        assert_eq!(child, expected, "{state:?}");
    }
}

#[test]
fn a_queued_load_that_makes_no_sense_any_more_is_dropped_with_the_reason() {
    for (between, expected) in [
        ("split", DropReason::RangeChanged),
        ("snapshot", DropReason::NotServing),
        ("damage", DropReason::NotServing),
        ("flashback", DropReason::NotServing),
        ("witness", DropReason::NotServing),
        ("destroy", DropReason::IncarnationGone),
    ] {
        let mut world = world("evicting+q");
        for name in [between, "evict-end"] {
            let event = match world.register.incarnation(SUBJECT) {
                Some(_) => event(&world, name),
                None => Event::EvictEnd { region: SUBJECT },
            };
            world.accept(&event);
        }
        let Change::CacheGone { queued, reason, .. } = world.last_change() else {
            panic!("{:?}", world.last_change());
        };
        assert_eq!(*queued, QueuedLoadFate::Dropped(expected), "{between}");
        assert_eq!(*reason, EvictReason::Requested);
        assert_eq!(world.register.cache(SUBJECT), CacheEntry::Absent);
    }
}

#[test]
fn a_load_asked_for_again_after_the_range_changed_replaces_the_queued_one() {
    let mut world = world("evicting+q");
    let request = event(&world, "split");
    world.accept(&request);
    let incarnation = world.incarnation(1);
    world.accept(&Event::LoadRequest {
        region: SUBJECT,
        incarnation,
        epoch: epoch(1, 2),
    });
    world.effects.clear();
    world.accept(&Event::EvictEnd { region: SUBJECT });
    let start = Effect::StartLoad {
        region: SUBJECT,
        incarnation,
    };
    assert_eq!(world.effects, [start]);
    assert_eq!(
        world.register.cache_state(SUBJECT),
        CacheState::LoadRequested
    );
}

#[test]
fn a_child_whose_earlier_cache_is_still_leaving_does_not_share_the_new_one() {
    // Region 2 was here, cached; its peer went and its memory has not yet.
    let mut world = World::bootstrapped("", "m");
    let first = world.create(2);
    world.accept(&world.begin(region(2, "m", "t", (1, 2)), 9));
    world.end(2, 9);
    let (region_id, epoch_2) = (RegionId(2), epoch(1, 2));
    for event in [
        Event::LoadRequest {
            region: region_id,
            incarnation: first,
            epoch: epoch_2,
        },
        Event::LoadBegin {
            region: region_id,
            incarnation: first,
        },
        Event::Destroy {
            region: region_id,
            incarnation: None,
            peer: PeerId(21),
            cause: DestroyCause::Operator,
        },
        event(&world, "load"),
        event(&world, "begin"),
        event(&world, "end"),
    ] {
        world.accept(&event);
    }
    let leaving = world.register.cache(region_id);
    assert_eq!(leaving.state(), CacheState::Cancelled);
    let Event::Split(mut again) = split(1, epoch(1, 1), 6, "f", 2, Derive::Left) else {
        unreachable!()
    };
    again.children[0].peers[0].id = PeerId(25);
    world.accept(&Event::Split(again));
    assert!(world.incarnation(2) > first);
    assert_eq!(world.register.cache(region_id), leaving);
    assert_eq!(world.register.cache_state(SUBJECT), CacheState::Active);
}
