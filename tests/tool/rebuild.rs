//! Directories that the tool makes from a dump: the same bytes again, whatever they are.
//!
//! Not here: from what could be salvaged (`salvage`), as a crash would have left one (`crashes`).

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;
use torrens::inspector::Inspector;
use torrens_journal::disk::{Disk, RealDisk};
use torrens_journal::{Journal, JournalOptions, NewRecord, RecordKind, StoreUuid};

use super::fixture::{Answer, Closed, Store, answer, contents, run};

pub(crate) fn tool(words: &[&str]) -> Answer {
    let mut command = Command::new(env!("CARGO_BIN_EXE_torrens"));
    command.args(words).stdin(Stdio::null());
    command.env("COLUMNS", "160").env_remove("TORRENS_DIR");
    answer(command.output().unwrap())
}

pub(crate) fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// The files of journal and checkpoints that are a store's, by their names in it.
fn files(dir: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let is_kept = |name: &Path| {
        let name = name.to_str().unwrap();
        name.ends_with(".seg") || name.ends_with(".mark") || name.ends_with(".ckpt")
    };
    contents(dir)
        .into_iter()
        .filter_map(|(path, bytes)| Some((path.strip_prefix(dir).unwrap().to_owned(), bytes?)))
        .filter(|(name, _)| name.components().count() == 2 && is_kept(name))
        .collect()
}

/// Dump, build, dump: the same lines and the same bytes.
fn round_trip(name: &str, dir: &Path) {
    let scratch = tempfile::tempdir().unwrap();
    let before = contents(dir);
    let raw = tool(&["dump", text(dir), "--raw"]);
    assert_eq!((raw.code, raw.err.as_str()), (0, ""), "{name}");
    assert_eq!(contents(dir), before, "{name}");
    let (input, built) = (scratch.path().join("in"), scratch.path().join("built"));
    fs::write(&input, &raw.out).unwrap();
    let made = tool(&["build", text(&input), "-o", text(&built)]);
    assert_eq!(
        (made.code, made.err.as_str()),
        (0, ""),
        "{name}: {}",
        raw.out
    );
    for ((left, bytes), (right, again)) in files(dir).iter().zip(&files(&built)) {
        assert_eq!(left, right, "{name}");
        assert!(bytes == again, "{name}: {left:?} differs");
    }
    assert_eq!(files(dir).len(), files(&built).len(), "{name}");
    let again = tool(&["dump", text(&built), "--raw"]);
    assert!(raw.out == again.out, "{name}: the second raw dump differs");
    let plain = |dir: &Path| {
        let answer = tool(&["dump", text(dir), "-o", "ndjson"]);
        (answer.code, answer.out)
    };
    assert_eq!(plain(dir), plain(&built), "{name}");
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn every_golden_store_is_built_again_from_its_dump() {
    round_trip("market", &root().join("tests/golden/stores/market"));
    let mut journals = 0;
    for entry in fs::read_dir(root().join("journal/tests/golden")).unwrap() {
        let entry = entry.unwrap();
        if !entry.file_type().unwrap().is_dir() {
            continue;
        }
        let store = tempfile::tempdir().unwrap();
        fs::create_dir(store.path().join("journal")).unwrap();
        for file in fs::read_dir(entry.path()).unwrap() {
            let file = file.unwrap();
            let to = store.path().join("journal").join(file.file_name());
            fs::copy(file.path(), to).unwrap();
        }
        round_trip(&entry.file_name().to_string_lossy(), store.path());
        journals += 1;
    }
    assert!(journals >= 6, "the golden journals have moved");
}

#[test]
fn every_kind_of_damage_is_built_again_from_its_dump() {
    let purged = || {
        let mut store = Store::with_segments_of(32 * 1024);
        store.history();
        store.checkpoint();
        store.purge();
        store.close()
    };
    let no_mark = super::closed();
    fs::remove_file(no_mark.path().join("journal/journal.mark")).unwrap();
    let half_mark = super::closed();
    fs::write(half_mark.path().join("journal/journal.mark"), [7; 5000]).unwrap();
    let short = super::closed();
    let file = fs::OpenOptions::new().write(true).open(short.segment(1));
    file.unwrap().set_len(40_000).unwrap();
    let header = super::closed();
    header.overwrite(16, b"\xff\xff");
    let no_header = super::closed();
    no_header.overwrite(16, b"\xff\xff");
    no_header.overwrite(4096 + 16, b"\xff\xff");
    for (name, store) in [
        ("closed", super::closed()),
        ("crashed", Store::with_history().stop()),
        ("torn", super::torn()),
        ("mid-log", super::damaged_in_the_middle()),
        ("last group gone", super::last_group_gone()),
        ("newer", super::newer()),
        ("impossible", super::impossible()),
        ("purged", purged()),
        ("no mark", no_mark),
        ("half a mark", half_mark),
        ("short", short),
        ("one header", header),
        ("no header", no_header),
    ] {
        round_trip(name, store.path());
    }
}

/// Small, fast, and the same for a seed.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}

/// A journal of random groups over several boots and segments, sometimes torn, sometimes with a byte changed.
fn random_journal(seed: u64) -> TempDir {
    let mut random = Random(seed);
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("journal");
    fs::create_dir(&path).unwrap();
    let disk: Arc<dyn Disk> = Arc::new(RealDisk::new());
    let options = || {
        JournalOptions::new()
            .segment_bytes((32 * 1024) << (random.0 % 3))
            .idle(Duration::from_secs(60))
    };
    let mut journal = Journal::create(
        Arc::clone(&disk),
        &path,
        StoreUuid(*b"random histories"),
        options(),
    )
    .unwrap();
    let boots = 1 + random.below(3);
    for boot in 0..boots {
        for _ in 0..random.below(30) {
            let payloads: Vec<Vec<u8>> = (0..1 + random.below(4))
                .map(|_| {
                    let length = random.below(3000);
                    (0..length).map(|_| random.below(256) as u8).collect()
                })
                .collect();
            let records: Vec<NewRecord<'_>> = payloads
                .iter()
                .map(|payload| NewRecord {
                    kind: RecordKind::new(random.below(0x1_0000) as u16),
                    tag: random.below(1 << 32) as u32,
                    payload,
                })
                .collect();
            journal.append_all(&records).unwrap();
            if random.below(3) > 0 {
                journal.sync().unwrap();
            }
        }
        if boot + 1 == boots {
            break;
        }
        close(journal, &path, &mut random);
        let directories = torrens_recovery::Directories {
            journal: path.clone(),
            checkpoints: dir.path().join("checkpoints"),
        };
        let options = torrens_recovery::RecoveryOptions::new(
            JournalOptions::new()
                .segment_bytes((32 * 1024) << (random.0 % 3))
                .idle(Duration::from_secs(60)),
        );
        let recovered =
            torrens_recovery::recover(Arc::clone(&disk), &directories, Anything, options).unwrap();
        journal = recovered.journal;
    }
    close(journal, &path, &mut random);
    if random.below(2) == 0 {
        let mut segments: Vec<PathBuf> = fs::read_dir(&path)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.extension().is_some_and(|ending| ending == "seg"))
            .collect();
        segments.sort();
        let victim = &segments[random.below(segments.len() as u64) as usize];
        let mut bytes = fs::read(victim).unwrap();
        for _ in 0..1 + random.below(3) {
            let at = random.below(bytes.len() as u64) as usize;
            bytes[at] ^= 1 << random.below(8);
        }
        fs::write(victim, bytes).unwrap();
    }
    dir
}

/// Closes a journal, so that nothing moves in its directory any more; as it is after a crash before the first mark,
/// sometimes.
fn close(journal: Journal, dir: &Path, random: &mut Random) {
    journal.close().unwrap();
    if random.below(2) == 0 {
        fs::write(dir.join("journal.mark"), [0; 4 * 4096]).unwrap();
    }
}

/// A machine that takes every record.
struct Anything;

impl torrens_recovery::StateMachine for Anything {
    type Record = ();
    type Item = ();
    type Error = std::convert::Infallible;

    fn decode(_: RecordKind, _: &[u8]) -> Result<Option<()>, Self::Error> {
        Ok(Some(()))
    }

    fn apply(&mut self, _: torrens_journal::Lsn, (): &()) -> Result<(), Self::Error> {
        Ok(())
    }

    fn save(
        &self,
        _: &mut dyn FnMut(&[u8]) -> Result<(), torrens_recovery::checkpoint::CheckpointError>,
    ) -> Result<(), torrens_recovery::checkpoint::CheckpointError> {
        Ok(())
    }

    fn decode_item(_: &[u8]) -> Result<(), Self::Error> {
        Ok(())
    }

    fn load(&mut self, (): ()) -> Result<(), Self::Error> {
        Ok(())
    }
}

#[test]
fn random_journals_are_built_again_from_their_dumps() {
    let base = match std::env::var("TORRENS_SEED") {
        Ok(seed) => seed.parse().unwrap(),
        Err(_) => RealDisk::new().random_u64() >> 16,
    };
    for seed in base..base + 12 {
        println!("seed {seed}");
        round_trip(&format!("seed {seed}"), random_journal(seed).path());
    }
}

/// The lines of a raw dump that are records.
pub(crate) fn record_lines(raw: &str) -> Vec<&str> {
    raw.lines()
        .filter(|line| line.contains("\"raw\":"))
        .collect()
}

#[test]
fn records_alone_make_a_store_that_is_well() {
    let scratch = tempfile::tempdir().unwrap();
    let market = root().join("tests/golden/stores/market");
    let raw = tool(&["dump", text(&market), "--raw"]).out;
    let lines = record_lines(&raw);
    // Every prefix of a history is one.
    for kept in [lines.len(), lines.len() - 1, 3, 1] {
        let (input, built) = (
            scratch.path().join(format!("in-{kept}")),
            scratch.path().join(format!("built-{kept}")),
        );
        fs::write(&input, lines[..kept].join("\n")).unwrap();
        let made = tool(&["build", text(&input), "-o", text(&built)]);
        assert_eq!(made.code, 0, "{}", made.err);
        let verified = tool(&["verify", text(&built)]);
        assert_eq!(verified.code, 0, "{}", verified.out);
        let said = |line: &str| {
            let line: Value = serde_json::from_str(line).unwrap();
            (
                line["lsn"].clone(),
                line["kind"].clone(),
                line["data"].clone(),
            )
        };
        let again = tool(&["dump", text(&built), "-o", "ndjson"]).out;
        let again: Vec<_> = again.lines().map(said).collect();
        let wanted: Vec<_> = lines[..kept].iter().map(|line| said(line)).collect();
        assert_eq!(again, wanted);
    }
}

#[test]
fn what_makes_no_journal_is_refused_with_its_line_and_leaves_nothing() {
    let scratch = tempfile::tempdir().unwrap();
    let market = root().join("tests/golden/stores/market");
    let raw = tool(&["dump", text(&market), "--raw"]).out;
    let lines: Vec<&str> = raw.lines().collect();
    let records = record_lines(&raw);
    let plain = tool(&["dump", text(&market), "-o", "ndjson"]).out;
    let long = format!(
        "{{\"v\":1,\"lsn\":1,\"raw\":{{\"kind\":1,\"tag\":0,\"payload\":\"{}\"}}}}",
        "00".repeat(5_000_000)
    );
    let segment = lines[0];
    let cases: Vec<(String, &str)> = vec![
        (String::new(), "nothing-to-build"),
        ("nonsense".to_owned(), "not-a-line"),
        ("{}".to_owned(), "not-a-line"),
        ("{\"v\":2}".to_owned(), "not-a-line"),
        ("{\"v\":1}".to_owned(), "not-a-line"),
        ("\u{fffd}\u{0}".to_owned(), "not-a-line"),
        (plain, "not-a-line"),
        ([records[0], records[2]].join("\n"), "not-the-next-record"),
        ([records[0], records[0]].join("\n"), "not-the-next-record"),
        (long, "not-buildable"),
        (
            segment.replace("\"first_lsn\":1", "\"first_lsn\":0"),
            "not-buildable",
        ),
        (segment.replace("\"salt\":\"", "\"salt\":\"x"), "not-a-line"),
        (segment.replace("\"boot\":1", "\"boot\":-1"), "not-a-line"),
        ([segment, segment].join("\n"), "not-buildable"),
        (
            r#"{"v":1,"begin_segment":{"seg":1,"bytes":18446744073709551615,"header":null}}"#
                .to_owned(),
            "no-such-file",
        ),
        (
            r#"{"v":1,"begin_group":{"boot":1,"durable_lsn":0}}"#.to_owned(),
            "not-buildable",
        ),
        (
            r#"{"v":1,"page":{"seg":1,"off":0,"hex":"00"}}"#.to_owned(),
            "no-such-page",
        ),
        (
            format!(
                "{segment}\n{}",
                r#"{"v":1,"page":{"seg":1,"off":7,"hex":"00"}}"#
            ),
            "no-such-page",
        ),
        (
            format!(
                "{segment}\n{}",
                r#"{"v":1,"page":{"seg":1,"off":18446744073709547520,"hex":"00"}}"#
            ),
            "no-such-page",
        ),
        (
            format!(
                "{segment}\n{}",
                r#"{"v":1,"page":{"seg":1,"off":0,"hex":"0"}}"#
            ),
            "not-a-line",
        ),
        (
            r#"{"v":1,"file":{"name":"checkpoints/../../x","bytes":1,"off":0,"hex":"00"}}"#
                .to_owned(),
            "no-such-file",
        ),
        (
            r#"{"v":1,"file":{"name":"/etc/passwd","bytes":1,"off":0,"hex":"00"}}"#.to_owned(),
            "no-such-file",
        ),
        (
            r#"{"v":1,"file":{"name":"checkpoints/x","bytes":1,"off":1,"hex":"00"}}"#.to_owned(),
            "no-such-file",
        ),
        (
            format!(
                "{segment}\n{}",
                r#"{"v":1,"begin_group":{"boot":1,"durable_lsn":5}}"#
            ),
            "not-buildable",
        ),
        (
            format!(
                "{segment}\n{}",
                r#"{"v":1,"begin_group":{"boot":1,"durable_lsn":0,"bytes":4095}}"#
            ),
            "not-buildable",
        ),
        (
            format!(
                "{segment}\n{}",
                r#"{"v":1,"begin_group":{"boot":1,"durable_lsn":0,"bytes":4294963200}}"#
            ),
            "not-buildable",
        ),
    ];
    for (input, code) in cases {
        let (path, built) = (scratch.path().join("in"), scratch.path().join("built"));
        fs::write(&path, &input).unwrap();
        let refused = tool(&["build", text(&path), "-o", text(&built)]);
        let shown: String = input.chars().take(200).collect();
        assert_eq!(refused.code, 11, "{shown}: {}{}", refused.out, refused.err);
        assert!(
            refused.err.contains(&format!("error[{code}]")),
            "{shown}: {}",
            refused.err
        );
        fs::remove_file(&path).unwrap();
        let left: Vec<_> = fs::read_dir(scratch.path()).unwrap().collect();
        assert!(left.is_empty(), "{shown} left {left:?}");
    }
    let (path, taken) = (scratch.path().join("in"), scratch.path().join("taken"));
    fs::write(&path, &raw).unwrap();
    fs::create_dir(&taken).unwrap();
    assert_eq!(tool(&["build", text(&path), "-o", text(&taken)]).code, 10);
    assert_eq!(tool(&["build", "no/such/file", "-o", "x"]).code, 8);
}

/// Whatever the lines are, the answer is a refusal or a directory.
#[test]
fn hostile_lines_never_end_in_a_panic() {
    let seed = RealDisk::new().random_u64() >> 16;
    println!("seed {seed}");
    let mut random = Random(seed);
    let market = root().join("tests/golden/stores/market");
    let raw = tool(&["dump", text(&market), "--raw"]).out;
    let scratch = tempfile::tempdir().unwrap();
    for round in 0..40 {
        let mut bytes = raw.clone().into_bytes();
        for _ in 0..1 + random.below(4) {
            let at = random.below(bytes.len() as u64) as usize;
            bytes[at] = b"0123456789abcdef{}[],:\"\n"[random.below(24) as usize];
        }
        let built = scratch.path().join(format!("built-{round}"));
        let mut command = Command::new(env!("CARGO_BIN_EXE_torrens"));
        command.args(["build", "-", "-o", text(&built)]);
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        // It may have had enough before the end.
        let _ = child.stdin.take().unwrap().write_all(&bytes);
        let answer = answer(child.wait_with_output().unwrap());
        assert!([0, 11].contains(&answer.code), "{}", answer.err);
        assert_eq!(built.exists(), answer.code == 0);
        if answer.code == 0 {
            tool(&["verify", text(&built)]);
        }
    }
}

/// Keeps the inspector's view of a built store and the store's own in step.
#[test]
fn a_built_store_has_the_register_of_the_one_that_was_dumped() {
    let scratch = tempfile::tempdir().unwrap();
    let market = root().join("tests/golden/stores/market");
    let (input, built) = (scratch.path().join("in"), scratch.path().join("built"));
    fs::write(&input, tool(&["dump", text(&market), "--raw"]).out).unwrap();
    assert_eq!(tool(&["build", text(&input), "-o", text(&built)]).code, 0);
    let register = |dir: &Path| Inspector::open(dir).unwrap().look(None).unwrap().register;
    assert_eq!(register(&market), register(&built));
    let closed: Closed = super::closed();
    assert_eq!(
        run(closed.path(), "dump", &["--raw", "--keys", "redact"]).code,
        2
    );
    assert_eq!(
        run(closed.path(), "dump", &["--raw", "--region", "1"]).code,
        2
    );
}
