//! Purging: removing whole segments that nobody needs any more, oldest first. Their blocks may serve
//! the next segments (`segment`).

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::error::PurgeError;
use crate::ids::SegmentId;
use crate::lsn::Lsn;
use crate::pin::PinInfo;
use crate::writer::Inner;
use crate::writer::segment::{remove_if_there, unfinished};
use crate::writer::state::State;

/// What a purge removed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Purged {
    /// The segments, oldest first.
    pub segments: Vec<SegmentId>,
    /// The first LSN that is still there.
    pub first_lsn: Lsn,
    /// The pin that kept the next segment, if it would have been removed otherwise. Of several, the
    /// one that needs the oldest record.
    pub held_by: Option<PinInfo>,
}

/// What may go, decided under the locks of the pins and of the state.
struct Decision {
    /// Oldest first; each with the first LSN behind it.
    segments: Vec<(SegmentId, Lsn)>,
    held_by: Option<PinInfo>,
}

impl Inner {
    /// See [`Journal::purge_below`](super::Journal::purge_below).
    pub(super) fn purge(&self, lsn: Lsn) -> Result<Purged, PurgeError> {
        let _housekeeping = self.housekeeping.lock();
        let decision = self.decide(lsn)?;
        let mut removed = Vec::new();
        for (segment, behind) in decision.segments {
            let path = self.workshop.dir.join(segment.file_name());
            // The directory is synced after each, so that a power cut cannot bring back an older
            // segment without the newer ones.
            let disk = &*self.workshop.disk;
            let taken = self.take_away(&path);
            let synced = taken.and_then(|aside| Ok((aside, disk.sync_dir(&self.workshop.dir)?)));
            if let Ok((Some(aside), ())) = &synced {
                // Only now: until the old name is gone for good, its contents must stay.
                self.state.lock().recycled.push(aside.clone());
            }
            if let Err(source) = synced {
                // The segments behind this one are all there, and can be pinned again.
                self.pins.lock().set_oldest(behind);
                return Err(PurgeError::Io { path, source });
            }
            let mut state = self.state.lock();
            state.spans.retain(|span| span.segment != segment);
            state.stats.purged_segments += 1;
            removed.push(segment);
        }
        Ok(Purged {
            segments: removed,
            first_lsn: self.state.lock().oldest(),
            held_by: decision.held_by,
        })
    }

    /// Takes the name from a segment. The file is kept under an unfinished name, which is given back,
    /// for the blocks that it has, if they are wanted.
    fn take_away(&self, path: &Path) -> io::Result<Option<PathBuf>> {
        let disk = &*self.workshop.disk;
        let wanted = {
            let state = self.state.lock();
            state.recycled.len() < self.options.get_recycled_segments_max() as usize
        };
        if !wanted {
            return remove_if_there(disk, path).map(|()| None);
        }
        let aside = unfinished(path);
        match disk.rename(path, &aside) {
            Ok(()) => Ok(Some(aside)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Decides what goes. From then on nothing of it can be pinned.
    fn decide(&self, lsn: Lsn) -> Result<Decision, PurgeError> {
        let mut pins = self.pins.lock();
        let mut state = self.state.lock();
        if let Some(poison) = &state.poison {
            return Err(PurgeError::Poisoned(Arc::clone(poison)));
        }
        if state.closed {
            return Err(PurgeError::Closed);
        }
        let first_pin = pins.first().filter(|pin| pin.lsn < lsn);
        let limit = first_pin.as_ref().map_or(lsn, |pin| pin.lsn);
        state.oldest_needed = state.oldest_needed.max(limit);
        let segments = purgeable(&state, limit);
        if let Some((_, kept)) = segments.last() {
            pins.set_oldest(*kept);
        }
        let held_by = first_pin.filter(|_| purgeable(&state, lsn).len() > segments.len());
        Ok(Decision { segments, held_by })
    }
}

/// Segments from the oldest on whose records are all below `lsn` and durable, each with the first
/// LSN behind it.
fn purgeable(state: &State, lsn: Lsn) -> Vec<(SegmentId, Lsn)> {
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
        .map(|(span, next)| (span.segment, next.first_lsn))
        .collect()
}
