//! Acknowledgements that came with the consumer's own writes into this store.
//!
//! ```text
//!  write ──batch──► rows and acknowledgement ──barrier──► durable ──► journaled ──► row removed
//! ```
//!
//! The row in the data store is what a crash leaves of one: it is there exactly if the write is. Not before
//! the write is durable does the register hear of it, so that an acknowledgement never outlives its
//! effect; and what the register lacks after a crash is found in the store when it is opened.
//!
//! Not here: the row (`store::acks`), an acknowledgement by itself (`ack`).

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use torrens_journal::planted;

use crate::engine::core::Core;
use crate::engine::{Answer, EngineError};
use crate::lifecycle::{Acknowledged, Cause, Event, ObserverEvent, Observers, Reset};
use crate::observe::ObserverId;
use crate::store::{AckRow, DataStore, StoreBatch, WriteBatch, read_acks};
use crate::{RegionId, Sequence};

/// Rows removed in one batch.
const REMOVED_AT_ONCE: usize = 1024;

/// Acknowledgements whose write is in the store and not durable yet.
#[derive(Debug, Default)]
pub(in crate::engine) struct Carried {
    waiting: Mutex<Vec<AckRow>>,
    /// Whether there was any since the store was opened.
    was_used: AtomicBool,
}

impl Carried {
    /// Of a write that is in the store, before a barrier can cover it.
    pub(in crate::engine) fn note(&self, batch: &WriteBatch, sequence: Sequence) {
        if batch.acks().is_empty() {
            return;
        }
        self.was_used.store(true, Ordering::Release);
        self.waiting.lock().extend(batch.ack_rows(sequence));
    }

    fn take(&self, covered: Sequence) -> Vec<AckRow> {
        let mut waiting = self.waiting.lock();
        let all = std::mem::take(&mut *waiting);
        let is_covered =
            |row: &AckRow| row.sequence <= covered || planted!("acknowledged-before-its-effect");
        let (taken, left) = all.into_iter().partition(is_covered);
        *waiting = left;
        taken
    }

    fn has(&self, observer: ObserverId) -> bool {
        self.waiting
            .lock()
            .iter()
            .any(|row| row.observer == observer)
    }
}

impl Core {
    /// The batch without the acknowledgements that name what the consumer was not told: they would be refused
    /// by themselves, and an entry that is committed is not refused for them. Where nothing is known of what
    /// was told, since the host sends an entry again after an opening, only those go that would end a reset by
    /// naming the place at which it begins: then it is told once more.
    pub(in crate::engine) fn without_untold_acks<'a>(
        &self,
        batch: &'a WriteBatch,
    ) -> Cow<'a, WriteBatch> {
        if batch.acks().is_empty() {
            return Cow::Borrowed(batch);
        }
        // A copy, as for acknowledgements by themselves.
        let register = self.published().clone();
        let is_told = |observer: ObserverId, region: RegionId, index: u64| {
            let Some(attachment) = register.observers().attachment(observer, region) else {
                return true;
            };
            let shared = self.feeds.get(observer);
            let handed = shared.as_ref().and_then(|shared| {
                let delivered = shared.delivered.lock();
                let (generation, index) = delivered.get(&region).copied()?;
                (generation == attachment.generation).then_some(index)
            });
            match (handed, attachment.reset) {
                (Some(handed), _) => index <= handed.max(attachment.acked),
                (None, Reset::None) => true,
                (None, _) => shared.is_none() && index > attachment.acked,
            }
        };
        batch.with_acks(|(observer, region, index)| is_told(*observer, *region, *index))
    }

    /// Journals what came with writes that are durable now.
    pub(in crate::engine) fn settle_carried(&self, covered: Sequence) -> Result<(), EngineError> {
        if !self.carried.was_used.load(Ordering::Acquire) {
            return Ok(());
        }
        let taken = self.carried.take(covered);
        match self.journal_carried(&taken) {
            Ok(()) => Ok(()),
            Err(error) => {
                self.carried.waiting.lock().extend(taken);
                Err(error)
            }
        }
    }

    /// Journals what the process before left in the store: what no barrier covered is not there any more.
    pub(in crate::engine) fn find_carried(&self) -> Result<(), EngineError> {
        let found = read_acks(&*self.data)?;
        if found.is_empty() {
            return Ok(());
        }
        self.carried.was_used.store(true, Ordering::Release);
        self.journal_carried(&found)
    }

    /// What an observer's consumer wrote before stands before anything is told to it again.
    pub(in crate::engine) fn stand_by_carried(
        &self,
        observer: ObserverId,
    ) -> Result<(), EngineError> {
        match self.carried.has(observer) {
            true => self.barrier().map(drop),
            false => Ok(()),
        }
    }

    /// Nothing that came before pushes a consumer on that chooses another place, not after a crash either:
    /// the first barrier journals it and removes it, the second makes that durable.
    pub(in crate::engine) fn forget_carried(&self) -> Result<(), EngineError> {
        if self.carried.was_used.load(Ordering::Acquire) {
            self.barrier()?;
            self.barrier()?;
        }
        Ok(())
    }

    fn journal_carried(&self, rows: &[AckRow]) -> Result<(), EngineError> {
        if rows.is_empty() {
            return Ok(());
        }
        let mut highest: BTreeMap<ObserverId, BTreeMap<RegionId, u64>> = BTreeMap::new();
        for row in rows {
            let of_one = highest.entry(row.observer).or_default();
            let index = of_one.entry(row.region).or_default();
            *index = row.index.max(*index);
        }
        for (observer, positions) in highest {
            let positions: Vec<(RegionId, u64)> = positions.into_iter().collect();
            for some in positions.chunks(Observers::PER_RECORD_MAX) {
                self.acknowledge_carried(observer, some)?;
            }
        }
        // The rows go only when the journal has all that they say.
        self.wait_durable(self.with_decided(|register| register.last_lsn()))?;
        for some in rows.chunks(REMOVED_AT_ONCE) {
            let mut batch = StoreBatch::new();
            some.iter().for_each(|row| batch.delete_ack(row));
            self.data
                .apply(&batch)
                .map_err(|error| self.barriers.fail(error))?;
        }
        Ok(())
    }

    fn acknowledge_carried(
        &self,
        observer: ObserverId,
        positions: &[(RegionId, u64)],
    ) -> Result<(), EngineError> {
        loop {
            let positions: Vec<Acknowledged> = self.with_decided(|register| {
                let observers = register.observers();
                let current = positions
                    .iter()
                    .filter_map(|(region, index)| observers.carried(observer, *region, *index));
                current.collect()
            });
            if positions.is_empty() {
                return Ok(());
            }
            let event = Event::Observer(ObserverEvent::Acknowledge {
                observer,
                positions,
            });
            match self.commit(&event, Cause::Host)? {
                // An attachment moved on in between: looked at again.
                Answer::Refused(_) => {}
                Answer::Accepted { .. } | Answer::AlreadyApplied | Answer::Wait(_) => {
                    return Ok(());
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A write that came while the barrier was under way is not covered by it.
    #[test]
    fn only_what_a_barrier_covered_is_acknowledged_with_it() {
        let row = |sequence| AckRow {
            observer: ObserverId(1),
            region: RegionId(1),
            sequence: Sequence::new(sequence),
            index: sequence,
        };
        let carried = Carried::default();
        carried.waiting.lock().extend([row(4), row(5), row(6)]);
        assert_eq!(carried.take(Sequence::new(5)), [row(4), row(5)]);
        assert_eq!(carried.take(Sequence::new(5)), []);
        assert_eq!(carried.take(Sequence::new(9)), [row(6)]);
    }
}
