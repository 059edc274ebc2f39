//! Playing a scenario: every step in order, what it answered, and where that is not what the file
//! says.
//!
//! Not here: reading or writing files, printing (the tool).

use std::path::PathBuf;

use super::scenario::Scenario;
use super::world::World;

/// Where machines keep their disks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Place {
    /// In memory, simulated: deterministic, and able to crash in every way.
    #[default]
    Simulated,
    /// In a directory of the real file system, one folder per store, with sled. What only a simulated
    /// disk can do ends the scenario without a verdict.
    Directory(PathBuf),
}

/// How to play.
#[derive(Clone, Debug)]
pub struct PlayOptions {
    /// Where machines keep their disks.
    pub place: Place,
    /// Feeds everything that looks random on a simulated disk.
    pub seed: u64,
    /// Whether [`play`] gives every journaled record to its `trace`.
    pub trace: bool,
    /// Whether `trace` is given every operation of the simulated disks and data stores, too.
    pub trace_operations: bool,
}

impl Default for PlayOptions {
    fn default() -> Self {
        PlayOptions {
            place: Place::Simulated,
            seed: 1,
            trace: false,
            trace_operations: false,
        }
    }
}

/// A step whose answer is not the expected one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// Line of the command in the file.
    pub line: usize,
    /// The command.
    pub command: String,
    /// What the file says.
    pub expected: Vec<String>,
    /// What was answered.
    pub found: Vec<String>,
}

/// What playing a scenario came to.
#[derive(Clone, Debug, Default)]
pub struct Played {
    /// The answer of each step, in order.
    pub answers: Vec<Vec<String>>,
    /// The steps that answered something else than the file says.
    pub differences: Vec<Difference>,
    /// The line of the step that needs a simulated disk, if playing ended there.
    pub needs_sim: Option<usize>,
}

/// Plays a scenario in a new world. `trace` is given each command and, if the options ask for it, each
/// record that it journaled.
pub fn play(scenario: &Scenario, options: &PlayOptions, trace: &mut dyn FnMut(&str)) -> Played {
    let mut world = World::new(options.place.clone(), options.seed);
    let mut played = Played::default();
    for step in scenario.steps() {
        if options.trace || options.trace_operations {
            trace(&format!("{}: {}", step.line, step.text));
        }
        let answer = world.run(step);
        if options.trace_operations {
            for operation in world.trace_operations() {
                trace(&format!("    {operation}"));
            }
        }
        if options.trace {
            for record in world.trace() {
                trace(&format!("    {record}"));
            }
        }
        if world.needs_sim() {
            played.needs_sim = Some(step.line);
            break;
        }
        if answer != step.expected {
            played.differences.push(Difference {
                line: step.line,
                command: step.text.clone(),
                expected: step.expected.clone(),
                found: answer.clone(),
            });
        }
        played.answers.push(answer);
    }
    played
}
