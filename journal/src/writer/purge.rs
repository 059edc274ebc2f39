//! Purging: removing whole segments that nobody needs any more, oldest first.

use std::sync::Arc;

use crate::error::PurgeError;
use crate::ids::SegmentId;
use crate::lsn::Lsn;
use crate::writer::Journal;
use crate::writer::segment::remove_if_there;
use crate::writer::state::State;

/// What a purge removed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Purged {
    /// The segments, oldest first.
    pub segments: Vec<SegmentId>,
    /// The first LSN that is still there.
    pub first_lsn: Lsn,
}

impl Journal {
    /// See [`Journal::purge_below`].
    pub(super) fn purge(&self, lsn: Lsn) -> Result<Purged, PurgeError> {
        let _housekeeping = self.housekeeping.lock();
        let purgeable = {
            let mut state = self.state.lock();
            if let Some(poison) = &state.poison {
                return Err(PurgeError::Poisoned(Arc::clone(poison)));
            }
            if state.closed {
                return Err(PurgeError::Closed);
            }
            state.oldest_needed = state.oldest_needed.max(lsn);
            purgeable(&state, lsn)
        };
        let mut removed = Vec::new();
        for segment in purgeable {
            let path = self.dir.join(segment.file_name());
            // The directory is synced after each, so that a power cut cannot bring back an older
            // segment without the newer ones.
            remove_if_there(&*self.disk, &path)
                .and_then(|()| self.disk.sync_dir(&self.dir))
                .map_err(|source| PurgeError::Io { path, source })?;
            let mut state = self.state.lock();
            state.spans.retain(|span| span.segment != segment);
            state.stats.purged_segments += 1;
            removed.push(segment);
        }
        let state = self.state.lock();
        let first_lsn = state
            .spans
            .first()
            .map_or(Lsn::FIRST, |span| span.first_lsn);
        Ok(Purged {
            segments: removed,
            first_lsn,
        })
    }
}

/// Segments from the oldest on whose records are all below `lsn` and durable.
fn purgeable(state: &State, lsn: Lsn) -> Vec<SegmentId> {
    // The active segment is always among the unsynced ones, and the last.
    let Some(first_unsynced) = state.unsynced.first() else {
        return Vec::new();
    };
    let limit = first_unsynced.segment.id();
    state
        .spans
        .iter()
        .zip(state.spans.iter().skip(1))
        .take_while(|(span, next)| span.segment < limit && next.first_lsn <= lsn)
        .map(|(span, _)| span.segment)
        .collect()
}
