//! Files and streams that are not what they should be: each a typed fault, none a panic, and
//! nothing kept.

use super::super::frame::{
    CHUNK_HEADER_BYTES, ChunkHeader, Counts, HEADER_BYTES, ROW_HEADER_BYTES, header,
};
use super::*;

/// Decodes `bytes` in the three ways there are, which must agree; nothing may stay behind.
fn fault_of(bytes: &[u8]) -> Option<SnapshotFault> {
    let direct = check_bytes(bytes)
        .and_then(|found| found.check_name(name()))
        .err();

    let disk = new_disk();
    put(&disk, &name().to_string(), bytes);
    let reader = SnapshotReader::open(&disk, dir(), name());
    let read = match reader.and_then(|reader| reader.verify().map(drop)) {
        Ok(()) => None,
        Err(SnapshotError::Fault { source, .. }) => Some(source),
        Err(error) => panic!("{error:?}"),
    };
    let disk = new_disk();
    let received = match receive(Arc::new(disk.clone()), dir(), name(), bytes, 1 << 30) {
        Ok(_) => None,
        Err(SnapshotError::Fault { source, .. }) => {
            assert!(names(&disk).is_empty(), "{:?}", names(&disk));
            Some(source)
        }
        Err(error) => panic!("{error:?}"),
    };
    assert_eq!(read, received);
    assert_eq!(direct, read);
    read
}

/// A file built by hand: chunks as (rows declared, payload), everything else in order.
fn file(chunks: &[(u32, Vec<u8>)]) -> Vec<u8> {
    let rows = chunks.iter().map(|(rows, _)| u64::from(*rows)).sum();
    let payload_bytes = chunks.iter().map(|(_, payload)| payload.len() as u64).sum();
    let counts = Counts {
        chunks: chunks.len() as u32,
        rows,
        payload_bytes,
    };
    file_with(chunks, counts)
}

fn file_with(chunks: &[(u32, Vec<u8>)], counts: Counts) -> Vec<u8> {
    let (mut bytes, salt) = header(&meta().encode());
    for (number, (rows, payload)) in chunks.iter().enumerate() {
        bytes.extend(ChunkHeader::of(salt, number as u32, *rows, payload).encode());
        bytes.extend(payload);
    }
    bytes.extend(counts.encode());
    seal(bytes)
}

fn seal(mut bytes: Vec<u8>) -> Vec<u8> {
    let checksum = crc32fast::hash(&bytes);
    bytes.extend(checksum.to_le_bytes());
    bytes
}

fn row(cf: u8, key: &[u8], value: &[u8]) -> Vec<u8> {
    let lengths = [key.len() as u32, value.len() as u32].map(u32::to_le_bytes);
    [&[cf][..], &lengths[0], &lengths[1], key, value].concat()
}

#[test]
fn every_flipped_byte_and_every_cut_is_found() {
    let good = small();
    assert_eq!(fault_of(&good), None);
    for at in 0..good.len() {
        for flip in [0x01, 0x80, 0xff] {
            let mut bad = good.clone();
            bad[at] ^= flip;
            assert!(fault_of(&bad).is_some(), "byte {at} with {flip:#04x}");
        }
        match fault_of(&good[..at]) {
            Some(SnapshotFault::Truncated { .. }) => {}
            other => panic!("cut at {at}: {other:?}"),
        }
    }
    let longer = [&good[..], &[0]].concat();
    let offset = good.len() as u64;
    assert_eq!(
        fault_of(&longer),
        Some(SnapshotFault::TrailingBytes { offset })
    );
}

#[test]
fn the_files_built_by_hand_are_those_that_the_writer_makes() {
    let rows: Vec<u8> = SMALL
        .iter()
        .flat_map(|(cf, key, value)| row(*cf, key, value))
        .collect();
    assert_eq!(file(&[(3, rows)]), small());
}

#[test]
fn rows_out_of_order_twice_or_outside_are_refused_wherever_they_lie() {
    let two = |a: Vec<u8>, b: Vec<u8>| {
        let in_one_chunk = fault_of(&file(&[(2, [&a[..], &b[..]].concat())]));
        assert_eq!(in_one_chunk, fault_of(&file(&[(1, a), (1, b)])));
        in_one_chunk.unwrap()
    };
    let out_of_order = SnapshotFault::OutOfOrder { row: 1 };
    assert_eq!(two(row(0, b"d", b""), row(0, b"c", b"")), out_of_order);
    assert_eq!(two(row(0, b"c", b"1"), row(0, b"c", b"2")), out_of_order);
    assert_eq!(
        two(row(1, b"c", b""), row(0, b"d", b"")),
        out_of_order,
        "families in order too"
    );
    for outside in ["", "a", "y"] {
        let (first, second) = (row(0, b"c", b""), row(1, outside.as_bytes(), b""));
        assert!(matches!(
            two(first, second),
            SnapshotFault::KeyOutside { row: 1, .. }
        ));
    }
}

#[test]
fn lengths_are_checked_before_they_are_believed() {
    let mut huge_header = small();
    huge_header[12..16].copy_from_slice(&u32::MAX.to_le_bytes());
    let too_long = fault_of(&huge_header);
    assert!(
        matches!(
            too_long,
            Some(SnapshotFault::TooLong { what: "header", .. })
        ),
        "{too_long:?}"
    );

    let (header, salt) = header(&meta().encode());
    for (rows, payload_bytes) in [
        (1, u32::MAX),
        (2, CHUNK_PAYLOAD_BYTES_MAX as u32 + 1),
        (1, ROW_BYTES_MAX as u32 + 1),
    ] {
        let mut chunk = ChunkHeader::of(salt, 0, rows, &[]);
        chunk.payload_bytes = payload_bytes;
        let fault = fault_of(&[&header[..], &chunk.encode()].concat());
        let Some(SnapshotFault::TooLong {
            what: "a chunk",
            declared,
            ..
        }) = fault
        else {
            panic!("{fault:?}")
        };
        assert_eq!(declared, u64::from(payload_bytes));
    }
    let mut chunk = ChunkHeader::of(salt, 0, 1, &[]);
    chunk.payload_bytes = ROW_BYTES_MAX as u32;
    match fault_of(&[&header[..], &chunk.encode()].concat()) {
        Some(SnapshotFault::Truncated {
            inside: "a chunk", ..
        }) => {}
        other => panic!("{other:?}"),
    }

    let lies = |at: usize, length: u32| {
        let mut payload = row(0, b"c", b"value");
        payload[at..at + 4].copy_from_slice(&length.to_le_bytes());
        match fault_of(&file(&[(1, payload)])) {
            Some(SnapshotFault::BadChunk { chunk: 0, what, .. }) => what,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(lies(1, u32::MAX), "a row's key is too long");
    assert_eq!(lies(5, u32::MAX), "a row's value is too long");
    assert_eq!(lies(1, 7), "it ends inside a row");
    assert_eq!(lies(5, 6), "it ends inside a row");
    assert_eq!(lies(5, 4), "bytes follow its last row");
    match fault_of(&file(&[(2, row(0, b"c", b""))])) {
        Some(SnapshotFault::BadChunk {
            what: "it ends inside a row's header",
            ..
        }) => {}
        other => panic!("{other:?}"),
    }
}

#[test]
fn chunks_that_are_empty_moved_or_of_another_snapshot_are_refused() {
    match fault_of(&file(&[(0, vec![])])) {
        Some(SnapshotFault::BadChunk {
            what: "it has no rows",
            ..
        }) => {}
        other => panic!("{other:?}"),
    }
    let (header_bytes, salt) = header(&meta().encode());
    let one = row(0, b"c", b"");
    for (number, salt, expected) in [
        (1, salt, "its number is not the next one"),
        (0, salt ^ 1, ""),
    ] {
        let chunk = ChunkHeader::of(salt, number, 1, &one).encode();
        let counts = Counts {
            chunks: 1,
            rows: 1,
            payload_bytes: one.len() as u64,
        };
        let bytes = [&header_bytes[..], &chunk, &one, &counts.encode()].concat();
        match fault_of(&seal(bytes)) {
            Some(SnapshotFault::BadChunk { what, .. }) => assert_eq!(what, expected),
            Some(SnapshotFault::Checksum {
                what: "a chunk",
                offset,
                ..
            }) => {
                assert_eq!((expected, offset), ("", header_bytes.len() as u64));
            }
            other => panic!("{other:?}"),
        }
    }
    let mut unknown = small();
    let first_chunk = header_bytes.len();
    unknown[first_chunk..first_chunk + 4].copy_from_slice(b"JUNK");
    let offset = first_chunk as u64;
    assert_eq!(
        fault_of(&unknown),
        Some(SnapshotFault::UnknownFrame { offset })
    );
}

#[test]
fn a_trailer_that_counts_wrong_is_refused() {
    let one = row(0, b"c", b"");
    let good = Counts {
        chunks: 1,
        rows: 1,
        payload_bytes: one.len() as u64,
    };
    for (what, counts) in [
        ("chunks", Counts { chunks: 2, ..good }),
        ("rows", Counts { rows: 0, ..good }),
        (
            "payload bytes",
            Counts {
                payload_bytes: 0,
                ..good
            },
        ),
    ] {
        match fault_of(&file_with(&[(1, one.clone())], counts)) {
            Some(SnapshotFault::Count { what: found, .. }) => assert_eq!(found, what),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_header_is_only_believed_when_every_field_is() {
    let with_meta = |meta: &[u8]| {
        let (header, _) = header(meta);
        fault_of(&seal([&header[..], &Counts::default().encode()].concat()))
    };
    let good = meta().encode();
    assert_eq!(with_meta(&good), None);
    let change = |at: usize, bytes: &[u8]| {
        let mut meta = good.clone();
        meta[at..at + bytes.len()].copy_from_slice(bytes);
        with_meta(&meta).unwrap()
    };
    let bad = |field| SnapshotFault::BadHeader { field };
    // After six numbers: start "b" (5 bytes), end tag, end "y" (5 bytes), peer count, peers.
    assert_eq!(change(48, &[0xff; 4]), bad("range start"));
    assert_eq!(change(53, &[9]), bad("range end"));
    assert_eq!(
        change(58, b"a"),
        bad("range"),
        "the end lies below the start"
    );
    assert_eq!(change(59, &[0xff; 4]), bad("peers"));
    assert_eq!(change(79, &[9]), bad("peer role"));
    assert!(
        matches!(change(63, &[0; 8]), SnapshotFault::BadRegion(_)),
        "peer id 0"
    );
    assert!(
        matches!(change(0, &[0; 8]), SnapshotFault::BadRegion(_)),
        "region id 0"
    );
    let cut = with_meta(&good[..good.len() - 1]).unwrap();
    assert!(matches!(cut, SnapshotFault::BadHeader { .. }), "{cut:?}");
    assert_eq!(with_meta(&[&good[..], &[0]].concat()), Some(bad("length")));
    for (at, field) in [(0, "region"), (24, "index"), (32, "term")] {
        let fault = change(at, &8_u64.to_le_bytes());
        assert!(
            matches!(fault, SnapshotFault::NameMismatch { .. }),
            "{field}: {fault:?}"
        );
    }
    let mut file = small();
    file[8] = 2;
    assert_eq!(
        fault_of(&file),
        Some(SnapshotFault::Unsupported {
            found: 2,
            supported: 1
        })
    );
    file[8] = 0;
    assert_eq!(fault_of(&file), Some(bad("format")));
    assert_eq!(
        fault_of(b"PK\x03\x04 and thirty bytes of something else"),
        Some(SnapshotFault::NotASnapshot)
    );
    assert_eq!(
        HEADER_BYTES + CHUNK_HEADER_BYTES + ROW_HEADER_BYTES,
        49,
        "the documented sizes"
    );
}

#[test]
fn a_stream_longer_than_allowed_is_cut_off() {
    struct Endless(u64);
    impl Read for Endless {
        fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
            buffer.fill(b'x');
            self.0 += buffer.len() as u64;
            assert!(self.0 < 1 << 20, "it was not cut off");
            Ok(buffer.len())
        }
    }
    let good = small();
    for max in [0, 10, good.len() as u64 - 1] {
        let disk = new_disk();
        match receive(Arc::new(disk.clone()), dir(), name(), &good[..], max) {
            Err(SnapshotError::Fault {
                source: SnapshotFault::TooLong { what, .. },
                ..
            }) => {
                assert_eq!(what, "the stream");
            }
            other => panic!("{max}: {other:?}"),
        }
        assert!(names(&disk).is_empty());
    }
    let disk = new_disk();
    let endless = (&good[..]).chain(Endless(0));
    match receive(Arc::new(disk), dir(), name(), endless, 100_000) {
        Err(SnapshotError::Fault {
            source: SnapshotFault::TrailingBytes { .. },
            ..
        }) => {}
        other => panic!("{other:?}"),
    }
}

#[test]
fn no_random_bytes_are_a_snapshot() {
    let seed = 0x5eed_0006;
    let mut random = Seeded(seed);
    let good = small();
    for _ in 0..2000 {
        let mut bytes = good.clone();
        for _ in 0..1 + random.below(8) {
            let at = random.below(bytes.len() as u64) as usize;
            match random.below(4) {
                0 => bytes[at] = random.next() as u8,
                1 => drop(bytes.remove(at)),
                2 => bytes.insert(at, random.next() as u8),
                _ => {
                    let from = random.below(bytes.len() as u64) as usize;
                    let length = (bytes.len() - at.max(from)).min(8);
                    bytes.copy_within(from..from + length, at);
                }
            }
        }
        assert!(
            bytes == good || fault_of(&bytes).is_some(),
            "seed {seed:#x}"
        );
    }
}
