//! The history's place in the engine: which transitions leave lineage events in it, and what is made up
//! for after a crash.
//!
//! A transition is published before its event is durable in the history, so a crash may leave the store's
//! journal ahead. Every checkpoint syncs the history first: what it can lack is in the records behind the
//! newest checkpoint, and is added again when the store is opened. Not here: the history itself
//! (`observe::history`).

use std::time::Duration;

use torrens_journal::{Followed, Lsn};

use super::core::Core;
use super::{Engine, EngineError};
use crate::codec;
use crate::lifecycle::{
    Change, ChildFate, INITIAL_INDEX, MergedSource, ObserverChange, PeerStage, Record, Register,
    SplitChild,
};
use crate::observe::{
    HistorySettingError, HistorySettings, HistoryStats, Lineage, LineageChild, LineageEvent,
};
use crate::{Incarnation, RaftPosition, RegionId};

impl Engine {
    /// How much history of observed regions is kept.
    pub fn history_settings(&self) -> HistorySettings {
        self.core.history.settings()
    }

    /// Keeps other amounts of history from now on. What a lower limit lets go goes in the background,
    /// after whoever needs it was told. Not journaled: give them to [`super::Options::history`] at the
    /// next opening.
    ///
    /// # Errors
    /// [`EngineError::HistorySetting`] for a setting out of its range, [`EngineError::History`] if a
    /// history is wanted now and cannot be made.
    pub fn set_history_settings(&self, settings: HistorySettings) -> Result<(), EngineError> {
        let settings = settings.validated().map_err(EngineError::from)?;
        self.core.check_open()?;
        self.core.history.set_settings(settings);
        self.core.want_history()
    }

    /// Counters and sizes of the history.
    pub fn history_stats(&self) -> HistoryStats {
        self.core.history.stats()
    }
}

impl From<HistorySettingError> for EngineError {
    fn from(error: HistorySettingError) -> Self {
        EngineError::HistorySetting(error)
    }
}

impl Core {
    /// For opening: adds the events that a crash took, and keeps from now on what is wanted.
    pub(super) fn open_history(&self) -> Result<(), EngineError> {
        self.repair_lineage()?;
        self.want_history()
    }

    /// Keeps the history of whatever somebody wants now.
    pub(super) fn want_history(&self) -> Result<(), EngineError> {
        self.want_history_of(&self.published())
    }

    /// Keeps the history of whatever the observers of that state want.
    pub(super) fn want_history_of(&self, register: &Register) -> Result<(), EngineError> {
        let observers = register.observers().iter();
        let ranges = observers.flat_map(|(_, observer)| observer.ranges.iter().cloned());
        self.history.want(ranges).map_err(EngineError::History)
    }

    /// Whether a published record changes what is wanted.
    pub(super) fn wants_differently(change: &Change) -> bool {
        matches!(
            change,
            Change::Observer(ObserverChange::Added { .. } | ObserverChange::Removed { .. })
        )
    }

    /// Appends the events that a published record means to observers.
    pub(super) fn keep_lineage(&self, after: &Register, lsn: Lsn, record: &Record) {
        for lineage in self.lineage_of(after, lsn, record) {
            if self.is_kept(after, &lineage) {
                self.history.append_lineage(lineage);
            }
        }
    }

    /// Whether the history has, or wants, anything of the region or of where its changes go on.
    fn is_kept(&self, after: &Register, lineage: &Lineage) -> bool {
        if self.history.newest(lineage.region).is_some() {
            return true;
        }
        let wants = |region: RegionId| {
            let stage = after.peer(region).map(|peer| &peer.stage);
            let range = stage.and_then(|stage| Some(&stage.region()?.range));
            range.is_some_and(|range| self.history.wants(range))
        };
        match &lineage.event {
            LineageEvent::Split { children, .. } => {
                wants(lineage.region) || children.iter().any(|child| wants(child.region))
            }
            _ => wants(lineage.region),
        }
    }

    /// Whether a record may mean an event to observers.
    pub(super) fn tells_lineage(change: &Change) -> bool {
        matches!(
            change,
            Change::RegionSplit { .. }
                | Change::RegionsMerged { .. }
                | Change::SnapshotEnded { .. }
                | Change::SnapshotBegunOverSources { .. }
                | Change::WitnessInstalled { .. }
                | Change::PeerDestroyed { .. }
                | Change::BootstrapAbandoned { .. }
                | Change::OwnPeerRemoved { .. }
                | Change::PeerDamaged { .. }
                | Change::SnapshotAborted { .. }
                | Change::WitnessesSwitched { .. }
        )
    }

    /// The events of a record, with the state behind it.
    fn lineage_of(&self, after: &Register, lsn: Lsn, record: &Record) -> Vec<Lineage> {
        let subject = record.header.region.zip(record.header.incarnation);
        let Some((region, incarnation)) = subject.filter(|_| Core::tells_lineage(&record.change))
        else {
            return Vec::new();
        };
        let data = |region, incarnation| {
            let found = self.data_position(region, incarnation);
            RaftPosition {
                index: found.index.max(INITIAL_INDEX),
                term: found.term,
            }
        };
        let of = |region, incarnation, position: Option<RaftPosition>, event| {
            let data = data(region, incarnation);
            Lineage {
                lsn,
                region,
                incarnation,
                position: position.unwrap_or(data),
                data_index: data.index,
                event,
                wall_clock_micros: record.header.wall_clock_micros,
            }
        };
        let own = |position, event| vec![of(region, incarnation, position, event)];
        let absorbed = |sources: &[MergedSource]| {
            let ended = |source: &MergedSource| {
                let event = LineageEvent::Absorbed { into: region };
                of(source.region, source.incarnation, None, event)
            };
            sources.iter().map(ended).collect::<Vec<_>>()
        };
        let holds_data = || {
            let peer = after.peer(region);
            peer.is_some_and(|peer| peer.stage.holds_data())
        };
        match &record.change {
            Change::RegionSplit {
                position,
                version,
                derive,
                boundaries,
                children,
                ..
            } => own(
                Some(*position),
                LineageEvent::Split {
                    version: *version,
                    derive: *derive,
                    boundaries: boundaries.clone(),
                    children: children.iter().map(child).collect(),
                },
            ),
            Change::RegionsMerged {
                position,
                version,
                source,
                ..
            } => own(
                Some(*position),
                LineageEvent::Merged {
                    version: *version,
                    source: source.region,
                    source_incarnation: source.incarnation,
                },
            ),
            Change::SnapshotEnded { floor, .. } => {
                snapshot_applied(after, lsn, (region, incarnation), floor.index, record)
            }
            Change::SnapshotBegunOverSources { sources, .. } => absorbed(sources),
            Change::WitnessInstalled { sources, .. } => {
                let mut events = absorbed(sources);
                events.extend(own(None, LineageEvent::DataGone));
                events
            }
            Change::PeerDestroyed { .. } | Change::BootstrapAbandoned { .. } => {
                own(None, LineageEvent::Destroyed)
            }
            Change::OwnPeerRemoved { position, .. } => {
                own(Some(*position), LineageEvent::Destroyed)
            }
            Change::PeerDamaged { .. } | Change::SnapshotAborted { .. } => {
                own(None, LineageEvent::DataGone)
            }
            Change::WitnessesSwitched { position, .. } => match holds_data() {
                true => Vec::new(),
                false => own(Some(*position), LineageEvent::DataGone),
            },
            // Any other change moves no key and ends no region.
            _ => Vec::new(),
        }
    }

    /// Appends the events of the records behind the newest checkpoint that the history lacks.
    fn repair_lineage(&self) -> Result<(), EngineError> {
        if !self.history.is_open() {
            return Ok(());
        }
        let known = self.history.meta_lsn().max(self.last_checkpoint());
        let Some(from) = known.next() else {
            return Ok(());
        };
        self.sync()?;
        let synced = self.journal.synced();
        if from > synced {
            return Ok(());
        }
        let mut follower = self.journal.follow(from, "lineage")?;
        // Nobody is told of anything yet: what the register is now is what every record led to.
        let after = self.published();
        while follower.next_lsn() <= synced {
            let batch = match follower.next_batch(Some(Duration::ZERO)) {
                Ok(Followed::Batch(batch)) => batch,
                Ok(_) => break,
                Err(error) => return Err(EngineError::Follow(Box::new(error))),
            };
            for found in batch.records().flatten() {
                let decoded = codec::decode(found.kind.get(), found.payload);
                if let Ok(Some(record)) = decoded {
                    self.keep_lineage(&after, found.lsn, &record);
                }
            }
        }
        Ok(())
    }
}

fn child(child: &SplitChild) -> LineageChild {
    LineageChild {
        region: child.id,
        is_here: !matches!(child.fate, ChildFate::Skipped { .. }),
    }
}

/// A snapshot that came in, under the description that it brought.
fn snapshot_applied(
    after: &Register,
    lsn: Lsn,
    (region, incarnation): (RegionId, Incarnation),
    index: u64,
    record: &Record,
) -> Vec<Lineage> {
    let stage = after.peer(region).map(|peer| &peer.stage);
    let Some(PeerStage::Normal(normal)) = stage else {
        return Vec::new();
    };
    let term = match normal.meta_index.index == index {
        true => normal.meta_index.term,
        false => 0,
    };
    let event = LineageEvent::SnapshotApplied {
        range: normal.region.range.clone(),
        version: normal.region.epoch.version,
    };
    vec![Lineage {
        lsn,
        region,
        incarnation,
        position: RaftPosition { index, term },
        data_index: index,
        event,
        wall_clock_micros: record.header.wall_clock_micros,
    }]
}
