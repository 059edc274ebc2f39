use std::path::Path;

use super::*;
use crate::store::{StoreFactory, StoreOpenMode};

fn put(store: &dyn DataStore, key: &str) -> Result<(), StoreError> {
    let mut batch = StoreBatch::new();
    batch.put(key.into(), b"v".to_vec());
    store.apply(&batch)
}

fn keys(store: &dyn DataStore) -> String {
    let rows = store.scan(&RawRange::all(), Direction::Forward);
    rows.map(|row| String::from_utf8(row.unwrap().0).unwrap())
        .collect()
}

/// `a` is flushed; `b`, `c`, `d` are not.
fn store() -> MemoryStore {
    let store = MemoryStore::new();
    put(&store, "a").unwrap();
    store.flush().unwrap();
    for key in ["b", "c", "d"] {
        put(&store, key).unwrap();
    }
    store
}

#[test]
fn a_power_cut_keeps_what_was_flushed_and_a_prefix_of_the_rest() {
    let before = store();
    assert_eq!(before.unflushed_batches(), 3);
    for (lost, kept) in [
        (Lost::Unflushed, "a"),
        (Lost::AllButBatches(0), "a"),
        (Lost::AllButBatches(2), "abc"),
        (Lost::AllButBatches(9), "abcd"),
        (Lost::Everything, ""),
    ] {
        let after = before.power_cut(lost.clone());
        assert_eq!(keys(&after), kept, "{lost:?}");
        assert_eq!(
            keys(&after.power_cut(Lost::Unflushed)),
            kept,
            "what the device has stays"
        );
    }
    assert_eq!(
        keys(&before),
        "abcd",
        "the crash leaves the store that it is of alone"
    );
}

#[test]
fn a_scattered_loss_keeps_what_was_flushed_and_any_of_the_rest() {
    let mut seen = std::collections::BTreeSet::new();
    for seed in 0..200 {
        let kept = keys(&store().power_cut(Lost::Scattered(seed)));
        assert!(kept.starts_with('a'), "{kept}");
        assert_eq!(kept, keys(&store().power_cut(Lost::Scattered(seed))));
        seen.insert(kept);
    }
    assert_eq!(seen.len(), 8, "{seen:?}");
}

#[test]
fn an_older_copy_can_take_the_stores_place() {
    let store = store();
    let old = store.durable_image();
    store.flush().unwrap();
    assert_eq!(keys(&store.power_cut(Lost::Unflushed)), "abcd");
    assert_eq!(keys(&store.power_cut(Lost::Since(old))), "a");
}

#[test]
fn what_a_kill_spares_is_visible_and_not_durable() {
    let after = store().process_kill(Lost::AllButBatches(1));
    assert_eq!(keys(&after), "ab");
    assert_eq!(keys(&after.power_cut(Lost::Unflushed)), "a");
    after.flush().unwrap();
    assert_eq!(keys(&after.power_cut(Lost::Unflushed)), "ab");
}

#[test]
fn a_failed_call_does_nothing_and_refuses_the_store_for_good() {
    for operation in ["store.apply", "store.flush"] {
        let store = store();
        store.fault_at(
            store.calls() + 1,
            StoreFault::Fails(io::ErrorKind::StorageFull),
        );
        let call = || match operation {
            "store.apply" => put(&store, "e"),
            _ => store.flush(),
        };
        match call() {
            Err(StoreError::Io {
                operation: found,
                source,
            }) => {
                assert_eq!(
                    (found, source.kind()),
                    (operation, io::ErrorKind::StorageFull)
                );
            }
            other => panic!("{other:?}"),
        }
        for answer in [
            call(),
            store.get(b"a").map(drop),
            put(&store, "f"),
            store.flush(),
        ] {
            match answer {
                Err(StoreError::Refused {
                    operation: found, ..
                }) => assert_eq!(found, operation),
                other => panic!("{other:?}"),
            }
        }
        let scanned = store
            .scan(&RawRange::all(), Direction::Forward)
            .collect::<Vec<_>>();
        assert!(
            matches!(scanned.as_slice(), [Err(StoreError::Refused { .. })]),
            "{scanned:?}"
        );
        assert_eq!(keys(&store.process_kill(Lost::AllButBatches(9))), "abcd");
    }
}

#[test]
fn a_dead_process_answers_nothing_and_the_call_it_died_in_took_effect_or_not() {
    for (fault, after_kill) in [(StoreFault::Dies, "abcd"), (StoreFault::DiesAfter, "abcde")] {
        let store = store();
        store.fault_at(store.calls() + 1, fault);
        for answer in [put(&store, "e"), store.get(b"a").map(drop), store.flush()] {
            match answer {
                Err(StoreError::Io { source, .. }) => assert!(source.to_string().contains("dead")),
                other => panic!("{other:?}"),
            }
        }
        let next = store.process_kill(Lost::AllButBatches(9));
        assert_eq!(keys(&next), after_kill, "{fault:?}");
        put(&next, "x").unwrap();
    }
}

#[test]
fn the_hook_sees_every_mutating_call_first_and_can_stop_it() {
    let calls = Arc::new(Mutex::new(Vec::new()));
    let seen = calls.clone();
    let store = MemoryStore::new().with_hook(Arc::new(move |operation| {
        seen.lock().push(operation);
        if seen.lock().len() == 3 {
            Err(io::Error::other("stopped"))
        } else {
            Ok(())
        }
    }));
    put(&store, "a").unwrap();
    store.get(b"a").unwrap();
    store.flush().unwrap();
    assert!(put(&store, "b").is_err());
    assert_eq!(*calls.lock(), ["store.apply", "store.flush", "store.apply"]);
    assert_eq!(keys(&store.process_kill(Lost::AllButBatches(9))), "a");
}

#[test]
fn a_store_opened_for_reading_refuses_to_change_and_stays_good() {
    let factory = MemoryFactory::new(store());
    let dir = Path::new("/nowhere");
    drop(factory.open(dir, StoreOpenMode::CreateOrOpen).unwrap());
    let handle = factory.open(dir, StoreOpenMode::ReadOnly).unwrap();
    assert!(matches!(put(&*handle, "e"), Err(StoreError::ReadOnly)));
    assert!(matches!(handle.flush(), Err(StoreError::ReadOnly)));
    assert_eq!(keys(&*handle), "abcd");
}

#[test]
fn one_numbering_of_operations_covers_a_simulated_disk_and_the_store() {
    use torrens_journal::disk::Disk;
    use torrens_journal::testing::{SimDisk, SimFault};
    let disk = SimDisk::new(7);
    let hand = disk.clone();
    let store = MemoryStore::new().with_hook(Arc::new(move |operation| hand.step(operation)));
    disk.create_dir_all(Path::new("/data")).unwrap();
    let before = disk.ops();
    put(&store, "a").unwrap();
    assert_eq!(disk.ops(), before + 1);
    disk.fail_at(before + 2, SimFault::Dies);
    assert!(
        disk.sync_dir(Path::new("/data")).is_err(),
        "the process dies in the disk"
    );
    assert!(
        put(&store, "b").is_err() && store.flush().is_err(),
        "and so in the store"
    );
    assert_eq!(keys(&store.process_kill(Lost::AllButBatches(9))), "a");
}
