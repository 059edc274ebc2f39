//! What lies beside the journal: checkpoint files, the data store, snapshots; and the format.

use std::io;
use std::path::PathBuf;

use torrens_journal::disk::{EntryKind, OpenMode};
use torrens_journal::format::{FORMAT_MAJOR, FORMAT_MINOR};
use torrens_journal::{HeaderFault, Lsn, SegmentId, SegmentReader};
use torrens_recovery::checkpoint::{self, CheckpointError};

use super::{InspectError, Inspector, Picture, io_error};

/// How deep a part of a store may nest; links are never followed.
const DEPTH_MAX: u32 = 4;

/// One checkpoint file.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CheckpointFile {
    /// The position in its name.
    pub lsn: Lsn,
    /// Where it lies.
    pub path: PathBuf,
    /// Its length in bytes.
    pub bytes: u64,
    /// When it was written, in microseconds since the Unix epoch, if its header can be trusted.
    pub written_micros: Option<u64>,
    /// Why it is not valid; none if every checksum holds.
    pub fault: Option<String>,
}

/// The size of one part of a store.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PartSize {
    /// Files in it.
    pub files: u64,
    /// Their lengths together, in bytes; what they really take on the device may be less.
    pub bytes: u64,
}

impl Inspector {
    /// The checkpoint files, newest first, each read and verified.
    ///
    /// # Errors
    /// [`InspectError::Io`] if the operating system refused a read.
    pub fn checkpoints(&self, picture: &Picture) -> Result<Vec<CheckpointFile>, InspectError> {
        let listed = checkpoint::list(&*self.disk, &self.directories.checkpoints);
        let mut files = Vec::new();
        for file in listed.map_err(checkpoint_error)? {
            let examined = checkpoint::examine(&*self.disk, &file.path, picture.report.store);
            let (meta, fault) = match examined {
                Ok(Ok(info)) => (Some(info.meta), None),
                Ok(Err((fault, meta))) => (meta, Some(fault.to_string())),
                // A writer removed it meanwhile.
                Err(CheckpointError::Io { source, .. })
                    if source.kind() == io::ErrorKind::NotFound =>
                {
                    continue;
                }
                Err(error) => return Err(checkpoint_error(error)),
            };
            files.push(CheckpointFile {
                lsn: file.lsn,
                path: file.path,
                bytes: file.bytes,
                written_micros: meta.map(|meta| meta.wall_clock_micros),
                fault,
            });
        }
        Ok(files)
    }

    /// Bytes of a segment as they lie in its file.
    ///
    /// # Errors
    /// [`InspectError::Io`] if the operating system refused the read, or the file ends before.
    pub fn bytes(
        &self,
        segment: SegmentId,
        offset_bytes: u64,
        length_bytes: usize,
    ) -> Result<Vec<u8>, InspectError> {
        let path = self.directories.journal.join(segment.file_name());
        let file = self.disk.open(&path, OpenMode::Read);
        let file = file.map_err(io_error("open", &path))?;
        let mut bytes = vec![0; length_bytes];
        file.read_exact_at(offset_bytes, &mut bytes)
            .map_err(io_error("read", &path))?;
        Ok(bytes)
    }

    /// Major and minor version of the newest segment's format.
    ///
    /// # Errors
    /// [`InspectError::Io`] if the operating system refused a read.
    pub fn format(&self, picture: &Picture) -> Result<(u16, u16), InspectError> {
        let newest = picture.evidence.segments.last().map(|segment| segment.id);
        let Some(id) = newest else {
            return Ok((FORMAT_MAJOR, FORMAT_MINOR));
        };
        let dir = &self.directories.journal;
        let reader = match SegmentReader::open(&*self.disk, dir, id, None) {
            Ok(reader) => reader,
            Err(source) => {
                let path = dir.join(id.file_name());
                let again = self.disk.open(&path, OpenMode::Read);
                // A writer has purged it since the look.
                if again.is_err_and(|error| error.kind() == io::ErrorKind::NotFound) {
                    return Ok((FORMAT_MAJOR, FORMAT_MINOR));
                }
                return Err(io_error("look at a segment in", dir)(io::Error::other(
                    source,
                )));
            }
        };
        Ok(match reader.header() {
            Ok(header) => (FORMAT_MAJOR, header.format_minor),
            Err(HeaderFault::NewerFormat { major, minor, .. }) => (*major, *minor),
            Err(_) => (FORMAT_MAJOR, FORMAT_MINOR),
        })
    }

    /// Name of the data store, as its files tell: `sled`, or `none` if there is none.
    ///
    /// # Errors
    /// [`InspectError::Io`] if the directory cannot be listed.
    pub fn data_store(&self) -> Result<&'static str, InspectError> {
        let dir = self.path.join("data");
        match self.disk.list(&dir) {
            Ok(entries) if entries.is_empty() => Ok("none"),
            Ok(entries) if entries.iter().any(|entry| entry.name == "conf") => Ok("sled"),
            Ok(_) => Ok("unknown"),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok("none"),
            Err(error) => Err(io_error("list", &dir)(error)),
        }
    }

    /// Files and bytes below the part `name` of the store (`data`, `snapshots`, …).
    ///
    /// # Errors
    /// [`InspectError::Io`] if a directory cannot be listed. A part that is not there is empty.
    pub fn part_size(&self, name: &str) -> Result<PartSize, InspectError> {
        let mut size = PartSize::default();
        let mut waiting = vec![(self.path.join(name), 0)];
        while let Some((dir, depth)) = waiting.pop() {
            let entries = match self.disk.list(&dir) {
                Ok(entries) => entries,
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(io_error("list", &dir)(error)),
            };
            for entry in entries {
                match entry.kind {
                    EntryKind::File => {
                        size.files += 1;
                        size.bytes = size.bytes.saturating_add(entry.bytes);
                    }
                    EntryKind::Directory if depth < DEPTH_MAX => {
                        waiting.push((dir.join(&entry.name), depth + 1));
                    }
                    EntryKind::Directory | EntryKind::Other => {}
                }
            }
        }
        Ok(size)
    }
}

/// Only the operating system's refusals get here; damage is a fault of the file.
pub(super) fn checkpoint_error(error: CheckpointError) -> InspectError {
    match error {
        CheckpointError::Io {
            operation,
            path,
            source,
        } => io_error(operation, &path)(source),
        error => io_error("look at", "checkpoints".as_ref())(io::Error::other(error)),
    }
}
