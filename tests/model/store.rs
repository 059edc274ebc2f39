//! A store as the model sees it: decided, published, unsynced; what a sync, a crash and an opening do to it,
//! and what may not be seen of it meanwhile.

use std::collections::BTreeMap;

use torrens::lifecycle::{
    AbortReason, CacheState, Cause, Change, Event, Floor, OpenOperation, Outcome, PeerStage,
    PeerState, Record, Register, Stamp, apply, step,
};
use torrens::{Incarnation, KeyRange, RegionId};
use torrens_journal::Lsn;

use super::laws::Breach;

/// A store as the model sees it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Store {
    /// Everything appended.
    pub(crate) decided: Register,
    /// Everything durable: what anybody may see.
    pub(crate) published: Register,
    /// Appended and not durable.
    pub(crate) tail: Vec<Record>,
    /// The last creation of each region's peer that ended: late work names it.
    pub(crate) ghosts: BTreeMap<RegionId, Incarnation>,
    /// Memory that reads use: whose it is, and which keys it holds all versions of.
    pub(crate) memory: BTreeMap<RegionId, (Incarnation, KeyRange)>,
    /// Crashes so far.
    pub(crate) crashes: u8,
    /// The first rule of change that was broken on the way here.
    pub(crate) broken: Option<Breach>,
}

fn stamp() -> Stamp {
    Stamp {
        wall_clock_micros: 0,
        boot: 1,
        cause: Cause::Host,
    }
}

/// Applies one change at the next position.
pub(super) fn append(register: &mut Register, change: Change) -> Result<Record, Breach> {
    let record = Record::new(register, change, stamp());
    let lsn = register.last_lsn().next().unwrap_or(Lsn::FIRST);
    apply(register, lsn, &record).map_err(|_| Breach::Apply)?;
    Ok(record)
}

fn replay(register: &mut Register, record: &Record) {
    let lsn = register.last_lsn().next().unwrap_or(Lsn::FIRST);
    apply(register, lsn, record).expect("a record that applied once applies again");
}

impl Store {
    /// An open store with region 1 on it, everything durable.
    pub(crate) fn new(bootstrap: &[Event]) -> Store {
        let mut register = Register::default();
        for event in bootstrap {
            let Outcome::Accepted(accepted) = step(&register, event) else {
                panic!("{event:?} begins no store");
            };
            append(&mut register, accepted.change).expect("an accepted outcome applies");
        }
        Store {
            decided: register.clone(),
            published: register,
            tail: Vec::new(),
            ghosts: BTreeMap::new(),
            memory: BTreeMap::new(),
            crashes: 0,
            broken: None,
        }
    }

    fn range(&self, region: RegionId) -> Option<(Incarnation, KeyRange)> {
        let peer = self.decided.peer(region)?;
        Some((peer.incarnation, peer.stage.region()?.range.clone()))
    }

    /// What the engine does with the memory at a decision.
    pub(super) fn remember(&mut self, event: &Event) {
        match event {
            Event::LoadBegin { region, .. } => {
                let begun = self.range(*region);
                self.memory.extend(begun.map(|begun| (*region, begun)));
            }
            Event::Evict { region, .. } => drop(self.memory.remove(region)),
            Event::Split(split) => {
                let was = self.memory.remove(&split.region);
                let parts = split.children.iter().map(|child| child.id);
                let parts = parts.chain([split.region]);
                let active =
                    |region: &RegionId| self.decided.cache_state(*region) == CacheState::Active;
                let parts: Vec<_> = parts
                    .filter(active)
                    .filter_map(|part| Some((part, self.range(part)?)))
                    .collect();
                if was.is_some() {
                    self.memory.extend(parts);
                }
            }
            _ => {}
        }
    }

    /// The memory that reads may use is of the peer that they see, and of its keys only.
    pub(super) fn look_at_caches(&mut self) {
        for (region, (incarnation, range)) in &self.memory {
            if self.published.cache_state(*region) != CacheState::Active {
                continue;
            }
            let Some(peer) = self.published.peer(*region) else {
                self.broken = Some(Breach::Cache);
                continue;
            };
            let description = peer.stage.region();
            let is_inside = description.is_some_and(|region| region.range.covers(range));
            let is_settled = self.decided.peer(*region) == Some(peer);
            let is_whole = description.is_some_and(|region| region.range == *range);
            if peer.incarnation != *incarnation || !is_inside || (is_settled && !is_whole) {
                self.broken = Some(Breach::Cache);
            }
        }
    }

    /// What may never be seen of two published states, one after the other.
    fn look_back_at(&mut self, before: &Register, records: &[Record]) {
        let now = &self.published;
        let mut broken = (now.last_lsn() < before.last_lsn()).then_some(Breach::Durability);
        for region in now.region_ids().chain(before.region_ids()) {
            let (old, new) = (before.peer(region), now.peer(region));
            match (old, new) {
                (Some(old), Some(new)) if old.incarnation == new.incarnation => {
                    let back = new.stage.epoch().precedes(old.stage.epoch());
                    // A first snapshot that is given up takes its description with it.
                    let given_up = matches!(
                        (&old.stage, &new.stage),
                        (PeerStage::Applying(_), PeerStage::Uninitialized)
                    );
                    if back && !given_up {
                        broken = broken.or(Some(Breach::Epoch));
                    }
                    let index = |peer: &PeerState| peer.stage.meta_index().map(|meta| meta.index);
                    if index(new) < index(old) && !given_up {
                        broken = broken.or(Some(Breach::Index));
                    }
                }
                (_, Some(new)) if new.incarnation.lsn() <= before.last_lsn() => {
                    broken = broken.or(Some(Breach::Resurrected));
                }
                _ => {}
            }
        }
        for (region, old) in before.tombstones() {
            let new = now.tombstone(region);
            let collected = |record: &Record| matches!(record.change, Change::TombstoneCollected { region: of, .. } if of == region);
            if records.iter().any(collected) {
                continue;
            }
            if new.is_none_or(|new| new.highest_peer < old.highest_peer) {
                broken = broken.or(Some(Breach::Tombstone));
            }
        }
        self.broken = self.broken.or(broken);
    }

    pub(super) fn sync(mut self) -> Store {
        let before = self.published.clone();
        let records = std::mem::take(&mut self.tail);
        for record in &records {
            if self.published.last_lsn() < self.decided.last_lsn() {
                replay(&mut self.published, record);
            }
        }
        let published = &self.published;
        self.memory.retain(|region, (incarnation, _)| {
            let is_held = matches!(
                published.cache_state(*region),
                CacheState::Active | CacheState::Loading
            );
            is_held && published.incarnation(*region) == Some(*incarnation)
        });
        self.look_back_at(&before, &records);
        self.look_at_caches();
        self
    }

    pub(super) fn crash(mut self, kept: usize, is_file_lost: bool) -> Store {
        let seen = self.published.clone();
        let first = self.decided.last_lsn().get() - self.tail.len() as u64;
        if seen.last_lsn().get() > first + kept as u64 {
            // What somebody saw is not on the device.
            self.broken = Some(Breach::Durability);
            return self;
        }
        let mut register = seen.clone();
        // What was published early is there already.
        let shown = usize::try_from(seen.last_lsn().get() - first).unwrap_or(usize::MAX);
        let kept: Vec<_> = self.tail.drain(..).take(kept).skip(shown).collect();
        kept.iter().for_each(|record| replay(&mut register, record));
        (self.published, self.decided) = (register.clone(), register);
        self.look_back_at(&seen, &kept);
        self.memory.clear();
        self.crashes += 1;
        for operation in self.decided.open_operations() {
            let event = ending(&self.decided, &operation, is_file_lost);
            match step(&self.decided, &event) {
                Outcome::Accepted(accepted) => {
                    if let Err(breach) = append(&mut self.decided, accepted.change) {
                        self.broken = Some(breach);
                        return self;
                    }
                }
                Outcome::AlreadyApplied => {}
                Outcome::Refused(_) | Outcome::Wait(_) => {
                    self.broken = Some(Breach::Unfinished);
                }
            }
        }
        let before = std::mem::replace(&mut self.published, self.decided.clone());
        self.look_back_at(&before, &[]);
        let is_open = |operation: &OpenOperation| match operation {
            OpenOperation::SnapshotApply { .. } | OpenOperation::Reservation { .. } => true,
            OpenOperation::Deletion { .. } => !is_file_lost,
            OpenOperation::Cache { state, .. } => {
                !matches!(state, CacheState::LoadRequested | CacheState::LoadQueued)
            }
        };
        if self.decided.open_operations().iter().any(is_open) {
            self.broken = Some(Breach::Unfinished);
        }
        self
    }
}

/// How opening ends what a crash had left open.
fn ending(register: &Register, operation: &OpenOperation, is_file_lost: bool) -> Event {
    match operation {
        OpenOperation::SnapshotApply {
            region,
            incarnation,
            ..
        } if is_file_lost => Event::AbortSnapshot {
            region: *region,
            incarnation: *incarnation,
            reason: AbortReason::StagedFileLost,
        },
        OpenOperation::SnapshotApply {
            region,
            incarnation,
            snapshot,
            ..
        } => Event::EndSnapshot {
            region: *region,
            incarnation: *incarnation,
            floor: Floor {
                index: snapshot.position.index,
                barrier: register.barrier(),
            },
        },
        OpenOperation::Reservation {
            region,
            incarnation,
            ..
        } => Event::ReleaseSnapshot {
            region: *region,
            incarnation: *incarnation,
        },
        OpenOperation::Deletion { deletion, .. } => Event::FinishDeletion {
            deletion: *deletion,
        },
        OpenOperation::Cache { region, .. } => Event::CacheLost { region: *region },
    }
}
