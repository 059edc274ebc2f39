//! A consumer in the storage process: an observer of every key whose copy must be what the store holds.
//!
//! It dies with the process, at any moment. What it was told goes to a file beside the store, in groups
//! that say what changed and how far each region is; only then it acknowledges. A part of a group at the
//! end is one that was not acknowledged. Values are kept as checksums. Not here: what the copy must be (the
//! parent knows), the file (`copy_file`).

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use torrens::engine::{Ack, AckAnswer, ObserveError, ObserveOptions, Subscription};
use torrens::lifecycle::{ObserverRefusal, Reset};
use torrens::observe::{ChangeOp, FeedItem};
use torrens::{
    AddedObserver, Engine, EngineError, Generation, KeyRange, Leadership, LeadershipRole,
    LeadershipSource, ObserverId, ObserverName, ObserverPolicy, Rebase, RegionId, StartFrom,
};

use super::copy_file::{Copied, CopyFile};

/// The observer's name.
const NAME: &str = "torture-copy";
/// The term in which this store leads every region that it has.
const TERM: u64 = 1;
/// Most changes of one group.
const GROUP_MAX: usize = 2_000;
/// How long to wait for an item before what came is written.
const PAUSE: Duration = Duration::from_millis(10);
/// How long the copy may take to reach what the store holds.
const BEHIND_MAX: Duration = Duration::from_secs(20);
/// Why a consumer may be told that it lost changes: it slept while more was written than is kept for it. Nothing
/// else happens here that could take any.
const SAID: &str = "bytes";

/// The code of a refusal that may not come: what is acknowledged was told.
const BEYOND_DELIVERED: &str = "observer-beyond-delivered";

/// This store leads whatever it has.
struct LeadsAll(Engine);

impl LeadershipSource for LeadsAll {
    fn leadership(&self, region: RegionId) -> Option<Leadership> {
        let status = self.0.region(region)?;
        Some(Leadership {
            incarnation: status.incarnation,
            term: TERM,
            role: LeadershipRole::Leader,
        })
    }
}

/// What was told so far.
#[derive(Debug, Default)]
struct Told {
    rows: BTreeMap<Vec<u8>, u32>,
    /// The last entry of each region.
    positions: BTreeMap<u64, u64>,
    /// What may not happen to a consumer, in words.
    failed: Option<String>,
}

impl Told {
    fn take(&mut self, copied: &Copied) {
        match copied {
            Copied::Put(key, checksum) => {
                self.rows.insert(key.clone(), *checksum);
            }
            Copied::Delete(key) => {
                self.rows.remove(key);
            }
            Copied::DeleteRange(start, end) => {
                let is_inside = |key: &[u8]| {
                    key >= start.as_slice() && end.as_ref().is_none_or(|end| key < end.as_slice())
                };
                self.rows.retain(|key, _| !is_inside(key));
            }
            Copied::Position(region, index) => {
                self.positions.insert(*region, *index);
            }
        }
    }
}

#[derive(Debug, Default)]
struct Shared {
    told: Mutex<Told>,
    changed: Condvar,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Told> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn fail(&self, text: String) {
        self.lock().failed.get_or_insert(text);
        self.changed.notify_all();
    }
}

/// The consumer.
#[derive(Debug)]
pub(super) struct Copy {
    engine: Engine,
    observer: ObserverId,
    shared: Arc<Shared>,
    thread: JoinHandle<()>,
}

impl Copy {
    /// Goes on where the file ends, or begins with a scan of everything; reads nothing before it has slept.
    pub(super) fn start(
        engine: &Engine,
        path: &Path,
        sleeps: Option<Duration>,
    ) -> Result<Copy, Box<dyn std::error::Error>> {
        engine.set_leadership_source(Some(Arc::new(LeadsAll(engine.clone()))));
        let all = engine.observers();
        let known = all.iter().find(|status| status.name.as_str() == NAME);
        let shared = Arc::new(Shared::default());
        let (observer, file) = match (known, CopyFile::open(path, |one| shared.lock().take(one))?) {
            (Some(known), Some(file)) => (known.id, file),
            (known, _) => {
                *shared.lock() = Told::default();
                if let Some(known) = known {
                    let _gone = engine.remove_observer(known.id)?;
                }
                let observer = add(engine)?;
                // A kill before there is a file begins anew.
                (observer, CopyFile::create(path)?)
            }
        };
        let subscription = engine.observe(observer, ObserveOptions::default())?;
        let consumer = Consumer {
            engine: engine.clone(),
            observer,
            subscription,
            file,
            shared: Arc::clone(&shared),
            group: Vec::new(),
            acks: BTreeMap::new(),
            groups: 0,
        };
        let thread = std::thread::spawn(move || {
            std::thread::sleep(sleeps.unwrap_or_default());
            consumer.run();
        });
        let engine = engine.clone();
        Ok(Copy {
            engine,
            observer,
            shared,
            thread,
        })
    }

    /// The rows of the copy in a region, as soon as it is as far as the store's history; their keys and
    /// the checksums of their values. In words what is wrong if it does not come that far.
    pub(super) fn rows(&self, region: RegionId) -> Result<Vec<(Vec<u8>, u32)>, String> {
        self.engine.flush().map_err(|error| error.to_string())?;
        let until = Instant::now() + BEHIND_MAX;
        loop {
            let lag = self.engine.observer_lag(self.observer);
            let lag = lag.ok_or("the observer is gone")?;
            let one = lag.regions.into_iter().find(|one| one.region == region);
            let range = self.engine.region(region).and_then(|status| status.region);
            let told = self.shared.lock();
            if let Some(failed) = &told.failed {
                return Err(failed.clone());
            }
            let position = told.positions.get(&region.0).copied().unwrap_or(0);
            if let (Some(one), Some(range)) = (&one, &range)
                && matches!(one.state, "live" | "catching-up")
                && !self.is_beginning(region)
                && position.max(one.acked) >= one.head
            {
                let is_inside = |key: &[u8]| range.range.contains(key);
                let rows = told.rows.iter().filter(|(key, _)| is_inside(key));
                return Ok(rows.map(|(key, sum)| (key.clone(), *sum)).collect());
            }
            if Instant::now() > until {
                let state = one.map(|one| (one.state, one.acked, one.delivered, one.head));
                return Err(format!(
                    "{region} is at {position} after {BEHIND_MAX:?}: {state:?}"
                ));
            }
            drop(self.shared.changed.wait_timeout(told, PAUSE));
        }
    }

    /// Whether the rows of a region, or those of the region that it comes from, are still to be told.
    fn is_beginning(&self, region: RegionId) -> bool {
        let regions = self.engine.observed_regions(self.observer);
        let known = regions.into_iter().find(|one| one.region == region);
        known.is_none_or(|one| one.reset != Reset::None || one.after.is_some())
    }

    /// Waits for the consumer to have seen the end of the engine.
    pub(super) fn join(self) -> Option<String> {
        let Copy { shared, thread, .. } = self;
        let ended = thread.join();
        let failed = shared.lock().failed.take();
        failed.or_else(|| ended.is_err().then(|| "the consumer panicked".to_owned()))
    }
}

/// Adds the observer, which begins with every row that there is.
fn add(engine: &Engine) -> Result<ObserverId, Box<dyn std::error::Error>> {
    let name = ObserverName::new(NAME).ok_or("a name")?;
    let (ranges, policy) = (vec![KeyRange::all()], ObserverPolicy::default());
    let observer = match engine.add_observer(name, ranges, StartFrom::Now, policy)? {
        AddedObserver::Added { observer, .. } => observer,
        AddedObserver::Refused(refusal) => return Err(refusal.to_string().into()),
    };
    let regions = engine.observed_regions(observer).into_iter();
    let regions: Vec<RegionId> = regions.map(|one| one.region).collect();
    if !regions.is_empty() {
        let answer = engine.rebase_observer(observer, &regions, Rebase::Scan)?;
        if !answer.holds() {
            return Err(format!("{answer:?}").into());
        }
    }
    Ok(observer)
}

/// What the consumer's thread has.
struct Consumer {
    engine: Engine,
    observer: ObserverId,
    subscription: Subscription,
    file: CopyFile,
    shared: Arc<Shared>,
    /// What was told since the last group.
    group: Vec<Copied>,
    acks: BTreeMap<RegionId, (Generation, u64)>,
    groups: u64,
}

impl Consumer {
    fn run(mut self) {
        if let Err(text) = self.consume() {
            self.shared.fail(text);
        }
    }

    /// Ends with the engine.
    fn consume(&mut self) -> Result<(), String> {
        loop {
            match self.subscription.next_item(Some(PAUSE)) {
                Ok(Some(item)) => self.take(item)?,
                Ok(None) => self.write()?,
                Err(ObserveError::Closed | ObserveError::Engine(EngineError::Closed)) => {
                    return Ok(());
                }
                Err(error) => return Err(super::serve::words(&error)),
            }
            if self.group.len() >= GROUP_MAX {
                self.write()?;
            }
        }
    }

    fn take(&mut self, item: FeedItem) -> Result<(), String> {
        let (region, generation) = (item.region(), item.generation());
        let known = self.shared.lock().positions.get(&region.0).copied();
        match &item {
            // What the file has already comes again if it was not acknowledged: then it is now.
            FeedItem::Entry(entry) if known.is_none_or(|known| entry.position.index > known) => {
                let changes = entry.changes.iter();
                self.add(changes.map(|one| copied(&one.change.op)).collect());
            }
            FeedItem::Rows { rows, .. } => {
                let put = |row: &torrens::observe::FeedRow| {
                    Copied::Put(row.key.to_vec(), crc32fast::hash(&row.value))
                };
                self.add(rows.iter().map(put).collect());
            }
            // The region may be another creation, whose entries begin below those of the last.
            FeedItem::Reset { range, .. } => {
                self.add(vec![copied_range(range), Copied::Position(region.0, 0)]);
            }
            FeedItem::SnapshotApplied { .. } => self.scan(region)?,
            FeedItem::Invalidated {
                reason, first_lost, ..
            } => {
                // Said before it happened: a reason to begin anew, and for the log.
                if reason.as_str() != SAID {
                    return Err(format!("{region} lost {first_lost} on: {reason:?}"));
                }
                let mut log = io::stderr().lock();
                let _ = writeln!(log, "copy: {region} lost {first_lost} on: {reason:?}");
                drop(log);
                self.scan(region)?;
            }
            FeedItem::Attached { .. } | FeedItem::Detached { .. } => {}
            // Events and progress only say how far it is.
            _ => {}
        }
        if let Some(index) = item.acknowledges() {
            let is_further =
                !matches!(item, FeedItem::Entry(_)) || known.is_none_or(|known| index > known);
            if is_further {
                self.add(vec![Copied::Position(region.0, index)]);
            }
            self.acks.insert(region, (generation, index));
        }
        Ok(())
    }

    /// Has every row of the region told anew.
    fn scan(&self, region: RegionId) -> Result<(), String> {
        let answer = self
            .engine
            .rebase_observer(self.observer, &[region], Rebase::Scan);
        answer.map(drop).map_err(|error| error.to_string())
    }

    fn add(&mut self, copied: Vec<Copied>) {
        let mut told = self.shared.lock();
        copied.iter().for_each(|one| told.take(one));
        self.group.extend(copied);
    }

    fn ack(&self, acks: &[Ack], is_durable: bool) -> Result<Option<ObserverRefusal>, String> {
        match self.engine.ack(self.observer, acks, is_durable) {
            Ok(AckAnswer::Refused(refusal)) => Ok(Some(refusal)),
            Ok(_) | Err(EngineError::Closed) => Ok(None),
            Err(error) => Err(super::serve::words(&error)),
        }
    }

    /// Writes what was told, then acknowledges it.
    fn write(&mut self) -> Result<(), String> {
        if !self.group.is_empty() {
            self.file
                .append(&self.group)
                .map_err(|error| format!("the copy cannot be written: {error}"))?;
            self.group.clear();
        }
        let acks = std::mem::take(&mut self.acks);
        let ack = |(region, (generation, index))| Ack {
            region,
            generation,
            index,
        };
        let acks: Vec<Ack> = acks.into_iter().map(ack).collect();
        if !acks.is_empty() {
            self.groups += 1;
            let is_durable = self.groups.is_multiple_of(4);
            if let Some(refusal) = self.ack(&acks, is_durable)? {
                if refusal.code() == BEYOND_DELIVERED {
                    return Err(refusal.to_string());
                }
                // All or none: what ended meanwhile is told again, the others are acknowledged alone.
                for one in &acks {
                    let _ended = self.ack(&[*one], false)?;
                }
            }
        }
        self.shared.changed.notify_all();
        Ok(())
    }
}

fn copied(op: &ChangeOp) -> Copied {
    match op {
        ChangeOp::Put { key, value } => Copied::Put(key.to_vec(), crc32fast::hash(value)),
        ChangeOp::Delete { key } => Copied::Delete(key.to_vec()),
        ChangeOp::DeleteRange { range } => copied_range(range),
    }
}

fn copied_range(range: &KeyRange) -> Copied {
    let end = range.end().map(|end| end.to_vec());
    Copied::DeleteRange(range.start().to_vec(), end)
}
