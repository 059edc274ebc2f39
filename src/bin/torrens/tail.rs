//! `torrens tail`: the last records, then those that are yet to come, beside a live writer.

use std::io;
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use clap::Parser;
use torrens::inspector::{
    Description, Follow, FollowItem, Inspector, KindPattern, Selected, Selection,
};
use torrens_journal::Lsn;

use crate::dump::{Amount, Pipe};
use crate::exit::{Exit, Failure};
use crate::interrupt;
use crate::look;
use crate::output::Out;
use crate::select::Wanted;
use crate::view::{Targets, View};

mod several;

/// Records shown before the first that is waited for.
const LAST_DEFAULT: u64 = 10;
/// How long one wait takes before Ctrl-C and the time limit are looked at.
const WAIT: Duration = Duration::from_millis(200);

/// Show the last records, and go on as more are written.
#[derive(Debug, Parser)]
#[command(
    after_help = "Ends at --count, --until-kind or --timeout, at Ctrl-C (exit 130), or when the reader of its output \
goes away. Without any of these it goes on for ever. Records are shown when something says that they are durable."
)]
pub(crate) struct Args {
    #[command(flatten)]
    target: Targets,
    #[command(flatten)]
    wanted: Wanted,
    #[command(flatten)]
    amount: Amount,
    /// End after N records, those at the begin counted
    #[arg(long, value_name = "N")]
    count: Option<u64>,
    /// End after a record of such a kind
    #[arg(long, value_name = "PATTERN")]
    until_kind: Option<KindPattern>,
    /// End after this many seconds; exit 1 if it ended by that
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    timeout: Option<Duration>,
    /// Also records of which nothing says yet that they are durable
    #[arg(long)]
    unsynced: bool,
    #[command(flatten)]
    view: View,
}

fn seconds(text: &str) -> Result<Duration, String> {
    let number = text.strip_suffix('s').unwrap_or(text).parse::<f64>();
    let seconds = number.map_err(|_| format!("{text:?} is no number of seconds"))?;
    Duration::try_from_secs_f64(seconds).map_err(|error| error.to_string())
}

/// Runs the command.
pub(crate) fn run(args: Args) -> Exit {
    match tail(args) {
        Ok(exit) => exit,
        Err(failure) => failure.report(),
    }
}

fn tail(mut args: Args) -> Result<Exit, Failure> {
    args.amount.last.get_or_insert(LAST_DEFAULT);
    // Whoever waits for what comes sees it at once.
    args.view.no_pager = true;
    let Some(path) = args.target.only() else {
        return several::tail(&args, args.target.named());
    };
    let inspector = args.view.open_path(&path)?;
    let style = args.view.style(&inspector);
    let selection = args.wanted.selection();
    let (there, next) = there(&args, &inspector, &selection)?;
    let mut out = Out::lock();
    let mut tail = Tail {
        pipe: Pipe::new(&args.amount, &style),
        args: &args,
        shown: 0,
        is_last: false,
    };
    let looked = inspector.select(&there, &mut |selected| match selected {
        Selected::Record { item, description } if !item.behind_gap => {
            tail.is_last = tail.ends_with(description);
            tail.pipe.record(&mut out, &item, description)
        }
        Selected::Gap(gap) => tail.pipe.gap(&mut out, &gap),
        _ => ControlFlow::Continue(()),
    });
    looked.map_err(look::failure)?;
    tail.shown = tail
        .pipe
        .selected
        .min(args.amount.last.unwrap_or(LAST_DEFAULT));
    let written = tail.pipe.flush(&mut out);
    let (ended, written) = match (written, inspector.follow(next, args.unsynced, &selection)) {
        (Ok(()), Ok(mut follow)) => tail.follow(&mut out, &mut follow),
        (Err(error), _) => (Ok(Exit::OK), Err(error)),
        // Damage at the end: what there is was shown, and nothing can follow.
        (Ok(()), Err(error)) => (Err(look::failure(error)), Ok(())),
    };
    let written = written.and_then(|()| tail.pipe.end(&mut out));
    match ended {
        Ok(exit) => Ok(out.finish(written, exit)),
        Err(failure) => {
            out.finish(written, failure.exit);
            Err(failure)
        }
    }
}

/// What of the selection is there already, and the position from which on the rest is followed.
fn there(
    args: &Args,
    inspector: &Inspector,
    selection: &Selection,
) -> Result<(Selection, Lsn), Failure> {
    let picture = inspector.survey().map_err(look::failure)?;
    let durable = picture
        .report
        .witness
        .map_or(Lsn::ZERO, |witness| witness.lsn);
    // What comes later is followed from the record behind the last one that is shown now.
    let last = match args.unsynced || !picture.writer.is_open {
        true => picture.report.last_lsn,
        false => picture.report.last_lsn.min(durable),
    };
    let mut there = selection.clone();
    there.lsns.last = there.lsns.last.min(last);
    Ok((there, last.next().unwrap_or(Lsn::FIRST)))
}

struct Tail<'a> {
    args: &'a Args,
    pipe: Pipe<'a>,
    shown: u64,
    /// The last record that was shown is one of those that end it.
    is_last: bool,
}

impl Tail<'_> {
    fn ends_with(&self, description: &Description) -> bool {
        let until = self.args.until_kind.as_ref();
        until.is_some_and(|until| until.matches(&description.kind))
    }

    fn is_enough(&self) -> bool {
        self.is_last || self.args.count.is_some_and(|count| self.shown >= count)
    }

    fn follow(
        &mut self,
        out: &mut Out,
        follow: &mut Follow,
    ) -> (Result<Exit, Failure>, io::Result<()>) {
        let timeout = self.args.timeout;
        let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        loop {
            if self.is_enough() {
                return (Ok(Exit::OK), Ok(()));
            }
            if interrupt::asked() {
                return (Ok(Exit::INTERRUPTED), Ok(()));
            }
            let wait = match deadline {
                Some(deadline) => deadline.saturating_duration_since(Instant::now()).min(WAIT),
                None => WAIT,
            };
            if wait.is_zero() {
                return (Ok(Exit::NEGATIVE), Ok(()));
            }
            let polled = follow.poll(wait, &mut |item| self.item(out, item));
            // A reader that went away is noticed when something is written to it.
            let written = match polled {
                Ok(true) => self.pipe.flush(out),
                Ok(false) => Ok(()),
                Err(error) => return (Err(look::failure(error)), Ok(())),
            };
            if written.is_err() {
                return (Ok(Exit::OK), written);
            }
        }
    }

    fn item(&mut self, out: &mut Out, item: FollowItem<'_>) -> ControlFlow<()> {
        match item {
            FollowItem::Record { item, description } => {
                let before = self.pipe.selected;
                let flow = self.pipe.record(out, &item, description);
                if self.pipe.selected > before {
                    self.shown += 1;
                    self.is_last = self.ends_with(description);
                }
                match self.is_enough() {
                    true => ControlFlow::Break(()),
                    false => flow,
                }
            }
            FollowItem::Purged(gap) => self.pipe.gap(out, &gap),
            _ => ControlFlow::Continue(()),
        }
    }
}
