//! Reading the history from a record on: out of memory while the reader keeps up, out of the files when
//! it does not.
//!
//! Not here: whose records they are, and what they say (`feed`).

use std::time::Duration;

use torrens_journal::{FollowError, Followed, Follower, Lsn, PositionError};

use super::log::{History, HistoryError};

/// Records that are taken out of memory at once: writers wait meanwhile.
const CHUNK_RECORDS: usize = 64;

/// A place in the history, from which one reader goes on.
#[derive(Debug)]
pub(crate) struct HistoryReader {
    /// The next record.
    next: Lsn,
    /// Reads files while the reader is behind what is in memory.
    follower: Option<Follower>,
    holder: String,
}

/// One record that a reader met.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Read<'a> {
    pub(crate) lsn: Lsn,
    pub(crate) kind: u16,
    pub(crate) payload: &'a [u8],
    /// A crash could still take it.
    pub(crate) is_early: bool,
}

impl HistoryReader {
    /// A reader that begins with the record at `next`. `holder` names it to operators.
    pub(crate) fn at(next: Lsn, holder: String) -> Self {
        let next = next.max(Lsn::FIRST);
        HistoryReader {
            next,
            follower: None,
            holder,
        }
    }

    /// The next record.
    pub(crate) fn next(&self) -> Lsn {
        self.next
    }

    /// Goes on with the record at `next`, which may lie before or behind.
    pub(crate) fn seek(&mut self, next: Lsn) {
        if next != self.next {
            self.next = next.max(Lsn::FIRST);
            self.follower = None;
        }
    }
}

impl History {
    /// The last record that may be read now; with `early` also what is not durable yet.
    pub(crate) fn readable(&self, early: bool) -> Lsn {
        let journal = self.journal();
        journal.map_or(Lsn::ZERO, |journal| match early {
            true => journal.appended(),
            false => journal.synced(),
        })
    }

    /// Gives some of the next records up to `until` to `take`, at most one group of them, which may end
    /// behind it; how many. None means that there are none now.
    ///
    /// # Errors
    /// [`HistoryError`]; a later call tries the same record again.
    pub(crate) fn read(
        &self,
        reader: &mut HistoryReader,
        until: Lsn,
        take: &mut dyn FnMut(Read<'_>),
    ) -> Result<usize, HistoryError> {
        let (records, journal, synced) = {
            let state = self.lock();
            if let Some(first) = &state.failed {
                let first = first.clone();
                return Err(HistoryError::Failed { first });
            }
            let Some(journal) = &state.journal else {
                return Ok(0);
            };
            let synced = journal.synced();
            if reader.next > until {
                return Ok(0);
            }
            let records = state.tail.read(reader.next, until, CHUNK_RECORDS);
            (records, journal.clone(), synced)
        };
        if let Some(records) = records {
            reader.follower = None;
            for record in &records {
                take(Read {
                    lsn: record.lsn,
                    kind: record.kind,
                    payload: &record.payload,
                    is_early: record.lsn > synced,
                });
                reader.next = record.lsn.next().unwrap_or(record.lsn);
            }
            return Ok(records.len());
        }
        let follower = match &mut reader.follower {
            Some(follower) => follower,
            None => {
                let made = journal.follow(reader.next, &reader.holder);
                reader.follower.insert(made.map_err(position_error)?)
            }
        };
        let next = reader.next;
        let batch = match follower.next_batch(Some(Duration::ZERO)) {
            Ok(Followed::Batch(batch)) => batch,
            Ok(_) => return Ok(0),
            Err(FollowError::Position(error)) => {
                reader.follower = None;
                return Err(position_error(error));
            }
            Err(error) => {
                let first = error.to_string();
                return Err(HistoryError::Failed { first });
            }
        };
        let mut count = 0;
        let last = batch.last_lsn();
        for record in batch.records() {
            let record = record.map_err(|fault| HistoryError::Damaged {
                at: next,
                detail: fault.to_string(),
            })?;
            take(Read {
                lsn: record.lsn,
                kind: record.kind.get(),
                payload: record.payload,
                is_early: false,
            });
            count += 1;
        }
        reader.next = last.next().unwrap_or(last);
        Ok(count)
    }
}

fn position_error(error: PositionError) -> HistoryError {
    match error {
        PositionError::Gone { asked, oldest } => HistoryError::Gone { asked, oldest },
        PositionError::Damaged { expected, .. } => HistoryError::Damaged {
            at: expected,
            detail: error.to_string(),
        },
        other => HistoryError::Failed {
            first: other.to_string(),
        },
    }
}
