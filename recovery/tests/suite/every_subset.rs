//! Short histories, every crash point, and every subset of what was not synced: exhaustive where the
//! subsets are few, sampled by seed where they are many.

use std::collections::BTreeSet;

use torrens_journal::testing::{SimDisk, SimFault};
use torrens_recovery::RecoveryError;

use crate::host::{Host, Memory, Step, check, copy, try_recover};

const SEED: u64 = 50_512;
/// As many device images of one crash are tried, all of them if there are no more.
const IMAGES_MAX: usize = 48;
/// Of the recoveries of one crash, so many are crashed themselves.
const AGAIN_MAX: usize = 2;

/// Appends of two logical threads that interleave, with one sync for both.
fn two_threads(host: &mut Host) -> Step {
    host.append(60)?;
    host.append(70)?;
    host.sync()?;
    host.append(80)?;
    host.put(90)
}

/// A segment that fills up, its successor, and a mark.
fn rotation(host: &mut Host) -> Step {
    host.put(9000)?;
    host.put(9000)?;
    host.journal.write_mark_synced()?;
    host.put(50)
}

/// Checkpoints, and purges of what they cover.
fn checkpoint_and_purge(host: &mut Host) -> Step {
    host.put(9000)?;
    host.put(9000)?;
    host.checkpoint(1)?;
    host.put(9000)?;
    host.checkpoint(1)?;
    host.put(40)
}

/// An orderly close; the life after it is the next opening's.
fn close(host: &mut Host) -> Step {
    host.put(100)?;
    host.journal.close()?;
    Ok(())
}

struct Counts {
    crashes: u64,
    images: u64,
    exhaustive: u64,
    again: u64,
}

/// Every crash of a life, every image of each.
fn enumerate(name: &str, life: fn(&mut Host) -> Step, faults: &[SimFault]) -> Counts {
    let mut counts = Counts {
        crashes: 0,
        images: 0,
        exhaustive: 0,
        again: 0,
    };
    for number in 1.. {
        let mut ended = true;
        for fault in faults {
            let disk = SimDisk::new(SEED);
            disk.fail_at(number, *fault);
            let (memory, finished) = match Host::create(&disk) {
                Ok(mut host) => {
                    let finished = life(&mut host).is_ok();
                    (host.vanish(), finished)
                }
                Err(_) => (Memory::default(), false),
            };
            // Not every failure ends a life: a mark or a purge may fail and be done without.
            ended &= disk.ops() < number;
            if finished {
                continue;
            }
            counts.crashes += 1;
            let images: Vec<SimDisk> = disk.cut_images(IMAGES_MAX, SEED ^ number).collect();
            counts.exhaustive += u64::from(images.len() < IMAGES_MAX);
            for (index, image) in images.iter().enumerate() {
                let cut = image.cut_choice();
                let context =
                    format!("{name}, operation {number}, {fault:?}, {cut:?}, seed {SEED}");
                counts.images += 1;
                one_image(image, &memory, &context);
                if index < AGAIN_MAX {
                    counts.again += crash_again(image, &memory, &context);
                }
            }
        }
        if ended {
            break;
        }
    }
    counts
}

/// Recovers an image, and what that leaves: the same records both times.
fn one_image(image: &SimDisk, memory: &Memory, context: &str) {
    let disk = copy(image);
    match try_recover(&disk) {
        Ok(recovered) => {
            check(&recovered.machine, memory, context);
            std::mem::forget(recovered.journal);
            let again = try_recover(&copy(&disk));
            let again = again.unwrap_or_else(|error| panic!("{context}, again: {error:?}"));
            assert_eq!(again.machine, recovered.machine, "{context}, again");
        }
        Err(RecoveryError::NotAJournal { .. }) => assert_eq!(memory.acked, 0, "{context}"),
        Err(error) => match error.report() {
            Some(report) => panic!("{context}\n{report}"),
            None => panic!("{context}: {error:?}"),
        },
    }
}

/// A crash at every operation of the recovery of an image.
fn crash_again(image: &SimDisk, memory: &Memory, context: &str) -> u64 {
    let mut crashes = 0;
    for number in 1.. {
        let disk = copy(image);
        disk.fail_at(number, SimFault::DiesMidway);
        let done = try_recover(&disk).map(|recovered| std::mem::forget(recovered.journal));
        if done.is_ok() || matches!(done, Err(RecoveryError::NotAJournal { .. })) {
            return crashes;
        }
        crashes += 1;
        for after in disk.cut_images(3, SEED ^ number) {
            let context = format!("{context}, then operation {number} of recovery");
            one_image(&after, memory, &context);
        }
    }
    crashes
}

#[test]
fn every_crash_point_of_a_short_history_recovers_from_every_subset_of_what_was_not_synced() {
    let dies = [SimFault::Dies, SimFault::DiesMidway];
    // A failed sync poisons; what it was to cover may be there or not.
    let poison = [SimFault::SyncLies, SimFault::ShortThenError];
    let mut exhaustive = BTreeSet::new();
    for (name, life) in [
        ("two threads", two_threads as fn(&mut Host) -> Step),
        ("rotation", rotation),
        ("checkpoint and purge", checkpoint_and_purge),
        ("close", close),
    ] {
        for (how, faults) in [("dies", dies), ("poisoned", poison)] {
            let counts = enumerate(name, life, &faults);
            println!(
                "{name}, {how}: {} crashes, {} with every subset, {} device images, {} crashes in recovery",
                counts.crashes, counts.exhaustive, counts.images, counts.again
            );
            assert!(
                counts.images > 20,
                "{name}, {how}: {} images",
                counts.images
            );
            if counts.exhaustive > 0 {
                exhaustive.insert(name);
            }
        }
    }
    assert!(!exhaustive.is_empty(), "no crash was small enough");
}
