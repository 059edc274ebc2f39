//! `torrens show`: one record in full: its fields, its bytes, and what it changed.

use std::io::{self, Write};
use std::ops::ControlFlow;

use clap::Parser;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::Serialize;
use torrens::inspector::diff::{Changed, difference};
use torrens::inspector::{
    Description, Field, FieldValue, InspectError, Inspector, Point, describe, hex,
};
use torrens::lifecycle::Register;
use torrens_journal::Lsn;
use torrens_journal::format::RECORD_HEADER_BYTES;
use torrens_recovery::{Item, RecordItem, RecoveryReport};

use crate::changes::{ChangedJson, changed_lines};
use crate::exit::{Exit, Failure};
use crate::look;
use crate::output::{Out, width};
use crate::paint::Paint;
use crate::record::{RecordJson, Said, place};
use crate::render::{cut, printable, size};
use crate::sheet::object;
use crate::view::{Style, View};

/// Bytes on one line of the hexdump.
const LINE_BYTES: usize = 16;

/// Show one record in full: fields, annotated bytes, and what it changed.
#[derive(Debug, Parser)]
#[command(
    after_help = "Exit codes: 0 shown; 2 there is no such record; 4 to 8 it cannot be read, as `torrens verify`."
)]
pub(crate) struct Args {
    /// The store's directory
    #[arg(value_name = "DIR")]
    dir: std::path::PathBuf,
    /// Which record: 8412, last, ~5, @09:21:07, boot:-1 (its last record)
    #[arg(value_name = "POINT", default_value = "last")]
    record: Point,
    /// Leave the bytes out
    #[arg(long)]
    no_bytes: bool,
    #[command(flatten)]
    view: View,
}

/// Runs the command.
pub(crate) fn run(args: Args) -> Exit {
    match show(&args) {
        Ok(exit) => exit,
        Err(failure) => failure.report(),
    }
}

/// The record and its bytes, out of the visit.
pub(crate) struct Found {
    item: RecordItem<'static>,
    payload: Vec<u8>,
    pub(crate) description: Description,
}

/// The record at `lsn`, and the report of the whole directory.
fn visit(inspector: &Inspector, lsn: Lsn) -> Result<(Option<Found>, RecoveryReport), InspectError> {
    let mut found = None;
    let report = inspector.records(lsn, &mut |item| match item {
        Item::Record(item) if item.record.lsn == lsn => {
            found = Some(Found {
                payload: item.record.payload.to_vec(),
                description: describe(lsn, item.record.kind, item.record.payload),
                item: item.with_payload(&[]),
            });
            ControlFlow::Break(())
        }
        _ => ControlFlow::Continue(()),
    })?;
    Ok((found, report))
}

/// The record at `lsn`; none if it is not in the journal.
#[cfg(feature = "tui")]
pub(crate) fn find(inspector: &Inspector, lsn: Lsn) -> Result<Option<Found>, InspectError> {
    visit(inspector, lsn).map(|(found, _)| found)
}

/// The lines that `torrens show` prints for a person.
#[cfg(feature = "tui")]
pub(crate) fn lines(
    inspector: &Inspector,
    found: &Found,
    changed: Option<&[Changed]>,
    style: &Style,
) -> Vec<String> {
    let bytes = bytes_of(inspector, found);
    let item = found.item.with_payload(&found.payload);
    let mut text = Vec::new();
    // Writing into memory does not fail.
    let _ = screen(
        &mut text,
        &item,
        &found.description,
        changed,
        bytes.as_deref(),
        style,
    );
    let text = String::from_utf8_lossy(&text);
    text.lines().map(str::to_owned).collect()
}

fn show(args: &Args) -> Result<Exit, Failure> {
    let inspector = args.view.open_path(&args.dir)?;
    let style = args.view.style(&inspector);
    let lsn = inspector.resolve(args.record).map_err(look::failure)?;
    let (found, report) = visit(&inspector, lsn).map_err(look::failure)?;
    let Some(found) = found else {
        return Err(
            look::verdict_failure(&args.dir, &report).unwrap_or_else(|| Failure {
                code: "beyond-end",
                message: format!(
                    "there is no record {lsn} in the journal; it holds {}",
                    match report.first_lsn {
                        Some(first) => format!("{first} to {}", report.last_lsn),
                        None => "none".to_owned(),
                    }
                ),
                hint: Some("records before the first are only part of a checkpoint".to_owned()),
                exit: Exit::USAGE,
            }),
        );
    };
    let changed = changes(&inspector, lsn);
    let group = match args.no_bytes {
        true => None,
        false => bytes_of(&inspector, &found),
    };
    let mut out = Out::lock();
    let said = Said::of(&found.description);
    let item = found.item.with_payload(&found.payload);
    let json = Json {
        record: said.json(&item, &found.description, &style, true),
        changed: changed
            .iter()
            .flatten()
            .map(|one| ChangedJson::of(one, &style.keys))
            .collect(),
        bytes: group
            .as_ref()
            .filter(|_| !style.keys.hides())
            .map(|bytes| hex(bytes)),
    };
    let written = object(&mut out, &style, &json, |out| {
        screen(
            out,
            &item,
            &found.description,
            changed.as_deref(),
            group.as_deref(),
            &style,
        )
    });
    Ok(out.finish(written, Exit::OK))
}

#[derive(JsonSchema, Serialize)]
struct Json<'a> {
    #[serde(flatten)]
    record: RecordJson<'a>,
    changed: Vec<ChangedJson<'a>>,
    bytes: Option<String>,
}

/// What the record changed; none if the state before it is not there any more.
fn changes(inspector: &Inspector, lsn: Lsn) -> Option<Vec<Changed>> {
    let before = Lsn::new(lsn.get().checked_sub(1)?);
    let at = |lsn: Lsn| -> Option<Register> {
        let picture = inspector.look(Some(lsn)).ok()?;
        (picture.position == lsn).then_some(picture.register)
    };
    Some(difference(&at(before)?, &at(lsn)?))
}

/// The record's header and payload as they lie in the file.
fn bytes_of(inspector: &Inspector, found: &Found) -> Option<Vec<u8>> {
    let length = RECORD_HEADER_BYTES + found.payload.len();
    inspector
        .bytes(found.item.segment, found.item.record.offset_bytes, length)
        .ok()
}

fn screen(
    out: &mut dyn Write,
    item: &RecordItem<'_>,
    said: &Description,
    changed: Option<&[Changed]>,
    bytes: Option<&[u8]>,
    style: &Style,
) -> io::Result<()> {
    let head = |name: &str| Paint::Head.on(&format!("{name:<11}"), style.color);
    let region = said
        .region()
        .map_or(String::new(), |region| format!(" of {region}"));
    writeln!(
        out,
        "{} LSN {}, {}{region}",
        head("record"),
        item.record.lsn,
        said.kind
    )?;
    let detail = said.detail(&style.keys);
    if !detail.is_empty() {
        writeln!(out, "{} {}", head("says"), printable(&detail))?;
    }
    if let Some(micros) = said.written_micros() {
        writeln!(
            out,
            "{} {}",
            head("decided"),
            torrens::inspector::clock::timestamp(micros)
        )?;
    }
    if said.cause().is_some() {
        writeln!(out, "{} {}", head("asked by"), said.cause_text())?;
    }
    let length = (RECORD_HEADER_BYTES + item.record.payload.len()) as u64;
    writeln!(
        out,
        "{} {}, {}, in group {} of {} record{}, by boot {}",
        head("lies"),
        place(item.segment.get(), item.record.offset_bytes),
        size(length),
        item.group_number,
        item.group_records,
        if item.group_records == 1 { "" } else { "s" },
        item.boot
    )?;
    let standing = match (item.behind_gap, item.durable) {
        (true, _) => Paint::Bad.on(
            "behind a gap: it verifies by itself and is not part of the history",
            style.color,
        ),
        (false, true) => "durable, as a witness says".to_owned(),
        (false, false) => "whole; nothing says yet that it is durable".to_owned(),
    };
    writeln!(out, "{} {standing}", head("stands"))?;
    match said.previous() {
        Some(previous) => writeln!(
            out,
            "{} LSN {previous}, the region's previous record",
            head("links to")
        )?,
        None if said.region().is_some() => {
            writeln!(
                out,
                "{} nothing: it is the region's first record here",
                head("links to")
            )?;
        }
        None => {}
    }
    writeln!(out)?;
    writeln!(out, "{}", Paint::Head.on("fields", style.color))?;
    field_lines(out, &said.fields(), 1, style)?;
    writeln!(out)?;
    writeln!(out, "{}", Paint::Head.on("changed", style.color))?;
    match changed {
        None => writeln!(
            out,
            "  unknown: the state before it is not in the directory any more"
        )?,
        Some([]) => writeln!(out, "  nothing that the register shows")?,
        Some(changed) => changed_lines(out, changed, style)?,
    }
    if let Some(bytes) = bytes {
        writeln!(out)?;
        writeln!(out, "{}", Paint::Head.on("bytes", style.color))?;
        hexdump(out, bytes, item.record.offset_bytes, style)?;
    }
    Ok(())
}

fn field_lines(
    out: &mut dyn Write,
    fields: &[Field],
    depth: usize,
    style: &Style,
) -> io::Result<()> {
    if fields.is_empty() && depth == 1 {
        return writeln!(out, "  none beside the region");
    }
    for field in fields {
        value_lines(out, field.name, &field.value, depth, style)?;
    }
    Ok(())
}

fn value_lines(
    out: &mut dyn Write,
    name: &str,
    value: &FieldValue,
    depth: usize,
    style: &Style,
) -> io::Result<()> {
    let indent = "  ".repeat(depth);
    let plain = match value {
        FieldValue::Object(fields) => {
            writeln!(out, "{indent}{name}")?;
            return field_lines(out, fields, depth + 1, style);
        }
        FieldValue::List(values) if !values.is_empty() => {
            for (index, value) in values.iter().enumerate() {
                value_lines(out, &format!("{name}[{index}]"), value, depth, style)?;
            }
            return Ok(());
        }
        FieldValue::List(_) => "none".to_owned(),
        FieldValue::Flag(flag) => flag.to_string(),
        FieldValue::Number(number) => number.to_string(),
        FieldValue::Text(text) => text.to_string(),
        FieldValue::Key(key) => style.keys.quoted(key),
        FieldValue::Bytes(bytes) => style.keys.bytes(bytes),
        // `Null`; only the open end of a range is one that has a meaning of its own.
        _ if name == "end" => "∞".to_owned(),
        _ => "-".to_owned(),
    };
    let name = format!("{indent}{name}");
    writeln!(out, "{name:<24} {}", printable(&plain))
}

/// Parts of a record's header: from, length, what it is. See docs/FORMAT.md.
const PARTS: [(usize, usize, &str); 6] = [
    (0, 4, "checksum"),
    (4, 4, "payload bytes"),
    (8, 8, "LSN"),
    (16, 2, "kind"),
    (18, 2, "reserved"),
    (20, 4, "tag"),
];

/// The bytes with what they are: the header's parts one by one, then the payload.
fn hexdump(out: &mut dyn Write, bytes: &[u8], offset_bytes: u64, style: &Style) -> io::Result<()> {
    if style.keys.hides() {
        return writeln!(
            out,
            "  left out: keys are hidden, and they are in the bytes"
        );
    }
    let mut line = |from: usize, to: usize, note: &str| -> io::Result<()> {
        let part = bytes.get(from..to).unwrap_or_default();
        let hex: Vec<String> = part.iter().map(|byte| format!("{byte:02x}")).collect();
        let text: String = part
            .iter()
            .map(|byte| {
                if matches!(byte, b' '..=b'~') {
                    char::from(*byte)
                } else {
                    '.'
                }
            })
            .collect();
        let at = offset_bytes + from as u64;
        let text = format!("|{text}|");
        let line = format!("  {at:08x}  {:<47}  {text:<18}  {note}", hex.join(" "));
        writeln!(out, "{}", cut(&line, width().max(72)))
    };
    for (from, length, note) in PARTS {
        line(from, from + length, note)?;
    }
    let (mut at, mut note) = (RECORD_HEADER_BYTES, "payload");
    while at < bytes.len() {
        let to = (at + LINE_BYTES).min(bytes.len());
        line(at, to, std::mem::take(&mut note))?;
        at = to;
    }
    Ok(())
}

/// The schema of a record in full.
pub(crate) fn schema(generator: &mut SchemaGenerator) -> Schema {
    generator.subschema_for::<Json<'_>>()
}
