//! `torrens observers`: who observes what, how far, and why not further; now or at an earlier point.

use std::io::{self, Write};

use clap::Parser;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::Serialize;
use torrens::inspector::{FieldValue, Picture, Point};
use torrens::lifecycle::{Attachment, AttachmentState, Observer, Register, Reset};
use torrens::observe::partition;
use torrens::{KeyRange, ObserverId, RegionId};

use crate::exit::{Exit, Failure};
use crate::json::Value;
use crate::look;
use crate::output::{Out, note};
use crate::paint::Paint;
use crate::render::count;
use crate::sheet::{Column, JSON_VERSION, Sheet, left, right};
use crate::view::{Style, Target, View};

const COLUMNS: [Column; 8] = [
    left("OBSERVER"),
    left("REGION"),
    left("RANGE"),
    left("STATE"),
    left("GENERATION").shown_from(60),
    right("TERM").shown_from(60),
    right("ACKED"),
    left("WHY"),
];

/// Show the observers of a store, how far each is in each region, and which of its keys nobody has here.
#[derive(Debug, Parser)]
pub(crate) struct Args {
    #[command(flatten)]
    target: Target,
    /// The state at this point instead of the newest: 8412, @09:21:07, ~5, boot:-1, ckpt:last, first, durable
    #[arg(long, value_name = "POINT")]
    at: Option<Point>,
    /// Only these observers, by name or id: backup or o3
    #[arg(long, value_name = "NAME,...", value_delimiter = ',')]
    observer: Vec<String>,
    #[command(flatten)]
    view: View,
}

/// Runs the command.
pub(crate) fn run(args: Args) -> Exit {
    match observers(&args) {
        Ok(exit) => exit,
        Err(failure) => failure.report(),
    }
}

fn observers(args: &Args) -> Result<Exit, Failure> {
    let inspector = args.view.open(&args.target)?;
    let style = args.view.style(&inspector);
    let at = args.at.map(|point| inspector.resolve(point)).transpose();
    let at = at.map_err(look::failure)?;
    let picture = inspector.look(at).map_err(look::failure)?;
    let failure = look::verdict_failure(&args.target.path(), &picture.report);
    // Damage before the point is what keeps it from being reached.
    if let Some(failure) = &failure
        && at.is_some_and(|at| at > picture.position)
    {
        return Err(failure.clone());
    }
    let mut out = Out::lock();
    let written = show(&mut out, args, &picture, &style);
    let failure = failure.filter(|_| at.is_none());
    let exit = failure.as_ref().map_or(Exit::OK, |failure| failure.exit);
    let exit = out.finish(written, exit);
    if let Some(failure) = failure {
        failure.report();
    }
    Ok(exit)
}

fn show(out: &mut Out, args: &Args, picture: &Picture, style: &Style) -> io::Result<()> {
    let register = &picture.register;
    let is_wanted = |id: ObserverId, observer: &Observer| {
        let is_meant = |name: &String| *name == id.to_string() || name == observer.name.as_str();
        args.observer.is_empty() || args.observer.iter().any(is_meant)
    };
    let all = || {
        register
            .observers()
            .iter()
            .filter(|(id, one)| is_wanted(*id, one))
    };
    let mut sheet = Sheet::new(style, &COLUMNS);
    for (id, observer) in all() {
        for (region, attachment) in observer.attachments() {
            row(
                out,
                &mut sheet,
                style,
                register,
                (id, observer),
                (region, attachment),
            )?;
        }
        for part in partition(register, observer)
            .iter()
            .filter(|part| part.region.is_none())
        {
            hole(out, &mut sheet, style, (id, observer), &part.range)?;
        }
    }
    if !style.is_for_people() || !style.fields.is_empty() {
        return sheet.end(out);
    }
    sheet.end(out)?;
    for (id, observer) in all() {
        note(out, &about(id, observer, style), style)?;
    }
    if register.observers().is_empty() {
        writeln!(out, "nobody observes this store")?;
    }
    writeln!(out, "state after LSN {}", picture.position)
}

/// One observer in a line.
fn about(id: ObserverId, observer: &Observer, style: &Style) -> String {
    let ranges: Vec<String> = observer
        .ranges
        .iter()
        .map(|range| style.keys.range(range))
        .collect();
    let policy = observer.policy;
    let bytes = policy
        .retain_bytes_max
        .map(|bytes| format!("at most {bytes} bytes"));
    let age = policy
        .retain_age_millis_max
        .map(|millis| format!("at most {millis} ms"));
    let early = policy.early.then(|| "told early".to_owned());
    let paused = observer.paused.then(|| "paused".to_owned());
    let more: Vec<String> = paused
        .into_iter()
        .chain(bytes)
        .chain(age)
        .chain(early)
        .collect();
    let more = match more.is_empty() {
        true => String::new(),
        false => format!("; {}", more.join(", ")),
    };
    let regions = count(observer.attachment_count() as u64, "region");
    format!(
        "{id} {}: {}; {regions}; added at LSN {}{more}",
        observer.name,
        ranges.join(", "),
        observer.added
    )
}

fn range_of(register: &Register, region: RegionId) -> Option<&KeyRange> {
    Some(&register.peer(region)?.stage.region()?.range)
}

fn why(observer: &Observer, attachment: &Attachment) -> String {
    let mut why = match &attachment.state {
        AttachmentState::Wanted { .. } if observer.paused => "paused".to_owned(),
        AttachmentState::Wanted { reason } => reason.as_str().to_owned(),
        AttachmentState::CatchingUp { .. } | AttachmentState::Live { .. } => String::new(),
        AttachmentState::Draining(drain) => {
            let end = drain
                .end
                .map_or("ended".to_owned(), |end| format!("ended at i{end}"));
            match drain.into {
                Some(into) => format!("{end}, before {} i{}", into.region, into.index),
                None => end,
            }
        }
        AttachmentState::Invalidated(loss) => format!(
            "{}: lost from i{}, goes on at i{}",
            loss.reason.as_str(),
            loss.first_lost,
            loss.first_available
        ),
    };
    let mut add = |more: String| {
        if !why.is_empty() {
            why.push_str("; ");
        }
        why.push_str(&more);
    };
    if let Some((region, index)) = observer.comes_after(attachment) {
        add(format!("after {region} i{index}"));
    }
    if attachment.reset != Reset::None {
        add(format!("reset: {}", attachment.reset.as_str()));
    }
    why
}

fn row(
    out: &mut Out,
    sheet: &mut Sheet,
    style: &Style,
    register: &Register,
    (id, observer): (ObserverId, &Observer),
    (region, attachment): (RegionId, &Attachment),
) -> io::Result<()> {
    let paint = match attachment.state {
        AttachmentState::Invalidated(_) => Paint::Bad,
        AttachmentState::Live { .. } => Paint::Plain,
        AttachmentState::Wanted { .. }
        | AttachmentState::CatchingUp { .. }
        | AttachmentState::Draining(_) => Paint::Warn,
    };
    let none = || "-".to_owned();
    let range = range_of(register, region);
    let value = range.map(FieldValue::from);
    let generation = attachment.generation;
    let cells = || {
        vec![
            format!("{id} {}", observer.name),
            region.to_string(),
            range.map_or_else(none, |range| style.keys.range(range)),
            attachment.state.as_str().to_owned(),
            if generation.0 == 0 {
                none()
            } else {
                generation.to_string()
            },
            attachment.term().map_or_else(none, |term| term.to_string()),
            format!("i{}", attachment.acked),
            why(observer, attachment),
        ]
    };
    let json = Json {
        v: JSON_VERSION,
        observer: id.0,
        name: observer.name.as_str(),
        paused: observer.paused,
        region: Some(region.0),
        range: value.as_ref().map(|value| Value(value, &style.keys)),
        state: attachment.state.as_str(),
        generation: (generation.0 > 0).then_some(generation.0),
        term: attachment.term(),
        acked: Some(attachment.acked),
        why: why(observer, attachment),
    };
    sheet.row(out, paint, cells, &json)
}

fn hole(
    out: &mut Out,
    sheet: &mut Sheet,
    style: &Style,
    (id, observer): (ObserverId, &Observer),
    range: &KeyRange,
) -> io::Result<()> {
    let none = || "-".to_owned();
    let value = FieldValue::from(range);
    const WHY: &str = "no region has them here";
    let cells = || {
        vec![
            format!("{id} {}", observer.name),
            none(),
            style.keys.range(range),
            "hole".to_owned(),
            none(),
            none(),
            none(),
            WHY.to_owned(),
        ]
    };
    let json = Json {
        v: JSON_VERSION,
        observer: id.0,
        name: observer.name.as_str(),
        paused: observer.paused,
        region: None,
        range: Some(Value(&value, &style.keys)),
        state: "hole",
        generation: None,
        term: None,
        acked: None,
        why: WHY.to_owned(),
    };
    sheet.row(out, Paint::Warn, cells, &json)
}

#[derive(JsonSchema, Serialize)]
struct Json<'a> {
    v: u32,
    observer: u64,
    name: &'a str,
    paused: bool,
    region: Option<u64>,
    range: Option<Value<'a>>,
    state: &'a str,
    generation: Option<u64>,
    term: Option<u64>,
    acked: Option<u64>,
    why: String,
}

/// The schema of an observer in a region.
pub(crate) fn schema(generator: &mut SchemaGenerator) -> Schema {
    generator.subschema_for::<Json<'_>>()
}
