//! Power cuts of a real file system under the whole engine.
//!
//! An ext4 image on a loop device; a storage process (this binary again, `host`) works on it and says
//! through a pipe what it began and what it was told is done. At some moment the file system is shut
//! down without flushing its own log, as if the power went; it is mounted again, the engine opens, and
//! what it shows is compared with the script (`script`): the register exact, and each region at or
//! above its floor and whole, or damaged and said so.
//!
//! Three cuts in a row per image: recovery starts from what an earlier recovery left. A few cuts by
//! default; `TORRENS_POWER_CUTS=50` makes that many for each data store. Needs the right to mount;
//! without it the tests say so and pass.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says where")]
#![allow(
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test that cannot go on says where"
)]
#![allow(unreachable_pub, reason = "one binary, no library")]
#![cfg(target_os = "linux")]

mod host;
mod image;
mod script;

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use torrens::{Engine, OpenReport, RegionId};
use torrens_journal::testing::skip;

use image::Image;
use script::{Described, Random, Script};

/// Cuts of one image.
const CUTS_IN_A_ROW: usize = 3;
const DEFAULT_CUTS: usize = 3;

/// What came of the cuts of one store.
#[derive(Debug, Default)]
struct Tally {
    cuts: usize,
    transitions: usize,
    entries: usize,
    /// Regions that came back at or above their floor.
    whole: usize,
    damaged: usize,
    stores_lost: usize,
}

/// What the storage process said before the power went.
#[derive(Debug, Default)]
struct Heard {
    begun: usize,
    done: usize,
    floors: BTreeMap<RegionId, u64>,
}

#[test]
fn power_cuts_on_sled() {
    let tally = cut_often("sled", 0x5eed_0031);
    println!("sled: {tally:?}");
}

/// Long values, and hardly any barrier but those that splits need: sled has written much by itself since
/// the last one.
#[test]
fn power_cuts_on_sled_between_rare_barriers() {
    let tally = cut_often(host::SLED_RARE, 0x5eed_0033);
    println!("sled, rare barriers: {tally:?}");
}

#[cfg(feature = "store-redb")]
#[test]
fn power_cuts_on_redb() {
    for (kind, seed) in [("redb", 0x5eed_0032), (host::REDB_RARE, 0x5eed_0034)] {
        let tally = cut_often(kind, seed);
        println!("{kind}: {tally:?}");
        assert_eq!(
            (tally.stores_lost, tally.damaged),
            (0, 0),
            "redb loses nothing that was synced"
        );
    }
}

/// The storage process; run by the tests above.
#[test]
#[ignore = "the child of the tests here"]
fn host_child() {
    host::run();
}

fn cut_often(kind: &str, seed: u64) -> Tally {
    let cuts = match std::env::var("TORRENS_POWER_CUTS") {
        Ok(cuts) => cuts.parse().expect("TORRENS_POWER_CUTS is a number"),
        Err(_) => DEFAULT_CUTS,
    };
    println!("{kind}: {cuts} cuts, seed {seed:#x}");
    let mut tally = Tally::default();
    let mut random = Random(seed);
    while tally.cuts < cuts {
        let image = match Image::new() {
            Ok(image) => image,
            Err(why) => {
                skip(&format!("power_cuts_on_{kind}"), why);
                return tally;
            }
        };
        let seed = random.next();
        let script = Script::of(seed, host::value_scale(kind));
        let mut from = 0;
        for _ in 0..CUTS_IN_A_ROW.min(cuts - tally.cuts) {
            let heard = run_and_cut(&image, kind, seed, from, &mut random);
            image.mount().unwrap();
            let (engine, report) = host::open(kind, &image.store())
                .unwrap_or_else(|error| panic!("{kind}, seed {seed:#x}, {heard:?}: {error:?}"));
            let about = format!("{kind}, seed {seed:#x}, from {from}, {heard:?}\n{report}");
            let upto = judge(&engine, &report, &script, &heard, &about, &mut tally);
            tally.cuts += 1;
            tally.entries += upto - from;
            tally.transitions += (from..upto).filter(|n| script.is_transition(*n)).count();
            let is_hurt = engine
                .regions()
                .iter()
                .any(|region| region.stage != "normal");
            drop(engine);
            image.unmount();
            // A damaged region waits for a snapshot; there is nobody here to send one.
            if is_hurt {
                break;
            }
            image.mount().unwrap();
            from = upto;
        }
    }
    tally
}

/// Lets the storage process work for a moment, and takes the power away.
fn run_and_cut(image: &Image, kind: &str, seed: u64, from: usize, random: &mut Random) -> Heard {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "host_child", "--ignored", "--nocapture"])
        .env("TORRENS_CUT_STORE", image.store())
        .env("TORRENS_CUT_KIND", kind)
        .env("TORRENS_CUT_SEED", seed.to_string())
        .env("TORRENS_CUT_FROM", from.to_string())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let output = BufReader::new(child.stdout.take().unwrap());
    let (ready, is_ready) = mpsc::channel();
    let listener = std::thread::spawn(move || {
        let mut heard = Heard {
            begun: from,
            done: from,
            ..Heard::default()
        };
        let mut said = Vec::new();
        for line in output.lines().map_while(Result::ok) {
            let words: Vec<&str> = line.split(' ').collect();
            let number = |at: usize| words.get(at).and_then(|word| word.parse::<u64>().ok());
            match (words[0], number(1), number(2)) {
                ("ready", ..) => ready.send(()).unwrap(),
                ("begin", Some(n), _) => heard.begun = n as usize + 1,
                ("done", Some(n), _) => heard.done = n as usize + 1,
                ("floor", Some(region), Some(index)) => {
                    heard.floors.insert(RegionId(region), index);
                }
                _ => said.push(line),
            }
        }
        (heard, said)
    });
    let started = is_ready.recv_timeout(Duration::from_secs(60));
    if started.is_ok() {
        std::thread::sleep(Duration::from_millis(20 + random.below(400)));
    }
    image.cut_power();
    // Whatever it is doing, it can no longer write.
    let _ = child.kill();
    child.wait().unwrap();
    let (heard, said) = listener.join().unwrap();
    image.unmount();
    assert!(
        started.is_ok(),
        "the storage process never got ready: {said:?}"
    );
    heard
}

/// Compares what is there with the script, and answers up to which step it was taken.
fn judge(
    engine: &Engine,
    report: &OpenReport,
    script: &Script,
    heard: &Heard,
    about: &str,
    tally: &mut Tally,
) -> usize {
    let now: BTreeMap<RegionId, Described> = engine
        .regions()
        .into_iter()
        .map(|status| (status.id, Described::of(&status)))
        .collect();
    let graves: Vec<RegionId> = engine.tombstones().into_iter().map(|(id, _)| id).collect();
    let is_after = |steps: usize| {
        let state = script.after(steps);
        state.regions == now && state.graves == graves
    };
    let upto = match (is_after(heard.done), is_after(heard.begun)) {
        (true, _) => heard.done,
        (false, true) => heard.begun,
        (false, false) => panic!(
            "the register is neither after {} steps nor after {}: {now:?}, {graves:?}\n{:?}\n{about}",
            heard.done,
            heard.begun,
            script.after(heard.done)
        ),
    };
    let damaged: Vec<RegionId> = report.damaged.iter().map(|(id, _)| *id).collect();
    tally.stores_lost += usize::from(report.data_store_lost.is_some());
    for (region, described) in &now {
        let status = engine.region(*region).unwrap();
        if status.stage == "damaged" {
            assert!(
                damaged.contains(region),
                "{region} says nothing of its damage\n{about}"
            );
            tally.damaged += 1;
            continue;
        }
        assert_eq!(status.stage, "normal", "{about}");
        let start = engine.raft_start(*region).unwrap();
        let floor = heard.floors.get(region).copied().unwrap_or(0);
        assert!(
            start.data.index >= floor,
            "{region} is at {}, and {floor} was durable\n{about}",
            start.data.index
        );
        let view = engine.view(*region, status.region.unwrap().epoch).unwrap();
        let rows: BTreeMap<Vec<u8>, Vec<u8>> = view
            .scan(..)
            .map(|row| row.unwrap())
            .map(|(key, value)| (key.to_vec(), value.to_vec()))
            .collect();
        let expected = script.rows(*region, described, upto, start.data.index);
        assert!(
            rows == expected,
            "{region} at {}: {} rows, not {}\n{about}",
            start.data.index,
            rows.len(),
            expected.len()
        );
        tally.whole += 1;
    }
    upto
}
