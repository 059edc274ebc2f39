//! Raw: what one writes by hand in a hundred lines, and the floor under everybody.
//!
//! One file of real zeros. Durable appends of several threads share a sync in the plainest way
//! (whoever finds nobody syncing takes all that wait, and then wakes one of the next): page-aligned
//! groups, one write and one `fdatasync` each. With one thread that is a write into zeros and its
//! sync, nothing else. The file is used in a ring, so that a long run never leaves the zeroed part.
//! No header, no recovery, no rotation: it may only be beaten by better group commit.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use anyhow::{Result, bail};

use super::{Appender, Log, Mode, Payloads, Peer, Replayed, Setting, Tally};

const RING_BYTES: u64 = 64 << 20;
const PAGE_BYTES: usize = 4096;
const FRAME_HEADER_BYTES: usize = 8;

pub(crate) struct Raw;

impl Peer for Raw {
    fn name(&self) -> &'static str {
        "raw"
    }

    fn settings(&self) -> &'static [Setting] {
        &[Setting {
            name: "default",
            column: "raw",
            modes: &[Mode::Durable, Mode::Buffered, Mode::Replay],
        }]
    }

    fn create(&self, dir: &Path, _setting: &str, mode: Mode) -> Result<Box<dyn Log>> {
        let file = File::create_new(dir.join("raw"))?;
        if mode != Mode::Replay {
            // A page at a time: written a megabyte at a time they enter the page cache as large
            // folios, and each sync of a small write into one costs more.
            let zeros = [0; PAGE_BYTES];
            for offset in (0..RING_BYTES).step_by(PAGE_BYTES) {
                file.write_all_at(&zeros, offset)?;
            }
            file.sync_all()?;
        }
        Ok(Box::new(Ring {
            file,
            state: Mutex::default(),
            even_and_odd: [Condvar::new(), Condvar::new()],
        }))
    }

    fn replay(&self, dir: &Path, _setting: &str) -> Result<Replayed> {
        let mut file = File::open(dir.join("raw"))?;
        let mut tally = Tally::default();
        let mut buffer = vec![0; 1 << 20];
        let mut kept = 0;
        loop {
            let room = buffer.get_mut(kept..).unwrap_or_default();
            let read = file.read(room)?;
            let held = kept + read;
            let mut rest = buffer.get(..held).unwrap_or_default();
            while let Some((payload, after)) = take_frame(rest)? {
                tally.add(payload);
                rest = after;
            }
            if read == 0 {
                return Replayed::new(tally, file);
            }
            // The frame that the buffer cut goes to its start and is completed there.
            kept = rest.len();
            buffer.copy_within(held - kept..held, 0);
        }
    }
}

fn push_frame(into: &mut Vec<u8>, payload: &[u8]) {
    into.extend((payload.len() as u32).to_le_bytes());
    into.extend(crc32fast::hash(payload).to_le_bytes());
    into.extend(payload);
}

/// The first payload of `bytes` and what follows it; `None` if the frame goes on behind `bytes`.
fn take_frame(bytes: &[u8]) -> Result<Option<(&[u8], &[u8])>> {
    let Some((length, rest)) = bytes.split_first_chunk::<4>() else {
        return Ok(None);
    };
    let Some((crc, rest)) = rest.split_first_chunk::<4>() else {
        return Ok(None);
    };
    let Some((payload, rest)) = rest.split_at_checked(u32::from_le_bytes(*length) as usize) else {
        return Ok(None);
    };
    if crc32fast::hash(payload) != u32::from_le_bytes(*crc) {
        bail!("a frame does not verify");
    }
    Ok(Some((payload, rest)))
}

struct Ring {
    file: File,
    state: Mutex<State>,
    /// Where the threads of groups with even and with odd numbers wait: one group is synced and one
    /// gathers, and the end of a sync must not wake all of both.
    even_and_odd: [Condvar; 2],
}

#[derive(Default)]
struct State {
    /// Frames that wait for the next sync.
    open: Vec<u8>,
    /// The number of the group that they will be.
    open_group: u64,
    /// Groups below this one are durable.
    durable: u64,
    leading: bool,
    failed: bool,
    offset: u64,
    /// The buffer of the group that was written last, to be used again.
    spare: Vec<u8>,
}

impl State {
    /// Where the next `bytes` go.
    fn advance(&mut self, bytes: usize) -> u64 {
        if self.offset + bytes as u64 > RING_BYTES {
            self.offset = 0;
        }
        let offset = self.offset;
        self.offset += bytes as u64;
        offset
    }
}

impl Ring {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn waiting_for(&self, group: u64) -> &Condvar {
        let [even, odd] = &self.even_and_odd;
        if group.is_multiple_of(2) { even } else { odd }
    }

    fn append_durable(&self, payload: &[u8]) -> Result<()> {
        let mut state = self.lock();
        push_frame(&mut state.open, payload);
        let group = state.open_group;
        while state.durable <= group {
            if state.failed {
                bail!("an earlier write or sync failed");
            }
            if state.leading {
                state = self
                    .waiting_for(group)
                    .wait(state)
                    .unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            state.leading = true;
            let spare = std::mem::take(&mut state.spare);
            let mut bytes = std::mem::replace(&mut state.open, spare);
            let written_group = state.open_group;
            state.open_group += 1;
            bytes.resize(bytes.len().next_multiple_of(PAGE_BYTES), 0);
            let offset = state.advance(bytes.len());
            drop(state);
            let written = self.file.write_all_at(&bytes, offset);
            let outcome = written.and_then(|()| self.file.sync_data());
            bytes.clear();
            state = self.lock();
            state.leading = false;
            state.failed |= outcome.is_err();
            state.durable = written_group + 1;
            state.spare = bytes;
            self.waiting_for(written_group).notify_all();
            if state.failed {
                self.waiting_for(written_group + 1).notify_all();
            } else {
                // Whoever wakes leads; the others of that group sleep on.
                self.waiting_for(written_group + 1).notify_one();
            }
            outcome?;
        }
        Ok(())
    }
}

impl Log for Ring {
    fn appender(&self, _thread: usize) -> Result<Box<dyn Appender + '_>> {
        Ok(Box::new(Hand {
            ring: self,
            frame: Vec::with_capacity(FRAME_HEADER_BYTES + super::PAYLOAD_BYTES),
        }))
    }

    fn fill(&self, payloads: &mut Payloads) -> Result<()> {
        let mut bytes = Vec::new();
        let mut offset = 0;
        while let Some(payload) = payloads.next() {
            push_frame(&mut bytes, payload);
            if bytes.len() >= 1 << 20 {
                self.file.write_all_at(&bytes, offset)?;
                offset += bytes.len() as u64;
                bytes.clear();
            }
        }
        Ok(self.file.write_all_at(&bytes, offset)?)
    }

    fn close(self: Box<Self>) -> Result<()> {
        Ok(self.file.sync_all()?)
    }
}

struct Hand<'a> {
    ring: &'a Ring,
    frame: Vec<u8>,
}

impl Appender for Hand<'_> {
    fn append_durable(&mut self, payload: &[u8]) -> Result<()> {
        self.ring.append_durable(payload)
    }

    fn append(&mut self, payload: &[u8]) -> Result<()> {
        self.frame.clear();
        push_frame(&mut self.frame, payload);
        // Under the lock, since the order of records in a log is the order of appends.
        let mut state = self.ring.lock();
        let offset = state.advance(self.frame.len());
        Ok(self.ring.file.write_all_at(&self.frame, offset)?)
    }
}
