//! Syncs by io_uring: the only place that names the crate.
//!
//! A ring carries one sync at a time and lies idle otherwise. Syncs of several files run side by
//! side, each on its own ring, and a few idle rings are kept. So the completion that arrives on a
//! ring is always the one that its borrower waits for, and an error reaches the sync that caused it.

use std::fmt;
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;

use io_uring::types::{Fd, FsyncFlags};
use io_uring::{IoUring, Probe, opcode, squeue};
use parking_lot::Mutex;

/// Submission entries of a ring; one is in use.
const RING_ENTRIES: u32 = 2;
/// Rings that are kept; more exist only while more syncs run at once.
const IDLE_RINGS_MAX: usize = 4;

/// The idle rings.
pub(super) struct Uring {
    idle: Mutex<Vec<IoUring>>,
}

impl Uring {
    /// Creates a ring and sends one operation through it.
    ///
    /// # Errors
    /// `Unsupported` with the reason: an old kernel, a sandbox, a policy, no memory.
    pub(super) fn probe() -> io::Result<Uring> {
        let unsupported = |what: &str, source: io::Error| {
            let text = format!("io_uring is not available: {what}: {source}");
            io::Error::new(io::ErrorKind::Unsupported, text)
        };
        let mut ring = new_ring().map_err(|source| unsupported("cannot set up a ring", source))?;
        let mut probe = Probe::new();
        let asked = ring.submitter().register_probe(&mut probe);
        asked.map_err(|source| unsupported("cannot ask which operations it has", source))?;
        if !probe.is_supported(opcode::Fsync::CODE) {
            let source = io::Error::from(io::ErrorKind::Unsupported);
            return Err(unsupported("it cannot sync", source));
        }
        run(&mut ring, &opcode::Nop::new().build())
            .map_err(|source| unsupported("cannot submit", source))?;
        Ok(Uring {
            idle: Mutex::new(vec![ring]),
        })
    }

    /// Makes the file's contents and length durable; returns when they are.
    pub(super) fn sync_data(&self, file: &File) -> io::Result<()> {
        let idle = self.idle.lock().pop();
        let mut ring = match idle.map_or_else(new_ring, Ok) {
            Ok(ring) => ring,
            // No descriptor or memory for one more ring. Nothing was asked of the device yet, and
            // the plain call gives the same promise.
            Err(_) => return rustix::fs::fdatasync(file).map_err(io::Error::from),
        };
        let sync = opcode::Fsync::new(Fd(file.as_raw_fd()))
            .flags(FsyncFlags::DATASYNC)
            .build();
        // On an error the ring is dropped: it may still have the operation in it.
        run(&mut ring, &sync)?;
        let mut idle = self.idle.lock();
        if idle.len() < IDLE_RINGS_MAX {
            idle.push(ring);
        }
        Ok(())
    }
}

impl fmt::Debug for Uring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Uring")
            .field("idle_rings", &self.idle.lock().len())
            .finish()
    }
}

fn new_ring() -> io::Result<IoUring> {
    // A forked child must not share the submission queue.
    IoUring::builder().dontfork().build(RING_ENTRIES)
}

/// Submits one operation to an idle ring and waits for its completion.
fn run(ring: &mut IoUring, operation: &squeue::Entry) -> io::Result<()> {
    // SAFETY: the operations used here (no-op and fsync) refer to no memory of ours. A descriptor
    // in them is open until this returns, because the caller borrows its file for that long; once
    // submitted, the kernel holds the file itself.
    let pushed = unsafe { ring.submission().push(operation) };
    pushed.map_err(|_| io::Error::from(io::ErrorKind::WouldBlock))?;
    loop {
        match ring.submit_and_wait(1) {
            Ok(_) => {}
            // A signal ended the wait. What was submitted stays submitted and is not sent again.
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
        if let Some(completion) = ring.completion().next() {
            return match completion.result() {
                result if result < 0 => Err(io::Error::from_raw_os_error(result.saturating_neg())),
                _ => Ok(()),
            };
        }
    }
}
