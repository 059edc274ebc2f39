//! The language as a whole: what parses and what does not, that nothing panics on any text, and that a
//! small scenario plays the same twice.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

const SMALL: &str = "\
# A store, a region, a crash.
open
----

bootstrap r1 peers=p10@s1
----

write r1 at=6 put=a:1
----

flush
----

arm journal.appended power
----

split r1 at=7 boundary=m child=r2:p20@s1
----

open
----

check
----

scan r1
----
";

fn answers(text: &str, options: &PlayOptions) -> Vec<Vec<String>> {
    play(&parse(text).unwrap(), options, &mut |_| {}).answers
}

fn fault(text: &str) -> (usize, usize, ParseFault) {
    let error = parse(text).unwrap_err();
    (error.line, error.column, error.fault)
}

#[test]
fn a_crash_leaves_what_was_durable_and_the_answers_say_so() {
    let found = answers(SMALL, &PlayOptions::default());
    let flat: Vec<String> = found.into_iter().flatten().collect();
    assert_eq!(
        flat,
        [
            "created",
            "accepted",
            "created r1#1",
            "applied",
            "ok",
            "armed",
            "crashed at journal.appended",
            "opened, clean",
            "ok",
            "from the store",
            "a:1"
        ]
    );
}

#[test]
fn one_seed_gives_the_same_answers_and_the_same_records_twice() {
    let traced = |seed: u64| {
        let options = PlayOptions {
            seed,
            trace: true,
            ..PlayOptions::default()
        };
        let mut lines = Vec::new();
        let played = play(&parse(SMALL).unwrap(), &options, &mut |line| {
            lines.push(line.to_owned());
        });
        (played.answers, lines)
    };
    assert_eq!(traced(7), traced(7));
    let (answers, lines) = traced(7);
    assert_eq!(answers, traced(8).0, "no answer depends on the seed");
    let trace = lines.join("\n");
    assert!(trace.contains(" region.bootstrap r1: "), "{trace}");
}

#[test]
fn a_rewritten_file_answers_as_expected_and_keeps_everything_else() {
    let scenario = parse(SMALL).unwrap();
    let played = play(&scenario, &PlayOptions::default(), &mut |_| {});
    assert_eq!(played.differences.len(), 9, "every step has an answer");
    let rewritten = scenario.rewritten(&played.answers);
    let again = parse(&rewritten).unwrap();
    let played = play(&again, &PlayOptions::default(), &mut |_| {});
    assert_eq!(played.differences, []);
    assert_eq!(again.rewritten(&played.answers), rewritten);
    assert!(rewritten.starts_with("# A store, a region, a crash.\nopen\n----\ncreated\n\n"));
}

#[test]
fn what_is_no_scenario_is_refused_with_line_and_column() {
    let name = |name: &str| ParseFault::UnknownCommand {
        name: name.to_owned(),
    };
    assert_eq!(
        fault("open\n----\nok\n\nfly r1\n----\n"),
        (5, 1, name("fly"))
    );
    assert_eq!(fault("----\n"), (1, 1, ParseFault::NoCommand));
    assert_eq!(fault("open"), (1, 5, ParseFault::NoAnswer));
    assert_eq!(
        fault("open\n# not here\n----\n"),
        (1, 5, ParseFault::NoAnswer)
    );
    let (line, column, found) = fault("\nget r1 \"a\n----\n");
    assert_eq!((line, column, found), (2, 8, ParseFault::OpenQuote));
    let missing = ParseFault::ArgumentMissing {
        command: "write",
        name: "at",
    };
    assert_eq!(fault("write r1\n----\n"), (1, 1, missing));
    let twice = ParseFault::ArgumentTwice {
        command: "write",
        name: "at",
    };
    assert_eq!(fault("write r1 at=6 at=7\n----\n"), (1, 15, twice));
    let extra = ParseFault::UnknownArgument {
        command: "close",
        name: "now".to_owned(),
    };
    assert_eq!(fault("close now\n----\n"), (1, 7, extra));
    let (_, column, bad) = fault("create-peer r1 peer=p7\n----\n");
    assert!(matches!(bad, ParseFault::UnknownArgument { .. }), "{bad}");
    assert_eq!(column, 16);
    let (_, column, bad) = fault("create-peer r1 7\n----\n");
    assert_eq!(
        (column, bad.to_string()),
        (
            16,
            "peer of create-peer must be a peer (p12), not \"7\"".to_owned()
        )
    );
    let long = "#".repeat(Scenario::BYTES_MAX + 1);
    assert!(matches!(fault(&long).2, ParseFault::TooLong { .. }));
}

#[test]
fn no_two_commands_or_points_share_a_name_and_places_come_first() {
    let commands: Vec<_> = COMMANDS.iter().copied().flatten().collect();
    let names: BTreeSet<_> = commands.iter().map(|command| command.name).collect();
    assert_eq!(names.len(), commands.len());
    let points: BTreeSet<_> = POINTS.iter().map(|point| point.name).collect();
    assert_eq!(points.len(), POINTS.len());
    for command in commands {
        let args: BTreeSet<_> = command.args.iter().map(|arg| arg.name).collect();
        assert_eq!(args.len(), command.args.len(), "{}", command.name);
    }
}

#[test]
fn a_fault_of_the_disk_is_an_answer_and_the_store_comes_back() {
    let text = "open\n----\n\nbootstrap r1 peers=p10@s1\n----\n\nfail journal.synced lies\n----\n\n\
                load r1\n----\n\nflush\n----\n\ncrash power\n----\n\nopen\n----\n\ncheck\n----\n";
    let found = answers(text, &PlayOptions::default());
    let flat: Vec<String> = found.into_iter().flatten().collect();
    assert!(
        flat.iter().any(|line| line.starts_with("not reached")),
        "{flat:?}"
    );
    assert_eq!(flat.last().map(String::as_str), Some("ok"), "{flat:?}");
}

/// Texts that are nearly scenarios: words of the language in any order.
fn nearly() -> impl Strategy<Value = String> {
    let words: Vec<String> = COMMANDS
        .iter()
        .copied()
        .flatten()
        .flat_map(|command| {
            let args = command.args.iter().map(|arg| format!("{}=", arg.name));
            std::iter::once(command.name.to_owned()).chain(args)
        })
        .chain(
            [
                "r1",
                "p1",
                "s1",
                "#1",
                "c1.v2",
                "7",
                "i7.t8",
                "[a,m)",
                "a:b",
                "----",
                "\n",
                "\n----\n\n",
                "\"",
                "\\x00",
                "r2:p3@s1",
                "p3@s1",
            ]
            .map(str::to_owned),
        )
        .collect();
    prop::collection::vec(prop::sample::select(words), 0..30).prop_map(|words| words.join(" "))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn no_text_makes_the_parser_panic(text in any::<String>()) {
        let _ = parse(&text);
    }

    #[test]
    fn whatever_parses_plays_without_a_panic(text in nearly()) {
        if let Ok(scenario) = parse(&text) {
            let _ = play(&scenario, &PlayOptions::default(), &mut |_| {});
            prop_assert!(parse(&scenario.rewritten(&[])).is_ok());
        }
    }
}
