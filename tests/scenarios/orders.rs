//! The cases whose events may come in any order: every order, played.
//!
//! An order is a permutation of commands after a common beginning. Some orders make a command
//! senseless; that is an answer too. What must hold in each: nothing panics, everything that always
//! holds holds after every step, and the end is what the case says.

#![expect(
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test may panic, and says how much it has played"
)]

use torrens::play::{Crash, Place, World, parse};
use torrens::{RegionId, StoreId};

/// Every order of `0..n`.
fn orders(n: usize) -> Vec<Vec<usize>> {
    let mut all = vec![vec![]];
    for item in 0..n {
        let longer = |order: Vec<usize>| {
            (0..=order.len()).map(move |at| {
                let mut order = order.clone();
                order.insert(at, item);
                order
            })
        };
        all = all.into_iter().flat_map(longer).collect();
    }
    all
}

fn run(world: &mut World, command: &str) -> Vec<String> {
    let text = format!("{command}\n----\n");
    let scenario = parse(&text).unwrap_or_else(|error| panic!("{command}: {error}"));
    scenario.steps().flat_map(|step| world.run(step)).collect()
}

/// Plays a beginning and then commands, checking after each; gives the world and all answers.
fn play_in_order(
    beginning: &[&str],
    commands: &[&str],
    crash_after: Option<usize>,
) -> (World, String) {
    let mut world = World::new(Place::Simulated, 1);
    let mut told = String::new();
    for command in beginning {
        let answer = run(&mut world, command);
        assert!(!answer[0].starts_with("error"), "{command}: {answer:?}");
    }
    for (number, command) in commands.iter().enumerate() {
        let answer = run(&mut world, command).join(" / ");
        told.push_str(&format!("{command}\n    {answer}\n"));
        // Each prefix is the beginning of an order without a crash, too.
        if crash_after.is_none() {
            let checked = world.check(StoreId(1));
            assert_eq!(checked, Ok(()), "after:\n{told}");
        }
        if crash_after == Some(number) {
            told.push_str("(power cut)\n");
            run(&mut world, "crash power");
            assert_eq!(
                run(&mut world, "open")[0],
                "opened, clean",
                "after:\n{told}"
            );
        }
    }
    let settled = world.settle(StoreId(1));
    assert_eq!(settled, Ok(()), "after:\n{told}");
    (world, told)
}

/// All orders of the events, each as it is and with the power cut after each of them.
fn in_every_order(beginning: &[&str], events: &[&str], end: impl Fn(&mut World, &[usize], &str)) {
    let mut played = 0;
    for order in orders(events.len()) {
        let commands: Vec<&str> = order.iter().map(|at| events[*at]).collect();
        let crashes = (0..commands.len()).map(Some).chain([None]);
        for crash in crashes {
            let (mut world, told) = play_in_order(beginning, &commands, crash);
            end(&mut world, &order, &told);
            played += 1;
        }
    }
    println!("{played} orders");
}

/// Case 3: the delayed split, the message, the snapshot that was accepted for the message-made peer, the
/// destroy of whatever peer lives.
#[test]
fn case_3_in_every_order_leaves_what_the_surviving_region_says() {
    let beginning = [
        "open",
        "bootstrap r1 peers=p1@s2,p2@s1",
        "write r1 at=6 put=k1:1 put=k22:2",
        "flush",
        "make-snapshot r1000 as=late peers=p1001@s2,p1003@s1 range=[,k2) epoch=c1.v2 at=7 row=k1:snapshot",
        "receive late",
    ];
    let events = [
        "create-peer r1000 p1003 epoch=c1.v2",
        "split r1 at=8 boundary=k2 child=r1000:p1001@s2,p1003@s1 derive=right epoch=c1.v1",
        "apply-snapshot r1000 late incarnation=#1",
        "apply-snapshot r1000 late",
        "destroy r1000 p1003 cause=removed newer=c9.v2",
    ];
    in_every_order(&beginning, &events, |world, order, told| {
        let place = |event: usize| order.iter().position(|at| *at == event).unwrap();
        // The parent is what the split made of it, wherever that came in.
        let parent = run(world, "get r1 k22").join("");
        assert!(parent.starts_with("2 "), "{parent} after:\n{told}");
        let refused = run(world, "get r1 k1").join("");
        assert!(
            refused.starts_with("refused key-out-of-range"),
            "{refused} after:\n{told}"
        );
        // Nobody owns the child's keys if it went after the split, or went before and the split skipped
        // it; otherwise the child has them.
        let owner = run(world, "owner k1").join("");
        let came = place(0).min(place(1));
        if place(4) > came {
            assert_eq!(owner, "none", "after:\n{told}");
            let again = run(world, "create-peer r1000 p1003").join("");
            assert!(
                again.starts_with("refused peer-tombstoned"),
                "{again} after:\n{told}"
            );
        } else {
            assert!(owner.starts_with("r1000#"), "{owner} after:\n{told}");
            let row = run(world, "get r1000 k1").join("");
            let either = row.starts_with("1 ") || row.starts_with("snapshot ");
            assert!(either, "{row} after:\n{told}");
        }
    });
}

/// Case 1: a load, an eviction, another load and a split, with a reader that lets go at any moment.
#[test]
fn case_1_in_every_order_loses_no_wish() {
    let beginning = [
        "open",
        "bootstrap r1 peers=p10@s1",
        "write r1 at=6 put=a:1 put=n:2",
        "flush",
        "load r1",
        "drain",
        "tick",
        "view pin r1",
    ];
    let events = [
        "evict r1",
        "load r1",
        "split r1 at=8 boundary=m child=r2:p20@s1",
        "drop-view pin",
        "step",
    ];
    in_every_order(&beginning, &events, |world, order, told| {
        // The wish that was made last is what comes of it, once the reader has let go.
        run(world, "tick");
        run(world, "drain");
        run(world, "tick");
        let place = |event: usize| order.iter().position(|at| *at == event).unwrap();
        let is_cut = told.contains("(power cut)");
        let found = run(world, "scan r1").join(" ");
        assert!(found.ends_with("a:1"), "{found} after:\n{told}");
        let wished = place(1) > place(0) && place(1) > place(2);
        if wished && !is_cut {
            assert!(
                found.starts_with("from the cache"),
                "{found} after:\n{told}"
            );
        }
        if place(0) > place(1) && !is_cut {
            assert!(
                found.starts_with("from the store"),
                "{found} after:\n{told}"
            );
        }
    });
}

/// Case 2: the snapshot that moves the region on and the split after it, with the cache in whatever state
/// the other two events leave it in.
#[test]
fn case_2_in_every_order_splits_what_is_there() {
    let beginning = [
        "open",
        "bootstrap r1 peers=p10@s1,p11@s2 epoch=c1.v221",
        "write r1 at=6 put=a:old put=n:old",
        "flush",
        "make-snapshot r1 as=s peers=p10@s1,p11@s2 epoch=c1.v222 at=20 row=a:new row=n:new",
        "receive s",
    ];
    let events = [
        "load r1",
        "step",
        "evict r1",
        "apply-snapshot r1 s",
        "split r1 at=21 boundary=m child=r2:p20@s1,p21@s2 epoch=c1.v222",
    ];
    in_every_order(&beginning, &events, |world, order, told| {
        let place = |event: usize| order.iter().position(|at| *at == event).unwrap();
        let owner = run(world, "owner n").join("");
        if place(4) > place(3) {
            assert!(owner.starts_with("r2#"), "{owner} after:\n{told}");
            assert!(
                run(world, "get r2 n").join("").starts_with("new "),
                "after:\n{told}"
            );
        } else {
            // Ahead of this replica: the entry waits, and the region is whole.
            assert!(told.contains("refused epoch-ahead"), "after:\n{told}");
            assert!(owner.starts_with("r1#"), "{owner} after:\n{told}");
        }
        assert!(
            run(world, "get r1 a").join("").starts_with("new "),
            "after:\n{told}"
        );
    });
}

/// Case 4: hints for a peer that comes, is told its range, and goes.
#[test]
fn case_4_in_every_order_makes_no_cache_of_nothing() {
    let beginning = [
        "open",
        "bootstrap r1 peers=p10@s1",
        "split r1 at=8 boundary=m child=r2:p20@s1",
        "destroy r2 p20",
        "drain",
        "tick",
        "load r1",
        "drain",
        "tick",
        "make-snapshot r3 as=s peers=p30@s1 range=[m,) epoch=c1.v4 at=9 row=n:1",
        "receive s",
    ];
    let events = [
        "create-peer r3 p30",
        "load r3",
        "apply-snapshot r3 s",
        "evict r3",
        "destroy r3 p30",
    ];
    in_every_order(&beginning, &events, |world, order, told| {
        let place = |event: usize| order.iter().position(|at| *at == event).unwrap();
        if place(1) < place(2).max(place(0)) {
            let typed = [
                "error no-peer",
                "refused peer-uninitialized",
                "refused peer-tombstoned",
            ];
            let found = typed.iter().any(|answer| told.contains(answer));
            assert!(found, "after:\n{told}");
        }
        if !told.contains("(power cut)") {
            let found = run(world, "scan r1").join(" ");
            assert!(
                found.starts_with("from the cache"),
                "{found} after:\n{told}"
            );
        }
    });
}

/// Case 5: a region that led term 5 elects itself in term 6 while an observer is registered and a scan
/// looks for leaders; nobody knows in which order the five are heard of.
const CASE_5: [&str; 5] = [
    "leadership r1 pre-candidate term=5",
    "leadership r1 candidate term=6",
    "leadership r1 leader term=6",
    "add-observer backup range=[a,z)",
    "audit-observers",
];
const CASE_5_BEGINS: [&str; 6] = [
    "open",
    "bootstrap r1 peers=p10@s1,p11@s2",
    "write r1 at=6 put=b:1",
    "flush",
    "leadership r1 leader term=5",
    "truth r1 leader term=6",
];

/// Whatever was heard in whatever order, the region is observed once, in the term that it leads, from the
/// index after what the consumer has; the audit may be what makes it so, never anything else.
fn case_5_ends_well(world: &mut World, told: &str) {
    for command in ["drain", "tick", "audit-observers", "drain", "tick"] {
        run(world, command);
    }
    let observed = run(world, "observed o1");
    let line = observed.join(" / ");
    let is_attached = line.starts_with("r1 [,) live g") || line.starts_with("r1 [,) catching-up g");
    assert!(is_attached && observed.len() == 1, "{line} after:\n{told}");
    assert!(line.contains(" in t6 acked i6 "), "{line} after:\n{told}");
    assert_eq!(run(world, "parts o1"), ["[a,z) r1"], "after:\n{told}");
    let again = run(world, "audit-observers").join(" ");
    assert_eq!(
        again, "attachments=1 repaired=0 leaderships=0",
        "after:\n{told}"
    );
    // What is late of any other generation cannot end it.
    let mut words = line.split(' ').filter_map(|word| word.strip_prefix('g'));
    let number = words.find_map(|number| number.parse::<u64>().ok());
    let number = number.expect("an attachment has a generation");
    for other in (0..number).chain([number + 1]) {
        let late = format!("fail-attach o1 r1 stale generation=g{other}");
        assert_eq!(run(world, &late), ["ignored"], "after:\n{told}");
    }
    let attached = run(world, "journal 40");
    let attached: Vec<&String> = attached
        .iter()
        .filter(|line| line.starts_with("observer.attach"))
        .collect();
    assert_eq!(attached.len() as u64, number, "after:\n{told}");
    assert!(
        attached.iter().all(|line| line.contains(" from i7")),
        "{attached:?}"
    );
}

#[test]
fn case_5_in_every_order_observes_the_region_once() {
    in_every_order(&CASE_5_BEGINS, &CASE_5, |world, _, told| {
        case_5_ends_well(world, told);
    });
}

#[test]
fn case_5_with_every_event_twice_or_settled_in_between_observes_the_region_once() {
    let mut played = 0;
    for order in orders(CASE_5.len()) {
        for again in 0..CASE_5.len() {
            for place in 0..=CASE_5.len() {
                let mut order = order.clone();
                order.insert(place, again);
                let mut commands = Vec::new();
                for at in order {
                    commands.push(CASE_5[at]);
                    // Half of them are seen to before the next is heard.
                    if (again + place) % 2 == 0 {
                        commands.push("drain");
                    }
                }
                let (mut world, told) = play_in_order(&CASE_5_BEGINS, &commands, None);
                case_5_ends_well(&mut world, &told);
                played += 1;
            }
        }
    }
    println!("{played} orders");
}

#[test]
fn case_5_with_any_event_lost_observes_the_region_once() {
    let mut played = 0;
    for lost in 0..32_usize {
        let left: Vec<usize> = (0..CASE_5.len())
            .filter(|at| lost & (1 << at) == 0)
            .collect();
        // Without the registration there is nothing to observe.
        if !left.contains(&3) {
            continue;
        }
        for order in orders(left.len()) {
            for settles in [false, true] {
                let mut commands = Vec::new();
                for at in &order {
                    commands.push(CASE_5[left[*at]]);
                    if settles {
                        commands.push("drain");
                    }
                }
                let (mut world, told) = play_in_order(&CASE_5_BEGINS, &commands, None);
                case_5_ends_well(&mut world, &told);
                played += 1;
            }
        }
    }
    println!("{played} orders");
}

/// A machine that is cut off at every operation of case 3's own order, twice: once in the play and once in
/// the recovery after it.
#[test]
fn case_3_survives_two_deaths() {
    let commands = [
        "open",
        "bootstrap r1 peers=p1@s2,p2@s1",
        "write r1 at=6 put=k1:1 put=k22:2",
        "create-peer r1000 p1003 epoch=c1.v2",
        "make-snapshot r1000 as=late peers=p1001@s2,p1003@s1 range=[,k2) epoch=c1.v2 at=7 row=k1:1",
        "receive late",
        "split r1 at=8 boundary=k2 child=r1000:p1001@s2,p1003@s1 derive=right epoch=c1.v1",
        "apply-snapshot r1000 late",
        "destroy r1000 p1003",
        "drain",
    ];
    let mut whole = World::new(Place::Simulated, 1);
    commands
        .iter()
        .for_each(|command| drop(run(&mut whole, command)));
    let count = whole.operations();
    let mut deaths = 0;
    for first in 1..=count {
        let mut world = World::new(Place::Simulated, 1);
        world.die_at(Some(first));
        let mut died = false;
        for command in commands {
            run(&mut world, command);
            if !died && world.has_died() {
                died = true;
                world.crash_dead(Crash::Sectors(first));
                // The second death, some operations into the recovery.
                world.die_at(Some(world.operations() + 1 + first % 9));
                let opened = world.reopen(StoreId(1));
                if world.has_died() {
                    world.crash_dead(Crash::Power);
                    assert_eq!(
                        world.reopen(StoreId(1)),
                        Ok(()),
                        "death {first}, then again"
                    );
                } else {
                    assert_eq!(opened, Ok(()), "death {first}");
                    world.die_at(None);
                }
                deaths += 1;
                run(&mut world, command);
            }
        }
        assert_eq!(world.settle(StoreId(1)), Ok(()), "death {first}");
        assert_eq!(run(&mut world, "owner k1"), ["none"], "death {first}");
        assert_eq!(run(&mut world, "region r1000"), ["none"], "death {first}");
    }
    println!("{deaths} first deaths of {}", RegionId(1000));
    assert_eq!(deaths, count);
}
