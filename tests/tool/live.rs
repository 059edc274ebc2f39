//! Beside a writer: what it has not finished is no damage, and what it purges meanwhile neither.

use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use torrens::lifecycle::{Cause, Event};
use torrens::{PeerId, RegionEpoch, RegionId, StoreId};

use super::LOOKS;
use super::damage::end_of_journal;
use super::fixture::{Store, contents, run};

#[test]
fn bytes_behind_the_end_of_a_live_journal_are_in_flight() {
    let store = Store::with_history();
    let lock = store.disk.lock(&store.path().join("LOCK")).unwrap();
    let end = end_of_journal(store.path());
    let path = store.path().join("journal").join(format!("{:020}.seg", 1));
    let mut bytes = fs::read(&path).unwrap();
    bytes[end as usize..end as usize + 4].copy_from_slice(b"half");
    fs::write(&path, &bytes).unwrap();
    let before = contents(store.path());

    let info = run(store.path(), "info", &[]);
    let open_by = format!("open by process {}", std::process::id());
    assert!(info.out.contains(&open_by), "{}", info.out);
    assert_eq!(run(store.path(), "verify", &[]).code, 0);
    let dump = run(store.path(), "dump", &["-o", "ndjson"]);
    assert_eq!(
        (dump.code, dump.out.contains("\"gap\"")),
        (0, false),
        "{}",
        dump.out
    );
    assert_eq!(contents(store.path()), before);

    drop(lock);
    assert_eq!(
        run(store.path(), "verify", &[]).code,
        3,
        "without a writer it is a torn tail"
    );
    std::mem::forget(store.journal);
}

#[test]
fn a_writer_at_work_never_looks_like_damage() {
    let mut store = Store::with_segments_of(64 * 1024);
    store.history();
    let _lock = store.disk.lock(&store.path().join("LOCK")).unwrap();
    let dir = store.path().to_owned();
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut number = 0;
            while !done.load(Ordering::Relaxed) {
                let region = RegionId(1_000 + number);
                let message_epoch = RegionEpoch {
                    conf_ver: 3,
                    version: 9,
                };
                let (peer, from_store) = (PeerId(5_000 + number), StoreId(5));
                let event = Event::CreateByMessage {
                    region,
                    peer,
                    from_store,
                    message_epoch,
                };
                store.commit(event, Cause::Message { from_store });
                number += 1;
                if number % 50 == 0 {
                    store.checkpoint();
                    store.purge();
                }
            }
        });
        for round in 0..3 {
            for (verb, args) in LOOKS {
                let answer = run(&dir, verb, args);
                if answer.code != 0 || !answer.err.is_empty() {
                    done.store(true, Ordering::Relaxed);
                    panic!(
                        "round {round}, {verb}: {} {}{}",
                        answer.code, answer.out, answer.err
                    );
                }
            }
        }
        done.store(true, Ordering::Relaxed);
    });
}
