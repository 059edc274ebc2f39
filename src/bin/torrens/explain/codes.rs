//! What any code means, from the catalogue.

use std::io::{self, Write};

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::Serialize;
use torrens::inspector::catalogue::Entry;

use super::Args;
use crate::exit::{Exit, Failure};
use crate::output::{Out, wrapped};
use crate::paint::Paint;
use crate::sheet::{Column, JSON_VERSION, Sheet, left};
use crate::view::Style;

const COLUMNS: [Column; 4] = [
    left("CODE"),
    left("IS"),
    left("MEANING"),
    left("WHAT TO DO"),
];

#[derive(JsonSchema, Serialize)]
struct EntryJson {
    v: u32,
    code: &'static str,
    is: &'static str,
    meaning: &'static str,
    advice: &'static str,
}

/// Entries of the catalogue: as sentences if a person asked for one, as rows otherwise.
pub(super) fn codes(args: &Args, found: Vec<Entry>, asked: bool) -> Result<Exit, Failure> {
    let style = args.view.style_without_store();
    let mut out = Out::lock();
    let written = match asked && style.is_for_people() && style.fields.is_empty() {
        true => found
            .iter()
            .try_for_each(|entry| sentences(&mut out, entry, &style)),
        false => {
            let mut sheet = Sheet::new(&style, &COLUMNS);
            let rows = found.iter().try_for_each(|entry| {
                let Entry {
                    code,
                    topic,
                    meaning,
                    advice,
                } = *entry;
                let row = EntryJson {
                    v: JSON_VERSION,
                    code,
                    is: topic.text(),
                    meaning,
                    advice,
                };
                let cells = || {
                    vec![
                        code.to_owned(),
                        row.is.to_owned(),
                        meaning.to_owned(),
                        advice.to_owned(),
                    ]
                };
                sheet.row(&mut out, Paint::Plain, cells, &row)
            });
            rows.and_then(|()| sheet.end(&mut out))
        }
    };
    Ok(out.finish(written, Exit::OK))
}

fn sentences(out: &mut Out, entry: &Entry, style: &Style) -> io::Result<()> {
    let code = Paint::Head.on(entry.code, style.color);
    writeln!(out, "{code}   {}", entry.topic.text())?;
    wrapped(out, "  ", entry.meaning, style)?;
    match entry.advice {
        "" => Ok(()),
        advice => wrapped(out, "  ", advice, style),
    }
}

/// The schema of what a code means.
pub(crate) fn code_schema(generator: &mut SchemaGenerator) -> Schema {
    generator.subschema_for::<EntryJson>()
}
