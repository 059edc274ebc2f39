//! What differs between two registers, as lines and as JSON: for `show`, `diff` and `why`.

use std::io::{self, Write};

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::Serialize;
use torrens::inspector::diff::{Changed, Facet, Subject};
use torrens::inspector::{FieldValue, KeyForm};

use crate::json::Value;
use crate::paint::Paint;
use crate::render::printable;
use crate::view::Style;

/// One facet that differs, as JSON.
#[derive(JsonSchema, Serialize)]
pub(crate) struct ChangedJson<'a> {
    region: Option<u64>,
    subject: String,
    facet: &'static str,
    before: Option<Shown<'a>>,
    after: Option<Shown<'a>>,
}

/// A facet's value with how its keys are shown.
struct Shown<'a>(FieldValue, &'a KeyForm);

impl Serialize for Shown<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Value(&self.0, self.1).serialize(serializer)
    }
}

impl JsonSchema for Shown<'_> {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        Value::schema_name()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        Value::json_schema(generator)
    }
}

impl<'a> ChangedJson<'a> {
    pub(crate) fn of(changed: &Changed, keys: &'a KeyForm) -> Self {
        let shown = |facet: &Option<Facet>| facet.as_ref().map(|facet| Shown(facet.value(), keys));
        ChangedJson {
            region: match changed.subject {
                Subject::Region(region) => Some(region.0),
                _ => None,
            },
            subject: changed.subject.to_string(),
            facet: changed.facet,
            before: shown(&changed.before),
            after: shown(&changed.after),
        }
    }
}

/// `range "" … ∞ → "" … "m"`: a facet in words.
pub(crate) fn changed_text(changed: &Changed, keys: &KeyForm) -> String {
    let (facet, text) = (changed.facet, |facet: &Facet| facet.text(keys));
    match (&changed.before, &changed.after) {
        (Some(before), Some(after)) => format!("{facet} {} → {}", text(before), text(after)),
        (None, Some(after)) => format!("{facet} {}", text(after)),
        (Some(before), None) => format!("no {facet} (was {})", text(before)),
        (None, None) => facet.to_owned(),
    }
}

/// All of them, one line each, under whose they are.
pub(crate) fn changed_lines(
    out: &mut dyn Write,
    changed: &[Changed],
    style: &Style,
) -> io::Result<()> {
    let mut subject: Option<&Subject> = None;
    for one in changed {
        if subject != Some(&one.subject) {
            subject = Some(&one.subject);
            writeln!(
                out,
                "  {}",
                Paint::Head.on(&one.subject.to_string(), style.color)
            )?;
        }
        let (sign, paint) = match (&one.before, &one.after) {
            (None, _) => ("+", Paint::Good),
            (_, None) => ("-", Paint::Bad),
            _ => ("~", Paint::Plain),
        };
        let line = format!("{sign} {}", printable(&changed_text(one, &style.keys)));
        writeln!(out, "    {}", paint.on(&line, style.color))?;
    }
    Ok(())
}
