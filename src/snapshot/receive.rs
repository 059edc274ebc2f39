//! Taking a snapshot from a foreign stream.
//!
//! The stream is decoded while it is copied, so it is cut off at the first byte that is wrong, and
//! a file under a final name has been checked from end to end.

use std::io::{self, BufReader, Read};
use std::path::Path;
use std::sync::Arc;

use torrens_journal::disk::Disk;

use super::decode::{SnapshotDecoder, Stop};
use super::writer::StagingFile;
use super::{SnapshotError, SnapshotFault, SnapshotMeta, SnapshotName, StagedSnapshot};
use crate::ColumnFamilies;

/// Copies a snapshot of at most `bytes_max` bytes from `source` into `dir`, which must exist,
/// checking all of it on the way. The stream ends where the snapshot does. The header must be that of `name`. Nothing of `source` decides
/// about a path. Where it fails, what was written is removed.
///
/// # Errors
/// `Fault` with the first thing that is wrong with the stream, `Source` if the stream itself fails,
/// `Exists` if that snapshot is staged already, else `Io`.
///
/// # Durability
/// On `Ok` the file and its name are durable.
pub fn receive(
    disk: Arc<dyn Disk>,
    dir: &Path,
    name: SnapshotName,
    source: impl Read,
    bytes_max: u64,
) -> Result<(SnapshotMeta, StagedSnapshot), SnapshotError> {
    receive_only(disk, dir, name, source, bytes_max, None)
}

/// As [`receive`], refusing rows of any other family than `families`, if some are given.
///
/// # Errors
/// As [`receive`].
pub fn receive_only(
    disk: Arc<dyn Disk>,
    dir: &Path,
    name: SnapshotName,
    source: impl Read,
    bytes_max: u64,
    families: Option<&ColumnFamilies>,
) -> Result<(SnapshotMeta, StagedSnapshot), SnapshotError> {
    let file = StagingFile::create(disk, dir, name)?;
    let mut tee = Tee {
        source: BufReader::new(source),
        file,
        left: bytes_max,
        stopped: None,
    };
    let outcome = walk(&mut tee, name, families.cloned());
    match (tee.stopped.take(), outcome) {
        // The tee's own reason is the real one; the decoder saw only an error without words.
        (Some(Stopped::Write(error)), _) => Err(error),
        (Some(Stopped::TooLong), _) => {
            let (what, declared) = ("the stream", bytes_max.saturating_add(1));
            let source = SnapshotFault::TooLong {
                what,
                offset: 0,
                declared,
                max: bytes_max,
            };
            Err(SnapshotError::Fault { name, source })
        }
        (None, Err(Stop::Fault(source))) => Err(SnapshotError::Fault { name, source }),
        (None, Err(Stop::Io(source))) => Err(SnapshotError::Source { name, source }),
        (None, Ok(received)) => {
            tee.file.publish()?;
            Ok(received)
        }
    }
}

fn walk<R: Read>(
    tee: &mut Tee<R>,
    name: SnapshotName,
    families: Option<ColumnFamilies>,
) -> Result<(SnapshotMeta, StagedSnapshot), Stop> {
    let mut decoder = SnapshotDecoder::new(tee)?.only(families);
    decoder.meta().check_name(name)?;
    let totals = decoder.finish()?;
    let staged = StagedSnapshot {
        name,
        checksum: totals.checksum,
        bytes: totals.bytes,
        rows: totals.rows,
    };
    Ok((decoder.meta().clone(), staged))
}

enum Stopped {
    Write(SnapshotError),
    TooLong,
}

/// Gives bytes of `source` on and writes them to `file`.
struct Tee<R> {
    source: R,
    file: StagingFile,
    left: u64,
    stopped: Option<Stopped>,
}

impl<R: Read> Read for Tee<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.source.read(buffer)?;
        let bytes = buffer.get(..read).ok_or_else(|| {
            io::Error::new(
                io::ErrorKind::InvalidData,
                "the stream claims more than it was asked",
            )
        })?;
        self.left = match self.left.checked_sub(read as u64) {
            Some(left) => left,
            None => return Err(self.stop(Stopped::TooLong)),
        };
        match self.file.write(bytes) {
            Ok(()) => Ok(read),
            Err(error) => Err(self.stop(Stopped::Write(error))),
        }
    }
}

impl<R> Tee<R> {
    fn stop(&mut self, why: Stopped) -> io::Error {
        self.stopped = Some(why);
        io::Error::other("stopped")
    }
}
