//! Writes of region data: one Raft entry, its rows and the region's applied index.
//!
//! They come and go together although the store takes them one by one: readers look at them only once
//! all are in, and after an unclean end what no barrier covered goes, whatever is left of it.

use torrens_journal::planted;

use super::core::Core;
use super::counting::count;
use super::trust::StoreFacts;
use super::{EngineError, ReadError, WriteAnswer};
use crate::crash_points::{CrashPoint, reach};
use crate::lifecycle::{Admitted, Cause, Event, EvictReason, INITIAL_POSITION, Refusal, Register};
use crate::observe::EntryHead;
use crate::store::{BatchError, DataStore, RegionRow, WriteBatch};
use crate::{Incarnation, RaftPosition, RegionEpoch, RegionId, Sequence, SequenceGuard};

/// Who may write now: [`Register::admit_write`], or whoever sets the region back.
pub(super) type Admit = fn(&Register, RegionId, RegionEpoch) -> Result<Admitted, Refusal>;

/// How many sequence numbers are leased at once: one journal record for a million batches.
pub(super) const LEASE_SEQUENCES: u64 = 1 << 20;

impl Core {
    pub(super) fn write(
        &self,
        region: RegionId,
        epoch: RegionEpoch,
        position: RaftPosition,
        batch: &WriteBatch,
        admit: Admit,
    ) -> Result<WriteAnswer, EngineError> {
        self.check_open()?;
        self.barriers.check()?;
        // Held to the end: no transition of this region comes between the check and the batch.
        let _latch = self.latches.hold(region);
        let admitted = self.with_decided(|register| {
            let normal = admit(register, region, epoch)?;
            let range = normal.region.range.clone();
            let version = normal.region.epoch.version;
            let meta_lsn = register.last_transition(region);
            Ok((normal.incarnation, range, version, meta_lsn))
        });
        let (incarnation, range, version, meta_lsn) = match admitted {
            Ok(admitted) => admitted,
            Err(refusal) => return self.refuse_write(refusal),
        };
        let data_index = self.data_position(region, incarnation).index;
        if position.index <= data_index && !planted!("write-taken-twice") {
            count(&self.counting.writes_already_applied);
            return Ok(WriteAnswer::AlreadyApplied { data_index });
        }
        match batch.check(&range, &self.families) {
            Ok(()) => {}
            Err(BatchError::KeyOutside { key, .. }) => {
                return self.refuse_write(Refusal::KeyOutOfRange { region, key });
            }
            Err(error) => return Err(EngineError::Batch(error)),
        }
        let batch = self.without_untold_acks(batch);
        let batch = &*batch;
        // Not before the region's last record is durable: data never assumes metadata that a crash
        // could take away.
        let meta_lsn = meta_lsn.unwrap_or_default();
        if !planted!("data-ahead-of-its-metadata") {
            self.wait_durable(meta_lsn)?;
        }
        let _no_barrier = self.barriers.hold_off();
        let guard = self.begin_sequence()?;
        let sequence = guard.sequence();
        let row = RegionRow {
            incarnation,
            data_index: position.index,
            data_term: position.term,
            meta_lsn,
        };
        // The last thing that is done before the store takes the batch: nothing may refuse it any more.
        if self.observing.registry.captures.wants(&range) || self.history.wants(&range) {
            let head = EntryHead {
                region,
                incarnation,
                version,
                position,
                previous: data_index,
                wall_clock_micros: self.disk.wall_clock_micros(),
            };
            self.history.append_entry(&head, batch);
        }
        reach(CrashPoint::WriteKept);
        // Change by change: nobody reads at the new sequence number before the row is noted below, and
        // no barrier comes in between; whatever a crash leaves of it lies above the last barrier and goes.
        self.data
            .apply_each(&batch.to_store_batch(region, &row, sequence))
            .map_err(|error| self.barriers.fail(error))?;
        reach(CrashPoint::WriteStored);
        self.carried.note(batch, sequence);
        if !batch.range_deletes().is_empty() {
            // Before anybody reads at the new sequence: memory holds what the store now hides.
            if !planted!("range-deletion-leaves-memory") {
                self.stop_caching(region, EvictReason::DeleteRange);
            }
        } else {
            self.mirror(region, incarnation, batch, sequence);
        }
        // Before the write counts as complete: see `collect`.
        self.rows
            .note_written(region, incarnation, position, sequence);
        guard.finish();
        self.collection.note_written(batch.len());
        count(&self.counting.writes_applied);
        Ok(WriteAnswer::Applied { sequence })
    }

    /// A refusal may rest on a record that is not durable yet; it is given when that is.
    fn refuse_write(&self, refusal: Refusal) -> Result<WriteAnswer, EngineError> {
        self.wait_durable(self.with_decided(|register| register.last_lsn()))?;
        count(&self.counting.writes_refused);
        Ok(WriteAnswer::Refused(refusal))
    }

    /// Reads every serving region's row, once, when the store is opened.
    pub(super) fn find_rows(&self) -> Result<(), EngineError> {
        let known = self.with_decided(Register::barrier);
        let facts = StoreFacts::read(&*self.data, known)?;
        self.barriers.know(facts.covered(), facts.floors().clone());
        self.with_decided(|register| {
            for (region, incarnation, normal) in register.normal_peers() {
                let row = facts.row(region, incarnation);
                let have = row.map_or(INITIAL_POSITION.index, |row| row.data_index);
                if have < normal.meta_index.index {
                    self.rows
                        .note_behind(region, incarnation, normal.meta_index.index);
                }
                if let Some(row) = row {
                    let data = RaftPosition {
                        index: row.data_index,
                        term: row.data_term,
                    };
                    // What no barrier of ours recorded, the next one has to: a store that was closed in
                    // order is taken as it is.
                    let has_floor = self.barriers.has_floor(region, incarnation, data.index);
                    if data.index > normal.floor.index || !has_floor {
                        self.rows
                            .note_written(region, incarnation, data, self.opened_at);
                    } else {
                        self.rows
                            .note_clean(region, incarnation, data, self.opened_at);
                    }
                }
            }
        });
        Ok(())
    }

    /// Last entry whose data the store holds, for a live peer with a range.
    pub(super) fn data_position(&self, region: RegionId, incarnation: Incarnation) -> RaftPosition {
        self.rows
            .get(region, incarnation)
            .map_or(INITIAL_POSITION, |row| row.data)
    }

    /// The sequence of a view: the newest, or the one asked for if it can be read.
    pub(super) fn choose_sequence(
        &self,
        region: RegionId,
        incarnation: Incarnation,
        at: Option<Sequence>,
        collected: Sequence,
    ) -> Result<Sequence, ReadError> {
        let newest = self.read_sequence(region, incarnation);
        let Some(sequence) = at else {
            return Ok(newest);
        };
        let row = self.rows.get(region, incarnation);
        // An ingest left nothing of what was there before; a region that nobody wrote to since
        // opening reads the same at every sequence from then on.
        let oldest = collected
            .min(newest)
            .max(row.map_or(self.opened_at, |row| row.oldest));
        if sequence < oldest {
            return Err(ReadError::SequenceCollected {
                region,
                sequence,
                oldest,
            });
        }
        // Up to what is visible everywhere it cannot change any more.
        let newest = newest.max(self.sequencer.visible());
        if sequence > newest {
            return Err(ReadError::SequenceAhead {
                region,
                sequence,
                newest,
            });
        }
        Ok(sequence)
    }

    /// The sequence number that a read of the region uses now: everything that was acknowledged for
    /// it is at or below, and nothing of it is still being written at or below.
    pub(super) fn read_sequence(&self, region: RegionId, incarnation: Incarnation) -> Sequence {
        self.rows
            .get(region, incarnation)
            .map_or(self.opened_at, |row| row.sequence)
    }

    /// Takes the next sequence number, leasing another block if the last one is used up.
    pub(super) fn begin_sequence(&self) -> Result<SequenceGuard, EngineError> {
        loop {
            let ceiling = match self.sequencer.begin() {
                // Closing waits for what has begun; what begins later finds it closed.
                Ok(guard) => return self.check_open().map(|()| guard),
                Err(needed) => needed.ceiling,
            };
            let up_to = Sequence::new(ceiling.get().saturating_add(LEASE_SEQUENCES));
            if up_to == ceiling {
                return Err(EngineError::SequencesExhausted);
            }
            // Durable before the first of them is used, whoever journaled it.
            if !planted!("sequences-not-leased") {
                let _leased = self.commit(&Event::SequenceLease { up_to }, Cause::Host)?;
            }
            reach(CrashPoint::SequencesLeased);
            self.sequencer.raise_ceiling(up_to);
        }
    }
}
