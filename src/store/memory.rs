//! `MemoryStore`: the twin of the store on disk, with what is unflushed kept apart, so that a test
//! can lose it.
//!
//! It keeps the same contract: batches are atomic, scans are not snapshots, only a flush is
//! durable, a crash keeps a prefix of the unflushed batches (or, to test what stands above it, any of
//! their changes), and after a failed call the store is
//! refused for good. Clones are the same store. A crash gives a *new* store, as the next process
//! would find it, and leaves this one as it was.
//!
//! Not here: anything on disk.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::sync::Arc;

use parking_lot::Mutex;

use super::{DataStore, Direction, RawRange, RawRows, StoreBatch, StoreError, StoreOp};

mod factory;
mod rows;
#[cfg(test)]
mod tests;

pub use factory::MemoryFactory;
use rows::Rows;

type Map = BTreeMap<Vec<u8>, Vec<u8>>;

/// Asked before every mutating call with its name (`store.apply`, `store.clear` for a batch that only
/// removes keys, `store.flush`); an error stops
/// the call before it does anything.
pub type StoreHook = Arc<dyn Fn(&'static str) -> io::Result<()> + Send + Sync>;

/// What a crash loses.
#[derive(Clone, Debug)]
pub enum Lost {
    /// Everything since the last flush.
    Unflushed,
    /// Everything since the last flush but this many batches, in the order in which they came.
    AllButBatches(usize),
    /// Each single change since the last flush is lost or not, as this seed says, without regard to
    /// batches and order: less than any store should keep, and what one may whose own pages reach the
    /// device in another order than it thinks.
    Scattered(u64),
    /// The store's whole contents: it comes back empty.
    Everything,
    /// Everything since this image was taken: an older copy was put in place.
    Since(DurableImage),
}

/// What was durable at one time, to go back to with [`Lost::Since`].
#[derive(Clone, Debug)]
pub struct DurableImage(Arc<Map>);

/// What an injected failure does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreFault {
    /// The call fails with this kind of error and does nothing.
    Fails(io::ErrorKind),
    /// The process dies before the call does anything: this call and every later one fails.
    Dies,
    /// The process dies after the call took effect: it fails, and so does every later one.
    DiesAfter,
}

#[derive(Default)]
struct State {
    exists: bool,
    live: Map,
    durable: Map,
    /// Applied to `live` and not to `durable`, in order.
    unflushed: Vec<StoreBatch>,
    calls: u64,
    fault: Option<(u64, StoreFault)>,
    dead: bool,
    refused: Option<(&'static str, String)>,
    hook: Option<StoreHook>,
}

/// An in-memory [`DataStore`] with explicit unflushed state and injected failures.
#[derive(Clone)]
pub struct MemoryStore {
    state: Arc<Mutex<State>>,
    read_only: bool,
}

impl Default for MemoryStore {
    fn default() -> Self {
        MemoryStore::new()
    }
}

impl MemoryStore {
    /// An empty store. A [`MemoryFactory`] sees it as missing until it is created.
    pub fn new() -> Self {
        MemoryStore::of(State::default())
    }

    fn of(state: State) -> Self {
        MemoryStore {
            state: Arc::new(Mutex::new(state)),
            read_only: false,
        }
    }

    /// Asks `hook` before every mutating call. The store after a crash has no hook and no faults.
    #[must_use]
    pub fn with_hook(self, hook: StoreHook) -> Self {
        self.state.lock().hook = Some(hook);
        self
    }

    /// Lets the `call`th mutating call from the store's creation on (the first is 1) meet `fault`.
    pub fn fault_at(&self, call: u64, fault: StoreFault) {
        self.state.lock().fault = Some((call, fault));
    }

    /// Mutating calls (applies and flushes) so far, failed ones too.
    pub fn calls(&self) -> u64 {
        self.state.lock().calls
    }

    /// Batches applied since the last flush.
    pub fn unflushed_batches(&self) -> usize {
        self.state.lock().unflushed.len()
    }

    /// What is durable now.
    pub fn durable_image(&self) -> DurableImage {
        DurableImage(Arc::new(self.state.lock().durable.clone()))
    }

    /// Takes everything away, as if it were kept under another name.
    fn empty(&self) -> io::Result<()> {
        let mut state = self.state.lock();
        if state.dead {
            return Err(dead());
        }
        (state.live, state.durable) = Default::default();
        state.unflushed.clear();
        Ok(())
    }

    /// The store as the next process finds it after the power went: only durable things, and
    /// what `lost` spares.
    pub fn power_cut(&self, lost: Lost) -> MemoryStore {
        self.crash(lost, true)
    }

    /// The store as the next process finds it after this one was killed: `lost` says what was still
    /// in the process's own buffers. What is spared is visible, and still not durable.
    pub fn process_kill(&self, lost: Lost) -> MemoryStore {
        self.crash(lost, false)
    }

    fn crash(&self, lost: Lost, spared_is_durable: bool) -> MemoryStore {
        let state = self.state.lock();
        let mut durable = match &lost {
            Lost::Unflushed | Lost::AllButBatches(_) | Lost::Scattered(_) => state.durable.clone(),
            Lost::Everything => Map::new(),
            Lost::Since(image) => (*image.0).clone(),
        };
        let mut unflushed: Vec<StoreBatch> = match lost {
            Lost::AllButBatches(kept) => state.unflushed.iter().take(kept).cloned().collect(),
            Lost::Scattered(seed) => scattered(&state.unflushed, seed),
            Lost::Unflushed | Lost::Everything | Lost::Since(_) => Vec::new(),
        };
        let mut live = durable.clone();
        unflushed
            .iter()
            .for_each(|batch| apply_to(&mut live, batch));
        if spared_is_durable {
            unflushed.clear();
            durable = live.clone();
        }
        MemoryStore::of(State {
            exists: state.exists,
            live,
            durable,
            unflushed,
            ..State::default()
        })
    }

    /// Runs one mutating call under the rules that all of them share.
    fn mutate(
        &self,
        operation: &'static str,
        work: impl FnOnce(&mut State),
    ) -> Result<(), StoreError> {
        if self.read_only {
            return Err(StoreError::ReadOnly);
        }
        let mut state = self.state.lock();
        state.check(operation)?;
        state.calls += 1;
        let fault = state
            .fault
            .filter(|(call, _)| *call == state.calls)
            .map(|(_, fault)| fault);
        let failure = match fault {
            Some(StoreFault::Fails(kind)) => Some(io::Error::from(kind)),
            Some(StoreFault::Dies | StoreFault::DiesAfter) => {
                state.dead = true;
                if fault == Some(StoreFault::DiesAfter) {
                    work(&mut state);
                }
                Some(dead())
            }
            None => {
                let hook = state.hook.clone();
                match hook.map_or(Ok(()), |hook| hook(operation)) {
                    Ok(()) => {
                        work(&mut state);
                        None
                    }
                    Err(error) => Some(error),
                }
            }
        };
        match failure {
            None => Ok(()),
            Some(error) => {
                state.refused = Some((operation, error.to_string()));
                Err(StoreError::Io {
                    operation,
                    source: Arc::new(error),
                })
            }
        }
    }
}

fn dead() -> io::Error {
    io::Error::other("the simulated process is dead")
}

/// About half of the changes, one a batch.
fn scattered(unflushed: &[StoreBatch], seed: u64) -> Vec<StoreBatch> {
    let ops = unflushed.iter().flat_map(StoreBatch::ops).enumerate();
    let is_kept = |nth: usize| {
        let mut mixed = seed.wrapping_add((nth as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) & 1 == 1
    };
    let kept = ops.filter(|(nth, _)| is_kept(*nth)).map(|(_, op)| {
        let mut batch = StoreBatch::new();
        match op {
            StoreOp::Put { key, value } => batch.put(key.clone(), value.clone()),
            StoreOp::Delete { key } => batch.delete(key.clone()),
        }
        batch
    });
    kept.collect()
}

fn apply_to(map: &mut Map, batch: &StoreBatch) {
    for op in batch.ops() {
        match op {
            StoreOp::Put { key, value } => map.insert(key.clone(), value.clone()),
            StoreOp::Delete { key } => map.remove(key),
        };
    }
}

impl State {
    fn check(&self, operation: &'static str) -> Result<(), StoreError> {
        if self.dead {
            return Err(StoreError::Io {
                operation,
                source: Arc::new(dead()),
            });
        }
        match &self.refused {
            Some((operation, reason)) => Err(StoreError::Refused {
                operation,
                reason: reason.clone(),
            }),
            None => Ok(()),
        }
    }
}

impl DataStore for MemoryStore {
    fn apply(&self, batch: &StoreBatch) -> Result<(), StoreError> {
        let operation = match batch.is_removal() {
            true => "store.clear",
            false => "store.apply",
        };
        self.mutate(operation, |state| {
            apply_to(&mut state.live, batch);
            state.unflushed.push(batch.clone());
        })
    }

    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        let state = self.state.lock();
        state.check("store.get")?;
        Ok(state.live.get(key).cloned())
    }

    fn scan(&self, range: &RawRange, direction: Direction) -> RawRows<'_> {
        Box::new(Rows::new(self, range.clone(), direction))
    }

    fn flush(&self) -> Result<(), StoreError> {
        self.mutate("store.flush", |state| {
            for batch in state.unflushed.drain(..) {
                apply_to(&mut state.durable, &batch);
            }
        })
    }

    fn kind(&self) -> &'static str {
        "memory"
    }

    fn size_bytes(&self) -> Result<u64, StoreError> {
        let state = self.state.lock();
        state.check("store.size")?;
        Ok(state
            .live
            .iter()
            .map(|(key, value)| (key.len() + value.len()) as u64)
            .sum())
    }
}

impl fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.state.lock();
        f.debug_struct("MemoryStore")
            .field("rows", &state.live.len())
            .field("unflushed_batches", &state.unflushed.len())
            .field("calls", &state.calls)
            .field("dead", &state.dead)
            .finish_non_exhaustive()
    }
}
