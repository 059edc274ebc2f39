//! What follows from a durable record and touches the data store: clearing a range, ingesting a
//! staged snapshot. Both are idempotent; whoever calls them repeats them until the journal says that
//! they ended. They need the data store and nothing else of the engine, so opening uses them too.

use super::EngineError;
use crate::crash_points::{CrashPoint, reach};
use crate::snapshot::{SnapshotError, SnapshotReader, StagedSnapshot};
use crate::store::{DataStore, RegionRow, StoreBatch, clear_range};
use crate::{KeyRange, Sequence};

/// Bytes of raw rows per batch of an ingest. They go in one by one: what a crash leaves of an ingest that
/// has not ended is cleared before it is done again.
const INGEST_BATCH_BYTES: usize = 16 * 1024;
/// Bytes of raw rows between two reports of progress.
const PROGRESS_BYTES: usize = 256 * 1024;

/// Deletes every version of every key in `range`.
pub(super) fn clear(data: &dyn DataStore, range: &KeyRange) -> Result<(), EngineError> {
    clear_range(data, range)
        .map(drop)
        .map_err(EngineError::Data)
}

/// How far a snapshot apply is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SnapshotProgress {
    /// What is being done.
    pub step: SnapshotStep,
    /// Rows that are in the data store.
    pub rows_done: u64,
    /// Rows of the snapshot.
    pub rows: u64,
}

/// The steps of a snapshot apply, in their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum SnapshotStep {
    /// The range's old keys are being removed.
    Clear,
    /// The rows are being written.
    Ingest,
    /// They are being made durable.
    Flush,
}

/// Replaces the data of the snapshot's range by the rows of the staged file, all at one sequence
/// number, and then writes the region's row. Not durable before the next flush.
///
/// # Errors
/// [`EngineError::Snapshot`] if the file is missing or not what it claims to be: nothing was cleared
/// then, and the caller ends the operation backwards.
pub(super) fn ingest(
    data: &dyn DataStore,
    reader: &SnapshotReader,
    staged: &StagedSnapshot,
    row: &RegionRow,
    sequence: Sequence,
) -> Result<(), EngineError> {
    // All of the file is read, checked and compared before the first key goes.
    if reader.verify()? != *staged {
        return Err(EngineError::Snapshot(SnapshotError::Missing {
            name: staged.name,
        }));
    }
    ingest_verified(data, reader, staged, row, sequence, &mut |_| {})
}

/// As [`ingest`], of a file that was verified under the latch that is still held.
pub(super) fn ingest_verified(
    data: &dyn DataStore,
    reader: &SnapshotReader,
    staged: &StagedSnapshot,
    row: &RegionRow,
    sequence: Sequence,
    progress: &mut dyn FnMut(SnapshotProgress),
) -> Result<(), EngineError> {
    let region = &reader.meta().region;
    let mut tell = |step, rows_done| {
        let rows = staged.rows;
        progress(SnapshotProgress {
            step,
            rows_done,
            rows,
        });
    };
    tell(SnapshotStep::Clear, 0);
    clear(data, &region.range)?;
    reach(CrashPoint::SnapshotCleared);
    tell(SnapshotStep::Ingest, 0);
    let (mut done, mut told_bytes) = (0, 0);
    let mut batch = StoreBatch::new();
    for version in reader.rows()? {
        let version = version?;
        batch.put_version(version.cf, &version.key, sequence, Some(&version.value));
        done += 1;
        if batch.bytes() >= INGEST_BATCH_BYTES {
            told_bytes += batch.bytes();
            data.apply_each(&std::mem::take(&mut batch))?;
            if told_bytes >= PROGRESS_BYTES {
                tell(SnapshotStep::Ingest, done);
                told_bytes = 0;
            }
        }
    }
    reach(CrashPoint::SnapshotFilled);
    // The row goes last: as long as it is missing, the region's data counts as missing.
    batch.put_region_row(region.id, row);
    data.apply_each(&batch)?;
    tell(SnapshotStep::Flush, done);
    Ok(())
}
