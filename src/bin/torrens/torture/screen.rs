//! What a person sees: a bar while it runs, and the last screen; or one JSON object.

use std::cell::RefCell;
use std::fmt;
use std::io::{self, IsTerminal, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use super::driver::Progress;
use super::kills::Kills;
use super::model::{Model, Wrong};
use super::tally::Tally;

/// How often the bar is drawn anew, at most.
const TICK: Duration = Duration::from_millis(100);

/// The bar on standard error; nothing if that is no terminal.
#[derive(Debug)]
pub(super) struct Bar {
    bar: ProgressBar,
    started: Instant,
    drawn: RefCell<Option<Instant>>,
}

impl Bar {
    /// A bar over the run's time, or one without an end.
    pub(super) fn new(time: Option<Duration>) -> Bar {
        let bar = match (io::stderr().is_terminal(), time) {
            (false, _) => ProgressBar::hidden(),
            (true, Some(time)) => {
                ProgressBar::new(u64::try_from(time.as_millis()).unwrap_or(u64::MAX))
            }
            (true, None) => ProgressBar::new_spinner(),
        };
        let style = match time {
            Some(_) => "{wide_bar} {msg}",
            None => "{spinner} {msg}",
        };
        if let Ok(style) = ProgressStyle::with_template(style) {
            bar.set_style(style);
        }
        Bar {
            bar,
            started: Instant::now(),
            drawn: RefCell::new(None),
        }
    }

    /// A line on standard error that the bar does not overwrite.
    pub(super) fn say(&self, line: &str) {
        self.bar.suspend(|| {
            // Whoever closed standard error does not want to know.
            let _ = writeln!(io::stderr(), "{line}");
        });
    }

    pub(super) fn end(&self) {
        self.bar.finish_and_clear();
    }
}

impl Progress for Bar {
    fn tick(&self, kills: &Kills, tally: &Tally, model: &Model) {
        let now = Instant::now();
        let mut drawn = self.drawn.borrow_mut();
        if self.bar.is_hidden() || drawn.is_some_and(|drawn| now - drawn < TICK) {
            return;
        }
        *drawn = Some(now);
        self.bar
            .set_position(u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX));
        self.bar.set_message(format!(
            "{} kills ({} in recovery)  {} transitions  {} regions  {} rows",
            kills.kills,
            kills.in_recovery,
            tally.transitions_total(),
            model.normals().count(),
            model.rows(),
        ));
    }

    fn found(&self, wrong: &Wrong) {
        self.say(&wrong.to_string());
    }

    fn outlined(&self, region: u64, scenario: &Path) {
        self.say(&format!(
            "scenario of r{region}, in outline: torrens play {}",
            scenario.display()
        ));
    }
}

/// Everything that the last screen says.
#[derive(Debug)]
pub(super) struct Summary<'a> {
    pub(super) dir: String,
    pub(super) data: &'a str,
    pub(super) seed: u64,
    pub(super) took: Duration,
    pub(super) kills: &'a Kills,
    pub(super) tally: &'a Tally,
    pub(super) regions: u64,
    pub(super) rows: u64,
    /// For `--every-step`: steps done, and whether that was every one.
    pub(super) steps: Option<(u64, bool)>,
    pub(super) interrupted: bool,
    /// Snapshots that a second store took in and passed on, in all runs on the directory.
    pub(super) passed_on: u64,
}

impl Summary<'_> {
    /// The one object of `--json`.
    pub(super) fn json(&self) -> serde_json::Value {
        let Summary { kills, tally, .. } = self;
        let mut object = serde_json::json!({
            "dir": self.dir,
            "data": self.data,
            "seed": self.seed,
            "seconds": self.took.as_secs_f64(),
            "interrupted": self.interrupted,
            "kills": kills.kills,
            "kills_in_recovery": kills.in_recovery,
            "kills_by_operation": kills.by_operation,
            "kills_by_point": kills.by_point,
            "opens": tally.opens,
            "slowest_open_micros": u64::try_from(tally.slowest_open.as_micros()).unwrap_or(u64::MAX),
            "verdicts": tally.verdicts,
            "records_replayed": tally.records_replayed,
            "resolved_forward": tally.resolved_forward,
            "resolved_back": tally.resolved_back,
            "transitions": tally.transitions_total(),
            "transitions_by_kind": tally.transitions,
            "rows": self.rows,
            "rows_written": tally.rows_written,
            "rows_resent": tally.rows_resent,
            "rows_verified": tally.rows_verified,
            "rows_copied": tally.rows_copied,
            "entries_resent": tally.entries_resent,
            "snapshots_passed_on": self.passed_on,
            "verifications": tally.verifications,
            "caches_compared": tally.caches_compared,
            "views_held": tally.views_held,
            "reads": tally.reads,
            "reads_cached": tally.reads_cached,
            "fenced": tally.fenced,
            "regions": self.regions,
            "lost": tally.lost,
            "wrong": tally.wrong,
            "findings": tally.wrongs.iter().map(|wrong| wrong.to_string()).collect::<Vec<_>>(),
        });
        if let (Some((steps, complete)), Some(object)) = (self.steps, object.as_object_mut()) {
            object.insert("steps".to_owned(), steps.into());
            object.insert("steps_complete".to_owned(), complete.into());
        }
        object
    }
}

impl fmt::Display for Summary<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Summary { kills, tally, .. } = self;
        let mut line = |name: &str, text: String| writeln!(f, "{name:<13}{text}");
        let interrupted = if self.interrupted {
            ", interrupted"
        } else {
            ""
        };
        line(
            "torture",
            format!("{} with {}, seed {}", self.dir, self.data, self.seed),
        )?;
        line(
            "time",
            format!("{:.1} s{interrupted}", self.took.as_secs_f64()),
        )?;
        if let Some((steps, complete)) = self.steps {
            let complete = if complete { "every one" } else { "not all" };
            line(
                "steps",
                format!("aborted at operation 1 to {steps}, {complete}"),
            )?;
        }
        line(
            "kills",
            format!(
                "{} survived, {} of them in recovery, {} at a chosen operation",
                kills.kills, kills.in_recovery, kills.by_operation
            ),
        )?;
        if !kills.by_point.is_empty() {
            line("died at", list(&kills.by_point))?;
        }
        line(
            "openings",
            format!(
                "{} ({}), slowest {:.1?}",
                tally.opens,
                list(&tally.verdicts),
                tally.slowest_open
            ),
        )?;
        line("replayed", format!("{} records", tally.records_replayed))?;
        line(
            "resolved",
            format!(
                "{} operations forward, {} back",
                tally.resolved_forward, tally.resolved_back
            ),
        )?;
        line(
            "transitions",
            format!(
                "{} ({})",
                tally.transitions_total(),
                list(&tally.transitions)
            ),
        )?;
        // Where an abort is tried at every operation there is no consumer.
        let copied = match tally.rows_copied {
            0 => String::new(),
            rows => format!(", {rows} verified in the copy of a consumer"),
        };
        line(
            "rows",
            format!(
                "{} written, {} sent again, {} verified{copied}",
                tally.rows_written, tally.rows_resent, tally.rows_verified
            ),
        )?;
        line(
            "reads",
            format!(
                "{} compared, {} of them from memory",
                tally.reads, tally.reads_cached
            ),
        )?;
        line(
            "compared",
            format!(
                "{} regions in memory, {} views that were held, {} directories, {} snapshots through a second store",
                tally.caches_compared, tally.views_held, tally.verifications, self.passed_on
            ),
        )?;
        line(
            "fenced",
            format!("{} late messages and stale writes refused", tally.fenced),
        )?;
        line(
            "now",
            format!("{} regions, {} rows", self.regions, self.rows),
        )?;
        match (tally.lost, tally.wrong) {
            (0, 0) => line("result", "nothing lost".to_owned()),
            (lost, wrong) => line(
                "result",
                format!("{lost} LOST, {wrong} wrong; the directory is kept as it is"),
            ),
        }
    }
}

fn list<K: fmt::Display>(counts: &std::collections::BTreeMap<K, u64>) -> String {
    let each: Vec<String> = counts
        .iter()
        .map(|(kind, count)| format!("{count} {kind}"))
        .collect();
    each.join(", ")
}
