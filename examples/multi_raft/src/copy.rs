//! Consumers of changes, one for each store: each keeps a copy of everything that its store told it of, and
//! in the end the copy has to equal the store, for every region that the store leads.
//!
//! A consumer outlives its store's process. What it did not acknowledge comes again then, and is known by
//! its region and index. What is lost is said (`Invalidated`), and the consumer has the region told anew.
//!
//! Not here: the store's side (`feed`).

use std::collections::BTreeMap;
use std::io;
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::cluster::Cluster;
use crate::transport::connect;
use crate::wire::{self, Frame, RegionRows, WireChange, WireItem, WireRange};

/// The name under which the consumers are registered.
pub const NAME: &str = "copy";
/// A store says something that often, if it lives and runs.
const SILENCE_MAX: Duration = Duration::from_secs(4);
/// How long the copies get to catch up in the end.
const SETTLE_MAX: Duration = Duration::from_secs(30);

/// What a consumer did, by name.
pub type Counts = BTreeMap<String, u64>;

/// What a consumer has to say after an item.
#[derive(Debug, Default, PartialEq, Eq)]
struct Reaction {
    /// Everything of the region up to the index is dealt with: region, generation, index.
    ack: Option<(u64, u64, u64)>,
    /// The region has to be told anew.
    rescan: Option<u64>,
}

/// The rows that a consumer was told of, and how far it was told of each region.
#[derive(Default)]
pub struct Copy {
    rows: BTreeMap<Vec<u8>, Vec<u8>>,
    told: BTreeMap<u64, u64>,
    counts: Counts,
}

fn is_inside(range: &WireRange, key: &[u8]) -> bool {
    key >= range.start.as_slice() && range.end.as_ref().is_none_or(|end| key < end.as_slice())
}

impl Copy {
    fn count(&mut self, name: &str, many: u64) {
        if many > 0 {
            *self.counts.entry(name.to_owned()).or_default() += many;
        }
    }

    fn take(&mut self, item: WireItem) -> Reaction {
        match item {
            WireItem::Changes {
                region,
                generation,
                index,
                changes,
                is_last,
            } => {
                let ack = is_last.then_some((region, generation, index));
                let rescan = None;
                if self.told.get(&region).is_some_and(|told| index <= *told) {
                    // Told before a crash, and not acknowledged: later entries may lie above it by now.
                    self.count("entries told again", u64::from(is_last));
                    return Reaction { ack, rescan };
                }
                self.count("entries", u64::from(is_last));
                for change in changes {
                    self.change(change);
                }
                if is_last {
                    self.told.insert(region, index);
                }
                Reaction { ack, rescan }
            }
            WireItem::Reset {
                region,
                generation,
                range,
                index,
                is_scanned,
            } => {
                self.count("resets", 1);
                self.rows.retain(|key, _| !is_inside(&range, key));
                self.told.insert(region, index);
                let ack = (!is_scanned).then_some((region, generation, index));
                Reaction { ack, rescan: None }
            }
            WireItem::Rows {
                region,
                generation,
                index,
                rows,
                is_last,
            } => {
                self.count("rows of scans", rows.len() as u64);
                self.rows.extend(rows);
                self.told.insert(region, index);
                let ack = is_last.then_some((region, generation, index));
                Reaction { ack, rescan: None }
            }
            WireItem::Replaced { region } => {
                self.count("snapshots", 1);
                let rescan = Some(region);
                Reaction { ack: None, rescan }
            }
            WireItem::Invalidated { region, reason } => {
                self.count(&format!("losses said ({reason})"), 1);
                let rescan = Some(region);
                Reaction { ack: None, rescan }
            }
            WireItem::Moved {
                region,
                generation,
                acknowledges,
            } => {
                let ack = acknowledges.map(|index| (region, generation, index));
                Reaction { ack, rescan: None }
            }
        }
    }

    fn change(&mut self, change: WireChange) {
        match change {
            WireChange::Put { key, value } => drop(self.rows.insert(key, value)),
            WireChange::Delete { key } => drop(self.rows.remove(&key)),
            WireChange::DeleteRange(range) => self.rows.retain(|key, _| !is_inside(&range, key)),
        }
    }

    /// How the copy differs from a region's rows; none if it does not.
    fn difference(&self, region: &RegionRows) -> Option<String> {
        let own = self
            .rows
            .iter()
            .filter(|(key, _)| is_inside(&region.range, key));
        let own: BTreeMap<&[u8], &[u8]> = own
            .map(|(key, value)| (key.as_slice(), value.as_slice()))
            .collect();
        let rows = region.rows.iter();
        let rows: BTreeMap<&[u8], &[u8]> = rows
            .map(|(key, value)| (key.as_slice(), value.as_slice()))
            .collect();
        if own == rows {
            return None;
        }
        let missing = rows.keys().filter(|key| !own.contains_key(*key)).count();
        let surplus = own.keys().filter(|key| !rows.contains_key(*key)).count();
        let other = rows
            .iter()
            .filter(|(key, value)| own.get(*key).is_some_and(|own| own != *value))
            .count();
        Some(format!(
            "region {}: the copy lacks {missing} rows, has {surplus} too many and {other} others; told up to {:?}",
            region.region,
            self.told.get(&region.region)
        ))
    }
}

/// One store's consumer.
struct Consumer {
    store: u64,
    copy: Arc<Mutex<Copy>>,
    is_connected: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

/// The consumers of a cluster.
pub struct Consumers {
    all: Vec<Consumer>,
    stop: Arc<AtomicBool>,
}

impl Consumers {
    /// Starts one for each store, and waits until each has reached its store once.
    pub fn start(cluster: &Cluster) -> io::Result<Consumers> {
        let stop = Arc::new(AtomicBool::new(false));
        let start = |store| {
            let (copy, is_connected) = (Arc::default(), Arc::default());
            let own = (
                Arc::clone(&stop),
                Arc::clone(&copy),
                Arc::clone(&is_connected),
            );
            let address = cluster.store_address(store);
            let thread = std::thread::spawn(move || run(&address, &own.0, &own.1, &own.2));
            Consumer {
                store,
                copy,
                is_connected,
                thread,
            }
        };
        let all: Vec<Consumer> = cluster.ids().into_iter().map(start).collect();
        let deadline = Instant::now() + Duration::from_secs(30);
        while !all
            .iter()
            .all(|each| each.is_connected.load(Ordering::SeqCst))
        {
            if Instant::now() > deadline {
                return Err(io::ErrorKind::TimedOut.into());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(Consumers { all, stop })
    }

    /// Waits until every copy equals what its store leads; how they differ if that does not come about, and
    /// how many regions were compared.
    pub fn settle(&self, cluster: &Cluster) -> (Vec<String>, usize) {
        let deadline = Instant::now() + SETTLE_MAX;
        loop {
            let (mut found, mut compared) = (Vec::new(), 0);
            for consumer in &self.all {
                let store = consumer.store;
                let Some(Frame::LedRows(regions)) = cluster.ask_store(store, &Frame::AskLedRows)
                else {
                    found.push(format!("store {store} does not say what it leads"));
                    continue;
                };
                let copy = consumer
                    .copy
                    .lock()
                    .expect("nothing panics while it holds a copy");
                compared += regions.len();
                let differences = regions.iter().filter_map(|region| copy.difference(region));
                found.extend(differences.map(|text| format!("observer of store {store}, {text}")));
            }
            if found.is_empty() && compared > 0 || Instant::now() > deadline {
                if compared == 0 {
                    found.push("no store leads anything".to_owned());
                }
                return (found, compared);
            }
            std::thread::sleep(Duration::from_millis(300));
        }
    }

    /// Ends them; what all of them did.
    pub fn stop(self) -> Counts {
        self.stop.store(true, Ordering::SeqCst);
        let mut counts = Counts::new();
        for consumer in self.all {
            let _ = consumer.thread.join();
            let copy = consumer
                .copy
                .lock()
                .expect("nothing panics while it holds a copy");
            for (name, count) in &copy.counts {
                *counts.entry(name.clone()).or_default() += count;
            }
        }
        counts
    }
}

fn run(address: &str, stop: &AtomicBool, copy: &Mutex<Copy>, is_connected: &AtomicBool) {
    while !stop.load(Ordering::SeqCst) {
        let outcome = connect(address, SILENCE_MAX)
            .and_then(|stream| follow(stream, stop, copy, is_connected));
        if outcome.is_err() {
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}

/// Takes items until the store goes away.
fn follow(
    mut stream: TcpStream,
    stop: &AtomicBool,
    copy: &Mutex<Copy>,
    is_connected: &AtomicBool,
) -> io::Result<()> {
    wire::send(&mut stream, &Frame::Observe(NAME.to_owned()))?;
    let mut is_first = true;
    while !stop.load(Ordering::SeqCst) {
        let Frame::Items(items) = wire::receive(&mut stream)? else {
            return Err(io::ErrorKind::InvalidData.into());
        };
        let mut acks = BTreeMap::new();
        let mut rescans = Vec::new();
        {
            let mut copy = copy.lock().expect("nothing panics while it holds a copy");
            if std::mem::take(&mut is_first) {
                copy.count("connections", 1);
                is_connected.store(true, Ordering::SeqCst);
            }
            for item in items {
                let reaction = copy.take(item);
                if let Some((region, generation, index)) = reaction.ack {
                    acks.insert((region, generation), index);
                }
                rescans.extend(reaction.rescan);
            }
        }
        for region in rescans {
            wire::send(&mut stream, &Frame::Rescan(region))?;
        }
        if !acks.is_empty() {
            let acks = acks.into_iter();
            let acks = acks.map(|((region, generation), index)| (region, generation, index));
            wire::send(&mut stream, &Frame::Acks(acks.collect()))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(region: u64, index: u64, key: &[u8], value: &[u8]) -> WireItem {
        let (key, value) = (key.to_vec(), value.to_vec());
        WireItem::Changes {
            region,
            generation: 1,
            index,
            changes: vec![WireChange::Put { key, value }],
            is_last: true,
        }
    }

    fn rows(region: u64, rows: &[(&[u8], &[u8])]) -> RegionRows {
        let range = WireRange {
            start: Vec::new(),
            end: Some(b"m".to_vec()),
        };
        let rows = rows.iter();
        let rows = rows
            .map(|(key, value)| (key.to_vec(), value.to_vec()))
            .collect();
        RegionRows {
            region,
            range,
            rows,
        }
    }

    #[test]
    fn an_entry_that_comes_again_is_acknowledged_and_changes_nothing() {
        let mut copy = Copy::default();
        assert_eq!(copy.take(put(1, 6, b"a", b"1")).ack, Some((1, 1, 6)));
        // The key went on in another region, which was told further before the store was killed.
        copy.take(put(2, 8, b"a", b"2"));
        assert_eq!(copy.take(put(1, 6, b"a", b"1")).ack, Some((1, 1, 6)));
        assert_eq!(copy.difference(&rows(2, &[(b"a", b"2")])), None);
        assert_eq!(copy.counts["entries told again"], 1);
    }

    #[test]
    fn a_loss_asks_for_the_region_anew_and_the_reset_forgets_what_was_there() {
        let mut copy = Copy::default();
        copy.take(put(1, 6, b"a", b"1"));
        copy.take(put(1, 7, b"z", b"1"));
        let lost = WireItem::Invalidated {
            region: 1,
            reason: "x".to_owned(),
        };
        assert_eq!(copy.take(lost).rescan, Some(1));
        let range = rows(1, &[]).range;
        let reset = WireItem::Reset {
            region: 1,
            generation: 2,
            range,
            index: 20,
            is_scanned: true,
        };
        assert_eq!(copy.take(reset), Reaction::default());
        let scanned = WireItem::Rows {
            region: 1,
            generation: 2,
            index: 20,
            rows: vec![(b"b".to_vec(), b"2".to_vec())],
            is_last: true,
        };
        assert_eq!(copy.take(scanned).ack, Some((1, 2, 20)));
        assert_eq!(copy.difference(&rows(1, &[(b"b", b"2")])), None);
        // What lies behind the range of the reset was not forgotten.
        assert_eq!(copy.rows.len(), 2);
        for wrong in [
            rows(1, &[]),
            rows(1, &[(b"b", b"3")]),
            rows(1, &[(b"c", b"2")]),
        ] {
            assert!(copy.difference(&wrong).is_some());
        }
    }
}
