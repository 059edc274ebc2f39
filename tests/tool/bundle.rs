//! A bundle holds what a helper needs, and no key in any spelling.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::path::Path;

use serde_json::Value;

use super::fixture::{Answer, Closed, Store, contents, run};

/// The files of a bundle.
pub(crate) fn unpacked(path: &Path) -> BTreeMap<String, Vec<u8>> {
    let file = flate2::read::GzDecoder::new(fs::File::open(path).unwrap());
    let mut files = BTreeMap::new();
    for entry in tar::Archive::new(file).entries().unwrap() {
        let mut entry = entry.unwrap();
        let name = entry.path().unwrap().display().to_string();
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).unwrap();
        let name = name.strip_prefix("torrens-bundle/").unwrap().to_owned();
        assert!(files.insert(name, bytes).is_none());
    }
    files
}

/// Makes a bundle of a store elsewhere.
fn bundled(store: &Path, more: &[&str]) -> (Answer, BTreeMap<String, Vec<u8>>) {
    let scratch = tempfile::tempdir().unwrap();
    let path = scratch.path().join("bundle.tar.gz");
    let args = [&["-o", path.to_str().unwrap()][..], more].concat();
    let before = contents(store);
    let answer = run(store, "bundle", &args);
    assert_eq!(contents(store), before);
    assert_eq!(answer.code, 0, "{}", answer.err);
    let left: Vec<_> = fs::read_dir(scratch.path()).unwrap().collect();
    assert_eq!(left.len(), 1, "something was left behind: {left:?}");
    let files = unpacked(&path);
    (answer, files)
}

/// A store whose keys are long enough to be nothing else, damaged in different ways.
fn stores() -> Vec<(&'static str, i64, Closed)> {
    let split = || {
        let mut store = Store::new();
        store.secret_history();
        store
    };
    let whole = split().close();
    let damaged = split().close();
    damaged.overwrite(8192 + 2 * 4096 + 200, b"\xff\xff\xff");
    let torn = split().close();
    let end = super::end_of_journal(torn.path());
    torn.overwrite(end, b"half a group");
    let impossible = {
        let mut store = split();
        super::add_impossible_record(&mut store);
        store.close()
    };
    // What only shows when a reason or bytes that nobody knows quote keys.
    let quoting = super::security::impossible();
    let unknown = super::security::unknown();
    vec![
        ("quoting", 6, quoting),
        ("unknown", 0, unknown),
        ("clean", 0, whole),
        ("mid-log", 5, damaged),
        ("torn", 3, torn),
        ("impossible", 6, impossible),
    ]
}

#[test]
fn no_key_is_in_a_bundle_in_any_spelling() {
    for (name, verdict, store) in stores() {
        let (_, files) = bundled(store.path(), &[]);
        let manifest: Value = serde_json::from_slice(&files["manifest.json"]).unwrap();
        let parts = manifest["parts"].as_array().unwrap();
        let verify = parts.iter().find(|part| part["file"] == "verify.json");
        assert_eq!(verify.unwrap()["exit"], verdict, "{name}: {manifest}");
        assert_eq!(parts.len() + 1, files.len());
        for part in parts {
            let bytes = &files[part["file"].as_str().unwrap()];
            assert_eq!(part["bytes"], bytes.len(), "{name}: {part}");
            assert_ne!(part["exit"], 2, "{name}: {part}");
            let is_short = part["exit"].as_i64().is_some_and(|exit| exit <= 1);
            assert!(
                !is_short
                    || !bytes.is_empty()
                    || part["file"] == "repairs.ndjson"
                    || part["file"] == "observers.ndjson",
                "{name}: {part}"
            );
        }
        let dump = String::from_utf8(files["dump.ndjson"].clone()).unwrap();
        assert!(dump.contains("\"k:"), "{name}: no token in {dump}");
        for (file, bytes) in &files {
            let text = String::from_utf8_lossy(bytes).to_lowercase();
            for spelling in Store::secret_spellings() {
                assert!(
                    !text.contains(&spelling),
                    "{name}: {spelling} is in {file}: {text}"
                );
            }
        }
        let place = store.path().to_str().unwrap();
        for (file, bytes) in &files {
            let text = String::from_utf8_lossy(bytes);
            assert!(
                !text.contains(place),
                "{name}: {file} says where the store lies"
            );
        }
    }
}

#[test]
fn two_bundles_with_one_secret_have_the_same_tokens() {
    let (_, _, store) = stores().remove(0);
    let dump = |secret: &[&str]| bundled(store.path(), secret).1["dump.ndjson"].clone();
    let (first, second) = (dump(&["--redact-with", "a"]), dump(&["--redact-with", "a"]));
    assert_eq!(first, second);
    assert_ne!(first, dump(&[]));
    let last = dump(&["--last", "1"]);
    assert_eq!(String::from_utf8(last).unwrap().lines().count(), 1);
}

#[test]
fn a_bundle_is_never_written_over_something_or_into_the_store() {
    let store = super::closed();
    let scratch = tempfile::tempdir().unwrap();
    let taken = scratch.path().join("taken");
    fs::write(&taken, b"mine").unwrap();
    let refused = run(store.path(), "bundle", &["-o", taken.to_str().unwrap()]);
    assert_eq!(refused.code, 10, "{}", refused.err);
    assert_eq!(fs::read(&taken).unwrap(), b"mine");
    let before = contents(store.path());
    let inside = store.path().join("bundle.tar.gz");
    let refused = run(store.path(), "bundle", &["-o", inside.to_str().unwrap()]);
    assert_eq!(refused.code, 2, "{}", refused.err);
    assert_eq!(contents(store.path()), before);
    let nothing = scratch.path().join("nothing");
    assert_eq!(run(&nothing, "bundle", &[]).code, 8);
}
