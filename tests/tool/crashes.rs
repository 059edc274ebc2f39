//! `simulate`: the state after a crash at any record and byte. And that nothing takes an open store apart.

use std::path::Path;

use serde_json::Value;
use torrens_journal::disk::{Disk, RealDisk};

use super::fixture::{Store, contents};
use super::rebuild::{text, tool};
use super::salvage::lsns;

/// The state after a record, as `state` shows it.
fn state_lines(dir: &Path, at: &str) -> String {
    tool(&["state", text(dir), "--at", at, "-o", "ndjson"]).out
}

#[test]
fn a_crash_at_any_record_and_byte_leaves_the_state_that_there_was() {
    let store = {
        let mut store = Store::with_segments_of(32 * 1024);
        store.history();
        store.checkpoint();
        let mut store = Store::reopen(store.close());
        store.late_split();
        store.close()
    };
    let before = contents(store.path());
    let dir = text(store.path());
    let scratch = tempfile::tempdir().unwrap();
    for lsn in 1..=10u64 {
        for byte in [None, Some(0), Some(1), Some(100), Some(4095), Some(4096)] {
            let copy = scratch.path().join(format!("{lsn}-{byte:?}"));
            let at = lsn.to_string();
            let mut words = vec![
                "simulate",
                dir,
                "--at",
                &at,
                "--to",
                text(&copy),
                "-o",
                "json",
            ];
            let number = byte.map(|byte| byte.to_string());
            if let Some(number) = &number {
                words.extend(["--byte", number]);
            }
            let made = tool(&words);
            let name = format!("LSN {lsn}, byte {byte:?}");
            // The first record's group without a byte of it: nothing was ever acknowledged.
            assert!(
                [0, 3].contains(&made.code),
                "{name}: {}{}",
                made.out,
                made.err
            );
            let said: Value = serde_json::from_str(&made.out).unwrap();
            let last = said["last_lsn"].as_u64().unwrap();
            let (whole, torn) = match byte {
                None | Some(4096..) => (lsn, false),
                Some(0) => (lsn - 1, false),
                // The rest of the page is padding: zeros that were there before.
                Some(4095) => (last, made.code == 3),
                Some(_) => (lsn - 1, true),
            };
            assert_eq!(last, whole, "{name}: {said}");
            assert_eq!(made.code == 3, torn, "{name}: {said}");
            let verified = tool(&["verify", text(&copy), "--quiet"]);
            assert_eq!(verified.code, made.code, "{name}: {}", verified.out);
            if last > 0 {
                let at = last.to_string();
                assert_eq!(
                    state_lines(&copy, "last"),
                    state_lines(store.path(), &at),
                    "{name}"
                );
            }
            let is_now = lsn == 10 && last == 10;
            assert_eq!(
                said["changed"].as_array().unwrap().is_empty(),
                is_now,
                "{name}"
            );
        }
    }
    assert_eq!(contents(store.path()), before);
    let beyond = tool(&["simulate", dir, "--at", "99"]);
    assert_eq!(beyond.code, 2, "{}", beyond.err);
    let taken = tool(&["simulate", dir, "--at", "3", "--to", text(scratch.path())]);
    assert_eq!(taken.code, 10, "{}", taken.err);
}

#[test]
fn a_store_that_is_open_is_not_taken_apart() {
    let store = Store::with_history();
    let disk = RealDisk::new();
    let _lock = disk.lock(&store.path().join("LOCK")).unwrap();
    let dir = text(store.path());
    let scratch = tempfile::tempdir().unwrap();
    let to = scratch.path().join("to");
    for words in [&["dump", dir, "--raw"][..], &["simulate", dir, "--at", "3"]] {
        let refused = tool(words);
        assert_eq!(refused.code, 9, "{words:?}: {}", refused.err);
    }
    // A salvage is possible, without the data.
    let made = tool(&["extract", dir, "--to", text(&to)]);
    assert_eq!(made.code, 0, "{}", made.err);
    assert_eq!(lsns(&to).len(), 9);
}
