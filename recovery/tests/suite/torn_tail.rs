//! Torn tails: cut, kept aside, reported; and records that only the page cache held.

use std::path::PathBuf;
use std::sync::Arc;

use torrens_journal::disk::{Disk, OpenMode};
use torrens_journal::testing::{CutChoice, SimDisk, SimFault};
use torrens_recovery::facts::WitnessKind;
use torrens_recovery::{RecoveryOptions, Verdict, WalkOptions, recover, walk};

use crate::host::{Host, check, contents, copy, directories, look, options, segment, try_recover};
use crate::odd::{OddDisk, Oddity};
use crate::tally::Tally;

/// A store with three acknowledged values of one page each, left without closing.
fn three_values() -> SimDisk {
    let disk = SimDisk::new(1);
    let mut host = Host::create(&disk).expect("nothing fails");
    for _ in 0..3 {
        host.put(100).expect("nothing fails");
    }
    host.vanish();
    copy(&disk)
}

/// Where the three values of [`three_values`] end.
const END: u64 = 8192 + 3 * 4096;

#[test]
fn torn_tail_is_cut_kept_aside_and_reported() {
    let disk = three_values();
    let scraps = b"half of a group";
    disk.corrupt(&segment(1), END, scraps)
        .expect("the segment is there");
    disk.corrupt(&segment(1), END + 4096 + 17, b"!")
        .expect("the segment is there");

    let found = look(&disk);
    assert_eq!(found.report.verdict.exit_code(), 3);
    assert_eq!(found.machine.values.len(), 3);

    let recovered = try_recover(&disk).expect("a torn tail opens");
    let report = &recovered.report;
    let Verdict::TornTail(torn) = &report.verdict else {
        panic!("{}", report.verdict.name())
    };
    assert_eq!(
        (torn.position.offset_bytes, torn.position.expected.get()),
        (END, 4)
    );
    let cut = report.cut.clone().expect("something was cut");
    assert_eq!(cut.bytes, 2 * 4096);
    let name = format!("{:020}-{END:016x}-1.bin", 1);
    assert_eq!(cut.kept, directories().journal.join("cut").join(name));
    let kept = disk.contents(&cut.kept).expect("it is kept");
    assert_eq!(kept.len(), 8192);
    assert!(kept.starts_with(scraps) && kept[4096 + 17] == b'!');
    assert_eq!(recovered.machine.values.len(), 3);

    let text = report.to_string();
    for line in [
        "verdict   torn-tail",
        "stop      segment 1, offset 0x5000",
        "cut       8192 bytes",
    ] {
        assert!(text.contains(line), "{line:?} is missing in:\n{text}");
    }

    // The next time there is nothing left to cut, and what was kept stays.
    drop(recovered);
    let again = try_recover(&disk).expect("it was repaired");
    assert_eq!(again.report.verdict.name(), "clean");
    assert_eq!(disk.contents(&cut.kept), Some(kept));
}

#[test]
fn what_is_kept_of_cuts_is_bounded_and_the_oldest_goes_first() {
    let disk = three_values();
    let dir = directories().journal.join("cut");
    disk.create_dir_all(&dir).expect("there is room");
    // Forty earlier ones of the first boot, in the order of their numbers.
    let name = |number: u32| format!("{:020}-{:016x}-1-{number}.bin", 1, END);
    for number in 2..42 {
        let file = disk
            .open(&dir.join(name(number)), OpenMode::CreateNew)
            .expect("there is room");
        file.write_all_at(0, b"cut").expect("there is room");
        file.sync_data().expect("nothing fails");
    }
    disk.sync_dir(&dir).expect("nothing fails");
    disk.corrupt(&segment(1), END, b"half of a group")
        .expect("the segment is there");
    let recovered = try_recover(&disk).expect("a torn tail opens");
    let cut = recovered.report.cut.clone().expect("something was cut");
    let mut kept: Vec<String> = disk
        .list(&dir)
        .expect("it is there")
        .into_iter()
        .map(|entry| entry.name)
        .collect();
    kept.sort();
    let newest = cut
        .kept
        .file_name()
        .expect("a file")
        .to_string_lossy()
        .into_owned();
    let mut expected: Vec<String> = (11..42).map(name).chain([newest]).collect();
    expected.sort();
    assert_eq!(kept, expected);
}

#[test]
fn an_earlier_copy_of_the_cut_is_never_replaced() {
    let disk = three_values();
    disk.corrupt(&segment(1), END, b"first")
        .expect("the segment is there");
    // Die on the first store into the segment after the copy was kept.
    let mut kept = Vec::new();
    for number in 1.. {
        let crashed = copy(&disk);
        crashed.fail_at(number, SimFault::DiesMidway);
        let done = try_recover(&crashed).map(|recovered| std::mem::forget(recovered.journal));
        let after = crashed.power_cut(CutChoice::LoseAll);
        let recovered = try_recover(&after).expect("a torn tail opens");
        let files = contents(&after);
        let cuts: Vec<(PathBuf, Vec<u8>)> = files
            .into_iter()
            .filter(|(path, _)| path.ends_with_bin())
            .collect();
        let whole = |bytes: &Vec<u8>| bytes.starts_with(b"first") && bytes.len() == 4096;
        assert!(
            cuts.iter().any(|(_, bytes)| whole(bytes)),
            "operation {number}: {cuts:?}"
        );
        kept.push(cuts.len());
        drop(recovered);
        if done.is_ok() {
            break;
        }
    }
    assert!(
        kept.contains(&2),
        "some crash came between keeping and cutting: {kept:?}"
    );
}

trait EndsWithBin {
    fn ends_with_bin(&self) -> bool;
}

impl EndsWithBin for PathBuf {
    fn ends_with_bin(&self) -> bool {
        self.extension().is_some_and(|extension| extension == "bin")
    }
}

#[test]
fn groups_behind_a_hole_are_cut_with_it_and_never_come_back() {
    // Three unsynced groups of one page; the power cut keeps the last and loses the first.
    let mut met = 0;
    for seed in 0..200 {
        let disk = SimDisk::new(2);
        let mut host =
            Host::create_with(&disk, options().group_bytes_max(4096)).expect("nothing fails");
        host.put(10).expect("nothing fails");
        for _ in 0..4 {
            host.append(3000).expect("nothing fails");
        }
        let memory = host.vanish();
        let disk = disk.power_cut(CutChoice::Seeded(seed));
        let found = look(&disk);
        let Verdict::TornTail(torn) = &found.report.verdict else {
            continue;
        };
        if torn.later_groups == 0 {
            continue;
        }
        met += 1;
        let mut host = Host::open(&disk).expect("a torn tail opens");
        check(&host.machine, &memory, "hole");
        let before = host.machine.values.len();
        host.put(20).expect("nothing fails");
        host.vanish();
        let again = try_recover(&disk.process_kill()).expect("it was repaired");
        assert_eq!(again.machine.values.len(), before + 1, "seed {seed}");
    }
    assert!(met > 0, "some seed leaves a hole with a group behind it");
}

#[test]
fn what_only_the_page_cache_held_after_a_failed_sync_is_durable_before_it_is_exposed() {
    let mut exposed = 0;
    for number in 1..60 {
        let disk = SimDisk::new(3);
        disk.fail_at(number, SimFault::SyncLies);
        let Ok(mut host) = Host::create(&disk) else {
            continue;
        };
        let _ = host.put(100).and_then(|()| host.put(100));
        let memory = host.vanish();
        let live = disk.process_kill();
        let recovered = try_recover(&live).expect("a torn tail or a clean end");
        check(&recovered.machine, &memory, "after a failed sync");
        exposed += recovered.machine.values.len();
        std::mem::forget(recovered.journal);
        let cut = try_recover(&live.power_cut(CutChoice::LoseAll)).expect("nothing is lost");
        assert_eq!(
            cut.machine, recovered.machine,
            "sync failed at operation {number}"
        );
    }
    assert!(exposed > 0);
}

#[test]
fn a_cache_that_will_not_be_dropped_does_not_keep_what_is_exposed_from_the_device() {
    let mut phantoms = 0;
    for number in 1..60 {
        let disk = SimDisk::new(3);
        disk.fail_at(number, SimFault::SyncLies);
        let Ok(mut host) = Host::create(&disk) else {
            continue;
        };
        let _ = host.put(100).and_then(|()| host.put(100));
        host.vanish();
        let live = disk.process_kill();
        let on_device = look(&live.power_cut(CutChoice::LoseAll))
            .machine
            .values
            .len();
        let sticky = Arc::new(OddDisk(live.clone(), Oddity::StickyCache));
        let options = RecoveryOptions::new(options());
        let recovered = recover(sticky, &directories(), Tally::default(), options);
        let recovered = recovered.expect("a torn tail or a clean end");
        phantoms += recovered.machine.values.len() - on_device;
        std::mem::forget(recovered.journal);
        let cut = try_recover(&live.power_cut(CutChoice::LoseAll)).expect("nothing is lost");
        assert_eq!(
            cut.machine, recovered.machine,
            "sync failed at operation {number}"
        );
    }
    assert!(phantoms > 0, "some record was in the cache alone");
}

#[test]
fn an_accepted_record_without_a_witness_is_counted_and_written_again() {
    let disk = three_values();
    let recovered = try_recover(&disk).expect("a clean end opens");
    let report = &recovered.report;
    // The third group carries LSN 2 as durable; nothing carries 3.
    assert_eq!(report.witness.map(|witness| witness.lsn.get()), Some(2));
    assert_eq!(
        report.witness.map(|witness| witness.kind),
        Some(WitnessKind::Group)
    );
    assert_eq!((report.window.records, report.window.bytes), (1, 4096));
    assert_eq!((report.groups_rewritten, report.decided), (1, false));

    drop(recovered); // closes in order
    let closed = try_recover(&disk).expect("a clean end opens");
    assert!(closed.report.decided, "{}", closed.report);
    assert_eq!(
        (closed.report.window.records, closed.report.groups_rewritten),
        (0, 0)
    );
    assert_eq!(closed.report.boot.map(|boot| boot.get()), Some(3));
}

#[test]
fn on_a_live_directory_unsynced_bytes_are_in_flight_and_looking_changes_nothing() {
    let disk = SimDisk::new(4);
    let mut host =
        Host::create_with(&disk, options().group_bytes_max(4096)).expect("nothing fails");
    host.put(10).expect("nothing fails");
    for _ in 0..3 {
        host.append(3000).expect("nothing fails");
    }
    disk.corrupt(
        &segment(1),
        8192 + 4096 + 30,
        b"torn by the reader's moment",
    )
    .expect("there");
    let before = (contents(&disk), disk.ops());
    let mut seen = Vec::new();
    let report = walk(&disk, &directories(), WalkOptions::new(true), &mut |item| {
        seen.push(format!("{item:?}"));
        std::ops::ControlFlow::Continue(())
    });
    let report = report.expect("there is a journal");
    assert_eq!(report.verdict.name(), "clean", "{report}");
    assert_eq!(seen.len(), 1, "{seen:?}");
    assert_eq!((contents(&disk), disk.ops()), before);
    assert!(disk.list(&directories().journal).is_ok());
    host.vanish();
}

#[test]
fn every_step_of_a_repair_is_durable_before_the_next_begins() {
    let disk = three_values();
    disk.corrupt(&segment(1), END, b"scraps")
        .expect("the segment is there");
    let before = disk.ops();
    let recovered = try_recover(&disk).expect("a torn tail opens");
    std::mem::forget(recovered.journal);
    let steps: Vec<String> = disk
        .op_log()
        .iter()
        .filter(|op| op.number > before)
        .map(|op| {
            let name = op
                .path
                .file_name()
                .map(|name| name.to_string_lossy().into_owned());
            let name = name.unwrap_or_default();
            let file = match name.rsplit_once('.') {
                Some((_, ending)) => ending.to_owned(),
                None => name,
            };
            format!("{} {file}", op.name)
        })
        // Directories above and tidying up are the disk's own affair.
        .filter(|step| !["create_dir cut", "remove new"].contains(&step.as_str()))
        .filter(|step| step == "sync_dir cut" || !step.starts_with("sync_dir"))
        .collect();
    let expected = [
        "sync seg",
        "sync mark",
        "create new",
        "write new",
        "sync new",
        "rename new",
        "sync_dir cut",
        "write_zeros seg",
        "sync seg",
        "write seg",
        "sync seg",
        // From here on it is the journal's: its first group and a mark.
        "store seg",
        "sync seg",
        "write mark",
        "sync mark",
    ];
    assert_eq!(steps, expected);
}
