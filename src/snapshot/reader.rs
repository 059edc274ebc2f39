//! `SnapshotReader`: reads a staged snapshot file through the disk.
//!
//! Not here: the bytes (`decode`), receiving (`receive`).

use std::io::{self, BufReader, Read};
use std::path::Path;
use std::sync::Arc;

use torrens_journal::disk::{Disk, DiskFile, OpenMode};

use super::decode::{SnapshotDecoder, Stop};
use super::staging::io_error;
use super::{
    SnapshotError, SnapshotFault, SnapshotMeta, SnapshotName, SnapshotRow, StagedSnapshot,
};
use crate::ColumnFamilies;

const BUFFER_BYTES: usize = 64 * 1024;

/// A staged snapshot file whose header is good.
#[derive(Debug)]
pub struct SnapshotReader {
    file: Arc<dyn DiskFile>,
    path: std::path::PathBuf,
    name: SnapshotName,
    meta: SnapshotMeta,
    bytes: u64,
    families: Option<ColumnFamilies>,
}

impl SnapshotReader {
    /// Opens the file of that name in `dir` and checks its header against the name.
    ///
    /// # Errors
    /// `Missing` if there is none, `Fault` if the header is not good, else `Io`.
    pub fn open(
        disk: &dyn Disk,
        dir: &Path,
        name: SnapshotName,
    ) -> Result<SnapshotReader, SnapshotError> {
        let path = name.path_in(dir);
        let file = match disk.open(&path, OpenMode::Read) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(SnapshotError::Missing { name });
            }
            Err(source) => return Err(io_error("open", &path, source)),
        };
        let bytes = file
            .len()
            .map_err(|source| io_error("read", &path, source))?;
        let decoder = SnapshotDecoder::new(FileSource::buffered(file.clone(), bytes))
            .map_err(|stop| told(name, &path, stop))?;
        let meta = decoder.meta().clone();
        meta.check_name(name)
            .map_err(|source| SnapshotError::Fault { name, source })?;
        Ok(SnapshotReader {
            file,
            path,
            name,
            meta,
            bytes,
            families: None,
        })
    }

    /// Refuses rows of any family but these from now on.
    pub fn only(mut self, families: ColumnFamilies) -> SnapshotReader {
        self.families = Some(families);
        self
    }

    /// What the header says.
    pub fn meta(&self) -> &SnapshotMeta {
        &self.meta
    }

    /// The file's name.
    pub fn name(&self) -> SnapshotName {
        self.name
    }

    /// Length of the file, in bytes.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Reads the whole file and checks all of it. Only rows of a file that passed may be kept.
    ///
    /// # Errors
    /// `Fault` with the first thing that is wrong, else `Io`.
    pub fn verify(&self) -> Result<StagedSnapshot, SnapshotError> {
        Ok(self.verify_content()?.0)
    }

    /// As [`verify`](Self::verify), with a hash of the rows alone (their CRC-32 as they lie in the
    /// file): two replicas with the same rows at the same applied index have the same.
    ///
    /// # Errors
    /// As [`verify`](Self::verify).
    pub fn verify_content(&self) -> Result<(StagedSnapshot, u32), SnapshotError> {
        let mut decoder = self.decoder()?;
        let totals = decoder
            .finish()
            .map_err(|stop| told(self.name, &self.path, stop))?;
        let staged = StagedSnapshot {
            name: self.name,
            checksum: totals.checksum,
            bytes: totals.bytes,
            rows: totals.rows,
        };
        Ok((staged, totals.content))
    }

    /// The rows in ascending order of (column family, key), checked like
    /// [`verify`](Self::verify) on the way; after an error nothing follows.
    ///
    /// # Errors
    /// `Fault` if the header is no longer good, else `Io`.
    pub fn rows(&self) -> Result<SnapshotRows, SnapshotError> {
        Ok(SnapshotRows {
            decoder: self.decoder()?,
            name: self.name,
            path: self.path.clone(),
        })
    }

    /// A stream of the file's bytes as they lie, to send them to another store.
    pub fn bytes_stream(&self) -> impl Read + Send + 'static + use<> {
        FileSource::buffered(self.file.clone(), self.bytes)
    }

    fn decoder(&self) -> Result<SnapshotDecoder<BufReader<FileSource>>, SnapshotError> {
        SnapshotDecoder::new(FileSource::buffered(self.file.clone(), self.bytes))
            .map(|decoder| decoder.only(self.families.clone()))
            .map_err(|stop| told(self.name, &self.path, stop))
    }
}

/// Iterator of [`SnapshotReader::rows`].
#[derive(Debug)]
pub struct SnapshotRows {
    decoder: SnapshotDecoder<BufReader<FileSource>>,
    name: SnapshotName,
    path: std::path::PathBuf,
}

impl Iterator for SnapshotRows {
    type Item = Result<SnapshotRow, SnapshotError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.decoder
            .next_row()
            .map_err(|stop| told(self.name, &self.path, stop))
            .transpose()
    }
}

/// Checks bytes in memory as a whole snapshot file of whatever name.
///
/// # Errors
/// The first thing that is wrong with them.
pub fn check_bytes(bytes: &[u8]) -> Result<SnapshotMeta, SnapshotFault> {
    let walked = SnapshotDecoder::new(bytes).and_then(|mut decoder| {
        decoder.finish()?;
        Ok(decoder.meta().clone())
    });
    walked.map_err(|stop| match stop {
        Stop::Fault(fault) => fault,
        // A slice only ever ends.
        Stop::Io(_) => SnapshotFault::Truncated {
            offset: bytes.len() as u64,
            inside: "the file",
        },
    })
}

fn told(name: SnapshotName, path: &Path, stop: Stop) -> SnapshotError {
    match stop {
        Stop::Fault(source) => SnapshotError::Fault { name, source },
        Stop::Io(source) => io_error("read", path, source),
    }
}

/// The bytes of a file from its start to the length that it had when it was opened.
#[derive(Debug)]
struct FileSource {
    file: Arc<dyn DiskFile>,
    offset: u64,
    bytes: u64,
}

impl FileSource {
    fn buffered(file: Arc<dyn DiskFile>, bytes: u64) -> BufReader<FileSource> {
        BufReader::with_capacity(
            BUFFER_BYTES,
            FileSource {
                file,
                offset: 0,
                bytes,
            },
        )
    }
}

impl Read for FileSource {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.bytes.saturating_sub(self.offset)).unwrap_or(usize::MAX);
        let wanted = left.min(buffer.len());
        let (wanted, _) = buffer.split_at_mut(wanted);
        self.file.read_exact_at(self.offset, wanted)?;
        self.offset = self.offset.saturating_add(wanted.len() as u64);
        Ok(wanted.len())
    }
}
