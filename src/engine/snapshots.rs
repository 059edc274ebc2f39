//! Snapshots: taken of a region, received from another store, applied to a peer.
//!
//! A snapshot apply is begin → clear → ingest → flush → end. Begin is durable before the first key
//! goes; from begin on the only way is forward, as often as needed, from the staged file, which
//! lives until end is durable. A staged file that is missing or damaged at a roll-forward turns a
//! peer that never had data back to uninitialised, and any other into a damaged one.

use std::collections::BTreeSet;
use std::io::Read;
use std::sync::Arc;

use super::core::Core;
use super::{Answer, EngineError, effects};
use crate::lifecycle::{
    AbortReason, Cause, Event, Floor, PeerStage, Refusal, Register, SnapshotRef,
};
use crate::snapshot::{
    self, FoundFile, SnapshotError, SnapshotMeta, SnapshotName, SnapshotReader, SnapshotWriter,
    StagedSnapshot,
};
use crate::store::{Direction, RegionRow, scan_at};
use crate::{Incarnation, RaftPosition, RegionEpoch, RegionId};

/// Most bytes of a snapshot that is taken in from outside: 64 GiB.
const RECEIVE_BYTES_MAX: u64 = 64 * 1024 * 1024 * 1024;

/// The answer to a request for a snapshot.
#[derive(Clone, Debug)]
pub enum Taken {
    /// The file is complete, checksummed and synced, in the store's snapshot folder.
    Snapshot(StagedSnapshot),
    /// The region may not be read with that epoch.
    Refused(Refusal),
}

impl Core {
    pub(super) fn take_snapshot(
        &self,
        region: RegionId,
        epoch: RegionEpoch,
    ) -> Result<Taken, EngineError> {
        self.check_open()?;
        // Under the latch no write runs: the row and the sequence belong together.
        let latch = self.latches.hold(region);
        let published = self.published();
        let admitted = match published.admit_read(region, epoch) {
            Ok(admitted) => admitted,
            Err(refusal) => return Ok(Taken::Refused(refusal)),
        };
        let (description, incarnation) = (admitted.region, admitted.incarnation);
        let fence = self.fences.current(region);
        drop(published);
        // The description is as new as the last change of it, which may be later than the last write:
        // whoever applies the snapshot must not be sent that change again.
        let position = self
            .data_position(region, incarnation)
            .max(admitted.meta_index);
        let pin = self.pins.pin(&description.range, |_| {
            Ok::<_, EngineError>(self.sequencer.last_begun())
        })?;
        let sequence = pin.sequence();
        drop(latch);

        let meta = SnapshotMeta {
            region: (*description).clone(),
            index: position.index,
            term: position.term,
            sequence,
        };
        let disk = Arc::clone(&self.disk);
        let id = self.disk.random_u64();
        let mut writer = SnapshotWriter::create(disk, &self.layout.snapshots, id, &meta)?;
        let range = &description.range;
        for cf in self.families.iter() {
            for row in scan_at(&*self.data, cf, range, sequence, Direction::Forward) {
                let (key, value) = row?;
                writer.push_cf(cf, &key, &value)?;
            }
        }
        if fence.is_tripped() {
            let live = self.published().incarnation(region);
            // The data went away while it was read: what was written is no picture of anything.
            return Ok(Taken::Refused(Refusal::IncarnationGone {
                region,
                given: incarnation,
                live,
            }));
        }
        Ok(Taken::Snapshot(writer.finish()?))
    }

    pub(super) fn receive_snapshot(
        &self,
        name: SnapshotName,
        from: impl Read,
    ) -> Result<StagedSnapshot, EngineError> {
        self.check_open()?;
        let disk = Arc::clone(&self.disk);
        let folder = &self.layout.snapshots;
        match snapshot::receive(disk, folder, name, from, RECEIVE_BYTES_MAX) {
            Ok((_, staged)) => Ok(staged),
            // Sent twice, or staged before a crash: it is here already, if it is whole.
            Err(SnapshotError::Exists { .. }) => Ok(self.open_snapshot(name)?.verify()?),
            Err(error) => Err(EngineError::Snapshot(error)),
        }
    }

    pub(super) fn staged_snapshots(&self) -> Result<Vec<SnapshotName>, EngineError> {
        let found = snapshot::list(&*self.disk, &self.layout.snapshots)?;
        let complete = found.into_iter().filter_map(|file| match file {
            FoundFile::Complete { name, .. } => Some(name),
            FoundFile::Unfinished { .. } | FoundFile::Foreign { .. } => None,
        });
        Ok(complete.collect())
    }

    pub(super) fn open_snapshot(&self, name: SnapshotName) -> Result<SnapshotReader, EngineError> {
        Ok(SnapshotReader::open(
            &*self.disk,
            &self.layout.snapshots,
            name,
        )?)
    }

    pub(super) fn remove_unused_snapshot(&self, name: SnapshotName) -> Result<bool, EngineError> {
        self.check_open()?;
        let _latch = self.latches.hold(name.region);
        // Until *end* is durable: a crash may still roll forward.
        if self.with_decided(|register| in_use(register, name)) || in_use(&self.published(), name) {
            return Err(EngineError::SnapshotInUse { name });
        }
        self.remove_snapshot(name)
    }

    fn remove_snapshot(&self, name: SnapshotName) -> Result<bool, EngineError> {
        Ok(snapshot::remove(&*self.disk, &self.layout.snapshots, name)?)
    }

    pub(super) fn apply_snapshot(
        &self,
        region: RegionId,
        incarnation: Incarnation,
        staged: &StagedSnapshot,
        sources: &[RegionId],
    ) -> Result<Answer, EngineError> {
        self.check_open()?;
        self.barriers.check()?;
        // Held to the end: no write and no other transition comes between begin and end, except a
        // destroy, which waits. Held from before the look at the file, which nobody removes then.
        let mut needed = BTreeSet::from([region]);
        let (_latches, reader, tenants) = loop {
            let latches = self.latches.hold_all(&needed);
            let reader = self.open_snapshot(staged.name)?;
            // Regions that were merged into this one end with the begin: nothing of theirs may be
            // under way either.
            let range = reader.meta().region.range.clone();
            let tenants = self.with_decided(|register| register.tenants(&range));
            let others = tenants.iter().map(|(region, _)| *region);
            let before = needed.len();
            needed.extend(others);
            if needed.len() == before {
                break (latches, reader, tenants);
            }
        };
        if reader.verify()? != *staged {
            return Err(EngineError::Snapshot(SnapshotError::Missing {
                name: staged.name,
            }));
        }
        // The metadata knows its own index and the floor; how far the data is, the store knows.
        let serves = self.with_decided(|register| register.normal(region, incarnation).is_some());
        let have = self.data_position(region, incarnation).index;
        if serves && reader.meta().index < have {
            let given = reader.meta().index;
            return Ok(Answer::Refused(Refusal::StaleSnapshot {
                region,
                given,
                have,
            }));
        }
        let _effects = self.effects.lock();
        let event = Event::BeginSnapshot {
            region,
            incarnation,
            description: reader.meta().region.clone(),
            snapshot: SnapshotRef::of(staged),
            sources: sources.to_vec(),
        };
        let mut gone = tenants;
        let decision = self.decide_with(&event, Cause::Host, |register, _| {
            gone.retain(|(tenant, held)| register.incarnation(*tenant) != Some(*held));
        })?;
        let (answer, effects) = self.settle(decision)?;
        // Begun now, or earlier and then stopped by something that may have passed.
        let is_open = self.with_decided(|register| in_use(register, staged.name));
        if !(answer.holds() && is_open) {
            return Ok(answer);
        }
        for (tenant, held) in gone {
            self.withdraw(tenant, held);
            self.rows.forget(tenant, held);
        }
        self.withdraw(region, incarnation);
        self.queue.push_effects(effects);
        self.ingest_and_end(region, incarnation, &reader, staged)
    }

    /// From a durable begin to a durable end.
    fn ingest_and_end(
        &self,
        region: RegionId,
        incarnation: Incarnation,
        reader: &SnapshotReader,
        staged: &StagedSnapshot,
    ) -> Result<Answer, EngineError> {
        let data = RaftPosition {
            index: reader.meta().index,
            term: reader.meta().term,
        };
        let meta_lsn = self.with_decided(|register| register.last_transition(region));
        let row = RegionRow {
            incarnation,
            data_index: data.index,
            data_term: data.term,
            meta_lsn: meta_lsn.unwrap_or_default(),
        };
        let guard = self.begin_sequence()?;
        let sequence = guard.sequence();
        match effects::ingest(&*self.data, reader, staged, &row, sequence) {
            // Before the write counts as complete: see `collect`.
            Ok(()) => self.rows.note_ingested(region, incarnation, data, sequence),
            Err(EngineError::Data(error)) => return Err(self.barriers.fail(error)),
            // The operating system refusing to read is no reason to give the data up.
            Err(EngineError::Snapshot(error @ SnapshotError::Io { .. })) => {
                return Err(EngineError::Snapshot(error));
            }
            Err(EngineError::Snapshot(error)) => {
                let reason = AbortReason::StagedFileLost;
                let event = Event::AbortSnapshot {
                    region,
                    incarnation,
                    reason,
                };
                let _aborted = self.commit(&event, Cause::Host)?;
                return Err(EngineError::Snapshot(error));
            }
            Err(error) => return Err(error),
        }
        guard.finish();
        let barrier = self.barrier()?;
        let floor = Floor {
            index: data.index,
            barrier,
        };
        let event = Event::EndSnapshot {
            region,
            incarnation,
            floor,
        };
        let answer = self.commit(&event, Cause::Host)?;
        self.remove_snapshot(reader.name())?;
        Ok(answer)
    }
}

/// Whether an apply of that file has begun and not ended.
fn in_use(register: &Register, name: SnapshotName) -> bool {
    let Some(peer) = register.peer(name.region) else {
        return false;
    };
    match &peer.stage {
        PeerStage::Applying(applying) => applying.snapshot.staged(name.region).name == name,
        PeerStage::Uninitialized
        | PeerStage::Normal(_)
        | PeerStage::Witness(_)
        | PeerStage::Waiting(_)
        | PeerStage::Damaged(_) => false,
    }
}
