//! The bytes of every kind of record of the history and of every piece of its index, as they were written
//! once and for ever. `TORRENS_REWRITE_GOLDEN=1` writes the files anew; a file that changes means that
//! histories on disk are no longer read as they were written.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says where")]

#[path = "support/hex.rs"]
mod hex;

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use hex::to_hex;
use torrens::codec;
use torrens::observe::*;
use torrens::{ColumnFamily, Derive, Incarnation, KeyRange, RaftPosition, RegionId, WriteBatch};
use torrens_journal::Lsn;

const REGION: RegionId = RegionId(7);
const INCARNATION: Incarnation = Incarnation::new(Lsn::new(97));
const POSITION: RaftPosition = RaftPosition {
    index: 131,
    term: 6,
};

fn golden(name: &str) -> PathBuf {
    let golden = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/history");
    PathBuf::from(golden).join(format!("{name}.hex"))
}

/// The file's bytes, which are those that were just written.
fn kept(name: &str, kind: u16, payload: &[u8]) -> Vec<u8> {
    let text = format!("kind {kind:#06x}\n{}", to_hex(payload));
    if std::env::var_os("TORRENS_REWRITE_GOLDEN").is_some() {
        fs::write(golden(name), &text).unwrap();
    }
    let file = fs::read_to_string(golden(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
    assert_eq!(text, file, "{name} is written otherwise");
    let (_, bytes) = file.split_once('\n').unwrap();
    let byte = |pair| u8::from_str_radix(pair, 16).unwrap();
    bytes.split_whitespace().map(byte).collect()
}

fn range(start: &str, end: Option<&str>) -> KeyRange {
    KeyRange::new(start.as_bytes(), end.map(str::as_bytes)).unwrap()
}

fn lineages() -> Vec<(&'static str, LineageEvent)> {
    let children = vec![
        LineageChild {
            region: RegionId(8),
            is_here: true,
        },
        LineageChild {
            region: RegionId(900),
            is_here: false,
        },
    ];
    let keys = [b"m".as_slice(), b"t"];
    vec![
        (
            "lineage.split",
            LineageEvent::Split {
                version: 4,
                derive: Derive::Left,
                boundaries: keys.map(Into::into).to_vec(),
                children,
            },
        ),
        (
            "lineage.merged",
            LineageEvent::Merged {
                version: 5,
                source: RegionId(8),
                source_incarnation: Incarnation::new(Lsn::new(300)),
            },
        ),
        (
            "lineage.snapshot-applied",
            LineageEvent::SnapshotApplied {
                range: range("a", Some("m")),
                version: 6,
            },
        ),
        ("lineage.destroyed", LineageEvent::Destroyed),
        (
            "lineage.absorbed",
            LineageEvent::Absorbed { into: RegionId(6) },
        ),
        ("lineage.data-gone", LineageEvent::DataGone),
    ]
}

fn pieces() -> Vec<(&'static str, IndexPiece)> {
    let span = Span {
        region: REGION,
        incarnation: INCARNATION,
        base: 100,
        last: POSITION,
        end_index: 132,
        first_lsn: Lsn::new(9),
        last_lsn: Lsn::new(400),
        stride: 16,
        since_mark: 3,
        is_closed: false,
        is_joined: true,
        marks: vec![
            Mark {
                index: 101,
                lsn: Lsn::new(9),
            },
            Mark {
                index: 120,
                lsn: Lsn::new(300),
            },
        ],
    };
    let sample = Sample {
        lsn: Lsn::new(9),
        bytes: 4096,
        wall_clock_micros: 1_700_000_000_000_000,
    };
    vec![
        (
            "item.head",
            IndexPiece::Head {
                last_lsn: Lsn::new(400),
                meta_lsn: Lsn::new(99),
                bytes: 70_000,
                sample_stride: 4096,
            },
        ),
        ("item.sample", IndexPiece::Sample(sample)),
        ("item.span", IndexPiece::Span(span)),
    ]
}

#[test]
fn every_record_and_piece_is_read_and_written_byte_for_byte() {
    let mut names = BTreeSet::new();
    let head = EntryHead {
        region: REGION,
        incarnation: INCARNATION,
        version: 3,
        position: POSITION,
        previous: 130,
        wall_clock_micros: 1_700_000_000_000_000,
    };
    let mut batch = WriteBatch::new();
    batch.delete_range(range("c", Some("d")));
    batch.delete_range_cf(ColumnFamily::LOCK, range("e", None));
    batch.put(b"b".as_slice(), b"one".as_slice());
    batch.delete(b"bb".as_slice());
    batch.put_cf(ColumnFamily::WRITE, b"c".as_slice(), b"".as_slice());
    for (name, part) in [
        ("changes.whole", EntryPart::WHOLE),
        (
            "changes.part",
            EntryPart {
                number: 300,
                is_last: false,
            },
        ),
    ] {
        let mut payload = Vec::new();
        codec::put_head(&mut payload, &head, part);
        codec::put_batch(&mut payload, &batch);
        let bytes = kept(name, codec::KIND_CHANGES, &payload);
        names.insert(format!("{name}.hex"));
        let decoded = codec::decode_history(codec::KIND_CHANGES, &bytes);
        let (record, mut rest) = decoded.unwrap().unwrap();
        assert_eq!(record, HistoryRecord::Changes { head, part });
        let mut read = WriteBatch::new();
        while !rest.is_empty() {
            let change = codec::take_change(&mut rest).unwrap();
            match change.op {
                ChangeOp::Put { key, value } => read.put_cf(change.cf, key, value),
                ChangeOp::Delete { key } => read.delete_cf(change.cf, key),
                ChangeOp::DeleteRange { range } => read.delete_range_cf(change.cf, range),
            };
        }
        assert_eq!(read, batch);
    }
    for (name, event) in lineages() {
        assert!(name.ends_with(event.as_str()), "{name}");
        let lineage = Lineage {
            lsn: Lsn::new(210),
            region: REGION,
            incarnation: INCARNATION,
            position: POSITION,
            data_index: 130,
            event,
            wall_clock_micros: 1_700_000_000_000_000,
        };
        let bytes = kept(name, codec::KIND_LINEAGE, &codec::encode_lineage(&lineage));
        names.insert(format!("{name}.hex"));
        let decoded = codec::decode_history(codec::KIND_LINEAGE, &bytes);
        let (record, rest) = decoded.unwrap().unwrap();
        assert_eq!((record, rest), (HistoryRecord::Lineage(lineage), &[][..]));
    }
    for (name, piece) in pieces() {
        let bytes = kept(name, 0, &codec::encode_piece(&piece));
        names.insert(format!("{name}.hex"));
        assert_eq!(codec::decode_piece(&bytes).unwrap(), piece);
    }
    let files = fs::read_dir(golden("x").parent().unwrap()).unwrap();
    let files = files.map(|file| file.unwrap().file_name().into_string().unwrap());
    assert_eq!(
        files.collect::<BTreeSet<_>>(),
        names,
        "each file is compared"
    );
}

#[test]
fn bytes_that_are_not_what_encoding_writes_are_errors_and_never_a_panic() {
    for name in names() {
        let file = fs::read_to_string(golden(&name)).unwrap();
        let (kind, bytes) = file.split_once('\n').unwrap();
        let kind = u16::from_str_radix(kind.strip_prefix("kind 0x").unwrap(), 16).unwrap();
        let byte = |pair| u8::from_str_radix(pair, 16).unwrap();
        let bytes: Vec<u8> = bytes.split_whitespace().map(byte).collect();
        for at in 0..bytes.len() {
            for flip in [0x01, 0x04, 0x80, 0xff] {
                let mut broken = bytes.clone();
                broken[at] ^= flip;
                look(kind, &broken);
            }
            look(kind, &bytes[..at]);
        }
    }
}

fn names() -> Vec<String> {
    let files = fs::read_dir(golden("x").parent().unwrap()).unwrap();
    let name = |file: fs::DirEntry| file.file_name().into_string().unwrap();
    let names = files.map(|file| name(file.unwrap()).trim_end_matches(".hex").to_owned());
    names.collect()
}

/// Decodes; whatever decodes as a whole encodes to the very same bytes.
fn look(kind: u16, bytes: &[u8]) {
    if kind == 0 {
        if let Ok(piece) = codec::decode_piece(bytes) {
            assert_eq!(codec::encode_piece(&piece), bytes);
        }
        return;
    }
    let Ok(Some((record, mut rest))) = codec::decode_history(kind, bytes) else {
        return;
    };
    if let HistoryRecord::Lineage(lineage) = &record {
        assert_eq!(codec::encode_lineage(lineage), bytes);
    }
    while !rest.is_empty() && codec::take_change(&mut rest).is_ok() {}
}
