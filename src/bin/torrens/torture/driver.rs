//! The parent's loop: start the storage process, check what it recovered, send again what it lacks,
//! put work on it, and end its life as planned.
//!
//! ```text
//!  start ─► opening ─► settle, compare ─► errands: digest, send again, digest ─► work ─► death
//!    ▲                                                                             │
//!    └─────────────────────────────────────────────────────────────────────────────┘
//! ```
//!
//! One thread. Here: starting, opening and settling; `life` is what follows. Not here: when a life
//! ends (`kills`), what to do (`workload`), what must hold (`model`, `check`).

use std::collections::BTreeSet;
use std::path::Path;
use std::time::{Duration, Instant};

use torrens::inspector::Inspector;

use super::check;
use super::error::TortureError;
use super::image::Image;
use super::kills::{Kills, Plan};
use super::model::{Model, Wrong};
use super::oracle::Oracle;
use super::process::{Heard, Launch, Process, ending};
use super::protocol::{Event, Opened};
use super::random::Random;
use super::snapshots;
use super::tally::Tally;
use super::workload::Workload;

mod errands;
mod judge;
mod life;
mod wishes;

use self::life::Life;

/// A process that answers nothing for so long hangs.
const HANG: Duration = Duration::from_secs(60);
/// How long a directory may stay locked by a process that is on its way out.
const BUSY_WAIT: Duration = Duration::from_secs(10);
/// What a death left is verified from outside at every so many of them.
const VERIFY_EVERY: u64 = 4;

/// Where the wishes come from.
#[derive(Debug)]
pub(super) enum Source {
    /// Drawn from the seed, without end.
    Random(Workload),
    /// A fixed list, one at a time, then the end.
    Script(super::steps::Script),
}

/// How a life ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LifeEnd {
    /// As planned, in the middle of things.
    Killed,
    /// Closed in order after everything was checked.
    Closed,
    /// Something was found; it is in the tally.
    Wrong,
}

/// Everything that outlives a life of the storage process.
#[derive(Debug)]
pub(super) struct Driver<'a> {
    pub(super) oracle: Oracle,
    pub(super) launch: Launch,
    pub(super) source: Source,
    /// What the settings of each life are drawn from; none if all have the same.
    pub(super) lives: Option<Random>,
    /// Where the store lies, if its power is cut at each death.
    pub(super) image: Option<Image>,
    pub(super) kills: Kills,
    pub(super) tally: Tally,
    /// Regions of which there is a scenario.
    pub(super) outlined: BTreeSet<u64>,
    /// Asked between two events: is it time to end in order?
    pub(super) stop: &'a dyn Stop,
    pub(super) progress: &'a dyn Progress,
}

/// Says when a run is to end.
pub(super) trait Stop: std::fmt::Debug {
    fn stop(&self, kills: u64) -> bool;
}

/// Is told how a run goes.
pub(super) trait Progress: std::fmt::Debug {
    fn tick(&self, kills: &Kills, tally: &Tally, model: &Model);
    fn found(&self, wrong: &Wrong);
    /// What led to a finding lies there as a scenario.
    fn outlined(&self, region: u64, scenario: &Path);
}

impl<'a> Driver<'a> {
    /// Lives one life of the storage process.
    pub(super) fn live(&mut self, plan: Plan) -> Result<LifeEnd, TortureError> {
        snapshots::collect(&self.oracle.beside().snapshots(), self.oracle.model())?;
        if let Some(wrong) = self.verify()? {
            return Ok(self.wrong(wrong));
        }
        self.launch.settings = self.lives.as_mut().map(Random::next);
        self.launch.abort_at = plan.abort_at();
        let patience = Instant::now() + BUSY_WAIT;
        loop {
            let mut process = Process::start(&self.launch)?;
            match self.opening(&mut process, plan)? {
                Opening::Died => return Ok(LifeEnd::Killed),
                Opening::Busy(text) if Instant::now() > patience => {
                    return Ok(self.wrong(store_wrong("opening", "an open store", text)));
                }
                // The process of a parent that was killed is still on its way out.
                Opening::Busy(_) => {
                    process.wait()?;
                    std::thread::sleep(Duration::from_millis(50));
                }
                Opening::Wrong(wrong) => return Ok(self.wrong(wrong)),
                Opening::Open(opened) => return self.alive(process, plan, &opened),
            }
        }
    }

    fn opening(&mut self, process: &mut Process, plan: Plan) -> Result<Opening, TortureError> {
        let started = Instant::now();
        let mut recovering = None;
        loop {
            let deadline = match (plan, recovering) {
                (Plan::InRecovery(after), Some(since)) => since + after,
                _ => started + HANG,
            };
            match process.hear(deadline) {
                Heard::Event(Event::Recovering) => recovering = Some(Instant::now()),
                Heard::Event(Event::Open(opened)) => {
                    self.kills
                        .saw_opening(recovering.unwrap_or(started).elapsed());
                    return Ok(Opening::Open(opened));
                }
                Heard::Event(Event::NotOpen(code, text)) if code == "open-busy" => {
                    return Ok(Opening::Busy(text));
                }
                Heard::Event(Event::NotOpen(code, text)) => {
                    let found = format!("{code}: {text}");
                    let wrong = store_wrong("opening", "an open store", found);
                    return Ok(Opening::Wrong(Wrong {
                        lost: true,
                        ..wrong
                    }));
                }
                Heard::Event(Event::Answer { op, said }) => {
                    let found = format!("{op}: {said:?}");
                    return Ok(Opening::Wrong(store_wrong(
                        "events",
                        "an opening first",
                        found,
                    )));
                }
                Heard::Silence if matches!(plan, Plan::InRecovery(_)) && recovering.is_some() => {
                    self.die(process)?;
                    // It may have opened at the very moment of the kill: then it counts as open.
                    let mut opened = false;
                    while let Heard::Event(event) = process.hear(Instant::now() + HANG) {
                        opened |= matches!(event, Event::Open(_));
                    }
                    self.kills.count(opened, None);
                    return Ok(Opening::Died);
                }
                Heard::Silence => {
                    let found = format!("nothing for {HANG:?}{}", process.threads());
                    return Ok(Opening::Wrong(store_wrong("opening", "an end", found)));
                }
                Heard::Ended => {
                    let status = process.wait()?;
                    if plan.is_abort() && is_abort(status) {
                        self.after_abort()?;
                        self.kills.count(false, Some(plan));
                        return Ok(Opening::Died);
                    }
                    return Ok(Opening::Wrong(died(status)));
                }
                Heard::Noise(error) => return Err(error),
            }
        }
    }

    /// The store is open: check, feed, work, until the life ends.
    fn alive(
        &mut self,
        process: Process,
        plan: Plan,
        opened: &Opened,
    ) -> Result<LifeEnd, TortureError> {
        self.tally.opened(opened);
        if let Some(expected) = self.oracle.model().store.clone()
            && expected != opened.store
        {
            return Err(TortureError::OtherStore {
                dir: self.launch.dir.clone(),
                oracle: self.oracle.beside().root().to_owned(),
                expected,
                found: opened.store.clone(),
            });
        }
        let settled = self.oracle.model().settle(opened);
        for (op, _) in &settled.happened {
            if let Some(flight) = self.oracle.model().flights.get(op) {
                self.tally.happened(&flight.what);
            }
        }
        self.oracle.settled(&settled)?;
        let wrongs = check::compare(self.oracle.model(), opened);
        if !wrongs.is_empty() {
            for wrong in wrongs {
                self.wrong(wrong);
            }
            return Ok(LifeEnd::Wrong);
        }
        let mut life = Life::new(self, process);
        life.plan_errands();
        life.run(plan)
    }

    /// Ends the process in the middle of things; with its power first, if that is to go.
    fn die(&mut self, process: &mut Process) -> Result<(), TortureError> {
        if let Some(image) = &mut self.image {
            image.cut()?;
        }
        process.kill()?;
        self.come_back()
    }

    /// The process ended itself; if power is to go, it goes now, before anything else is written back.
    fn after_abort(&mut self) -> Result<(), TortureError> {
        if let Some(image) = &mut self.image {
            image.cut()?;
        }
        self.come_back()
    }

    fn come_back(&mut self) -> Result<(), TortureError> {
        self.image.as_mut().map_or(Ok(()), Image::come_back)
    }

    /// Every so many deaths: whether the bytes that one left are what `torrens verify` calls sound.
    fn verify(&mut self) -> Result<Option<Wrong>, TortureError> {
        // Before it said that it is open there may be no store yet.
        let is_known = self.oracle.model().store.is_some();
        let is_due = is_known && self.kills.kills.is_multiple_of(VERIFY_EVERY);
        if !is_due {
            return Ok(None);
        }
        let looked = Inspector::open(&self.launch.dir).and_then(|inspector| inspector.verify());
        Ok(match looked {
            Ok(found) if matches!(found.exit_code(), 0 | 3) => {
                self.tally.verifications += 1;
                None
            }
            Ok(found) => {
                let text = format!("exit {}: {:?}", found.exit_code(), found.findings);
                Some(Wrong {
                    lost: true,
                    ..store_wrong("verify", "clean or a torn tail", text)
                })
            }
            Err(error) => Some(store_wrong(
                "verify",
                "clean or a torn tail",
                error.to_string(),
            )),
        })
    }

    /// Reports a finding.
    fn wrong(&mut self, wrong: Wrong) -> LifeEnd {
        self.progress.found(&wrong);
        // One for each region; the first thing that was wrong with it says most.
        if let Some(region) = wrong.region
            && self.outlined.insert(region)
        {
            // What was found counts, whether it can be told as a scenario or not.
            if let Ok(Some(path)) = self.oracle.outline(region, &wrong.to_string()) {
                self.progress.outlined(region, &path);
            }
        }
        self.tally.found(wrong);
        LifeEnd::Wrong
    }
}

/// How opening went.
enum Opening {
    Open(Box<Opened>),
    Busy(String),
    Died,
    Wrong(Wrong),
}

/// SIGABRT: what [`std::process::abort`] ends in.
fn is_abort(status: std::process::ExitStatus) -> bool {
    use std::os::unix::process::ExitStatusExt;
    status.signal() == Some(6)
}

fn died(status: std::process::ExitStatus) -> Wrong {
    store_wrong(
        "the storage process",
        "a life until it is killed",
        ending(status),
    )
}

fn store_wrong(what: &str, expected: &str, found: String) -> Wrong {
    let (what, expected) = (what.to_owned(), expected.to_owned());
    Wrong {
        region: None,
        what,
        expected,
        found,
        lost: false,
    }
}
