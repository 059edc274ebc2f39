//! Appending: finding a place for records, sealing full groups, switching to the next segment.
//!
//! A record gets its LSN only when its place exists in a segment that is allocated and zeroed.
//! Preparing the next segment takes long and happens outside the journal's mutex.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use parking_lot::MutexGuard;

use crate::error::AppendError;
use crate::format::{self, PAGE_BYTES};
use crate::group::GroupFlags;
use crate::lsn::Lsn;
use crate::record::{self, NewRecord};
use crate::writer::Inner;
use crate::writer::state::State;

/// Bytes of sealed groups that wait in memory before they are written although nobody asked.
const WAITING_BYTES_MAX: u64 = 1024 * 1024;
/// The same before an append waits for them.
const WAITING_BYTES_LIMIT: u64 = 32 * 1024 * 1024;

/// More waits in memory than should.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ahead {
    waiting_bytes: u64,
    /// The last record of what waits.
    stored: Lsn,
}

/// Where records can go now.
enum Place {
    /// Into the open group.
    OpenGroup,
    /// Into a new group of the active segment.
    NextGroup,
    /// Into the next segment.
    NextSegment,
}

impl Inner {
    /// See [`Journal::append_all`](super::Journal::append_all). Gives how far records are ahead of the
    /// device too, if that is so far that the caller has to push back.
    pub(super) fn append_group(
        &self,
        records: &[NewRecord<'_>],
    ) -> Result<(Lsn, Option<Ahead>), AppendError> {
        if records.is_empty() {
            return Ok((self.appended(), None));
        }
        let needed_bytes = self.checked_bytes(records)?;
        let mut state = self.state.lock();
        if let Err(error) = self.find_place(&mut state, records.len() as u64, needed_bytes) {
            drop(state);
            if matches!(error, AppendError::Poisoned(_)) {
                self.tell_reached();
            }
            return Err(error);
        }
        for record in records {
            let lsn = state.appended.next().expect("there is a place for it");
            record::push(&mut state.open.records, lsn, record);
            state.appended = lsn;
            state.open.count += 1;
            state.stats.appended_records += 1;
            state.stats.appended_payload_bytes += record.payload.len() as u64;
        }
        let appended = state.appended;
        self.appended.store(appended.get(), Ordering::Release);
        let ahead = ahead(&state);
        drop(state);
        self.wake_from_doze();
        Ok((appended, ahead))
    }

    /// Makes room in the open group, in a new group or in the next segment.
    fn find_place(
        &self,
        state: &mut MutexGuard<'_, State>,
        count: u64,
        needed_bytes: u64,
    ) -> Result<(), AppendError> {
        loop {
            check_open(state)?;
            // One LSN stays in reserve: every group names the LSN after its last record.
            let last = state.appended.checked_add(count);
            if last.and_then(Lsn::next).is_none() {
                return Err(AppendError::Exhausted);
            }
            match place(state, needed_bytes, self.options.get_group_bytes_max()) {
                Place::OpenGroup => return Ok(()),
                Place::NextGroup => {
                    state
                        .seal(GroupFlags::NONE)
                        .map_err(AppendError::Poisoned)?;
                    if wants_spare(state, self.options.get_segments_ahead()) {
                        self.preparer.nudge();
                    }
                }
                Place::NextSegment => match state.spares.pop_front() {
                    Some(spare) => {
                        if !state.active.sealed {
                            state
                                .seal(GroupFlags::SEAL)
                                .map_err(AppendError::Poisoned)?;
                        }
                        state.switch(spare, self.workshop.disk.wall_clock_micros());
                    }
                    None => MutexGuard::unlocked(state, || {
                        self.prepare_spare(|state| state.spares.is_empty())
                    })?,
                },
            }
        }
    }

    /// As [`Inner::append_group`], for a caller that pushes back later.
    pub(super) fn append_ahead(&self, record: &NewRecord<'_>) -> Result<Lsn, AppendError> {
        let (lsn, ahead) = self.append_group(std::slice::from_ref(record))?;
        if ahead.is_some() {
            self.is_ahead.store(true, Ordering::Relaxed);
        }
        Ok(lsn)
    }

    /// Pushes back for those who appended without that.
    pub(super) fn relieve(&self) {
        if self.is_ahead.load(Ordering::Relaxed) && self.is_ahead.swap(false, Ordering::Relaxed) {
            let ahead = ahead(&self.state.lock());
            if let Some(ahead) = ahead {
                self.push_back(ahead);
            }
        }
    }

    /// Records come faster than they are written: has them written, and waits for it if they are far
    /// ahead or nobody else does it.
    pub(super) fn push_back(&self, ahead: Ahead) {
        let Ahead {
            waiting_bytes,
            stored,
        } = ahead;
        self.nudge_flusher();
        if waiting_bytes > WAITING_BYTES_LIMIT || !self.has_flusher() {
            // The records are appended; a failure is told to whoever waits for them.
            let _ = self.commit(stored);
        }
    }

    /// Whether so much waits in memory that it should be written although nobody asked.
    pub(super) fn has_much_waiting(&self) -> bool {
        self.state.lock().waiting_bytes > WAITING_BYTES_MAX
    }

    /// Whether a segment should be prepared ahead of need.
    pub(super) fn wants_spare(&self) -> bool {
        let state = self.state.lock();
        check_open(&state).is_ok() && wants_spare(&state, self.options.get_segments_ahead())
    }

    /// What the records take in a group, if one group can take them.
    fn checked_bytes(&self, records: &[NewRecord<'_>]) -> Result<u64, AppendError> {
        let record_bytes = records
            .iter()
            .map(|record| format::record_bytes(record.payload.len() as u64))
            .fold(0, u64::saturating_add);
        let max_bytes = self.options.record_bytes_max();
        if record_bytes > max_bytes {
            return Err(AppendError::TooLarge {
                record_bytes,
                max_bytes,
            });
        }
        Ok(record_bytes)
    }

    /// Prepares the segment after the last one that there is, if one is `wanted` still.
    pub(super) fn prepare_spare(&self, wanted: impl Fn(&State) -> bool) -> Result<(), AppendError> {
        let _housekeeping = self.housekeeping.lock();
        let (last, recycled) = {
            let mut state = self.state.lock();
            check_open(&state)?;
            if !wanted(&state) {
                return Ok(());
            }
            let spare = state.spares.back().map(|spare| spare.segment.id());
            let last = spare.unwrap_or(state.active.segment.id());
            (last, state.recycled.pop())
        };
        let id = last.next().ok_or(AppendError::Exhausted)?;
        let file_bytes = self.options.get_segment_bytes();
        let is_recycled = recycled.is_some();
        let spare = self.workshop.prepare(id, file_bytes, recycled);
        let spare = spare.map_err(|error| {
            if is_full(&error.source) {
                AppendError::Full {
                    needed_bytes: file_bytes,
                    source: error.source,
                }
            } else {
                AppendError::Prepare {
                    path: error.path,
                    source: error.source,
                }
            }
        })?;
        let mut state = self.state.lock();
        state.stats.recycled_segments += u64::from(is_recycled);
        state.spares.push_back(spare);
        Ok(())
    }
}

/// How far records are ahead of the device, if that is far.
fn ahead(state: &State) -> Option<Ahead> {
    let (waiting_bytes, stored) = (state.waiting_bytes, state.stored.lsn);
    (waiting_bytes > WAITING_BYTES_MAX).then_some(Ahead {
        waiting_bytes,
        stored,
    })
}

/// Whether the operating system said that there is no room.
pub(super) fn is_full(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge
    )
}

fn check_open(state: &State) -> Result<(), AppendError> {
    if let Some(poison) = &state.poison {
        return Err(AppendError::Poisoned(Arc::clone(poison)));
    }
    if state.closed {
        return Err(AppendError::Closed);
    }
    Ok(())
}

/// Whether fewer segments wait than should, and the active one is a quarter full: short histories
/// need only one segment.
pub(super) fn wants_spare(state: &State, ahead: u32) -> bool {
    state.spares.len() < ahead as usize
        && state.stored.offset_bytes >= state.active.segment.file_bytes() / 4
}

/// Where records of `needed_bytes` can go.
fn place(state: &State, needed_bytes: u64, group_bytes_max: u64) -> Place {
    if state.active.sealed {
        return Place::NextSegment;
    }
    let open_bytes = state.open.records.len() as u64;
    // One page stays free for the group that seals the segment.
    let limit_bytes = state.active.segment.file_bytes() - PAGE_BYTES;
    let room_bytes = limit_bytes.saturating_sub(state.stored.offset_bytes);
    let group_bytes = |record_bytes| format::group_pages(record_bytes).map(|p| p * PAGE_BYTES);

    let joined = group_bytes(open_bytes.saturating_add(needed_bytes));
    if open_bytes == 0 {
        return match joined {
            Some(bytes) if bytes <= room_bytes => Place::OpenGroup,
            _ => Place::NextSegment,
        };
    }
    if joined.is_some_and(|bytes| bytes <= room_bytes && bytes <= group_bytes_max) {
        return Place::OpenGroup;
    }
    // Does it fit behind the open group?
    let both = group_bytes(open_bytes)
        .zip(group_bytes(needed_bytes))
        .map(|(open, next)| open + next);
    match both {
        Some(bytes) if bytes <= room_bytes => Place::NextGroup,
        _ => Place::NextSegment,
    }
}
