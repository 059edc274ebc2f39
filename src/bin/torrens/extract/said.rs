//! What `torrens extract` says of what it took out: one value, as JSON or as a screen.

use std::io::{self, Write};
use std::path::Path;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::Serialize;
use torrens::rebuild::{Left, Salvaged};
use torrens_journal::Lsn;

use super::Args;
use crate::exit::{Exit, Failure};
use crate::output::Out;
use crate::render::{count, grouped, printable};
use crate::sheet::{JSON_VERSION, object};
use crate::view::{Output, Style};

/// What was salvaged.
#[derive(JsonSchema, Serialize)]
pub(super) struct Json {
    pub(super) v: u32,
    pub(super) to: String,
    pub(super) whole: bool,
    pub(super) records: u64,
    pub(super) first_lsn: Option<u64>,
    pub(super) last_lsn: Option<u64>,
    pub(super) start_lsn: Option<u64>,
    pub(super) checkpoints: Option<u64>,
    pub(super) data: Vec<DataJson>,
    pub(super) left: Vec<LeftJson>,
    pub(super) left_total: u64,
}

/// A part of a store that is no journal.
#[derive(JsonSchema, Serialize)]
pub(super) struct DataJson {
    pub(super) part: &'static str,
    pub(super) copied: bool,
    pub(super) why: Option<&'static str>,
}

/// Something that is not in the target.
#[derive(JsonSchema, Serialize)]
pub(super) struct LeftJson {
    pub(super) what: &'static str,
    pub(super) first_lsn: Option<u64>,
    pub(super) last_lsn: Option<u64>,
    pub(super) text: String,
}

/// Things left out that are listed; more are only counted.
pub(super) const LEFT_MAX: usize = 1000;

/// The schema of `--json`.
pub(crate) fn schema(generator: &mut SchemaGenerator) -> Schema {
    generator.subschema_for::<Json>()
}

pub(super) fn object_of(to: &Path, salvaged: &Salvaged, data: Vec<DataJson>) -> Json {
    let left = salvaged.left.iter().take(LEFT_MAX).map(|left| {
        let range = |what, first: Lsn, last: Lsn, text: &str| LeftJson {
            what,
            first_lsn: Some(first.get()),
            last_lsn: Some(last.get()),
            text: text.to_owned(),
        };
        match left {
            Left::Unreadable { first, last } => range(
                "unreadable",
                *first,
                *last,
                "records that are not readable, or not there",
            ),
            Left::Unreached { first, last } => range(
                "unreached",
                *first,
                *last,
                "readable records that no state leads to; extract -o writes them",
            ),
            Left::Impossible { lsn, why } => range("impossible", *lsn, *lsn, why),
            Left::Checkpoint { lsn, why } => range("checkpoint", *lsn, *lsn, why),
            Left::Place { what } => place(what),
            _ => place("something that this tool does not know"),
        }
    });
    Json {
        v: JSON_VERSION,
        to: printable(&to.display().to_string()),
        whole: salvaged.is_whole(),
        records: salvaged.records,
        first_lsn: salvaged.first.map(Lsn::get),
        last_lsn: Some(salvaged.last.get()),
        start_lsn: Some(salvaged.start.get()),
        checkpoints: Some(salvaged.checkpoints),
        data,
        left: left.collect(),
        left_total: salvaged.left.len() as u64,
    }
}

fn place(what: &str) -> LeftJson {
    LeftJson {
        what: "place",
        first_lsn: None,
        last_lsn: None,
        text: what.to_owned(),
    }
}

pub(super) fn say(args: &Args, style: &Style, json: &Json) -> Result<Exit, Failure> {
    let mut style = style.clone();
    style.output = match args.json {
        true => Output::Json,
        false => Output::Text,
    };
    let mut out = Out::lock();
    let written = object(&mut out, &style, json, |out| screen(out, args, json));
    let exit = match json.whole {
        true => Exit::OK,
        false => Exit::NEGATIVE,
    };
    Ok(out.finish(written, exit))
}

fn screen(out: &mut dyn Write, args: &Args, json: &Json) -> io::Result<()> {
    let records = count(json.records, "record");
    match (json.first_lsn, json.last_lsn) {
        (Some(first), Some(last)) => writeln!(
            out,
            "salvaged  {}, {records}, LSN {} … {}",
            json.to,
            grouped(first),
            grouped(last)
        )?,
        _ => writeln!(out, "salvaged  {}, {records}", json.to)?,
    }
    if let Some(start) = json.start_lsn.filter(|start| *start > 0) {
        writeln!(out, "start     the checkpoint at LSN {}", grouped(start))?;
    }
    for part in &json.data {
        match part.why {
            None => writeln!(out, "copied    {}", part.part)?,
            Some(why) => writeln!(out, "not taken {}: {why}", part.part)?,
        }
    }
    for left in &json.left {
        let span = match (left.first_lsn, left.last_lsn) {
            (Some(first), Some(last)) if first == last => format!("LSN {} ", grouped(first)),
            (Some(first), Some(last)) => format!("LSN {} … {} ", grouped(first), grouped(last)),
            _ => String::new(),
        };
        writeln!(
            out,
            "left out  {}: {span}{}",
            left.what,
            printable(&left.text)
        )?;
    }
    let more = json.left_total.saturating_sub(json.left.len() as u64);
    if more > 0 {
        writeln!(out, "left out  {} more", grouped(more))?;
    }
    match &args.to {
        Some(_) => writeln!(out, "next      torrens verify {}", json.to),
        None if json.whole => writeln!(out, "next      torrens build {} -o NEWDIR", json.to),
        // The first hole would end a build.
        None => writeln!(
            out,
            "next      torrens extract {} --to NEWDIR, for a store",
            printable(&args.target.path().display().to_string())
        ),
    }
}
