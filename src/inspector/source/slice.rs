//! `Slice`: a stretch of a file, for reading only.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use torrens_journal::disk::{DiskFile, DiskMap};

use super::read_only::refused;

/// So many bytes of a file, from one place on.
#[derive(Clone, Debug)]
pub(super) struct Slice {
    file: Arc<File>,
    from_bytes: u64,
    bytes: u64,
}

impl Slice {
    /// The first `bytes` of the file.
    pub(super) fn new(file: File, bytes: u64) -> Slice {
        Slice {
            file: Arc::new(file),
            from_bytes: 0,
            bytes,
        }
    }

    /// Its length.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// A part of it, as far as it goes.
    pub(super) fn part(&self, from_bytes: u64, bytes: u64) -> Slice {
        let from = from_bytes.min(self.bytes);
        Slice {
            file: Arc::clone(&self.file),
            from_bytes: self.from_bytes.saturating_add(from),
            bytes: bytes.min(self.bytes - from),
        }
    }

    /// The page there; shorter if it ends before.
    pub(super) fn page(&self, from_bytes: u64, page: &mut [u8]) -> io::Result<usize> {
        let left = self.bytes.saturating_sub(from_bytes);
        let wanted = page.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        if wanted == 0 {
            return Ok(0);
        }
        let page = page.get_mut(..wanted).unwrap_or_default();
        self.read_exact_at(from_bytes, page)?;
        Ok(wanted)
    }
}

impl DiskFile for Slice {
    fn len(&self) -> io::Result<u64> {
        Ok(self.bytes)
    }

    fn read_exact_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        let end = offset.checked_add(buffer.len() as u64);
        if end.is_none_or(|end| end > self.bytes) {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let at = self.from_bytes.saturating_add(offset);
        self.file.read_exact_at(buffer, at)
    }

    fn write_all_at(&self, _: u64, _: &[u8]) -> io::Result<()> {
        refused()
    }

    fn write_zeros(&self, _: u64, _: u64) -> io::Result<()> {
        refused()
    }

    fn set_len(&self, _: u64) -> io::Result<()> {
        refused()
    }

    fn sync_data(&self) -> io::Result<()> {
        refused()
    }

    fn drop_cache(&self) -> io::Result<()> {
        Ok(())
    }

    fn map(&self, _: u64) -> io::Result<Box<dyn DiskMap>> {
        refused()
    }
}
