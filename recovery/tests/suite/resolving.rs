//! Operations that were begun and not ended: brought to an end by a rule, journaled, reported.

use std::sync::Arc;

use torrens_journal::testing::{CutChoice, SimDisk};
use torrens_journal::{Journal, Lsn};
use torrens_recovery::{Direction, Resolution, ResolutionRecord, ResolveError, resolve};

use crate::host::{STORE, directories, options, try_recover};
use crate::tally::{BEGIN, END, Tally, UNKNOWN, VALUE};

/// A journal in which operations 1, 2 and 3 are begun and 2 is ended.
fn open_operations() -> SimDisk {
    let disk = SimDisk::new(31);
    let dir = directories().journal;
    let journal = Journal::create(Arc::new(disk.clone()), &dir, STORE, options()).expect("created");
    for (kind, id) in [(BEGIN, 1), (BEGIN, 2), (BEGIN, 3), (END, 2)] {
        journal.append(kind, 0, &[id]).expect("appended");
    }
    journal.sync().expect("synced");
    std::mem::forget(journal);
    disk.process_kill()
}

/// Odd ones above 1 go back; going forward leaves a value too.
fn rule(machine: &Tally, id: &u8) -> Result<Resolution, std::convert::Infallible> {
    let end = ResolutionRecord {
        kind: END,
        tag: 0,
        payload: vec![*id],
    };
    let done = ResolutionRecord {
        kind: VALUE,
        tag: 0,
        payload: format!("did {id}").into_bytes(),
    };
    let forward = *id == 1;
    Ok(Resolution {
        direction: if forward {
            Direction::Forward
        } else {
            Direction::Back
        },
        what: format!("operation {id}"),
        begin: Lsn::new(machine.open[id]),
        rule: "the first goes on".to_owned(),
        records: if forward { vec![done, end] } else { vec![end] },
    })
}

#[test]
fn open_operations_are_resolved_once_journaled_and_reported() {
    let disk = open_operations();
    let mut recovered = try_recover(&disk).expect("it opens");
    let open: Vec<u8> = recovered.machine.open.keys().copied().collect();
    assert_eq!(open, [1, 3]);
    resolve(&mut recovered, open, rule).expect("they are resolved");
    assert!(recovered.machine.open.is_empty());
    assert_eq!(recovered.machine.values, [b"did 1".to_vec()]);

    let report = &recovered.report;
    let lsns = |list: &[torrens_recovery::Resolved]| -> Vec<(u64, u64)> {
        list.iter()
            .map(|line| (line.begin.get(), line.resolution.get()))
            .collect()
    };
    assert_eq!(lsns(&report.resolved_forward), [(1, 5)]);
    assert_eq!(lsns(&report.resolved_back), [(3, 7)]);
    let text = report.to_string();
    assert!(
        text.contains("forward: operation 1, begun at LSN 1 (the first goes on)"),
        "{text}"
    );

    let machine = recovered.machine.clone();
    std::mem::forget(recovered.journal);
    let again = try_recover(&disk.power_cut(CutChoice::LoseAll)).expect("it opens");
    assert_eq!(again.machine, machine, "the resolutions are durable");
}

#[test]
fn a_rule_without_an_answer_and_a_resolution_that_cannot_be_are_errors() {
    let mut recovered = try_recover(&open_operations()).expect("it opens");
    let none = resolve(&mut recovered, vec![1u8], |_, _| Err("no idea"));
    assert!(matches!(none, Err(ResolveError::Rule("no idea"))));

    let with = |kind| {
        move |_: &Tally, id: &u8| -> Result<Resolution, std::convert::Infallible> {
            let records = vec![ResolutionRecord {
                kind,
                tag: 0,
                payload: vec![*id],
            }];
            let what = String::new();
            let (rule, begin) = (String::new(), Lsn::FIRST);
            Ok(Resolution {
                direction: Direction::Back,
                what,
                begin,
                rule,
                records,
            })
        }
    };
    let twice = resolve(&mut recovered, vec![2u8], with(END));
    assert!(
        matches!(twice, Err(ResolveError::Apply { .. })),
        "{twice:?}"
    );
    let unknown = resolve(&mut recovered, vec![1u8], with(UNKNOWN));
    assert!(
        matches!(unknown, Err(ResolveError::UnknownKind { .. })),
        "{unknown:?}"
    );
}
