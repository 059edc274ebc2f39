//! Random histories against a plain model, on the simulated disk and on a real one: the process dies at
//! random operations, comes back with a random part of what was not synced, dies again while it opens, and
//! must always show the state before or after what was under way. The host sends its log again from where
//! the store says that its data ends, and nothing else; views are held, and loads stand half way, over
//! everything.
//!
//! A history that goes wrong is shrunk, and written as a scenario that `torrens play` plays.
//! `TORRENS_SEED` starts elsewhere, `TORRENS_HISTORIES` plays more of them, `TORRENS_HISTORY_STEPS` longer
//! ones.

#[path = "history/model.rs"]
mod model;
#[path = "history/run.rs"]
mod run;

use std::path::{Path, PathBuf};

use torrens::play::{Place, PlayOptions, parse, play};

use model::Draw;
use run::{Act, Run, Wrong};

/// Most plays that shrinking may take.
const SHRINKING_PLAYS: usize = 4000;

/// Small numbers from a seed (xorshift).
struct Random(u64);

impl Draw for Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |wish| {
        wish.parse()
            .unwrap_or_else(|_| panic!("{name} is a number"))
    })
}

/// How a history went: crashes, or the acts that go wrong and why.
struct Gone {
    acts: Vec<Act>,
    crashes: u64,
    wrong: Option<(String, String)>,
}

/// Plays a new history: each step is chosen by what the model says at that time.
fn generate(place: Place, seed: u64, steps: u64, forgets: bool) -> Gone {
    let mut random = Random(seed);
    let mut acts = Vec::new();
    go(place, forgets, |run| {
        for _ in 0..steps {
            let Some(step) = run.model.choose(&mut random) else {
                continue;
            };
            let death = run::death(&mut random);
            acts.push(Act { step, death });
            if let Some(act) = acts.last() {
                run.play(act)?;
            }
        }
        Ok(())
    })
    .with(acts)
}

/// Plays acts again.
fn again(place: Place, acts: &[Act], forgets: bool) -> Gone {
    go(place, forgets, |run| {
        acts.iter().try_for_each(|act| run.play(act))
    })
    .with(acts.to_vec())
}

impl Gone {
    fn with(self, acts: Vec<Act>) -> Gone {
        Gone { acts, ..self }
    }
}

fn go(place: Place, forgets: bool, plays: impl FnOnce(&mut Run) -> Result<(), Wrong>) -> Gone {
    let (crashes, wrong) = match Run::new(place, forgets) {
        Err(Wrong(why)) => (0, Some((why, String::new()))),
        Ok(mut run) => {
            let played = plays(&mut run).and_then(|()| run.end());
            let wrong = played.err().map(|Wrong(why)| {
                let file = run.scenario(&why);
                (why, file)
            });
            (run.crashes, wrong)
        }
    };
    let acts = vec![];
    Gone {
        acts,
        crashes,
        wrong,
    }
}

/// Leaves out whatever can be left out while it still goes wrong; `again` plays.
fn shrunk(gone: Gone, again: &dyn Fn(&[Act]) -> Gone) -> Gone {
    let mut best = gone;
    let mut plays = 0;
    let mut size = best.acts.len().div_ceil(2);
    while size > 0 && plays < SHRINKING_PLAYS {
        let (mut at, mut fewer_now) = (0, false);
        while at < best.acts.len() && plays < SHRINKING_PLAYS {
            let mut fewer = best.acts.clone();
            fewer.drain(at..(at + size).min(best.acts.len()));
            let tried = again(&fewer);
            plays += 1;
            if tried.wrong.is_some() {
                (best, fewer_now) = (tried, true);
            } else {
                at += size;
            }
        }
        // One at a time until nothing more can go.
        size = if size == 1 && fewer_now { 1 } else { size / 2 };
    }
    for at in 0..best.acts.len() {
        let mut simpler = best.acts.clone();
        let Some(act) = simpler.get_mut(at).filter(|act| act.death.is_some()) else {
            continue;
        };
        act.death = None;
        let tried = again(&simpler);
        if tried.wrong.is_some() {
            best = tried;
        }
    }
    best
}

/// Writes the history as a scenario, and fails.
fn report(seed: u64, gone: &Gone) -> ! {
    let (why, file) = gone.wrong.clone().unwrap_or_default();
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("history-{seed}.scenario"));
    std::fs::write(&path, &file).expect("a place for the scenario");
    panic!(
        "seed {seed}: {why}\n`torrens play {}` shows it:\n{file}",
        path.display()
    );
}

#[test]
fn any_history_with_crashes_is_what_the_model_says() {
    let (first, histories) = (number("TORRENS_SEED", 1), number("TORRENS_HISTORIES", 60));
    let steps = number("TORRENS_HISTORY_STEPS", 60);
    let mut crashes = 0;
    for seed in (first..).take(histories as usize) {
        let gone = generate(Place::Simulated, seed * 0x9e37_79b9, steps, false);
        crashes += gone.crashes;
        if gone.wrong.is_some() {
            let again = |acts: &[Act]| again(Place::Simulated, acts, false);
            report(seed, &shrunk(gone, &again));
        }
    }
    println!("{histories} histories of {steps} steps from seed {first}, {crashes} crashes");
    assert!(crashes > histories, "{crashes} crashes are too few");
}

/// A directory of its own for each play.
struct Places<'a> {
    dir: &'a Path,
    made: std::cell::Cell<u64>,
}

impl Places<'_> {
    fn next(&self) -> Place {
        self.made.set(self.made.get() + 1);
        Place::Directory(self.dir.join(self.made.get().to_string()))
    }
}

#[test]
fn any_history_on_a_real_disk_is_what_the_model_says() {
    let (first, histories) = (
        number("TORRENS_SEED", 1),
        number("TORRENS_REAL_HISTORIES", 3),
    );
    let steps = number("TORRENS_HISTORY_STEPS", 60);
    let dir = tempfile::tempdir().expect("a temporary directory");
    let (dir, made) = (dir.path(), std::cell::Cell::new(0));
    let places = Places { dir, made };
    let mut crashes = 0;
    for seed in (first..).take(histories as usize) {
        let gone = generate(places.next(), seed * 0x9e37_79b9, steps, false);
        crashes += gone.crashes;
        if gone.wrong.is_some() {
            let again = |acts: &[Act]| again(places.next(), acts, false);
            report(seed, &shrunk(gone, &again));
        }
    }
    println!("{histories} histories of {steps} steps from seed {first}, {crashes} kills");
    assert!(crashes > histories, "{crashes} kills are too few");
}

/// A mistake on purpose: the model forgets deletions. What is left of a long history is a short file, and
/// playing the file shows the difference, and shows it in its last step alone.
#[test]
fn a_history_that_goes_wrong_becomes_a_short_file_that_shows_it() {
    let again = |acts: &[Act]| again(Place::Simulated, acts, true);
    let gone = (1..50)
        .map(|seed| generate(Place::Simulated, seed * 0x9e37_79b9, 200, true))
        .find(|gone| gone.wrong.is_some() && gone.acts.len() > 20)
        .expect("some history deletes a key");
    let long = gone.acts.len();
    let short = shrunk(gone, &again);
    println!("{long} steps, {} are left", short.acts.len());
    assert!(short.acts.len() <= 3, "{:?}", short.acts);
    let (_, file) = short.wrong.expect("still wrong");
    let scenario = parse(&file).unwrap_or_else(|error| panic!("{error}\n{file}"));
    let played = play(&scenario, &PlayOptions::default(), &mut |_| {});
    let lines: Vec<usize> = played.differences.iter().map(|step| step.line).collect();
    let last = scenario.steps().last().map(|step| step.line);
    assert_eq!(lines, last.into_iter().collect::<Vec<_>>(), "{file}");
}
