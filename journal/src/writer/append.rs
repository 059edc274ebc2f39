//! Appending: finding a place for records, sealing full groups, switching to the next segment.
//!
//! A record gets its LSN only when its place exists in a segment that is allocated and zeroed.
//! Preparing the next segment takes long and happens outside the journal's mutex.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::error::AppendError;
use crate::format::{self, PAGE_BYTES};
use crate::group::GroupFlags;
use crate::lsn::Lsn;
use crate::record::{self, NewRecord};
use crate::writer::Journal;
use crate::writer::segment::Spare;
use crate::writer::state::State;

/// Where records can go now.
enum Place {
    /// Into the open group.
    OpenGroup,
    /// Into a new group of the active segment.
    NextGroup,
    /// Into the next segment.
    NextSegment,
}

impl Journal {
    /// See [`Journal::append_all`].
    pub(super) fn append_group(&self, records: &[NewRecord<'_>]) -> Result<Lsn, AppendError> {
        if records.is_empty() {
            return Ok(self.appended());
        }
        let needed_bytes = self.checked_bytes(records)?;
        let mut state = self.state.lock();
        loop {
            check_open(&state)?;
            // One LSN stays in reserve: every group names the LSN after its last record.
            let last = state.appended.checked_add(records.len() as u64);
            if last.and_then(Lsn::next).is_none() {
                return Err(AppendError::Exhausted);
            }
            match place(&state, needed_bytes, self.options.get_group_bytes_max()) {
                Place::OpenGroup => break,
                Place::NextGroup => state
                    .seal(GroupFlags::NONE)
                    .map_err(AppendError::Poisoned)?,
                Place::NextSegment => match state.spare.take() {
                    Some(spare) => {
                        if !state.active.sealed {
                            state
                                .seal(GroupFlags::SEAL)
                                .map_err(AppendError::Poisoned)?;
                        }
                        state.switch(spare, self.disk.wall_clock_micros());
                    }
                    None => {
                        drop(state);
                        self.prepare_spare()?;
                        state = self.state.lock();
                    }
                },
            }
        }
        for record in records {
            let lsn = state.appended.next().expect("checked above");
            record::push(&mut state.open.records, lsn, record);
            state.appended = lsn;
            state.open.count += 1;
            state.stats.appended_records += 1;
            state.stats.appended_payload_bytes += record.payload.len() as u64;
        }
        self.appended.store(state.appended.get(), Ordering::Release);
        Ok(state.appended)
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

    /// Prepares the next segment, unless another thread did so meanwhile.
    fn prepare_spare(&self) -> Result<(), AppendError> {
        let _housekeeping = self.housekeeping.lock();
        let active = {
            let state = self.state.lock();
            check_open(&state)?;
            if state.spare.is_some() {
                return Ok(());
            }
            state.active.segment.id()
        };
        let id = active.next().ok_or(AppendError::Exhausted)?;
        let file_bytes = self.options.get_segment_bytes();
        let spare = Spare::prepare(&*self.disk, &self.dir, self.store, id, file_bytes);
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
        self.state.lock().spare = Some(spare);
        Ok(())
    }
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
