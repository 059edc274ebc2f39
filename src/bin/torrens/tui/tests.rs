//! The view as text: golden screens of the committed store, what keys do, and every small size.
//!
//! `TORRENS_REWRITE=1` writes the golden screens.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "what a helper cannot do fails the test that called it"
)]

use std::fs;
use std::path::{Path, PathBuf};

use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use torrens::RegionId;
use torrens::inspector::{Inspector, KeyForm, Point};

use super::app::{App, Asked, End, Pane};
use super::draw::draw;
use super::scene::{Goal, Scene, gather};
use crate::view::Style;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn market() -> PathBuf {
    root().join("tests/golden/stores/market")
}

fn scene(goal: Goal) -> Scene {
    let inspector = Inspector::open(market()).unwrap();
    let style = Style::of_screen(KeyForm::Auto, 0);
    let mut scene = gather(&inspector, goal, &style).unwrap();
    // Where the sources lie is not part of the screen.
    scene.dir = "market".to_owned();
    scene
}

fn point(text: &str) -> Goal {
    Goal::Point(text.parse().unwrap())
}

/// The view at `goal`, without following.
fn app(goal: Goal) -> App {
    let mut app = App::new();
    app.follows = false;
    app.show(scene(goal));
    app
}

/// Presses keys one after the other; what is asked for is gathered at once.
fn press(app: &mut App, keys: &[KeyCode]) {
    for key in keys {
        if let Asked::Go(goal) = app.press(KeyEvent::new(*key, KeyModifiers::NONE)) {
            app.show(scene(goal));
        }
    }
}

fn screen(app: &App, width: u16, height: u16) -> String {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal.draw(|frame| draw(frame, app)).unwrap();
    let buffer = terminal.backend().buffer().clone();
    let lines = (0..height).map(|y| {
        let line: String = (0..width).map(|x| buffer[(x, y)].symbol()).collect();
        format!("{}\n", line.trim_end())
    });
    lines.collect()
}

fn golden(name: &str, found: &str) {
    let path = root().join("tests/golden/tool/tui").join(name);
    if std::env::var_os("TORRENS_REWRITE").is_some() {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, found).unwrap();
        return;
    }
    let expected = fs::read_to_string(&path).unwrap();
    assert!(expected == found, "{name} differs; found:\n{found}");
}

#[test]
fn screens_look_as_agreed() {
    golden("newest.txt", &screen(&app(point("last")), 120, 30));
    golden("split.txt", &screen(&app(point("10")), 120, 30));
    golden("narrow.txt", &screen(&app(point("10")), 60, 16));
    golden("small.txt", &screen(&app(point("10")), 30, 8));
    golden("too-small.txt", &screen(&app(point("10")), 29, 8));
    golden("begin.txt", &screen(&app(point("first")), 80, 12));
    let mut record = app(point("10"));
    press(&mut record, &[KeyCode::Tab, KeyCode::PageDown]);
    golden("narrow-record.txt", &screen(&record, 60, 16));
    press(&mut record, &[KeyCode::Char('?')]);
    golden("help.txt", &screen(&record, 80, 24));
    golden("waiting.txt", &screen(&App::new(), 60, 10));
    let mut typing = app(point("10"));
    press(
        &mut typing,
        &"gnonsense".chars().map(KeyCode::Char).collect::<Vec<_>>(),
    );
    press(&mut typing, &[KeyCode::Enter]);
    golden("no-point.txt", &screen(&typing, 80, 12));
}

#[test]
fn the_documentation_shows_what_the_view_shows() {
    let read = |path: &str| fs::read_to_string(root().join(path)).unwrap();
    for (document, name) in [
        ("docs/OPERATIONS.md", "split.txt"),
        ("README.md", "narrow.txt"),
    ] {
        let shown = read(&format!("tests/golden/tool/tui/{name}"));
        assert!(
            read(document).contains(&format!("```text\n{shown}```")),
            "{document} does not show {name}"
        );
    }
}

#[test]
fn every_size_of_the_terminal_shows_something_and_none_ends_the_view() {
    let mut app = app(point("10"));
    for pane in [Pane::Regions, Pane::Record] {
        app.pane = pane;
        for shows_help in [false, true] {
            app.shows_help = shows_help;
            for (width, height) in (1..130)
                .step_by(6)
                .flat_map(|w| (1..40).step_by(2).map(move |h| (w, h)))
            {
                let _ = screen(&app, width, height);
            }
        }
    }
    app.shows_help = false;
    let all = screen(&app, 30, 8);
    assert!(all.contains("LSN 10"), "{all}");
}

#[test]
fn keys_move_through_the_history_and_stop_at_its_ends() {
    let mut view = app(point("10"));
    let at = |view: &App| view.scene.as_ref().unwrap().at;
    press(&mut view, &[KeyCode::Right, KeyCode::Right]);
    assert_eq!(at(&view), 12);
    press(&mut view, &[KeyCode::Left]);
    assert_eq!(at(&view), 11);
    press(&mut view, &[KeyCode::Char('>')]);
    assert_eq!(at(&view), 12, "a twentieth of 35 records is one");
    press(&mut view, &[KeyCode::End, KeyCode::Right]);
    assert_eq!(at(&view), 35);
    press(&mut view, &[KeyCode::Home, KeyCode::Left]);
    assert_eq!(
        at(&view),
        1,
        "the oldest state is the one after the first record"
    );
    press(
        &mut view,
        &"gboot:-1".chars().map(KeyCode::Char).collect::<Vec<_>>(),
    );
    press(&mut view, &[KeyCode::Enter]);
    let inspector = Inspector::open(market()).unwrap();
    let boot = inspector
        .resolve("boot:-1".parse::<Point>().unwrap())
        .unwrap();
    assert_eq!(at(&view), boot.get());
}

#[test]
fn keys_lead_from_record_to_record_of_a_region() {
    let mut view = app(point("10"));
    view.chosen = Some(RegionId(3));
    let at = |view: &App| view.scene.as_ref().unwrap().at;
    press(&mut view, &[KeyCode::Char(']')]);
    assert_eq!(at(&view), 13, "as torrens why says");
    press(&mut view, &[KeyCode::Char(']'), KeyCode::Char('[')]);
    assert_eq!(at(&view), 13);
    // A cache's record is one of its region's, in both directions.
    let mut cached = app(point("34"));
    press(&mut cached, &[KeyCode::Char('[')]);
    assert_eq!(at(&cached), 33);
    press(&mut cached, &[KeyCode::Char(']'), KeyCode::Char(']')]);
    assert_eq!(at(&cached), 35);
    let concerned = &view.scene.as_ref().unwrap().concerned;
    assert!(concerned.contains(&RegionId(3)));
}

#[test]
fn steps_go_on_from_where_the_last_one_leads() {
    let mut view = app(point("10"));
    let right = KeyEvent::new(KeyCode::Right, KeyModifiers::NONE);
    // Three presses before the first is gathered.
    assert_eq!(view.press(right), Asked::Go(Goal::Near(11)));
    assert_eq!(view.press(right), Asked::Go(Goal::Near(12)));
    assert_eq!(view.press(right), Asked::Go(Goal::Near(13)));
    view.show(scene(Goal::Near(11)));
    assert_eq!(view.heading, Some(13));
    view.show(scene(Goal::Near(13)));
    assert_eq!(view.heading, None);
}

#[test]
fn the_view_ends_as_it_is_told() {
    let mut view = app(point("10"));
    let control_c = KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL);
    assert_eq!(view.press(control_c), Asked::End(End::Interrupted));
    press(&mut view, &[KeyCode::Char('g')]);
    assert_eq!(view.press(control_c), Asked::End(End::Interrupted));
    press(&mut view, &[KeyCode::Esc]);
    let quit = KeyEvent::new(KeyCode::Char('q'), KeyModifiers::NONE);
    assert_eq!(view.press(quit), Asked::End(End::Quit));
}
