//! Followers inside the writer's process: every durable record once and in order, nothing that is not
//! durable, woken and never polling, and no purge overtakes them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use torrens_journal::disk::{Disk, RealDisk, op};
use torrens_journal::testing::{SimDisk, SimFault};
use torrens_journal::{
    AppendError, FollowError, Followed, Follower, Journal, Lsn, PinKind, PositionError,
};

use crate::support::{KIND, STORE, create, dir, payload, reopen, segment_path, small};

/// Long enough for any machine; nobody waits for it unless a test fails.
const LONG: Option<Duration> = Some(Duration::from_secs(60));
const NOW: Option<Duration> = Some(Duration::ZERO);

/// LSNs and payloads of the next batch, or which other answer it was.
fn next(follower: &mut Follower, timeout: Option<Duration>) -> Result<Vec<(u64, Vec<u8>)>, String> {
    match follower.next_batch(timeout) {
        Ok(Followed::Batch(batch)) => {
            assert!(batch.is_witnessed());
            Ok(batch
                .records()
                .map(|record| {
                    let record = record.unwrap();
                    (record.lsn.get(), record.payload.to_vec())
                })
                .collect())
        }
        Ok(Followed::TimedOut) => Err("timed out".to_owned()),
        Ok(Followed::Stopped) => Err("stopped".to_owned()),
        Ok(Followed::Closed) => Err("closed".to_owned()),
        Ok(_) => Err("unknown".to_owned()),
        Err(error) => Err(error.code().to_owned()),
    }
}

#[test]
fn only_what_is_durable_is_delivered_and_batches_are_whole() {
    let disk = SimDisk::new(1);
    let journal = create(&disk, small());
    let mut follower = journal.follow(Lsn::FIRST, "test").unwrap();
    assert_eq!(next(&mut follower, NOW), Err("timed out".to_owned()));
    journal.append(KIND, 0, b"one").unwrap();
    journal.append(KIND, 0, b"two").unwrap();
    // Appended; not even stored.
    assert_eq!(next(&mut follower, NOW), Err("timed out".to_owned()));
    journal.sync().unwrap();
    let both = vec![(1, b"one".to_vec()), (2, b"two".to_vec())];
    assert_eq!(next(&mut follower, NOW), Ok(both.clone()));
    assert_eq!(next(&mut follower, NOW), Err("timed out".to_owned()));
    // From the middle of a group on.
    let mut second = journal.follow(Lsn::new(2), "test").unwrap();
    assert_eq!(next(&mut second, NOW), Ok(both[1..].to_vec()));

    // Stored, because the open group grew large, and not durable.
    for number in 0..200 {
        journal.append(KIND, 0, &payload(number, 2000)).unwrap();
    }
    assert!(journal.stats().groups > 1);
    assert_eq!(next(&mut follower, NOW), Err("timed out".to_owned()));
    journal.sync().unwrap();
    let mut last = 2;
    while let Ok(batch) = next(&mut follower, NOW) {
        for (lsn, found) in batch {
            assert_eq!((lsn, found), (last + 1, payload(last - 2, 2000)));
            last = lsn;
        }
    }
    assert_eq!((last, follower.next_lsn()), (202, Lsn::new(203)));
}

#[test]
fn a_sync_that_failed_delivers_nothing_and_ends_the_follower() {
    let disk = SimDisk::new(1);
    let journal = create(&disk, small());
    let mut follower = journal.follow(Lsn::FIRST, "test").unwrap();
    journal.append(KIND, 0, b"durable").unwrap();
    journal.sync().unwrap();
    journal.append(KIND, 0, b"lost").unwrap();
    for ahead in 1..=3 {
        disk.fail_at(
            disk.ops() + ahead,
            SimFault::Error(std::io::ErrorKind::Other),
        );
    }
    journal.sync().unwrap_err();
    assert!(matches!(
        journal.append(KIND, 0, b"more"),
        Err(AppendError::Poisoned(_))
    ));
    // What was durable before is still delivered; then nothing is, for as long as anybody waits.
    assert_eq!(
        next(&mut follower, None),
        Ok(vec![(1, b"durable".to_vec())])
    );
    assert_eq!(next(&mut follower, None), Err("poisoned".to_owned()));
    assert!(matches!(
        follower.next_batch(None),
        Err(FollowError::Poisoned(_))
    ));
    drop(journal);
    assert_eq!(next(&mut follower, None), Err("poisoned".to_owned()));
}

#[test]
fn closing_delivers_the_rest_and_then_says_closed() {
    let disk = SimDisk::new(1);
    let journal = create(&disk, small());
    let mut follower = journal.follow(Lsn::FIRST, "test").unwrap();
    journal.append(KIND, 0, b"last").unwrap();
    thread::scope(|scope| {
        let ended = scope.spawn(|| {
            let last = next(&mut follower, LONG);
            (last, next(&mut follower, LONG))
        });
        journal.close().unwrap();
        let (last, closed) = ended.join().unwrap();
        assert_eq!(last, Ok(vec![(1, b"last".to_vec())]));
        assert_eq!(closed, Err("closed".to_owned()));
    });
    drop(journal);
    // The next opening has followers of its own; this one stays ended.
    let journal = reopen(&disk, small());
    journal.append(KIND, 0, b"next boot").unwrap();
    journal.sync().unwrap();
    assert_eq!(next(&mut follower, NOW), Err("closed".to_owned()));
    let mut follower = journal.follow(Lsn::new(2), "test").unwrap();
    assert_eq!(
        next(&mut follower, NOW),
        Ok(vec![(2, b"next boot".to_vec())])
    );
}

#[test]
fn a_stop_wakes_a_follower_and_stays() {
    let disk = SimDisk::new(1);
    let journal = create(&disk, small());
    let mut follower = journal.follow(Lsn::FIRST, "test").unwrap();
    let stop = follower.stop_handle();
    thread::scope(|scope| {
        let stopped = scope.spawn(|| next(&mut follower, None));
        stop.stop();
        assert_eq!(stopped.join().unwrap(), Err("stopped".to_owned()));
    });
    journal.append(KIND, 0, b"unheard").unwrap();
    journal.sync().unwrap();
    assert_eq!(next(&mut follower, NOW), Err("stopped".to_owned()));
    // Others are not concerned.
    let mut other = journal.follow(Lsn::FIRST, "other").unwrap();
    assert!(next(&mut other, NOW).is_ok());
}

#[test]
fn a_follower_is_pinned_where_it_stands_and_moves_on() {
    let disk = SimDisk::new(1);
    let journal = create(&disk, small());
    for number in 1..=40 {
        journal.append(KIND, 0, &payload(number, 2000)).unwrap();
        journal.sync().unwrap();
    }
    let mut follower = journal.follow(Lsn::new(8), "cdc").unwrap();
    let pins = journal.pins();
    assert_eq!(
        (pins[0].holder.as_str(), pins[0].kind, pins[0].lsn),
        ("cdc", PinKind::Follower, Lsn::new(8))
    );
    let purged = journal.purge_below(Lsn::new(40)).unwrap();
    assert_eq!(purged.first_lsn, Lsn::new(6));
    assert_eq!(purged.held_by.unwrap().holder, "cdc");
    // What was delivered is kept until the next call: the holder may still work on it.
    for lsn in 8..=12 {
        assert_eq!(next(&mut follower, NOW).unwrap()[0].0, lsn);
    }
    assert_eq!(journal.pins()[0].lsn, Lsn::new(12));
    let purged = journal.purge_below(Lsn::new(40)).unwrap();
    assert_eq!(purged.first_lsn, Lsn::new(11));
    for lsn in 13..=40 {
        assert_eq!(next(&mut follower, NOW).unwrap()[0].0, lsn);
    }
    assert_eq!(next(&mut follower, NOW), Err("timed out".to_owned()));
    assert_eq!(journal.pins()[0].lsn, Lsn::new(41));
    assert_eq!(
        journal.purge_below(Lsn::new(40)).unwrap().first_lsn,
        Lsn::new(36)
    );
    drop(follower);
    assert!(journal.pins().is_empty());
}

#[test]
fn positions_that_cannot_be_followed_have_typed_answers() {
    let disk = SimDisk::new(1);
    let journal = create(&disk, small());
    for number in 1..=12 {
        journal.append(KIND, 0, &payload(number, 2000)).unwrap();
        journal.sync().unwrap();
    }
    journal.purge_below(Lsn::new(11)).unwrap();
    let gone = journal.follow(Lsn::new(10), "late").unwrap_err();
    match gone {
        PositionError::Gone { asked, oldest } => {
            assert_eq!((asked, oldest), (Lsn::new(10), Lsn::new(11)));
        }
        other => panic!("{other:?}"),
    }
    let early = journal.follow(Lsn::new(14), "early").unwrap_err();
    match early {
        PositionError::NotYet { asked, end } => {
            assert_eq!((asked, end), (Lsn::new(14), Lsn::new(12)));
        }
        other => panic!("{other:?}"),
    }
    assert!(journal.pins().is_empty());
    let mut follower = journal.follow(Lsn::new(13), "end").unwrap();
    assert_eq!(next(&mut follower, NOW), Err("timed out".to_owned()));
}

#[test]
fn a_revoked_follower_reads_on_while_it_can_and_then_is_told_the_oldest() {
    let disk = SimDisk::new(1);
    let journal = create(&disk, small());
    for number in 1..=20 {
        journal.append(KIND, 0, &payload(number, 2000)).unwrap();
        journal.sync().unwrap();
    }
    let mut follower = journal.follow(Lsn::FIRST, "slow").unwrap();
    let mut fresh = journal.follow(Lsn::FIRST, "slower").unwrap();
    assert!(next(&mut follower, NOW).is_ok());
    for pin in journal.pins() {
        assert!(journal.revoke_pin(pin.id));
    }
    assert!(follower.is_revoked() && journal.pins().is_empty());
    // Its records are there still.
    assert_eq!(next(&mut follower, NOW).unwrap()[0].0, 2);
    journal.purge_below(Lsn::new(20)).unwrap();
    // What it had read ahead it may deliver; then the answer is typed, and says so again.
    let mut answer = next(&mut follower, NOW);
    while answer.is_ok() {
        answer = next(&mut follower, NOW);
    }
    assert_eq!(answer, Err("gone".to_owned()));
    for follower in [&mut follower, &mut fresh] {
        match follower.next_batch(NOW) {
            Err(FollowError::Position(PositionError::Gone { oldest, .. })) => {
                assert_eq!(oldest, Lsn::new(16));
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn durable_records_that_are_not_there_any_more_are_damage() {
    let disk = SimDisk::new(1);
    let journal = create(&disk, small());
    let mut follower = journal.follow(Lsn::FIRST, "test").unwrap();
    for number in 1..=3 {
        journal.append(KIND, 0, &payload(number, 100)).unwrap();
        journal.sync().unwrap();
    }
    disk.corrupt(&segment_path(1), 12288 + 100, &[0xff])
        .unwrap();
    assert_eq!(next(&mut follower, NOW).unwrap()[0].0, 1);
    for _ in 0..2 {
        match follower.next_batch(NOW) {
            Err(FollowError::Position(PositionError::Damaged { expected, .. })) => {
                assert_eq!(expected, Lsn::new(2));
            }
            other => panic!("{other:?}"),
        }
    }
}

/// Appenders, a purger and followers, all at once: each follower sees each record once, in order,
/// with its own bytes, whatever rotates and is purged meanwhile.
fn storm(disk: Arc<dyn Disk>, journal: &Journal, per_thread: u64) {
    const THREADS: u64 = 3;
    let total = THREADS * per_thread;
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        for appender in 0..THREADS {
            scope.spawn(move || {
                for number in 0..per_thread {
                    let bytes = (number * 37 % 3000) as usize;
                    let lsn = journal
                        .append(KIND, appender as u32, &payload(number, bytes))
                        .unwrap();
                    if number % 4 != 3 {
                        journal.wait_durable(lsn).unwrap();
                    }
                }
                journal.sync().unwrap();
            });
        }
        scope.spawn(|| {
            while !done.load(Ordering::SeqCst) {
                let purged = journal.purge_below(journal.synced()).unwrap();
                assert!(purged.first_lsn >= Lsn::FIRST);
                thread::sleep(Duration::from_millis(1));
            }
        });
        let followers: Vec<_> = (0..2)
            .map(|number| {
                let mut follower = journal.follow(Lsn::FIRST, "storm").unwrap();
                scope.spawn(move || {
                    let mut seen = [0; THREADS as usize];
                    let mut last = 0;
                    while last < total {
                        let synced = journal.synced();
                        let Followed::Batch(batch) = follower.next_batch(LONG).unwrap() else {
                            panic!("follower {number} heard nothing, at {last} of {synced}");
                        };
                        assert!(batch.last_lsn() <= journal.synced());
                        for record in batch.records() {
                            let record = record.unwrap();
                            assert_eq!(record.lsn.get(), last + 1);
                            let seen = &mut seen[record.tag as usize];
                            let bytes = (*seen * 37 % 3000) as usize;
                            assert_eq!(record.payload, payload(*seen, bytes));
                            (*seen, last) = (*seen + 1, last + 1);
                        }
                    }
                })
            })
            .collect();
        for follower in followers {
            follower.join().unwrap();
        }
        done.store(true, Ordering::SeqCst);
    });
    let purged = journal.purge_below(Lsn::new(total)).unwrap();
    assert!(purged.held_by.is_none());
    assert!(journal.oldest() > Lsn::new(total / 2));
    drop(disk);
}

#[test]
fn followers_see_everything_once_while_others_append_and_purge() {
    let disk = SimDisk::new(1);
    let journal = create(&disk, small());
    storm(Arc::new(disk.clone()), &journal, 300);
}

#[test]
fn followers_see_everything_once_on_a_real_disk() {
    let folder = tempfile::tempdir().unwrap();
    let disk: Arc<dyn Disk> = Arc::new(RealDisk::new());
    let journal = Journal::create(
        Arc::clone(&disk),
        &folder.path().join("journal"),
        STORE,
        small(),
    )
    .unwrap();
    storm(disk, &journal, 300);
}

/// One at a time: each sync wakes the follower, which wakes the appender. A lost wake-up hangs here.
#[test]
fn each_sync_wakes_who_waits_for_it() {
    let disk = SimDisk::new(1);
    let journal = create(&disk, small());
    let mut follower = journal.follow(Lsn::FIRST, "ping").unwrap();
    let (said, heard) = std::sync::mpsc::channel();
    thread::scope(|scope| {
        scope.spawn(move || {
            for _ in 0..500 {
                let batch = next(&mut follower, LONG).unwrap();
                said.send(batch[0].0).unwrap();
            }
        });
        for number in 1..=500 {
            journal.append(KIND, 0, b"ping").unwrap();
            journal.sync().unwrap();
            assert_eq!(heard.recv().unwrap(), number);
        }
    });
}

#[test]
fn following_writes_nothing() {
    let disk = SimDisk::new(1);
    let journal = create(&disk, small());
    for number in 1..=12 {
        journal.append(KIND, 0, &payload(number, 2000)).unwrap();
        journal.sync().unwrap();
    }
    let ops = disk.ops();
    let mut follower = journal.follow(Lsn::FIRST, "test").unwrap();
    while next(&mut follower, NOW).is_ok() {}
    assert_eq!(disk.ops(), ops, "{:?}, {}", dir(), op::WRITE);
}
