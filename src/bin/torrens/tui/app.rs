//! What the person at the screen did so far: where they are, what is chosen, what a key does. Pure.
//!
//! Not here: how it looks (`draw`), how it is gathered (`scene`).

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use torrens::RegionId;
use torrens::inspector::Point;

use super::scene::{Goal, RegionRow, Scene};

/// Parts that a long jump divides the history into.
const JUMPS: u64 = 20;
/// Lines that a long scroll moves.
const PAGE: usize = 10;

/// Which half of the screen the arrows up and down move in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pane {
    Regions,
    Record,
}

/// How the view ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// As wished.
    Quit,
    /// By Ctrl-C.
    Interrupted,
}

/// What a key asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    Nothing,
    Go(Goal),
    End(End),
}

/// The state of the view.
#[derive(Clone, Debug)]
pub(super) struct App {
    pub(super) scene: Option<Scene>,
    pub(super) pane: Pane,
    /// The region that is chosen; it stays chosen while it is not there.
    pub(super) chosen: Option<RegionId>,
    /// First line of the record that is shown.
    pub(super) scroll: usize,
    /// Whether the newest state is shown as it comes.
    pub(super) follows: bool,
    /// The point that is being typed.
    pub(super) typed: Option<String>,
    pub(super) shows_help: bool,
    /// What went wrong last.
    pub(super) trouble: Option<String>,
    /// The position that was asked for and is not there yet: steps go on from it.
    pub(super) heading: Option<u64>,
}

impl App {
    pub(super) fn new() -> App {
        App {
            scene: None,
            pane: Pane::Regions,
            chosen: None,
            scroll: 0,
            follows: true,
            typed: None,
            shows_help: false,
            trouble: None,
            heading: None,
        }
    }

    /// What was gathered.
    pub(super) fn show(&mut self, scene: Scene) {
        let moved = self.scene.as_ref().is_none_or(|old| old.at != scene.at);
        if moved {
            self.scroll = 0;
        }
        if self.heading == Some(scene.at) || self.follows {
            self.heading = None;
        }
        if self.chosen.is_none() {
            self.chosen = scene.regions.first().map(|row| row.id);
        }
        self.trouble = None;
        self.scene = Some(scene);
    }

    /// The row of the region that is chosen.
    pub(super) fn row(&self) -> Option<usize> {
        let scene = self.scene.as_ref()?;
        let is_chosen = |row: &RegionRow| Some(row.id) == self.chosen;
        scene.regions.iter().position(is_chosen)
    }

    /// What `key` asks for.
    pub(super) fn press(&mut self, key: KeyEvent) -> Asked {
        if key.modifiers.contains(KeyModifiers::CONTROL) && key.code == KeyCode::Char('c') {
            return Asked::End(End::Interrupted);
        }
        if self.typed.is_some() {
            return self.type_point(key.code);
        }
        if std::mem::take(&mut self.shows_help) {
            return Asked::Nothing;
        }
        match key.code {
            KeyCode::Char('q') | KeyCode::Esc => return Asked::End(End::Quit),
            KeyCode::Char('?') => self.shows_help = true,
            KeyCode::Char('g') => self.typed = Some(String::new()),
            KeyCode::Tab | KeyCode::BackTab | KeyCode::Enter => {
                self.pane = match self.pane {
                    Pane::Regions => Pane::Record,
                    Pane::Record => Pane::Regions,
                };
            }
            KeyCode::Char('f') => {
                self.follows = !self.follows;
                if self.follows {
                    return Asked::Go(Goal::Point(Point::Last));
                }
            }
            KeyCode::Up | KeyCode::Char('k') => self.vertical(-1),
            KeyCode::Down | KeyCode::Char('j') => self.vertical(1),
            KeyCode::PageUp => self.vertical(-(PAGE as isize)),
            KeyCode::PageDown => self.vertical(PAGE as isize),
            KeyCode::Left | KeyCode::Char('h') => return self.step(|at, _| at.saturating_sub(1)),
            KeyCode::Right | KeyCode::Char('l') => return self.step(|at, _| at.saturating_add(1)),
            KeyCode::Char('<' | 'H') => return self.step(|at, jump| at.saturating_sub(jump)),
            KeyCode::Char('>' | 'L') => return self.step(|at, jump| at.saturating_add(jump)),
            KeyCode::Home => return self.step(|_, _| 0),
            KeyCode::End => return self.step(|_, _| u64::MAX),
            KeyCode::Char('[') => return self.of_region(Goal::Previous),
            KeyCode::Char(']') => return self.of_region(Goal::Next),
            _ => {}
        }
        Asked::Nothing
    }

    /// A step along the history, from where the last one leads.
    fn step(&mut self, to: impl Fn(u64, u64) -> u64) -> Asked {
        let Some(scene) = &self.scene else {
            return Asked::Nothing;
        };
        let jump = ((scene.last - scene.first.min(scene.last)) / JUMPS).max(1);
        let wanted = to(self.heading.unwrap_or(scene.at), jump);
        let wanted = wanted.clamp(scene.first, scene.last.max(scene.first));
        self.follows = false;
        self.heading = Some(wanted);
        Asked::Go(Goal::Near(wanted))
    }

    fn of_region(&mut self, goal: impl Fn(RegionId, u64) -> Goal) -> Asked {
        let (Some(scene), Some(region)) = (&self.scene, self.chosen) else {
            return Asked::Nothing;
        };
        self.follows = false;
        self.heading = None;
        Asked::Go(goal(region, scene.at))
    }

    fn vertical(&mut self, lines: isize) {
        let Some(scene) = &self.scene else { return };
        let moved = |at: usize, length: usize| {
            at.saturating_add_signed(lines)
                .min(length.saturating_sub(1))
        };
        match self.pane {
            Pane::Regions => {
                let row = self.row().map_or(0, |row| moved(row, scene.regions.len()));
                let row = scene.regions.get(row);
                self.chosen = row.map(|row| row.id).or(self.chosen);
            }
            Pane::Record => self.scroll = moved(self.scroll, scene.record.len()),
        }
    }

    fn type_point(&mut self, key: KeyCode) -> Asked {
        let Some(mut typed) = self.typed.take() else {
            return Asked::Nothing;
        };
        match key {
            KeyCode::Esc => return Asked::Nothing,
            KeyCode::Enter if typed.is_empty() => return Asked::Nothing,
            KeyCode::Enter => match typed.parse::<Point>() {
                Ok(point) => {
                    self.follows = false;
                    self.heading = None;
                    return Asked::Go(Goal::Point(point));
                }
                Err(why) => self.trouble = Some(why.to_string()),
            },
            KeyCode::Backspace => {
                typed.pop();
            }
            KeyCode::Char(letter) if typed.len() < 40 => typed.push(letter),
            _ => {}
        }
        self.typed = Some(typed);
        Asked::Nothing
    }
}
