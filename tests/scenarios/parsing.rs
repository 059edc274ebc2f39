//! The parser against bytes from anywhere: it never panics, says where a fault is, and what it reads it
//! writes again.

use proptest::prelude::*;
use torrens::play::{Scenario, parse, parse_bytes};

/// What must hold of any bytes.
fn holds(bytes: &[u8]) -> Result<(), TestCaseError> {
    match parse_bytes(bytes) {
        Ok(scenario) => {
            let again = scenario.rewritten(&[]);
            let text = std::str::from_utf8(bytes).expect("what parses is text");
            let reread = parse(&again).map_err(|error| TestCaseError::fail(error.to_string()))?;
            prop_assert_eq!(steps(&scenario), steps(&reread));
            prop_assert!(scenario.steps().count() <= text.lines().count());
        }
        Err(error) => {
            let lines = bytes.split(|byte| *byte == b'\n').count();
            prop_assert!(
                (1..=lines).contains(&error.line),
                "{error} of {lines} lines"
            );
            prop_assert!(error.column >= 1);
        }
    }
    Ok(())
}

fn steps(scenario: &Scenario) -> Vec<(String, Vec<String>)> {
    let step = |step: &torrens::play::Step| (step.text.clone(), step.expected.clone());
    scenario.steps().map(step).collect()
}

/// One change of a file: where, as a part of its length, and what.
#[derive(Clone, Debug)]
enum Change {
    Set(f64, u8),
    Insert(f64, Vec<u8>),
    Remove(f64, usize),
    Repeat(f64, usize),
}

fn change() -> impl Strategy<Value = Change> {
    let bytes = prop_oneof![
        prop::collection::vec(any::<u8>(), 1..8),
        prop::sample::select(
            [
                "\n", "----", "\n----\n", "\"", "\\", "\\x", "=", " ", "r1", "#", "[", ",)", "\r\n"
            ]
            .map(|text| text.as_bytes().to_vec())
            .to_vec()
        ),
    ];
    prop_oneof![
        (0.0..1.0, any::<u8>()).prop_map(|(at, byte)| Change::Set(at, byte)),
        (0.0..1.0, bytes).prop_map(|(at, bytes)| Change::Insert(at, bytes)),
        (0.0..1.0, 1_usize..40).prop_map(|(at, count)| Change::Remove(at, count)),
        (0.0..1.0, 1_usize..200).prop_map(|(at, count)| Change::Repeat(at, count)),
    ]
}

fn changed(mut text: Vec<u8>, changes: &[Change]) -> Vec<u8> {
    for change in changes {
        let place = |part: &f64| (part * text.len() as f64) as usize;
        match change {
            Change::Set(at, byte) => {
                let at = place(at);
                if let Some(there) = text.get_mut(at) {
                    *there = *byte;
                }
            }
            Change::Insert(at, bytes) => {
                let at = place(at);
                text.splice(at..at, bytes.iter().copied());
            }
            Change::Remove(at, count) => {
                let at = place(at);
                text.drain(at..(at + count).min(text.len()));
            }
            Change::Repeat(at, count) => {
                let at = place(at);
                let part: Vec<u8> = text.iter().skip(at).take(*count).copied().collect();
                text.splice(at..at, part);
            }
        }
    }
    text
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        holds(&bytes)?;
    }

    #[test]
    fn changed_files_are_read_or_refused(
        file in any::<prop::sample::Index>(),
        changes in prop::collection::vec(change(), 1..6),
    ) {
        let all = FILES.get_or_init(|| {
            let scenarios = super::scenarios().into_iter();
            scenarios.map(|(_, scenario)| scenario.rewritten(&[])).collect()
        });
        let text = file.get(all).clone().into_bytes();
        holds(&changed(text, &changes))?;
    }
}

/// Read once, not for every case.
static FILES: std::sync::OnceLock<Vec<String>> = std::sync::OnceLock::new();

#[test]
fn bytes_that_are_no_text_are_a_fault_where_they_stand() {
    let error = parse_bytes(b"open\n----\n\nget r1 \xff\n").expect_err("no text");
    assert_eq!((error.line, error.column), (4, 8));
    assert_eq!(
        error.to_string(),
        "4:8: the file is not UTF-8 text from here on"
    );
}
