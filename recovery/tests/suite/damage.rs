//! Damage of every sort to a small directory: the exact history comes back, or a typed verdict, and
//! never a shorter history below the witness.

use torrens_journal::disk::Disk;
use torrens_journal::testing::SimDisk;
use torrens_recovery::{Cause, CorruptKind, RecoveryError, Verdict};

use crate::host::{Host, contents, copy, first_life, look, segment, try_recover};
use crate::tally::Tally;

const SEED: u64 = 11;

/// A directory after a life, closed in order or not.
fn store(closed: bool) -> (SimDisk, Tally) {
    let disk = SimDisk::new(SEED);
    let mut host = Host::create(&disk).expect("nothing fails");
    first_life(&mut host).expect("nothing fails");
    for _ in 0..8 {
        host.put(3000).expect("nothing fails");
    }
    let whole = host.machine.clone();
    if closed {
        host.journal.close().expect("nothing fails");
    }
    host.vanish();
    (copy(&disk), whole)
}

/// Recovers a damaged copy. `floor` is the position that something undamaged may still witness.
fn judge(disk: &SimDisk, whole: &Tally, floor: u64, context: &dyn Fn() -> String) -> &'static str {
    let before = contents(disk);
    match try_recover(disk) {
        Ok(recovered) => {
            let found = &recovered.machine;
            assert!(
                whole.values.starts_with(&found.values),
                "{}: other values",
                context()
            );
            assert!(
                found.position >= floor,
                "{}: LSN {} of {floor} is left\n{}",
                context(),
                found.position,
                recovered.report
            );
            recovered.report.verdict.name()
        }
        Err(RecoveryError::Refused { report }) => {
            assert!(
                contents(disk) == before,
                "{}: a refusal changed something",
                context()
            );
            assert!(report.verdict.exit_code() >= 4, "{}", context());
            report.verdict.name()
        }
        Err(error) => panic!("{}: {error:?}", context()),
    }
}

/// Damages every file of a store at many places by `damage` (which gets the bytes there).
fn damage_everywhere(closed: bool, step: u64, width: u64, damage: fn(u64, &mut [u8])) {
    let (disk, whole) = store(closed);
    // Closed in order, four marks and every group speak for the last record. Otherwise the last
    // record alone is not witnessed.
    let floor = if closed {
        whole.position
    } else {
        whole.position - 1
    };
    let mut met = std::collections::BTreeMap::new();
    for path in disk.files() {
        let bytes = disk.contents(&path).expect("listed");
        for (number, at) in (0..bytes.len() as u64).step_by(step as usize).enumerate() {
            let end = (at + width).min(bytes.len() as u64);
            let mut there = bytes[at as usize..end as usize].to_vec();
            damage(number as u64, &mut there);
            if there == bytes[at as usize..end as usize] {
                continue;
            }
            let damaged = copy(&disk);
            damaged.corrupt(&path, at, &there).expect("listed");
            let context = || format!("{} at {at:#x}", path.display());
            *met.entry(judge(&damaged, &whole, floor, &context))
                .or_insert(0) += 1;
        }
    }
    assert!(met.len() >= 2, "the damage met several verdicts: {met:?}");
}

#[test]
fn every_zeroed_sector_gives_the_exact_history_or_a_verdict() {
    damage_everywhere(true, 512, 512, |_, bytes| bytes.fill(0));
    damage_everywhere(false, 512, 512, |_, bytes| bytes.fill(0));
}

#[test]
fn every_flipped_bit_gives_the_exact_history_or_a_verdict() {
    // One bit of every 61st byte, another one each time.
    damage_everywhere(true, 61, 1, |number, bytes| bytes[0] ^= 1 << (number % 8));
}

#[test]
fn a_segment_that_is_missing_short_swapped_or_doubled_is_corrupt() {
    let (disk, whole) = store(true);
    let segments: Vec<_> = disk
        .files()
        .into_iter()
        .filter(|path| path.extension().is_some_and(|e| e == "seg"))
        .collect();
    assert!(segments.len() >= 3, "{segments:?}");
    for path in &segments {
        let removed = copy(&disk);
        removed.remove(path).expect("listed");
        let covered = *path == segments[0];
        let name = judge(&removed, &whole, whole.position, &|| {
            format!("{} removed", path.display())
        });
        // The newest checkpoint may cover the very first; any other is missed.
        assert!(
            covered || name.starts_with("corrupt"),
            "{} removed: {name}",
            path.display()
        );

        let short = copy(&disk);
        let file = short
            .open(path, torrens_journal::disk::OpenMode::Write)
            .and_then(|file| file.set_len(3 * 4096 + 100).map(|()| file));
        file.and_then(|file| file.sync_data()).expect("listed");
        let name = judge(&short, &whole, whole.position, &|| {
            format!("{} short", path.display())
        });
        assert!(
            name.starts_with("corrupt"),
            "{} short: {name}",
            path.display()
        );

        for other in segments.iter().filter(|other| *other != path) {
            let exchanged = copy(&disk);
            let bytes = disk.contents(other).expect("listed");
            exchanged.corrupt(path, 0, &bytes).expect("listed");
            let context = || format!("{} over {}", other.display(), path.display());
            let name = judge(&exchanged, &whole, whole.position, &context);
            assert!(name.starts_with("corrupt"), "{}: {name}", context());
        }
    }
    for path in &segments {
        disk.remove(path).expect("listed");
    }
    assert_eq!(
        judge(&disk, &whole, 1, &|| "none left".to_owned()),
        "corrupt-acked-loss"
    );
}

#[test]
fn a_group_of_another_place_does_not_verify() {
    let (disk, whole) = store(true);
    let path = disk
        .files()
        .into_iter()
        .rfind(|path| path.extension().is_some_and(|e| e == "seg"))
        .expect("there are segments");
    let bytes = disk.contents(&path).expect("listed");
    for from in 2..7usize {
        for to in (2..7usize).filter(|to| *to != from) {
            let moved = copy(&disk);
            let page = &bytes[from * 4096..(from + 1) * 4096];
            moved
                .corrupt(&path, to as u64 * 4096, page)
                .expect("listed");
            judge(&moved, &whole, whole.position, &|| {
                format!("page {from} over page {to}")
            });
        }
    }
}

#[test]
fn loss_below_the_witness_is_told_apart_by_what_follows_it() {
    let disk = SimDisk::new(SEED);
    let mut host = Host::create(&disk).expect("nothing fails");
    for _ in 0..4 {
        host.put(100).expect("nothing fails");
    }
    host.vanish();
    let disk = copy(&disk);
    let damaged = |page: u64| {
        let damaged = copy(&disk);
        damaged
            .corrupt(&segment(1), 8192 + page * 4096, &[0; 4096])
            .expect("there");
        match look(&damaged).report.verdict {
            Verdict::Corrupt(corruption) => Ok(corruption),
            other => Err(other.exit_code()),
        }
    };
    // Group 4 carries LSN 3 as durable, so 1 to 3 are witnessed; nothing carries 4.
    for page in 0..3 {
        let corruption = damaged(page).expect("it was witnessed");
        assert_eq!(corruption.kind, CorruptKind::MidLog);
        assert_eq!(corruption.records_after, 3 - page);
        assert_eq!(corruption.position.expected.get(), page + 1);
        assert!(matches!(corruption.cause, Cause::Group(_)));
        assert_eq!(corruption.witness.map(|witness| witness.lsn.get()), Some(3));
    }
    assert_eq!(damaged(3).expect_err("it was never witnessed"), 0);

    // A mark is a witness that needs no later group.
    let recovered = try_recover(&disk).expect("it opens");
    recovered.journal.close().expect("it closes");
    drop(recovered);
    let lost = copy(&disk);
    lost.corrupt(&segment(1), 8192 + 3 * 4096, &[0; 2 * 4096])
        .expect("there");
    let Verdict::Corrupt(corruption) = look(&lost).report.verdict else {
        panic!("witnessed")
    };
    assert_eq!(
        (corruption.kind, corruption.position.expected.get()),
        (CorruptKind::AckedLoss, 4)
    );
}

#[test]
fn the_loss_of_the_last_segment_is_noticed_by_the_mark_alone() {
    let (disk, whole) = store(true);
    let path = disk
        .files()
        .into_iter()
        .rfind(|path| path.extension().is_some_and(|e| e == "seg"))
        .expect("there are segments");
    disk.remove(&path).expect("listed");
    let name = judge(&disk, &whole, whole.position, &|| {
        "last segment removed".to_owned()
    });
    assert_eq!(name, "corrupt-acked-loss");
}
