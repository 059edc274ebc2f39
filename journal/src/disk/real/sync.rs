//! Which mechanism makes data durable on this system, chosen once per disk.
//!
//! A failed sync is returned as it came and never repeated: the kernel has marked the pages clean
//! by then, and the next sync would succeed without having written them.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;

use super::super::{SyncMethod, SyncPath};
use super::SyncChoice;

#[cfg(target_os = "linux")]
use super::super::uring::Uring;

/// The chosen mechanism.
#[derive(Debug)]
pub(super) struct Syncer {
    mechanism: Mechanism,
    fallback_reason: Option<String>,
}

#[derive(Debug)]
enum Mechanism {
    #[cfg(target_os = "linux")]
    IoUring(Uring),
    Plain,
}

impl Syncer {
    /// The preferred mechanism, or the plain one with the reason.
    pub(super) fn auto() -> Syncer {
        match io_uring() {
            Ok(mechanism) => Syncer {
                mechanism,
                fallback_reason: None,
            },
            Err(error) => Syncer {
                mechanism: Mechanism::Plain,
                fallback_reason: Some(error.to_string()),
            },
        }
    }

    /// The mechanism that was asked for.
    pub(super) fn choose(choice: SyncChoice) -> io::Result<Syncer> {
        match choice {
            SyncChoice::Auto => Ok(Syncer::auto()),
            SyncChoice::IoUring => Ok(Syncer {
                mechanism: io_uring()?,
                fallback_reason: None,
            }),
            SyncChoice::Fdatasync => Ok(Syncer {
                mechanism: Mechanism::Plain,
                fallback_reason: None,
            }),
        }
    }

    /// The mechanism in use, for reports.
    pub(super) fn path(&self) -> SyncPath {
        let method = match &self.mechanism {
            #[cfg(target_os = "linux")]
            Mechanism::IoUring(_) => SyncMethod::IoUring,
            Mechanism::Plain if cfg!(target_os = "linux") => SyncMethod::Fdatasync,
            Mechanism::Plain => SyncMethod::FullSync,
        };
        SyncPath {
            method,
            fallback_reason: self.fallback_reason.clone(),
        }
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
pub(super) fn sync_entries(dir: &OwnedFd) -> io::Result<()> {
    rustix::fs::fsync(dir).map_err(io::Error::from)
}
