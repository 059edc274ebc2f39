//! The nemesis: a cluster under load, broken in every way that a machine can bring about, and then the
//! questions whether clients could tell and whether the stores agree.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::BytesMut;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use redis_protocol::resp2::decode::decode_bytes_mut;
use redis_protocol::resp2::types::BytesFrame;
use torrens::inspector::Inspector;

use crate::HostError;
use crate::cluster::{Cluster, ClusterOptions, line};
use crate::copy::{Consumers, Counts};
use crate::history::{Asked, Operation, Seen, is_linearizable};
use crate::store::engine_dir;
use crate::wire::{Faults, Frame, StoreStatus, WireDigest};

/// How long the cluster gets to come to rest at the end.
const REST_MAX: Duration = Duration::from_secs(60);

/// What a leader keeps for a replica that is behind.
const LOG_ENTRIES_MAX: u64 = 24;

/// How many snapshots of a thousand come a second time, seconds later.
const SNAPSHOTS_AGAIN: u32 = 400;

/// What to do and for how long.
pub struct Settings {
    pub seconds: u64,
    pub seed: Option<u64>,
    pub clients: u64,
    pub keys: u64,
}

/// What every store has of every region that can be read there.
type Digests = Vec<(u64, Vec<WireDigest>)>;

/// What clients saw, by key.
type Histories = Arc<Mutex<BTreeMap<u64, Vec<Operation>>>>;

/// A client's connection.
struct Client {
    address: String,
    stream: Option<TcpStream>,
}

impl Client {
    fn command(&mut self, words: &[&[u8]]) -> io::Result<BytesFrame> {
        let answer = self.exchange(words);
        if answer.is_err() {
            self.stream = None;
        }
        answer
    }

    fn exchange(&mut self, words: &[&[u8]]) -> io::Result<BytesFrame> {
        if self.stream.is_none() {
            self.stream = Some(crate::transport::connect(
                &self.address,
                Duration::from_secs(12),
            )?);
        }
        let Some(stream) = &mut self.stream else {
            return Err(io::ErrorKind::NotConnected.into());
        };
        let mut bytes = format!("*{}\r\n", words.len()).into_bytes();
        for word in words {
            bytes.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
            bytes.extend_from_slice(word);
            bytes.extend_from_slice(b"\r\n");
        }
        stream.write_all(&bytes)?;
        let mut input = BytesMut::new();
        let mut chunk = [0; 4096];
        loop {
            let decoded = decode_bytes_mut(&mut input);
            if let Some((frame, _, _)) =
                decoded.map_err(|_| io::Error::from(io::ErrorKind::InvalidData))?
            {
                return Ok(frame);
            }
            match stream.read(&mut chunk)? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                read => input.extend_from_slice(&chunk[..read]),
            }
        }
    }
}

fn key_name(key: u64) -> Vec<u8> {
    format!("key-{key:06}").into_bytes()
}

fn value_of(bytes: &[u8]) -> Option<u64> {
    std::str::from_utf8(bytes)
        .ok()?
        .split(':')
        .next()?
        .parse()
        .ok()
}

/// What an answer tells of an operation; none if it was not even tried.
fn seen(asked: Asked, answer: io::Result<BytesFrame>) -> Option<Seen> {
    match (asked, answer) {
        (_, Ok(BytesFrame::Error(text))) if text.starts_with("TRYAGAIN") => None,
        (Asked::Get, Ok(BytesFrame::Null)) => Some(Seen::Value(None)),
        (Asked::Get, Ok(BytesFrame::BulkString(bytes))) => Some(Seen::Value(value_of(&bytes))),
        (Asked::Set(_), Ok(BytesFrame::SimpleString(_))) => Some(Seen::Done),
        (Asked::Delete, Ok(BytesFrame::Integer(count))) => Some(Seen::Deleted(count > 0)),
        (Asked::Get, _) => None,
        (Asked::Set(_) | Asked::Delete, _) => Some(Seen::Unknown),
    }
}

struct Run {
    began: Instant,
    stop: AtomicBool,
    next_value: AtomicU64,
    histories: Histories,
}

impl Run {
    fn operate(&self, client: u64, link: &mut Client, key: u64, asked: Asked) -> Option<Seen> {
        let name = key_name(key);
        let began = self.began.elapsed().as_nanos() as u64;
        let answer = match asked {
            Asked::Get => link.command(&[b"GET", &name]),
            // A long value, so that regions grow and split.
            Asked::Set(value) => {
                let value = format!("{value}:{}", "x".repeat(1500));
                link.command(&[b"SET", &name, value.as_bytes()])
            }
            Asked::Delete => link.command(&[b"DEL", &name]),
        };
        let ended = self.began.elapsed().as_nanos() as u64;
        let seen = seen(asked, answer)?;
        let operation = Operation {
            client,
            asked,
            seen,
            began,
            ended,
        };
        let mut histories = self
            .histories
            .lock()
            .expect("nothing panics while it holds the histories");
        histories.entry(key).or_default().push(operation);
        Some(seen)
    }
}

/// Where clients are just now: half of what they do is on so many keys next to each other.
const HOT_KEYS: u64 = 12;
/// How long they stay there.
const HOT_SECONDS: u64 = 10;

/// A key; what is hot moves on, so that regions grow and split where others shrink and merge.
fn draw_key(random: &mut StdRng, keys: u64, elapsed: Duration) -> u64 {
    match random.random_range(0..2) {
        0 => random.random_range(0..keys),
        _ => {
            let first = elapsed.as_secs() / HOT_SECONDS * (HOT_KEYS + 1);
            (first + random.random_range(0..HOT_KEYS)) % keys
        }
    }
}

fn client_thread(run: Arc<Run>, id: u64, addresses: Vec<String>, keys: u64, seed: u64) {
    let mut random = StdRng::seed_from_u64(seed ^ (id << 32));
    let mut link = Client {
        address: addresses[id as usize % addresses.len()].clone(),
        stream: None,
    };
    while !run.stop.load(Ordering::SeqCst) {
        let key = draw_key(&mut random, keys, run.began.elapsed());
        let asked = match random.random_range(0..20) {
            0..=8 => Asked::Get,
            9..=17 => Asked::Set(run.next_value.fetch_add(1, Ordering::SeqCst)),
            _ => Asked::Delete,
        };
        let seen = run.operate(id, &mut link, key, asked);
        if matches!(seen, None | Some(Seen::Unknown)) {
            // Another store may be well.
            link = Client {
                address: addresses[random.random_range(0..addresses.len())].clone(),
                stream: None,
            };
            std::thread::sleep(Duration::from_millis(20));
        }
        std::thread::sleep(Duration::from_millis(random.random_range(0..8)));
    }
}

/// What the nemesis did, by name.
type Deeds = BTreeMap<&'static str, u64>;

/// Counters of stores, kept over their deaths.
#[derive(Default)]
struct Tally {
    past: BTreeMap<String, u64>,
    last: BTreeMap<u64, StoreStatus>,
}

impl Tally {
    fn note(&mut self, statuses: &[(u64, Option<StoreStatus>)]) {
        for (id, status) in statuses {
            if let Some(status) = status {
                self.last.insert(*id, status.clone());
            }
        }
    }

    /// The store is about to die: what it counted stays counted.
    fn keep(&mut self, id: u64) {
        if let Some(status) = self.last.remove(&id) {
            for (name, count) in status.counters {
                *self.past.entry(name).or_default() += count;
            }
        }
    }

    fn all(&self) -> BTreeMap<String, u64> {
        let mut all = self.past.clone();
        for (name, count) in self.last.values().flat_map(|status| &status.counters) {
            *all.entry(name.clone()).or_default() += count;
        }
        all
    }
}

/// What the consumers of changes did.
struct Copied {
    /// Regions whose copy was compared with the store that leads them.
    regions: usize,
    counts: Counts,
}

/// Breaks a cluster for a while; whether everything held.
pub fn run(dir: &Path, options: &ClusterOptions, settings: &Settings) -> Result<bool, HostError> {
    if dir.exists() {
        return Err(io::Error::new(io::ErrorKind::AlreadyExists, "the directory exists").into());
    }
    let seed = settings.seed.unwrap_or_else(rand::random);
    println!("nemesis in {}, seed {seed}", dir.display());
    let mut options = options.clone();
    options.log_entries_max.get_or_insert(LOG_ENTRIES_MAX);
    options.snapshots_again = SNAPSHOTS_AGAIN;
    let options = &options;
    let mut cluster = Cluster::start(dir, options)?;
    let addresses: Vec<String> = cluster
        .ids()
        .iter()
        .map(|id| cluster.client_address(*id))
        .collect();
    let consumers = Consumers::start(&cluster)?;
    let run = Arc::new(Run {
        began: Instant::now(),
        stop: AtomicBool::new(false),
        next_value: AtomicU64::new(1),
        histories: Histories::default(),
    });
    let clients: Vec<_> = (0..settings.clients)
        .map(|id| {
            let (run, addresses, keys) = (Arc::clone(&run), addresses.clone(), settings.keys);
            std::thread::spawn(move || client_thread(run, id, addresses, keys, seed))
        })
        .collect();
    let (mut tally, mut deeds) = (Tally::default(), Deeds::new());
    let fell = break_things(&mut cluster, settings, seed, &run, &mut tally, &mut deeds)?;
    heal(&mut cluster)?;
    run.stop.store(true, Ordering::SeqCst);
    for client in clients {
        let _ = client.join();
    }
    let rested = rest(&mut cluster, &run, &addresses, settings, &mut tally)?;
    let disagreements = match &rested {
        Some(digests) => disagreements(digests, options.replicas),
        None => vec!["the cluster did not come to rest".to_owned()],
    };
    tally.note(&cluster.statuses());
    let (differences, compared) = consumers.settle(&cluster);
    let copied = Copied {
        regions: compared,
        counts: consumers.stop(),
    };
    cluster.kill_driver();
    let stopped = cluster.stop_stores();
    let mut problems = fell;
    problems.extend(disagreements);
    problems.extend(differences);
    if !stopped {
        problems.push("a store did not stop in order".to_owned());
    }
    problems.extend(verify_stores(&cluster));
    problems.extend(check_histories(&run.histories));
    report(&run, &tally, &deeds, rested.as_deref(), &copied, &problems);
    Ok(problems.is_empty())
}

/// Breaks things; answers the ends of stores that nobody ordered.
fn break_things(
    cluster: &mut Cluster,
    settings: &Settings,
    seed: u64,
    run: &Run,
    tally: &mut Tally,
    deeds: &mut Deeds,
) -> Result<Vec<String>, HostError> {
    let mut random = StdRng::seed_from_u64(seed);
    let mut fell = Vec::new();
    let ids = cluster.ids();
    let mut revive: Vec<(Instant, u64)> = Vec::new();
    let mut wake: Vec<(Instant, u64)> = Vec::new();
    let mut next = Instant::now() + Duration::from_secs(3);
    let mut next_line = Instant::now();
    let mut driver_back = None;
    let mut apart: Option<(Instant, u64)> = None;
    while run.began.elapsed().as_secs() < settings.seconds {
        std::thread::sleep(Duration::from_millis(50));
        let now = Instant::now();
        for (id, how) in cluster.fallen() {
            fell.push(format!("store {id} ended by itself: {how}"));
            tally.keep(id);
            revive.push((now, id));
        }
        for (_, id) in revive.extract_if(.., |(at, _)| *at <= now) {
            cluster.start_store(id)?;
        }
        for (_, id) in wake.extract_if(.., |(at, _)| *at <= now) {
            cluster.pause_store(id, false);
        }
        if apart.is_some_and(|(at, _)| at <= now) {
            apart = None;
            for id in &ids {
                cluster.ask_store(*id, &Frame::SetFaults(Faults::default()));
            }
        }
        if driver_back.is_some_and(|at| at <= now) {
            driver_back = None;
            cluster.start_driver()?;
        }
        if now >= next_line {
            next_line = now + Duration::from_secs(2);
            let statuses = statuses_of_awake(cluster, &wake);
            tally.note(&statuses);
            println!("{}", line(run.began.elapsed(), &statuses));
        }
        if now < next {
            continue;
        }
        next = now + Duration::from_millis(random.random_range(400..1800));
        let id = ids[random.random_range(0..ids.len())];
        let is_up = |id: u64| {
            !revive.iter().any(|(_, other)| *other == id)
                && !wake.iter().any(|(_, other)| *other == id)
                && apart.is_none_or(|(_, other)| other != id)
        };
        let down = ids.iter().filter(|id| !is_up(**id)).count();
        let deed = match random.random_range(0..100) {
            0..=34 if is_up(id) && down == 0 => {
                tally.note(&statuses_of_awake(cluster, &wake));
                tally.keep(id);
                cluster.kill_store(id);
                revive.push((
                    now + Duration::from_millis(random.random_range(50..2500)),
                    id,
                ));
                "kill -9"
            }
            35..=49 if is_up(id) && down == 0 => {
                cluster.pause_store(id, true);
                wake.push((
                    now + Duration::from_millis(random.random_range(100..2500)),
                    id,
                ));
                "pause"
            }
            50..=56 if is_up(id) && down == 0 => {
                // Long enough that the others do without it: they elect, split, merge, and let go of the
                // log, so that it comes back to snapshots.
                for other in &ids {
                    let unreachable = match *other == id {
                        true => ids.iter().copied().filter(|each| *each != id).collect(),
                        false => vec![id],
                    };
                    let faults = Faults {
                        unreachable,
                        ..Faults::default()
                    };
                    cluster.ask_store(*other, &Frame::SetFaults(faults));
                }
                let long = random.random_range(2_000..8_000);
                apart = Some((now + Duration::from_millis(long), id));
                "cut off from all"
            }
            57..=69 if apart.is_none() => {
                let faults = Faults {
                    drop: random.random_range(0..100),
                    duplicate: random.random_range(0..100),
                    delay: random.random_range(0..300),
                    delay_max_ms: random.random_range(1..400),
                    unreachable: Vec::new(),
                };
                let _ = is_up(id).then(|| cluster.ask_store(id, &Frame::SetFaults(faults)));
                "drop, duplicate, delay, reorder"
            }
            70..=79 if apart.is_none() => {
                let other = ids[random.random_range(0..ids.len())];
                let faults = Faults {
                    unreachable: vec![other],
                    ..Faults::default()
                };
                let _ = is_up(id).then(|| cluster.ask_store(id, &Frame::SetFaults(faults)));
                "cut one way"
            }
            80..=84 if driver_back.is_none() => {
                cluster.kill_driver();
                driver_back = Some(now + Duration::from_millis(random.random_range(100..2000)));
                "kill -9 of the driver"
            }
            85..=99 if apart.is_none() => {
                let _ =
                    is_up(id).then(|| cluster.ask_store(id, &Frame::SetFaults(Faults::default())));
                "heal links"
            }
            _ => continue,
        };
        *deeds.entry(deed).or_default() += 1;
    }
    for (_, id) in revive {
        cluster.start_store(id)?;
    }
    for (_, id) in wake {
        cluster.pause_store(id, false);
    }
    if driver_back.is_some() {
        cluster.start_driver()?;
    }
    Ok(fell)
}

fn statuses_of_awake(
    cluster: &Cluster,
    paused: &[(Instant, u64)],
) -> Vec<(u64, Option<StoreStatus>)> {
    let is_awake = |id: &u64| !paused.iter().any(|(_, other)| other == id);
    let ask = |id| match cluster.ask_store(id, &Frame::AskStatus) {
        Some(Frame::Status(status)) => Some(status),
        _ => None,
    };
    cluster
        .ids()
        .into_iter()
        .map(|id| (id, is_awake(&id).then(|| ask(id)).flatten()))
        .collect()
}

fn heal(cluster: &mut Cluster) -> io::Result<()> {
    std::thread::sleep(Duration::from_millis(500));
    for (id, _) in cluster.fallen() {
        cluster.start_store(id)?;
    }
    let deadline = Instant::now() + Duration::from_secs(20);
    for id in cluster.ids() {
        while cluster
            .ask_store(id, &Frame::SetFaults(Faults::default()))
            .is_none()
            && Instant::now() < deadline
        {
            std::thread::sleep(Duration::from_millis(100));
        }
    }
    Ok(())
}

/// Lets everything come to rest: the driver stops churning, every key is read once more, and every
/// replica of every region reaches the same index. Answers what every store has then.
fn rest(
    cluster: &mut Cluster,
    run: &Run,
    addresses: &[String],
    settings: &Settings,
    tally: &mut Tally,
) -> io::Result<Option<Digests>> {
    let deadline = Instant::now() + REST_MAX;
    let mut link = Client {
        address: addresses[0].clone(),
        stream: None,
    };
    let mut unsettled = Vec::new();
    let mut unread: Vec<u64> = (0..settings.keys).collect();
    while Instant::now() < deadline {
        let _ = cluster.ask_driver(&Frame::SetChurn(false));
        for (id, _) in cluster.fallen() {
            cluster.start_store(id)?;
        }
        unread.retain(|key| run.operate(u64::MAX, &mut link, *key, Asked::Get).is_none());
        tally.note(&cluster.statuses());
        let mut all = Vec::new();
        for id in cluster.ids() {
            if let Some(Frame::Digests(digests)) = cluster.ask_store(id, &Frame::AskDigests) {
                all.push((id, digests));
            }
        }
        unsettled = unrest(&all);
        if unread.is_empty() && all.len() == cluster.ids().len() && unsettled.is_empty() {
            return Ok(Some(all));
        }
        std::thread::sleep(Duration::from_millis(500));
    }
    for (id, status) in cluster.statuses() {
        println!("store {id}: {status:?}");
    }
    for reason in unsettled {
        println!("{reason}");
    }
    println!("keys that nobody could read: {unread:?}");
    Ok(None)
}

/// What is still moving: gaps in the key space, and regions whose replicas are not all at one index.
fn unrest(all: &[(u64, Vec<WireDigest>)]) -> Vec<String> {
    let mut regions: BTreeMap<u64, Vec<(u64, &WireDigest)>> = BTreeMap::new();
    for (store, digests) in all {
        for digest in digests {
            regions
                .entry(digest.region.id)
                .or_default()
                .push((*store, digest));
        }
    }
    let mut found = Vec::new();
    let mut ranges: Vec<_> = Vec::new();
    for (region, copies) in &regions {
        let Some((_, first)) = copies.first() else {
            continue;
        };
        let same = |copy: &WireDigest| copy.index == first.index && copy.region == first.region;
        let is_complete = copies.len() == first.region.peers.len();
        if !is_complete || !copies.iter().all(|(_, copy)| same(copy)) {
            let copies: Vec<String> = copies
                .iter()
                .map(|(store, copy)| {
                    format!(
                        "store {store} at {} epoch {:?}",
                        copy.index, copy.region.epoch
                    )
                })
                .collect();
            found.push(format!("region {region}: {}", copies.join(", ")));
        }
        ranges.push(first.region.range.clone());
    }
    ranges.sort_by(|a, b| a.start.cmp(&b.start));
    let starts = ranges.first().is_some_and(|range| range.start.is_empty());
    let ends = ranges.last().is_some_and(|range| range.end.is_none());
    let is_whole = ranges
        .windows(2)
        .all(|pair| pair[0].end.as_ref() == Some(&pair[1].start));
    if !(starts && ends && is_whole) {
        found.push("the regions do not cover the key space".to_owned());
    }
    found
}

/// Where replicas at one index differ.
fn disagreements(all: &[(u64, Vec<WireDigest>)], replicas: usize) -> Vec<String> {
    let mut first: BTreeMap<u64, (u64, &WireDigest)> = BTreeMap::new();
    let mut found = Vec::new();
    for (store, digest) in all
        .iter()
        .flat_map(|(store, digests)| digests.iter().map(move |digest| (*store, digest)))
    {
        let (other, against) = first.entry(digest.region.id).or_insert((store, digest));
        if (against.hash, against.rows) != (digest.hash, digest.rows) {
            found.push(format!(
                "region {} at index {}: {} rows on store {other}, {} on store {store}, or others",
                digest.region.id, digest.index, against.rows, digest.rows
            ));
        }
    }
    let _ = replicas;
    found
}

fn verify_stores(cluster: &Cluster) -> Vec<String> {
    let mut problems = Vec::new();
    for id in cluster.ids() {
        let dir = engine_dir(&cluster.store_dir(id));
        let verified = Inspector::open(&dir).and_then(|inspector| inspector.verify());
        match verified {
            Ok(verification) if matches!(verification.exit_code(), 0 | 3) => {}
            Ok(verification) => {
                problems.push(format!(
                    "store {id} does not verify: {} {:?}",
                    verification.name(),
                    verification.findings
                ));
            }
            Err(error) => problems.push(format!("store {id} does not verify: {error}")),
        }
    }
    problems
}

fn check_histories(histories: &Histories) -> Vec<String> {
    let histories = histories
        .lock()
        .expect("nothing panics while it holds the histories");
    let wrong = histories
        .iter()
        .filter(|(_, operations)| !is_linearizable(operations));
    wrong
        .map(|(key, operations)| {
            let mut sorted = operations.clone();
            sorted.sort_by_key(|operation| operation.began);
            let tail: Vec<String> = sorted
                .iter()
                .rev()
                .take(12)
                .rev()
                .map(|operation| format!("  {operation:?}"))
                .collect();
            format!(
                "key {key} is not linearizable; its last operations:\n{}",
                tail.join("\n")
            )
        })
        .collect()
}

fn report(
    run: &Run,
    tally: &Tally,
    deeds: &Deeds,
    digests: Option<&[(u64, Vec<WireDigest>)]>,
    copied: &Copied,
    problems: &[String],
) {
    let histories = run
        .histories
        .lock()
        .expect("nothing panics while it holds the histories");
    let all = || histories.values().flatten();
    let count = |seen: fn(&Seen) -> bool| all().filter(|operation| seen(&operation.seen)).count();
    println!(
        "\ndone         {}",
        list(
            deeds
                .iter()
                .map(|(name, count)| ((*name).to_owned(), *count))
        )
    );
    println!(
        "operations   {} on {} keys: {} reads, {} writes and deletes, {} of unknown outcome",
        all().count(),
        histories.len(),
        count(|seen| matches!(seen, Seen::Value(_))),
        count(|seen| matches!(seen, Seen::Done | Seen::Deleted(_))),
        count(|seen| matches!(seen, Seen::Unknown)),
    );
    let counters = tally.all();
    for (family, title) in [
        ("gate", "gate"),
        ("refused", "refused"),
        ("engine-refused", "by code"),
        ("evicted", "evicted"),
        ("observing", "observing"),
        ("snapshot", "snapshots"),
        ("merge", "merges"),
        ("leadership", "leadership"),
        ("preload", "preloads"),
        ("read", "reads"),
        ("host", "host"),
    ] {
        let prefix = format!("{family}.");
        let named = counters
            .iter()
            .filter_map(|(name, count)| Some((name.strip_prefix(&prefix)?.to_owned(), *count)));
        let text = list(named);
        if !text.is_empty() {
            println!("{title:<12} {text}");
        }
    }
    let transitions = counters
        .iter()
        .filter_map(|(name, count)| Some((name.strip_suffix(".accepted")?.to_owned(), *count)));
    println!("transitions  {}", list(transitions));
    cases(&counters);
    println!(
        "observers    {}; {} regions of copies compared",
        list(copied.counts.clone().into_iter()),
        copied.regions
    );
    if let Some(digests) = digests {
        let replicas: usize = digests.iter().map(|(_, digests)| digests.len()).sum();
        println!("replicas     {replicas} compared");
    }
    match problems {
        [] => println!(
            "result       linearizable, replicas agree, the copies of observers equal the stores, every store verifies"
        ),
        problems => {
            for problem in problems {
                println!("PROBLEM      {problem}");
            }
        }
    }
}

/// How often each of the five cases came about by itself, by what shows it.
fn cases(counters: &BTreeMap<String, u64>) {
    let sum = |is_of: &dyn Fn(&str) -> bool| -> u64 {
        let of = counters.iter().filter(|(name, _)| is_of(name));
        of.map(|(_, count)| count).sum()
    };
    let count = |name: &str| counters.get(name).copied().unwrap_or(0);
    let queued = count("record.cache.queue");
    let over_cache = count("case.snapshot-over-a-cache");
    let over_older = count("case.snapshot-over-a-cache-of-an-older-version");
    let split = count("case.split-behind-a-snapshot-over-a-cache");
    let late = sum(&|name| {
        let is_snapshot = name.starts_with("refused.reserve-snapshot: ")
            || name.starts_with("refused.apply-snapshot: ");
        is_snapshot || name == "snapshot.not-for-this-peer"
    });
    let made_twice = count("case.split-met-a-peer-that-a-message-had-made");
    let uninitialized = count("preload.peer-uninitialized");
    let reports = sum(&|name| name.starts_with("leadership."));
    let late_reports = count("observing.leadership-reports-late");
    let [attached, detached, lost] =
        ["attach", "detach", "invalidate"].map(|name| count(&format!("record.observer.{name}")));
    let repaired = count("observing.audit-repairs");
    println!("case 1       {queued} loads waited for an eviction");
    println!(
        "case 2       {over_cache} snapshots ended a cache, {over_older} of them behind a split that it had not seen; {split} splits came behind those"
    );
    println!(
        "case 3       {late} snapshots came for a peer that could not take them any more; {made_twice} splits met a peer that a message had made"
    );
    println!("case 4       {uninitialized} hints for a peer without a description");
    println!(
        "case 5       {reports} reports of leadership, {late_reports} of them late; {attached} records attached regions, {detached} detached some, {lost} told a loss; {repaired} repairs by audits"
    );
}

fn list(items: impl Iterator<Item = (String, u64)>) -> String {
    items
        .map(|(name, count)| format!("{count} {name}"))
        .collect::<Vec<_>>()
        .join(", ")
}
