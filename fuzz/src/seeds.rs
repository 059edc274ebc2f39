//! The corpus that is in the repository, made by hand: whole inputs of every kind, from which a fuzzer starts; and
//! its dictionary.
//!
//! `cargo run -p torrens-fuzz --example seeds` writes it, and `tests/corpus.rs` holds that it writes what is committed.
//! What a fuzzer found is in `found/`, beside `corpus/`.

mod dictionary;
mod lived;
mod structures;
mod tool;

use std::collections::BTreeMap;
use std::error::Error;

use crate::must_fail;

pub use structures::strings;

/// The words of the language and of the formats, as libFuzzer reads them (`-dict`).
pub fn dictionary() -> String {
    dictionary::dictionary()
}

/// Every committed input, by its path below `corpus`.
///
/// # Errors
/// Whatever a store on a simulated disk has to complain about: nothing.
pub fn inputs() -> Result<BTreeMap<String, Vec<u8>>, Box<dyn Error>> {
    let mut inputs = BTreeMap::new();
    let mut put = |target: &str, name: &str, bytes: &[u8]| {
        inputs.insert(format!("{target}/{name}"), bytes.to_vec());
    };
    let part =
        |bytes: &[u8], from: usize, to: usize| bytes.get(from..to).unwrap_or_default().to_vec();
    let groups = lived::groups()?;
    put("segment", "three_groups", &groups);
    put(
        "segment",
        "torn_in_the_second",
        &part(&groups, 0, 4096 + 100),
    );
    let hole = [
        part(&groups, 0, 4096),
        vec![0; 4096],
        part(&groups, 8192, groups.len()),
    ];
    put("segment", "hole_before_the_third", &hole.concat());
    put("group", "one_record", &part(&groups, 0, 4096));
    put("group", "two_records", &part(&groups, 4096, 8192));
    put("group", "two_pages", &part(&groups, 8192, 16384));
    put(
        "group",
        "records_and_no_change",
        &strings([b"".as_slice(), b"one", b"two", &[7; 300]]),
    );
    put(
        "group",
        "records_and_a_change",
        &strings([[96, 0, 1].as_slice(), b"one", b"two"]),
    );

    let disk = lived::lived()?;
    let history = lived::history(&disk)?;
    for (name, record) in lived::records(&history) {
        put("record", &name, &record);
    }
    put(
        "record",
        "a_whole_history",
        &strings(history.iter().map(Vec::as_slice)),
    );
    let backwards = history.iter().rev().map(Vec::as_slice);
    put("record", "a_history_backwards", &strings(backwards));

    let whole = lived::file(&disk, "ckpt")?;
    put("checkpoint", "whole", &whole);
    put("checkpoint", "cut", &part(&whole, 0, whole.len() / 2));
    put("checkpoint", "empty", &[]);
    let items = lived::items(&disk)?;
    put(
        "checkpoint",
        "items",
        &strings(items.iter().map(Vec::as_slice)),
    );

    let whole = lived::file(&disk, "snap")?;
    put("snapshot", "whole", &whole);
    put("snapshot", "cut", &part(&whole, 0, whole.len() / 2));
    put("snapshot", "empty", &[]);
    put(
        "snapshot",
        "parts",
        &snapshot_parts(&whole).ok_or("a snapshot that is no snapshot")?,
    );

    for (name, input) in structures::journals() {
        put("journal", name, &input);
    }
    for (name, input) in structures::histories() {
        put("history", &name, &input);
    }
    for (name, text) in SCENARIOS {
        put("scenario", name, text.as_bytes());
    }
    for (name, input) in tool::inputs() {
        put("tool", name, &input);
    }
    for fault in must_fail::FAULTS {
        let input = [must_fail::WAY.as_slice(), &[fault]].concat();
        put(
            "must_fail",
            char::from(fault).encode_utf8(&mut [0; 4]),
            &input,
        );
    }
    Ok(inputs)
}

/// Header and chunks of a snapshot file, as the target `snapshot` puts them together again.
fn snapshot_parts(file: &[u8]) -> Option<Vec<u8>> {
    const HEADER_BYTES: usize = 20;
    const CHUNK_HEADER_BYTES: usize = 20;
    let number = |at: usize| -> Option<usize> {
        let bytes = file.get(at..at + 4)?.first_chunk::<4>()?;
        usize::try_from(u32::from_le_bytes(*bytes)).ok()
    };
    let mut at = HEADER_BYTES + number(12)?;
    let mut parts = vec![file.get(HEADER_BYTES..at)?.to_vec()];
    while file.get(at..at + 4)? == b"CHNK" {
        let payload = at + CHUNK_HEADER_BYTES;
        let end = payload + number(at + 8)?;
        parts.push([file.get(at + 12..at + 16)?, file.get(payload..end)?].concat());
        at = end;
    }
    Some(strings(parts.iter().map(Vec::as_slice)))
}

/// Texts of the scenario language; `fuzz/run` starts from every scenario of the project beside these.
const SCENARIOS: [(&str, &str); 4] = [
    (
        "split_and_crash",
        "# A comment.\nopen\n----\ncreated\n\nbootstrap r1 peers=p10@s1,p11@s2\n----\n\nwrite r1 at=6 put=b:1 put=q:2\n----\n\nsplit r1 at=7 boundary=f child=r2:p20@s1,p21@s2\n----\n\ncrash power\n----\n\nopen\n----\n\ncheck\n----\nok\n",
    ),
    (
        "no_command_of_that_name",
        "open\n----\n\nbut what=is this\n----\n",
    ),
    (
        "quoted",
        "open\n----\n\nbootstrap r1 peers=p10@s1\n----\n\nwrite r1 at=6 put=\"\\x00\":\"\\xff\"\n----\n",
    ),
    ("no_end", "open\n---"),
];
