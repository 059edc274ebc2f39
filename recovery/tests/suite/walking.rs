//! Walking over every record, with the gaps; and states at an earlier LSN.

use std::ops::ControlFlow;

use torrens_journal::Lsn;
use torrens_journal::testing::SimDisk;
use torrens_recovery::{InspectOptions, Item, RecoveryError, WalkOptions, inspect, walk};

use crate::host::{Host, contents, copy, directories, first_life, segment};
use crate::tally::Tally;

/// `n` a record, `(n)` one that is not known durable, `[n]` one behind a gap, `|` a gap.
fn line(disk: &SimDisk, options: WalkOptions) -> String {
    let mut words = Vec::new();
    let before = contents(disk);
    walk(disk, &directories(), options, &mut |item| {
        words.push(match item {
            Item::Record(item) if item.behind_gap => format!("[{}]", item.record.lsn),
            Item::Record(item) if item.durable => item.record.lsn.to_string(),
            Item::Record(item) => format!("({})", item.record.lsn),
            Item::Gap(_) => "|".to_owned(),
            _ => "?".to_owned(),
        });
        ControlFlow::Continue(())
    })
    .expect("there is a journal");
    assert_eq!(contents(disk), before, "walking writes nothing");
    words.join(" ")
}

fn ten_values() -> SimDisk {
    let disk = SimDisk::new(21);
    let mut host = Host::create(&disk).expect("nothing fails");
    for _ in 0..10 {
        host.put(10).expect("nothing fails");
    }
    host.vanish();
    copy(&disk)
}

#[test]
fn every_record_is_met_in_order_and_the_unwitnessed_are_marked() {
    let disk = ten_values();
    let all = WalkOptions::new(false);
    assert_eq!(line(&disk, all), "1 2 3 4 5 6 7 8 9 (10)");
    assert_eq!(line(&disk, all.from(Lsn::new(8))), "8 9 (10)");
}

#[test]
fn a_gap_is_met_at_its_place_and_what_verifies_behind_it_is_marked() {
    let disk = ten_values();
    disk.corrupt(&segment(1), 8192 + 2 * 4096, &[1; 512])
        .expect("there");
    assert_eq!(
        line(&disk, WalkOptions::new(false)),
        "1 2 | [4] [5] [6] [7] [8] [9] [10]"
    );

    let disk = ten_values();
    disk.corrupt(&segment(1), 0, &[1; 8192]).expect("there");
    assert_eq!(
        line(&disk, WalkOptions::new(false)),
        "| [6] [7] [8] [9] [10]"
    );

    let disk = ten_values();
    disk.corrupt(&segment(2), 8192 + 5 * 4096, b"scraps")
        .expect("there");
    assert_eq!(
        line(&disk, WalkOptions::new(false)),
        "1 2 3 4 5 6 7 8 9 (10) |"
    );
}

#[test]
fn breaking_ends_the_walk_and_the_report_is_of_the_whole() {
    let disk = ten_values();
    let mut met = 0;
    let report = walk(&disk, &directories(), WalkOptions::new(false), &mut |_| {
        met += 1;
        if met == 3 {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    })
    .expect("there is a journal");
    assert_eq!((met, report.last_lsn.get()), (3, 10));
}

#[test]
fn the_state_at_every_lsn_is_the_prefix_up_to_it_or_was_purged() {
    let disk = SimDisk::new(22);
    let mut host = Host::create(&disk).expect("nothing fails");
    first_life(&mut host).expect("nothing fails");
    let whole = host.machine.clone();
    host.vanish();
    let (mut given, mut purged) = (0, 0);
    for lsn in 0..=whole.position {
        let options = InspectOptions::new(false).until(Lsn::new(lsn));
        match inspect(&disk, &directories(), Tally::default(), options) {
            Ok(found) => {
                // The very last record was never stored: it was appended without a wait.
                let expected = lsn.min(found.report.last_lsn.get());
                assert_eq!(found.position.get(), expected);
                assert_eq!(found.machine.values, whole.values[..expected as usize]);
                given += 1;
            }
            Err(RecoveryError::Purged { asked, oldest }) => {
                assert_eq!(asked.get(), lsn);
                assert!(oldest > asked, "LSN {oldest} is the oldest");
                assert_eq!(given, 0, "what is purged is older than what is not");
                purged += 1;
            }
            Err(error) => panic!("LSN {lsn}: {error:?}"),
        }
    }
    assert!(given > 5 && purged > 5, "{given} given, {purged} purged");
}
