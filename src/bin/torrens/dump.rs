//! `torrens dump`: the records of a directory, filtered, in any form.
//!
//! Damage is a line in the stream, so that a pipeline sees it too. A torn tail is no failure of a
//! dump; damage at or below what was acknowledged is, after everything readable was given.

use std::collections::VecDeque;
use std::ops::ControlFlow;

use clap::Parser;
use regex::Regex;
use torrens::inspector::{Description, Selected};
use torrens_recovery::{Gap, RecordItem, Verdict};

use crate::exit::{Exit, Failure};
use crate::interrupt;
use crate::look;
use crate::output::Out;
use crate::record::RecordSheet;
use crate::select::Wanted;
use crate::view::{Style, Targets, View};

mod raw;
pub(crate) mod several;

/// Most records that `--last` keeps.
const LAST_MAX: u64 = 1_000_000;

/// Show the journal's records, oldest first.
#[derive(Debug, Parser)]
#[command(
    visible_alias = "log",
    after_help = "Damage is a line of its own (GAP, or a \"gap\" object). Exit codes: 0 done, also on a torn tail; \
1 nothing matched (with --exit-code); 4 to 8 as `torrens verify`, after everything readable was given."
)]
pub(crate) struct Args {
    #[command(flatten)]
    target: Targets,
    #[command(flatten)]
    wanted: Wanted,
    #[command(flatten)]
    amount: Amount,
    /// Stop at the first place where the history does not go on, and exit as `torrens verify` does
    #[arg(long, conflicts_with = "lenient")]
    strict: bool,
    /// Go on behind damage, and show what can still be read [default]
    #[arg(long)]
    lenient: bool,
    /// Exit 1 if no record was selected
    #[arg(long)]
    exit_code: bool,
    /// Everything that `torrens build` makes the same directory of: the records with their bytes, and lines for
    /// segments, groups, marks, checkpoints and damage. As ndjson; keys are never redacted
    #[arg(long, conflicts_with_all = ["output", "keys", "fields", "strict", "exit_code", "last", "limit", "reverse", "grep", "Wanted"])]
    raw: bool,
    #[command(flatten)]
    view: View,
}

/// How many of the selected records.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "How many")]
pub(crate) struct Amount {
    /// Only the last N of the selected records
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(..=LAST_MAX))]
    pub(crate) last: Option<u64>,
    /// At most N of the selected records, the first ones
    #[arg(long, visible_alias = "first", value_name = "N", conflicts_with = "last", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) limit: Option<u64>,
    /// Newest first; keeps the selected records in memory, a million at most
    #[arg(long)]
    pub(crate) reverse: bool,
    /// Only those whose kind and detail match this regular expression
    #[arg(long, value_name = "REGEX")]
    pub(crate) grep: Option<Regex>,
}

/// Runs the command.
pub(crate) fn run(args: Args) -> Exit {
    match dump(&args) {
        Ok(exit) => exit,
        Err(failure) => failure.report(),
    }
}

fn dump(args: &Args) -> Result<Exit, Failure> {
    if args.raw {
        return raw::dump(args);
    }
    let Some(path) = args.target.only() else {
        return several::dump(args, args.target.named());
    };
    let inspector = args.view.open_path(&path)?;
    let style = args.view.style(&inspector);
    let mut out = Out::lock();
    let mut pipe = Pipe::new(&args.amount, &style);
    let (strict, selection) = (args.strict, args.wanted.selection());
    let report = inspector.select(&selection, &mut |selected| match selected {
        Selected::Record { item, description } => pipe.record(&mut out, &item, description),
        Selected::Gap(gap) => {
            pipe.gap(&mut out, &gap)?;
            match strict {
                true => ControlFlow::Break(()),
                false => ControlFlow::Continue(()),
            }
        }
        // What a later library may meet on the way.
        _ => ControlFlow::Continue(()),
    });
    let report = match report {
        Ok(report) => Some(report),
        Err(torrens::inspector::InspectError::Stopped) => None,
        Err(error) => return Err(look::failure(error)),
    };
    let selected = pipe.selected;
    let outcome = pipe.end(&mut out);
    let Some(report) = report.filter(|_| !interrupt::asked()) else {
        return Ok(out.finish(outcome, Exit::INTERRUPTED));
    };
    let failure = look::verdict_failure(&path, &report);
    let exit = match (&failure, &report.verdict) {
        (Some(failure), _) => failure.exit,
        (None, Verdict::TornTail(_)) if strict => Exit::of(report.verdict.exit_code()),
        (None, _) if args.exit_code && selected == 0 => Exit::NEGATIVE,
        (None, _) => Exit::OK,
    };
    let exit = out.finish(outcome, exit);
    if let Some(failure) = failure {
        failure.report();
    }
    Ok(exit)
}

/// A record that is kept for later, since its bytes are gone by then.
pub(crate) struct Kept {
    payload: Vec<u8>,
    item: RecordItem<'static>,
    description: Description,
    /// Of several stores: which.
    dir: Option<String>,
}

impl Kept {
    pub(crate) fn of(
        item: &RecordItem<'_>,
        description: &Description,
        dir: Option<String>,
    ) -> Self {
        Kept {
            dir,
            payload: item.record.payload.to_vec(),
            item: item.with_payload(&[]),
            description: description.clone(),
        }
    }

    fn item(&self) -> RecordItem<'_> {
        self.item.with_payload(&self.payload)
    }

    /// The name of its kind.
    pub(crate) fn kind(&self) -> &str {
        &self.description.kind
    }

    /// Whether it lies behind a place where the history does not go on.
    pub(crate) fn is_behind_gap(&self) -> bool {
        self.item.behind_gap
    }
}

/// A line that is kept for later.
enum Line {
    Record(Box<Kept>),
    Gap(Gap, Option<String>),
}

/// Writes what was selected, as much of it as was asked for.
pub(crate) struct Pipe<'a> {
    amount: &'a Amount,
    style: &'a Style,
    /// Keep only so many of the last ones, and write them at the end.
    last: Option<u64>,
    reverse: bool,
    sheet: RecordSheet,
    kept: VecDeque<Line>,
    kept_records: u64,
    /// Of several stores: that of what comes.
    dir: Option<String>,
    /// Records that were selected.
    pub(crate) selected: u64,
    written: std::io::Result<()>,
}

impl<'a> Pipe<'a> {
    pub(crate) fn new(amount: &'a Amount, style: &'a Style) -> Self {
        Pipe {
            amount,
            style,
            last: amount.last,
            reverse: amount.reverse,
            sheet: RecordSheet::new(style),
            kept: VecDeque::new(),
            kept_records: 0,
            dir: None,
            selected: 0,
            written: Ok(()),
        }
    }

    /// For the records of several stores.
    pub(crate) fn of_several(amount: &'a Amount, style: &'a Style) -> Self {
        Pipe {
            sheet: RecordSheet::of_several(style),
            ..Pipe::new(amount, style)
        }
    }

    /// What comes is of that store.
    fn of(&mut self, dir: &str) {
        if self.dir.as_deref() != Some(dir) {
            self.dir = Some(dir.to_owned());
        }
        self.sheet.of(dir);
    }

    /// Takes a record or a gap of that store.
    pub(crate) fn piece(
        &mut self,
        out: &mut Out,
        dir: &str,
        piece: several::Piece,
    ) -> ControlFlow<()> {
        self.of(dir);
        match piece {
            several::Piece::Record(kept) => self.record(out, &kept.item(), &kept.description),
            several::Piece::Gap(gap) => self.gap(out, &gap),
        }
    }

    /// Takes a record; a break says that no more is wanted.
    pub(crate) fn record(
        &mut self,
        out: &mut Out,
        item: &RecordItem<'_>,
        description: &Description,
    ) -> ControlFlow<()> {
        if interrupt::asked() {
            return ControlFlow::Break(());
        }
        if let Some(grep) = &self.amount.grep {
            let line = format!(
                "{} {}",
                description.kind,
                description.detail(&self.style.keys)
            );
            if !grep.is_match(&line) {
                return ControlFlow::Continue(());
            }
        }
        self.selected += 1;
        if self.keeps() {
            self.keep(Line::Record(Box::new(Kept::of(
                item,
                description,
                self.dir.clone(),
            ))));
        } else {
            self.written = self.sheet.record(out, item, description);
        }
        let full = self
            .amount
            .limit
            .is_some_and(|limit| self.selected >= limit);
        match self.written.is_err() || full {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        }
    }

    /// Takes a gap.
    pub(crate) fn gap(&mut self, out: &mut Out, gap: &Gap) -> ControlFlow<()> {
        if self.keeps() {
            self.keep(Line::Gap(gap.clone(), self.dir.clone()));
        } else {
            self.written = self.sheet.gap(out, gap);
        }
        match self.written.is_err() {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        }
    }

    fn keeps(&self) -> bool {
        self.last.is_some() || self.reverse
    }

    fn keep(&mut self, line: Line) {
        self.kept_records += u64::from(matches!(line, Line::Record(_)));
        self.kept.push_back(line);
        // Gaps do not count, and one before the first record that is kept says nothing.
        while self.kept_records > self.last.unwrap_or(LAST_MAX) {
            let gone = self.kept.pop_front();
            self.kept_records -= u64::from(matches!(gone, Some(Line::Record(_))));
        }
    }

    /// Writes what was kept and what the form still has to say.
    pub(crate) fn end(mut self, out: &mut Out) -> std::io::Result<()> {
        self.give_kept(out)?;
        self.sheet.end(out)
    }

    /// Writes what was kept and everything that was gathered, and gives on at once what comes from now on.
    pub(crate) fn flush(&mut self, out: &mut Out) -> std::io::Result<()> {
        self.give_kept(out)?;
        (self.last, self.reverse) = (None, false);
        self.sheet.flush(out)
    }

    fn give_kept(&mut self, out: &mut Out) -> std::io::Result<()> {
        std::mem::replace(&mut self.written, Ok(()))?;
        while let Some(line) = match self.reverse {
            true => self.kept.pop_back(),
            false => self.kept.pop_front(),
        } {
            match line {
                Line::Record(kept) => {
                    if let Some(dir) = &kept.dir {
                        self.sheet.of(dir);
                    }
                    self.sheet.record(out, &kept.item(), &kept.description)?;
                }
                Line::Gap(gap, dir) => {
                    if let Some(dir) = &dir {
                        self.sheet.of(dir);
                    }
                    self.sheet.gap(out, &gap)?;
                }
            }
        }
        self.kept_records = 0;
        Ok(())
    }
}
