//! Snapshots: taken of a region, received from another store, applied to a peer.
//!
//! A snapshot apply is begin → clear → ingest → flush → end. Begin is durable before the first key
//! goes; from begin on the only way is forward, as often as needed, from the staged file, which
//! lives until end is durable. A staged file that is missing or damaged at a roll-forward turns a
//! peer that never had data back to uninitialised, and any other into a damaged one.

use std::collections::BTreeSet;
use std::io::Read;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use torrens_journal::planted;

use super::collect::ReadPin;
use super::core::Core;
use super::counting::count;
use super::effects::SnapshotProgress;
use super::fence::Fence;
use super::{Answer, EngineError, effects};
use crate::crash_points::{CrashPoint, reach};
use crate::lifecycle::{
    AbortReason, Cause, Event, Floor, PeerStage, Refusal, Register, SnapshotRef,
};
use crate::snapshot::{
    self, ContentHasher, FoundFile, SnapshotError, SnapshotMeta, SnapshotName, SnapshotReader,
    SnapshotWriter, StagedSnapshot,
};
use crate::store::{ColumnFamily, RegionRow, visit_at};
use crate::{Incarnation, RaftPosition, Region, RegionEpoch, RegionId, Sequence, trace};

/// Most bytes of a snapshot that is taken in from outside: 64 GiB.
const RECEIVE_BYTES_MAX: u64 = 64 * 1024 * 1024 * 1024;

/// The answer to a request for a snapshot.
#[derive(Clone, Debug)]
pub enum Taken {
    /// The file is complete, checksummed and synced, in the store's snapshot folder.
    Snapshot(StagedSnapshot),
    /// The region may not be read with that epoch, or the host has not sent its log again yet
    /// ([`Refusal::DataBehind`]).
    Refused(Refusal),
}

/// What a region's data is at one applied index: for comparing replicas.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegionDigest {
    /// The region's description, its peers' roles (Raft's configuration) and epoch with it.
    pub region: Region,
    /// The last entry whose effects are in the rows.
    pub position: RaftPosition,
    /// Rows that it has.
    pub rows: u64,
    /// Hash of the rows; the same for a snapshot of them
    /// ([`SnapshotReader::verify_content`](crate::snapshot::SnapshotReader::verify_content)).
    pub hash: u32,
}

/// The answer to a request for a digest.
#[derive(Clone, Debug)]
pub enum Digested {
    /// It was computed while writes went on; all of it is of one applied index.
    Digest(RegionDigest),
    /// The region may not be read with that epoch, or the host has not sent its log again yet
    /// ([`Refusal::DataBehind`]).
    Refused(Refusal),
}

/// A region's data at one moment, kept while it is read.
#[derive(Debug)]
pub(super) struct Moment {
    region: Arc<Region>,
    incarnation: Incarnation,
    position: RaftPosition,
    pin: ReadPin,
    fence: Arc<Fence>,
}

impl Moment {
    pub(super) fn region(&self) -> &Region {
        &self.region
    }

    pub(super) fn position(&self) -> RaftPosition {
        self.position
    }

    pub(super) fn sequence(&self) -> Sequence {
        self.pin.sequence()
    }

    /// Whether what was read may be no picture of anything.
    pub(super) fn is_gone(&self) -> bool {
        self.fence.is_tripped()
    }
}

impl Core {
    /// Pins a region as it is now.
    pub(super) fn moment(
        &self,
        region: RegionId,
        epoch: RegionEpoch,
    ) -> Result<Result<Moment, Refusal>, EngineError> {
        self.check_open()?;
        // Under the latch no write runs: the row and the sequence belong together.
        let _latch = self.latches.hold(region);
        let published = self.published();
        let admitted = match published.admit_read(region, epoch) {
            Ok(admitted) => admitted,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let (description, incarnation) = (admitted.region, admitted.incarnation);
        if let Some(refusal) = self.data_behind(region, incarnation) {
            return Ok(Err(refusal));
        }
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
        Ok(Ok(Moment {
            region: description,
            incarnation,
            position,
            pin,
            fence,
        }))
    }

    /// The refusal for whoever asks for a region's rows at one index while, after opening, entries
    /// below its metadata's index are missing.
    pub(super) fn data_behind(
        &self,
        region: RegionId,
        incarnation: Incarnation,
    ) -> Option<Refusal> {
        let missing = self.rows.missing_up_to(region, incarnation);
        let meta_index = missing.filter(|_| !planted!("copy-before-the-log-was-sent-again"))?;
        Some(Refusal::DataBehind {
            region,
            data_index: self.data_position(region, incarnation).index,
            meta_index,
        })
    }

    /// Gives every row of that moment away; the refusal if the data went away meanwhile.
    fn walk_moment(
        &self,
        moment: &Moment,
        mut row: impl FnMut(ColumnFamily, &[u8], &[u8]) -> Result<(), EngineError>,
    ) -> Result<Option<Refusal>, EngineError> {
        let range = &moment.region.range;
        let sequence = match planted!("snapshot-of-many-moments") {
            true => Sequence::MAX,
            false => moment.pin.sequence(),
        };
        for cf in self.families.iter() {
            let mut failed = None;
            visit_at(&*self.data, cf, range, sequence, |key, value| {
                match row(cf, key, value) {
                    Ok(()) => ControlFlow::Continue(()),
                    Err(error) => {
                        failed = Some(error);
                        ControlFlow::Break(())
                    }
                }
            })?;
            failed.map_or(Ok(()), Err)?;
        }
        let region = moment.region.id;
        // What was read is no picture of anything then.
        let is_gone = moment.fence.is_tripped() && !planted!("copy-of-what-goes-meanwhile");
        Ok(is_gone.then(|| Refusal::IncarnationGone {
            region,
            given: moment.incarnation,
            live: self.published().incarnation(region),
        }))
    }

    pub(super) fn take_snapshot(
        &self,
        region: RegionId,
        epoch: RegionEpoch,
    ) -> Result<Taken, EngineError> {
        let _span = trace::take_snapshot(region);
        let moment = match self.moment(region, epoch)? {
            Ok(moment) => moment,
            Err(refusal) => return Ok(Taken::Refused(refusal)),
        };
        let meta = SnapshotMeta {
            region: (*moment.region).clone(),
            index: moment.position.index,
            term: moment.position.term,
            sequence: moment.pin.sequence(),
        };
        let disk = Arc::clone(&self.disk);
        let id = self.disk.random_u64();
        let mut writer = SnapshotWriter::create(disk, &self.layout.snapshots, id, &meta)?;
        let gone =
            self.walk_moment(
                &moment,
                |cf, key, value| Ok(writer.push_cf(cf, key, value)?),
            )?;
        match gone {
            Some(refusal) => Ok(Taken::Refused(refusal)),
            None => {
                let staged = writer.finish()?;
                count(&self.counting.snapshots_taken);
                Ok(Taken::Snapshot(staged))
            }
        }
    }

    pub(super) fn digest(
        &self,
        region: RegionId,
        epoch: RegionEpoch,
    ) -> Result<Digested, EngineError> {
        let moment = match self.moment(region, epoch)? {
            Ok(moment) => moment,
            Err(refusal) => return Ok(Digested::Refused(refusal)),
        };
        let (mut rows, mut hasher) = (0, ContentHasher::default());
        let gone = self.walk_moment(&moment, |cf, key, value| {
            rows += 1;
            hasher.push(cf, key, value);
            Ok(())
        })?;
        Ok(match gone {
            Some(refusal) => Digested::Refused(refusal),
            None => Digested::Digest(RegionDigest {
                region: (*moment.region).clone(),
                position: moment.position,
                rows,
                hash: hasher.finish(),
            }),
        })
    }

    pub(super) fn receive_snapshot(
        &self,
        name: SnapshotName,
        from: impl Read,
    ) -> Result<StagedSnapshot, EngineError> {
        self.check_open()?;
        let disk = Arc::clone(&self.disk);
        let folder = &self.layout.snapshots;
        let families = Some(&self.families);
        match snapshot::receive_only(disk, folder, name, from, RECEIVE_BYTES_MAX, families) {
            Ok((_, staged)) => {
                count(&self.counting.snapshots_received);
                Ok(staged)
            }
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
        let opened = SnapshotReader::open(&*self.disk, &self.layout.snapshots, name)?;
        Ok(opened.only(self.families.clone()))
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

    /// Background: removes the staged files that nobody can apply or send any more, because the peer
    /// that they were for, or were taken of, is gone. At opening and whenever a peer went.
    pub(super) fn sweep_snapshots(&self) -> Result<(), EngineError> {
        if !self.snapshots_to_sweep.swap(false, Ordering::AcqRel) {
            return Ok(());
        }
        for name in self.staged_snapshots()? {
            let _latch = self.latches.hold(name.region);
            let used = self.with_decided(|register| in_use(register, name))
                || in_use(&self.published(), name);
            let is_planted = planted!("staged-file-removed-while-it-is-applied");
            let stays = planted!("staged-files-stay");
            if is_planted || (!used && !stays && self.is_orphan(name)?) {
                self.remove_snapshot(name)?;
            }
        }
        Ok(())
    }

    /// Whether a staged file belongs to a peer that is durably gone, or to nobody.
    fn is_orphan(&self, name: SnapshotName) -> Result<bool, EngineError> {
        let meta = match self.open_snapshot(name) {
            Ok(reader) => reader.meta().clone(),
            // Nothing that can be applied: it was whole when it got its name.
            Err(EngineError::Snapshot(SnapshotError::Fault { .. })) => return Ok(true),
            Err(EngineError::Snapshot(SnapshotError::Missing { .. })) => return Ok(false),
            Err(error) => return Err(error),
        };
        let published = self.published();
        let Some(store) = published.store() else {
            return Ok(false);
        };
        let Some(of) = meta.region.peer_on(store).map(|peer| peer.id) else {
            return Ok(true);
        };
        let live = published.peer(name.region).map(|peer| peer.peer);
        let tombstone = published.tombstone(name.region);
        Ok(match live {
            Some(live) => live > of,
            None => tombstone.is_some_and(|stone| stone.highest_peer >= of),
        })
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
        progress: &mut dyn FnMut(SnapshotProgress),
    ) -> Result<Answer, EngineError> {
        self.check_open()?;
        self.barriers.check()?;
        let _span = trace::apply_snapshot(region);
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
        if !planted!("staged-file-not-verified") && reader.verify()? != *staged {
            return Err(EngineError::Snapshot(SnapshotError::Missing {
                name: staged.name,
            }));
        }
        // The metadata knows its own index and the floor; how far the data is, the store knows.
        let serves = self.with_decided(|register| register.normal(region, incarnation).is_some());
        let have = self.data_position(region, incarnation).index;
        if serves && reader.meta().index < have && !planted!("snapshot-older-than-the-data") {
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
        reach(CrashPoint::SnapshotBegun);
        self.ingest_and_end(region, incarnation, (&reader, staged), progress)
    }

    /// From a durable begin to a durable end.
    fn ingest_and_end(
        &self,
        region: RegionId,
        incarnation: Incarnation,
        (reader, staged): (&SnapshotReader, &StagedSnapshot),
        progress: &mut dyn FnMut(SnapshotProgress),
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
        let sequence = match planted!("ingest-at-an-old-sequence") {
            true => Sequence::new(1),
            false => guard.sequence(),
        };
        match effects::ingest_verified(&*self.data, reader, staged, &row, sequence, progress) {
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
        reach(CrashPoint::SnapshotIngested);
        let barrier = match planted!("snapshot-ends-before-its-rows-are-durable") {
            true => self.with_decided(Register::barrier),
            false => self.barrier()?,
        };
        let floor = Floor {
            index: data.index,
            barrier,
        };
        reach(CrashPoint::SnapshotDurable);
        let event = Event::EndSnapshot {
            region,
            incarnation,
            floor,
        };
        let answer = self.commit(&event, Cause::Host)?;
        count(&self.counting.snapshots_applied);
        reach(CrashPoint::SnapshotEnded);
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
