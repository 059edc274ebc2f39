//! Transition histories against a plain model: the machine of `tests/scenarios/history.rs`, with the fuzzer's
//! bytes in place of a seed. Each step is chosen by what the model says at that time, the process dies at
//! operations that the bytes name, and comes back with what they leave.

#[path = "../../tests/scenarios/history/model.rs"]
mod model;
#[path = "../../tests/scenarios/history/run.rs"]
mod run;

use arbitrary::Unstructured;
use torrens::play::Place;

use model::Draw;
use run::{Act, Run, Wrong};

/// Steps of one history.
const STEPS_MAX: usize = 30;

/// The engine and the model answer alike, whatever happens to them.
pub fn history(data: &[u8]) {
    let mut bytes = Bytes(Unstructured::new(data));
    let mut run = match Run::new(Place::Simulated, false) {
        Ok(run) => run,
        Err(Wrong(why)) => panic!("{why}"),
    };
    let played = play(&mut run, &mut bytes).and_then(|()| run.end());
    if let Err(Wrong(why)) = played {
        panic!("{why}\n{}", run.scenario(&why));
    }
}

fn play(run: &mut Run, bytes: &mut Bytes<'_>) -> Result<(), Wrong> {
    for _ in 0..STEPS_MAX {
        if bytes.0.is_empty() {
            break;
        }
        let Some(step) = run.model.choose(bytes) else {
            continue;
        };
        let death = run::death(bytes);
        run.play(&Act { step, death })?;
    }
    Ok(())
}

/// Choices as bytes; behind the last one the first choice is made.
struct Bytes<'a>(Unstructured<'a>);

impl Draw for Bytes<'_> {
    fn below(&mut self, bound: u64) -> u64 {
        self.0.int_in_range(0..=bound - 1).unwrap_or(0)
    }
}
