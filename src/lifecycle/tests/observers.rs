//! Observers in the register: what each transition of a region does to them, and what is refused.

use super::world::{World, at, epoch, region, snapshot, split, word};
use crate::lifecycle::{
    Acknowledged, AttachRequest, Attachment, AttachmentState, CaughtUp, Derive, DestroyCause,
    Detached, Drain, Ended, Event, InvalidReason, Invalidated, Leads, Loss, ObserverEvent,
    Observers, Origin, Rebased, Reset, Started, WantReason,
};
use crate::{
    Generation, Incarnation, KeyRange, ObserverId, ObserverName, ObserverPolicy, ObserverRanges,
    PeerId, RegionId,
};

const ONE: RegionId = RegionId(1);
const TWO: RegionId = RegionId(2);
const O1: ObserverId = ObserverId(1);

fn add(world: &World, name: &str, range: (&str, &str), acked: u64) -> Event {
    let range = super::world::range(range.0, range.1);
    let ranges = ObserverRanges::new(vec![range]).unwrap();
    let regions = world.register.observed_regions(&ranges);
    Event::Observer(ObserverEvent::Add {
        name: ObserverName::new(name).unwrap(),
        starts: regions
            .iter()
            .map(|region| Started {
                region: *region,
                acked,
            })
            .collect(),
        ranges,
        policy: ObserverPolicy::default(),
    })
}

fn attach(world: &World, region: RegionId, term: u64, applied: u64) -> Event {
    let peer = world.register.peer(region);
    Event::Observer(ObserverEvent::Attach {
        attachments: vec![AttachRequest {
            observer: O1,
            region,
            leads: peer.map(|peer| Leads {
                incarnation: peer.incarnation,
                term,
                version: peer.stage.epoch().version,
                applied,
            }),
        }],
    })
}

fn ack(region: RegionId, generation: u64, index: u64) -> Event {
    Event::Observer(ObserverEvent::Acknowledge {
        observer: O1,
        positions: vec![Acknowledged {
            region,
            generation: Generation(generation),
            index,
        }],
    })
}

fn attachment(world: &World, region: RegionId) -> Attachment {
    let found = world.register.observers().attachment(O1, region);
    found
        .unwrap_or_else(|| panic!("nothing at {region}"))
        .clone()
}

/// Region 1 over all keys, observed from index 5 on and attached as g1 in term 6.
fn observed() -> World {
    let mut world = World::bootstrapped("", "");
    world.accept(&add(&world, "a", ("", ""), 5));
    world.accept(&attach(&world, ONE, 6, 9));
    assert_eq!(
        attachment(&world, ONE).state,
        AttachmentState::CatchingUp { term: 6 }
    );
    world
}

#[test]
fn generations_are_minted_by_records_alone_and_never_twice() {
    let mut world = observed();
    assert_eq!(attachment(&world, ONE).generation, Generation(1));
    let again = attach(&world, ONE, 6, 9);
    assert_eq!(
        word(&world.ask(&again)),
        "already",
        "the same term is the same attachment"
    );
    let earlier = attach(&world, ONE, 5, 9);
    assert_eq!(
        word(&world.ask(&earlier)),
        "already",
        "an earlier term is late"
    );
    world.accept(&attach(&world, ONE, 7, 9));
    assert_eq!(attachment(&world, ONE).generation, Generation(2));
    world.accept(&Event::Observer(ObserverEvent::Restart));
    let reason = WantReason::Restarted;
    assert_eq!(
        attachment(&world, ONE).state,
        AttachmentState::Wanted { reason }
    );
    world.accept(&attach(&world, ONE, 7, 9));
    assert_eq!(attachment(&world, ONE).generation, Generation(3));
    // Removed and registered again under its name: another observer.
    let observer = O1;
    world.accept(&Event::Observer(ObserverEvent::Remove { observer }));
    world.accept(&add(&world, "a", ("", ""), 5));
    let observers = world.register.observers();
    assert_eq!(observers.named("a"), Some(ObserverId(2)));
    assert_eq!(observers.last_generation(), Generation(3));
}

#[test]
fn a_request_about_what_is_not_there_is_left_out_and_the_others_are_not() {
    let mut world = World::bootstrapped("", "");
    world.accept(&split(1, epoch(1, 1), 7, "m", 2, Derive::Left));
    world.accept(&add(&world, "a", ("", ""), 7));
    let live = |region| world.register.incarnation(region).unwrap();
    let request = |region, incarnation, version| AttachRequest {
        observer: O1,
        region,
        leads: Some(Leads {
            incarnation,
            term: 6,
            version,
            applied: 7,
        }),
    };
    let gone = Incarnation::new(torrens_journal::Lsn::new(99));
    for (stale, why) in [
        (request(ONE, gone, 2), "another incarnation"),
        (request(ONE, live(ONE), 1), "another version"),
        (request(RegionId(9), gone, 2), "no such region"),
    ] {
        let mut world = world.clone();
        let attachments = vec![stale, request(TWO, live(TWO), 2)];
        world.accept(&Event::Observer(ObserverEvent::Attach { attachments }));
        assert!(attachment(&world, TWO).is_attached(), "{why}");
        assert!(!attachment(&world, ONE).is_attached(), "{why}");
        assert_eq!(
            world.register.observers().last_generation(),
            Generation(1),
            "{why}"
        );
    }
}

#[test]
fn acknowledgements_are_bound_to_what_was_delivered() {
    let mut world = observed();
    assert_eq!(
        word(&world.ask(&ack(ONE, 2, 6))),
        "observer-generation-stale"
    );
    assert_eq!(
        word(&world.ask(&ack(ONE, 0, 6))),
        "observer-generation-stale"
    );
    assert_eq!(word(&world.ask(&ack(TWO, 1, 6))), "observer-region-unknown");
    world.accept(&ack(ONE, 1, 8));
    for lower in [8, 6] {
        assert_eq!(word(&world.ask(&ack(ONE, 1, lower))), "already");
    }
    assert_eq!(attachment(&world, ONE).acked, 8);
    // What was delivered before the generation ended was durable.
    world.accept(&Event::Observer(ObserverEvent::Restart));
    world.accept(&ack(ONE, 1, 9));
    world.accept(&attach(&world, ONE, 6, 9));
    assert_eq!(
        attachment(&world, ONE).state,
        AttachmentState::Live { term: 6 }
    );
    assert_eq!(
        word(&world.ask(&ack(ONE, 1, 10))),
        "observer-generation-stale"
    );
    // The region ends at 12.
    world.accept(&Event::Destroy {
        region: ONE,
        incarnation: None,
        peer: PeerId(11),
        cause: DestroyCause::Operator,
    });
    let ended = Ended {
        observer: O1,
        region: ONE,
        end: 12,
    };
    world.accept(&Event::Observer(ObserverEvent::End {
        attachments: vec![ended],
    }));
    assert_eq!(
        word(&world.ask(&ack(ONE, 2, 13))),
        "observer-beyond-delivered"
    );
    world.accept(&ack(ONE, 2, 12));
    assert!(
        world.register.observers().attachment(O1, ONE).is_none(),
        "nothing is left of it"
    );
}

#[test]
fn a_consumer_that_chose_a_place_is_not_moved_by_an_older_acknowledgement() {
    let mut world = observed();
    let rebase = |acked, reset| {
        Event::Observer(ObserverEvent::Rebase {
            observer: O1,
            starts: vec![Rebased {
                region: ONE,
                acked,
                reset,
            }],
        })
    };
    assert_eq!(
        word(&world.ask(&rebase(None, Reset::None))),
        "observer-position-missing"
    );
    world.accept(&rebase(Some(7), Reset::Scan));
    assert_eq!(
        word(&world.ask(&ack(ONE, 1, 9))),
        "observer-generation-stale"
    );
    world.accept(&attach(&world, ONE, 6, 7));
    let now = attachment(&world, ONE);
    assert_eq!(
        now.state,
        AttachmentState::CatchingUp { term: 6 },
        "it has to be told first"
    );
    let done = |generation| {
        Event::Observer(ObserverEvent::CatchUp {
            attachments: vec![CaughtUp {
                observer: O1,
                region: ONE,
                generation: Generation(generation),
                index: 7,
            }],
        })
    };
    assert_eq!(word(&world.ask(&done(1))), "already");
    world.accept(&done(2));
    let now = attachment(&world, ONE);
    assert_eq!(
        (now.reset, now.state),
        (Reset::Scan, AttachmentState::Live { term: 6 }),
        "it may die before it has dealt with what it was told"
    );
}

/// Told is not dealt with: a consumer may die in between.
/// The snapshot gives the region another reason to wait, and the scan that was chosen before is still to be told.
#[test]
fn what_was_delivered_before_a_consumer_chose_ends_no_reset() {
    let mut world = observed();
    world.accept(&ack(ONE, 1, 20));
    world.accept(&Event::Observer(ObserverEvent::Rebase {
        observer: O1,
        starts: vec![Rebased {
            region: ONE,
            acked: Some(20),
            reset: Reset::Scan,
        }],
    }));
    let incarnation = world.register.incarnation(ONE).unwrap();
    world.accept(&Event::BeginSnapshot {
        region: ONE,
        incarnation,
        description: region(1, "", "", (1, 1)),
        snapshot: snapshot(20),
        sources: Vec::new(),
    });
    for index in [20, 21] {
        let late = world.ask(&ack(ONE, 1, index));
        assert_eq!(word(&late), "observer-generation-stale", "{index}");
    }
    assert_eq!(attachment(&world, ONE).reset, Reset::Scan);
    let observers = world.register.observers();
    assert_eq!(observers.carried(O1, ONE, 20), None);
}

#[test]
fn a_reset_stands_until_its_place_is_acknowledged() {
    for reset in [Reset::Marker, Reset::Scan] {
        let mut world = observed();
        world.accept(&Event::Observer(ObserverEvent::Rebase {
            observer: O1,
            starts: vec![Rebased {
                region: ONE,
                acked: Some(9),
                reset,
            }],
        }));
        world.accept(&attach(&world, ONE, 7, 9));
        let generation = attachment(&world, ONE).generation;
        let caught_up = ObserverEvent::CatchUp {
            attachments: vec![CaughtUp {
                observer: O1,
                region: ONE,
                generation,
                index: 9,
            }],
        };
        world.accept(&Event::Observer(caught_up));
        let told = attachment(&world, ONE);
        assert_eq!(told.state, AttachmentState::Live { term: 7 });
        assert_eq!((told.reset, told.acked), (reset, 9));
        world.accept(&ack(ONE, generation.0, 9));
        assert_eq!(attachment(&world, ONE).reset, Reset::None);
        assert_eq!(word(&world.ask(&ack(ONE, generation.0, 9))), "already");
    }
}

#[test]
fn a_loss_is_said_once_and_nothing_goes_on_before_the_consumer_chose() {
    for reason in InvalidReason::ALL {
        let mut world = observed();
        let lose = |first_lost, first_available| {
            Event::Observer(ObserverEvent::Invalidate {
                observer: O1,
                losses: vec![Invalidated {
                    region: ONE,
                    loss: Loss {
                        reason,
                        first_lost,
                        first_available,
                    },
                }],
            })
        };
        assert_eq!(
            word(&world.ask(&lose(1, 6))),
            "already",
            "all of that is acknowledged"
        );
        world.accept(&lose(1, 9));
        let loss = Loss {
            reason,
            first_lost: 6,
            first_available: 9,
        };
        let state = AttachmentState::Invalidated(Box::new(loss));
        assert_eq!(attachment(&world, ONE).state, state);
        assert_eq!(word(&world.ask(&lose(6, 20))), "already");
        assert_eq!(word(&world.ask(&ack(ONE, 1, 8))), "observer-invalidated");
        assert_eq!(word(&world.ask(&attach(&world, ONE, 9, 9))), "already");
        // A split leaves both parts lost; a merge takes it over.
        world.accept(&split(1, epoch(1, 1), 7, "m", 2, Derive::Left));
        assert!(matches!(
            attachment(&world, TWO).state,
            AttachmentState::Invalidated(_)
        ));
    }
}

#[test]
fn parts_of_a_split_begin_behind_their_parent() {
    let mut world = observed();
    world.accept(&split(1, epoch(1, 1), 9, "m", 2, Derive::Left));
    let child = attachment(&world, TWO);
    let origin = Origin {
        region: ONE,
        index: 9,
    };
    let reason = WantReason::Split;
    assert_eq!(child.acked, 5);
    assert_eq!(child.origin.as_deref(), Some(&origin));
    assert_eq!(child.state, AttachmentState::Wanted { reason });
    let parent = attachment(&world, ONE);
    assert_eq!(parent.generation, Generation(1), "the parent goes on");
    let observer = world.register.observers().get(O1).unwrap();
    assert_eq!(observer.comes_after(&child), Some((ONE, 9)));
    world.accept(&ack(ONE, 1, 9));
    let observer = world.register.observers().get(O1).unwrap();
    assert_eq!(observer.comes_after(&child), None);
    // A part that nobody observes has no attachment, and what is observed is not the parent's any more.
    let mut world = World::bootstrapped("", "");
    world.accept(&add(&world, "a", ("n", "o"), 5));
    world.accept(&split(1, epoch(1, 1), 9, "m", 2, Derive::Left));
    let drain = Drain {
        end: Some(9),
        into: None,
        attached: false,
    };
    assert_eq!(
        attachment(&world, ONE).state,
        AttachmentState::Draining(Box::new(drain))
    );
    world.accept(&split(2, epoch(1, 2), 8, "t", 3, Derive::Left));
    let observers = world.register.observers();
    assert!(observers.attachment(O1, RegionId(3)).is_none());
    // What is left is attached whoever leads.
    world.accept(&attach(&world, ONE, 0, 0));
    assert!(attachment(&world, ONE).is_attached());
    world.accept(&ack(ONE, 1, 9));
    assert!(world.register.observers().attachment(O1, ONE).is_none());
}

#[test]
fn parts_lose_with_their_whole_what_only_it_would_have_told() {
    const THREE: RegionId = RegionId(3);
    let begin_snapshot = |world: &mut World| {
        let incarnation = world.register.incarnation(ONE).unwrap();
        world.accept(&Event::BeginSnapshot {
            region: ONE,
            incarnation,
            description: region(1, "", "m", (1, 2)),
            snapshot: snapshot(20),
            sources: Vec::new(),
        });
    };
    let mut world = observed();
    world.accept(&split(1, epoch(1, 1), 9, "m", 2, Derive::Left));
    world.accept(&split(2, epoch(1, 2), 8, "t", 3, Derive::Left));
    begin_snapshot(&mut world);
    for part in [TWO, THREE] {
        let part = attachment(&world, part);
        let loss = Loss {
            reason: InvalidReason::Snapshot,
            first_lost: 5,
            first_available: 6,
        };
        assert_eq!(part.state, AttachmentState::Invalidated(Box::new(loss)));
        assert_eq!(part.acked, 4);
    }
    // What was told up to the split was told.
    let mut world = observed();
    world.accept(&split(1, epoch(1, 1), 9, "m", 2, Derive::Left));
    world.accept(&ack(ONE, 1, 9));
    begin_snapshot(&mut world);
    let reason = WantReason::Split;
    assert_eq!(
        attachment(&world, TWO).state,
        AttachmentState::Wanted { reason }
    );
    // A scan is of what the whole is now, and those of its parts are of what they are.
    let mut world = observed();
    world.accept(&split(1, epoch(1, 1), 9, "m", 2, Derive::Left));
    world.accept(&split(2, epoch(1, 2), 8, "t", 3, Derive::Left));
    world.accept(&Event::Observer(ObserverEvent::Rebase {
        observer: O1,
        starts: vec![Rebased {
            region: ONE,
            acked: Some(12),
            reset: Reset::Scan,
        }],
    }));
    for part in [TWO, THREE] {
        assert_eq!(attachment(&world, part).reset, Reset::Scan);
    }
}

/// What a part was born with cannot change any more, so it is told whoever leads the whole, and no more of it than that.
#[test]
fn a_whole_is_told_for_its_parts_without_being_led() {
    let unled = |region| {
        Event::Observer(ObserverEvent::Attach {
            attachments: vec![AttachRequest {
                observer: O1,
                region,
                leads: None,
            }],
        })
    };
    let mut world = World::bootstrapped("", "");
    world.accept(&add(&world, "a", ("", ""), 5));
    assert_eq!(word(&world.ask(&unled(ONE))), "already", "it has no part");
    world.accept(&split(1, epoch(1, 1), 9, "m", 2, Derive::Left));
    assert_eq!(
        word(&world.ask(&unled(TWO))),
        "already",
        "nothing waits for it"
    );
    world.accept(&unled(ONE));
    let whole = attachment(&world, ONE);
    assert_eq!(whole.state, AttachmentState::CatchingUp { term: 0 });
    assert_eq!((whole.generation, whole.term()), (Generation(1), None));
    assert!(whole.is_for_parts());
    let told_for_parts = |world: &World| {
        let observer = world.register.observers().get(O1).unwrap();
        observer.told_for_parts(ONE)
    };
    assert_eq!(told_for_parts(&world), Some(9));
    assert_eq!(word(&world.ask(&unled(ONE))), "already", "it is attached");
    // Another part, further on.
    world.accept(&split(1, epoch(1, 2), 12, "f", 3, Derive::Left));
    assert_eq!(told_for_parts(&world), Some(12));
    world.accept(&ack(ONE, 1, 9));
    assert_eq!(told_for_parts(&world), Some(12));
    // It is led now.
    world.accept(&attach(&world, ONE, 6, 12));
    assert_eq!(attachment(&world, ONE).term(), Some(6));
    assert_eq!(attachment(&world, ONE).generation, Generation(2));
    world.accept(&ack(ONE, 2, 12));
    assert_eq!(told_for_parts(&world), None);
}

#[test]
fn positions_of_another_store_only_go_on() {
    let take_over = |positions: &[(RegionId, u64)]| {
        Event::Observer(ObserverEvent::TakeOver {
            observer: O1,
            positions: positions.to_vec(),
        })
    };
    let mut world = observed();
    world.accept(&split(1, epoch(1, 1), 9, "m", 2, Derive::Left));
    for nothing in [&[(ONE, 5)][..], &[(TWO, 5)], &[(RegionId(9), 8)], &[]] {
        assert_eq!(word(&world.ask(&take_over(nothing))), "already");
    }
    // The last word on each region, and only what is news.
    world.accept(&take_over(&[(ONE, 8), (TWO, 5), (ONE, 7)]));
    let reason = WantReason::Rebased;
    let one = attachment(&world, ONE);
    assert_eq!(one.acked, 8);
    assert_eq!(one.state, AttachmentState::Wanted { reason });
    assert!(attachment(&world, TWO).origin.is_some());
    // Who has something of a part has all of the whole that comes before it.
    world.accept(&take_over(&[(TWO, 6)]));
    assert_eq!(attachment(&world, TWO).origin, None);
    // A loss is made up for by who has all of it, and by nobody else.
    world.accept(&Event::Observer(ObserverEvent::Invalidate {
        observer: O1,
        losses: vec![Invalidated {
            region: ONE,
            loss: Loss {
                reason: InvalidReason::Bytes,
                first_lost: 9,
                first_available: 14,
            },
        }],
    }));
    assert_eq!(word(&world.ask(&take_over(&[(ONE, 12)]))), "already");
    world.accept(&take_over(&[(ONE, 13)]));
    let one = attachment(&world, ONE);
    assert_eq!(
        (one.acked, one.state),
        (13, AttachmentState::Wanted { reason })
    );
}

/// Region 1 is split twice; the second part waits for it, and is merged into the first before it was told.
fn part_that_was_taken_in() -> World {
    const PART: RegionId = RegionId(3);
    let mut world = observed();
    world.accept(&split(1, epoch(1, 1), 9, "m", 2, Derive::Left));
    world.accept(&ack(ONE, 1, 9));
    world.accept(&split(1, epoch(1, 2), 12, "f", 3, Derive::Left));
    let described = |world: &World, region| {
        let peer = world.register.peer(region).unwrap();
        (**peer.stage.region().unwrap()).clone()
    };
    let (before, target) = (described(&world, PART).epoch, described(&world, TWO));
    world.accept(&Event::PrepareMerge {
        region: PART,
        incarnation: None,
        epoch: before,
        position: at(8),
        target: target.clone(),
        min_index: 8,
    });
    world.accept(&Event::CommitMerge {
        region: TWO,
        incarnation: None,
        epoch: target.epoch,
        position: at(20),
        source: described(&world, PART),
        commit: 8,
    });
    let drains = attachment(&world, PART);
    assert!(matches!(drains.state, AttachmentState::Draining(_)));
    world
}

#[test]
fn what_took_a_part_in_loses_and_is_scanned_with_it() {
    const PART: RegionId = RegionId(3);
    let is_lost = |world: &World, region| {
        let state = attachment(world, region).state;
        matches!(state, AttachmentState::Invalidated(loss) if loss.reason == InvalidReason::Bytes)
    };
    for lost in [ONE, PART] {
        let mut world = part_that_was_taken_in();
        let first_lost = attachment(&world, lost).next_index();
        let loss = Loss {
            reason: InvalidReason::Bytes,
            first_lost,
            first_available: first_lost + 5,
        };
        world.accept(&Event::Observer(ObserverEvent::Invalidate {
            observer: O1,
            losses: vec![Invalidated { region: lost, loss }],
        }));
        assert!(is_lost(&world, PART), "{lost}");
        // The rows that it was born with lie in the other one now.
        assert!(is_lost(&world, TWO), "{lost}");
        assert_eq!(is_lost(&world, ONE), lost == ONE);
    }
    let mut world = part_that_was_taken_in();
    world.accept(&Event::Observer(ObserverEvent::Rebase {
        observer: O1,
        starts: vec![Rebased {
            region: ONE,
            acked: Some(14),
            reset: Reset::Scan,
        }],
    }));
    assert!(world.register.observers().attachment(O1, PART).is_none());
    assert_eq!(attachment(&world, TWO).reset, Reset::Scan);
}

/// Region 2 is merged into region 1, at index 20.
fn merge(world: &mut World) {
    let target = world
        .register
        .peer(ONE)
        .unwrap()
        .stage
        .region()
        .unwrap()
        .clone();
    world.accept(&Event::PrepareMerge {
        region: TWO,
        incarnation: None,
        epoch: epoch(1, 2),
        position: at(8),
        target: (*target).clone(),
        min_index: 6,
    });
    let source = world
        .register
        .peer(TWO)
        .unwrap()
        .stage
        .region()
        .unwrap()
        .clone();
    let before = world.register.peer(ONE).unwrap().stage.epoch();
    world.accept(&Event::CommitMerge {
        region: ONE,
        incarnation: None,
        epoch: before,
        position: at(20),
        source: (*source).clone(),
        commit: 8,
    });
}

#[test]
fn a_scan_that_was_not_told_is_owed_beyond_the_regions_end() {
    let scan = |world: &mut World, region| {
        world.accept(&Event::Observer(ObserverEvent::Rebase {
            observer: O1,
            starts: vec![Rebased {
                region,
                acked: Some(9),
                reset: Reset::Scan,
            }],
        }));
    };
    let gone = |world: &World, region| {
        let attachments = world.register.observers();
        attachments.attachment(O1, region).is_none()
    };
    // If it comes back, nothing of it is known.
    let mut world = observed();
    scan(&mut world, ONE);
    world.accept(&Event::Destroy {
        region: ONE,
        incarnation: None,
        peer: PeerId(11),
        cause: DestroyCause::Operator,
    });
    assert!(gone(&world, ONE));
    // What took it in is scanned for it, and so are parts that wait for that one.
    const PART: RegionId = RegionId(3);
    let mut world = World::bootstrapped("", "");
    world.accept(&split(1, epoch(1, 1), 9, "m", 2, Derive::Left));
    world.accept(&add(&world, "a", ("", ""), 9));
    world.accept(&attach(&world, ONE, 6, 9));
    world.accept(&split(1, epoch(1, 2), 12, "f", 3, Derive::Right));
    scan(&mut world, TWO);
    merge(&mut world);
    assert!(gone(&world, TWO));
    let reason = WantReason::Rebased;
    let target = attachment(&world, ONE);
    assert_eq!(target.state, AttachmentState::Wanted { reason });
    assert_eq!(target.reset, Reset::Scan);
    assert_eq!(attachment(&world, PART).reset, Reset::Scan);
}

#[test]
fn a_merge_ends_the_source_before_the_target_goes_on() {
    let into = Some(Origin {
        region: ONE,
        index: 20,
    });
    for (range, acked_of_target) in [(("", ""), 9), (("n", "o"), 20)] {
        let mut world = World::bootstrapped("", "");
        world.accept(&split(1, epoch(1, 1), 9, "m", 2, Derive::Left));
        world.accept(&add(&world, "a", range, 9));
        let mut low = world.clone();
        // All of the source is acknowledged: nothing of it is left.
        merge(&mut world);
        assert!(world.register.observers().attachment(O1, TWO).is_none());
        assert_eq!(attachment(&world, ONE).acked, acked_of_target);
        // Some of it is not.
        low.accept(&Event::Observer(ObserverEvent::Rebase {
            observer: O1,
            starts: vec![Rebased {
                region: TWO,
                acked: Some(6),
                reset: Reset::None,
            }],
        }));
        merge(&mut low);
        let drain = Drain {
            end: Some(8),
            into,
            attached: false,
        };
        assert_eq!(
            attachment(&low, TWO).state,
            AttachmentState::Draining(Box::new(drain))
        );
    }
}

#[test]
fn a_snapshot_is_a_loss_unless_all_of_it_is_acknowledged() {
    for (acked, index, lost) in [
        (5, 20, true),
        (20, 20, false),
        (25, 20, false),
        (19, 20, true),
    ] {
        let mut world = World::bootstrapped("", "");
        world.accept(&add(&world, "a", ("", ""), acked));
        let incarnation = world.register.incarnation(ONE).unwrap();
        world.accept(&Event::BeginSnapshot {
            region: ONE,
            incarnation,
            description: region(1, "", "", (1, 1)),
            snapshot: snapshot(index),
            sources: Vec::new(),
        });
        let now = attachment(&world, ONE);
        if lost {
            let loss = Loss {
                reason: InvalidReason::Snapshot,
                first_lost: acked + 1,
                first_available: index + 1,
            };
            assert_eq!(now.state, AttachmentState::Invalidated(Box::new(loss)));
        } else {
            let reason = WantReason::Snapshot;
            assert_eq!(now.state, AttachmentState::Wanted { reason });
            assert_eq!(now.acked, acked);
        }
        // Nothing is attached to data that is being replaced.
        assert_eq!(word(&world.ask(&attach(&world, ONE, 6, index))), "already");
    }
}

#[test]
fn there_are_only_so_many() {
    let mut world = World::bootstrapped("", "");
    let many: Vec<Acknowledged> = (0..=Observers::PER_RECORD_MAX)
        .map(|at| Acknowledged {
            region: RegionId(at as u64),
            generation: Generation(1),
            index: 9,
        })
        .collect();
    world.accept(&add(&world, "a", ("", ""), 5));
    let event = Event::Observer(ObserverEvent::Acknowledge {
        observer: O1,
        positions: many,
    });
    assert_eq!(word(&world.ask(&event)), "observer-too-many-regions");
    let starts = (0..=Observers::STARTS_MAX).map(|at| Started {
        region: RegionId(at as u64),
        acked: 5,
    });
    let event = Event::Observer(ObserverEvent::Add {
        name: ObserverName::new("b").unwrap(),
        ranges: ObserverRanges::new(vec![KeyRange::all()]).unwrap(),
        policy: ObserverPolicy::default(),
        starts: starts.collect(),
    });
    assert_eq!(word(&world.ask(&event)), "observer-too-many-regions");
    let mut register = world.register.clone();
    for at in 1..Observers::COUNT_MAX {
        let event = add(&world, &format!("n{at}"), ("", ""), 5);
        let crate::lifecycle::Outcome::Accepted(accepted) =
            crate::lifecycle::step(&register, &event)
        else {
            panic!("{at}");
        };
        let stamp = crate::lifecycle::Stamp {
            wall_clock_micros: 0,
            boot: 1,
            cause: crate::lifecycle::Cause::Host,
        };
        let record = crate::lifecycle::Record::new(&register, accepted.change, stamp);
        let lsn = register.last_lsn().next().unwrap();
        crate::lifecycle::apply(&mut register, lsn, &record).unwrap();
    }
    let outcome = crate::lifecycle::step(&register, &add(&world, "last", ("", ""), 5));
    assert_eq!(word(&outcome), "observer-too-many");
}

#[test]
fn only_the_current_generation_is_detached() {
    let mut world = observed();
    let detach = |generation| {
        Event::Observer(ObserverEvent::Detach {
            attachments: vec![Detached {
                observer: O1,
                region: ONE,
                generation: Generation(generation),
                reason: WantReason::NotLeader,
            }],
        })
    };
    for other in [0, 2] {
        assert_eq!(word(&world.ask(&detach(other))), "already");
    }
    world.accept(&detach(1));
    assert_eq!(
        word(&world.ask(&detach(1))),
        "already",
        "repeated stops are one"
    );
}

/// Attachments are many: what one needs is what is kept of it in every picture.
#[test]
fn an_attachment_is_small() {
    assert!(
        std::mem::size_of::<Attachment>() <= 48,
        "{}",
        std::mem::size_of::<Attachment>()
    );
}
