//! Reading and verifying segments ahead of the walk: one thread reads, others verify, and the walk
//! takes the batches in the journal's order.
//!
//! ```text
//! reader  ──batch──▶ to verify ──any thread──▶ verified ──in order──▶ the walk ──buffer──▶ reader
//! ```
//!
//! The number of buffers bounds both the memory and how far the reader runs ahead. What comes out is
//! only what verified by itself; whether it follows what was before, and what to think of the place
//! where it ends, is the walk's affair. A thread that fails ends the reading ahead and nothing else:
//! the walk then reads for itself.

use std::collections::{BTreeMap, VecDeque};

use parking_lot::{Condvar, Mutex, MutexGuard};
use torrens_journal::{AheadBatch, AheadReader};

/// Buffers in flight for each thread; of one block each, unless groups are larger.
const BUFFERS_PER_THREAD: usize = 4;

/// What the reader has put in order: a batch, or the end of a segment.
#[derive(Debug)]
enum Piece {
    Batch(AheadBatch),
    End,
}

#[derive(Debug, Default)]
struct State {
    /// Read and not verified, oldest first, with their places in the order.
    unverified: VecDeque<(u64, AheadBatch)>,
    /// Ready to be taken.
    ready: BTreeMap<u64, Piece>,
    /// Buffers that nobody uses.
    free: Vec<Vec<u8>>,
    /// The next place in the order that the walk takes.
    next: u64,
    /// The segment of which the walk wants nothing more.
    skipped: Option<usize>,
    /// The walk is done, or a thread has failed: everybody stops.
    stopped: bool,
}

/// The meeting place of the reader, the verifiers and the walk.
#[derive(Debug)]
pub(super) struct Ahead {
    state: Mutex<State>,
    /// Something to verify.
    work: Condvar,
    /// A buffer came back.
    room: Condvar,
    /// A piece is ready, or there is something to verify that the walk can do meanwhile.
    pieces: Condvar,
}

/// Stops everybody when it is dropped, also by a panic.
#[derive(Debug)]
pub(super) struct StopOnDrop<'a>(pub(super) &'a Ahead);

impl Drop for StopOnDrop<'_> {
    fn drop(&mut self) {
        self.0.stop();
    }
}

/// Stops everybody if its thread panics.
struct StopOnPanic<'a>(&'a Ahead);

impl Drop for StopOnPanic<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.stop();
        }
    }
}

impl Ahead {
    /// For `verifiers` threads beside the reader's and the walk's.
    pub(super) fn new(verifiers: usize) -> Ahead {
        let buffers = BUFFERS_PER_THREAD.saturating_mul(verifiers.saturating_add(1));
        let state = State {
            free: vec![Vec::new(); buffers],
            ..State::default()
        };
        Ahead {
            state: Mutex::new(state),
            work: Condvar::new(),
            room: Condvar::new(),
            pieces: Condvar::new(),
        }
    }

    fn stop(&self) {
        self.state.lock().stopped = true;
        self.work.notify_all();
        self.room.notify_all();
        self.pieces.notify_all();
    }

    /// The reader's thread: all segments in order. `None` stands for a segment without a usable
    /// header.
    pub(super) fn read(&self, segments: Vec<Option<AheadReader>>) {
        let _guard = StopOnPanic(self);
        let mut place = 0u64;
        for (index, segment) in segments.into_iter().enumerate() {
            let mut segment = segment;
            while let Some(reader) = &mut segment {
                let Some(buffer) = self.buffer() else { return };
                if self.state.lock().skipped == Some(index) {
                    self.give_back(buffer);
                    break;
                }
                // A read that failed is tried again, and reported, by the walk.
                let Ok(Some(batch)) = reader.next_batch(buffer) else {
                    // The buffer went down with the reader; the bound stays what it was.
                    self.give_back(Vec::new());
                    break;
                };
                self.state.lock().unverified.push_back((place, batch));
                self.work.notify_one();
                self.pieces.notify_one();
                place += 1;
            }
            self.state.lock().ready.insert(place, Piece::End);
            self.pieces.notify_one();
            place += 1;
        }
    }

    fn buffer(&self) -> Option<Vec<u8>> {
        let mut state = self.state.lock();
        loop {
            if state.stopped {
                return None;
            }
            if let Some(buffer) = state.free.pop() {
                return Some(buffer);
            }
            self.room.wait(&mut state);
        }
    }

    fn give_back(&self, buffer: Vec<u8>) {
        self.state.lock().free.push(buffer);
        self.room.notify_one();
    }

    /// A verifier's thread.
    pub(super) fn verify(&self) {
        let _guard = StopOnPanic(self);
        let mut state = self.state.lock();
        while !state.stopped {
            match state.unverified.pop_front() {
                Some(work) => state = self.verify_one(state, work),
                None => self.work.wait(&mut state),
            }
        }
    }

    fn verify_one<'a>(
        &'a self,
        state: MutexGuard<'a, State>,
        (place, mut batch): (u64, AheadBatch),
    ) -> MutexGuard<'a, State> {
        drop(state);
        batch.verify();
        let mut state = self.state.lock();
        let awaited = state.next == place;
        state.ready.insert(place, Piece::Batch(batch));
        if awaited {
            self.pieces.notify_one();
        }
        state
    }

    /// The walk: the next batch of the segment that is being walked, or `None` at its end. Verifies
    /// something itself while there is nothing to take.
    pub(super) fn next(&self) -> Option<AheadBatch> {
        let mut state = self.state.lock();
        loop {
            if state.stopped {
                return None;
            }
            let next = state.next;
            if let Some(piece) = state.ready.remove(&next) {
                state.next += 1;
                return match piece {
                    Piece::Batch(batch) => Some(batch),
                    Piece::End => None,
                };
            }
            match state.unverified.pop_front() {
                Some(work) => state = self.verify_one(state, work),
                None => self.pieces.wait(&mut state),
            }
        }
    }

    /// The walk is done with a batch.
    pub(super) fn done(&self, batch: AheadBatch) {
        self.give_back(batch.into_buffer());
    }

    /// The walk wants nothing more of the segment at `index`, whose end it has not seen yet.
    pub(super) fn skip(&self, index: usize) {
        self.state.lock().skipped = Some(index);
        while let Some(batch) = self.next() {
            self.done(batch);
        }
    }
}
