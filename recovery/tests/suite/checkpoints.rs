//! Checkpoints: complete or not counted, verified as a whole, two generations deep.

use std::path::Path;

use torrens_journal::disk::Disk;
use torrens_journal::testing::{CutChoice, SimDisk, SimFault};
use torrens_journal::{Boot, Lsn, StoreUuid};
use torrens_recovery::checkpoint::{
    self, BLOCK_BYTES_MAX, CheckpointError, CheckpointFault, ITEM_BYTES_MAX, Meta,
};
use torrens_recovery::{Cause, StateMachine, Verdict};

use crate::host::{Host, STORE, copy, directories, look, try_recover};
use crate::tally::Tally;

const DIR: &str = "/ckpt";

fn meta(lsn: u64) -> Meta {
    Meta::new(STORE, Lsn::new(lsn), Boot::FIRST)
}

/// A state whose items are short, empty apart from their letter, and longer than a block.
fn state(position: u64) -> Tally {
    let lengths = [0, 1, 3, BLOCK_BYTES_MAX - 30, 2 * BLOCK_BYTES_MAX + 5, 7];
    let values = lengths
        .iter()
        .map(|bytes| vec![position as u8; *bytes])
        .collect();
    Tally {
        position,
        values,
        open: [(3, 1), (9, 2)].into(),
    }
}

fn small(position: u64) -> Tally {
    Tally {
        position,
        values: vec![vec![7; 50]; 3],
        open: [(3, 1)].into(),
    }
}

fn write(disk: &SimDisk, lsn: u64, machine: &Tally) {
    checkpoint::write(disk, Path::new(DIR), &meta(lsn), machine).expect("it is written");
}

fn load(disk: &SimDisk, lsn: u64) -> Result<Tally, CheckpointError> {
    let mut machine = Tally::default();
    checkpoint::load(
        disk,
        Path::new(DIR),
        Some(STORE),
        Lsn::new(lsn),
        &mut machine,
    )?;
    Ok(machine)
}

fn fault(disk: &SimDisk, lsn: u64) -> CheckpointFault {
    match load(disk, lsn) {
        Err(CheckpointError::Invalid { fault, .. }) => fault,
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_was_saved_is_loaded_also_across_blocks() {
    let disk = SimDisk::new(41);
    for (lsn, machine) in [(9, state(9)), (10, Tally::default())] {
        write(&disk, lsn, &machine);
        let after = disk.power_cut(CutChoice::LoseAll);
        assert_eq!(load(&after, lsn).expect("it is durable"), machine);
    }
    let listed = checkpoint::list(&disk, Path::new(DIR)).expect("it can be listed");
    assert_eq!(
        listed.iter().map(|file| file.lsn.get()).collect::<Vec<_>>(),
        [10, 9]
    );
}

#[test]
fn no_length_and_no_flipped_bit_of_a_checkpoint_is_accepted() {
    let disk = SimDisk::new(42);
    write(&disk, 9, &small(9));
    let path = checkpoint::list(&disk, Path::new(DIR)).expect("listed")[0]
        .path
        .clone();
    let bytes = disk.contents(&path).expect("there");
    for length in (0..bytes.len()).step_by(7).chain([bytes.len() - 1]) {
        let short = copy(&disk);
        let file = short
            .open(&path, torrens_journal::disk::OpenMode::Write)
            .expect("there");
        file.set_len(length as u64).expect("nothing fails");
        drop(file);
        fault(&short, 9);
    }
    let long = copy(&disk);
    let file = long
        .open(&path, torrens_journal::disk::OpenMode::Write)
        .expect("there");
    file.write_all_at(bytes.len() as u64, b"more")
        .expect("nothing fails");
    assert_eq!(
        fault(&long, 9),
        CheckpointFault::Overlong { extra_bytes: 4 }
    );
    // Every byte of what is not header padding, one bit each, another one each time.
    for at in (0..96).chain(4096..bytes.len()) {
        let flipped = copy(&disk);
        let bit = 1 << (at % 8);
        flipped
            .corrupt(&path, at as u64, &[bytes[at] ^ bit])
            .expect("there");
        fault(&flipped, 9);
    }
}

#[test]
fn a_checkpoint_under_another_name_or_of_another_store_is_not_taken() {
    let disk = SimDisk::new(43);
    write(&disk, 9, &small(9));
    let path = checkpoint::list(&disk, Path::new(DIR)).expect("listed")[0]
        .path
        .clone();
    disk.rename(&path, &path.with_file_name(format!("{:020}.ckpt", 8)))
        .expect("there");
    assert!(matches!(fault(&disk, 8), CheckpointFault::Misnamed { .. }));

    write(&disk, 9, &small(9));
    let other = StoreUuid([1; 16]);
    let mut machine = Tally::default();
    let loaded = checkpoint::load(
        &disk,
        Path::new(DIR),
        Some(other),
        Lsn::new(9),
        &mut machine,
    );
    let Err(CheckpointError::Invalid { fault, .. }) = loaded else {
        panic!("{loaded:?}")
    };
    assert_eq!(
        fault,
        CheckpointFault::Foreign {
            expected: other,
            found: STORE
        }
    );
    assert_eq!(machine, Tally::default());
}

#[test]
fn a_crash_at_any_operation_of_writing_leaves_the_old_one_and_at_most_a_whole_new_one() {
    for number in 1.. {
        for fault in [SimFault::Dies, SimFault::DiesMidway] {
            let disk = SimDisk::new(44);
            write(&disk, 5, &state(5));
            disk.fail_at(disk.ops() + number, fault);
            let written = checkpoint::write(&disk, Path::new(DIR), &meta(6), &state(6));
            for choice in [
                CutChoice::LoseAll,
                CutChoice::KeepAll,
                CutChoice::Seeded(number),
            ] {
                let after = disk.power_cut(choice.clone());
                assert_eq!(load(&after, 5).expect("the old one stays"), state(5));
                let newest = checkpoint::list(&after, Path::new(DIR)).expect("listed")[0].clone();
                if newest.lsn.get() == 6 {
                    assert_eq!(load(&after, 6).expect("{choice:?}"), state(6));
                } else {
                    assert!(written.is_err(), "a written one is durable");
                }
                write(&after, 7, &state(7));
            }
            if written.is_ok() {
                return;
            }
        }
    }
}

#[test]
fn an_error_while_writing_leaves_no_unfinished_file_and_the_next_attempt_works() {
    struct TooLong;
    impl StateMachine for TooLong {
        type Record = ();
        type Item = ();
        type Error = std::convert::Infallible;
        fn decode(_: torrens_journal::RecordKind, _: &[u8]) -> Result<Option<()>, Self::Error> {
            Ok(None)
        }
        fn apply(&mut self, _: Lsn, (): &()) -> Result<(), Self::Error> {
            Ok(())
        }
        fn save(
            &self,
            sink: &mut dyn FnMut(&[u8]) -> Result<(), CheckpointError>,
        ) -> Result<(), CheckpointError> {
            sink(&vec![0; ITEM_BYTES_MAX + 1])
        }
        fn decode_item(_: &[u8]) -> Result<(), Self::Error> {
            Ok(())
        }
        fn load(&mut self, (): ()) -> Result<(), Self::Error> {
            Ok(())
        }
    }
    let disk = SimDisk::new(45);
    let too_long = checkpoint::write(&disk, Path::new(DIR), &meta(1), &TooLong);
    assert!(
        matches!(too_long, Err(CheckpointError::ItemTooLong { .. })),
        "{too_long:?}"
    );
    assert_eq!(disk.files(), Vec::<std::path::PathBuf>::new());

    disk.set_capacity(8192);
    let full = checkpoint::write(&disk, Path::new(DIR), &meta(1), &state(1));
    assert!(matches!(full, Err(CheckpointError::Io { .. })), "{full:?}");
    assert_eq!(disk.used_bytes(), 0);
    disk.set_capacity(None);
    write(&disk, 1, &state(1));
}

#[test]
fn pruning_keeps_the_newest_valid_ones_and_says_what_may_be_purged() {
    let disk = SimDisk::new(46);
    for lsn in [3, 5, 7, 9] {
        write(&disk, lsn, &small(lsn));
    }
    let dir = Path::new(DIR);
    let newest = checkpoint::list(&disk, dir).expect("listed")[0]
        .path
        .clone();
    disk.corrupt(&newest, 4100, &[0xff; 4]).expect("there");
    let pruned = checkpoint::prune(&disk, dir, Some(STORE), 2).expect("nothing fails");
    let kept: Vec<u64> = pruned.kept.iter().map(|info| info.meta.lsn.get()).collect();
    assert_eq!(kept, [7, 5]);
    assert_eq!((pruned.removed.len(), pruned.purge_below.get()), (1, 6));
    let after = disk.power_cut(CutChoice::LoseAll);
    assert!(
        load(&after, 3).is_err(),
        "the removal is durable before a purge relies on it"
    );

    let few = checkpoint::prune(&disk, dir, Some(STORE), 3).expect("nothing fails");
    assert_eq!((few.removed.len(), few.purge_below), (0, Lsn::ZERO));
}

/// A store with checkpoints at 6 and 12 of 14 values; what the older one covers is purged or not.
fn two_generations(purged: bool) -> SimDisk {
    let disk = SimDisk::new(47);
    let mut host = Host::create(&disk).expect("nothing fails");
    for number in 1..=14 {
        host.put(100).expect("nothing fails");
        if number == 6 || number == 12 {
            host.checkpoint(2).expect("nothing fails");
        }
    }
    if purged {
        host.journal
            .purge_below(Lsn::new(13))
            .expect("nothing fails");
    }
    host.vanish();
    copy(&disk)
}

fn damage_newest(disk: &SimDisk) {
    let listed = checkpoint::list(disk, &directories().checkpoints).expect("listed");
    assert_eq!(listed[0].lsn.get(), 12);
    disk.corrupt(&listed[0].path, 4110, &[0xff; 4])
        .expect("there");
}

#[test]
fn a_damaged_newest_checkpoint_falls_back_to_the_older_one_and_says_so() {
    let disk = two_generations(false);
    let used = look(&disk).report;
    assert_eq!(
        used.checkpoint
            .map(|used| (used.lsn.get(), used.generation)),
        Some((12, 0))
    );
    assert_eq!(used.records_replayed, 2);

    damage_newest(&disk);
    let recovered = try_recover(&disk).expect("the journal covers from the older one on");
    assert_eq!(recovered.machine.values.len(), 14);
    let report = &recovered.report;
    let used = report.checkpoint.clone().expect("the older one");
    assert_eq!(
        (used.lsn.get(), used.generation, report.records_replayed),
        (6, 1, 8)
    );
    assert!(
        report
            .notes
            .iter()
            .any(|note| note.contains("not a valid checkpoint")),
        "{report}"
    );
}

#[test]
fn a_journal_that_begins_behind_the_only_valid_checkpoint_is_corrupt() {
    let disk = two_generations(true);
    assert_eq!(look(&disk).report.verdict.exit_code(), 0);
    damage_newest(&disk);
    let Verdict::Corrupt(corruption) = look(&disk).report.verdict else {
        panic!("uncovered")
    };
    let Cause::Uncovered {
        first_lsn,
        checkpoint,
    } = corruption.cause
    else {
        panic!("{corruption:?}")
    };
    assert_eq!((first_lsn.get(), checkpoint.map(Lsn::get)), (11, Some(6)));
    assert!(try_recover(&disk).is_err());
}

#[test]
fn a_checkpoint_witnesses_records_that_the_journal_has_lost() {
    let disk = two_generations(false);
    let last = disk
        .files()
        .into_iter()
        .rfind(|path| path.extension().is_some_and(|e| e == "seg"))
        .expect("there are segments");
    disk.corrupt(&last, 8192, &[0; 24 * 1024]).expect("there");
    // The mark of the start says nothing about these; the checkpoint at 12 does.
    let report = look(&disk).report;
    let Verdict::Corrupt(corruption) = &report.verdict else {
        panic!("{report}")
    };
    assert_eq!(
        corruption.witness.map(|witness| witness.lsn.get()),
        Some(12)
    );
}
