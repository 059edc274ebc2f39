//! The metadata path of a large cluster, without disks: the real `step`, `apply` and codec, store by store.
//! `cargo run --release --example cluster_at_scale`.
//!
//! Stores decide alone, so a cluster is simulated one store after the other: each gets its regions and then
//! the events of a while (splits, moved replicas, peers made and destroyed). What grows with what changes, and
//! what grows with all there is, is measured on stores of growing size. With `--out FOLDER` the figures and
//! their plots are written there, as docs/PERFORMANCE.md shows them.
//!
//! Not here: what syncs and files cost (`benches/peers`, suite `scale`).

use std::error::Error;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::Instant;

use torrens::lifecycle::{Accepted, Cause, Event, Outcome, Record, Register, Stamp, apply, step};
use torrens::{
    Derive, DestroyCause, Key, KeyRange, Lsn, NewRegion, Peer, PeerChange, PeerId, RaftPosition,
    Region, RegionEpoch, RegionId, RegisterMachine, Split, StoreId, codec,
};
use torrens_recovery::StateMachine;

type Outcomes<T> = Result<T, Box<dyn Error>>;

/// New regions of one split while a store is filled.
const CHILDREN: u64 = 250;
/// Ids of regions that are made later, above all others.
const LATER: u64 = 1 << 32;

/// One store's register, with what it cost to move it.
struct Store {
    register: Register,
    lsn: Lsn,
    records: u64,
    bytes: u64,
    /// Nanoseconds in step, encoding and apply.
    nanos: [u64; 3],
    random: u64,
}

fn key(n: u64) -> Key {
    Key::from(n.to_be_bytes().as_slice())
}

fn peers(region: u64) -> Vec<Peer> {
    let peer = |store| Peer::voter(PeerId(region * 4 + store), StoreId(store));
    (1..=3).map(peer).collect()
}

fn position(index: u64) -> RaftPosition {
    RaftPosition { index, term: 6 }
}

impl Store {
    /// A store with so many regions; region `n` begins at the key of `n` shifted left, so that it can be split.
    fn with(regions: u64, seed: u64) -> Outcomes<Store> {
        let mut store = Store {
            register: Register::default(),
            lsn: Lsn::ZERO,
            records: 0,
            bytes: 0,
            nanos: [0; 3],
            random: seed | 1,
        };
        store.decide(&Event::Identify { store: StoreId(1) })?;
        let region = Region {
            id: RegionId(1),
            range: KeyRange::all(),
            epoch: RegionEpoch::BOOTSTRAP,
            peers: peers(1),
        };
        let own = StoreId(1);
        store.decide(&Event::Bootstrap { store: own, region })?;
        let mut last = 1;
        while last < regions {
            let new: Vec<u64> = (last + 1..=regions.min(last + CHILDREN)).collect();
            store.split(last, &new, |n| key(n << 24))?;
            last = regions.min(last + CHILDREN);
        }
        (store.records, store.bytes, store.nanos) = (0, 0, [0; 3]);
        Ok(store)
    }

    /// As the engine does it, without the disk.
    fn decide(&mut self, event: &Event) -> Outcomes<()> {
        let begun = Instant::now();
        let change = match step(&self.register, event) {
            Outcome::Accepted(Accepted { change, .. }) => change,
            other => return Err(format!("{event:?}: {other:?}").into()),
        };
        let decided = Instant::now();
        let stamp = Stamp {
            wall_clock_micros: 1_795_000_000_000_000,
            boot: 1,
            cause: Cause::Host,
        };
        let record = Record::new(&self.register, change, stamp);
        let (_, payload) = codec::encode(&record);
        let encoded = Instant::now();
        self.lsn = self.lsn.next().ok_or("out of positions")?;
        apply(&mut self.register, self.lsn, &record)?;
        let applied = Instant::now();
        self.records += 1;
        self.bytes += payload.len() as u64;
        for (total, (from, to)) in
            self.nanos
                .iter_mut()
                .zip([(begun, decided), (decided, encoded), (encoded, applied)])
        {
            *total += u64::try_from((to - from).as_nanos())?;
        }
        Ok(())
    }

    fn described(&self, region: u64) -> Outcomes<(RegionEpoch, u64)> {
        let peer = self.register.peer(RegionId(region)).ok_or("no such peer")?;
        let described = peer.stage.region().ok_or("no description")?;
        let index = peer.stage.meta_index().map_or(5, |meta| meta.index);
        Ok((described.epoch, index))
    }

    fn split(&mut self, region: u64, new: &[u64], key: impl Fn(u64) -> Key) -> Outcomes<()> {
        let (epoch, index) = self.described(region)?;
        self.decide(&Event::Split(Split {
            region: RegionId(region),
            incarnation: None,
            epoch,
            position: position(index + 1),
            boundaries: new.iter().map(|n| key(*n)).collect(),
            children: new
                .iter()
                .map(|n| NewRegion {
                    id: RegionId(*n),
                    peers: peers(*n),
                })
                .collect(),
            derive: Derive::Left,
        }))
    }

    fn change_peers(&mut self, region: u64, change: PeerChange) -> Outcomes<()> {
        let (epoch, index) = self.described(region)?;
        self.decide(&Event::ChangePeers {
            region: RegionId(region),
            incarnation: None,
            epoch,
            position: position(index + 1),
            change,
        })
    }

    /// Xorshift: any order that is the same each time.
    fn draw(&mut self, limit: u64) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random % limit
    }

    /// So many events in the proportion of a cluster that moves replicas far more often than it splits: in
    /// eight events one split, three changes of peers, and two peers that come and go.
    /// `before` says how many there were before these.
    fn live(&mut self, regions: u64, before: u64, events: u64) -> Outcomes<()> {
        let learner = Peer::learner(PeerId(u64::from(u32::MAX)), StoreId(9));
        for round in before / 8..(before + events) / 8 {
            let region = 1 + self.draw(regions);
            let child = LATER + round;
            // Each split of a region lies left of the one before.
            let at = (region << 24) + (1 << 23) - (round % (1 << 22)) - 1;
            let at = if region == 1 { 1 + round % 1_000 } else { at };
            if region > 1 {
                self.split(region, &[child], |_| key(at))?;
            } else {
                self.change_peers(region, PeerChange::Add { peer: learner })?;
                self.change_peers(region, PeerChange::Remove { peer: learner.id })?;
                continue;
            }
            let other = 1 + self.draw(regions);
            self.change_peers(other, PeerChange::Add { peer: learner })?;
            self.change_peers(other, PeerChange::Remove { peer: learner.id })?;
            self.change_peers(child, PeerChange::Add { peer: learner })?;
            for bare in [2 * round, 2 * round + 1].map(|n| 2 * LATER + n) {
                self.decide(&Event::CreateByMessage {
                    region: RegionId(bare),
                    peer: PeerId(bare),
                    from_store: StoreId(2),
                    message_epoch: RegionEpoch::BOOTSTRAP,
                })?;
                self.decide(&Event::Destroy {
                    region: RegionId(bare),
                    incarnation: None,
                    peer: PeerId(bare),
                    cause: DestroyCause::Operator,
                })?;
            }
        }
        Ok(())
    }
}

/// What a store of one size costs.
struct Size {
    regions: u64,
    /// Microseconds of one event: step, encoding, apply.
    event_micros: [f64; 3],
    /// Nanoseconds of a picture, as a publication or a checkpoint takes one.
    picture_nanos: f64,
    /// Nanoseconds of a lookup by key.
    lookup_nanos: f64,
    /// Seconds to write all of it into memory, as a checkpoint does into a file.
    save_seconds: f64,
    /// Seconds to make it of that again, as opening does.
    load_seconds: f64,
    /// Of the saved form.
    saved_bytes: f64,
}

/// The fastest turn: whatever else a machine does only makes a turn slower.
fn fastest(turns: Vec<f64>) -> f64 {
    turns.into_iter().fold(f64::INFINITY, f64::min)
}

/// Nanoseconds of each of `count` calls, as in the fastest of turns.
fn turns(count: u32, mut call: impl FnMut()) -> f64 {
    let turn = || {
        let begun = Instant::now();
        for _ in 0..count {
            call();
        }
        begun.elapsed().as_nanos() as f64 / f64::from(count)
    };
    fastest(std::iter::repeat_with(turn).take(TURNS).collect())
}

/// Turns of which the fastest counts.
const TURNS: usize = 21;

fn measure(regions: u64) -> Outcomes<Size> {
    let mut store = Store::with(regions, 7)?;
    let mut saved = Vec::new();
    let (mut save, mut load) = (Vec::new(), Vec::new());
    let machine = RegisterMachine::new(store.register.clone());
    for _ in 0..3 {
        saved.clear();
        let begun = Instant::now();
        machine.save(&mut |item| {
            saved.push(item.to_vec());
            Ok(())
        })?;
        save.push(begun.elapsed().as_secs_f64());
        let (begun, mut loaded) = (Instant::now(), RegisterMachine::default());
        for item in &saved {
            loaded.load(RegisterMachine::decode_item(item)?)?;
        }
        load.push(begun.elapsed().as_secs_f64());
    }
    drop(machine);
    let saved_bytes = saved.iter().map(Vec::len).sum::<usize>() as f64;
    let (mut drawn, register) = (Store::with(1, 7)?, store.register.clone());
    let lookup_nanos = turns(10_000, || {
        let n = 1 + drawn.draw(regions);
        std::hint::black_box(register.owner_of(&key((n << 24) + 5)));
    });
    let picture_nanos = turns(10_000, || drop(std::hint::black_box(register.clone())));
    drop(register);
    // So few for a small store that it stays one: what splits and peers leave is part of what it holds.
    let events = (regions / 10).clamp(80, 2_000);
    let mut per_turn: [Vec<f64>; 3] = Default::default();
    for turn in 0..TURNS as u64 {
        let before = (store.records, store.nanos);
        store.live(regions, turn * events, events)?;
        let records = (store.records - before.0) as f64;
        for (turns, (now, before)) in per_turn.iter_mut().zip(store.nanos.iter().zip(before.1)) {
            turns.push((now - before) as f64 / 1e3 / records);
        }
    }
    let event_micros = per_turn.map(fastest);
    let (save_seconds, load_seconds) = (fastest(save), fastest(load));
    Ok(Size {
        regions,
        event_micros,
        picture_nanos,
        lookup_nanos,
        save_seconds,
        load_seconds,
        saved_bytes,
    })
}

/// What the whole cluster took.
struct Cluster {
    stores: u64,
    regions: u64,
    events: u64,
    records: u64,
    bytes: u64,
    seconds: f64,
}

fn cluster(stores: u64, regions: u64, events: u64) -> Outcomes<Cluster> {
    let mut whole = Cluster {
        stores,
        regions,
        events,
        records: 0,
        bytes: 0,
        seconds: 0.0,
    };
    for number in 0..stores {
        let mut store = Store::with(regions, 0x9e37_79b9 + number)?;
        store.live(regions, 0, events)?;
        store
            .register
            .check_invariants()
            .map_err(|fault| format!("{fault:?}"))?;
        whole.records += store.records;
        whole.bytes += store.bytes;
        whole.seconds += store.nanos.iter().sum::<u64>() as f64 / 1e9;
    }
    Ok(whole)
}

fn table(sizes: &[Size], whole: &Cluster) -> String {
    let mut text = String::from(
        "regions,event_us,step_us,encode_us,apply_us,picture_ns,lookup_ns,save_s,load_s,saved_bytes_per_region\n",
    );
    for size in sizes {
        let [step, encode, apply] = size.event_micros;
        // Writing into a string does not fail.
        let _ = writeln!(
            text,
            "{},{:.3},{step:.3},{encode:.3},{apply:.3},{:.1},{:.1},{:.4},{:.4},{:.0}",
            size.regions,
            step + encode + apply,
            size.picture_nanos,
            size.lookup_nanos,
            size.save_seconds,
            size.load_seconds,
            size.saved_bytes / size.regions as f64,
        );
    }
    let _ = writeln!(
        text,
        "# cluster: {} stores of {} regions, {} events each: {} records, {:.1} bytes each, {:.3} us of one processor each",
        whole.stores,
        whole.regions,
        whole.events,
        whole.records,
        whole.bytes as f64 / whole.records as f64,
        whole.seconds * 1e6 / whole.records as f64,
    );
    text
}

/// One line of a plot.
type Series<'a> = (&'a str, &'a str, Vec<(f64, f64)>);

/// A plot with logarithmic axes.
fn plot(title: &str, unit: &str, series: &[Series<'_>]) -> String {
    const WIDTH: f64 = 560.0;
    const HEIGHT: f64 = 320.0;
    const LEFT: f64 = 64.0;
    const RIGHT: f64 = 110.0;
    const TOP: f64 = 34.0;
    const BOTTOM: f64 = 40.0;
    let all = || series.iter().flat_map(|(_, _, points)| points);
    let bounds = |of: fn(&(f64, f64)) -> f64| {
        let values = || all().map(of).filter(|value| *value > 0.0).map(f64::log10);
        let low = values().fold(f64::INFINITY, f64::min).floor();
        let high = values().fold(f64::NEG_INFINITY, f64::max).ceil();
        (low, high.max(low + 1.0))
    };
    let (across, up) = (bounds(|point| point.0), bounds(|point| point.1));
    let x = |value: f64| {
        LEFT + (value.log10() - across.0) / (across.1 - across.0) * (WIDTH - LEFT - RIGHT)
    };
    let y = |value: f64| {
        HEIGHT - BOTTOM - (value.log10() - up.0) / (up.1 - up.0) * (HEIGHT - TOP - BOTTOM)
    };
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" font-family=\"sans-serif\" font-size=\"12\">\n<rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n<text x=\"{LEFT}\" y=\"18\" font-size=\"14\">{title}</text>\n"
    );
    let mut grid = |from: (f64, f64),
                    to: (f64, f64),
                    text: String,
                    at: (f64, f64),
                    anchor: &str| {
        let _ = writeln!(
            svg,
            "<path d=\"M{:.1} {:.1}L{:.1} {:.1}\" stroke=\"#ddd\"/><text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"{anchor}\" fill=\"#555\">{text}</text>",
            from.0, from.1, to.0, to.1, at.0, at.1
        );
    };
    let mut power = across.0;
    while power <= across.1 {
        let at = x(10_f64.powf(power));
        grid(
            (at, TOP),
            (at, HEIGHT - BOTTOM),
            short(10_f64.powf(power)),
            (at, HEIGHT - 22.0),
            "middle",
        );
        power += 1.0;
    }
    let mut power = up.0;
    while power <= up.1 {
        let at = y(10_f64.powf(power));
        grid(
            (LEFT, at),
            (WIDTH - RIGHT, at),
            short(10_f64.powf(power)),
            (LEFT - 6.0, at + 4.0),
            "end",
        );
        power += 1.0;
    }
    let _ = writeln!(
        svg,
        "<text x=\"{LEFT}\" y=\"{}\" fill=\"#555\">regions of one store; {unit}</text>",
        HEIGHT - 6.0
    );
    for (name, colour, points) in series {
        let path: Vec<String> = points
            .iter()
            .filter(|(_, value)| *value > 0.0)
            .map(|(regions, value)| format!("{:.1} {:.1}", x(*regions), y(*value)))
            .collect();
        let _ = writeln!(
            svg,
            "<path d=\"M{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>",
            path.join("L")
        );
        for (regions, value) in points {
            let _ = writeln!(
                svg,
                "<circle cx=\"{:.1}\" cy=\"{:.1}\" r=\"3\" fill=\"{colour}\"/>",
                x(*regions),
                y(*value)
            );
        }
        if let Some((regions, value)) = points.last() {
            let _ = writeln!(
                svg,
                "<text x=\"{:.1}\" y=\"{:.1}\" fill=\"{colour}\">{name}</text>",
                x(*regions) + 6.0,
                y(*value) + 4.0
            );
        }
    }
    svg.push_str("</svg>\n");
    svg
}

/// A power of ten, as people write it.
fn short(value: f64) -> String {
    match value {
        value if value >= 1e6 => format!("{:.0}M", value / 1e6),
        value if value >= 1e3 => format!("{:.0}k", value / 1e3),
        value if value >= 1.0 => format!("{value:.0}"),
        value => format!("{value}"),
    }
}

fn plots(sizes: &[Size]) -> [(&'static str, String); 2] {
    let of = |value: fn(&Size) -> f64| -> Vec<(f64, f64)> {
        sizes
            .iter()
            .map(|size| (size.regions as f64, value(size)))
            .collect()
    };
    let changed = [
        (
            "a transition",
            "#1f77b4",
            of(|size| size.event_micros.iter().sum()),
        ),
        ("a lookup", "#2ca02c", of(|size| size.lookup_nanos / 1e3)),
        ("a picture", "#9467bd", of(|size| size.picture_nanos / 1e3)),
    ];
    let all = [
        (
            "a checkpoint",
            "#d62728",
            of(|size| size.save_seconds * 1e3),
        ),
        ("opening", "#ff7f0e", of(|size| size.load_seconds * 1e3)),
    ];
    [
        (
            "cost-of-what-changes.svg",
            plot("What grows with what changes", "microseconds", &changed),
        ),
        (
            "cost-of-all.svg",
            plot("What grows with all there is", "milliseconds", &all),
        ),
    ]
}

/// The number behind `name` on the command line.
fn given(arguments: &[String], name: &str, default: u64) -> Outcomes<u64> {
    let at = arguments.iter().position(|argument| argument == name);
    match at.and_then(|at| arguments.get(at + 1)) {
        Some(text) => Ok(text.parse()?),
        None => Ok(default),
    }
}

#[expect(clippy::print_stdout, reason = "an example shows what it does")]
fn main() -> Outcomes<()> {
    let arguments: Vec<String> = std::env::args().collect();
    let stores = given(&arguments, "--stores", 20)?;
    let regions = given(&arguments, "--regions", 10_000)?;
    let events = given(&arguments, "--events", 10_000)?;
    let largest = given(&arguments, "--largest", 100_000)?;
    let out = arguments.iter().position(|argument| argument == "--out");
    let out = out.and_then(|at| arguments.get(at + 1)).map(PathBuf::from);
    let mut sizes = Vec::new();
    let mut size = 1_000;
    while size <= largest {
        sizes.push(measure(size)?);
        // One, three and ten: three is half of a power of ten on the plots' axes.
        size = match size.to_string().starts_with('1') {
            true => size * 3,
            false => size / 3 * 10,
        };
    }
    let whole = cluster(stores, regions, events)?;
    let text = table(&sizes, &whole);
    print!("{text}");
    if let Some(out) = out {
        std::fs::create_dir_all(&out)?;
        std::fs::write(out.join("cluster.csv"), &text)?;
        for (name, svg) in plots(&sizes) {
            std::fs::write(out.join(name), svg)?;
        }
    }
    Ok(())
}
