//! Every scenario file, played: as it stands, and again with the process dying at its operations.
//!
//! A scenario that dies is opened again, must show what had been acknowledged, ends what was open, and
//! is then played on from the step that was interrupted, as a host does that sends its log again. From
//! there on its answers may differ; what always holds must hold.
//!
//! The default dies once behind each kind of named crash point of each step, and at a sample of all
//! operations that takes another offset for each file; `TORRENS_SEED` moves the sample.
//! `TORRENS_SCENARIO_DEATHS=all` dies at every operation of every file, in each of the three ways, and
//! once more while the store is opened again. Not here: the files.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use torrens::StoreId;
use torrens::play::{Crash, Place, PlayOptions, Scenario, Step, World, difference, parse, play};

#[path = "scenarios/coverage.rs"]
mod coverage;
#[path = "scenarios/documentation.rs"]
mod documentation;
#[path = "scenarios/history.rs"]
mod history;
#[path = "scenarios/orders.rs"]
mod orders;
#[path = "scenarios/parsing.rs"]
mod parsing;
#[path = "scenarios/random.rs"]
mod random;

/// Deaths of one file in a sample, beside those at its named points.
const DEATHS: u64 = 4;
/// An opening has about so many operations: where it dies once more is chosen among them.
const OPENING_OPERATIONS: u64 = 12;

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

/// On a real disk with sled: up to where a file wants what only a simulated disk can do.
#[test]
fn every_scenario_answers_the_same_on_a_real_disk() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let (mut whole, mut steps) = (0, 0);
    for (number, (name, scenario)) in scenarios().iter().enumerate() {
        let options = PlayOptions {
            place: Place::Directory(dir.path().join(number.to_string())),
            ..PlayOptions::default()
        };
        let played = play(scenario, &options, &mut |_| {});
        steps += played.answers.len();
        whole += usize::from(played.needs_sim.is_none());
        assert_eq!(played.differences, [], "{name}");
    }
    println!("{whole} scenarios to their end, {steps} steps");
    assert!(
        whole >= 100,
        "only {whole} scenarios need no simulated disk"
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

/// Where a scenario dies.
#[derive(Clone, Copy, Debug)]
struct Death {
    /// Before the operation with this number.
    operation: u64,
    how: Crash,
    /// And again, before that operation of the opening after it.
    again: Option<u64>,
}

/// Opens a store that died; the machine may die once more meanwhile. Says whether it did.
fn come_back(world: &mut World, store: StoreId, death: Death) -> Result<bool, String> {
    let Some(again) = death.again else {
        return world.reopen(store).map(|()| false);
    };
    world.die_at(Some(world.operations() + again));
    match world.reopen(store) {
        opened if !world.has_died() => {
            world.die_at(None);
            opened.map(|()| false)
        }
        // Whatever it answered in its last breath.
        _ => {
            world.crash_dead(death.how);
            world.reopen(store).map(|()| true)
        }
    }
}

/// The steps up to the first one of `rest`, with it.
fn played<'a, 'b>(steps: &'b [&'a Step], rest: &[&Step]) -> impl Iterator<Item = &'b &'a Step> {
    steps.iter().take(steps.len() + 1 - rest.len())
}

/// Plays a scenario whose process dies; says whether it came to that, and to the second death.
fn play_with_death(steps: &[&Step], death: Death) -> Result<(bool, bool), String> {
    let mut world = World::new(Place::Simulated, 1);
    world.die_at(Some(death.operation));
    let mut rest = steps;
    let (mut died, mut died_again) = (false, false);
    while let Some((step, next)) = rest.split_first() {
        world.run(step);
        if !died && world.has_died() {
            died = true;
            for store in world.crash_dead(death.how) {
                let context = |why| format!("after the death in line {}: {why}", step.line);
                let restores = played(steps, rest).any(|step| step.command() == "restore");
                died_again |= match come_back(&mut world, store, death) {
                    // What was to be made of a backup does not open before it is whole, whatever it is taken for.
                    Err(why) if restores && why.contains("error open-recovery: ") => {
                        world.remove_store(store)?;
                        false
                    }
                    came_back => came_back.map_err(context)?,
                };
            }
            // The host was not answered, so it asks again: once more from this step on.
            continue;
        }
        rest = next;
    }
    for store in world.stores() {
        let context = |why| format!("at the end, {store}: {why}");
        world.settle(store).map_err(context)?;
    }
    Ok((died, died_again))
}

/// The deaths of one file that the default plays: behind each kind of named point of each step, and a
/// sample of all operations.
fn sample(steps: &[&Step], offset: u64) -> (u64, Vec<Death>) {
    let mut world = World::new(Place::Simulated, 1);
    let mut operations = BTreeSet::new();
    for step in steps {
        world.run(step);
        let mut seen = BTreeSet::new();
        for (operation, point) in world.points_reached() {
            // The process dies before the operation that follows, whoever does it.
            if seen.insert(point) {
                operations.insert(operation + 1);
            }
        }
    }
    let count = world.operations();
    let stride = (count / DEATHS).max(1);
    let first = 1 + offset % stride;
    operations.extend((first..=count).step_by(stride as usize));
    let death = |operation| Death {
        operation,
        how: crash_for(operation + offset),
        again: None,
    };
    let reached = operations.range(..=count);
    (count, reached.copied().map(death).collect())
}

/// Every death: each operation, each way, and once more in the opening after it.
fn every_death(steps: &[&Step]) -> (u64, Vec<Death>) {
    let mut world = World::new(Place::Simulated, 1);
    steps.iter().for_each(|step| drop(world.run(step)));
    let count = world.operations();
    let deaths = (1..=count).flat_map(|operation| {
        let ways = [Crash::Power, Crash::Kill, Crash::Sectors(operation)];
        ways.into_iter().enumerate().flat_map(move |(way, how)| {
            let again = 1 + (operation + way as u64) % OPENING_OPERATIONS;
            [None, Some(again)].map(|again| Death {
                operation,
                how,
                again,
            })
        })
    });
    (count, deaths.collect())
}

#[test]
fn every_scenario_survives_a_death_at_its_operations() {
    let all_of_them = std::env::var("TORRENS_SCENARIO_DEATHS").is_ok_and(|wish| wish == "all");
    let seed = seed();
    println!("seed {seed}");
    let (mut operations, mut deaths, mut second) = (0, 0, 0);
    let mut wrong = Vec::new();
    for (number, (name, scenario)) in scenarios().into_iter().enumerate() {
        let steps: Vec<&Step> = scenario.steps().collect();
        let (count, planned) = match all_of_them {
            true => every_death(&steps),
            false => sample(&steps, seed + number as u64),
        };
        operations += count;
        for death in planned {
            match play_with_death(&steps, death) {
                Ok((died, again)) => {
                    deaths += u64::from(died);
                    second += u64::from(again);
                }
                Err(why) => wrong.push(format!("{name}, {death:?}: {why}")),
            }
        }
    }
    println!(
        "{operations} operations, {deaths} deaths and {second} more while opening, each recovered and \
         played to the end"
    );
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
