//! Open files, maps and locks of a simulated disk: each knows its disk and its file's number.
//!
//! They hold the file alive, not its name: a removed file can be read until its last handle goes.

use std::io::{self, IoSlice};
use std::path::PathBuf;

use parking_lot::Mutex;

use super::super::refuse::{DiskRefusal, store_start};
use super::super::{DiskFile, DiskLock, DiskMap, OpenMode, op};
use super::cut;
use super::fault::{Course, whole_or_nothing};
use super::inode::{Inode, Source};
use super::names::Ino;
use super::write_back::Heard;
use super::{FILE_BYTES_MAX, SimDisk, State};

/// An open file.
pub(super) struct SimFile {
    disk: SimDisk,
    ino: Ino,
    path: PathBuf,
    mode: OpenMode,
    /// How far this open file has heard of failed write-backs.
    heard: Mutex<Heard>,
}

/// A map of a file's first bytes.
struct SimMap {
    file: SimFile,
    bytes: u64,
}

/// A held lock.
pub(super) struct SimLock {
    pub(super) disk: SimDisk,
    pub(super) ino: Ino,
}

impl SimFile {
    /// A handle; `state` is the disk's, locked.
    pub(super) fn new(
        disk: &SimDisk,
        state: &mut State,
        ino: Ino,
        path: PathBuf,
        mode: OpenMode,
    ) -> SimFile {
        let mut heard = Heard::default();
        if let Some(inode) = state.inodes.get_mut(&ino) {
            inode.handles += 1;
            heard = inode.failures.heard_at_open();
        }
        SimFile {
            disk: disk.clone(),
            ino,
            path,
            mode,
            heard: Mutex::new(heard),
        }
    }

    fn check_writable(&self) -> io::Result<()> {
        if self.mode == OpenMode::Read {
            Err(io::ErrorKind::PermissionDenied.into())
        } else {
            Ok(())
        }
    }

    /// Around the page cache only whole pages go.
    fn check_aligned(&self, offset: u64, buffer: &[u8]) -> io::Result<()> {
        let numbers = [offset, buffer.len() as u64, buffer.as_ptr().addr() as u64];
        if self.mode == OpenMode::Direct && !numbers.iter().all(|n| n.is_multiple_of(4096)) {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        Ok(())
    }

    fn write(&self, name: &'static str, offset: u64, source: Source<'_>) -> io::Result<()> {
        self.check_writable()?;
        let mut state = self.disk.state();
        let course = state.begin(name, &self.path, offset, source.len())?;
        let (source, failure) = match course {
            Course::Whole => (source, None),
            Course::Half(error) => (source.first(source.len() / 2), Some(error)),
            Course::Lies { error, .. } => return Err(io::Error::other(error)),
        };
        let end = offset
            .checked_add(source.len())
            .filter(|end| *end <= FILE_BYTES_MAX);
        let end = end.ok_or(io::ErrorKind::FileTooLarge)?;
        // As much as there is room for is written.
        let room = state.room_for(self.ino);
        let fitting = source.first(room.saturating_sub(offset));
        let inode = inode(&mut state, self.ino)?;
        let fits = end <= room || end <= inode.live().len();
        if fits {
            inode.write(offset, source);
        } else if fitting.len() > 0 {
            inode.write(offset, fitting);
        }
        match failure {
            Some(error) => Err(error),
            None if fits => Ok(()),
            None => Err(io::ErrorKind::StorageFull.into()),
        }
    }
}

fn inode(state: &mut State, ino: Ino) -> io::Result<&mut Inode> {
    // A handle keeps its file, so this does not happen.
    state
        .inodes
        .get_mut(&ino)
        .ok_or_else(|| io::ErrorKind::NotFound.into())
}

impl DiskFile for SimFile {
    fn len(&self) -> io::Result<u64> {
        let mut state = self.disk.state();
        state.control.alive()?;
        Ok(inode(&mut state, self.ino)?.live().len())
    }

    fn read_exact_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        let mut state = self.disk.state();
        let bytes = buffer.len() as u64;
        self.check_aligned(offset, buffer)?;
        state.control.readable(&self.path, offset, bytes)?;
        let live = inode(&mut state, self.ino)?.live();
        if bytes > 0 && offset.checked_add(bytes).is_none_or(|end| end > live.len()) {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        live.read(offset, buffer);
        Ok(())
    }

    fn write_all_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.check_aligned(offset, bytes)?;
        self.write(op::WRITE, offset, Source::Bytes(bytes))
    }

    fn write_zeros(&self, offset: u64, bytes: u64) -> io::Result<()> {
        self.write(op::WRITE_ZEROS, offset, Source::Zeros(bytes))
    }

    fn set_len(&self, bytes: u64) -> io::Result<()> {
        self.check_writable()?;
        let mut state = self.disk.state();
        whole_or_nothing(state.begin(op::SET_LEN, &self.path, 0, bytes)?)?;
        let room = state.room_for(self.ino);
        let inode = inode(&mut state, self.ino)?;
        let file_bytes = inode.live().len();
        if inode.maps > 0 && bytes < file_bytes {
            return Err(DiskRefusal::ShrinkMapped {
                file_bytes,
                wanted_bytes: bytes,
            }
            .into());
        }
        if bytes > FILE_BYTES_MAX {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        if bytes > file_bytes && bytes > room {
            return Err(io::ErrorKind::StorageFull.into());
        }
        inode.set_len(bytes);
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut state = self.disk.state();
        if state.gate.takes(op::SYNC) {
            self.disk.pass(&mut state);
        }
        let course = state.begin(op::SYNC, &self.path, 0, 0)?;
        let inode = inode(&mut state, self.ino)?;
        match course {
            Course::Whole => inode.sync(),
            Course::Half(error) => {
                inode.sync_half();
                return Err(error);
            }
            Course::Lies {
                error,
                some_reaches,
            } => {
                cut::fail_write_back(inode, some_reaches);
                inode.failures.add(io::ErrorKind::Other, error);
            }
        }
        // Also what failed before, whoever asked for that.
        inode.failures.tell(&mut self.heard.lock())
    }

    fn write_durable_at(&self, offset: u64, buffers: &[IoSlice<'_>]) -> io::Result<()> {
        self.check_writable()?;
        let mut bytes = Vec::new();
        for buffer in buffers {
            self.check_aligned(offset, buffer)?;
            bytes.extend_from_slice(buffer);
        }
        let length = bytes.len() as u64;
        let end = offset.checked_add(length);
        let mut state = self.disk.state();
        if state.gate.takes(op::WRITE_DURABLE) {
            inode(&mut state, self.ino)?.write(offset, Source::Bytes(&bytes));
            self.disk.pass(&mut state);
        }
        let course = state.begin(op::WRITE_DURABLE, &self.path, offset, length)?;
        let dead = state.control.is_dead();
        let inode = inode(&mut state, self.ino)?;
        if end.is_none_or(|end| end > inode.live().len()) {
            // The contract asks for a place that exists.
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let mut put = |source: Source<'_>| {
            inode.write(offset, source);
            inode.settle(offset, source.len());
        };
        match course {
            Course::Whole => put(Source::Bytes(&bytes)),
            Course::Half(error) if dead => {
                inode.write(offset, Source::Bytes(&bytes));
                return Err(error);
            }
            Course::Half(error) => {
                put(Source::Bytes(&bytes).first(length / 2));
                return Err(error);
            }
            Course::Lies {
                error,
                some_reaches,
            } => {
                cut::reach_in_part(&bytes, some_reaches, |at, sector| {
                    let at = offset.saturating_add(at);
                    inode.write(at, Source::Bytes(sector));
                    inode.settle(at, sector.len() as u64);
                });
                return Err(io::Error::other(error));
            }
        }
        inode.failures.tell(&mut self.heard.lock())
    }

    fn drop_cache(&self) -> io::Result<()> {
        let mut state = self.disk.state();
        state.control.alive()?;
        inode(&mut state, self.ino)?.drop_cache();
        Ok(())
    }

    fn map(&self, bytes: u64) -> io::Result<Box<dyn DiskMap>> {
        self.check_writable()?;
        let mut state = self.disk.state();
        state.control.alive()?;
        let inode = inode(&mut state, self.ino)?;
        let file_bytes = inode.live().len();
        if bytes == 0 {
            return Err(DiskRefusal::MapLength { map_bytes: bytes }.into());
        }
        if file_bytes < bytes {
            return Err(DiskRefusal::MapPastEnd {
                map_bytes: bytes,
                file_bytes,
            }
            .into());
        }
        if let Some(hole_offset_bytes) = inode.live().first_hole(bytes) {
            return Err(DiskRefusal::MapHole {
                map_bytes: bytes,
                hole_offset_bytes,
            }
            .into());
        }
        inode.maps += 1;
        let file = SimFile::new(
            &self.disk,
            &mut state,
            self.ino,
            self.path.clone(),
            OpenMode::Write,
        );
        Ok(Box::new(SimMap { file, bytes }))
    }
}

impl DiskMap for SimMap {
    fn len(&self) -> u64 {
        self.bytes
    }

    fn store(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        store_start(offset, bytes.len(), self.bytes)?;
        self.file.write(op::STORE, offset, Source::Bytes(bytes))
    }
}

impl Drop for SimMap {
    fn drop(&mut self) {
        if let Some(inode) = self.file.disk.state().inodes.get_mut(&self.file.ino) {
            inode.maps = inode.maps.saturating_sub(1);
        }
    }
}

impl Drop for SimFile {
    fn drop(&mut self) {
        let mut state = self.disk.state();
        if let Some(inode) = state.inodes.get_mut(&self.ino) {
            inode.handles = inode.handles.saturating_sub(1);
        }
        state.collect(self.ino);
    }
}

impl DiskLock for SimLock {}

impl Drop for SimLock {
    fn drop(&mut self) {
        self.disk.state().locks.remove(&self.ino);
    }
}

impl std::fmt::Debug for SimFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SimFile")
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

impl std::fmt::Debug for SimMap {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SimMap")
            .field("path", &self.file.path)
            .field("bytes", &self.bytes)
            .finish()
    }
}

impl std::fmt::Debug for SimLock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SimLock")
            .field("file", &self.ino)
            .finish_non_exhaustive()
    }
}
