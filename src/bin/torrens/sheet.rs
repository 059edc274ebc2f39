//! `Sheet`: rows in any of the five forms. Columns and JSON keys are a contract: they are added to, not
//! changed.

use std::io::{self, Write};

use comfy_table::{ColumnConstraint, Width};
use serde::Serialize;
use serde_json::Value;
use serde_json::ser::Formatter;

use crate::output::width;
use crate::paint::Paint;
use crate::render::{cut, printable, table};
use crate::view::{Output, Style};

/// Rows that a table gathers before it is written, so that its columns line up.
const CHUNK_ROWS: usize = 512;
/// Version of the JSON objects; grows only when an existing key changes its meaning.
pub(crate) const JSON_VERSION: u32 = 1;

/// A column.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Column {
    /// Its heading.
    pub(crate) head: &'static str,
    /// Whether it holds numbers, which stand to the right.
    pub(crate) right: bool,
    /// A table that is narrower leaves it out, so that there is room for what matters more.
    pub(crate) from_width: usize,
}

impl Column {
    /// Left out of a table with fewer columns than that, unless `--fields` names it.
    pub(crate) const fn shown_from(self, from_width: usize) -> Self {
        Column { from_width, ..self }
    }
}

/// A column of words.
pub(crate) const fn left(head: &'static str) -> Column {
    Column {
        head,
        right: false,
        from_width: 0,
    }
}

/// A column of numbers.
pub(crate) const fn right(head: &'static str) -> Column {
    Column {
        head,
        right: true,
        from_width: 0,
    }
}

/// One cell's source for `--fields`: a column of the sheet, or a path into the JSON object.
#[derive(Clone, Debug)]
enum Pick {
    Column(usize),
    Path(String),
}

/// Rows in one form.
#[derive(Debug)]
pub(crate) struct Sheet {
    style: Style,
    columns: Vec<Column>,
    picks: Option<Vec<Pick>>,
    heads: Vec<String>,
    rows: Vec<(Vec<String>, Paint)>,
    widths: Vec<u16>,
    header_written: bool,
    written: u64,
    /// One object, so that the output gets it in one piece.
    object: Vec<u8>,
}

impl Sheet {
    pub(crate) fn new(style: &Style, columns: &[Column]) -> Self {
        let pick = |name: &String| {
            let same = |column: &Column| column.head.eq_ignore_ascii_case(name);
            match columns.iter().position(same) {
                Some(index) => Pick::Column(index),
                None => Pick::Path(name.clone()),
            }
        };
        let is_shown = |column: &Column| column.from_width <= width();
        let picks: Option<Vec<Pick>> = match style.fields.is_empty() {
            true if style.output == Output::Table && !columns.iter().all(is_shown) => Some(
                (0..columns.len())
                    .filter(|index| columns.get(*index).is_some_and(is_shown))
                    .map(Pick::Column)
                    .collect(),
            ),
            true => None,
            false => Some(style.fields.iter().map(pick).collect()),
        };
        let head = |pick: &Pick| match pick {
            Pick::Column(index) => columns
                .get(*index)
                .map_or("", |column| column.head)
                .to_owned(),
            Pick::Path(path) => path.to_uppercase(),
        };
        let heads: Vec<String> = match &picks {
            None => columns
                .iter()
                .map(|column| column.head.to_owned())
                .collect(),
            Some(picks) => picks.iter().map(head).collect(),
        };
        Sheet {
            style: style.clone(),
            columns: columns.to_vec(),
            picks,
            widths: vec![0; heads.len()],
            heads,
            rows: Vec::new(),
            header_written: false,
            written: 0,
            object: Vec::new(),
        }
    }

    /// Writes a row, or gathers it. Either the cells or the object are asked for.
    pub(crate) fn row(
        &mut self,
        out: &mut impl Write,
        paint: Paint,
        cells: impl FnOnce() -> Vec<String>,
        json: &impl Serialize,
    ) -> io::Result<()> {
        self.written += 1;
        match self.style.output {
            Output::Ndjson | Output::Json => self.json_row(out, json),
            Output::Table | Output::Text | Output::Csv => {
                let cells = match &self.picks {
                    None => cells(),
                    Some(picks) => {
                        let needs_json = picks.iter().any(|pick| matches!(pick, Pick::Path(_)));
                        let object = match needs_json {
                            true => serde_json::to_value(json).unwrap_or(Value::Null),
                            false => Value::Null,
                        };
                        let mut all = cells();
                        let pick = |pick: &Pick| match pick {
                            Pick::Column(index) => {
                                all.get_mut(*index).map(std::mem::take).unwrap_or_default()
                            }
                            Pick::Path(path) => {
                                at(&object, path).map_or(self.style.nothing(), plain)
                            }
                        };
                        picks.iter().map(pick).collect()
                    }
                };
                self.cell_row(out, paint, cells)
            }
        }
    }

    fn json_row(&mut self, out: &mut impl Write, json: &impl Serialize) -> io::Result<()> {
        if self.style.output == Output::Json {
            out.write_all(if self.header_written { b",\n" } else { b"[\n" })?;
            self.header_written = true;
        }
        match &self.picks {
            None => {
                self.object.clear();
                write_json(&mut self.object, &self.style, json)?;
                out.write_all(&self.object)?;
            }
            Some(_) => {
                let object = serde_json::to_value(json).unwrap_or(Value::Null);
                let mut picked = serde_json::Map::new();
                for name in &self.style.fields {
                    let value = at(&object, name).cloned().unwrap_or(Value::Null);
                    picked.insert(name.clone(), value);
                }
                write_json(&mut *out, &self.style, &picked)?;
            }
        }
        match self.style.output {
            Output::Json => Ok(()),
            _ => out.write_all(b"\n"),
        }
    }

    fn cell_row(
        &mut self,
        out: &mut impl Write,
        paint: Paint,
        cells: Vec<String>,
    ) -> io::Result<()> {
        match self.style.output {
            Output::Table => {
                self.rows.push((cells, paint));
                match self.rows.len() >= CHUNK_ROWS {
                    true => self.write_rows(out),
                    false => Ok(()),
                }
            }
            Output::Csv => {
                self.header(out)?;
                csv_line(out, &cells)
            }
            _ => {
                self.header(out)?;
                let cells: Vec<String> = cells.iter().map(|cell| printable(cell)).collect();
                writeln!(out, "{}", paint.on(&cells.join("\t"), self.style.color))
            }
        }
    }

    fn header(&mut self, out: &mut impl Write) -> io::Result<()> {
        if std::mem::replace(&mut self.header_written, true) {
            return Ok(());
        }
        match self.style.output {
            Output::Csv => {
                let heads: Vec<String> =
                    self.heads.iter().map(|head| head.to_lowercase()).collect();
                csv_line(out, &heads)
            }
            _ => writeln!(
                out,
                "{}",
                Paint::Head.on(&self.heads.join("\t"), self.style.color)
            ),
        }
    }

    /// Writes what was gathered, so that somebody who waits sees it.
    pub(crate) fn flush(&mut self, out: &mut impl Write) -> io::Result<()> {
        if !self.rows.is_empty() {
            self.write_rows(out)?;
        }
        out.flush()
    }

    /// Writes what is left, and whatever a form without a row has.
    pub(crate) fn end(&mut self, out: &mut impl Write) -> io::Result<()> {
        match self.style.output {
            Output::Table if !self.rows.is_empty() || !self.header_written => self.write_rows(out),
            Output::Text | Output::Csv if self.written == 0 => self.header(out),
            Output::Json if self.header_written => out.write_all(b"\n]\n"),
            Output::Json => out.write_all(b"[]\n"),
            _ => Ok(()),
        }
    }

    fn write_rows(&mut self, out: &mut impl Write) -> io::Result<()> {
        let width = width();
        let right: Vec<usize> = match &self.picks {
            None => (0..self.columns.len())
                .filter(|at| self.is_right(*at))
                .collect(),
            Some(picks) => picks
                .iter()
                .enumerate()
                .filter(|(_, pick)| matches!(pick, Pick::Column(at) if self.is_right(*at)))
                .map(|(index, _)| index)
                .collect(),
        };
        let heads: Vec<&str> = self.heads.iter().map(String::as_str).collect();
        let mut table = table(&heads, &right);
        let mut paints = Vec::with_capacity(self.rows.len());
        for (cells, paint) in self.rows.drain(..) {
            table.add_row(cells.iter().map(|cell| printable(cell)));
            paints.push(paint);
        }
        // Columns never become narrower than they were above.
        for ((column, found), head) in table
            .column_iter_mut()
            .zip(&mut self.widths)
            .zip(&self.heads)
        {
            *found = (*found).max(head.chars().count() as u16 + 2);
            column.set_constraint(ColumnConstraint::LowerBoundary(Width::Fixed(*found)));
        }
        for (index, line) in table.lines().enumerate() {
            if index == 0 && self.header_written {
                continue;
            }
            let paint = match index.checked_sub(1) {
                None => Paint::Head,
                Some(row) => paints.get(row).copied().unwrap_or_default(),
            };
            writeln!(out, "{}", paint.on(&cut(&line, width), self.style.color))?;
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

    fn is_right(&self, index: usize) -> bool {
        self.columns.get(index).is_some_and(|column| column.right)
    }
}

/// Writes an object.
fn write_json(out: &mut impl Write, style: &Style, json: &impl Serialize) -> io::Result<()> {
    match style.numbers_as_text {
        false => serde_json::to_writer(out, json)?,
        true => {
            let mut serializer = serde_json::Serializer::with_formatter(out, NumbersAsText);
            json.serialize(&mut serializer)?;
        }
    }
    Ok(())
}

/// Whole numbers between quotes. All of them, so that a key has one type whatever its value is.
struct NumbersAsText;

macro_rules! as_text {
    ($($write:ident: $number:ty),*) => {
        impl Formatter for NumbersAsText {$(
            fn $write<W: ?Sized + Write>(&mut self, out: &mut W, number: $number) -> io::Result<()> {
                write!(out, "\"{number}\"")
            }
        )*}
    };
}

as_text! {
    write_i8: i8, write_i16: i16, write_i32: i32, write_i64: i64,
    write_u8: u8, write_u16: u16, write_u32: u32, write_u64: u64
}

/// The value at a path of names joined by dots.
fn at<'v>(value: &'v Value, path: &str) -> Option<&'v Value> {
    path.split('.').try_fold(value, |value, name| match value {
        Value::Array(values) => values.iter().find_map(|value| value.get(name)),
        value => value.get(name),
    })
}

/// A value in a cell.
fn plain(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        value => value.to_string(),
    }
}

fn csv_line(out: &mut impl Write, cells: &[String]) -> io::Result<()> {
    let mut writer = csv::WriterBuilder::new().from_writer(Vec::new());
    writer.write_record(cells)?;
    let line = writer
        .into_inner()
        .map_err(|error| io::Error::other(error.to_string()))?;
    out.write_all(&line)
}

/// One object: its screen for people, its JSON for programs, and lines of path and value as CSV.
pub(crate) fn object(
    out: &mut impl Write,
    style: &Style,
    json: &impl Serialize,
    screen: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> io::Result<()> {
    match style.output {
        Output::Table | Output::Text if style.fields.is_empty() => screen(out),
        Output::Ndjson | Output::Json if style.fields.is_empty() => {
            write_json(&mut *out, style, json)?;
            out.write_all(b"\n")
        }
        form => {
            let object = serde_json::to_value(json).unwrap_or(Value::Null);
            let mut flat = Vec::new();
            match style.fields.is_empty() {
                true => flatten(String::new(), &object, &mut flat),
                false => {
                    for name in &style.fields {
                        flatten(
                            name.clone(),
                            at(&object, name).unwrap_or(&Value::Null),
                            &mut flat,
                        );
                    }
                }
            }
            match form {
                Output::Ndjson | Output::Json => {
                    let map: serde_json::Map<String, Value> = flat.into_iter().collect();
                    write_json(&mut *out, style, &map)?;
                    out.write_all(b"\n")
                }
                Output::Csv => {
                    csv_line(out, &["field".to_owned(), "value".to_owned()])?;
                    flat.iter()
                        .try_for_each(|(path, value)| csv_line(out, &[path.clone(), plain(value)]))
                }
                Output::Table | Output::Text => flat.iter().try_for_each(|(path, value)| {
                    writeln!(out, "{path}\t{}", printable(&plain(value)))
                }),
            }
        }
    }
}

/// Leaves of a value with their paths.
fn flatten(path: String, value: &Value, into: &mut Vec<(String, Value)>) {
    let below = |name: &str| match path.is_empty() {
        true => name.to_owned(),
        false => format!("{path}.{name}"),
    };
    match value {
        Value::Object(map) if !map.is_empty() => {
            for (name, value) in map {
                flatten(below(name), value, into);
            }
        }
        Value::Array(values) if !values.is_empty() => {
            for (index, value) in values.iter().enumerate() {
                flatten(below(&index.to_string()), value, into);
            }
        }
        value => into.push((path, value.clone())),
    }
}
