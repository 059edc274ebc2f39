//! Records and gaps as rows: the columns and the JSON of `dump`, `tail` and `show`.
//!
//! The keys are a contract: they are added to, not changed.

use std::io::{self, Write};

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::Serialize;
use serde_json::Value;
use torrens::inspector::clock::timestamp;
use torrens::inspector::{Description, Field};
use torrens_journal::format::RECORD_HEADER_BYTES;
use torrens_recovery::{Gap, GapKind, RecordItem};

use crate::json::Fields;
use crate::paint::Paint;
use crate::parts::{self, RawJson};
use crate::sheet::{Column, JSON_VERSION, Sheet, left, right};
use crate::view::Style;

const COLUMNS: [Column; 9] = [
    right("LSN"),
    left("TIME").shown_from(60),
    left("SEG:OFF").shown_from(150),
    left("KIND"),
    left("REGION"),
    left("PEER/INC").shown_from(130),
    left("EPOCH").shown_from(120),
    left("CAUSE").shown_from(90),
    left("DETAIL"),
];

/// Rows of records and gaps.
#[derive(Debug)]
pub(crate) struct RecordSheet {
    sheet: Sheet,
    style: Style,
    /// Whether the first column says of which store a row is.
    of_several: bool,
    /// The store of the rows that come, where there are several.
    dir: Option<String>,
}

/// A record as JSON.
#[derive(JsonSchema, Serialize)]
pub(crate) struct RecordJson<'a> {
    v: u32,
    lsn: u64,
    ts: Option<String>,
    boot: u32,
    seg: u64,
    off: u64,
    len: u64,
    group: u32,
    durable: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    behind_gap: bool,
    kind: &'a str,
    region: Option<u64>,
    peer: Option<u64>,
    incarnation: Option<u64>,
    epoch: Option<EpochJson>,
    prev_lsn: Option<u64>,
    cause: Fields<'a>,
    data: Fields<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    raw: Option<RawJson>,
    /// What `--decoder` says of it.
    #[serde(skip_serializing_if = "Value::is_null")]
    decoded: Value,
    /// Of several stores: which.
    #[serde(skip_serializing_if = "Option::is_none")]
    dir: Option<&'a str>,
}

#[derive(JsonSchema, Serialize)]
struct EpochJson {
    conf_ver: Option<u64>,
    version: Option<u64>,
}

#[derive(JsonSchema, Serialize)]
pub(crate) struct GapLineJson<'a> {
    v: u32,
    /// Of several stores: which.
    #[serde(skip_serializing_if = "Option::is_none")]
    dir: Option<&'a str>,
    gap: GapJson<'a>,
}

#[derive(JsonSchema, Serialize)]
struct GapJson<'a> {
    class: &'static str,
    seg: u64,
    off: u64,
    expected_lsn: u64,
    why: &'a str,
}

/// A gap as JSON.
pub(crate) fn gap_json(gap: &Gap) -> GapLineJson<'_> {
    let position = &gap.position;
    GapLineJson {
        v: JSON_VERSION,
        dir: None,
        gap: GapJson {
            class: gap.kind.as_str(),
            seg: position.segment.get(),
            off: position.offset_bytes,
            expected_lsn: position.expected.get(),
            why: &gap.why,
        },
    }
}

/// What a record's JSON borrows from.
pub(crate) struct Said {
    cause: Vec<Field>,
    data: Vec<Field>,
}

impl Said {
    pub(crate) fn of(description: &Description) -> Self {
        Said {
            cause: description.cause_fields(),
            data: description.fields(),
        }
    }

    /// The record as JSON.
    pub(crate) fn json<'a>(
        &'a self,
        item: &RecordItem<'_>,
        said: &'a Description,
        style: &'a Style,
        decodes: bool,
    ) -> RecordJson<'a> {
        RecordJson {
            v: JSON_VERSION,
            lsn: item.record.lsn.get(),
            ts: said.written_micros().map(timestamp),
            boot: item.boot.get(),
            seg: item.segment.get(),
            off: item.record.offset_bytes,
            len: (RECORD_HEADER_BYTES + item.record.payload.len()) as u64,
            group: item.group_number,
            durable: item.durable,
            behind_gap: item.behind_gap,
            kind: &said.kind,
            region: said.region().map(|region| region.0),
            peer: said.peer().map(|peer| peer.0),
            incarnation: said
                .incarnation()
                .map(|incarnation| incarnation.lsn().get()),
            epoch: match said.epoch() {
                (None, None) => None,
                (conf_ver, version) => Some(EpochJson { conf_ver, version }),
            },
            prev_lsn: said.previous().map(|lsn| lsn.get()),
            cause: Fields(&self.cause, &style.keys),
            data: Fields(&self.data, &style.keys),
            raw: style
                .raw
                .then(|| parts::raw(item.record.kind, item.record.tag, item.record.payload)),
            decoded: match style.decoder.as_ref().filter(|_| decodes) {
                Some(decoder) => decoder.record(item, &said.kind),
                None => Value::Null,
            },
            dir: None,
        }
    }
}

impl RecordSheet {
    pub(crate) fn new(style: &Style) -> Self {
        RecordSheet {
            sheet: Sheet::new(style, &COLUMNS),
            style: style.clone(),
            of_several: false,
            dir: None,
        }
    }

    /// Rows of several stores, each with the name of its own.
    pub(crate) fn of_several(style: &Style) -> Self {
        let columns: Vec<Column> = [left("DIR")].into_iter().chain(COLUMNS).collect();
        RecordSheet {
            sheet: Sheet::new(style, &columns),
            style: style.clone(),
            of_several: true,
            dir: None,
        }
    }

    /// The rows that come are of that store.
    pub(crate) fn of(&mut self, dir: &str) {
        if self.dir.as_deref() != Some(dir) {
            self.dir = Some(dir.to_owned());
        }
    }

    /// Writes a record, or gathers it.
    pub(crate) fn record(
        &mut self,
        out: &mut impl Write,
        item: &RecordItem<'_>,
        description: &Description,
    ) -> io::Result<()> {
        let style = &self.style;
        let said = match style.is_for_people() && style.fields.is_empty() {
            true => Said {
                cause: Vec::new(),
                data: Vec::new(),
            },
            false => Said::of(description),
        };
        let is_json = !style.is_for_people() || !style.fields.is_empty();
        let mut json = said.json(item, description, style, is_json);
        json.dir = self.dir.as_deref();
        let paint = match (item.behind_gap, item.durable) {
            (true, _) => Paint::Warn,
            (false, false) => Paint::Dim,
            (false, true) => Paint::Plain,
        };
        self.sheet.row(
            out,
            paint,
            || cells(item, description, style, first(self.of_several, &self.dir)),
            &json,
        )
    }

    /// Writes a gap, or gathers it.
    pub(crate) fn gap(&mut self, out: &mut impl Write, gap: &Gap) -> io::Result<()> {
        let position = &gap.position;
        let mut json = gap_json(gap);
        json.dir = self.dir.as_deref();
        let paint = match gap.kind {
            GapKind::Lost => Paint::Bad,
            _ => Paint::Warn,
        };
        let nothing = || self.style.nothing();
        let cells = || {
            let mut row = first(self.of_several, &self.dir);
            row.extend([
                position.expected.to_string(),
                nothing(),
                place(position.segment.get(), position.offset_bytes),
                "GAP".to_owned(),
                nothing(),
                nothing(),
                nothing(),
                nothing(),
                format!("({}) {}", gap.kind.as_str(), gap.why),
            ]);
            row
        };
        self.sheet.row(out, paint, cells, &json)
    }

    /// Writes what was gathered, for somebody who waits.
    pub(crate) fn flush(&mut self, out: &mut impl Write) -> io::Result<()> {
        self.sheet.flush(out)
    }

    /// Writes what is left.
    pub(crate) fn end(&mut self, out: &mut impl Write) -> io::Result<()> {
        self.sheet.end(out)
    }
}

/// This store's replica and its creation: `p211#3`.
pub(crate) fn peer_text(description: &Description) -> Option<String> {
    match (description.peer(), description.incarnation()) {
        (Some(peer), Some(incarnation)) => Some(format!("{peer}{incarnation}")),
        (Some(peer), None) => Some(peer.to_string()),
        (None, Some(incarnation)) => Some(incarnation.to_string()),
        (None, None) => None,
    }
}

/// The columns of a record.
fn cells(
    item: &RecordItem<'_>,
    said: &Description,
    style: &Style,
    mut row: Vec<String>,
) -> Vec<String> {
    let mut detail = said.detail(&style.keys);
    match style
        .decoder
        .as_ref()
        .map(|decoder| decoder.record(item, &said.kind))
    {
        None | Some(Value::Null) => {}
        Some(Value::String(text)) => detail = format!("{detail}  decoded: {text}"),
        Some(decoded) => detail = format!("{detail}  decoded: {decoded}"),
    }
    let detail = match (item.behind_gap, item.durable) {
        (true, _) => format!("(behind the gap) {detail}"),
        (false, false) => format!("(not yet witnessed) {detail}"),
        (false, true) => detail,
    };
    row.extend([
        item.record.lsn.to_string(),
        style.time(said.written_micros()),
        place(item.segment.get(), item.record.offset_bytes),
        said.kind.to_string(),
        style.or_nothing(said.region()),
        style.or_nothing(peer_text(said)),
        style.or_nothing(said.epoch_text()),
        said.cause_text(),
        detail,
    ]);
    row
}

/// What stands before the columns of a record.
fn first(of_several: bool, dir: &Option<String>) -> Vec<String> {
    match of_several {
        true => vec![dir.clone().unwrap_or_default()],
        false => Vec::new(),
    }
}

/// `0007:3f2c0`: segment and offset.
pub(crate) fn place(segment: u64, offset_bytes: u64) -> String {
    format!("{segment:04}:{offset_bytes:05x}")
}

/// The schemas of a record and of a gap.
pub(crate) fn schema(generator: &mut SchemaGenerator) -> [Schema; 2] {
    [
        generator.subschema_for::<RecordJson<'_>>(),
        generator.subschema_for::<GapLineJson<'_>>(),
    ]
}
