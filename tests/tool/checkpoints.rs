//! Checkpoints that are not what they should be: named, and passed over.

use std::fs;

use torrens::lifecycle::{Cause, Event};
use torrens::{PeerId, RegionEpoch, RegionId, StoreId};

use super::fixture::{Store, run};

#[test]
fn a_checkpoint_that_is_not_the_fold_of_its_records_is_found() {
    let mut store = Store::with_history();
    store.checkpoint();
    let good = run(store.path(), "verify", &[]);
    assert!(good.out.contains("equals the fold"), "{}", good.out);
    // A register that misses the last record, at the last record's position.
    let earlier = store.register.clone();
    let from_store = StoreId(5);
    let message_epoch = RegionEpoch {
        conf_ver: 3,
        version: 9,
    };
    let (region, peer) = (RegionId(8), PeerId(80));
    let event = Event::CreateByMessage {
        region,
        peer,
        from_store,
        message_epoch,
    };
    store.commit(event, Cause::Message { from_store });
    store.checkpoint_of(&earlier);
    let store = store.close();
    let answer = run(store.path(), "verify", &[]);
    assert_eq!(answer.code, 6, "{}", answer.out);
    assert!(
        answer.out.contains("DIFFERS from the fold"),
        "{}",
        answer.out
    );
    assert!(
        answer.out.contains("LSN 9"),
        "the older one is still compared: {}",
        answer.out
    );
}

#[test]
fn a_damaged_checkpoint_is_named_and_the_older_one_is_used() {
    let mut store = Store::with_history();
    store.checkpoint();
    let from_store = StoreId(5);
    let message_epoch = RegionEpoch {
        conf_ver: 3,
        version: 9,
    };
    let (region, peer) = (RegionId(8), PeerId(80));
    let event = Event::CreateByMessage {
        region,
        peer,
        from_store,
        message_epoch,
    };
    store.commit(event, Cause::Message { from_store });
    store.checkpoint();
    let store = store.close();
    let newest = store
        .path()
        .join("checkpoints")
        .join(format!("{:020}.ckpt", 10));
    let mut bytes = fs::read(&newest).unwrap();
    let middle = bytes.len() - 100;
    bytes[middle] ^= 1;
    fs::write(&newest, bytes).unwrap();
    let verify = run(store.path(), "verify", &[]);
    assert_eq!(verify.code, 0, "{}", verify.out);
    assert!(verify.out.contains("is not valid: "), "{}", verify.out);
    let info = run(store.path(), "info", &[]);
    assert!(info.out.contains("NOT VALID"), "{}", info.out);
    assert!(
        info.out.contains("a restart replays 1 record from here"),
        "{}",
        info.out
    );
}
