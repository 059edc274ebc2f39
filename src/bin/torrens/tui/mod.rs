//! `torrens tui`: a store on the whole screen of a terminal: its regions at any position of its history, and the
//! record there.
//!
//! * `scene`: what is to be seen, gathered on a thread of its own. * `app`: what keys do. * `draw`: how it looks.
//!
//! Here: the terminal, which is given back as it was however this ends.

use std::io::{self, IsTerminal};
use std::sync::Arc;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use clap::Parser;
use ratatui::DefaultTerminal;
use ratatui::crossterm::event::{self, Event, KeyEventKind};
use torrens::inspector::{InspectError, Inspector, Point};

use crate::exit::{Exit, Failure, chain};
use crate::interrupt;
use crate::look;
use crate::progress::{self, ProgressWhen};
use crate::view::{Keys, Style, Target};
use app::{App, Asked, End};
use scene::{Goal, Scene, Wish};

mod app;
mod draw;
mod scene;
#[cfg(test)]
mod tests;

/// How long to wait for a key before the screen is drawn again.
const TICK: Duration = Duration::from_millis(100);
/// How often a directory is looked at again while it is followed, at most.
const REFRESH: Duration = Duration::from_millis(500);
/// How much longer a look is shown than it took.
const REST: u32 = 4;

/// Look at a store on the whole screen: its regions at any point of its history, and the record there; the
/// directory may be open.
#[derive(Debug, Parser)]
#[command(
    after_help = "Keys are on the screen; ? lists them all. Exit codes: 0; 2 not on a terminal; 8 nothing can be read \
there; 130 after Ctrl-C."
)]
pub(crate) struct Args {
    #[command(flatten)]
    target: Target,
    /// Begin at this point instead of following the newest: 8412, @09:21:07, ~5, boot:-1, ckpt:last
    #[arg(long, value_name = "POINT")]
    at: Option<Point>,
    /// Keys; `redact` shows a token instead, the same one for the same key
    #[arg(long, value_enum, value_name = "FORM", default_value_t = Keys::Auto)]
    keys: Keys,
    /// With --keys redact: the same secret gives the same tokens another time [default: $TORRENS_REDACT_WITH, or random]
    #[arg(long, value_name = "SECRET", requires = "keys")]
    redact_with: Option<String>,
}

/// Runs the command.
pub(crate) fn run(args: Args) -> Exit {
    match tui(&args) {
        Ok(exit) => exit,
        Err(failure) => failure.report(),
    }
}

fn tui(args: &Args) -> Result<Exit, Failure> {
    let path = args.target.only()?;
    // What is not there at all is said on the terminal that stays.
    let first = Inspector::open(&path).map_err(look::failure)?;
    let style = Style::of_screen(
        args.keys.form(args.redact_with.as_deref()),
        first.now_micros(),
    );
    if !io::stdout().is_terminal() || !io::stdin().is_terminal() {
        return Err(Failure {
            code: "no-terminal",
            message: "a view on the whole screen needs a terminal".to_owned(),
            hint: Some("torrens state, torrens show and torrens tail print the same".to_owned()),
            exit: Exit::USAGE,
        });
    }
    let wish = Arc::new(Wish::default());
    let (to, from) = mpsc::channel();
    let wished = Arc::clone(&wish);
    thread::spawn(move || {
        let open = || {
            Inspector::open(&path)
                .map(|inspector| inspector.watched(progress::watch(ProgressWhen::Never)))
        };
        scene::serve(&open, &style, &wished, &to);
    });
    let mut app = App::new();
    app.follows = args.at.is_none();
    wish.put(Goal::Point(args.at.unwrap_or(Point::Last)));
    let on_terminal = |error: io::Error| Failure {
        code: "terminal",
        message: format!("cannot use the terminal: {}", chain(&error)),
        hint: None,
        exit: Exit::UNREADABLE,
    };
    // Its hook gives the terminal back before a panic is told.
    let mut terminal = ratatui::try_init().map_err(on_terminal)?;
    let end = live(&mut terminal, &mut app, &wish, &from);
    ratatui::restore();
    Ok(match end.map_err(on_terminal)? {
        End::Quit => Exit::OK,
        End::Interrupted => Exit::INTERRUPTED,
    })
}

type Gathered = (Goal, Result<Scene, InspectError>);

fn live(
    terminal: &mut DefaultTerminal,
    app: &mut App,
    wish: &Wish,
    gathered: &mpsc::Receiver<Gathered>,
) -> io::Result<End> {
    let mut asked = Instant::now();
    let mut due = None;
    loop {
        while let Ok((_, outcome)) = gathered.try_recv() {
            let took = asked.elapsed();
            due = Some(Instant::now() + REFRESH.max(took.saturating_mul(REST)));
            match outcome {
                Ok(scene) => app.show(scene),
                Err(error) => {
                    let failure = look::failure(error);
                    app.trouble = Some(format!("error[{}]: {}", failure.code, failure.message));
                    app.heading = None;
                }
            }
        }
        terminal.draw(|frame| draw::draw(frame, app))?;
        if interrupt::asked() {
            return Ok(End::Interrupted);
        }
        let mut wait = TICK;
        // Every key that waits, before the next drawing.
        while event::poll(wait)? {
            wait = Duration::ZERO;
            let Event::Key(key) = event::read()? else {
                continue;
            };
            if key.kind != KeyEventKind::Press {
                continue;
            }
            match app.press(key) {
                Asked::Nothing => {}
                Asked::End(end) => return Ok(end),
                Asked::Go(goal) => {
                    (asked, due) = (Instant::now(), None);
                    wish.put(goal);
                }
            }
        }
        if app.follows && due.is_some_and(|due| due <= Instant::now()) {
            (asked, due) = (Instant::now(), None);
            wish.put(Goal::Point(Point::Last));
        }
    }
}
