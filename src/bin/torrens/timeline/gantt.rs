//! The chart: one line for each life, its stages drawn along time or positions.

use std::io::{self, Write};

use torrens::inspector::clock::{duration, timestamp};
use torrens::inspector::timeline::{Instant, Life, Span};

use super::OfStore;
use crate::output::{note, width};
use crate::paint::Paint;
use crate::render::{count, cut};
use crate::view::{Output, Style};

/// Columns of the chart in a file.
const WIDTH_IN_A_FILE: usize = 120;
/// Fewest columns that the chart takes beside the names.
const CHART_MIN: usize = 20;

/// Where things lie along the chart.
struct Scale {
    by_lsn: bool,
    start: u64,
    end: u64,
    columns: usize,
}

impl Scale {
    fn value(&self, at: Instant) -> u64 {
        match self.by_lsn {
            true => at.lsn.get(),
            false => at.micros,
        }
    }

    /// The column of a place.
    fn column(&self, at: Instant) -> usize {
        let value = self.value(at).clamp(self.start, self.end) - self.start;
        let whole = u128::from((self.end - self.start).max(1));
        let column = u128::from(value) * (self.columns.saturating_sub(1) as u128) / whole;
        usize::try_from(column).unwrap_or(0)
    }
}

pub(super) fn draw(
    out: &mut impl Write,
    stores: &[OfStore],
    by_lsn: bool,
    style: &Style,
) -> io::Result<()> {
    // The lives of one region stand together, whatever store they were in.
    let mut lives: Vec<(&str, &Life)> = stores
        .iter()
        .flat_map(|store| store.timeline.lives.iter().map(|life| (&*store.name, life)))
        .collect();
    lives.sort_by_key(|(_, life)| life.region);
    if lives.is_empty() {
        return writeln!(out, "no peer was here");
    }
    let names: Vec<String> = lives
        .iter()
        .map(|(store, life)| {
            let at = if store.is_empty() { "" } else { "@" };
            format!(
                "{}{at}{store} {}{}",
                life.region, life.peer, life.incarnation
            )
        })
        .collect();
    let room = names
        .iter()
        .map(|name| name.chars().count())
        .max()
        .unwrap_or(0)
        + 2;
    let width = match style.output {
        Output::Table => width(),
        _ => WIDTH_IN_A_FILE,
    };
    let columns = width.saturating_sub(room).max(CHART_MIN);
    let value = |at: Instant| if by_lsn { at.lsn.get() } else { at.micros };
    let timelines = || stores.iter().map(|store| &store.timeline);
    // A store in which nothing happened yet has no time to show.
    let with_lives = || timelines().filter(|timeline| !timeline.lives.is_empty());
    let start = with_lives()
        .map(|timeline| timeline.start)
        .min_by_key(|at| value(*at));
    let end = with_lives()
        .map(|timeline| timeline.end)
        .max_by_key(|at| value(*at));
    let ends = (start.unwrap_or_default(), end.unwrap_or_default());
    let scale = Scale {
        by_lsn,
        start: value(ends.0),
        end: value(ends.1).max(value(ends.0)),
        columns,
    };
    ruler(out, stores, ends, &scale, room, style)?;
    for ((_, life), name) in lives.iter().zip(&names) {
        let line = format!("{name:<room$}{}", bar(life, &life.stages, &scale, true));
        let is_bad = life
            .stages
            .last()
            .is_some_and(|span| span.name == "damaged");
        let paint = match (life.ended_by.is_some(), is_bad) {
            (false, true) => Paint::Bad,
            (true, _) => Paint::Dim,
            (false, false) => Paint::Plain,
        };
        writeln!(out, "{}", paint.on(&cut(&line, width), style.color))?;
        if !life.caches.is_empty() {
            let line = format!(
                "{:<room$}{}",
                "  cache",
                bar(life, &life.caches, &scale, false)
            );
            writeln!(out, "{}", Paint::Dim.on(&cut(&line, width), style.color))?;
        }
    }
    let whole = match by_lsn {
        true => count(scale.end - scale.start, "record"),
        false => duration(scale.end - scale.start),
    };
    let gone = lives
        .iter()
        .filter(|(_, life)| life.ended_by.is_some())
        .count();
    let line = format!(
        "{}, {} of them gone; {whole} across; ├ begins  ╢ ends  ▸ lasts  ┊ boot",
        count(lives.len() as u64, "life").replace("lifes", "lives"),
        gone
    );
    note(out, &line, style)
}

/// The scale above the chart: its begin, its end, and where the store was opened.
fn ruler(
    out: &mut impl Write,
    stores: &[OfStore],
    ends: (Instant, Instant),
    scale: &Scale,
    room: usize,
    style: &Style,
) -> io::Result<()> {
    // Within a minute, milliseconds tell the ends apart.
    let letters = match scale.end - scale.start < 60_000_000 {
        true => 23,
        false => 19,
    };
    let text = |at: Instant| match scale.by_lsn {
        true => format!("LSN {}", at.lsn),
        false => {
            let text = timestamp(at.micros);
            text.get(..letters).unwrap_or(&text).replace('T', " ")
        }
    };
    let (start, end) = (text(ends.0), text(ends.1));
    let gap = scale
        .columns
        .saturating_sub(start.chars().count() + end.chars().count());
    let line = format!("{:room$}{start}{}{end}", "", " ".repeat(gap.max(1)));
    writeln!(
        out,
        "{}",
        Paint::Head.on(&cut(&line, room + scale.columns), style.color)
    )?;
    for store in stores {
        // The first boot is where it all begins.
        let mut marks = vec![' '; scale.columns];
        for (_, at) in store.timeline.boots.iter().skip(1) {
            if let Some(mark) = marks.get_mut(scale.column(*at)) {
                *mark = '┊';
            }
        }
        let marks: String = marks.into_iter().collect();
        let at = if store.name.is_empty() { "" } else { "@" };
        let name = cut(&format!("boots{at}{}", store.name), room.saturating_sub(1));
        if !marks.trim().is_empty() {
            writeln!(out, "{name:<room$}{}", marks.trim_end())?;
        }
    }
    Ok(())
}

/// One life's spans, each with its name if there is room.
fn bar(life: &Life, spans: &[Span], scale: &Scale, ends: bool) -> String {
    let mut chart = vec![' '; scale.columns];
    for (index, span) in spans.iter().enumerate() {
        let from = scale.column(span.from);
        let to = span
            .to
            .map_or(scale.columns.saturating_sub(1), |to| scale.column(to));
        let line = match span.name {
            "normal" | "active" => '━',
            "damaged" => '╳',
            _ => '─',
        };
        for cell in chart.iter_mut().take(to + 1).skip(from) {
            *cell = line;
        }
        let is_first = index == 0;
        let begin = match (is_first, life.began_before && ends) {
            (true, true) => '◂',
            _ => '├',
        };
        put(&mut chart, from, begin);
        let lasts = span.to.is_none();
        if lasts {
            put(&mut chart, to, '▸');
        } else if index + 1 == spans.len() {
            put(&mut chart, to, '╢');
        }
        // A name between the two ends, and one column of line on both sides.
        let inside = (to.saturating_sub(from)).saturating_sub(1);
        if span.name.chars().count() < inside {
            for (offset, letter) in span.name.chars().enumerate() {
                put(&mut chart, from + 1 + offset, letter);
            }
        }
    }
    let mut line: String = chart.into_iter().collect();
    if let Some(kind) = life.ended_by.as_deref().filter(|_| ends) {
        let trimmed = line.trim_end().chars().count();
        let note = format!(" {kind}");
        // Behind the end, if the chart has room there.
        if trimmed + note.chars().count() <= scale.columns {
            line = format!("{}{note}", line.trim_end());
        }
    }
    line.trim_end().to_owned()
}

fn put(chart: &mut [char], column: usize, letter: char) {
    if let Some(cell) = chart.get_mut(column) {
        *cell = letter;
    }
}
