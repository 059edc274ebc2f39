//! docs/SCENARIOS.md says what there is: its tables of commands, crash points and codes are made of the
//! player's own tables and of the scenario files, and compared here.
//!
//! `TORRENS_REWRITE_DOCS=1` writes them instead; what stands outside of the marked parts is for people to
//! write.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use torrens::play::{COMMANDS, CommandSpec, Kind, Need, POINTS, Scenario, Step, difference};

use super::coverage::{FAMILIES, Family, read};

const PAGE: &str = "docs/SCENARIOS.md";
/// An example has no longer answer than this, if there is a shorter one.
const EXAMPLE_LINES: usize = 4;

/// A step and the file that it stands in.
type Example<'a> = (&'a str, &'a Step);

fn shortest<'a>(
    scenarios: &'a [(String, Scenario)],
    fits: impl Fn(&Step) -> bool,
) -> Option<Example<'a>> {
    let steps = scenarios
        .iter()
        .flat_map(|(name, scenario)| scenario.steps().map(move |step| (name.as_str(), step)));
    steps
        .filter(|(_, step)| fits(step))
        .min_by_key(|(name, step)| {
            let lines = step.expected.len().saturating_sub(EXAMPLE_LINES);
            (lines, step.text.len(), step.expected.concat().len(), *name)
        })
}

fn signature(command: &CommandSpec) -> String {
    let mut line = command.name.to_owned();
    for arg in command.args {
        let name = arg.name;
        let shown = match arg.need {
            Need::Place => format!(" {}", name.to_uppercase()),
            Need::PlaceOptional => format!(" [{}]", name.to_uppercase()),
            Need::Required => format!(" {name}="),
            Need::Optional => format!(" [{name}=]"),
            Need::Many => format!(" [{name}=]…"),
        };
        line.push_str(&shown);
    }
    line
}

fn commands(scenarios: &[(String, Scenario)]) -> String {
    let mut text = String::new();
    for command in COMMANDS.iter().copied().flatten() {
        let _ = writeln!(text, "### `{}`\n\n{}\n", signature(command), command.help);
        for arg in command.args {
            if let Kind::Word(words) = arg.kind {
                let _ = writeln!(text, "`{}` is one of {}.\n", arg.name, words.join(" "));
            }
        }
        // What it does, rather than what it cannot do.
        let does = |step: &Step| {
            let fails = ["error", "refused", "not reached", "crashed at"];
            let mut lines = step.expected.iter();
            !lines.any(|line| fails.iter().any(|start| line.starts_with(start)))
        };
        let of_it = |step: &Step| step.command() == command.name;
        let example = shortest(scenarios, |step| of_it(step) && does(step))
            .or_else(|| shortest(scenarios, of_it));
        let (_, step) = example.unwrap_or_else(|| panic!("no scenario uses {}", command.name));
        let _ = writeln!(
            text,
            "```text\n{}\n----\n{}\n```\n",
            step.text,
            step.expected.join("\n")
        );
    }
    text
}

fn points() -> String {
    let mut text = "| point | what has just been done |\n|---|---|\n".to_owned();
    for point in POINTS {
        let _ = writeln!(text, "| `{}` | {} |", point.name, point.help);
    }
    text.push('\n');
    text
}

/// A cell of a table.
fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}

fn table(family: &Family, scenarios: &[(String, Scenario)]) -> String {
    let mut text = format!("## {}\n\n{}\n\n", family.title, family.about);
    text.push_str("| code | an example: command and answer | file |\n|---|---|---|\n");
    for code in family.codes() {
        let row = match shortest(scenarios, |step| family.shows(step, &code)) {
            Some((name, step)) => {
                // The line that shows it; the gate's answer is the code itself.
                let shows = step.expected.iter().find(|line| line.contains(&code));
                let line = shows.map_or("", String::as_str);
                let (command, line) = (cell(&step.text), cell(line));
                format!("`{command}` → `{line}` | `{name}`")
            }
            None => {
                let why = family.why_none(&code);
                format!("none: {} |", why.unwrap_or("it is in no scenario"))
            }
        };
        let _ = writeln!(text, "| `{code}` | {row} |");
    }
    text.push('\n');
    text
}

/// Puts `new` between the two marks of a part.
fn with_part(page: &str, part: &str, new: &str) -> String {
    let (start, end) = (
        format!("<!-- {part}: made by tests/scenarios/documentation.rs -->\n"),
        format!("<!-- end of {part} -->\n"),
    );
    let (before, rest) = page
        .split_once(&start)
        .unwrap_or_else(|| panic!("{PAGE} has no part {start:?}"));
    let (_, after) = rest
        .split_once(&end)
        .unwrap_or_else(|| panic!("{PAGE} has no {end:?}"));
    format!("{before}{start}\n{new}{end}{after}")
}

#[test]
fn the_documentation_says_what_there_is() {
    let page = read(PAGE);
    let scenarios = super::scenarios();
    let codes: String = FAMILIES
        .iter()
        .map(|family| table(family, &scenarios))
        .collect();
    let mut new = with_part(&page, "commands", &commands(&scenarios));
    new = with_part(&new, "crash points", &points());
    new = with_part(&new, "codes", &codes);
    if new == page {
        return;
    }
    if std::env::var_os("TORRENS_REWRITE_DOCS").is_some() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(PAGE);
        fs::write(path, new).expect("the page can be written");
        return;
    }
    let lines = |text: &str| text.lines().map(str::to_owned).collect::<Vec<_>>();
    let all = difference(&lines(&page), &lines(&new));
    let changed: Vec<String> = all
        .into_iter()
        .filter(|line| !line.starts_with("  "))
        .take(60)
        .collect();
    panic!(
        "{PAGE} is out of date; TORRENS_REWRITE_DOCS=1 cargo test --test scenarios documentation writes \
         it:\n{}",
        changed.join("\n")
    );
}
