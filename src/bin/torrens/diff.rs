//! `torrens diff`: what differs between two points of a store, or between two stores.

use std::io::{self, Write};
use std::ops::ControlFlow;
use std::path::PathBuf;

use clap::Parser;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::Serialize;
use torrens::RegionId;
use torrens::inspector::diff::{Changed, Subject, difference};
use torrens::inspector::{Inspector, LsnRange, Picture, Point, Selected, Selection};
use torrens_journal::Lsn;

use crate::changes::{ChangedJson, changed_lines};
use crate::exit::{Exit, Failure};
use crate::look;
use crate::output::{Out, wrapped};
use crate::render::{count, grouped, printable};
use crate::select::region;
use crate::sheet::{Column, JSON_VERSION, Sheet, left};
use crate::view::{Style, View};

/// Records between two points that are named; of more the rest is counted.
const NAMED_MAX: usize = 12;

/// Show what differs between two points of a store, or between two stores.
#[derive(Debug, Parser)]
#[command(
    after_help = "Points: 8412, @09:21:07, ~5, boot:-1, ckpt:last, first, last, durable. \
Exit codes: 0 nothing differs, 1 something does, 2 there is no such point, 4 to 8 as `torrens verify`."
)]
pub(crate) struct Args {
    /// The store's directory
    #[arg(value_name = "DIR")]
    dir: PathBuf,
    /// The earlier point [default: ckpt:last, or first]
    #[arg(value_name = "FROM", conflicts_with = "with")]
    from: Option<Point>,
    /// The later point
    #[arg(value_name = "TO", conflicts_with = "with")]
    to: Option<Point>,
    /// Compare with another store's directory instead
    #[arg(long, value_name = "DIR")]
    with: Option<PathBuf>,
    /// With --with: both at this point
    #[arg(long, value_name = "POINT", requires = "with")]
    at: Option<Point>,
    /// Only these regions: 7 or r7
    #[arg(long, value_name = "ID,...", value_delimiter = ',', value_parser = region)]
    region: Vec<RegionId>,
    #[command(flatten)]
    view: View,
}

/// Runs the command.
pub(crate) fn run(args: Args) -> Exit {
    match diff(&args) {
        Ok(exit) => exit,
        Err(failure) => failure.report(),
    }
}

/// One side, with its name.
struct Side {
    name: String,
    picture: Picture,
}

fn side(
    args: &Args,
    inspector: &Inspector,
    at: Option<Point>,
    name: String,
) -> Result<Side, Failure> {
    let lsn = at
        .map(|point| inspector.resolve(point))
        .transpose()
        .map_err(look::failure)?;
    let picture = inspector.look(lsn).map_err(look::failure)?;
    let is_short = match lsn {
        Some(lsn) => picture.position < lsn,
        None => !picture.report.verdict.can_open(),
    };
    match look::verdict_failure(&args.dir, &picture.report).filter(|_| is_short) {
        Some(failure) => Err(failure),
        None => Ok(Side { name, picture }),
    }
}

fn diff(args: &Args) -> Result<Exit, Failure> {
    let inspector = args.view.open_path(&args.dir)?;
    let style = args.view.style(&inspector);
    let shown = |path: &PathBuf| printable(&path.display().to_string());
    let (before, after, between) = match &args.with {
        Some(with) => {
            let other = args.view.open_path(with)?;
            let before = side(args, &inspector, args.at, shown(&args.dir))?;
            (before, side(args, &other, args.at, shown(with))?, None)
        }
        None => {
            let from = match args.from {
                Some(from) => from,
                None if inspector.resolve(Point::Checkpoint(0)).is_ok() => Point::Checkpoint(0),
                None => Point::First,
            };
            let to = args.to.unwrap_or(Point::Last);
            let before = side(args, &inspector, Some(from), String::new())?;
            let after = side(args, &inspector, Some(to), String::new())?;
            let positions = (before.picture.position, after.picture.position);
            let named = |side: Side, point: Point| Side {
                name: match point {
                    Point::Lsn(lsn) => format!("LSN {lsn}"),
                    point => format!("{point} (LSN {})", side.picture.position),
                },
                ..side
            };
            (named(before, from), named(after, to), Some(positions))
        }
    };
    let mut changed = difference(&before.picture.register, &after.picture.register);
    if !args.region.is_empty() {
        let is_wanted = |one: &Changed| match &one.subject {
            Subject::Region(region) => args.region.contains(region),
            _ => false,
        };
        changed.retain(is_wanted);
    }
    let records = match between {
        Some((from, to)) => records_between(&inspector, args, from, to)?,
        None => Records::default(),
    };
    let mut out = Out::lock();
    let written = match style.is_for_people() && style.fields.is_empty() {
        true => screen(
            &mut out,
            &before,
            &after,
            &changed,
            between.map(|_| &records),
            &style,
        ),
        false => rows(&mut out, &changed, &style),
    };
    Ok(out.finish(
        written,
        match changed.is_empty() {
            true => Exit::OK,
            false => Exit::NEGATIVE,
        },
    ))
}

/// The records between two points.
#[derive(Default)]
struct Records {
    named: Vec<(u64, String)>,
    total: u64,
}

fn records_between(inspector: &Inspector, args: &Args, a: Lsn, b: Lsn) -> Result<Records, Failure> {
    let (from, to) = (a.min(b), a.max(b));
    let mut records = Records::default();
    let Some(first) = from.next().filter(|first| *first <= to) else {
        return Ok(records);
    };
    let selection = Selection {
        lsns: LsnRange { first, last: to },
        regions: args.region.clone(),
        ..Selection::default()
    };
    inspector
        .select(&selection, &mut |selected| {
            if let Selected::Record { item, description } = selected
                && !item.behind_gap
            {
                records.total += 1;
                if records.named.len() < NAMED_MAX {
                    records
                        .named
                        .push((item.record.lsn.get(), description.kind.to_string()));
                }
            }
            ControlFlow::Continue(())
        })
        .map_err(look::failure)?;
    Ok(records)
}

fn screen(
    out: &mut Out,
    before: &Side,
    after: &Side,
    changed: &[Changed],
    records: Option<&Records>,
    style: &Style,
) -> io::Result<()> {
    writeln!(out, "from {}   to {}", before.name, after.name)?;
    if changed.is_empty() {
        writeln!(out, "nothing differs")?;
    }
    changed_lines(out, changed, style)?;
    let Some(records) = records else {
        return Ok(());
    };
    let named: Vec<String> = records
        .named
        .iter()
        .map(|(lsn, kind)| format!("{lsn} {kind}"))
        .collect();
    let more = records.total - records.named.len() as u64;
    let more = match more {
        0 => String::new(),
        more => format!(", and {} more", grouped(more)),
    };
    match records.total {
        0 => writeln!(out, "no record between"),
        total => {
            let text = format!(
                "{} between: {}{more}",
                count(total, "record"),
                named.join(", ")
            );
            wrapped(out, "", &text, style)
        }
    }
}

const COLUMNS: [Column; 4] = [
    left("SUBJECT"),
    left("FACET"),
    left("BEFORE"),
    left("AFTER"),
];

#[derive(JsonSchema, Serialize)]
struct Row<'a> {
    v: u32,
    #[serde(flatten)]
    changed: ChangedJson<'a>,
}

fn rows(out: &mut Out, changed: &[Changed], style: &Style) -> io::Result<()> {
    let mut sheet = Sheet::new(style, &COLUMNS);
    for one in changed {
        let row = Row {
            v: JSON_VERSION,
            changed: ChangedJson::of(one, &style.keys),
        };
        let text = |facet: &Option<torrens::inspector::diff::Facet>| {
            style.or_nothing(facet.as_ref().map(|facet| facet.text(&style.keys)))
        };
        let cells = || {
            vec![
                one.subject.to_string(),
                one.facet.to_owned(),
                text(&one.before),
                text(&one.after),
            ]
        };
        sheet.row(out, crate::paint::Paint::Plain, cells, &row)?;
    }
    sheet.end(out)
}

/// The schema of a difference.
pub(crate) fn schema(generator: &mut SchemaGenerator) -> Schema {
    generator.subschema_for::<Row<'_>>()
}
