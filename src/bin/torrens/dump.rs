//! `torrens dump`: the records of a directory, filtered, as a table, as text or as ndjson.
//!
//! Damage is a line in the stream, so that a pipeline sees it too. A torn tail is no failure of a
//! dump; damage at or below what was acknowledged is, after everything readable was given.

use std::collections::VecDeque;
use std::ops::ControlFlow;
use std::path::PathBuf;

use clap::{Parser, ValueEnum};
use torrens::RegionId;
use torrens::inspector::{Description, describe};
use torrens_journal::format::RECORD_HEADER_BYTES;
use torrens_journal::{Boot, Lsn, SegmentId};
use torrens_recovery::{Gap, Item, RecordItem};

use crate::exit::{Exit, Failure};
use crate::look;
use crate::output::{Out, is_terminal};
use crate::select::{KindPattern, LsnRange};

mod form;

use form::Form;

/// Most records that `--last` keeps.
const LAST_MAX: u64 = 1_000_000;

/// Show the journal's records, oldest first.
#[derive(Debug, Parser)]
pub(crate) struct Args {
    /// The store's directory
    dir: PathBuf,
    /// Form of the output [default: table on a terminal, text otherwise]
    #[arg(short, long, value_enum)]
    output: Option<Output>,
    /// Positions: A..B, A.., ..B or N; both ends are inside
    #[arg(
        long,
        value_name = "RANGE",
        default_value = "..",
        hide_default_value = true
    )]
    lsn: LsnRange,
    /// Only records that concern these regions
    #[arg(long, value_name = "ID,...", value_delimiter = ',')]
    region: Vec<u64>,
    /// Only records of these kinds; * and ? stand for any characters
    #[arg(long, value_name = "PATTERN,...", value_delimiter = ',')]
    kind: Vec<KindPattern>,
    /// Only the last N of the selected records
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(..=LAST_MAX))]
    last: Option<u64>,
    /// At most N of the selected records, the first ones
    #[arg(long, value_name = "N", conflicts_with = "last", value_parser = clap::value_parser!(u64).range(1..))]
    limit: Option<u64>,
}

/// Forms of the output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Output {
    /// Aligned columns, cut to the width of the terminal
    Table,
    /// Columns separated by TAB, nothing cut
    Text,
    /// One JSON object per line
    Ndjson,
}

/// A record as it is shown.
#[derive(Debug)]
struct Row {
    lsn: Lsn,
    segment: SegmentId,
    offset_bytes: u64,
    record_bytes: u64,
    boot: Boot,
    durable: bool,
    behind_gap: bool,
    description: Description,
}

/// A line of the stream.
#[derive(Debug)]
enum Line {
    Record(Box<Row>),
    Gap(Gap),
}

/// Runs the command.
pub(crate) fn run(args: Args) -> Exit {
    match dump(&args) {
        Ok(exit) => exit,
        Err(failure) => failure.report(),
    }
}

fn dump(args: &Args) -> Result<Exit, Failure> {
    let inspector = look::open(&args.dir)?;
    let mut out = Out::lock();
    let output = args.output.unwrap_or(match is_terminal() {
        true => Output::Table,
        false => Output::Text,
    });
    let mut form = Form::new(output);
    let mut kept: VecDeque<Line> = VecDeque::new();
    let (mut shown, mut kept_records, mut written) = (0u64, 0u64, Ok(()));
    let report = inspector.records(args.lsn.first, &mut |item| {
        let line = match item {
            Item::Record(item) if item.record.lsn > args.lsn.last => {
                // Behind a gap LSNs may start again lower; in the history they never do.
                return if item.behind_gap {
                    ControlFlow::Continue(())
                } else {
                    ControlFlow::Break(())
                };
            }
            Item::Record(item) => match args.select(&item) {
                Some(row) => Line::Record(Box::new(row)),
                None => return ControlFlow::Continue(()),
            },
            Item::Gap(gap) => Line::Gap(gap),
            // What a later library may meet on the way.
            _ => return ControlFlow::Continue(()),
        };
        match args.last {
            Some(last) => {
                kept_records += u64::from(matches!(line, Line::Record(_)));
                kept.push_back(line);
                // Gaps do not count, and one before the first record that is kept says nothing.
                while kept_records > last {
                    let gone = kept.pop_front();
                    kept_records -= u64::from(matches!(gone, Some(Line::Record(_))));
                }
                ControlFlow::Continue(())
            }
            None => {
                shown += u64::from(matches!(line, Line::Record(_)));
                written = form.line(&mut out, &line);
                if written.is_err() || args.limit.is_some_and(|limit| shown >= limit) {
                    ControlFlow::Break(())
                } else {
                    ControlFlow::Continue(())
                }
            }
        }
    });
    let report = report.map_err(look::failure)?;
    let outcome = written
        .and_then(|()| kept.iter().try_for_each(|line| form.line(&mut out, line)))
        .and_then(|()| form.end(&mut out));
    let failure = look::verdict_failure(&args.dir, &report);
    let exit = out.finish(
        outcome,
        failure.as_ref().map_or(Exit::OK, |failure| failure.exit),
    );
    if let Some(failure) = failure {
        failure.report();
    }
    Ok(exit)
}

impl Args {
    /// The record as it is shown, if it is.
    fn select(&self, item: &RecordItem<'_>) -> Option<Row> {
        let record = &item.record;
        if !self.lsn.contains(record.lsn) {
            return None;
        }
        let description = describe(record.lsn, record.kind, record.payload);
        let of_region = |id: &u64| description.regions.contains(&RegionId(*id));
        if !self.region.is_empty() && !self.region.iter().any(of_region) {
            return None;
        }
        if !self.kind.is_empty() && !self.kind.iter().any(|kind| kind.matches(&description.kind)) {
            return None;
        }
        Some(Row {
            lsn: record.lsn,
            segment: item.segment,
            offset_bytes: record.offset_bytes,
            record_bytes: (RECORD_HEADER_BYTES + record.payload.len()) as u64,
            boot: item.boot,
            durable: item.durable,
            behind_gap: item.behind_gap,
            description,
        })
    }
}
