//! Messages to other stores: one thread and one connection a store, and one connection a snapshot.
//! Messages may be lost; Raft sends again. The nemesis makes that worse on purpose.
//!
//! Not here: what comes in (`server`).

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::sync::{Arc, Mutex, RwLock};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, TrySendError, bounded};
use rand::Rng;

use crate::wire::{self, Envelope, Faults, Frame, SnapshotHead};

/// Messages that wait for a store; more are lost, as on any network.
const QUEUE_MESSAGES_MAX: usize = 10_000;
const CONNECT_WAIT: Duration = Duration::from_millis(300);
const SNAPSHOT_WAIT: Duration = Duration::from_secs(20);
/// A snapshot that comes twice comes the second time within so many milliseconds: its peer shall have had the
/// time to go, or to come again.
const SNAPSHOT_AGAIN_MAX_MS: u64 = 8_000;

/// Where every store listens, as the driver last said.
pub type Addresses = Arc<RwLock<BTreeMap<u64, String>>>;

/// Sends messages to other stores.
pub struct Transport {
    own: u64,
    addresses: Addresses,
    faults: Arc<Mutex<Faults>>,
    snapshots_again: u32,
    queues: BTreeMap<u64, Sender<Envelope>>,
}

/// Connects with the time limits that every connection here has.
pub fn connect(address: &str, wait: Duration) -> io::Result<TcpStream> {
    let address = address.parse().map_err(|_| io::ErrorKind::InvalidInput)?;
    let stream = TcpStream::connect_timeout(&address, CONNECT_WAIT)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(wait))?;
    stream.set_write_timeout(Some(wait))?;
    Ok(stream)
}

/// Sends a frame and reads the answer.
pub fn ask(stream: &mut TcpStream, frame: &Frame) -> io::Result<Frame> {
    wire::send(stream, frame)?;
    wire::receive(stream)
}

impl Transport {
    /// `snapshots_again` of a thousand snapshots are sent twice, beside those that `faults` double.
    pub fn new(
        own: u64,
        addresses: Addresses,
        faults: Arc<Mutex<Faults>>,
        snapshots_again: u32,
    ) -> Transport {
        Transport {
            own,
            addresses,
            faults,
            snapshots_again,
            queues: BTreeMap::new(),
        }
    }

    /// Queues a message; it may get lost.
    pub fn send(&mut self, envelope: Envelope) {
        let to = envelope.to_store;
        if to == self.own {
            return;
        }
        let queue = self.queues.entry(to).or_insert_with(|| {
            let (sender, receiver) = bounded(QUEUE_MESSAGES_MAX);
            let (addresses, faults) = (Arc::clone(&self.addresses), Arc::clone(&self.faults));
            std::thread::spawn(move || {
                Link {
                    to,
                    addresses,
                    faults,
                    stream: None,
                }
                .run(&receiver)
            });
            sender
        });
        match queue.try_send(envelope) {
            Ok(()) | Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => {}
        }
    }

    /// Sends a message and the snapshot file that belongs to it, on a thread of its own; tells whether
    /// the other store has staged it. Faults make it late, lost or sent twice, as they do messages.
    pub fn send_snapshot<R: Read>(
        &self,
        envelope: Envelope,
        head: SnapshotHead,
        open: impl Fn() -> R + Send + 'static,
        done: impl FnOnce(bool) + Send + 'static,
    ) {
        let address = self.address(envelope.to_store);
        let faults = self
            .faults
            .lock()
            .expect("nothing panics while it holds the faults")
            .clone();
        let mut random = rand::rng();
        let mut happens = |thousandths: u32| random.random_range(0..1000) < thousandths;
        let is_cut = faults.unreachable.contains(&envelope.to_store) || happens(faults.drop);
        let is_doubled = happens(faults.duplicate) || happens(self.snapshots_again);
        let is_late = happens(faults.delay);
        let late = rand::rng().random_range(0..=faults.delay_max_ms);
        std::thread::spawn(move || {
            if is_late {
                // Messages and other snapshots overtake it.
                std::thread::sleep(Duration::from_millis(u64::from(late)));
            }
            let send = |address: &str| stream_snapshot(address, envelope.clone(), head, open());
            let sent = match (&address, is_cut) {
                (Some(address), false) => send(address),
                _ => Err(io::ErrorKind::NotConnected.into()),
            };
            let again = address.filter(|_| is_doubled && sent.is_ok());
            done(sent.is_ok());
            if let Some(address) = again {
                let later = rand::rng().random_range(0..=SNAPSHOT_AGAIN_MAX_MS);
                std::thread::sleep(Duration::from_millis(later));
                let _ = send(&address);
            }
        });
    }

    fn address(&self, store: u64) -> Option<String> {
        self.addresses
            .read()
            .expect("nothing panics while it holds the addresses")
            .get(&store)
            .cloned()
    }
}

fn stream_snapshot(
    address: &str,
    envelope: Envelope,
    head: SnapshotHead,
    file: impl Read,
) -> io::Result<()> {
    let mut stream = connect(address, SNAPSHOT_WAIT)?;
    wire::send(&mut stream, &Frame::Snapshot(envelope, head))?;
    let copied = io::copy(&mut file.take(head.bytes), &mut stream)?;
    if copied != head.bytes {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    stream.flush()?;
    match wire::receive(&mut stream)? {
        Frame::Ok => Ok(()),
        _ => Err(io::ErrorKind::InvalidData.into()),
    }
}

/// The connection to one store.
struct Link {
    to: u64,
    addresses: Addresses,
    faults: Arc<Mutex<Faults>>,
    stream: Option<TcpStream>,
}

impl Link {
    fn run(mut self, queue: &Receiver<Envelope>) {
        let mut late: Vec<(Instant, Envelope)> = Vec::new();
        loop {
            let next = late.iter().map(|(at, _)| *at).min();
            let wait = next.map_or(Duration::from_secs(1), |at| {
                at.saturating_duration_since(Instant::now())
            });
            match queue.recv_timeout(wait) {
                Ok(envelope) => self.pass(envelope, &mut late),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            let now = Instant::now();
            while let Some(at) = late.iter().position(|(at, _)| *at <= now) {
                let (_, envelope) = late.swap_remove(at);
                self.write(&envelope);
            }
        }
    }

    /// Sends a message, or does to it what the faults say.
    fn pass(&mut self, envelope: Envelope, late: &mut Vec<(Instant, Envelope)>) {
        let faults = self
            .faults
            .lock()
            .expect("nothing panics while it holds the faults")
            .clone();
        let mut random = rand::rng();
        let mut happens = |thousandths: u32| random.random_range(0..1000) < thousandths;
        if faults.unreachable.contains(&self.to) || happens(faults.drop) {
            return;
        }
        if happens(faults.duplicate) {
            self.write(&envelope);
        }
        if happens(faults.delay) {
            let wait = rand::rng().random_range(0..=faults.delay_max_ms);
            late.push((
                Instant::now() + Duration::from_millis(u64::from(wait)),
                envelope,
            ));
            return;
        }
        self.write(&envelope);
    }

    fn write(&mut self, envelope: &Envelope) {
        if self.stream.is_none() {
            let addresses = self
                .addresses
                .read()
                .expect("nothing panics while it holds the addresses");
            let Some(address) = addresses.get(&self.to).cloned() else {
                return;
            };
            drop(addresses);
            self.stream = connect(&address, Duration::from_secs(2)).ok();
        }
        if let Some(stream) = &mut self.stream
            && wire::send(stream, &Frame::Envelope(envelope.clone())).is_err()
        {
            self.stream = None;
        }
    }
}
