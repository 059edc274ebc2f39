//! What SECURITY.md says of the tool: hidden keys stay hidden whatever state the directory is in, and what it
//! makes is for its maker's eyes, never through a link.

use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::Path;

use torrens::lifecycle::{Cause, Change, Record, RecordHeader};
use torrens::{KeyRange, Region, RegionEpoch, RegionId, StoreId};
use torrens_journal::RecordKind;

use super::fixture::{Closed, Store, answer, contents, run, torrens, voter};
use super::{FIRST_GROUP, LOOKS, PAGE, end_of_journal};

fn secret() -> Store {
    let mut store = Store::new();
    store.secret_history();
    store
}

/// A record that no state allows, with keys in it: another region on keys that are owned.
pub(crate) fn impossible() -> Closed {
    let mut store = secret();
    let region = RegionId(77);
    let header = RecordHeader {
        wall_clock_micros: 0,
        boot: 1,
        cause: Cause::Operator,
        region: Some(region),
        incarnation: None,
        previous: None,
    };
    let [first, _, last] = Store::SECRET_KEYS;
    let region = Region {
        id: region,
        range: KeyRange::new(first.as_bytes(), Some(last.as_bytes())).unwrap(),
        epoch: RegionEpoch::BOOTSTRAP,
        peers: vec![voter(770, 4)],
    };
    let change = Change::RegionBootstrapped {
        store: StoreId(4),
        region,
    };
    store.append_unchecked(&Record { header, change });
    store.close()
}

/// A record of a kind that a later version may have, which a reader may pass over, with keys in it.
pub(crate) fn unknown() -> Closed {
    let store = secret();
    let payload = Store::SECRET_KEYS.concat();
    let kind = RecordKind::new(0x8fff);
    store.journal.append(kind, 0, payload.as_bytes()).unwrap();
    store.close()
}

/// The last split, with one bit of its payload flipped: what it was can be told.
fn flipped() -> Closed {
    let store = secret().close();
    let offset = FIRST_GROUP + 4 * PAGE + 100;
    let byte = fs::read(store.segment(1)).unwrap()[offset as usize];
    store.overwrite(offset, &[byte ^ 0x10]);
    store
}

fn torn() -> Closed {
    let store = secret().close();
    store.overwrite(end_of_journal(store.path()), b"half a group");
    store
}

#[test]
fn hidden_keys_are_in_no_output_and_no_error_of_any_command_on_any_directory() {
    let more: [(&str, &[&str]); 11] = [
        ("show", &["2"]),
        ("show", &["4"]),
        ("show", &["5"]),
        ("diff", &["1", "4"]),
        ("state", &["--at", "3"]),
        ("timeline", &["--format", "html"]),
        ("lineage", &["--format", "dot"]),
        ("lineage", &["--format", "mermaid"]),
        ("lineage", &["--format", "json"]),
        ("report", &["-o", "-"]),
        ("dump", &["--grep", "split"]),
    ];
    let forms: [&[&str]; 4] = [&[], &["-o", "table"], &["-o", "json"], &["-o", "csv"]];
    let stores = [
        ("clean", secret().close()),
        ("torn", torn()),
        ("flipped", flipped()),
        ("impossible", impossible()),
        ("unknown", unknown()),
    ];
    let mut shown = 0;
    for (name, store) in &stores {
        for (verb, args) in LOOKS.iter().chain(&more) {
            for form in forms {
                // A picture has a form of its own.
                let is_given = ["-o", "--format"]
                    .iter()
                    .any(|option| args.contains(option));
                if is_given && !form.is_empty() {
                    continue;
                }
                let args = [args, form, &["--keys", "redact", "--redact-with", "s"]].concat();
                let answer = run(store.path(), verb, &args);
                assert_ne!(answer.code, 2, "{name}: {verb} {args:?}: {}", answer.err);
                let text = format!("{}{}", answer.out, answer.err).to_lowercase();
                shown += usize::from(text.contains("k:"));
                for spelling in Store::secret_spellings() {
                    assert!(
                        !text.contains(&spelling),
                        "{name}: {verb} {args:?} shows {spelling}: {text}"
                    );
                }
            }
        }
    }
    assert!(shown > 50, "{shown} of them show a token");
}

#[test]
fn a_secret_of_the_environment_gives_the_tokens_of_the_option() {
    let store = secret().close();
    let option = ["--keys", "redact", "--redact-with", "one"];
    let by_option = run(store.path(), "dump", &option).out;
    let with = |secret: &str| {
        let mut command = torrens(store.path(), "dump");
        command.args(["--keys", "redact"]);
        command.env("TORRENS_REDACT_WITH", secret);
        answer(command.output().unwrap()).out
    };
    assert!(by_option.contains("k:"));
    assert_eq!(with("one"), by_option);
    assert_ne!(with("two"), by_option);
    // An empty one is none, and not one that everybody knows.
    assert_ne!(with(""), with(""));
}

/// Everything at and below `path` is closed to others.
fn assert_closed(path: &Path) {
    let metadata = fs::symlink_metadata(path).unwrap();
    assert_eq!(metadata.mode() & 0o077, 0, "{}", path.display());
    if metadata.is_dir() {
        for entry in fs::read_dir(path).unwrap() {
            assert_closed(&entry.unwrap().path());
        }
    }
}

#[test]
fn what_the_tool_makes_is_for_its_makers_eyes() {
    let store = secret().close();
    for part in ["data", "snapshots"] {
        fs::create_dir_all(store.path().join(part).join("below")).unwrap();
        fs::write(store.path().join(part).join("below/file"), b"rows").unwrap();
    }
    let place = tempfile::tempdir().unwrap();
    let at = |name: &str| place.path().join(name);
    let text = |name: &str| at(name).to_str().unwrap().to_owned();
    let raw = run(store.path(), "dump", &["--raw"]);
    fs::write(at("raw"), &raw.out).unwrap();
    let made = |verb: &str, args: &[&str]| {
        let answer = run(store.path(), verb, args);
        assert_eq!((answer.code, answer.err.as_str()), (0, ""), "{verb}");
    };
    made("report", &["-o", &text("report.html")]);
    made("extract", &["-o", &text("records")]);
    made("extract", &["--to", &text("store")]);
    made("bundle", &["-o", &text("bundle")]);
    made("simulate", &["--at", "4", "--to", &text("crashed")]);
    let built = run(&at("raw"), "build", &["-o", &text("built")]);
    assert_eq!(built.code, 0, "{}", built.err);
    let damaged = flipped();
    let damaged = damaged.path().to_str().unwrap();
    let args = [damaged, "--save", &text("plan")];
    let plan = run(Path::new("plan"), "repair", &args);
    assert_eq!(plan.code, 0, "{}", plan.err);
    for name in [
        "report.html",
        "records",
        "store",
        "bundle",
        "crashed",
        "built",
        "plan",
    ] {
        assert_closed(&at(name));
    }
    assert_eq!(
        fs::read(at("store").join("data/below/file")).unwrap(),
        b"rows"
    );
}

#[test]
fn nothing_is_written_through_a_link() {
    let store = secret().close();
    let place = tempfile::tempdir().unwrap();
    let (link, victim) = (place.path().join("link"), place.path().join("victim"));
    let raw = place.path().join("raw");
    fs::write(&raw, run(store.path(), "dump", &["--raw"]).out).unwrap();
    symlink(&victim, &link).unwrap();
    let before = contents(store.path());
    let to = link.to_str().unwrap();
    for exists in [false, true] {
        if exists {
            fs::write(&victim, b"mine").unwrap();
        }
        for (dir, verb, args) in [
            (store.path(), "report", &["-o", to][..]),
            (store.path(), "extract", &["-o", to]),
            (store.path(), "extract", &["--to", to]),
            (store.path(), "bundle", &["-o", to]),
            (store.path(), "simulate", &["--at", "4", "--to", to]),
            (&raw, "build", &["-o", to]),
        ] {
            let answer = run(dir, verb, args);
            assert_eq!(answer.code, 10, "{verb}: {}", answer.err);
            assert!(answer.err.contains("error[exists]"), "{}", answer.err);
        }
        assert_eq!(victim.exists(), exists);
    }
    assert_eq!(fs::read(&victim).unwrap(), b"mine");
    assert_eq!(contents(store.path()), before);
    // Of a report the newer one is wanted, and one that is there is replaced.
    let page = place.path().join("report.html");
    for _ in 0..2 {
        let answer = run(store.path(), "report", &["-o", page.to_str().unwrap()]);
        assert_eq!((answer.code, answer.err.as_str()), (0, ""));
    }
    assert!(fs::read_to_string(&page).unwrap().starts_with("<!doctype"));
    let left: Vec<_> = fs::read_dir(place.path()).unwrap().collect();
    assert_eq!(left.len(), 4, "{left:?}");
}

#[test]
fn a_link_in_the_data_of_a_store_is_not_copied() {
    let store = secret().close();
    let place = tempfile::tempdir().unwrap();
    let victim = place.path().join("victim");
    fs::write(&victim, b"of somebody else").unwrap();
    fs::create_dir(store.path().join("data")).unwrap();
    symlink(&victim, store.path().join("data/link")).unwrap();
    fs::write(store.path().join("data/file"), b"rows").unwrap();
    let to = place.path().join("new");
    let answer = run(store.path(), "extract", &["--to", to.to_str().unwrap()]);
    assert_eq!(answer.code, 0, "{}", answer.err);
    assert!(fs::symlink_metadata(to.join("data/link")).is_err());
    assert_eq!(fs::read(to.join("data/file")).unwrap(), b"rows");
}
