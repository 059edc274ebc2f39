//! One life of the storage process, from the moment at which it opened the store: ask, listen, and
//! end as planned.
//!
//! Up to [`OUTSTANDING_MAX`] questions are under way, each with regions of its own. Not here: what
//! is asked (`errands`, `wishes`), what answers mean (`judge`).

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use super::errands::Errand;
use super::{Driver, HANG, LifeEnd, Source, died, is_abort, store_wrong};
use crate::torture::error::TortureError;
use crate::torture::kills::Plan;
use crate::torture::model::Model;
use crate::torture::process::{Heard, Process};
use crate::torture::protocol::{Digest, Do, Event, Position};
use crate::torture::workload::Scene;

/// Questions under way at once; the process has fewer workers, so some wait in it when it dies.
pub(super) const OUTSTANDING_MAX: usize = 8;
/// An abort at an operation that does not come, or a recovery that was over before its kill, becomes
/// a kill at work so long after the checks.
const MISSED_PATIENCE: Duration = Duration::from_millis(300);

/// Some points are reached by rare transitions only.
const POINT_PATIENCE: Duration = Duration::from_millis(1_500);

/// How long a process works that is to die while it is closed.
const WORK_BEFORE_CLOSE: Duration = Duration::from_millis(200);

/// A question under way.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) what: Do,
    pub(super) kind: AskedKind,
    /// Regions that nothing else may touch meanwhile.
    pub(super) holds: Vec<u64>,
}

#[derive(Debug)]
pub(super) enum AskedKind {
    Tracked,
    Probe,
    Digest {
        region: u64,
        expected: Digest,
    },
    /// Which rows are not as expected? The digests as they were.
    Rows {
        region: u64,
        expected: Digest,
        found: Digest,
    },
    Resend {
        region: u64,
        at: Position,
    },
    LastFlush,
    Close,
}

/// How far an orderly end has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    No,
    Drain,
    Flush,
    LastCheck,
    Close,
}

/// One life of the storage process, after it opened the store.
pub(super) struct Life<'d, 'a> {
    pub(super) driver: &'d mut Driver<'a>,
    pub(super) process: Process,
    pub(super) errands: BTreeMap<u64, VecDeque<Errand>>,
    pub(super) asked: BTreeMap<u64, Asked>,
    pub(super) busy: BTreeSet<u64>,
    pub(super) again: VecDeque<(Instant, u64)>,
    pub(super) ending: Ending,
    pub(super) heard_at: Instant,
}

impl<'d, 'a> Life<'d, 'a> {
    pub(super) fn new(driver: &'d mut Driver<'a>, process: Process) -> Self {
        Life {
            driver,
            process,
            errands: BTreeMap::new(),
            asked: BTreeMap::new(),
            busy: BTreeSet::new(),
            again: VecDeque::new(),
            ending: Ending::No,
            heard_at: Instant::now(),
        }
    }
}

impl Life<'_, '_> {
    pub(super) fn model(&self) -> &Model {
        self.driver.oracle.model()
    }

    pub(super) fn run(&mut self, plan: Plan) -> Result<LifeEnd, TortureError> {
        let opened = Instant::now();
        let mut checked: Option<Instant> = None;
        loop {
            self.driver.progress.tick(
                &self.driver.kills,
                &self.driver.tally,
                self.driver.oracle.model(),
            );
            let is_worked = checked.is_some_and(|since| since.elapsed() >= WORK_BEFORE_CLOSE);
            let is_over =
                self.driver.stop.stop(self.driver.kills.kills) || (plan.is_in_close() && is_worked);
            if self.ending == Ending::No && is_over {
                self.ending = Ending::Drain;
            }
            self.dispatch(checked.is_some())?;
            if checked.is_none() && self.errands.is_empty() && self.asked.is_empty() {
                checked = Some(Instant::now());
                continue;
            }
            let kill_at = match (plan, self.ending, checked) {
                // An orderly end under way is not disturbed any more.
                (_, Ending::Flush | Ending::LastCheck | Ending::Close, _) => None,
                (Plan::AtWork(after), _, Some(since)) => Some(since + after),
                (Plan::AfterOpen(after), ..) => Some(opened + after),
                (Plan::AtOperation(_) | Plan::AtKind(..) | Plan::InRecovery(_), _, Some(since)) => {
                    Some(since + MISSED_PATIENCE)
                }
                (Plan::AtPoint(..), _, Some(since)) => Some(since + POINT_PATIENCE),
                _ => None,
            };
            // Looked at before every answer: a busy process dies no later than an idle one.
            if kill_at.is_some_and(|at| at <= Instant::now()) {
                self.driver.die(&mut self.process)?;
                self.driver.kills.count(true, None);
                return Ok(LifeEnd::Killed);
            }
            let hang_at = self.heard_at + HANG;
            let again_at = self.again.front().map(|(at, _)| *at);
            let deadline = [kill_at, again_at]
                .into_iter()
                .flatten()
                .fold(hang_at, Instant::min);
            match self.process.hear(deadline) {
                Heard::Event(Event::Answer { op, said }) => {
                    self.heard_at = Instant::now();
                    match self.answer(op, said)? {
                        Some(end) => return Ok(end),
                        None => continue,
                    }
                }
                Heard::Event(event) => {
                    let wrong = store_wrong("events", "answers", format!("{event:?}"));
                    return Ok(self.driver.wrong(wrong));
                }
                Heard::Silence if hang_at <= Instant::now() => {
                    let asked: Vec<_> =
                        self.asked.values().map(|asked| asked.what.kind()).collect();
                    let threads = self.process.threads();
                    let found = format!("nothing for {HANG:?} with {asked:?} asked{threads}");
                    return Ok(self
                        .driver
                        .wrong(store_wrong("answers", "an answer", found)));
                }
                Heard::Silence => {}
                Heard::Ended => {
                    let status = self.process.wait()?;
                    if plan.is_abort() && is_abort(status) {
                        self.driver.after_abort()?;
                        self.driver.kills.count(true, Some(plan));
                        return Ok(LifeEnd::Killed);
                    }
                    return Ok(self.driver.wrong(died(status)));
                }
                Heard::Noise(error) => return Err(error),
            }
        }
    }

    /// Asks whatever can be asked now.
    pub(super) fn dispatch(&mut self, checked: bool) -> Result<(), TortureError> {
        while let Some((at, op)) = self.again.front().copied()
            && at <= Instant::now()
        {
            self.again.pop_front();
            if let Some(asked) = self.asked.get(&op) {
                self.process.send(op, &asked.what);
            }
        }
        self.dispatch_errands();
        if !checked {
            return Ok(());
        }
        while self.ending == Ending::No && self.asked.len() < OUTSTANDING_MAX {
            let scene = Scene {
                model: self.driver.oracle.model(),
                data: self.driver.oracle.data(),
                busy: &self.busy,
            };
            let wish = match &mut self.driver.source {
                Source::Random(workload) => (0..4).find_map(|_| workload.next(scene)),
                Source::Script(script) if self.asked.is_empty() => {
                    let wish = script.next(scene);
                    if wish.is_none() {
                        self.ending = Ending::Drain;
                    }
                    wish
                }
                Source::Script(_) => None,
            };
            let Some(wish) = wish else { break };
            self.grant(wish)?;
            self.dispatch_errands();
        }
        // A step may have nothing to ask: a store that was interrupted at once has no region to check.
        while self.ending != Ending::No && self.asked.is_empty() && self.errands.is_empty() {
            self.end_orderly()?;
        }
        Ok(())
    }

    /// One more step towards an orderly end; nothing is under way.
    pub(super) fn end_orderly(&mut self) -> Result<(), TortureError> {
        self.ending = match self.ending {
            Ending::No => Ending::No,
            Ending::Drain => {
                let op = self.driver.oracle.issue(Do::Flush)?;
                self.ask(op, Do::Flush, AskedKind::LastFlush);
                Ending::Flush
            }
            Ending::Flush => {
                let regions: Vec<u64> = self.model().serving().map(|(id, _)| id).collect();
                for region in regions {
                    self.errands
                        .entry(region)
                        .or_default()
                        .push_back(Errand::Digest);
                }
                self.plan_copies();
                self.dispatch_errands();
                Ending::LastCheck
            }
            Ending::LastCheck | Ending::Close => {
                let op = self.driver.oracle.take_op();
                self.ask(op, Do::Close, AskedKind::Close);
                Ending::Close
            }
        };
        Ok(())
    }
}
