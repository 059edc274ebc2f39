//! `Timeline`: the life of each peer that ever was here: its stages, its cache, and what happened to it.
//!
//! Not here: how it is drawn (the tool).

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

use torrens_journal::Lsn;

use super::fold::{Folded, HistoryReader, Step};
use super::{Description, InspectError, Inspector};
use crate::lifecycle::{CacheState, Change, Mode, PeerState, Register};
use crate::{Incarnation, PeerId, RegionId};

/// A record and when it was decided.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Instant {
    /// The record.
    pub lsn: Lsn,
    /// Microseconds since the Unix epoch; 0 if unknown.
    pub micros: u64,
}

/// A time between two records in which something stayed as it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Span {
    /// What: a peer's stage or mode, or a cache's state.
    pub name: &'static str,
    /// The record that began it.
    pub from: Instant,
    /// The record that ended it; none if it lasts.
    pub to: Option<Instant>,
}

/// Something that happened to a peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Occurrence {
    /// When.
    pub at: Instant,
    /// The kind of its record.
    pub kind: Cow<'static, str>,
    /// What it says; keys are shown as the caller of [`Inspector::timeline`] wished.
    pub detail: String,
    /// The epoch after it; none if there is none.
    pub epoch: Option<String>,
}

/// The life of one creation of a peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Life {
    /// Its region.
    pub region: RegionId,
    /// Which replica.
    pub peer: PeerId,
    /// Which creation.
    pub incarnation: Incarnation,
    /// Whether it lived already where the history that is left begins.
    pub began_before: bool,
    /// Its stages, one after the other.
    pub stages: Vec<Span>,
    /// The states of its cache; a gap between two of them is a time without one.
    pub caches: Vec<Span>,
    /// What happened to it.
    pub occurrences: Vec<Occurrence>,
    /// The kind of the record that ended it; none if it lives.
    pub ended_by: Option<Cow<'static, str>>,
}

/// The lives of peers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Timeline {
    /// Where the history that is left begins.
    pub start: Instant,
    /// Its last record.
    pub end: Instant,
    /// The lives, by region, then by creation.
    pub lives: Vec<Life>,
    /// The first record of each opening of the store that wrote one.
    pub boots: Vec<(u32, Instant)>,
}

/// What a timeline is to hold.
#[derive(Clone, Debug, Default)]
pub struct TimelineOptions {
    /// Only these regions; all if empty.
    pub regions: BTreeSet<RegionId>,
    /// No record behind this one.
    pub until: Option<Lsn>,
    /// Whether what happened is kept too, one entry for each record of a region; if not, memory grows
    /// with the number of stages only.
    pub occurrences: bool,
    /// How keys are shown in it.
    pub keys: super::KeyForm,
}

struct Reader<'o> {
    options: &'o TimelineOptions,
    timeline: Timeline,
    open: BTreeMap<RegionId, Life>,
    boot: u32,
}

/// What a peer is, in one word: its stage, or what its region's log has put it into.
pub fn standing(peer: &PeerState) -> &'static str {
    match peer.stage.mode() {
        Mode::Serving => peer.stage.name(),
        mode => mode.as_str(),
    }
}

impl Inspector {
    /// The lives of peers, and how the fold through the history ended.
    ///
    /// # Errors
    /// As [`Inspector::look`].
    pub fn timeline(&self, options: &TimelineOptions) -> Result<(Timeline, Folded), InspectError> {
        let (reader, folded) = self.fold(options.until, |start, register| {
            Reader::new(options, start, register)
        })?;
        let Reader {
            mut timeline, open, ..
        } = reader;
        timeline.lives.extend(open.into_values());
        timeline
            .lives
            .sort_by_key(|life| (life.region, life.incarnation));
        if timeline.start.micros == 0 {
            let first = timeline.lives.iter().flat_map(|life| life.stages.first());
            timeline.start.micros = first.map(|span| span.from.micros).min().unwrap_or(0);
        }
        Ok((timeline, folded))
    }
}

impl<'o> Reader<'o> {
    fn new(options: &'o TimelineOptions, start: Lsn, register: &Register) -> Self {
        let mut reader = Reader {
            options,
            timeline: Timeline::default(),
            open: BTreeMap::new(),
            boot: 0,
        };
        reader.timeline.start.lsn = start;
        reader.timeline.end.lsn = start;
        for region in register.region_ids() {
            let at = reader.timeline.start;
            reader.look(register, region, at, "");
            if let Some(life) = reader.open.get_mut(&region) {
                life.began_before = true;
            }
        }
        reader
    }

    /// Compares a region with what is known of it.
    fn look(&mut self, register: &Register, region: RegionId, at: Instant, kind: &'static str) {
        if !self.options.regions.is_empty() && !self.options.regions.contains(&region) {
            return;
        }
        let live = register.peer(region);
        let is_same = |life: &Life| live.is_some_and(|peer| peer.incarnation == life.incarnation);
        if self.open.get(&region).is_some_and(|life| !is_same(life))
            && let Some(mut life) = self.open.remove(&region)
        {
            for span in life
                .stages
                .last_mut()
                .into_iter()
                .chain(life.caches.last_mut())
            {
                span.to.get_or_insert(at);
            }
            life.ended_by = Some(Cow::Borrowed(kind));
            self.timeline.lives.push(life);
        }
        let Some(peer) = live else { return };
        let life = self.open.entry(region).or_insert_with(|| Life {
            region,
            peer: peer.peer,
            incarnation: peer.incarnation,
            began_before: false,
            stages: Vec::new(),
            caches: Vec::new(),
            occurrences: Vec::new(),
            ended_by: None,
        });
        turn(&mut life.stages, Some(standing(peer)), at);
        // A cache may outlive the peer that it was for; then it is not the new one's.
        let is_own = register.cache(region).incarnation() == Some(peer.incarnation);
        let cache = register.cache_state(region);
        let cache = (is_own && cache != CacheState::Absent).then(|| cache.as_str());
        turn(&mut life.caches, cache, at);
    }
}

/// Ends the last span and begins another one, if the name is another one.
fn turn(spans: &mut Vec<Span>, name: Option<&'static str>, at: Instant) {
    let open = spans.last_mut().filter(|span| span.to.is_none());
    if open.as_ref().map(|span| span.name) == name {
        return;
    }
    if let Some(span) = open {
        span.to = Some(at);
    }
    if let Some(name) = name {
        spans.push(Span {
            name,
            from: at,
            to: None,
        });
    }
}

impl HistoryReader for Reader<'_> {
    fn after(&mut self, register: &Register, step: &Step<'_>) -> ControlFlow<()> {
        let lsn = step.item.record.lsn;
        let Some(record) = step.record else {
            return ControlFlow::Continue(());
        };
        let at = Instant {
            lsn,
            micros: record.header.wall_clock_micros,
        };
        if self.timeline.start.micros == 0 {
            self.timeline.start.micros = at.micros;
            // Who lived before has the first time that is known.
            for span in self
                .open
                .values_mut()
                .flat_map(|life| life.stages.iter_mut().chain(&mut life.caches))
            {
                span.from.micros = at.micros;
            }
        }
        self.timeline.end = at;
        if record.header.boot > self.boot {
            self.boot = record.header.boot;
            self.timeline.boots.push((self.boot, at));
        }
        let kind = record.change.kind_name();
        let mut regions: Vec<RegionId> = record.header.region.into_iter().collect();
        regions.extend(record.change.also());
        for region in &regions {
            // What ends a life belongs to it; what begins one belongs to the new one.
            if self.options.occurrences && !begins(&record.change, *region) {
                self.note(register, *region, at, step);
            }
            self.look(register, *region, at, kind);
            if self.options.occurrences && begins(&record.change, *region) {
                self.note(register, *region, at, step);
            }
        }
        ControlFlow::Continue(())
    }
}

/// Whether a change begins the life of a region's peer.
fn begins(change: &Change, region: RegionId) -> bool {
    match change {
        Change::RegionBootstrapped { .. }
        | Change::BootstrapPrepared { .. }
        | Change::RegionRecovered { .. }
        | Change::PeerCreated { .. } => true,
        Change::RegionSplit { region: parent, .. } => *parent != region,
        _ => false,
    }
}

impl Reader<'_> {
    fn note(&mut self, register: &Register, region: RegionId, at: Instant, step: &Step<'_>) {
        let (Some(life), Some(record)) = (self.open.get_mut(&region), step.record) else {
            return;
        };
        let description = Description::of(at.lsn, record.clone());
        let epoch = register
            .peer(region)
            .map(|peer| peer.stage.epoch().to_string());
        life.occurrences.push(Occurrence {
            at,
            detail: description.detail(&self.options.keys),
            kind: description.kind,
            epoch,
        });
    }
}
