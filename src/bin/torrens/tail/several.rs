//! `torrens tail A B …`: the last records of several stores by the time at which they were decided, then those that
//! come, in the order in which they come. Each store is followed by a thread of its own.

use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel};
use std::thread;
use std::time::Instant;

use torrens::inspector::{Follow, FollowItem, InspectError};

use super::{Args, LAST_DEFAULT, WAIT, there};
use crate::dump::several::{AHEAD, Piece, Source, merged};
use crate::dump::{Kept, Pipe};
use crate::exit::{Exit, Failure};
use crate::output::Out;
use crate::{interrupt, look};

/// What a thread tells.
enum Told {
    /// Something came in that store.
    Came(usize, Piece),
    /// That store cannot be followed any longer.
    Ended(InspectError),
}

/// Runs the command.
pub(super) fn tail(args: &Args, stores: Vec<(String, PathBuf)>) -> Result<Exit, Failure> {
    let selection = args.wanted.selection();
    let (mut sources, mut nexts) = (Vec::new(), Vec::new());
    for (name, path) in stores {
        let inspector = args.view.open_silent(&path)?;
        let (there, next) = there(args, &inspector, &selection)?;
        nexts.push(next);
        sources.push(Source {
            name,
            inspector,
            selection: there,
        });
    }
    let Some(first) = sources.first() else {
        return Ok(Exit::OK);
    };
    let style = args.view.style(&first.inspector);
    let mut out = Out::lock();
    let mut tail = Several {
        args,
        pipe: Pipe::of_several(&args.amount, &style),
        shown: 0,
        is_last: false,
    };
    for looked in merged(&sources, false, &mut |name, piece| match piece {
        // What lies behind a gap is not the end of the history.
        Piece::Record(kept) if kept.is_behind_gap() => ControlFlow::Continue(()),
        piece => {
            if let Piece::Record(kept) = &piece {
                tail.is_last = tail.ends_with(kept);
            }
            tail.give(&mut out, name, piece)
        }
    }) {
        match looked {
            Ok(_) | Err(InspectError::Stopped) => {}
            Err(error) => return Err(look::failure(error)),
        }
    }
    let last = args.amount.last.unwrap_or(LAST_DEFAULT);
    tail.shown = tail.pipe.selected.min(last);
    let mut written = tail.pipe.flush(&mut out);
    let mut failures = Vec::new();
    let mut follows = Vec::new();
    for (index, (source, next)) in sources.iter().zip(nexts).enumerate() {
        match source.inspector.follow(next, args.unsynced, &selection) {
            Ok(follow) => follows.push((index, follow)),
            Err(error) => failures.push(look::failure(error)),
        }
    }
    let mut exit = Exit::OK;
    if written.is_ok() {
        let names: Vec<&str> = sources.iter().map(|source| source.name.as_str()).collect();
        (exit, written) = tail.follow(&mut out, &names, follows, &mut failures);
    }
    let written = written.and_then(|()| tail.pipe.end(&mut out));
    if exit == Exit::OK {
        let exits = failures.iter().map(|failure| failure.exit);
        exit = exits.max().unwrap_or(Exit::OK);
    }
    let exit = out.finish(written, exit);
    for failure in failures {
        failure.report();
    }
    Ok(exit)
}

struct Several<'a> {
    args: &'a Args,
    pipe: Pipe<'a>,
    shown: u64,
    /// The last record that was shown is one of those that end it.
    is_last: bool,
}

impl Several<'_> {
    fn ends_with(&self, kept: &Kept) -> bool {
        let until = self.args.until_kind.as_ref();
        until.is_some_and(|until| until.matches(kept.kind()))
    }

    fn is_enough(&self) -> bool {
        self.is_last || self.args.count.is_some_and(|count| self.shown >= count)
    }

    fn give(&mut self, out: &mut Out, name: &str, piece: Piece) -> ControlFlow<()> {
        self.pipe.piece(out, name, piece)
    }

    fn follow(
        &mut self,
        out: &mut Out,
        names: &[&str],
        follows: Vec<(usize, Follow)>,
        failures: &mut Vec<Failure>,
    ) -> (Exit, std::io::Result<()>) {
        let is_over = AtomicBool::new(false);
        let timeout = self.args.timeout;
        let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        thread::scope(|scope| {
            let (sender, told) = sync_channel(AHEAD);
            for (index, follow) in follows {
                let (sender, is_over) = (sender.clone(), &is_over);
                scope.spawn(move || follow_one(index, follow, &sender, is_over));
            }
            drop(sender);
            let ended = loop {
                if self.is_enough() {
                    break (Exit::OK, Ok(()));
                }
                if interrupt::asked() {
                    break (Exit::INTERRUPTED, Ok(()));
                }
                let wait = match deadline {
                    Some(deadline) => deadline.saturating_duration_since(Instant::now()).min(WAIT),
                    None => WAIT,
                };
                if wait.is_zero() {
                    break (Exit::NEGATIVE, Ok(()));
                }
                // A reader that went away is noticed when something is written to it.
                let mut flow = ControlFlow::Continue(());
                match told.recv_timeout(wait) {
                    Ok(first) => {
                        for told in std::iter::once(first).chain(told.try_iter()) {
                            match told {
                                Told::Came(index, piece) => {
                                    flow = self.came(out, names.get(index).unwrap_or(&""), piece);
                                }
                                Told::Ended(error) => failures.push(look::failure(error)),
                            }
                            if flow.is_break() {
                                break;
                            }
                        }
                    }
                    Err(RecvTimeoutError::Timeout) => continue,
                    // Nobody is left who could tell anything.
                    Err(RecvTimeoutError::Disconnected) => break (Exit::OK, Ok(())),
                }
                if let Err(error) = self.pipe.flush(out) {
                    break (Exit::OK, Err(error));
                }
                if flow.is_break() {
                    break (Exit::OK, Ok(()));
                }
            };
            is_over.store(true, Ordering::Relaxed);
            // Whoever waits for room is told by this that nobody wants more.
            drop(told);
            ended
        })
    }

    fn came(&mut self, out: &mut Out, name: &str, piece: Piece) -> ControlFlow<()> {
        let before = self.pipe.selected;
        let is_last = match &piece {
            Piece::Record(kept) => self.ends_with(kept),
            Piece::Gap(_) => false,
        };
        let flow = self.give(out, name, piece);
        if self.pipe.selected > before {
            self.shown += 1;
            self.is_last = is_last;
        }
        match self.is_enough() {
            true => ControlFlow::Break(()),
            false => flow,
        }
    }
}

fn follow_one(index: usize, mut follow: Follow, sender: &SyncSender<Told>, is_over: &AtomicBool) {
    while !is_over.load(Ordering::Relaxed) {
        let mut is_wanted = true;
        let polled = follow.poll(WAIT, &mut |item| {
            let piece = match item {
                FollowItem::Record { item, description } => {
                    Piece::Record(Box::new(Kept::of(&item, description, None)))
                }
                FollowItem::Purged(gap) => Piece::Gap(gap),
                // What a later library may tell.
                _ => return ControlFlow::Continue(()),
            };
            is_wanted = sender.send(Told::Came(index, piece)).is_ok();
            match is_wanted {
                true => ControlFlow::Continue(()),
                false => ControlFlow::Break(()),
            }
        });
        if let Err(error) = polled {
            // Nobody listens any more if this does not get through.
            let _ = sender.send(Told::Ended(error));
            return;
        }
        if !is_wanted {
            return;
        }
    }
}
