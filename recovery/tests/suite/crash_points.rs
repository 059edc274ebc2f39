//! A crash at every operation of a history, at every operation of the recovery after it, and what
//! the device may look like then.

use torrens_journal::testing::{CutChoice, SimDisk, SimFault};
use torrens_recovery::RecoveryError;

use crate::host::{Host, Memory, Step, check, copy, first_life, later_life, try_recover};

const SEED: u64 = 20_260_101;
/// Device images tried for each crash, beside the three fixed ones.
const SEEDED_IMAGES: u64 = 3;

/// Runs a life of a new store (`base` none) or of the store on `base` until its disk dies at
/// operation `dies_at`. `None` if it got through.
fn live(
    base: Option<&SimDisk>,
    life: fn(&mut Host) -> Step,
    dies_at: Option<(u64, SimFault)>,
) -> (SimDisk, Memory, bool) {
    let disk = base.map_or_else(|| SimDisk::new(SEED), copy);
    let before = base.map_or_else(Memory::default, |base| {
        let machine = crate::host::look(base).machine;
        Memory {
            acked: machine.position,
            appended: machine.values,
        }
    });
    if let Some((number, fault)) = dies_at {
        disk.fail_at(number, fault);
    }
    let opened = match base {
        None => Host::create(&disk),
        Some(_) => Host::open(&disk).map_err(Into::into),
    };
    let Ok(mut host) = opened else {
        assert!(
            disk.is_dead(),
            "opening failed for another reason than the planted one"
        );
        return (disk, before, false);
    };
    let finished = life(&mut host).is_ok();
    assert_eq!(
        finished,
        !disk.is_dead(),
        "a step failed for another reason than the planted one"
    );
    (disk, host.vanish(), finished)
}

fn images(disk: &SimDisk, salt: u64) -> Vec<(String, SimDisk)> {
    let mut images = vec![
        ("process killed".to_owned(), disk.process_kill()),
        (
            "all unsynced lost".to_owned(),
            disk.power_cut(CutChoice::LoseAll),
        ),
        (
            "all unsynced kept".to_owned(),
            disk.power_cut(CutChoice::KeepAll),
        ),
    ];
    for round in 0..SEEDED_IMAGES {
        let choice = CutChoice::Seeded(SEED ^ (salt * 31 + round));
        images.push((format!("{choice:?}"), disk.power_cut(choice)));
    }
    images
}

/// Recovers, checks, and recovers what that left again: it must tell the same story.
fn recover_twice(disk: &SimDisk, memory: &Memory, context: &str) {
    match try_recover(disk) {
        Ok(recovered) => {
            check(&recovered.machine, memory, context);
            assert_eq!(
                recovered.report.last_lsn.get(),
                recovered.machine.position,
                "{context}"
            );
            std::mem::forget(recovered.journal);
            // Whatever the caches held: what was exposed is on the device.
            for (again, image) in [
                ("kill", disk.process_kill()),
                ("cut", disk.power_cut(CutChoice::LoseAll)),
            ] {
                let second = try_recover(&image)
                    .unwrap_or_else(|error| panic!("{context}, then {again}: {error:?}"));
                assert_eq!(second.machine, recovered.machine, "{context}, then {again}");
            }
        }
        Err(RecoveryError::NotAJournal { .. }) => {
            assert_eq!(
                memory.acked, 0,
                "{context}: a journal with acknowledged records is gone"
            );
        }
        Err(error) => panic!("{context}: {}", describe(&error)),
    }
}

fn describe(error: &RecoveryError) -> String {
    match error.report() {
        Some(report) => report.to_string(),
        None => format!("{error:?}"),
    }
}

fn crash_at_every_operation(base: Option<&SimDisk>, life: fn(&mut Host) -> Step) -> u64 {
    for number in 1.. {
        for fault in [SimFault::Dies, SimFault::DiesMidway] {
            let (disk, memory, finished) = live(base, life, Some((number, fault)));
            if finished {
                return number;
            }
            for (image_name, image) in images(&disk, number) {
                let context = format!("seed {SEED}, operation {number}, {fault:?}, {image_name}");
                recover_twice(&image, &memory, &context);
            }
        }
    }
    unreachable!("a life ends")
}

#[test]
fn a_crash_at_any_operation_of_a_new_store_loses_nothing_acknowledged() {
    let operations = crash_at_every_operation(None, first_life);
    assert!(
        operations > 100,
        "the history is long enough to mean something: {operations}"
    );
}

#[test]
fn a_crash_at_any_operation_of_a_reopened_store_loses_nothing_acknowledged() {
    let (disk, _, _) = live(None, first_life, None);
    let base = disk.power_cut(CutChoice::Seeded(SEED));
    let operations = crash_at_every_operation(Some(&base), later_life);
    assert!(
        operations > 50,
        "the history is long enough to mean something: {operations}"
    );
}

#[test]
fn a_crash_at_any_operation_of_a_recovery_changes_nothing_of_what_the_next_one_finds() {
    // Unsynced groups of several pages, so that some images have torn tails with groups behind them.
    fn unsynced(host: &mut Host) -> Step {
        host.put(100)?;
        for _ in 0..4 {
            host.append(5000)?;
        }
        Ok(())
    }
    let disk = SimDisk::new(SEED);
    let options = crate::host::options().group_bytes_max(4096);
    let mut host = Host::create_with(&disk, options).expect("nothing fails");
    unsynced(&mut host).expect("nothing fails");
    let memory = host.vanish();
    let mut torn = 0;
    for seed in 0..12 {
        let image = disk.power_cut(CutChoice::Seeded(SEED + seed));
        let expected = try_recover(&copy(&image)).expect("a torn tail or a clean end");
        torn += u32::from(expected.report.cut.is_some());
        check(&expected.machine, &memory, "undisturbed");
        for number in 1.. {
            let crashed = copy(&image);
            crashed.fail_at(number, SimFault::DiesMidway);
            let done = try_recover(&crashed).map(|recovered| std::mem::forget(recovered.journal));
            for (name, after) in images(&crashed, number) {
                let again = try_recover(&after).unwrap_or_else(|error| {
                    panic!(
                        "image {seed}, operation {number}, {name}: {}",
                        describe(&error)
                    )
                });
                assert_eq!(
                    again.machine, expected.machine,
                    "image {seed}, crash at operation {number} of the recovery, {name}"
                );
            }
            if done.is_ok() {
                break;
            }
        }
    }
    assert!(torn >= 3, "the images have torn tails: {torn}");
}
