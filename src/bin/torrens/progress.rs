//! Progress on standard error: a bar for a person who has waited a second, lines of JSON for a wrapper.

use std::io::{IsTerminal, Write};
use std::ops::ControlFlow;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use clap::ValueEnum;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::Serialize;
use torrens::inspector::Watch;

use crate::sheet::JSON_VERSION;
use crate::{interrupt, pager};

/// How progress is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ProgressWhen {
    /// A bar after a second, if standard error is a terminal
    Auto,
    /// Nothing
    Never,
    /// A line of JSON each second
    Json,
}

/// Shorter looks show nothing.
const PATIENCE: Duration = Duration::from_secs(1);

/// How a command is watched that writes to a place of its own, and so has no other options of a view.
#[derive(Clone, Copy, Debug, clap::Args)]
pub(crate) struct Shown {
    /// Progress on standard error
    #[arg(long = "progress", value_enum, value_name = "HOW", default_value_t = ProgressWhen::Auto)]
    pub(crate) when: ProgressWhen,
}

/// A line for a wrapper.
#[derive(JsonSchema, Serialize)]
struct Line {
    v: u32,
    progress: Done,
}

#[derive(Clone, Copy, JsonSchema, Serialize)]
#[serde(untagged)]
enum Done {
    /// Bytes; of how many, if that is known.
    Bytes { bytes: u64, of: Option<u64> },
    /// Parts of a whole, one after the other.
    Parts { parts: u64, of: u64 },
}

/// The schema of a line on standard error.
pub(crate) fn schema(generator: &mut SchemaGenerator) -> Schema {
    generator.subschema_for::<Line>()
}

/// What an inspector is watched by: progress, and Ctrl-C.
pub(crate) fn watch(when: ProgressWhen) -> Watch {
    let meter = Meter::new(when);
    Watch::new(move |done, total| meter.bytes(done, Some(total)))
}

/// Tells how far a command is, while somebody waits for it.
#[derive(Debug)]
pub(crate) struct Meter {
    when: ProgressWhen,
    shows_bar: bool,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    started: Instant,
    told: Instant,
    bar: Option<ProgressBar>,
}

impl Drop for State {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

impl Meter {
    /// Begins; nothing is shown before a second went by.
    pub(crate) fn new(when: ProgressWhen) -> Self {
        let now = Instant::now();
        Meter {
            when,
            shows_bar: when == ProgressWhen::Auto && std::io::stderr().is_terminal(),
            state: Mutex::new(State {
                started: now,
                told: now,
                bar: None,
            }),
        }
    }

    /// So many bytes are done, of so many if that is known. Breaks after Ctrl-C.
    pub(crate) fn bytes(&self, bytes: u64, of: Option<u64>) -> ControlFlow<()> {
        self.tell(Done::Bytes { bytes, of }, "")
    }

    /// So many parts are done, and `next` is the name of what comes. Breaks after Ctrl-C.
    pub(crate) fn parts(&self, parts: u64, of: u64, next: &str) -> ControlFlow<()> {
        self.tell(Done::Parts { parts, of }, next)
    }

    fn tell(&self, done: Done, next: &str) -> ControlFlow<()> {
        if interrupt::asked() {
            return ControlFlow::Break(());
        }
        // Nobody panics while holding it; and progress is not worth a failure.
        if let Ok(mut state) = self.state.lock() {
            match self.when {
                // A bar would paint over what the pager shows.
                ProgressWhen::Auto if self.shows_bar && !pager::is_on() => state.bar(done, next),
                ProgressWhen::Json => state.json(done),
                ProgressWhen::Auto | ProgressWhen::Never => {}
            }
        }
        ControlFlow::Continue(())
    }
}

impl Done {
    /// How far, of how much.
    fn place(self) -> (u64, Option<u64>) {
        match self {
            Done::Bytes { bytes, of } => (bytes, of),
            Done::Parts { parts, of } => (parts, Some(of)),
        }
    }

    fn style(self) -> &'static str {
        match self {
            Done::Bytes { of: Some(_), .. } => {
                "{bar:30} {binary_bytes} of {binary_total_bytes}  {binary_bytes_per_sec}  {eta} left"
            }
            Done::Bytes { of: None, .. } => {
                "{spinner} {binary_bytes}  {binary_bytes_per_sec}  {elapsed}"
            }
            Done::Parts { .. } => "{bar:30} {pos} of {len} parts  {msg}",
        }
    }
}

impl State {
    fn bar(&mut self, done: Done, next: &str) {
        let (at, of) = done.place();
        if of.is_some_and(|of| at >= of) {
            if let Some(bar) = self.bar.take() {
                bar.finish_and_clear();
            }
            return;
        }
        if self.bar.is_none() && self.started.elapsed() < PATIENCE {
            return;
        }
        let bar = self.bar.get_or_insert_with(|| {
            let bar = ProgressBar::with_draw_target(of, ProgressDrawTarget::stderr());
            if let Ok(style) = ProgressStyle::with_template(done.style()) {
                bar.set_style(style);
            }
            bar
        });
        if let Some(of) = of {
            bar.set_length(of);
        }
        bar.set_message(next.to_owned());
        bar.set_position(at);
    }

    fn json(&mut self, done: Done) {
        if self.told.elapsed() < PATIENCE {
            return;
        }
        self.told = Instant::now();
        if let Ok(line) = line(done) {
            let _ = writeln!(std::io::stderr(), "{line}");
        }
    }
}

fn line(progress: Done) -> serde_json::Result<String> {
    serde_json::to_string(&Line {
        v: JSON_VERSION,
        progress,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_how_far_of_how_much() {
        let bytes = |of| line(Done::Bytes { bytes: 7, of }).unwrap();
        assert_eq!(bytes(Some(9)), r#"{"v":1,"progress":{"bytes":7,"of":9}}"#);
        assert_eq!(bytes(None), r#"{"v":1,"progress":{"bytes":7,"of":null}}"#);
        let parts = line(Done::Parts { parts: 2, of: 14 }).unwrap();
        assert_eq!(parts, r#"{"v":1,"progress":{"parts":2,"of":14}}"#);
    }

    #[test]
    fn nothing_is_shown_before_a_second_went_by_and_then_once_a_second() {
        let mut state = State {
            started: Instant::now(),
            told: Instant::now(),
            bar: None,
        };
        let half = Done::Bytes {
            bytes: 1,
            of: Some(2),
        };
        state.bar(half, "");
        assert!(state.bar.is_none());
        let told = state.told;
        state.json(half);
        assert_eq!(state.told, told, "it was told too early");
        // As if a second had gone by.
        let Some(before) = Instant::now().checked_sub(PATIENCE) else {
            return;
        };
        (state.started, state.told) = (before, before);
        state.bar(half, "");
        assert!(state.bar.is_some());
        state.bar(
            Done::Bytes {
                bytes: 2,
                of: Some(2),
            },
            "",
        );
        assert!(state.bar.is_none(), "a bar is left behind");
    }
}
