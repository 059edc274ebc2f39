//! Every scenario file, played: as it stands, and again with the process dying at its operations.
//!
//! A scenario that dies is opened again, must show what had been acknowledged, ends what was open, and
//! is then played on from the step that was interrupted, as a host does that sends its log again. From
//! there on its answers may differ; what always holds must hold.
//!
//! `TORRENS_SCENARIO_DEATHS=all` dies at every operation of every file; the default is a sample that
//! takes another offset for each file. `TORRENS_SEED` moves the sample. Not here: the files.

use std::fs;
use std::path::{Path, PathBuf};

use torrens::StoreId;
use torrens::play::{Crash, Place, PlayOptions, Scenario, Step, World, difference, parse, play};

#[path = "scenarios/coverage.rs"]
mod coverage;
#[path = "scenarios/orders.rs"]
mod orders;
#[path = "scenarios/random.rs"]
mod random;

/// Deaths of one file in a sample.
const DEATHS: u64 = 8;

fn files(dir: &Path, into: &mut Vec<PathBuf>) {
    let entries = fs::read_dir(dir).expect("the scenarios are part of the project");
    for entry in entries {
        let path = entry.expect("a readable folder").path();
        if path.is_dir() {
            files(&path, into);
        } else if path.extension().is_some_and(|suffix| suffix == "scenario") {
            into.push(path);
        }
    }
}

/// Every file, by its name below `tests/scenarios`.
fn scenarios() -> Vec<(String, Scenario)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios");
    let mut paths = Vec::new();
    files(&root, &mut paths);
    paths.sort();
    let named = |path: PathBuf| {
        let name = path.strip_prefix(&root).expect("below the root");
        let name = name.display().to_string();
        let text = fs::read_to_string(&path).expect("UTF-8");
        let parsed = parse(&text).unwrap_or_else(|error| panic!("{name}:{error}"));
        (name, parsed)
    };
    paths.into_iter().map(named).collect()
}

fn seed() -> u64 {
    let seed = std::env::var("TORRENS_SEED").ok();
    seed.map_or(1, |seed| seed.parse().expect("TORRENS_SEED is a number"))
}

#[test]
fn every_scenario_answers_as_expected() {
    let mut wrong = String::new();
    let all = scenarios();
    assert!(all.len() >= 80, "only {} scenarios", all.len());
    let (mut steps, mut different) = (0, 0);
    for (name, scenario) in &all {
        let played = play(scenario, &PlayOptions::default(), &mut |_| {});
        steps += played.answers.len();
        different += usize::from(!played.differences.is_empty());
        for step in played.differences {
            wrong.push_str(&format!("{name}:{}: {}\n", step.line, step.command));
            for line in difference(&step.expected, &step.found) {
                wrong.push_str(&format!("    {line}\n"));
            }
        }
    }
    println!("{} scenarios, {steps} steps", all.len());
    assert!(
        wrong.is_empty(),
        "{different} scenarios answer something else:\n{wrong}"
    );
}

#[test]
fn every_scenario_says_what_broke_and_ends_with_a_check() {
    for (name, scenario) in scenarios() {
        let first = scenario.rewritten(&[]);
        assert!(first.starts_with("# "), "{name} begins without a comment");
        let checks = scenario.steps().any(|step| step.command() == "check");
        assert!(checks, "{name} checks nothing");
    }
}

/// How a machine dies, the number of the operation deciding.
fn crash_for(operation: u64) -> Crash {
    match operation % 3 {
        0 => Crash::Power,
        1 => Crash::Kill,
        _ => Crash::Sectors(operation),
    }
}

/// Plays a scenario whose process dies before `operation`; says whether it came to that.
fn play_with_death(steps: &[&Step], operation: u64) -> Result<bool, String> {
    let mut world = World::new(Place::Simulated, 1);
    world.die_at(Some(operation));
    let mut rest = steps;
    let mut died = false;
    while let Some((step, next)) = rest.split_first() {
        world.run(step);
        if !died && world.has_died() {
            died = true;
            for store in world.crash_dead(crash_for(operation)) {
                let context = |why| format!("after the death in line {}: {why}", step.line);
                world.reopen(store).map_err(context)?;
            }
            // The host was not answered, so it asks again: once more from this step on.
            continue;
        }
        rest = next;
    }
    for StoreId(store) in world.stores() {
        let context = |why| format!("at the end, s{store}: {why}");
        world.settle(StoreId(store)).map_err(context)?;
    }
    Ok(died)
}

#[test]
fn every_scenario_survives_a_death_at_its_operations() {
    let all_of_them = std::env::var("TORRENS_SCENARIO_DEATHS").is_ok_and(|wish| wish == "all");
    let seed = seed();
    println!("seed {seed}");
    let (mut operations, mut deaths) = (0, 0);
    let mut wrong = Vec::new();
    for (number, (name, scenario)) in scenarios().into_iter().enumerate() {
        let steps: Vec<&Step> = scenario.steps().collect();
        let mut world = World::new(Place::Simulated, 1);
        steps.iter().for_each(|step| drop(world.run(step)));
        let count = world.operations();
        operations += count;
        let stride = if all_of_them {
            1
        } else {
            (count / DEATHS).max(1)
        };
        let first = if all_of_them {
            1
        } else {
            1 + (seed + number as u64) % stride
        };
        for operation in (first..=count).step_by(stride as usize) {
            match play_with_death(&steps, operation) {
                Ok(died) => deaths += u64::from(died),
                Err(why) => {
                    wrong.push(format!("{name}, death before operation {operation}: {why}"))
                }
            }
        }
    }
    println!("{operations} operations, {deaths} deaths, each recovered and played to the end");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
