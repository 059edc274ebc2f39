//! `SnapshotWriter`: writes a snapshot file aside, syncs it, gives it its name.
//!
//! `StagingFile` is the part that knows how a file becomes durable under its name; receiving a
//! foreign stream uses it too.
//!
//! Not here: where the rows come from.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use torrens_journal::disk::{Disk, DiskFile, OpenMode};

use super::frame::{
    CHUNK_PAYLOAD_BYTES_MAX, ChunkHeader, Counts, ROW_HEADER_BYTES, TRAILER_BYTES, header,
};
use super::staging::io_error;
use super::{SnapshotError, SnapshotFault, SnapshotMeta, SnapshotName, StagedSnapshot};
use crate::{ColumnFamily, Key, Region, WriteBatch};

/// Bytes that are gathered before they are written to the file.
const BUFFER_BYTES: usize = 256 * 1024;

/// Writes one snapshot file. Dropping it before [`finish`](Self::finish) removes what was written.
#[derive(Debug)]
pub struct SnapshotWriter {
    file: StagingFile,
    meta: SnapshotMeta,
    salt: u32,
    counts: Counts,
    payload: Vec<u8>,
    payload_rows: u32,
    previous: Option<(ColumnFamily, Key)>,
}

impl SnapshotWriter {
    /// Starts a snapshot file in `dir`, which must exist. `id` tells it apart from other snapshots
    /// of the region at that index; an unfinished file of the same name is replaced.
    ///
    /// # Errors
    /// [`SnapshotError::Exists`] if that snapshot is staged already; `Fault` if the region of `meta`
    /// is not valid; else `Io`.
    pub fn create(
        disk: Arc<dyn Disk>,
        dir: &Path,
        id: u64,
        meta: &SnapshotMeta,
    ) -> Result<SnapshotWriter, SnapshotError> {
        let name = meta.name(id);
        if let Err(error) = meta.region.validate() {
            return Err(SnapshotError::Fault {
                name,
                source: SnapshotFault::BadRegion(error),
            });
        }
        let mut file = StagingFile::create(disk, dir, name)?;
        let (header, salt) = header(&meta.encode());
        file.write(&header)?;
        Ok(SnapshotWriter {
            file,
            meta: meta.clone(),
            salt,
            counts: Counts::default(),
            payload: Vec::new(),
            payload_rows: 0,
            previous: None,
        })
    }

    /// Adds a row of the default column family; see [`push_cf`](Self::push_cf).
    ///
    /// # Errors
    /// As [`push_cf`](Self::push_cf).
    pub fn push(&mut self, key: &[u8], value: &[u8]) -> Result<(), SnapshotError> {
        self.push_cf(ColumnFamily::DEFAULT, key, value)
    }

    /// Adds a row. Rows come in strictly ascending order of (column family, key), and lie in the
    /// region's range.
    ///
    /// # Errors
    /// `Fault` for a row out of order, outside the range or too long, and nothing was added; else
    /// `Io`, after which the writer is of no more use.
    pub fn push_cf(
        &mut self,
        cf: ColumnFamily,
        key: &[u8],
        value: &[u8],
    ) -> Result<(), SnapshotError> {
        let row = self.counts.rows;
        let place = (cf, Key::from(key));
        self.check(&place, value)
            .map_err(|source| self.fault(source))?;
        let row_bytes = ROW_HEADER_BYTES + key.len() + value.len();
        if self.payload_rows > 0 && self.payload.len() + row_bytes > CHUNK_PAYLOAD_BYTES_MAX {
            self.end_chunk()?;
        }
        self.payload.push(cf.number());
        self.payload
            .extend_from_slice(&(key.len() as u32).to_le_bytes());
        self.payload
            .extend_from_slice(&(value.len() as u32).to_le_bytes());
        self.payload.extend_from_slice(key);
        self.payload.extend_from_slice(value);
        self.payload_rows += 1;
        self.counts.rows = row.saturating_add(1);
        self.previous = Some(place);
        Ok(())
    }

    fn check(&self, place: &(ColumnFamily, Key), value: &[u8]) -> Result<(), SnapshotFault> {
        let row = self.counts.rows;
        let too_long = |what, declared: usize, max: usize| SnapshotFault::TooLong {
            what,
            offset: self.file.offset,
            declared: declared as u64,
            max: max as u64,
        };
        if place.1.len() > Region::KEY_BYTES_MAX {
            return Err(too_long("a key", place.1.len(), Region::KEY_BYTES_MAX));
        }
        if value.len() > WriteBatch::VALUE_BYTES_MAX {
            return Err(too_long(
                "a value",
                value.len(),
                WriteBatch::VALUE_BYTES_MAX,
            ));
        }
        if self
            .previous
            .as_ref()
            .is_some_and(|previous| place <= previous)
        {
            return Err(SnapshotFault::OutOfOrder { row });
        }
        if !self.meta.region.range.contains(&place.1) {
            let range = self.meta.region.range.clone();
            return Err(SnapshotFault::KeyOutside {
                row,
                key: place.1.clone(),
                range,
            });
        }
        Ok(())
    }

    fn fault(&self, source: SnapshotFault) -> SnapshotError {
        SnapshotError::Fault {
            name: self.file.name,
            source,
        }
    }

    fn end_chunk(&mut self) -> Result<(), SnapshotError> {
        let number = self.counts.chunks;
        let header = ChunkHeader::of(self.salt, number, self.payload_rows, &self.payload);
        self.counts.chunks = number.checked_add(1).ok_or_else(|| {
            let (offset, what) = (self.file.offset, "too many chunks");
            self.fault(SnapshotFault::BadChunk {
                chunk: number.into(),
                offset,
                what,
            })
        })?;
        self.counts.payload_bytes = self
            .counts
            .payload_bytes
            .saturating_add(self.payload.len() as u64);
        self.file.write(&header.encode())?;
        self.file.write(&self.payload)?;
        self.payload.clear();
        self.payload_rows = 0;
        Ok(())
    }

    /// Ends the file, syncs it and gives it its name.
    ///
    /// # Errors
    /// `Io`; the file is removed as far as that is possible.
    ///
    /// # Durability
    /// On `Ok` the file and its name are durable.
    pub fn finish(mut self) -> Result<StagedSnapshot, SnapshotError> {
        if self.payload_rows > 0 {
            self.end_chunk()?;
        }
        self.file.write(&self.counts.encode())?;
        let checksum = self.file.hasher.clone().finalize();
        self.file.write(&checksum.to_le_bytes())?;
        debug_assert_eq!(self.counts.encode().len() + 4, TRAILER_BYTES);
        let (name, bytes) = (self.file.name, self.file.offset);
        self.file.publish()?;
        Ok(StagedSnapshot {
            name,
            checksum,
            bytes,
            rows: self.counts.rows,
        })
    }
}

/// A file that is written aside and gets its name when it is complete and synced. Dropped before
/// that, it removes itself.
#[derive(Debug)]
pub(super) struct StagingFile {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    pub(super) name: SnapshotName,
    path: PathBuf,
    file: Arc<dyn DiskFile>,
    buffer: Vec<u8>,
    /// Bytes written, with those in the buffer.
    pub(super) offset: u64,
    /// Over the bytes written, with those in the buffer.
    pub(super) hasher: crc32fast::Hasher,
    published: bool,
}

impl StagingFile {
    pub(super) fn create(
        disk: Arc<dyn Disk>,
        dir: &Path,
        name: SnapshotName,
    ) -> Result<StagingFile, SnapshotError> {
        let final_path = name.path_in(dir);
        match disk.open(&final_path, OpenMode::Read) {
            Ok(_) => return Err(SnapshotError::Exists { name }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(source) => return Err(io_error("open", &final_path, source)),
        }
        let path = name.unfinished_path_in(dir);
        let file = match disk.open(&path, OpenMode::CreateNew) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                // Left by a crash: ids are used once by those that live.
                disk.remove(&path)
                    .map_err(|source| io_error("remove", &path, source))?;
                disk.open(&path, OpenMode::CreateNew)
            }
            opened => opened,
        };
        let file = file.map_err(|source| io_error("create", &path, source))?;
        Ok(StagingFile {
            disk,
            dir: dir.to_owned(),
            name,
            path,
            file,
            buffer: Vec::with_capacity(BUFFER_BYTES),
            offset: 0,
            hasher: crc32fast::Hasher::new(),
            published: false,
        })
    }

    pub(super) fn write(&mut self, bytes: &[u8]) -> Result<(), SnapshotError> {
        self.buffer.extend_from_slice(bytes);
        self.hasher.update(bytes);
        self.offset = self.offset.saturating_add(bytes.len() as u64);
        if self.buffer.len() >= BUFFER_BYTES {
            self.write_out()
        } else {
            Ok(())
        }
    }

    fn write_out(&mut self) -> Result<(), SnapshotError> {
        let start = self.offset.saturating_sub(self.buffer.len() as u64);
        self.file
            .write_all_at(start, &self.buffer)
            .map_err(|source| io_error("write", &self.path, source))?;
        self.buffer.clear();
        Ok(())
    }

    /// Syncs the file, renames it, syncs the directory.
    pub(super) fn publish(&mut self) -> Result<(), SnapshotError> {
        self.write_out()?;
        self.file
            .sync_data()
            .map_err(|source| io_error("sync", &self.path, source))?;
        let to = self.name.path_in(&self.dir);
        self.disk
            .rename(&self.path, &to)
            .map_err(|source| io_error("rename", &self.path, source))?;
        self.published = true;
        self.disk
            .sync_dir(&self.dir)
            .map_err(|source| io_error("sync", &self.dir, source))
    }
}

impl Drop for StagingFile {
    fn drop(&mut self) {
        if !self.published {
            // What stays is found by `remove_unfinished`.
            let _ = self.disk.remove(&self.path);
        }
    }
}
