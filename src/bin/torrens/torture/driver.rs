//! The parent's loop: start the storage process, check what it recovered, send again what it lacks,
//! put work on it, and end its life as planned.
//!
//! ```text
//!  start ─► opening ─► settle, compare ─► errands: digest, send again, digest ─► work ─► death
//!    ▲                                                                             │
//!    └─────────────────────────────────────────────────────────────────────────────┘
//! ```
//!
//! One thread; up to [`OUTSTANDING_MAX`] questions are under way, each on regions of its own. Not
//! here: when a life ends (`kills`), what to do (`workload`), what must hold (`model`, `check`).

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use super::check;
use super::error::TortureError;
use super::kills::{Kills, Plan};
use super::model::{Meaning, Model, Wrong};
use super::oracle::Oracle;
use super::process::{Heard, Launch, Process, ending};
use super::protocol::{Digest, Do, Event, Opened, Position, STORE, SnapshotLine};
use super::snapshots;
use super::tally::Tally;
use super::workload::{Scene, Wish, Workload};

mod judge;

/// Questions under way at once; the process has fewer workers, so some wait in it when it dies.
const OUTSTANDING_MAX: usize = 8;
/// A process that answers nothing for so long hangs.
const HANG: Duration = Duration::from_secs(60);
/// How long a directory may stay locked by a process that is on its way out.
const BUSY_WAIT: Duration = Duration::from_secs(10);
/// When something that must wait is asked again.
const AGAIN_AFTER: Duration = Duration::from_millis(10);
/// An abort at an operation that does not come, or a recovery that was over before its kill, becomes
/// a kill at work so long after the checks.
const MISSED_PATIENCE: Duration = Duration::from_millis(300);

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

/// What must be done for one region before new work.
#[derive(Debug)]
enum Errand {
    /// Compare all rows with the model's at the acknowledged index.
    Digest,
    /// Send a committed entry again.
    Resend { what: Do, at: Position },
    /// Ask again what was in flight.
    Reissue { op: u64, what: Do },
}

/// A question under way.
#[derive(Debug)]
struct Asked {
    what: Do,
    kind: AskedKind,
    /// Regions that nothing else may touch meanwhile.
    holds: Vec<u64>,
}

#[derive(Debug)]
enum AskedKind {
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
enum Ending {
    No,
    Drain,
    Flush,
    LastCheck,
    Close,
}

/// Everything that outlives a life of the storage process.
#[derive(Debug)]
pub(super) struct Driver<'a> {
    pub(super) oracle: Oracle,
    pub(super) launch: Launch,
    pub(super) source: Source,
    pub(super) kills: Kills,
    pub(super) tally: Tally,
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
}

/// One life of the storage process, after it opened the store.
struct Life<'d, 'a> {
    driver: &'d mut Driver<'a>,
    process: Process,
    errands: BTreeMap<u64, VecDeque<Errand>>,
    asked: BTreeMap<u64, Asked>,
    busy: BTreeSet<u64>,
    again: VecDeque<(Instant, u64)>,
    ending: Ending,
    heard_at: Instant,
}

impl<'a> Driver<'a> {
    /// Lives one life of the storage process.
    pub(super) fn live(&mut self, plan: Plan) -> Result<LifeEnd, TortureError> {
        snapshots::collect(&self.oracle.beside().snapshots(), self.oracle.model())?;
        self.launch.abort_at = match plan {
            Plan::AtOperation(operation) => Some(operation),
            _ => None,
        };
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
                    process.kill()?;
                    // It may have opened at the very moment of the kill: then it counts as open.
                    let mut opened = false;
                    while let Heard::Event(event) = process.hear(Instant::now() + HANG) {
                        opened |= matches!(event, Event::Open(_));
                    }
                    self.kills.count(opened, false);
                    return Ok(Opening::Died);
                }
                Heard::Silence => {
                    let found = format!("nothing for {HANG:?}");
                    return Ok(Opening::Wrong(store_wrong("opening", "an end", found)));
                }
                Heard::Ended => {
                    let status = process.wait()?;
                    if matches!(plan, Plan::AtOperation(_)) && is_abort(status) {
                        self.kills.count(false, true);
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
        let mut life = Life {
            driver: self,
            process,
            errands: BTreeMap::new(),
            asked: BTreeMap::new(),
            busy: BTreeSet::new(),
            again: VecDeque::new(),
            ending: Ending::No,
            heard_at: Instant::now(),
        };
        life.plan_errands();
        life.run(plan)
    }

    /// Reports a finding.
    fn wrong(&mut self, wrong: Wrong) -> LifeEnd {
        self.progress.found(&wrong);
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

impl Life<'_, '_> {
    fn model(&self) -> &Model {
        self.driver.oracle.model()
    }

    /// After opening: all rows, then what is missing, then the rows that changed by that.
    fn plan_errands(&mut self) {
        let regions: Vec<u64> = self.model().normals().map(|(id, _)| id).collect();
        for region in regions {
            self.errands
                .entry(region)
                .or_default()
                .push_back(Errand::Digest);
            if self.plan_resends(region) {
                self.errands
                    .entry(region)
                    .or_default()
                    .push_back(Errand::Digest);
            }
        }
        let reissued: Vec<(u64, Do)> = self
            .model()
            .flights
            .iter()
            .filter(|(_, flight)| flight.what.position().is_none())
            .map(|(op, flight)| (*op, flight.what.clone()))
            .collect();
        for (op, what) in reissued {
            if let Some(region) = what.regions().first() {
                let errand = Errand::Reissue {
                    op,
                    what: what.clone(),
                };
                self.errands.entry(*region).or_default().push_back(errand);
            }
        }
    }

    /// Queues every committed entry above the acknowledged index; whether there is one.
    fn plan_resends(&mut self, region: u64) -> bool {
        let Some(peer) = self.model().normal(region) else {
            return false;
        };
        let entries = peer.state.entries_above(peer.acked);
        let resends: Vec<Errand> = entries
            .map(|entry| Errand::Resend {
                what: entry.what.clone(),
                at: entry.at,
            })
            .collect();
        let any = !resends.is_empty();
        self.errands.entry(region).or_default().extend(resends);
        any
    }

    fn run(&mut self, plan: Plan) -> Result<LifeEnd, TortureError> {
        let opened = Instant::now();
        let mut checked: Option<Instant> = None;
        loop {
            self.driver.progress.tick(
                &self.driver.kills,
                &self.driver.tally,
                self.driver.oracle.model(),
            );
            if self.ending == Ending::No && self.driver.stop.stop(self.driver.kills.kills) {
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
                (Plan::AtOperation(_) | Plan::InRecovery(_), _, Some(since)) => {
                    Some(since + MISSED_PATIENCE)
                }
                _ => None,
            };
            // Looked at before every answer: a busy process dies no later than an idle one.
            if kill_at.is_some_and(|at| at <= Instant::now()) {
                self.process.kill()?;
                self.driver.kills.count(true, false);
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
                    let found = format!("nothing for {HANG:?} with {asked:?} asked");
                    return Ok(self
                        .driver
                        .wrong(store_wrong("answers", "an answer", found)));
                }
                Heard::Silence => {}
                Heard::Ended => {
                    let status = self.process.wait()?;
                    if matches!(plan, Plan::AtOperation(_)) && is_abort(status) {
                        self.driver.kills.count(true, true);
                        return Ok(LifeEnd::Killed);
                    }
                    return Ok(self.driver.wrong(died(status)));
                }
                Heard::Noise(error) => return Err(error),
            }
        }
    }

    /// Asks whatever can be asked now.
    fn dispatch(&mut self, checked: bool) -> Result<(), TortureError> {
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
        if self.ending != Ending::No && self.asked.is_empty() && self.errands.is_empty() {
            self.end_orderly()?;
        }
        Ok(())
    }

    fn dispatch_errands(&mut self) {
        let regions: Vec<u64> = self
            .errands
            .keys()
            .copied()
            .filter(|region| !self.busy.contains(region))
            .collect();
        for region in regions {
            if self.asked.len() >= OUTSTANDING_MAX {
                return;
            }
            let Some(queue) = self.errands.get_mut(&region) else {
                continue;
            };
            let errand = queue.pop_front();
            if queue.is_empty() {
                self.errands.remove(&region);
            }
            match errand {
                Some(Errand::Digest) => self.ask_digest(region),
                Some(Errand::Resend { what, at }) => {
                    // The one in flight when the process died is acknowledged only now.
                    match self.model().flight_at(region, at.index) {
                        Some(op) => self.ask(op, what, AskedKind::Tracked),
                        None => {
                            let op = self.driver.oracle.take_op();
                            self.ask(op, what, AskedKind::Resend { region, at });
                        }
                    }
                }
                Some(Errand::Reissue { op, what }) => self.ask(op, what, AskedKind::Tracked),
                None => {}
            }
        }
    }

    fn ask_digest(&mut self, region: u64) {
        let Some(peer) = self.model().normal(region) else {
            return;
        };
        let epoch = peer.state.description.epoch;
        let expected = peer.state.digest_at(peer.acked, self.driver.oracle.data());
        let op = self.driver.oracle.take_op();
        self.ask(
            op,
            Do::Digest { region, epoch },
            AskedKind::Digest { region, expected },
        );
    }

    /// Carries out a wish.
    fn grant(&mut self, wish: Wish) -> Result<(), TortureError> {
        match wish {
            Wish::Track(mut what) => {
                if let Do::TakeSnapshot { to, .. } = &mut what {
                    *to = self.driver.oracle.beside().snapshots();
                }
                self.track(what)
            }
            Wish::Probe(what) => {
                let op = self.driver.oracle.take_op();
                self.ask(op, what, AskedKind::Probe);
                Ok(())
            }
            Wish::CatchUp { region, unseen } => {
                for what in unseen {
                    self.driver.oracle.commit_unseen(what)?;
                }
                self.send_snapshot(region)
            }
            Wish::Feed { region } => self.send_snapshot(region),
        }
    }

    /// Issues an operation that moves the model.
    fn track(&mut self, what: Do) -> Result<(), TortureError> {
        let op = self.driver.oracle.issue(what.clone())?;
        self.ask(op, what, AskedKind::Tracked);
        Ok(())
    }

    /// Another store sends a snapshot: of the rows as they are now, or of the rows as they were when
    /// this store took one itself, with the log to follow.
    fn send_snapshot(&mut self, region: u64) -> Result<(), TortureError> {
        let model = self.model();
        let Some(peer) = model.peers.get(&region) else {
            return Ok(());
        };
        let (peer_id, incarnation) = (peer.peer(), peer.incarnation());
        let fed = peer.normal().is_none();
        let state = match peer.normal() {
            Some(peer) => &peer.state,
            None => match model.elsewhere.get(&region) {
                Some(state) => state,
                None => return Ok(()),
            },
        };
        let mut description = state.description.clone();
        if fed {
            let own = super::protocol::PeerLine {
                id: peer_id,
                store: STORE,
                learner: false,
            };
            description.peers.push(own);
            description.epoch.conf_ver += 1;
        }
        let data = self.driver.oracle.data();
        let taken = model.taken.get(&region).filter(|_| fed).cloned();
        let mut at = state.last;
        let mut rows = std::borrow::Cow::Borrowed(&state.rows);
        if let Some(taken) = taken {
            at = taken.at;
            rows = std::borrow::Cow::Owned(state.rows_at(at.index));
            let expected = state.digest_at(at.index, data);
            let found = snapshots::digest(&taken.file)?;
            if found != expected {
                let wrong = Wrong {
                    region: Some(region),
                    what: format!("rows of the snapshot taken at index {}", at.index),
                    expected: format!("{expected:?}"),
                    found: format!("{found:?}"),
                    lost: true,
                };
                self.driver.wrong(wrong);
                return Ok(());
            }
        }
        let id = model.next.op;
        let folder = self.driver.oracle.beside().snapshots();
        let file = snapshots::write(&folder, id, &description, at, &rows, data)?;
        self.track(Do::ApplySnapshot(SnapshotLine {
            incarnation,
            description,
            at,
            id,
            file,
        }))
    }

    fn ask(&mut self, op: u64, what: Do, kind: AskedKind) {
        if self.asked.is_empty() {
            self.heard_at = Instant::now();
        }
        let holds = match &kind {
            // A split that happened long ago is no matter of its children's any more.
            AskedKind::Resend { region, .. } => vec![*region],
            _ => what.regions(),
        };
        self.busy.extend(holds.iter().copied());
        self.process.send(op, &what);
        self.asked.insert(op, Asked { what, kind, holds });
    }

    /// One more step towards an orderly end; nothing is under way.
    fn end_orderly(&mut self) -> Result<(), TortureError> {
        self.ending = match self.ending {
            Ending::No => Ending::No,
            Ending::Drain => {
                let op = self.driver.oracle.issue(Do::Flush)?;
                self.ask(op, Do::Flush, AskedKind::LastFlush);
                Ending::Flush
            }
            Ending::Flush => {
                let regions: Vec<u64> = self.model().normals().map(|(id, _)| id).collect();
                for region in regions {
                    self.errands
                        .entry(region)
                        .or_default()
                        .push_back(Errand::Digest);
                }
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

/// How many rows an entry changes.
fn rows_of(what: &Do) -> u64 {
    match what {
        Do::Write { rows, .. } => rows.len() as u64,
        _ => 0,
    }
}
