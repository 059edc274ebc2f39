//! The exclusive lock of the [`RealDisk`](super::RealDisk): `flock` on a file that is never removed.
//!
//! The kernel lets go when the holder dies, however it dies. Removing the file would let two
//! processes hold "the" lock on two files of one name. The id inside is for people and may be old;
//! only the lock itself says whether somebody holds it.
//!
//! Invariant: [`HELD`] names the lock files that this process holds, and they are not opened again
//! while it does. On a local file system `flock` alone would do; over a network it may be carried
//! out as a record lock, which lets the same process in twice and is gone as soon as any descriptor
//! of the file is closed.

use std::collections::BTreeSet;
use std::fs::{self, File, TryLockError};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rustix::fs::OFlags;

use super::super::{DiskLock, LockError};
use super::open_regular;

/// How long a busy lock is asked for again. An io_uring worker of a killed holder can keep the
/// file open for a moment, and a reader that asks who holds it has it for an instant.
const PATIENCE: Duration = Duration::from_millis(250);
const PAUSE: Duration = Duration::from_millis(5);
/// The most that is read of a lock file: a decimal id and a newline fit several times.
const HOLDER_BYTES_MAX: usize = 32;

/// Device and inode of each lock file that this process holds.
static HELD: Mutex<BTreeSet<(u64, u64)>> = Mutex::new(BTreeSet::new());

/// A held lock.
#[derive(Debug)]
struct RealLock {
    identity: (u64, u64),
    /// Closing it, after [`Drop::drop`], releases the lock.
    _file: File,
}

impl DiskLock for RealLock {}

impl Drop for RealLock {
    fn drop(&mut self) {
        HELD.lock().remove(&self.identity);
    }
}

/// Whether this process holds the lock, without opening its file.
fn is_held_here(path: &Path) -> bool {
    let metadata = fs::symlink_metadata(path);
    metadata.is_ok_and(|metadata| HELD.lock().contains(&(metadata.dev(), metadata.ino())))
}

/// Takes the lock, or says who has it.
pub(super) fn acquire(path: &Path) -> Result<Box<dyn DiskLock>, LockError> {
    let busy_here = || LockError::Busy {
        holder_pid: Some(std::process::id()),
    };
    if is_held_here(path) {
        return Err(busy_here());
    }
    let file = open_regular(path, OFlags::RDWR | OFlags::CREATE).map_err(LockError::Io)?;
    let metadata = file.metadata().map_err(LockError::Io)?;
    let identity = (metadata.dev(), metadata.ino());
    // Between the two looks another thread may have taken it.
    if !HELD.lock().insert(identity) {
        return Err(busy_here());
    }
    // From here on the identity is given back on every way out.
    let lock = RealLock {
        identity,
        _file: file,
    };
    let file = &lock._file;
    let deadline = Instant::now() + PATIENCE;
    loop {
        match file.try_lock() {
            Ok(()) => break,
            Err(TryLockError::WouldBlock) if Instant::now() < deadline => thread::sleep(PAUSE),
            Err(TryLockError::WouldBlock) => {
                return Err(LockError::Busy {
                    holder_pid: read_pid(file).unwrap_or(None),
                });
            }
            Err(TryLockError::Error(error)) => return Err(LockError::Io(error)),
        }
    }
    write_pid(file).map_err(LockError::Io)?;
    Ok(Box::new(lock))
}

/// The holder's id, without taking the lock.
///
/// For an instant a shared lock is held, if nobody holds the exclusive one; whoever asks for that
/// one just then asks again.
pub(super) fn holder(path: &Path) -> io::Result<Option<u32>> {
    if is_held_here(path) {
        return Ok(Some(std::process::id()));
    }
    let file = match open_regular(path, OFlags::RDONLY) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let deadline = Instant::now() + PATIENCE;
    loop {
        match file.try_lock_shared() {
            Ok(()) => return Ok(None),
            Err(TryLockError::Error(error)) => return Err(error),
            Err(TryLockError::WouldBlock) => {}
        }
        if let Some(pid) = read_pid(&file)? {
            return Ok(Some(pid));
        }
        // The holder has taken it and not yet written its id.
        if Instant::now() >= deadline {
            let text = "the lock is held and its file names no process";
            return Err(io::Error::new(io::ErrorKind::InvalidData, text));
        }
        thread::sleep(PAUSE);
    }
}

/// Writes over the old id first and cuts after, so that the first line is a whole id at all times.
fn write_pid(file: &File) -> io::Result<()> {
    let line = format!("{}\n", std::process::id());
    file.write_all_at(line.as_bytes(), 0)?;
    file.set_len(u64::try_from(line.len()).unwrap_or(u64::MAX))
}

fn read_pid(file: &File) -> io::Result<Option<u32>> {
    let mut bytes = [0; HOLDER_BYTES_MAX];
    let read = file.read_at(&mut bytes, 0)?;
    let text = bytes
        .get(..read)
        .and_then(|bytes| std::str::from_utf8(bytes).ok());
    Ok(text
        .and_then(|text| text.split_once('\n'))
        .and_then(|(line, _)| line.parse().ok()))
}
