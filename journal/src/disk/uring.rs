//! io_uring: the only place that names the crate. Two things are done with it.
//!
//! * Zeros for new segments, several large writes at once: what a device does best, and no thread
//!   waits for each.
//! * Syncs, if they are asked for this way. A ring carries one sync at a time and lies idle
//!   otherwise. Syncs of several files run side by side, each on its own ring, and a few idle rings
//!   are kept. So the completion that arrives on a ring is always the one that its borrower waits
//!   for, and an error reaches the sync that caused it.
//!
//! Not here: single durable writes. The kernel hands a lone sync to a thread of its own, which costs
//! more than the call that it replaces.

use std::fmt;
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;

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

/// Writes that are under way at once while zeros are written.
const ZERO_WRITES: u32 = 8;

/// Writes `zeros` over `offset .. offset + bytes` again and again, several writes at once. Not
/// durable, and in no order.
///
/// # Errors
/// The first one, when no write is under way any more.
#[expect(
    unsafe_code,
    reason = "the kernel gets memory and a descriptor that must last"
)]
pub(super) fn write_zeros(
    file: &File,
    zeros: &'static [u8],
    offset: u64,
    bytes: u64,
) -> io::Result<()> {
    let mut ring: IoUring = IoUring::builder().dontfork().build(ZERO_WRITES)?;
    let end = offset
        .checked_add(bytes)
        .ok_or(io::ErrorKind::InvalidInput)?;
    let (mut at, mut under_way, mut failure) = (offset, 0, None);
    loop {
        while failure.is_none() && at < end && under_way < ZERO_WRITES {
            let piece = piece(zeros, end - at);
            let length = u32::try_from(piece.len()).map_err(io::Error::other)?;
            let write = opcode::Write::new(Fd(file.as_raw_fd()), piece.as_ptr(), length)
                .offset(at)
                .build()
                .user_data(at);
            // SAFETY: the memory is never freed and never changed. The descriptor is open: `file` is
            // borrowed until this returns, and it returns only when nothing is under way, or drops
            // the ring, by which the kernel holds the file itself for what was submitted.
            let pushed = unsafe { ring.submission().push(&write) };
            if pushed.is_err() {
                break;
            }
            at += piece.len() as u64;
            under_way += 1;
        }
        if under_way == 0 {
            return failure.map_or(Ok(()), Err);
        }
        match ring.submit_and_wait(1) {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
        let done: Vec<_> = ring.completion().collect();
        for completion in done {
            under_way -= 1;
            let from = completion.user_data();
            let wanted = piece(zeros, end - from);
            let outcome = match usize::try_from(completion.result()) {
                Ok(written) if written == wanted.len() => Ok(()),
                // A short write: the rest of it by hand.
                Ok(written) => match wanted.get(written..) {
                    Some(rest) => file.write_all_at(rest, from + written as u64),
                    None => Ok(()),
                },
                Err(_) => Err(io::Error::from_raw_os_error(
                    completion.result().saturating_neg(),
                )),
            };
            failure = failure.or(outcome.err());
        }
    }
}

/// As many zeros as are left to write, at most all of them.
fn piece(zeros: &'static [u8], left_bytes: u64) -> &'static [u8] {
    usize::try_from(left_bytes)
        .ok()
        .and_then(|left| zeros.get(..left))
        .unwrap_or(zeros)
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
#[expect(
    unsafe_code,
    reason = "the kernel gets a descriptor that must stay open meanwhile"
)]
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
