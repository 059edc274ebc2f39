//! The scenario language: the parser, and the player with whatever parses.

use torrens::play::{Place, Scenario, World, parse, parse_bytes};

/// Steps that are played of one input.
const STEPS_MAX: usize = 24;

/// The parser says where a fault is, and what it reads it writes again. No command makes the player panic.
pub fn scenario(data: &[u8]) {
    match parse_bytes(data) {
        Ok(scenario) => {
            let again = scenario.rewritten(&[]);
            let reread = parse(&again).unwrap_or_else(|error| panic!("{error} in\n{again}"));
            assert_eq!(steps(&scenario), steps(&reread));
            let lines = data.split(|byte| *byte == b'\n').count();
            assert!(scenario.steps().count() <= lines);
            let mut world = World::new(Place::Simulated, 1);
            for step in scenario.steps().take(STEPS_MAX) {
                let _ = world.run(step);
            }
        }
        Err(error) => {
            let lines = data.split(|byte| *byte == b'\n').count();
            assert!(
                (1..=lines).contains(&error.line),
                "{error} of {lines} lines"
            );
            assert!(error.column >= 1);
        }
    }
}

fn steps(scenario: &Scenario) -> Vec<(String, Vec<String>)> {
    let steps = scenario.steps();
    steps
        .map(|step| (step.text.clone(), step.expected.clone()))
        .collect()
}
