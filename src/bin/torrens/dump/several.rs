//! `torrens dump A B …`: the records of several stores, merged by the time at which they were decided ([`merged`]).
//!
//! Each store is read by a thread of its own, which runs ahead by a few records only.

use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use torrens::inspector::{InspectError, Inspector, Selected, Selection};
use torrens_recovery::{Gap, RecoveryReport, Verdict};

use super::{Args, Kept, Pipe};
use crate::exit::{Exit, Failure};
use crate::output::Out;
use crate::{interrupt, look};

/// Records of one store that wait for those of the others.
pub(crate) const AHEAD: usize = 256;

/// What a store has.
pub(crate) enum Piece {
    Record(Box<Kept>),
    Gap(Gap),
}

/// One store among several, and what is wanted of it.
pub(crate) struct Source {
    /// What the output calls it.
    pub(crate) name: String,
    pub(crate) inspector: Inspector,
    pub(crate) selection: Selection,
}

/// One store's records.
struct Feed {
    name: String,
    pieces: Receiver<Piece>,
    head: Option<Piece>,
    /// When the head was decided; what says nothing stands where the one before it does.
    micros: u64,
}

impl Feed {
    fn advance(&mut self) {
        self.head = self.pieces.recv().ok();
        if let Some(Piece::Record(kept)) = &self.head {
            // A clock that was set back does not put records of one store out of their order.
            let micros = kept.description.written_micros().unwrap_or(0);
            self.micros = self.micros.max(micros);
        }
    }
}

/// Runs the command.
pub(super) fn dump(args: &Args, stores: Vec<(String, PathBuf)>) -> Result<Exit, Failure> {
    let mut sources = Vec::new();
    for (name, path) in stores {
        sources.push(Source {
            name,
            inspector: args.view.open_silent(&path)?,
            selection: args.wanted.selection(),
        });
    }
    let Some(first) = sources.first() else {
        return Ok(Exit::OK);
    };
    let style = args.view.style(&first.inspector);
    let mut out = Out::lock();
    let mut pipe = Pipe::of_several(&args.amount, &style);
    let reports = merged(&sources, args.strict, &mut |name, piece| {
        pipe.piece(&mut out, name, piece)
    });
    let selected = pipe.selected;
    let outcome = pipe.end(&mut out);
    let mut exit = match args.exit_code && selected == 0 {
        true => Exit::NEGATIVE,
        false => Exit::OK,
    };
    let mut failures = Vec::new();
    for (source, report) in sources.iter().zip(reports) {
        let report = match report {
            Ok(report) => report,
            Err(InspectError::Stopped) => continue,
            Err(error) => return Err(look::failure(error)),
        };
        if let Some(failure) = look::verdict_failure(source.inspector.path(), &report) {
            exit = exit.max(failure.exit);
            failures.push(failure);
        } else if args.strict && matches!(report.verdict, Verdict::TornTail(_)) {
            exit = exit.max(Exit::of(report.verdict.exit_code()));
        }
    }
    if interrupt::asked() {
        return Ok(out.finish(outcome, Exit::INTERRUPTED));
    }
    let exit = out.finish(outcome, exit);
    for failure in failures {
        failure.report();
    }
    Ok(exit)
}

/// Gives what the sources have, the oldest first, until `give` has enough; then what is known of each of them.
pub(crate) fn merged(
    sources: &[Source],
    strict: bool,
    give: &mut dyn FnMut(&str, Piece) -> ControlFlow<()>,
) -> Vec<Result<RecoveryReport, InspectError>> {
    thread::scope(|scope| {
        let (mut readers, mut feeds) = (Vec::new(), Vec::new());
        for source in sources {
            let (sender, pieces) = sync_channel(AHEAD);
            readers.push(scope.spawn(move || read(source, &sender, strict)));
            feeds.push(Feed {
                name: source.name.clone(),
                pieces,
                head: None,
                micros: 0,
            });
        }
        merge(&mut feeds, give);
        // Whoever still reads is told by this that nobody wants more.
        drop(feeds);
        let joined = readers.into_iter().map(|reader| reader.join());
        joined.flat_map(Result::ok).collect()
    })
}

fn read(
    source: &Source,
    sender: &SyncSender<Piece>,
    strict: bool,
) -> Result<RecoveryReport, InspectError> {
    source.inspector.select(&source.selection, &mut |selected| {
        let (piece, is_last) = match selected {
            Selected::Record { item, description } => {
                let kept = Kept::of(&item, description, None);
                (Piece::Record(Box::new(kept)), false)
            }
            Selected::Gap(gap) => (Piece::Gap(gap), strict),
            // What a later library may meet on the way.
            _ => return ControlFlow::Continue(()),
        };
        match sender.send(piece).is_err() || is_last {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        }
    })
}

/// The oldest first; of two at one time that of the store that was named first.
fn merge(feeds: &mut [Feed], give: &mut dyn FnMut(&str, Piece) -> ControlFlow<()>) {
    for feed in &mut *feeds {
        feed.advance();
    }
    loop {
        let waiting = feeds.iter_mut().filter(|feed| feed.head.is_some());
        let Some(feed) = waiting.min_by_key(|feed| feed.micros) else {
            return;
        };
        if let Some(piece) = feed.head.take()
            && give(&feed.name, piece).is_break()
        {
            return;
        }
        feed.advance();
    }
}
