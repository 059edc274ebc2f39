//! What the screen shows of a directory at one position, gathered on a thread of its own: only the newest
//! wish counts, so that a key that is held down never waits for looks that nobody wants any more.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::mpsc::Sender;

use parking_lot::{Condvar, Mutex};
use torrens::RegionId;
use torrens::inspector::diff::difference;
use torrens::inspector::timeline::standing;
use torrens::inspector::{InspectError, Inspector, Point, describe};
use torrens::lifecycle::{CacheState, PeerStage, Register};
use torrens_journal::Lsn;
use torrens_recovery::Item;

use crate::look::opened_by;
use crate::render::printable;
use crate::show;
use crate::verdict::sentence;
use crate::view::Style;

/// Where to go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Goal {
    /// A place that a person named.
    Point(Point),
    /// Right after that record, or as near to it as there are records.
    Near(u64),
    /// Right after the next record that concerns the region.
    Next(RegionId, u64),
    /// Right after the one before.
    Previous(RegionId, u64),
}

/// A region at the position.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct RegionRow {
    pub(super) id: RegionId,
    pub(super) peer: String,
    pub(super) standing: &'static str,
    pub(super) is_damaged: bool,
    pub(super) is_settled: bool,
    pub(super) range: String,
    pub(super) epoch: String,
    pub(super) cache: &'static str,
    /// Its last record.
    pub(super) since: u64,
}

/// Everything on the screen.
#[derive(Clone, Debug)]
pub(super) struct Scene {
    pub(super) dir: String,
    pub(super) writer: String,
    pub(super) verdict: &'static str,
    pub(super) exit: u8,
    pub(super) sentence: String,
    /// The oldest state that can be rebuilt, and the newest.
    pub(super) first: u64,
    pub(super) last: u64,
    pub(super) at: u64,
    pub(super) micros: Option<u64>,
    /// Positions of valid checkpoints.
    pub(super) checkpoints: Vec<u64>,
    pub(super) regions: Vec<RegionRow>,
    pub(super) tombstones: u64,
    pub(super) deletions: u64,
    /// The record at the position, as `torrens show` prints it.
    pub(super) record: Vec<String>,
    /// The regions that it concerns.
    pub(super) concerned: Vec<RegionId>,
}

/// Gathers what is to be seen at `goal`.
///
/// # Errors
/// As [`Inspector::look`].
pub(super) fn gather(
    inspector: &Inspector,
    goal: Goal,
    style: &Style,
) -> Result<Scene, InspectError> {
    let first = inspector.resolve(Point::First)?;
    let newest = inspector.look(None)?;
    let last = newest.position;
    let clamped = |lsn: u64| Lsn::new(lsn.clamp(first.get(), last.get().max(first.get())));
    let at = match goal {
        Goal::Point(point) => inspector.resolve(point)?,
        Goal::Near(lsn) => clamped(lsn),
        Goal::Next(region, after) => {
            let range = (after.saturating_add(1), u64::MAX);
            clamped(record_of(inspector, region, range, true)?.map_or(after, Lsn::get))
        }
        Goal::Previous(region, before) => {
            let range = (1, before.saturating_sub(1));
            clamped(record_of(inspector, region, range, false)?.map_or(before, Lsn::get))
        }
    };
    let picture = match at < last {
        true => inspector.look(Some(at))?,
        false => newest.clone(),
    };
    let register = &picture.register;
    let found = match picture.position == Lsn::ZERO {
        true => None,
        false => show::find(inspector, picture.position)?,
    };
    let mut record = Vec::new();
    let mut concerned = Vec::new();
    let mut micros = None;
    if let Some(found) = &found {
        let before = Lsn::new(picture.position.get().saturating_sub(1));
        let older = (before >= first)
            .then(|| inspector.look(Some(before)).ok())
            .flatten()
            .filter(|older| older.position == before);
        let changed = older.map(|older| difference(&older.register, register));
        record = show::lines(inspector, found, changed.as_deref(), style);
        micros = found.description.written_micros();
        concerned = found.description.regions();
    }
    let checkpoints = inspector.checkpoints(&picture)?;
    let valid = checkpoints.iter().filter(|file| file.fault.is_none());
    let report = &newest.report;
    Ok(Scene {
        dir: printable(&inspector.path().display().to_string()),
        writer: opened_by(&newest),
        verdict: report.verdict.name(),
        exit: report.verdict.exit_code(),
        sentence: printable(&sentence(report, newest.writer.is_open)),
        first: first.get(),
        last: last.get(),
        at: picture.position.get(),
        micros,
        checkpoints: valid.map(|file| file.lsn.get()).collect(),
        regions: rows(register, style),
        tombstones: register.tombstones().count() as u64,
        deletions: register.deletions().count() as u64,
        record,
        concerned,
    })
}

fn rows(register: &Register, style: &Style) -> Vec<RegionRow> {
    let peers = register
        .region_ids()
        .filter_map(|id| Some((id, register.peer(id)?)));
    peers
        .map(|(id, peer)| {
            let region = peer.stage.region();
            let none = || "-".to_owned();
            RegionRow {
                id,
                peer: peer.peer.to_string(),
                standing: standing(peer),
                is_damaged: matches!(peer.stage, PeerStage::Damaged(_)),
                is_settled: matches!(peer.stage, PeerStage::Normal(_) | PeerStage::Witness(_)),
                range: region
                    .map_or_else(none, |region| printable(&style.keys.range(&region.range))),
                epoch: region.map_or_else(none, |region| region.epoch.to_string()),
                cache: match register.cache_state(id) {
                    CacheState::Absent => "",
                    cache => cache.as_str(),
                },
                since: register.last_transition(id).map_or(0, Lsn::get),
            }
        })
        .collect()
}

/// The first record between two positions that concerns the region, or the last one.
fn record_of(
    inspector: &Inspector,
    region: RegionId,
    (from, to): (u64, u64),
    first: bool,
) -> Result<Option<Lsn>, InspectError> {
    let mut found = None;
    inspector.records(Lsn::new(from), &mut |item| {
        let Item::Record(item) = item else {
            return ControlFlow::Continue(());
        };
        let record = &item.record;
        if record.lsn.get() > to {
            return ControlFlow::Break(());
        }
        let said = describe(record.lsn, record.kind, record.payload);
        match said.regions().contains(&region) {
            true if first => {
                found = Some(record.lsn);
                ControlFlow::Break(())
            }
            true => {
                found = Some(record.lsn);
                ControlFlow::Continue(())
            }
            false => ControlFlow::Continue(()),
        }
    })?;
    Ok(found)
}

/// A wish that nobody has taken up yet.
#[derive(Default)]
pub(super) struct Wish {
    goal: Mutex<Option<Goal>>,
    there: Condvar,
}

impl Wish {
    /// Puts `goal` in the place of whatever was wished before.
    pub(super) fn put(&self, goal: Goal) {
        *self.goal.lock() = Some(goal);
        self.there.notify_one();
    }

    fn take(&self) -> Goal {
        let mut goal = self.goal.lock();
        loop {
            match goal.take() {
                Some(goal) => return goal,
                None => self.there.wait(&mut goal),
            }
        }
    }
}

/// Gathers whatever is wished, until nobody listens any more. The directory is opened anew each time: it
/// may have gone and come back.
pub(super) fn serve(
    open: &dyn Fn() -> Result<Inspector, InspectError>,
    style: &Style,
    wish: &Arc<Wish>,
    to: &Sender<(Goal, Result<Scene, InspectError>)>,
) {
    loop {
        let goal = wish.take();
        let scene = open().and_then(|inspector| gather(&inspector, goal, style));
        if to.send((goal, scene)).is_err() {
            return;
        }
    }
}
