//! How the view looks. Pure: a state becomes cells.
//!
//! With less than [`SIDE_BY_SIDE`] columns one pane is shown at a time; what has no room is left out from the
//! right and from the bottom, and the line with the keys is left out last.

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Margin, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, BorderType, Clear, Paragraph, Wrap};
use torrens::inspector::clock::timestamp;

use super::app::{App, Pane};
use super::scene::{RegionRow, Scene};
use crate::render::{count, cut, grouped};

/// Columns from which on both panes are shown.
const SIDE_BY_SIDE: u16 = 90;
/// The smallest screen that shows anything of use.
const LEAST: (u16, u16) = (30, 8);

const HELP: [(&str, &str); 10] = [
    ("← →", "one record back, on"),
    ("< >", "a twentieth of the history back, on"),
    ("Home End", "oldest state, newest state"),
    ("[ ]", "the chosen region's record before, after"),
    ("↑ ↓", "choose a region, or scroll the record"),
    ("PgUp PgDn", "the same by ten"),
    ("Tab", "regions or record"),
    ("g", "go to 8412, @09:21:07, ~5, boot:-1, ckpt:last"),
    ("f", "follow the newest state"),
    ("q", "end"),
];

fn plain() -> Style {
    Style::new()
}

fn dim() -> Style {
    plain().add_modifier(Modifier::DIM)
}

fn bold() -> Style {
    plain().add_modifier(Modifier::BOLD)
}

fn of_exit(exit: u8) -> Style {
    bold().fg(match exit {
        0 => Color::Green,
        3 => Color::Yellow,
        _ => Color::Red,
    })
}

/// Draws everything.
pub(super) fn draw(frame: &mut Frame<'_>, app: &App) {
    let area = frame.area();
    if area.width < LEAST.0 || area.height < LEAST.1 {
        let text = format!("at least {}×{}", LEAST.0, LEAST.1);
        frame.render_widget(Paragraph::new(text), area);
        return;
    }
    let [head, body, slider, keys] = Layout::vertical([
        Constraint::Length(1),
        Constraint::Min(3),
        Constraint::Length(2),
        Constraint::Length(1),
    ])
    .areas(area);
    match &app.scene {
        Some(scene) => {
            heading(frame, head, scene);
            panes(frame, body, app, scene);
            time(frame, slider, app, scene);
        }
        None => {
            let text = app
                .trouble
                .as_deref()
                .unwrap_or("looking at the directory …");
            let text = Paragraph::new(text.to_owned()).wrap(Wrap { trim: false });
            frame.render_widget(text, body.inner(Margin::new(1, 1)));
        }
    }
    bottom(frame, keys, app);
    if app.shows_help {
        help(frame, area);
    }
}

fn heading(frame: &mut Frame<'_>, area: Rect, scene: &Scene) {
    let room = usize::from(area.width).saturating_sub(scene.verdict.len() + 2);
    let line = Line::from(vec![
        Span::styled(scene.verdict, of_exit(scene.exit)),
        Span::raw("  "),
        Span::raw(cut(
            &format!("{}  {}  {}", scene.dir, scene.writer, scene.sentence),
            room,
        )),
    ]);
    frame.render_widget(Paragraph::new(line), area);
}

fn panes(frame: &mut Frame<'_>, area: Rect, app: &App, scene: &Scene) {
    if area.width >= SIDE_BY_SIDE {
        let [left, right] =
            Layout::horizontal([Constraint::Percentage(48), Constraint::Fill(1)]).areas(area);
        regions(frame, left, app, scene);
        record(frame, right, app, scene);
        return;
    }
    match app.pane {
        Pane::Regions => regions(frame, area, app, scene),
        Pane::Record => record(frame, area, app, scene),
    }
}

/// A frame with a title; the pane that the arrows move in stands out.
fn pane(frame: &mut Frame<'_>, area: Rect, title: String, has_keys: bool) -> Rect {
    let style = if has_keys { bold() } else { dim() };
    let title = cut(&title, usize::from(area.width).saturating_sub(4));
    let block = Block::bordered()
        .border_type(BorderType::Rounded)
        .border_style(style)
        .title(Span::styled(format!(" {title} "), style));
    let inner = block.inner(area);
    frame.render_widget(block, area);
    inner
}

fn regions(frame: &mut Frame<'_>, area: Rect, app: &App, scene: &Scene) {
    let title = format!(
        "{}, {}, {}",
        count(scene.regions.len() as u64, "region"),
        count(scene.tombstones, "tombstone"),
        count(scene.deletions, "pending deletion")
    );
    let area = pane(frame, area, title, app.pane == Pane::Regions);
    let room = usize::from(area.height).saturating_sub(1);
    // The chosen row is in the middle, as far as there are rows around it.
    let row = app.row().unwrap_or(0);
    let from = row
        .saturating_sub(room / 2)
        .min(scene.regions.len().saturating_sub(room));
    let width = usize::from(area.width);
    let header = columns("REGION", "STAGE", "EPOCH", "CACHE", "SINCE", "RANGE", width);
    let mut lines = vec![Line::styled(header, dim())];
    for (index, one) in scene.regions.iter().enumerate().skip(from).take(room) {
        lines.push(region_line(
            one,
            app.row() == Some(index),
            scene.concerned.contains(&one.id),
            width,
        ));
    }
    if scene.regions.is_empty() {
        lines.push(Line::styled("no region has a peer here", dim()));
    }
    frame.render_widget(Paragraph::new(lines), area);
}

/// Columns as wide as their longest usual value; the range takes what is left.
fn columns(
    region: &str,
    stage: &str,
    epoch: &str,
    cache: &str,
    since: &str,
    range: &str,
    width: usize,
) -> String {
    let line = match width {
        0..44 => format!(" {region:<7} {stage:<12} {since:>7}  {range}"),
        _ => format!(" {region:<7} {stage:<12} {epoch:<7} {cache:<8} {since:>7}  {range}"),
    };
    cut(&line, width)
}

fn region_line(
    one: &RegionRow,
    is_chosen: bool,
    is_concerned: bool,
    width: usize,
) -> Line<'static> {
    let text = columns(
        &one.id.to_string(),
        one.standing,
        &one.epoch,
        one.cache,
        &grouped(one.since),
        &one.range,
        width,
    );
    let mut style = match (one.is_damaged, one.is_settled) {
        (true, _) => plain().fg(Color::Red),
        (false, true) => plain(),
        (false, false) => plain().fg(Color::Yellow),
    };
    if is_chosen {
        style = style.add_modifier(Modifier::REVERSED);
    }
    // What the record at this position is about is marked, for terminals without colours too.
    let mark = if is_concerned { "●" } else { " " };
    let rest: String = text.chars().skip(1).collect();
    let room = width.saturating_sub(1);
    Line::styled(format!("{mark}{rest:<room$}"), style)
}

fn record(frame: &mut Frame<'_>, area: Rect, app: &App, scene: &Scene) {
    let title = match scene.at {
        0 => "before the first record".to_owned(),
        at => format!("record {}", grouped(at)),
    };
    let area = pane(frame, area, title, app.pane == Pane::Record);
    let lines: Vec<Line<'static>> = match scene.record.is_empty() {
        true => vec![Line::styled(
            "the record is not in the journal any more",
            dim(),
        )],
        false => scene
            .record
            .iter()
            .skip(app.scroll)
            .take(usize::from(area.height))
            .map(|line| record_line(line, usize::from(area.width)))
            .collect(),
    };
    frame.render_widget(Paragraph::new(lines), area);
}

/// Headings of `torrens show` stand out here too.
fn record_line(line: &str, width: usize) -> Line<'static> {
    let text = cut(line, width);
    match line.starts_with(' ') || !matches!(line, "fields" | "changed" | "bytes") {
        true => Line::raw(text),
        false => Line::styled(text, bold()),
    }
}

fn time(frame: &mut Frame<'_>, area: Rect, app: &App, scene: &Scene) {
    let width = usize::from(area.width);
    let span = scene.last.saturating_sub(scene.first).max(1);
    let column = |lsn: u64| {
        let part = u128::from(lsn.clamp(scene.first, scene.last.max(scene.first)) - scene.first);
        let cells = (width.max(3) - 3) as u128;
        1 + usize::try_from(part * cells / u128::from(span)).unwrap_or(0)
    };
    let mut bar = vec!['─'; width];
    for (at, letter) in [(0, '├'), (width.saturating_sub(1), '┤')] {
        if let Some(cell) = bar.get_mut(at) {
            *cell = letter;
        }
    }
    for checkpoint in &scene.checkpoints {
        if let Some(cell) = bar.get_mut(column(*checkpoint)) {
            *cell = '┴';
        }
    }
    let at = column(app.heading.unwrap_or(scene.at));
    let before: String = bar.iter().take(at).collect();
    let after: String = bar.iter().skip(at + 1).collect();
    let knob = Span::styled("●", bold().fg(Color::Cyan));
    let line = Line::from(vec![
        Span::styled(before, plain().fg(Color::Cyan)),
        knob,
        Span::styled(after, dim()),
    ]);
    let when = scene.micros.filter(|micros| *micros > 0).map(timestamp);
    let state = match (app.follows, scene.at == scene.last) {
        (true, _) => "  following",
        (false, true) => "  newest",
        (false, false) => "",
    };
    let text = format!(
        "LSN {} of {} … {}{state}  {}",
        grouped(scene.at),
        grouped(scene.first),
        grouped(scene.last),
        when.unwrap_or_default()
    );
    let lines = vec![line, Line::raw(cut(&text, width))];
    frame.render_widget(Paragraph::new(lines), area);
}

fn bottom(frame: &mut Frame<'_>, area: Rect, app: &App) {
    let width = usize::from(area.width);
    let line = match (&app.typed, &app.trouble) {
        (Some(typed), None) => Line::raw(cut(&format!("go to: {typed}▏"), width)),
        (Some(typed), Some(why)) => Line::styled(
            cut(&format!("go to: {typed}▏ {why}"), width),
            plain().fg(Color::Red),
        ),
        (None, Some(why)) => Line::styled(cut(why, width), plain().fg(Color::Red)),
        (None, None) => {
            let keys =
                "q end  ? keys  ←→ record  [] of region  ↑↓ choose  Tab pane  g go to  f follow";
            Line::styled(cut(keys, width), dim())
        }
    };
    frame.render_widget(Paragraph::new(line), area);
}

fn help(frame: &mut Frame<'_>, area: Rect) {
    let width = area.width.min(66);
    let height = area.height.min(HELP.len() as u16 + 2);
    let place = Rect {
        x: area.x + (area.width - width) / 2,
        y: area.y + (area.height - height) / 2,
        width,
        height,
    };
    let inside = usize::from(width).saturating_sub(2);
    let lines = HELP
        .iter()
        .map(|(keys, what)| Line::raw(cut(&format!(" {keys:<10} {what}"), inside)));
    let block = Block::bordered()
        .border_type(BorderType::Rounded)
        .title(" keys, any of them closes this ");
    frame.render_widget(Clear, place);
    frame.render_widget(
        Paragraph::new(lines.collect::<Vec<_>>()).block(block),
        place,
    );
}
