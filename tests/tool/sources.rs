//! Journals that lie in no store's directory as a writer left them: packed by zstd, a segment's file, a
//! stream. And threads that verify.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use ruzstd::encoding::{CompressionLevel, compress_to_vec};
use serde_json::Value;

use super::fixture::{Answer, Closed, Store, answer, contents, run, torrens};

/// A store of several segments.
fn many_segments() -> Closed {
    let mut store = Store::with_segments_of(64 * 1024);
    store.history();
    for region in 0..60 {
        store.message_peer(1_000 + region);
    }
    store.checkpoint();
    let closed = store.close();
    assert!(
        segments(closed.path()).len() > 2,
        "it is all in one segment"
    );
    closed
}

fn segments(dir: &Path) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = fs::read_dir(dir.join("journal"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|end| end == "seg"))
        .collect();
    found.sort();
    found
}

fn packed(bytes: &[u8]) -> Vec<u8> {
    compress_to_vec(bytes, CompressionLevel::Fastest)
}

/// Packs every file of the journal and the checkpoints.
fn pack(dir: &Path) {
    for part in ["journal", "checkpoints"] {
        for entry in fs::read_dir(dir.join(part)).unwrap() {
            let path = entry.unwrap().path();
            let mut to = path.clone().into_os_string();
            to.push(".zst");
            fs::write(to, packed(&fs::read(&path).unwrap())).unwrap();
            fs::remove_file(path).unwrap();
        }
    }
}

/// Runs the tool on bytes of standard input.
fn piped(verb: &str, args: &[&str], bytes: &[u8]) -> Answer {
    let mut command = torrens(Path::new("-"), verb);
    let mut child = command
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    let bytes = bytes.to_vec();
    let writer = std::thread::spawn(move || {
        // It may have seen enough before the end.
        let _ = input.write_all(&bytes);
    });
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    answer(output)
}

#[test]
fn a_packed_store_reads_as_it_did_before_and_is_left_as_it_is() {
    let store = many_segments();
    let looks: [(&str, &[&str]); 7] = [
        ("dump", &["-o", "ndjson"]),
        ("verify", &["-o", "json"]),
        ("state", &["--at", "4", "-o", "ndjson"]),
        ("why", &["--region", "102", "-o", "json"]),
        ("timeline", &["-o", "ndjson"]),
        ("show", &["3", "-o", "json"]),
        ("dump", &["--raw"]),
    ];
    let look = |(verb, args): &(&str, &[&str])| {
        let answer = run(store.path(), verb, args);
        (answer.code, answer.out, answer.err)
    };
    let before: Vec<_> = looks.iter().map(look).collect();
    pack(store.path());
    assert!(segments(store.path()).is_empty());
    let bytes = contents(store.path());
    let after: Vec<_> = looks.iter().map(look).collect();
    for ((look, before), after) in looks.iter().zip(before).zip(after) {
        assert_eq!(before, after, "{look:?}");
    }
    assert_eq!(contents(store.path()), bytes);
}

#[test]
fn a_segment_that_cannot_be_unpacked_is_unreadable() {
    let store = many_segments();
    let plain = run(store.path(), "dump", &["-o", "ndjson"]).out;
    pack(store.path());
    let path = store.path().join("journal/00000000000000000002.seg.zst");
    let whole = fs::read(&path).unwrap();
    for (what, bytes) in [
        ("cut", &whole[..whole.len() / 2]),
        ("no zstd", b"\x28\xb5\x2f\xfdnothing".as_slice()),
    ] {
        fs::write(&path, bytes).unwrap();
        let answer = run(store.path(), "verify", &["-q"]);
        assert_eq!(answer.code, 8, "{what}: {}{}", answer.out, answer.err);
        assert!(answer.out.contains("unreadable"), "{what}: {}", answer.out);
    }
    // A damaged one, wherever it is: never a panic, and never taken for whole.
    let seed: u64 = 7;
    println!("seed {seed}");
    for step in 0..40_u64 {
        let mut bytes = whole.clone();
        let at = (seed.wrapping_mul(2_654_435_761) + step * 7_919) as usize % bytes.len();
        bytes[at] ^= 1 << (step % 8);
        fs::write(&path, &bytes).unwrap();
        let answer = run(store.path(), "verify", &["-q"]);
        assert!(
            [0, 4, 5, 8].contains(&answer.code),
            "bit {} of byte {at}: {}",
            step % 8,
            answer.out
        );
        if answer.code == 0 {
            // Nothing lies behind the last group of a segment, and a bit there says nothing.
            let shown = run(store.path(), "dump", &["-o", "ndjson"]).out;
            assert_eq!(shown, plain, "bit {} of byte {at}", step % 8);
        }
    }
}

#[test]
fn a_stream_of_segments_dumps_as_their_directory_does() {
    let store = many_segments();
    let expected = run(store.path(), "dump", &["-o", "ndjson"]).out;
    let parts: Vec<Vec<u8>> = segments(store.path())
        .iter()
        .map(|path| fs::read(path).unwrap())
        .collect();
    let plain = parts.concat();
    let frames: Vec<u8> = parts.iter().flat_map(|part| packed(part)).collect();
    for (what, bytes) in [
        ("plain", &plain),
        ("packed in one", &packed(&plain)),
        ("packed one by one", &frames),
    ] {
        let answer = piped("dump", &["-o", "ndjson"], bytes);
        assert_eq!((answer.code, answer.err.as_str()), (0, ""), "{what}");
        // What the mark file says is not in the stream.
        let durable = |text: &str| text.replace("\"durable\":false", "\"durable\":true");
        assert_eq!(durable(&answer.out), durable(&expected), "{what}");
        let answer = piped("verify", &["-q"], bytes);
        assert_eq!(answer.code, 0, "{what}: {}", answer.out);
    }
    let answer = piped("state", &["-o", "ndjson"], &plain);
    assert_eq!(answer.code, 0, "{}", answer.err);
    let of_store = run(store.path(), "state", &["-o", "ndjson"]);
    assert_eq!(answer.out, of_store.out);
}

#[test]
fn a_segment_alone_begins_where_it_begins() {
    let store = many_segments();
    let paths = segments(store.path());
    let all = run(store.path(), "dump", &["-o", "ndjson"]).out;
    let mut shown = String::new();
    for path in &paths {
        let answer = run(path, "dump", &["-o", "ndjson"]);
        assert_eq!((answer.code, answer.err.as_str()), (0, ""), "{path:?}");
        shown += &answer.out;
        let answer = run(path, "verify", &["-q"]);
        assert_eq!(answer.code, 0, "{path:?}: {}", answer.out);
    }
    let lsns = |text: &str| -> Vec<u64> {
        let line = |line: &str| serde_json::from_str::<Value>(line).unwrap();
        text.lines()
            .map(|text| line(text)["lsn"].as_u64().unwrap())
            .collect()
    };
    assert_eq!(lsns(&shown), lsns(&all));
    // What rests on earlier records cannot be told, and that is said.
    let answer = run(&paths[1], "state", &[]);
    assert_eq!(answer.code, 8, "{}", answer.out);
    assert!(
        answer.err.starts_with("torrens: error[only-a-part]"),
        "{}",
        answer.err
    );
    let answer = run(&paths[1], "timeline", &[]);
    assert_eq!(
        (answer.code, answer.out.as_str()),
        (8, ""),
        "{}",
        answer.err
    );
    // Nor is a part taken for a store.
    let answer = run(&paths[1], "simulate", &["--at", "last"]);
    assert_eq!(answer.code, 8);
    assert!(answer.err.contains("error[only-a-part]"), "{}", answer.err);
    // A folder of segments and nothing else.
    let folder = tempfile::tempdir().unwrap();
    for path in &paths[1..] {
        fs::copy(path, folder.path().join(path.file_name().unwrap())).unwrap();
    }
    let answer = run(folder.path(), "dump", &["-o", "ndjson"]);
    assert_eq!((answer.code, answer.err.as_str()), (0, ""));
    // Damage in a part is damage.
    let mut bytes = fs::read(&paths[1]).unwrap();
    bytes[3 * 4096 + 100] ^= 1;
    let answer = piped("verify", &["-q"], &bytes);
    assert!(
        [4, 5].contains(&answer.code),
        "{}: {}",
        answer.code,
        answer.out
    );
}

#[test]
fn what_is_no_segment_is_named_so() {
    let folder = tempfile::tempdir().unwrap();
    let twice = [fs::read(&segments(many_segments().path())[0]).unwrap(); 1];
    let twice = [twice[0].clone(), twice[0].clone()].concat();
    for (what, bytes) in [
        ("empty", Vec::new()),
        ("a picture", b"\x89PNG\r\n".to_vec()),
        ("a packed letter", packed(b"dear")),
        ("one byte", vec![0x28]),
        ("twice", twice),
    ] {
        let answer = piped("dump", &[], &bytes);
        assert_eq!(answer.code, 8, "{what}: {}", answer.err);
        assert!(
            answer.err.starts_with("torrens: error[no-segment]: -"),
            "{what}: {}",
            answer.err
        );
        let file = folder.path().join("file");
        fs::write(&file, &bytes).unwrap();
        let answer = run(&file, "info", &[]);
        assert_eq!(answer.code, 8, "{what}: {}", answer.err);
        assert!(
            answer.err.contains("error[no-segment]"),
            "{what}: {}",
            answer.err
        );
    }
}

#[test]
fn threads_change_nothing_but_the_time() {
    let store = many_segments();
    let expected = run(store.path(), "verify", &["-o", "json"]);
    for threads in ["0", "1", "3", "64"] {
        let answer = run(
            store.path(),
            "verify",
            &["-o", "json", "--threads", threads],
        );
        assert_eq!(
            (answer.code, answer.out),
            (expected.code, expected.out.clone()),
            "{threads}"
        );
        let answer = run(store.path(), "dump", &["--threads", threads]);
        assert_eq!(answer.out, run(store.path(), "dump", &[]).out, "{threads}");
    }
}
