//! `torrens stats`: counts, sizes and rates of the records.

use std::io;

use clap::{Parser, ValueEnum};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::Serialize;
use torrens::inspector::clock::{duration, timestamp};
use torrens::inspector::stats::{GroupBy, Histogram, Rate, Stats, StatsRow};

use crate::exit::{Exit, Failure};
use crate::look;
use crate::output::{Out, note};
use crate::paint::Paint;
use crate::render::{count, grouped, size};
use crate::select::Wanted;
use crate::sheet::{Column, JSON_VERSION, Sheet, left, right};
use crate::stores::{self, Gathered};
use crate::view::{Output, Style, Targets, View};

const COLUMNS: [Column; 9] = [
    left("NAME"),
    right("RECORDS"),
    right("SHARE").shown_from(60),
    right("BYTES"),
    right("P50").shown_from(70),
    right("P99").shown_from(60),
    right("MAX").shown_from(60),
    left("LAST").shown_from(90),
    left("RATE").shown_from(60),
];

/// Show how many records there are of what, how large they are, and when they came.
#[derive(Debug, Parser)]
#[command(
    after_help = "P50, P99 and MAX are bytes of a record, right to an eighth. RATE is the time from the first \
selected record to the last, in up to 24 steps. Exit codes: 0, or 4 to 8 as `torrens verify`."
)]
pub(crate) struct Args {
    #[command(flatten)]
    target: Targets,
    /// What a row stands for
    #[arg(long, value_enum, value_name = "WHAT", default_value_t = By::Kind)]
    by: By,
    /// At most N rows, the ones with most records
    #[arg(long, value_name = "N")]
    top: Option<usize>,
    #[command(flatten)]
    wanted: Wanted,
    #[command(flatten)]
    view: View,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum By {
    Kind,
    Family,
    Region,
    Cause,
    Boot,
    Segment,
}

/// Runs the command.
pub(crate) fn run(args: Args) -> Exit {
    match stats(&args) {
        Ok(exit) => exit,
        Err(failure) => failure.report(),
    }
}

fn stats(args: &Args) -> Result<Exit, Failure> {
    let by = match args.by {
        By::Kind => GroupBy::Kind,
        By::Family => GroupBy::Family,
        By::Region => GroupBy::Region,
        By::Cause => GroupBy::Cause,
        By::Boot => GroupBy::Boot,
        By::Segment => GroupBy::Segment,
    };
    let selection = args.wanted.selection();
    let gathered = stores::gather(&args.target, &args.view, |one, inspector| {
        let stats = inspector.stats(&selection, by).map_err(look::failure)?;
        let failure = look::verdict_failure(&one.path, &stats.report);
        Ok((stats, Exit::OK, failure))
    })?;
    let mut out = Out::lock();
    let written = show(&mut out, args, &gathered);
    Ok(gathered.finish(out, written))
}

#[derive(JsonSchema, Serialize)]
struct Row<'a> {
    v: u32,
    name: &'a str,
    records: u64,
    bytes: u64,
    p50: u64,
    p99: u64,
    max: u64,
    first_lsn: u64,
    last_lsn: u64,
    first_ts: Option<String>,
    last_ts: Option<String>,
    rate_slot_micros: u64,
    rate: &'a [u64],
    /// Of several stores: which.
    #[serde(skip_serializing_if = "Option::is_none")]
    dir: Option<&'a str>,
}

#[derive(JsonSchema, Serialize)]
struct TotalJson<'a> {
    #[serde(flatten)]
    row: Row<'a>,
    groups: u64,
    group_records_p50: u64,
    group_records_p99: u64,
    group_records_max: u64,
    gaps: u64,
}

fn row<'a>(row: &'a StatsRow, dir: Option<&'a str>) -> Row<'a> {
    let ts = |micros: u64| (micros > 0).then(|| timestamp(micros));
    Row {
        v: JSON_VERSION,
        name: &row.name,
        records: row.records,
        bytes: row.bytes,
        p50: row.sizes.quantile(500),
        p99: row.sizes.quantile(990),
        max: row.sizes.max(),
        first_lsn: row.first.lsn.get(),
        last_lsn: row.last.lsn.get(),
        first_ts: ts(row.first.micros),
        last_ts: ts(row.last.micros),
        rate_slot_micros: row.rate.slot_micros(),
        rate: row.rate.slots(),
        dir,
    }
}

/// One block character for each slot that the whole time takes; the tallest is the row's busiest.
fn spark(rate: &Rate, whole: &Rate) -> String {
    const BLOCKS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let used = whole
        .slots()
        .iter()
        .rposition(|slot| *slot > 0)
        .map_or(0, |last| last + 1);
    let tallest = rate.slots().iter().max().copied().unwrap_or(0).max(1);
    let block = |slot: &u64| match slot {
        0 => ' ',
        slot => {
            let height = slot.saturating_mul(8).div_ceil(tallest).saturating_sub(1);
            BLOCKS
                .get(usize::try_from(height).unwrap_or(7))
                .copied()
                .unwrap_or('█')
        }
    };
    rate.slots().iter().take(used).map(block).collect()
}

fn show(out: &mut Out, args: &Args, gathered: &Gathered<Stats>) -> io::Result<()> {
    let style = &gathered.style;
    let columns = stores::columns(gathered.is_several(), &COLUMNS);
    let mut sheet = Sheet::new(style, &columns);
    for seen in &gathered.seen {
        rows(
            out,
            &mut sheet,
            args,
            seen.name.as_deref(),
            &seen.what,
            style,
        )?;
    }
    sheet.end(out)?;
    if !style.is_for_people() || !style.fields.is_empty() {
        return Ok(());
    }
    for seen in &gathered.seen {
        let prefix = stores::prefix(seen.name.as_deref());
        for line in notes(args, &seen.what) {
            note(out, &format!("{prefix}{line}"), style)?;
        }
    }
    Ok(())
}

/// The rows of one store, and that of all of them together.
fn rows(
    out: &mut Out,
    sheet: &mut Sheet,
    args: &Args,
    dir: Option<&str>,
    stats: &Stats,
    style: &Style,
) -> io::Result<()> {
    let total = stats.total.records.max(1);
    let share = |records: u64| {
        let tenths = records.saturating_mul(1000) / total;
        format!("{}.{} %", tenths / 10, tenths % 10)
    };
    let cells = |row: &StatsRow| {
        let number = |number: u64| match style.output {
            Output::Table => grouped(number),
            _ => number.to_string(),
        };
        let bytes = match style.output {
            Output::Table => size(row.bytes),
            _ => row.bytes.to_string(),
        };
        let quantile = |sizes: &Histogram, per_mille| number(sizes.quantile(per_mille));
        let cells = vec![
            row.name.clone(),
            number(row.records),
            share(row.records),
            bytes,
            quantile(&row.sizes, 500),
            quantile(&row.sizes, 990),
            number(row.sizes.max()),
            style.time(Some(row.last.micros)),
            spark(&row.rate, &stats.total.rate),
        ];
        stores::cells(dir, cells)
    };
    for one in stats.rows.iter().take(args.top.unwrap_or(usize::MAX)) {
        sheet.row(out, Paint::Plain, || cells(one), &row(one, dir))?;
    }
    let group = &stats.group_sizes;
    let totals = TotalJson {
        row: row(&stats.total, dir),
        groups: stats.groups,
        group_records_p50: group.quantile(500),
        group_records_p99: group.quantile(990),
        group_records_max: group.max(),
        gaps: stats.gaps,
    };
    sheet.row(out, Paint::Head, || cells(&stats.total), &totals)
}

/// What is said of one store below the rows.
fn notes(args: &Args, stats: &Stats) -> Vec<String> {
    let group = &stats.group_sizes;
    let mut notes = Vec::new();
    let shown = args.top.unwrap_or(usize::MAX);
    let left_out = stats.rows.len().saturating_sub(shown);
    if left_out > 0 {
        notes.push(format!(
            "{} with fewer records left out",
            count(left_out as u64, "row")
        ));
    }
    notes.push(format!(
        "{}: records in one, p50 {}, p99 {}, max {}",
        count(stats.groups, "group"),
        grouped(group.quantile(500)),
        grouped(group.quantile(990)),
        grouped(group.max())
    ));
    if stats.total.last.micros > stats.total.first.micros {
        let micros = stats.total.last.micros - stats.total.first.micros;
        let per_second = stats.total.records.saturating_mul(1_000_000) / micros.max(1);
        notes.push(format!(
            "{} from the first to the last, {} a second on average; one step of RATE is {}",
            duration(micros),
            count(per_second, "record"),
            duration(stats.total.rate.slot_micros())
        ));
    }
    if stats.gaps > 0 {
        notes.push(format!("{} in the history", count(stats.gaps, "gap")));
    }
    notes
}

/// The schemas of a row and of the totals.
pub(crate) fn schema(generator: &mut SchemaGenerator) -> [Schema; 2] {
    [
        generator.subschema_for::<Row<'_>>(),
        generator.subschema_for::<TotalJson<'_>>(),
    ]
}
