//! Plans as text: there and back, and nothing else is taken for one.

use torrens_journal::{Boot, Lsn, SegmentId, StoreUuid};

use super::*;

fn plan() -> RepairPlan {
    RepairPlan {
        fingerprint: Fingerprint {
            files: [
                (Place::Journal, "00000000000000000003.seg"),
                (Place::Journal, "journal.mark"),
                (Place::Checkpoints, "00000000000000000007.ckpt"),
            ]
            .map(|(place, name)| FileState {
                place,
                name: name.to_owned(),
                bytes: 4242,
                crc: 0x00c0_ffee,
            })
            .to_vec(),
        },
        choice: Choice::CutBefore(Lsn::new(12)),
        verdict: "impossible-sequence".to_owned(),
        found: "two\nlines".to_owned(),
        steps: vec![
            Step::SetAside {
                place: Place::Journal,
                name: "journal.mark".to_owned(),
            },
            Step::Zero {
                segment: SegmentId::new(3),
                from_bytes: 8192,
                to_bytes: 32768,
                file_bytes: 20000,
            },
            Step::NewSegment {
                segment: SegmentId::new(4),
                first_lsn: Lsn::new(12),
                file_bytes: 32768,
                store: StoreUuid([0xab; 16]),
                boot: Boot::new(9),
            },
        ],
        loss: Loss {
            first: Some(Lsn::new(12)),
            last: Some(Lsn::new(30)),
            records_readable: 5,
            history_up_to: Some(Lsn::new(3)),
            segments: vec![SegmentId::new(4), SegmentId::new(5)],
        },
    }
}

#[test]
fn a_plan_is_the_same_after_text_and_back() {
    let mut expected = plan();
    expected.found = "two lines".to_owned();
    let text = plan().to_text();
    assert_eq!(RepairPlan::from_text(&text), Ok(expected));
}

#[test]
fn a_text_that_was_changed_or_cut_anywhere_is_no_plan() {
    let text = plan().to_text();
    for end in 0..text.len() {
        assert!(RepairPlan::from_text(&text[..end]).is_err(), "{end} bytes");
    }
    for at in 0..text.len() {
        let mut bytes = text.clone().into_bytes();
        bytes[at] ^= 1;
        let changed = String::from_utf8(bytes).expect("ASCII");
        assert!(RepairPlan::from_text(&changed).is_err(), "byte {at}");
    }
}

#[test]
fn a_plan_names_no_file_elsewhere() {
    for name in ["../escape", "/etc/passwd", "a/b", ".hidden", ""] {
        let mut hostile = plan();
        hostile.steps = vec![Step::SetAside {
            place: Place::Journal,
            name: name.to_owned(),
        }];
        let fault = RepairPlan::from_text(&hostile.to_text());
        assert!(matches!(fault, Err(PlanFault::Line { .. })), "{name:?}");
    }
}

#[test]
fn a_plan_takes_no_step_outside_what_it_rests_on_and_what_the_format_allows() {
    let zero = |segment, from_bytes, to_bytes| Step::Zero {
        segment: SegmentId::new(segment),
        from_bytes,
        to_bytes,
        file_bytes: 32768,
    };
    let new_segment = |file_bytes| Step::NewSegment {
        segment: SegmentId::new(4),
        first_lsn: Lsn::new(12),
        file_bytes,
        store: StoreUuid([0; 16]),
        boot: Boot::new(1),
    };
    let unknown = Step::SetAside {
        place: Place::Journal,
        name: "repair".to_owned(),
    };
    for step in [
        unknown,
        zero(9, 0, 1),
        zero(3, 2, 1),
        zero(3, 0, u64::MAX),
        new_segment(0),
        new_segment(u64::MAX),
    ] {
        let mut hostile = plan();
        hostile.steps = vec![step.clone()];
        let fault = RepairPlan::from_text(&hostile.to_text());
        assert_eq!(fault, Err(PlanFault::Step { step: 1 }), "{step:?}");
    }
}

#[test]
fn a_record_of_a_repair_is_the_same_after_bytes_and_back() {
    let record = RepairRecord {
        id: 7,
        first: Some(Lsn::new(12)),
        last: None,
        records_readable: 5,
        history_up_to: Some(Lsn::new(3)),
    };
    let payload = record.encode();
    assert_eq!(payload.len(), 41);
    assert_eq!(RepairRecord::decode(&payload), Some(record));
    for end in 0..payload.len() {
        assert_eq!(RepairRecord::decode(&payload[..end]), None);
    }
    assert!(REPAIR_RECORD.is_ignorable());
}
