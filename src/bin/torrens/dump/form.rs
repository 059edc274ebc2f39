//! The three forms of a dump. Columns and JSON keys are a contract: they are added to, not changed.

use std::io::{self, Write};

use comfy_table::{ColumnConstraint, Width};
use serde::Serialize;
use torrens::RegionEpoch;
use torrens_recovery::Gap;

use super::{Line, Output, Row};
use crate::json::Fields;
use crate::output::width;
use crate::render::{cut, printable, short_time, table, timestamp};

/// Columns of the table and of the text form.
const COLUMNS: [&str; 9] = [
    "LSN", "TIME", "SEG:OFF", "KIND", "REGION", "PEER/INC", "EPOCH", "CAUSE", "DETAIL",
];
/// Rows that a table gathers before it is written, so that its columns line up.
const CHUNK_ROWS: usize = 512;
/// Version of the ndjson objects; grows only when an existing key changes its meaning.
const NDJSON_VERSION: u32 = 1;

/// Writes lines in one form.
#[derive(Debug)]
pub(super) struct Form {
    output: Output,
    rows: Vec<[String; 9]>,
    widths: [u16; 9],
    header_written: bool,
}

#[derive(Serialize)]
struct RecordJson<'a> {
    v: u32,
    lsn: u64,
    ts: Option<String>,
    boot: u32,
    seg: u64,
    off: u64,
    len: u64,
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
}

#[derive(Serialize)]
struct EpochJson {
    conf_ver: Option<u64>,
    version: Option<u64>,
}

#[derive(Serialize)]
struct GapLineJson<'a> {
    v: u32,
    gap: GapJson<'a>,
}

#[derive(Serialize)]
struct GapJson<'a> {
    seg: u64,
    off: u64,
    expected_lsn: u64,
    why: &'a str,
}

impl Form {
    pub(super) fn new(output: Output) -> Self {
        Form {
            output,
            rows: Vec::new(),
            widths: [0; 9],
            header_written: false,
        }
    }

    /// Writes one line, or gathers it.
    pub(super) fn line(&mut self, out: &mut impl Write, line: &Line) -> io::Result<()> {
        match (self.output, line) {
            (Output::Ndjson, Line::Record(row)) => json_line(out, &record_json(row)),
            (Output::Ndjson, Line::Gap(gap)) => json_line(out, &gap_json(gap)),
            (Output::Text, line) => {
                if !self.header_written {
                    self.header_written = true;
                    writeln!(out, "{}", COLUMNS.join("\t"))?;
                }
                let cells = cells(line, true);
                writeln!(out, "{}", cells.join("\t"))
            }
            (Output::Table, line) => {
                self.rows.push(cells(line, false));
                if self.rows.len() >= CHUNK_ROWS {
                    self.write_rows(out)
                } else {
                    Ok(())
                }
            }
        }
    }

    /// Writes what was gathered.
    pub(super) fn end(&mut self, out: &mut impl Write) -> io::Result<()> {
        if self.output == Output::Table && (!self.rows.is_empty() || !self.header_written) {
            self.write_rows(out)?;
        }
        Ok(())
    }

    fn write_rows(&mut self, out: &mut impl Write) -> io::Result<()> {
        let width = width();
        let mut table = table(&COLUMNS, &[0]);
        for row in self.rows.drain(..) {
            table.add_row(row);
        }
        // Columns never become narrower than they were above.
        for ((column, found), widest) in table
            .column_iter_mut()
            .zip(&mut self.widths)
            .zip(table_widths(&COLUMNS))
        {
            *found = (*found).max(widest);
            column.set_constraint(ColumnConstraint::LowerBoundary(Width::Fixed(*found)));
        }
        for (index, line) in table.lines().enumerate() {
            if index == 0 && self.header_written {
                continue;
            }
            writeln!(out, "{}", cut(&line, width))?;
        }
        self.header_written = true;
        for (column, found) in table
            .column_max_content_widths()
            .into_iter()
            .zip(&mut self.widths)
        {
            *found = (*found).max(column.saturating_add(2));
        }
        Ok(())
    }
}

fn table_widths(header: &[&str; 9]) -> [u16; 9] {
    header.map(|name| name.len() as u16 + 2)
}

/// The columns of one line.
fn cells(line: &Line, whole: bool) -> [String; 9] {
    let dash = || if whole { String::new() } else { "-".to_owned() };
    match line {
        Line::Record(row) => {
            let said = &row.description;
            let time = said
                .written_micros
                .map(if whole { timestamp } else { short_time });
            let peer = match (said.peer, said.incarnation) {
                (Some(peer), Some(incarnation)) => format!("{peer}{incarnation}"),
                (Some(peer), None) => peer.to_string(),
                (None, Some(incarnation)) => incarnation.to_string(),
                (None, None) => dash(),
            };
            let mut detail = printable(&said.detail);
            if row.behind_gap {
                detail = format!("(behind the gap) {detail}");
            } else if !row.durable {
                detail = format!("(not yet witnessed) {detail}");
            }
            [
                row.lsn.to_string(),
                time.unwrap_or_else(dash),
                place(row.segment.get(), row.offset_bytes),
                said.kind.clone(),
                said.region.map_or_else(dash, |region| region.to_string()),
                peer,
                epoch_text(said.epoch).unwrap_or_else(dash),
                said.cause.clone(),
                detail,
            ]
        }
        Line::Gap(gap) => {
            let position = &gap.position;
            [
                position.expected.to_string(),
                dash(),
                place(position.segment.get(), position.offset_bytes),
                "GAP".to_owned(),
                dash(),
                dash(),
                dash(),
                dash(),
                printable(&gap.why),
            ]
        }
    }
}

/// The parts of an epoch that a record states: `c1.v2`, `v2` or `c1`.
fn epoch_text(epoch: (Option<u64>, Option<u64>)) -> Option<String> {
    match epoch {
        (Some(conf_ver), Some(version)) => Some(RegionEpoch { conf_ver, version }.to_string()),
        (Some(conf_ver), None) => Some(format!("c{conf_ver}")),
        (None, Some(version)) => Some(format!("v{version}")),
        (None, None) => None,
    }
}

/// `0007:3f2c0`: segment and offset.
fn place(segment: u64, offset_bytes: u64) -> String {
    format!("{segment:04}:{offset_bytes:05x}")
}

fn record_json(row: &Row) -> RecordJson<'_> {
    let said = &row.description;
    RecordJson {
        v: NDJSON_VERSION,
        lsn: row.lsn.get(),
        ts: said.written_micros.map(timestamp),
        boot: row.boot.get(),
        seg: row.segment.get(),
        off: row.offset_bytes,
        len: row.record_bytes,
        durable: row.durable,
        behind_gap: row.behind_gap,
        kind: &said.kind,
        region: said.region.map(|region| region.0),
        peer: said.peer.map(|peer| peer.0),
        incarnation: said.incarnation.map(|incarnation| incarnation.lsn().get()),
        epoch: match said.epoch {
            (None, None) => None,
            (conf_ver, version) => Some(EpochJson { conf_ver, version }),
        },
        prev_lsn: said.previous.map(|lsn| lsn.get()),
        cause: Fields(&said.cause_fields),
        data: Fields(&said.fields),
    }
}

fn gap_json(gap: &Gap) -> GapLineJson<'_> {
    GapLineJson {
        v: NDJSON_VERSION,
        gap: GapJson {
            seg: gap.position.segment.get(),
            off: gap.position.offset_bytes,
            expected_lsn: gap.position.expected.get(),
            why: &gap.why,
        },
    }
}

fn json_line(out: &mut impl Write, value: &impl Serialize) -> io::Result<()> {
    serde_json::to_writer(&mut *out, value)?;
    out.write_all(b"\n")
}
