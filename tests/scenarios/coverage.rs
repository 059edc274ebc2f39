//! Nothing of the engine is out of a scenario's reach: every public call of [`torrens::Engine`] has a
//! command, every command is used in some scenario, and every code that can be answered is answered in one.
//!
//! What has no scenario stands here in a list, with the reason. Not here: whether the documentation says all
//! of this (`documentation`).

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use torrens::play::{COMMANDS, Scenario, Step};
use torrens::{EvictReason, LoadReason};

pub(super) fn read(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// A family of codes, and how an answer shows one.
#[derive(Clone, Copy)]
pub(super) struct Family {
    pub(super) title: &'static str,
    pub(super) about: &'static str,
    codes: fn() -> Vec<String>,
    shows: fn(&Step, &str) -> bool,
    /// Codes that no scenario can bring about, and why or where they are tested.
    pub(super) without: &'static [(&'static str, &'static str)],
}

impl Family {
    /// Every code, in the order of its definition.
    pub(super) fn codes(&self) -> Vec<String> {
        let codes = (self.codes)();
        assert!(!codes.is_empty(), "{}: no codes found", self.title);
        codes
    }

    /// Whether that step's answer shows the code.
    pub(super) fn shows(&self, step: &Step, code: &str) -> bool {
        (self.shows)(step, code)
    }

    /// Why there is no scenario, if that is known.
    pub(super) fn why_none(&self, code: &str) -> Option<&'static str> {
        let known = self.without.iter().find(|(known, _)| *known == code);
        known.map(|(_, why)| *why)
    }
}

/// The stable codes that a source file gives out behind `from`: `=> "code"`.
fn codes_in(path: &str, from: &str) -> Vec<String> {
    let text = read(path);
    let (_, text) = text
        .split_once(from)
        .unwrap_or_else(|| panic!("{path} has no {from:?} any more"));
    let end = text.find("\n    }\n").unwrap_or(text.len());
    let after = text[..end].split("=> \"").skip(1);
    let code = |rest: &str| rest.split('"').next().unwrap_or_default().to_owned();
    after.map(code).collect()
}

/// As [`codes_in`], of every part of the file that begins so.
fn codes_of_all(path: &str, from: &str) -> Vec<String> {
    let text = read(path);
    let mut codes = Vec::new();
    for part in text.split(from).skip(1) {
        let end = part.find("\n    }\n").unwrap_or(part.len());
        let after = part[..end].split("=> \"").skip(1);
        for rest in after {
            let code = rest.split('"').next().unwrap_or_default().to_owned();
            if !codes.contains(&code) {
                codes.push(code);
            }
        }
    }
    codes
}

fn begins(step: &Step, start: &str) -> bool {
    step.expected.iter().any(|line| line.starts_with(start))
}

fn says(step: &Step, part: &str) -> bool {
    step.expected.iter().any(|line| line.contains(part))
}

/// Every family of codes.
pub(super) const FAMILIES: &[Family] = &[
    Family {
        title: "Reasons of a refusal",
        about: "`refused CODE: …`. A refusal is a fact about the request; nothing changed.",
        codes: || codes_of_all("src/lifecycle/refusal.rs", "fn code("),
        shows: |step, code| begins(step, &format!("refused {code}: ")),
        without: &[],
    },
    Family {
        title: "Reasons of a refusal that is about observers",
        about: "`refused CODE: …`. A refusal is a fact about the request; nothing changed.",
        codes: || codes_of_all("src/lifecycle/observer/refusal.rs", "fn code("),
        shows: |step, code| begins(step, &format!("refused {code}: ")),
        without: &[
            (
                "observer-ranges-invalid",
                "no range, or more than 1024. `src/observe/ids` tests",
            ),
            (
                "observer-too-many",
                "4096 observers. `src/lifecycle/tests/observers.rs`",
            ),
            (
                "observer-too-many-regions",
                "65 536 regions in one request. `src/lifecycle/tests/observers.rs`",
            ),
        ],
    },
    Family {
        title: "Why a region is not live for an observer",
        about: "In brackets behind the state that `observed` shows, or that state itself.",
        codes: || {
            let mut codes = codes_of_all("src/engine/observers/status.rs", "fn code(");
            codes.extend(codes_in(
                "src/lifecycle/observer/names.rs",
                "impl InvalidReason",
            ));
            codes
        },
        shows: |step, code| {
            step.command() == "observed"
                && (says(step, &format!("({code}")) || says(step, &format!(" {code} ")))
        },
        without: &[
            (
                "snapshot-applying",
                "between begin and end of an apply, which a scenario does at once. `src/lifecycle/tests/observers.rs`",
            ),
            (
                "history-lost",
                "history that is gone. `src/observe/reconcile.rs` tests",
            ),
            (
                "history-damaged",
                "history that is damaged. `src/lifecycle/tests/observers.rs`",
            ),
            (
                "recovered",
                "a region recovered by order while something of its earlier life is left. `src/lifecycle/tests/observing.rs`",
            ),
        ],
    },
    Family {
        title: "What an entry waits for",
        about: "`wait CODE: …`. A committed entry that this store cannot apply yet; it is given again.",
        codes: || codes_of_all("src/lifecycle/outcome.rs", "fn code("),
        shows: |step, code| begins(step, &format!("wait {code}: ")),
        without: &[],
    },
    Family {
        title: "Answers of the gate",
        about: "The first line that `gate` answers.",
        codes: || codes_of_all("src/lifecycle/gate.rs", "fn code("),
        shows: |step, code| {
            step.command() == "gate" && step.expected.first().is_some_and(|line| line == code)
        },
        without: &[(
            "destroy-operator",
            "the name of a cause that an order has and no message; the gate never answers it",
        )],
    },
    Family {
        title: "Why a region leaves memory",
        about: "In brackets behind a cache that leaves, and in the journal.",
        codes: || {
            let codes = EvictReason::ALL.iter();
            codes.map(|reason| reason.as_str().to_owned()).collect()
        },
        shows: |step, code| match step.command() {
            "cache" => says(step, &format!("({code})")),
            "journal" => {
                says(step, &format!(": {code}"))
                    && step.expected.iter().any(|line| {
                        line.starts_with("cache.") && line.contains(&format!(": {code}"))
                    })
            }
            _ => false,
        },
        without: &[],
    },
    Family {
        title: "Why the store itself loads a region",
        about: "`cache-report` counts them.",
        codes: || {
            let codes = LoadReason::ALL.iter();
            codes.map(|reason| reason.as_str().to_owned()).collect()
        },
        shows: |step, code| begins(step, &format!("loads-{code}=")),
        without: &[],
    },
    Family {
        title: "Why a load that waited is dropped",
        about: "In the record that ends the eviction it waited for.",
        codes: || codes_in("src/lifecycle/cache.rs", "impl DropReason"),
        shows: |step, code| says(step, &format!("the queued load is dropped: {code}")),
        without: &[],
    },
    Family {
        title: "Why a region is not preloaded",
        about: "`refused CODE: …`, beside the reasons of a refusal above.",
        codes: || codes_in("src/engine/caches/preload.rs", "impl PreloadRefusal"),
        shows: |step, code| {
            step.command() == "preload" && begins(step, &format!("refused {code}: "))
        },
        without: &[],
    },
    Family {
        title: "Why data is damaged",
        about: "In brackets behind a damaged peer.",
        codes: || codes_in("src/lifecycle/peer.rs", "impl DamageReason"),
        shows: |step, code| says(step, &format!("({code}: ")),
        without: &[],
    },
    Family {
        title: "Errors",
        about: "`error CODE: …`. The store could not do it, or the scenario asks for what is not there.",
        codes: || {
            let mut codes = codes_of_all("src/engine/error.rs", "fn code(");
            codes.extend(codes_of_all("src/engine/backup.rs", "fn code("));
            codes.extend(["cache-setting", "scenario", "needs-sim"].map(str::to_owned));
            codes
        },
        shows: |step, code| begins(step, &format!("error {code}: ")),
        without: &[
            (
                "open-not-a-store",
                "a directory that holds foreign things; a scenario makes none. `tests/engine/open_modes.rs`",
            ),
            (
                "open-create-journal",
                "the operating system refuses a new journal. `tests/engine/real_faults.rs`",
            ),
            (
                "open-column-families",
                "other column families than the store has; a scenario uses the three of the default. `tests/engine`",
            ),
            (
                "open-data-store",
                "the data store is held by somebody else. `src/store/sled` tests",
            ),
            (
                "open-history",
                "the history of observed regions cannot be read, or a newer version wrote it; a damaged one is set aside. `src/observe/history/tests.rs`",
            ),
            (
                "open-io",
                "the operating system refuses something on the way. `tests/engine/open_modes.rs`",
            ),
            (
                "closed",
                "a handle that outlives `close`; a scenario lets go of it. `tests/engine/open_modes.rs`",
            ),
            (
                "record-too-large",
                "a record beyond the journal's limit. `journal/tests`",
            ),
            (
                "batch-invalid",
                "a key or a value beyond its limit. `src/store` tests",
            ),
            ("sequences-exhausted", "2^64 writes. `src/sequence` tests"),
            (
                "purge-failed",
                "the operating system refuses to remove a segment. `journal/tests`",
            ),
            (
                "mark-failed",
                "the operating system refuses the mark. `journal/tests`",
            ),
            (
                "close-failed",
                "the operating system refuses the last mark. `journal/tests`",
            ),
            (
                "append-failed",
                "a journal that takes nothing for a reason of its own. `journal/tests`",
            ),
            (
                "io",
                "the operating system refuses something. `tests/engine/faults.rs`",
            ),
            (
                "backup-file-mismatch",
                "a file of another backup. `tests/engine/backup.rs`",
            ),
            (
                "backup-register",
                "a register that nobody wrote. `tests/engine/backup.rs`",
            ),
            (
                "backup-rows",
                "a file of rows that is damaged. `tests/engine/backup.rs`",
            ),
            (
                "backup-checkpoint",
                "a checkpoint that is damaged. `tests/engine/backup.rs`",
            ),
            (
                "backup-journal",
                "the operating system refuses the new journal. `tests/engine/backup.rs`",
            ),
            (
                "backup-data-store",
                "the data store fails while it is copied. `tests/engine/backup.rs`",
            ),
            (
                "backup-io",
                "the operating system refuses something on the way. `tests/engine/backup.rs`",
            ),
            (
                "needs-sim",
                "a crash or a fault on a real disk: `--disk DIR` plays the file up to there. `tests/tool.rs`",
            ),
        ],
    },
];

#[test]
fn every_code_is_answered_in_a_scenario() {
    let scenarios = super::scenarios();
    let steps: Vec<&Step> = scenarios
        .iter()
        .flat_map(|(_, scenario)| scenario.steps())
        .collect();
    let mut wrong = Vec::new();
    for family in FAMILIES {
        let codes = family.codes();
        for code in &codes {
            let is_shown = steps.iter().any(|step| family.shows(step, code));
            match (is_shown, family.why_none(code)) {
                (false, None) => wrong.push(format!("{}: {code} is in no scenario", family.title)),
                (true, Some(_)) => {
                    wrong.push(format!("{}: {code} has a scenario by now", family.title))
                }
                (true, None) | (false, Some(_)) => {}
            }
        }
        let gone = family.without.iter();
        let gone = gone.filter(|(code, _)| !codes.iter().any(|known| known == code));
        wrong.extend(gone.map(|(code, _)| format!("{}: there is no {code}", family.title)));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_command_and_argument_is_used_in_a_scenario() {
    let scenarios = super::scenarios();
    let steps = || scenarios.iter().flat_map(|(_, scenario)| scenario.steps());
    let mut missed = Vec::new();
    for command in COMMANDS.iter().copied().flatten() {
        let lines: Vec<&str> = steps()
            .filter(|step| step.command() == command.name)
            .map(|step| step.text.as_str())
            .collect();
        if lines.is_empty() {
            missed.push(command.name.to_owned());
        }
        for arg in command.args {
            let named = format!(" {}=", arg.name);
            let by_name = matches!(
                arg.need,
                torrens::play::Need::Required
                    | torrens::play::Need::Optional
                    | torrens::play::Need::Many
            );
            if by_name && !lines.iter().any(|line| line.contains(&named)) {
                missed.push(format!("{} {}=", command.name, arg.name));
            }
        }
    }
    assert!(missed.is_empty(), "in no scenario: {missed:?}");
}

/// Calls that no command makes, and why.
const NOT_FOR_SCENARIOS: &[(&str, &str)] = &[
    ("report", "what `open` answered, once more"),
    (
        "journal_stats",
        "times and sizes, other ones on each machine",
    ),
    (
        "collection_stats",
        "counts of walks and of memory; `collect-versions` says what went",
    ),
    (
        "counters",
        "totals of what each step answers; `tests/observability.rs` looks at them",
    ),
    (
        "slow_transitions",
        "times, other ones on each machine and in each run",
    ),
    (
        "set_slow_transition_threshold",
        "from which time on they are kept",
    ),
    (
        "export_metrics",
        "for a recorder of the process; `tests/observability.rs` is one",
    ),
];

/// Every Rust file below a folder.
fn sources(dir: &Path, into: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).expect("a folder of the project") {
        let path = entry.expect("readable").path();
        if path.is_dir() {
            sources(&path, into);
        } else if path.extension().is_some_and(|suffix| suffix == "rs") {
            into.push(path);
        }
    }
}

fn text_of(dir: &str) -> Vec<String> {
    let mut paths = Vec::new();
    sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join(dir), &mut paths);
    let text = paths
        .iter()
        .map(|path| fs::read_to_string(path).expect("UTF-8"));
    text.collect()
}

/// The names of everything public in an `impl Engine` block.
fn public_calls() -> BTreeSet<String> {
    let mut calls = BTreeSet::new();
    for text in text_of("src/engine") {
        for block in text.split("\nimpl Engine {").skip(1) {
            let block = block.split("\n}\n").next().unwrap_or_default();
            for call in block.split("\n    pub fn ").skip(1) {
                let name = call.split(['(', '<']).next().unwrap_or_default();
                calls.insert(name.to_owned());
            }
        }
    }
    calls
}

#[test]
fn every_public_call_of_the_engine_has_a_command() {
    let mut player = text_of("src/play/commands").concat();
    player.push_str(&read("src/play/machine.rs"));
    let calls = public_calls();
    assert!(calls.len() > 70, "found {} calls only", calls.len());
    let mut wrong = Vec::new();
    for call in &calls {
        let is_made = [format!(".{call}("), format!("Engine::{call}(")]
            .iter()
            .any(|made| player.contains(made));
        let is_known = NOT_FOR_SCENARIOS.iter().any(|(name, _)| name == call);
        match (is_made, is_known) {
            (false, false) => wrong.push(format!("no command calls {call}")),
            (true, true) => wrong.push(format!("{call} has a command by now")),
            (true, false) | (false, true) => {}
        }
    }
    let gone = NOT_FOR_SCENARIOS.iter();
    let gone = gone.filter(|(name, _)| !calls.contains(*name));
    wrong.extend(gone.map(|(name, _)| format!("there is no call {name}")));
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// A scenario whose name is not its own way to say the same.
#[test]
fn no_two_scenarios_are_the_same() {
    let mut seen = BTreeSet::new();
    for (name, scenario) in super::scenarios() {
        let text: String = texts(&scenario);
        assert!(seen.insert(text), "{name} plays what another one plays");
    }
}

fn texts(scenario: &Scenario) -> String {
    scenario
        .steps()
        .map(|step| format!("{}\n", step.text))
        .collect()
}
