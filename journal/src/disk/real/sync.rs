//! Which mechanisms make data durable and write many zeros on this system, chosen once per disk.
//!
//! A failed sync is returned as it came and never repeated: the kernel has marked the pages clean
//! by then, and the next sync would succeed without having written them.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;

use super::super::{SyncMethod, SyncPath};
use super::SyncChoice;

#[cfg(target_os = "linux")]
use super::super::uring::{self, Uring};

/// The chosen mechanisms.
#[derive(Debug)]
pub(super) struct Syncer {
    mechanism: Mechanism,
    /// Whether large writes of zeros go through io_uring.
    zeros_by_io_uring: bool,
    fallback_reason: Option<String>,
}

#[derive(Debug)]
enum Mechanism {
    #[cfg(target_os = "linux")]
    IoUring(Uring),
    Plain,
}

impl Syncer {
    /// What measured best where everything is allowed, with the reason if something is not.
    pub(super) fn auto() -> Syncer {
        let refused = io_uring().err();
        Syncer {
            // The kernel gives a lone sync to a thread of its own: slower than the plain call.
            mechanism: Mechanism::Plain,
            zeros_by_io_uring: refused.is_none(),
            fallback_reason: refused.map(|error| error.to_string()),
        }
    }

    /// The mechanism that was asked for.
    pub(super) fn choose(choice: SyncChoice) -> io::Result<Syncer> {
        match choice {
            SyncChoice::Auto => Ok(Syncer::auto()),
            SyncChoice::IoUring => Ok(Syncer {
                mechanism: io_uring()?,
                zeros_by_io_uring: true,
                fallback_reason: None,
            }),
            SyncChoice::Fdatasync => Ok(Syncer {
                mechanism: Mechanism::Plain,
                zeros_by_io_uring: false,
                fallback_reason: None,
            }),
        }
    }

    /// The mechanisms in use, for reports.
    pub(super) fn path(&self) -> SyncPath {
        let method = match &self.mechanism {
            #[cfg(target_os = "linux")]
            Mechanism::IoUring(_) => SyncMethod::IoUring,
            Mechanism::Plain if cfg!(target_os = "linux") => SyncMethod::Fdatasync,
            Mechanism::Plain => SyncMethod::FullSync,
        };
        SyncPath {
            method,
            zeros_by_io_uring: self.zeros_by_io_uring,
            fallback_reason: self.fallback_reason.clone(),
        }
    }

    /// Writes zeros in large pieces, several at once if that is possible here.
    #[cfg(target_os = "linux")]
    pub(super) fn write_zeros(
        &self,
        file: &File,
        zeros: &'static [u8],
        offset: u64,
        bytes: u64,
    ) -> io::Result<()> {
        // One piece gains nothing. Where a ring fails half way the plain call says why, or succeeds:
        // zeros may be written as often as one likes.
        if self.zeros_by_io_uring
            && bytes > zeros.len() as u64
            && uring::write_zeros(file, zeros, offset, bytes).is_ok()
        {
            return Ok(());
        }
        plain_zeros(file, zeros, offset, bytes)
    }

    #[cfg(not(target_os = "linux"))]
    pub(super) fn write_zeros(
        &self,
        file: &File,
        zeros: &'static [u8],
        offset: u64,
        bytes: u64,
    ) -> io::Result<()> {
        plain_zeros(file, zeros, offset, bytes)
    }

    /// Makes the file's contents and length durable.
    pub(super) fn sync_data(&self, file: &File) -> io::Result<()> {
        match &self.mechanism {
            #[cfg(target_os = "linux")]
            Mechanism::IoUring(uring) => uring.sync_data(file),
            Mechanism::Plain => plain_sync(file),
        }
    }
}

fn plain_zeros(file: &File, zeros: &[u8], offset: u64, bytes: u64) -> io::Result<()> {
    let end = offset
        .checked_add(bytes)
        .ok_or(io::ErrorKind::InvalidInput)?;
    let mut at = offset;
    while at < end {
        let left = usize::try_from(end - at).unwrap_or(usize::MAX);
        let piece = zeros.get(..left).unwrap_or(zeros);
        file.write_all_at(piece, at)?;
        at += piece.len() as u64;
    }
    Ok(())
}

#[cfg(target_os = "linux")]
fn io_uring() -> io::Result<Mechanism> {
    Uring::probe().map(Mechanism::IoUring)
}

#[cfg(not(target_os = "linux"))]
fn io_uring() -> io::Result<Mechanism> {
    Err(io::Error::new(
        io::ErrorKind::Unsupported,
        "io_uring exists on Linux only",
    ))
}

/// Not the standard library's `sync_data`: that one repeats the call after a signal.
#[cfg(target_os = "linux")]
pub(super) fn plain_sync(file: &File) -> io::Result<()> {
    rustix::fs::fdatasync(file).map_err(io::Error::from)
}

/// The standard library knows which call reaches the device (`F_FULLFSYNC` where `fsync` does not).
#[cfg(not(target_os = "linux"))]
pub(super) fn plain_sync(file: &File) -> io::Result<()> {
    file.sync_all()
}

/// Makes a directory's entries durable.
///
/// XFS answers success when the file system was shut down between the change of an entry and this
/// call: the shutdown lets the directory go from its log, after which there seems to be nothing left
/// to write. Its `fstat` does say so. A file's sync needs no such question: XFS asks it there.
pub(super) fn sync_entries(dir: &OwnedFd) -> io::Result<()> {
    rustix::fs::fsync(dir)?;
    rustix::fs::fstat(dir)?;
    Ok(())
}
