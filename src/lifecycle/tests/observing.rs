//! Random events of observers, for the histories.

use super::histories::Random;
use crate::lifecycle::{
    Acknowledged, AttachRequest, Attachment, AttachmentState, CaughtUp, Detached, Ended, Event,
    InvalidReason, Invalidated, Leads, Loss, ObserverEvent, Rebased, Register, Reset, Started,
    WantReason,
};
use crate::{
    Generation, KeyRange, ObserverId, ObserverName, ObserverPolicy, ObserverRanges, RegionId,
};

/// An event that has a fair chance to be legal, and a fair chance not to.
pub(super) fn event(register: &Register, random: &mut Random) -> Event {
    let observers = register.observers();
    let ids: Vec<ObserverId> = observers.iter().map(|(id, _)| id).collect();
    let observer = match pick(&ids, random) {
        Some(id) if !random.one_in(10) => id,
        _ => ObserverId(random.below(12)),
    };
    let attachments: Vec<(RegionId, &Attachment)> = match observers.get(observer) {
        Some(observer) => observer.attachments().collect(),
        None => Vec::new(),
    };
    let chosen: Vec<(RegionId, &Attachment)> = attachments
        .into_iter()
        .filter(|_| !random.one_in(3))
        .collect();
    let event = match random.below(25) {
        0 | 1 => add(register, random),
        2 if random.one_in(2) => ObserverEvent::Remove { observer },
        3 => ObserverEvent::Pause { observer },
        4 | 5 => ObserverEvent::Resume { observer },
        6 => ObserverEvent::SetPolicy {
            observer,
            policy: policy(random),
        },
        7..=12 => ObserverEvent::Attach {
            attachments: attach_all(register, random),
        },
        13..=15 => ObserverEvent::CatchUp {
            attachments: each(&chosen, |region, attachment| CaughtUp {
                observer,
                region,
                generation: near(attachment.generation, random),
                index: attachment.acked + random.below(3),
            }),
        },
        16 => ObserverEvent::Detach {
            attachments: each(&chosen, |region, attachment| Detached {
                observer,
                region,
                generation: near(attachment.generation, random),
                reason: WantReason::ALL[usize::try_from(random.below(13)).unwrap()],
            }),
        },
        17 | 18 => ObserverEvent::Acknowledge {
            observer,
            positions: each(&chosen, |region, attachment| Acknowledged {
                region,
                generation: near(attachment.generation, random),
                index: attachment.acked + random.below(4),
            }),
        },
        19 => ObserverEvent::Invalidate {
            observer,
            losses: each(&chosen, |region, attachment| Invalidated {
                region,
                loss: Loss {
                    reason: InvalidReason::ALL[usize::try_from(random.below(6)).unwrap()],
                    first_lost: attachment.acked + random.below(3),
                    first_available: attachment.acked + random.below(6),
                },
            }),
        },
        20 | 21 => ObserverEvent::Rebase {
            observer,
            starts: each(&chosen, |region, attachment| Rebased {
                region,
                acked: (!random.one_in(9)).then(|| attachment.acked + random.below(9)),
                reset: [Reset::None, Reset::Marker, Reset::Scan]
                    [usize::try_from(random.below(3)).unwrap()],
            }),
        },
        22 => ObserverEvent::End {
            attachments: each(&chosen, |region, attachment| Ended {
                observer,
                region,
                end: attachment.acked + random.below(2),
            }),
        },
        23 => ObserverEvent::TakeOver {
            observer,
            positions: each(&chosen, |region, attachment| {
                (region, attachment.acked + random.below(9))
            }),
        },
        _ => ObserverEvent::Restart,
    };
    Event::Observer(event)
}

fn pick(ids: &[ObserverId], random: &mut Random) -> Option<ObserverId> {
    let at = usize::try_from(random.below(16)).unwrap();
    ids.get(at % ids.len().max(1)).copied()
}

fn each<T>(
    chosen: &[(RegionId, &Attachment)],
    mut make: impl FnMut(RegionId, &Attachment) -> T,
) -> Vec<T> {
    let made = chosen
        .iter()
        .map(|(region, attachment)| make(*region, attachment));
    made.collect()
}

fn near(generation: Generation, random: &mut Random) -> Generation {
    match random.one_in(6) {
        true => Generation(generation.0.saturating_sub(1 + random.below(2))),
        false => generation,
    }
}

fn policy(random: &mut Random) -> ObserverPolicy {
    ObserverPolicy {
        retain_bytes_max: random.one_in(2).then_some(1 << 20),
        retain_age_millis_max: random.one_in(2).then_some(60_000),
        early: random.one_in(2),
    }
}

fn add(register: &Register, random: &mut Random) -> ObserverEvent {
    let range = |random: &mut Random| {
        let (a, b) = (random.key(), random.key());
        let (start, end) = if a < b { (a, b) } else { (b, a) };
        KeyRange::new(start, Some(end)).unwrap_or_else(KeyRange::all)
    };
    let ranges = (0..=random.below(2)).map(|_| range(random)).collect();
    let ranges = ObserverRanges::new(ranges).unwrap();
    let observed = register.slots().filter_map(|(region, slot)| {
        let stage = &slot.peer.as_ref()?.stage;
        let is_there = matches!(stage.name(), "normal" | "applying" | "damaged");
        let overlaps = ranges.overlaps(&stage.region()?.range);
        let acked = stage.meta_index().map_or(5, |meta| meta.index);
        (is_there && overlaps).then_some(Started { region, acked })
    });
    let mut starts: Vec<Started> = observed.collect();
    if random.one_in(9) {
        let region = random.region();
        starts.push(Started { region, acked: 5 });
    }
    if random.one_in(9) {
        starts.pop();
    }
    let name = format!("n{}", random.below(9));
    ObserverEvent::Add {
        name: ObserverName::new(&name).unwrap(),
        ranges,
        policy: policy(random),
        starts,
    }
}

/// What a reconciler would ask for, and some more.
fn attach_all(register: &Register, random: &mut Random) -> Vec<AttachRequest> {
    let mut requests = Vec::new();
    for (observer, known) in register.observers().iter() {
        for (region, attachment) in known.attachments() {
            let ends = matches!(attachment.state, AttachmentState::Draining(_));
            let peer = register.peer(region);
            let leads = peer
                .filter(|_| !ends || random.one_in(8))
                .map(|peer| Leads {
                    incarnation: peer.incarnation,
                    term: 6 + random.below(2),
                    version: peer.stage.epoch().version + random.below(10) / 9,
                    applied: attachment.acked + random.below(2),
                });
            if !random.one_in(8) {
                requests.push(AttachRequest {
                    observer,
                    region,
                    leads,
                });
            }
        }
    }
    requests
}

/// Generations and ids are never given again, and what is acknowledged stays so unless the consumer
/// chose otherwise.
pub(super) fn nothing_goes_back(before: &Register, after: &Register, event: &Event) {
    let (was, is) = (before.observers(), after.observers());
    assert!(is.last_id() >= was.last_id() && is.last_generation() >= was.last_generation());
    for (id, observer) in was.iter() {
        let Some(now) = is.get(id) else {
            let removes = Event::Observer(ObserverEvent::Remove { observer: id });
            assert_eq!(event, &removes);
            continue;
        };
        for (region, attachment) in observer.attachments() {
            let Some(then) = now.attachments().find(|(other, _)| *other == region) else {
                continue;
            };
            let chose = matches!(event, Event::Observer(ObserverEvent::Rebase { .. }));
            let inherits = matches!(then.1.state, AttachmentState::Invalidated(_));
            let kept = then.1.acked >= attachment.acked;
            assert!(kept || chose || inherits, "{id} {region}: {event:?}");
            assert!(
                then.1.generation >= attachment.generation,
                "{id} {region}: {event:?}"
            );
        }
    }
}
