//! Repair: plans lose what they say and no more, can be taken back byte for byte, and a crash at any
//! of their operations leaves a directory that waits to be resumed or undone.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::PathBuf;

use torrens_journal::Lsn;
use torrens_journal::disk::{Disk, OpenMode};
use torrens_journal::testing::{CutChoice, SimDisk, SimFault};
use torrens_recovery::repair::{
    self, Choice, REPAIR_RECORD, RepairError, RepairPlan, RepairRecord, RepairState,
};
use torrens_recovery::{Item, RecoveryError, WalkOptions, walk};

use crate::host::{Host, contents, copy, directories, look, segment, try_recover};
use crate::tally::{Tally, UNKNOWN};

/// What somebody does to a plan by hand.
type Edit = fn(&mut RepairPlan);

const SEED: u64 = 404;

/// Segments 1 to 4 or more, a checkpoint in the third, an older one in the first; nothing purged.
fn store() -> (SimDisk, Tally) {
    let disk = SimDisk::new(SEED);
    let mut host = Host::create(&disk).expect("nothing fails");
    for number in 0..16 {
        host.put(2500).expect("nothing fails");
        if [2, 9].contains(&number) {
            host.checkpoint(9).expect("nothing fails");
        }
    }
    host.journal.close().expect("it closes");
    let whole = host.machine.clone();
    drop(host);
    assert!(disk.files().contains(&segment(4)), "{:?}", disk.files());
    (copy(&disk), whole)
}

fn zero(disk: &SimDisk, id: u64, at: u64, bytes: usize) {
    disk.corrupt(&segment(id), at, &vec![0; bytes])
        .expect("there");
}

fn remove(disk: &SimDisk, path: PathBuf) {
    disk.remove(&path).expect("there");
    disk.sync_dir(path.parent().expect("in a directory"))
        .expect("there");
}

fn checkpoints(disk: &SimDisk) -> Vec<PathBuf> {
    let files = disk.files().into_iter();
    files
        .filter(|path| path.extension().is_some_and(|e| e == "ckpt"))
        .collect()
}

fn segments(disk: &SimDisk) -> Vec<PathBuf> {
    let files = disk.files().into_iter();
    files
        .filter(|path| path.extension().is_some_and(|e| e == "seg"))
        .collect()
}

/// Every sort of damage, the way that is chosen, and how many records are lost at the end.
fn cases() -> Vec<(&'static str, SimDisk, Choice, u64)> {
    let (disk, _) = store();
    let damaged = |damage: &dyn Fn(&SimDisk)| {
        let damaged = copy(&disk);
        damage(&damaged);
        damaged
    };
    let last = segments(&disk).len() as u64;
    vec![
        (
            "history that a checkpoint covers",
            damaged(&|disk| zero(disk, 1, 8192, 4096)),
            Choice::DropDamagedHistory,
            0,
        ),
        (
            "a missing segment that a checkpoint covers",
            damaged(&|disk| remove(disk, segment(2))),
            Choice::DropDamagedHistory,
            0,
        ),
        (
            "a group of the segment before the last",
            damaged(&|disk| zero(disk, last - 1, 8192 + 4096, 512)),
            Choice::CutAtDamage,
            16 - found_end(&disk, last - 1, 1),
        ),
        (
            "both headers of the last segment",
            damaged(&|disk| zero(disk, last, 0, 8192)),
            Choice::CutAtDamage,
            16 - found_end(&disk, last, 0),
        ),
        (
            "the last segment is gone",
            damaged(&|disk| remove(disk, segment(last))),
            Choice::CutAtDamage,
            16 - found_end(&disk, last, 0),
        ),
        (
            "the last segment is short",
            damaged(&|disk| {
                let file = disk.open(&segment(last), OpenMode::Write).expect("there");
                file.set_len(8192 + 100).expect("it shrinks");
                file.sync_data().expect("it syncs");
            }),
            Choice::CutAtDamage,
            16 - found_end(&disk, last, 0),
        ),
        (
            "every segment is gone",
            damaged(&|disk| {
                segments(disk)
                    .into_iter()
                    .for_each(|path| remove(disk, path))
            }),
            Choice::CutAtDamage,
            6,
        ),
        (
            "only the mark file is left",
            damaged(&|disk| {
                for path in segments(disk).into_iter().chain(checkpoints(disk)) {
                    remove(disk, path);
                }
            }),
            Choice::CutAtDamage,
            16,
        ),
    ]
}

/// The last value before group `skip` of segment `id`, from the records themselves.
fn found_end(disk: &SimDisk, id: u64, skip: u64) -> u64 {
    let mut end = 0;
    let mut in_segment = 0;
    walk(disk, &directories(), WalkOptions::new(false), &mut |item| {
        if let Item::Record(item) = item {
            if item.segment.get() == id {
                in_segment += 1;
            }
            if item.segment.get() < id || (item.segment.get() == id && in_segment <= skip) {
                end = item.record.lsn.get();
            }
        }
        ControlFlow::Continue(())
    })
    .expect("a journal");
    end
}

fn outside_repair(disk: &SimDisk) -> BTreeMap<PathBuf, Vec<u8>> {
    let dir = directories().journal.join("repair");
    let mut files = contents(disk);
    files.retain(|path, _| !path.starts_with(&dir));
    files
}

fn plan(disk: &SimDisk) -> RepairPlan {
    repair::plan(disk, &directories(), None).expect("there is a way")
}

#[test]
fn a_repaired_directory_opens_with_all_but_the_loss_that_the_plan_states() {
    let (_, whole) = store();
    for (name, disk, choice, lost) in cases() {
        let before = contents(&disk);
        let plan = match repair::plan(&disk, &directories(), None) {
            Ok(plan) => plan,
            Err(error) => panic!("{name}: {error}"),
        };
        assert!(
            contents(&disk) == before,
            "{name}: planning changed something"
        );
        assert_eq!(plan.choice, choice, "{name}: {plan}");
        assert_eq!(
            RepairPlan::from_text(&plan.to_text()),
            Ok(plan.clone()),
            "{name}"
        );
        assert!(plan.to_string().contains("step 1"), "{name}: {plan}");

        let id = repair::apply(&disk, &directories(), &plan).expect(name);
        let recovered = match try_recover(&disk) {
            Ok(recovered) => recovered,
            Err(error) => panic!("{name}: {error:?}\n{plan}"),
        };
        let kept = 16 - lost;
        assert!(
            whole.values.starts_with(&recovered.machine.values),
            "{name}"
        );
        assert_eq!(
            recovered.machine.values.len() as u64,
            kept,
            "{name}: {plan}"
        );
        let first = (lost > 0).then(|| Lsn::new(kept + 1));
        assert_eq!(plan.loss.first, first, "{name}: {plan}");
        if lost > 0 {
            assert_eq!(plan.loss.last, Some(Lsn::new(16)), "{name}: {plan}");
        }

        // The report and the journal say so, once.
        let [told] = recovered.report.repairs.as_slice() else {
            panic!("{name}: {:?}", recovered.report.repairs)
        };
        let RepairState::Recorded(at) = told.state else {
            panic!("{name}: {told:?}")
        };
        assert_eq!((told.id, told.plan.as_ref()), (id, Some(&plan)), "{name}");
        assert!(
            recovered.report.to_string().contains("repaired  repair 1"),
            "{name}"
        );
        recovered.journal.close().expect("it closes");
        drop(recovered);
        let again = try_recover(&disk).expect("it opens again");
        assert_eq!(
            again.report.repairs.first().map(|info| info.state),
            Some(RepairState::Recorded(at))
        );
        assert_eq!(again.report.records_skipped, 1, "{name}");
        drop(again);
        let mut records = Vec::new();
        walk(
            &disk,
            &directories(),
            WalkOptions::new(false),
            &mut |item| {
                if let Item::Record(item) = item
                    && item.record.kind == REPAIR_RECORD
                {
                    records.push((item.record.lsn, RepairRecord::decode(item.record.payload)));
                }
                ControlFlow::Continue(())
            },
        )
        .expect("a journal");
        let expected = RepairRecord {
            id,
            first: plan.loss.first,
            last: plan.loss.last,
            records_readable: plan.loss.records_readable,
            history_up_to: plan.loss.history_up_to,
        };
        assert_eq!(records, [(at, Some(expected))], "{name}");
        // And the store goes on.
        let mut host = Host::open(&disk).expect("it opens");
        host.journal
            .append(crate::tally::VALUE, 0, b"more")
            .expect("there is room");
        host.journal.sync().expect("it syncs");
        host.acked = 0;
    }
}

#[test]
fn a_repair_is_undone_byte_for_byte_unless_something_was_written_since() {
    for (name, disk, _, _) in cases() {
        let before = outside_repair(&disk);
        let id = repair::apply(&disk, &directories(), &plan(&disk)).expect(name);
        assert!(outside_repair(&disk) != before, "{name}: nothing was done");
        repair::undo(&disk, &directories(), id).expect(name);
        assert!(outside_repair(&disk) == before, "{name}: not what it was");
        assert!(
            matches!(try_recover(&disk), Err(RecoveryError::Refused { .. })),
            "{name}: as damaged as before"
        );
        let undone = repair::undo(&disk, &directories(), id);
        assert!(matches!(
            undone,
            Err(RepairError::WrongState {
                state: "undone",
                ..
            })
        ));

        // Done again, and opened: now it stands.
        let id = repair::apply(&disk, &directories(), &plan(&disk)).expect(name);
        assert_eq!(id, 2);
        drop(try_recover(&disk).expect(name));
        let refused = repair::undo(&disk, &directories(), id);
        assert!(
            matches!(refused, Err(RepairError::ChangedSince { .. })),
            "{name}: {refused:?}"
        );
        let states: Vec<_> = repair::list(&disk, &directories())
            .expect("readable")
            .into_iter()
            .map(|info| info.state.as_str())
            .collect();
        assert_eq!(states, ["undone", "recorded"], "{name}");
        for id in [1, 2] {
            repair::purge(&disk, &directories(), id).expect(name);
        }
        assert!(
            repair::list(&disk, &directories())
                .expect("readable")
                .is_empty()
        );
        let left: Vec<_> = contents(&disk)
            .into_keys()
            .filter(|path| !outside_repair(&disk).contains_key(path))
            .filter_map(|path| Some(path.file_name()?.to_str()?.to_owned()))
            .collect();
        assert_eq!(left, ["000002.purged"], "{name}");
    }
}

#[test]
fn the_number_of_a_purged_repair_is_not_given_out_again() {
    let (name, disk, _, _) = cases().remove(2);
    for expected in 1..=3 {
        let id = repair::apply(&disk, &directories(), &plan(&disk)).expect(name);
        assert_eq!(id, expected, "{name}");
        repair::undo(&disk, &directories(), id).expect(name);
        repair::purge(&disk, &directories(), id).expect(name);
    }
}

#[test]
fn only_the_plan_that_the_directory_calls_for_is_carried_out() {
    let (name, disk, _, _) = cases().remove(2);
    let before = contents(&disk);
    let edits: [(&str, Edit); 4] = [
        ("steps", |plan| plan.steps.clear()),
        ("loss", |plan| plan.loss.first = None),
        ("verdict", |plan| plan.verdict = "clean".to_owned()),
        ("finding", |plan| plan.found = "nothing".to_owned()),
    ];
    for (what, edit) in edits {
        let mut edited = plan(&disk);
        edit(&mut edited);
        match repair::apply(&disk, &directories(), &edited) {
            Err(RepairError::NotThePlan { what: found }) if found == what => {}
            other => panic!("{name}: {other:?}"),
        }
        assert!(
            contents(&disk) == before,
            "{name}: {what} changed something"
        );
    }
    assert!(matches!(
        repair::check(&disk, &directories(), &plan(&disk)),
        Ok(None)
    ));
    assert!(contents(&disk) == before, "a check changed something");
}

#[test]
fn a_plan_is_refused_when_anything_has_changed_since() {
    let (_, disk, _, _) = cases().remove(2);
    let made = plan(&disk);
    for path in disk.files() {
        let changed = copy(&disk);
        let before = contents(&changed);
        let bytes = before.get(&path).expect("listed");
        changed
            .corrupt(&path, bytes.len() as u64 - 1, &[bytes[bytes.len() - 1] ^ 1])
            .expect("listed");
        let before = contents(&changed);
        let refused = repair::apply(&changed, &directories(), &made);
        assert!(
            matches!(refused, Err(RepairError::Changed { .. })),
            "{}: {refused:?}",
            path.display()
        );
        assert!(contents(&changed) == before, "a refusal changed something");
    }
}

#[test]
fn what_needs_no_repair_or_allows_none_is_refused() {
    let (whole, _) = store();
    let refused = repair::plan(&whole, &directories(), None);
    assert!(
        matches!(
            refused,
            Err(RepairError::NotRepairable { verdict: "clean" })
        ),
        "{refused:?}"
    );
    let empty = SimDisk::new(1);
    let refused = repair::plan(&empty, &directories(), None);
    assert!(
        matches!(
            refused,
            Err(RepairError::NotRepairable {
                verdict: "no-journal"
            })
        ),
        "{refused:?}"
    );
    let unreadable = copy(&whole);
    unreadable.fail_reads(&segment(2), 0..1, std::io::ErrorKind::PermissionDenied);
    assert!(repair::plan(&unreadable, &directories(), None).is_err());
    let refused = repair::plan(&whole, &directories(), Some(Choice::RebuildMark));
    assert!(
        matches!(refused, Err(RepairError::NoWay { .. })),
        "{refused:?}"
    );
    // Asked for, the older checkpoint is used and nothing is lost.
    let older = repair::plan(&whole, &directories(), Some(Choice::OlderCheckpoint)).expect("a way");
    repair::apply(&whole, &directories(), &older).expect("it is done");
    let recovered = try_recover(&whole).expect("it opens");
    assert_eq!(
        recovered.report.checkpoint.as_ref().map(|used| used.lsn),
        Some(Lsn::new(3))
    );
    assert_eq!(recovered.machine.values.len(), 16);
}

#[test]
fn a_record_that_the_machine_refuses_is_cut_with_its_group() {
    let disk = SimDisk::new(SEED);
    let mut host = Host::create(&disk).expect("nothing fails");
    host.put(100).expect("nothing fails");
    host.put(100).expect("nothing fails");
    host.journal
        .append(UNKNOWN, 0, b"?")
        .expect("there is room");
    host.journal.sync().expect("it syncs");
    host.journal.close().expect("it closes");
    drop(host);
    assert_eq!(look(&disk).report.verdict.exit_code(), 7);
    let plan =
        repair::plan(&disk, &directories(), Some(Choice::CutBefore(Lsn::new(3)))).expect("a way");
    assert_eq!(
        (plan.loss.first, plan.loss.last),
        (Some(Lsn::new(3)), Some(Lsn::new(3)))
    );
    repair::apply(&disk, &directories(), &plan).expect("it is done");
    assert_eq!(
        try_recover(&disk).expect("it opens").machine.values.len(),
        2
    );
}

fn images(disk: &SimDisk, salt: u64) -> Vec<SimDisk> {
    vec![
        disk.process_kill(),
        disk.power_cut(CutChoice::LoseAll),
        disk.power_cut(CutChoice::KeepAll),
        disk.power_cut(CutChoice::Seeded(SEED ^ salt)),
        disk.power_cut(CutChoice::Seeded(SEED ^ (salt * 77 + 1))),
    ]
}

#[test]
fn a_crash_at_any_operation_of_a_repair_can_be_resumed_and_undone() {
    let mut crashes = 0u64;
    let mut unfinished = 0u64;
    for (name, disk, _, lost) in cases() {
        let before = outside_repair(&disk);
        let made = plan(&disk);
        for number in 1.. {
            let crashed = copy(&disk);
            crashed.fail_at(number, SimFault::DiesMidway);
            let done = repair::apply(&crashed, &directories(), &made).is_ok();
            if done {
                break;
            }
            for (image, after) in images(&crashed, number).into_iter().enumerate() {
                crashes += 1;
                let context = format!("{name}, operation {number}, image {image}, seed {SEED}");
                let infos = repair::list(&after, &directories())
                    .unwrap_or_else(|error| panic!("{context}: {error}"));
                // Taken back.
                let undone = copy(&after);
                if let Some(info) = infos.first() {
                    if info.state == RepairState::Begun {
                        unfinished += 1;
                        let refused = try_recover(&copy(&after));
                        assert!(
                            matches!(refused, Err(RecoveryError::RepairUnfinished { .. })),
                            "{context}: {:?}",
                            refused.map(|r| r.report)
                        );
                    }
                    if let Err(error) = repair::undo(&undone, &directories(), info.id) {
                        panic!("{context}: {error:?}");
                    }
                }
                assert!(
                    outside_names(&undone) == outside_names_of(&before),
                    "{context}: other files"
                );
                assert!(
                    same_but_unfinished(&outside_repair(&undone), &before),
                    "{context}: not what it was"
                );
                // Carried on.
                if let Err(error) = repair::apply(&after, &directories(), &made)
                    && infos
                        .first()
                        .is_none_or(|info| info.state != RepairState::Done)
                {
                    panic!("{context}: {error:?}");
                }
                let recovered = match try_recover(&after) {
                    Ok(recovered) => recovered,
                    Err(error) => panic!("{context}: {error:?}"),
                };
                assert_eq!(
                    recovered.machine.values.len() as u64,
                    16 - lost,
                    "{context}"
                );
                std::mem::forget(recovered.journal);
            }
        }
    }
    assert!(
        crashes > 300 && unfinished > 100,
        "{crashes} crashes, {unfinished} unfinished"
    );
}

#[test]
fn a_crash_at_any_operation_of_an_undoing_can_be_undone_again() {
    for (name, disk, _, _) in cases() {
        let before = outside_repair(&disk);
        let repaired = copy(&disk);
        let id = repair::apply(&repaired, &directories(), &plan(&repaired)).expect(name);
        let repaired = copy(&repaired);
        for number in 1.. {
            let crashed = copy(&repaired);
            crashed.fail_at(number, SimFault::DiesMidway);
            if repair::undo(&crashed, &directories(), id).is_ok() {
                break;
            }
            for (image, after) in images(&crashed, number).into_iter().enumerate() {
                let context = format!("{name}, operation {number}, image {image}, seed {SEED}");
                match repair::undo(&after, &directories(), id) {
                    Ok(())
                    | Err(RepairError::WrongState {
                        state: "undone", ..
                    }) => {}
                    Err(error) => panic!("{context}: {error:?}"),
                }
                assert!(
                    same_but_unfinished(&outside_repair(&after), &before),
                    "{context}"
                );
            }
        }
    }
}

fn outside_names(disk: &SimDisk) -> Vec<PathBuf> {
    outside_names_of(&outside_repair(disk))
}

fn outside_names_of(files: &BTreeMap<PathBuf, Vec<u8>>) -> Vec<PathBuf> {
    let mut names: Vec<_> = files.keys().cloned().collect();
    names.retain(|path| path.extension().is_none_or(|e| e != "new"));
    names
}

fn same_but_unfinished(
    found: &BTreeMap<PathBuf, Vec<u8>>,
    expected: &BTreeMap<PathBuf, Vec<u8>>,
) -> bool {
    let whole = |files: &BTreeMap<PathBuf, Vec<u8>>| -> BTreeMap<PathBuf, Vec<u8>> {
        let finished = files
            .iter()
            .filter(|(path, _)| path.extension().is_none_or(|e| e != "new"));
        finished
            .map(|(path, bytes)| (path.clone(), bytes.clone()))
            .collect()
    };
    whole(found) == whole(expected)
}
