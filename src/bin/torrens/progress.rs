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

use crate::interrupt;
use crate::sheet::JSON_VERSION;

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

/// A line for a wrapper.
#[derive(JsonSchema, Serialize)]
struct Line {
    v: u32,
    progress: Bytes,
}

#[derive(JsonSchema, Serialize)]
struct Bytes {
    bytes: u64,
    of: u64,
}

/// The schema of a line on standard error.
pub(crate) fn schema(generator: &mut SchemaGenerator) -> Schema {
    generator.subschema_for::<Line>()
}

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

/// What an inspector is watched by: progress, and Ctrl-C.
pub(crate) fn watch(when: ProgressWhen) -> Watch {
    let shows_bar = when == ProgressWhen::Auto && std::io::stderr().is_terminal();
    let now = Instant::now();
    let state = Mutex::new(State {
        started: now,
        told: now,
        bar: None,
    });
    Watch::new(move |done, total| {
        if interrupt::asked() {
            return ControlFlow::Break(());
        }
        // Nobody panics while holding it; and progress is not worth a failure.
        let Ok(mut state) = state.lock() else {
            return ControlFlow::Continue(());
        };
        match when {
            ProgressWhen::Auto if shows_bar => state.bar(done, total),
            ProgressWhen::Json => state.json(done, total),
            ProgressWhen::Auto | ProgressWhen::Never => {}
        }
        ControlFlow::Continue(())
    })
}

impl State {
    fn bar(&mut self, done: u64, total: u64) {
        if done >= total {
            if let Some(bar) = self.bar.take() {
                bar.finish_and_clear();
            }
            return;
        }
        if self.bar.is_none() && self.started.elapsed() < PATIENCE {
            return;
        }
        let bar = self.bar.get_or_insert_with(|| {
            let bar = ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::stderr());
            let style = "{bar:30} {binary_bytes} of {binary_total_bytes}  {binary_bytes_per_sec}  {eta} left";
            if let Ok(style) = ProgressStyle::with_template(style) {
                bar.set_style(style);
            }
            bar
        });
        bar.set_length(total);
        bar.set_position(done);
    }

    fn json(&mut self, done: u64, total: u64) {
        if self.told.elapsed() < PATIENCE {
            return;
        }
        self.told = Instant::now();
        let line = Line {
            v: JSON_VERSION,
            progress: Bytes {
                bytes: done,
                of: total,
            },
        };
        if let Ok(line) = serde_json::to_string(&line) {
            let _ = writeln!(std::io::stderr(), "{line}");
        }
    }
}
