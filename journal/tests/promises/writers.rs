//! Two writers, one format: each is the other's twin.

use std::path::Path;
use std::sync::Arc;

use torrens_journal::disk::{Disk, RealDisk, RealDiskOptions, SyncChoice};
use torrens_journal::testing::{CutChoice, SimDisk};
use torrens_journal::{
    Durability, Journal, Lsn, NewRecord, SegmentReader, WriterChoice, WriterKind, list,
};

use crate::support::{KIND, STORE, dir, payload, reopen, small, walk};

const BOTH: [WriterChoice; 2] = [WriterChoice::Mapped, WriterChoice::Direct];

/// Groups of all sizes, rotations, marks, a purge, a crash, a second boot, a close.
fn history(seed: u64, choices: [WriterChoice; 2]) -> SimDisk {
    let disk = SimDisk::new(seed);
    let options = small().group_bytes_max(8192);
    let first = options.writer(choices[0]);
    let journal = Journal::create(Arc::new(disk.clone()), &dir(), STORE, first).unwrap();
    work(&journal, seed, 60);
    let last = journal.appended();
    let after = disk.power_cut(CutChoice::LoseAll);
    std::mem::forget(journal);
    let second = reopen(&after, options.writer(choices[1]));
    assert_eq!(second.appended(), last);
    work(&second, seed + 1, 60);
    second.close().unwrap();
    after
}

/// Ends with everything durable, so that what a crash keeps is the same for both.
fn work(journal: &Journal, seed: u64, steps: u64) {
    for step in 1..=steps {
        let size = (step * 397 + seed * 31) % 9000;
        let bytes = payload(step, size as usize);
        match step % 7 {
            0 => drop(journal.append(KIND, 1, &bytes).unwrap()),
            3 => {
                let (kind, tag) = (KIND, 2);
                let payload = &bytes[..bytes.len() / 2];
                let both = [NewRecord { kind, tag, payload }; 2];
                journal.commit(&both, Durability::Witnessed).unwrap();
            }
            5 => journal.write_mark().unwrap(),
            _ => {
                journal.append(KIND, 1, &bytes).unwrap();
                journal.sync().unwrap();
            }
        }
        if step == 40 {
            journal.purge_below(Lsn::new(20)).unwrap();
        }
    }
    journal.sync().unwrap();
}

fn files(disk: &SimDisk) -> Vec<(String, Vec<u8>)> {
    let mut files: Vec<_> = disk
        .list(&dir())
        .unwrap()
        .into_iter()
        .map(|entry| {
            let bytes = disk.contents(&dir().join(&entry.name)).unwrap();
            (entry.name, bytes)
        })
        .collect();
    files.sort();
    files
}

#[test]
fn both_writers_leave_the_same_bytes() {
    for seed in 1..=6 {
        let mapped = files(&history(seed, [WriterChoice::Mapped; 2]));
        assert!(mapped.len() > 4, "{}", mapped.len());
        for choices in [
            [WriterChoice::Direct; 2],
            [WriterChoice::Mapped, WriterChoice::Direct],
            [WriterChoice::Direct, WriterChoice::Mapped],
        ] {
            let other = files(&history(seed, choices));
            let names = |files: &[(String, Vec<u8>)]| -> Vec<String> {
                files.iter().map(|(name, _)| name.clone()).collect()
            };
            assert_eq!(names(&other), names(&mapped), "seed {seed}, {choices:?}");
            for ((name, mapped), (_, other)) in mapped.iter().zip(&other) {
                // A segment that was reopened for its map was warmed with zeros that were there.
                assert!(mapped == other, "seed {seed}, {choices:?}, {name}");
            }
        }
    }
}

#[test]
fn a_real_directory_goes_from_one_writer_to_the_other_and_back() {
    let temporary = tempfile::tempdir().unwrap();
    let path = temporary.path().join("journal");
    for sync in [SyncChoice::Fdatasync, SyncChoice::Auto] {
        let options = RealDiskOptions {
            sync,
            ..RealDiskOptions::default()
        };
        let disk: Arc<dyn Disk> = Arc::new(RealDisk::with(options).unwrap());
        let _ = std::fs::remove_dir_all(&path);
        let journal = Journal::create(
            Arc::clone(&disk),
            &path,
            STORE,
            small().writer(WriterChoice::Direct),
        )
        .unwrap();
        assert_eq!(journal.writer_path().kind, WriterKind::Direct);
        fill(&journal, 1);
        journal.close().unwrap();
        let mut expected = 200;
        for (round, choice) in [(2, BOTH[0]), (3, BOTH[1]), (4, BOTH[0])] {
            let tail = real_tail(&*disk, &path, expected);
            let options = small().writer(choice).syncs_in_flight(round);
            let journal = Journal::resume(Arc::clone(&disk), &path, STORE, tail, options).unwrap();
            fill(&journal, round as u64);
            journal.close().unwrap();
            expected += 200;
        }
        real_tail(&*disk, &path, expected);
    }
}

/// Two hundred records from eight threads.
fn fill(journal: &Journal, round: u64) {
    std::thread::scope(|scope| {
        for thread in 0..8 {
            scope.spawn(move || {
                for number in 0..25 {
                    let bytes = payload(round * 1000 + thread * 25 + number, 300);
                    let lsn = journal.append(KIND, 0, &bytes).unwrap();
                    journal.wait_durable(lsn).unwrap();
                }
            });
        }
    });
}

/// The tail of a real directory that was closed in order and holds `records`.
fn real_tail(disk: &dyn Disk, path: &Path, records: u64) -> torrens_journal::Tail {
    let listing = list(disk, path).unwrap();
    assert!(listing.unfinished.is_empty(), "{listing:?}");
    let mut tail = None;
    let mut next = Lsn::FIRST;
    for entry in &listing.segments {
        let mut reader = SegmentReader::open(disk, path, entry.id, Some(STORE)).unwrap();
        let header = *reader.header().unwrap();
        assert_eq!(header.first_lsn, next);
        let mut found = torrens_journal::Tail {
            segment: entry.id,
            end_offset_bytes: 8192,
            last_lsn: header
                .predecessor
                .map_or(Lsn::ZERO, |before| before.last_lsn),
            chain: header.first_chain(),
            group_number: 0,
            sealed: false,
            boot: header.boot,
        };
        for group in reader.tail_scan(0) {
            let group = group.unwrap();
            assert_eq!(group.header.first_lsn, next);
            next = group.header.last_lsn().next().unwrap();
            found.end_offset_bytes = group.offset_bytes + u64::from(group.header.padded_bytes);
            found.last_lsn = group.header.last_lsn();
            found.chain = group.header.crc;
            found.group_number = group.header.number;
            found.sealed = group.header.is_seal();
            found.boot = found.boot.max(group.header.boot);
        }
        tail = Some(found);
    }
    let tail = tail.unwrap();
    assert_eq!(tail.last_lsn, Lsn::new(records));
    tail
}

#[test]
fn a_direct_writer_holds_back_what_nobody_waits_for_and_loses_only_that() {
    let disk = SimDisk::new(3);
    let options = small().writer(WriterChoice::Direct);
    let journal = Journal::create(Arc::new(disk.clone()), &dir(), STORE, options).unwrap();
    let lsn = journal.append(KIND, 0, &payload(1, 100)).unwrap();
    journal.wait_durable(lsn).unwrap();
    journal.append(KIND, 0, &payload(2, 100)).unwrap();
    for cut in [CutChoice::LoseAll, CutChoice::KeepAll] {
        assert_eq!(walk(&disk.power_cut(cut)).payloads, [payload(1, 100)]);
    }
    std::mem::forget(journal);
}

#[test]
fn the_choice_is_reported_with_its_reason() {
    let temporary = tempfile::tempdir().unwrap();
    let open = |disk: Arc<dyn Disk>, path: &Path, choice| {
        let options = small().writer(choice);
        let journal = Journal::create(disk, path, STORE, options).unwrap();
        journal.writer_path().clone()
    };
    // The simulated disk has no way around a page cache.
    for (choice, kind, has_reason) in [
        (WriterChoice::Auto, WriterKind::Mapped, true),
        (WriterChoice::Mapped, WriterKind::Mapped, false),
        (WriterChoice::Direct, WriterKind::Direct, true),
    ] {
        let path = open(Arc::new(SimDisk::new(1)), &dir(), choice);
        assert_eq!(
            (path.kind, path.fallback_reason.is_some()),
            (kind, has_reason)
        );
    }
    let disk: Arc<dyn Disk> = Arc::new(RealDisk::new());
    let direct = open(
        disk.clone(),
        &temporary.path().join("a"),
        WriterChoice::Direct,
    );
    let auto = open(disk, &temporary.path().join("b"), WriterChoice::Auto);
    let can = direct.fallback_reason.is_none();
    assert_eq!(auto.kind == WriterKind::Direct, can, "{auto:?}");
}
