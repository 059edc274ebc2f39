//! The suite `oracle`: the corruption matrix and the power-cut run of Torrens on its peers, in the same words.
//!
//! Each store is given numbered records, each durable by the store's own word before the next. Then its files are
//! damaged, or its file system loses power, and it is opened and read in a process of its own. What comes of it:
//!
//! | word | meaning |
//! |---|---|
//! | exact | it opens with every acknowledged record |
//! | typed error | it says that it cannot |
//! | silent loss | it opens without acknowledged records, or reads fewer, and no error says so |
//! | wrong data | it gives a record that nobody wrote |
//! | panic | the process panics, aborts, or has no end |
//!
//! Not here: how fast anything is (`journal`, `data`), and the full matrix of Torrens (`recovery/tests/matrix`), which
//! tries every bit.

mod damage;
mod power;
mod stores;

use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use clap::Args;

use crate::place::Place;
use crate::rng::Rng;

/// Longest that a store may take to open and read a few hundred records.
const PATIENCE: Duration = Duration::from_secs(20);
/// Marks what a child has to say among what peers print.
const SAID: &str = "oracle> ";

/// What the suite can be told.
#[derive(Clone, Debug, Args)]
pub(crate) struct OracleOptions {
    /// Damages of each kind, for each peer and each state of its directory
    #[arg(long, default_value_t = 50, value_name = "N")]
    cases: u64,
    /// Power cuts for each peer; they need the right to mount
    #[arg(long, default_value_t = 10, value_name = "N")]
    cuts: u64,
    /// Records in each directory that is damaged
    #[arg(long, default_value_t = 300, value_name = "N")]
    records: u64,
    /// Only these peers
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    peers: Vec<String>,
    /// Where directories are made; a real disk [default: beside this program]
    #[arg(long)]
    dir: Option<PathBuf>,
    /// Seed of places and moments
    #[arg(long, default_value_t = 1, value_name = "N")]
    seed: u64,
}

/// What one child has to do.
#[derive(Clone, Debug, Args)]
pub(crate) struct ChildOptions {
    /// The peer
    peer: String,
    /// `read`, or `write` until killed, or `fill` and close, or `fill-open` and be killed
    what: String,
    /// Its directory
    dir: PathBuf,
    /// Records to write, or that must be there
    records: u64,
}

/// What came of a damage or a cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Outcome {
    Exact,
    TypedError,
    SilentLoss,
    WrongData,
    Panic,
}

impl Outcome {
    const ALL: [Outcome; 5] = [
        Outcome::Exact,
        Outcome::TypedError,
        Outcome::SilentLoss,
        Outcome::WrongData,
        Outcome::Panic,
    ];
}

/// Outcomes of one row of the table.
type Tally = BTreeMap<Outcome, u64>;

pub(crate) fn run(options: &OracleOptions) -> Result<()> {
    let place = Place::new(options.dir.as_deref())?;
    let wanted =
        |name: &&str| options.peers.is_empty() || options.peers.iter().any(|peer| peer == name);
    println!(
        "| what was done | peer | cases | exact | typed error | silent loss | wrong data | panic |"
    );
    println!("|---|---|---:|---:|---:|---:|---:|---:|");
    for peer in stores::NAMES.iter().copied().filter(wanted) {
        for (state, fill) in [("closed", "fill"), ("killed", "fill-open")] {
            let dir = place.fresh()?;
            fill_in(peer, fill, dir.path(), options.records)?;
            let files = damage::Files::of(dir.path())?;
            for kind in damage::KINDS {
                let mut rng = Rng::new(options.seed);
                let mut tally = Tally::new();
                for case in 0..options.cases {
                    let copy = place.copy_of(dir.path())?;
                    let what = files.damage(kind, &mut rng, copy.path())?;
                    let outcome = read(peer, copy.path(), options.records)
                        .with_context(|| format!("{peer} {state} {kind} case {case}: {what}"))?;
                    if outcome.0 > Outcome::TypedError {
                        eprintln!("{peer}, {state}, {kind}, case {case}: {what}: {outcome:?}");
                    }
                    *tally.entry(outcome.0).or_default() += 1;
                }
                row(&format!("{kind}, {state}"), peer, &tally);
            }
        }
        match power::cut(peer, options.cuts, options.seed) {
            Ok(tally) => row("power cut of ext4", peer, &tally),
            Err(why) => eprintln!("SKIPPED the power cuts of {peer}: {why:#}"),
        }
    }
    Ok(())
}

fn row(what: &str, peer: &str, tally: &Tally) {
    let of = |outcome: &Outcome| tally.get(outcome).copied().unwrap_or(0);
    let cells: Vec<String> = Outcome::ALL
        .iter()
        .map(|outcome| of(outcome).to_string())
        .collect();
    let cases: u64 = tally.values().sum();
    println!("| {what} | {peer} | {cases} | {} |", cells.join(" | "));
}

/// This program again, as one child.
fn child(peer: &str, what: &str, dir: &Path, records: u64) -> Result<Command> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["oracle-child", peer, what]);
    command.arg(dir).arg(records.to_string());
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    Ok(command)
}

/// Fills a directory, to the end or up to a kill.
fn fill_in(peer: &str, how: &str, dir: &Path, records: u64) -> Result<()> {
    let mut process = child(peer, how, dir, records)?.spawn()?;
    let said = process.stdout.take().context("it was piped")?;
    let done = power::lines(said).find(|line| line == "filled");
    if how == "fill-open" {
        process.kill()?;
    }
    process.wait()?;
    match done {
        Some(_) => Ok(()),
        None => bail!("{peer} could not be filled"),
    }
}

/// Opens and reads the directory in a process of its own, and judges what it says.
fn read(peer: &str, dir: &Path, records: u64) -> Result<(Outcome, String)> {
    let mut process = child(peer, "read", dir, records)?.spawn()?;
    let started = Instant::now();
    let status = loop {
        if let Some(status) = process.try_wait()? {
            break status;
        }
        if started.elapsed() > PATIENCE {
            process.kill()?;
            process.wait()?;
            return Ok((Outcome::Panic, "no end".to_owned()));
        }
        std::thread::sleep(Duration::from_millis(2));
    };
    let mut text = String::new();
    if let Some(mut said) = process.stdout.take() {
        said.read_to_string(&mut text)?;
    }
    let said = text
        .lines()
        .find_map(|line| line.split_once(SAID))
        .map(|(_, said)| said);
    let Some(said) = said.filter(|_| status.success()) else {
        return Ok((Outcome::Panic, status.to_string()));
    };
    let outcome = match said.split(' ').next().unwrap_or_default() {
        "exact" => Outcome::Exact,
        "error" => Outcome::TypedError,
        "loss" => Outcome::SilentLoss,
        "wrong" => Outcome::WrongData,
        other => bail!("{other} is no outcome"),
    };
    Ok((outcome, said.to_owned()))
}

/// The child's side.
pub(crate) fn serve(options: &ChildOptions) -> Result<()> {
    let (peer, dir) = (options.peer.as_str(), options.dir.as_path());
    if options.what == "read" {
        println!("{SAID}{}", judged(stores::read(peer, dir), options.records));
        return Ok(());
    }
    let mut store = stores::open(peer, dir)?;
    let last = if options.what == "write" {
        u64::MAX
    } else {
        options.records
    };
    for number in 1..=last {
        store.append(number, &stores::payload(number))?;
        if options.what == "write" {
            println!("{SAID}{number}");
        }
    }
    if options.what == "fill" {
        store.close()?;
        println!("{SAID}filled");
        return Ok(());
    }
    println!("{SAID}filled");
    std::thread::sleep(PATIENCE);
    bail!("nobody came to kill it")
}

/// Compares what was read with what was written: records 1 to `records` at least, each as it was.
fn judged(read: Result<Vec<(u64, Vec<u8>)>>, records: u64) -> String {
    let read = match read {
        Ok(read) => read,
        Err(error) => return format!("error {error:#}").replace('\n', " "),
    };
    let wrong = read
        .iter()
        .find(|(number, payload)| *payload != stores::payload(*number));
    if let Some((number, _)) = wrong {
        return format!("wrong record {number}");
    }
    let found: std::collections::BTreeSet<u64> = read.iter().map(|(number, _)| *number).collect();
    let missing = (1..=records)
        .filter(|number| !found.contains(number))
        .count();
    match missing {
        0 => "exact".to_owned(),
        missing => format!("loss of {missing} of {records}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_read_is_judged_by_what_was_written() {
        let record = |number| (number, stores::payload(number));
        assert_eq!(
            judged(Ok(vec![record(1), record(2), record(3)]), 2),
            "exact"
        );
        assert_eq!(judged(Ok(vec![record(1), record(3)]), 3), "loss of 1 of 3");
        let forged = vec![record(1), (2, vec![7])];
        assert_eq!(judged(Ok(forged), 2), "wrong record 2");
        assert!(judged(Err(anyhow::anyhow!("no")), 2).starts_with("error"));
    }

    /// Without damage, every peer gives back what it acknowledged.
    #[test]
    fn every_peer_is_exact_without_damage() {
        let place = Place::new(None).unwrap();
        for peer in stores::NAMES {
            let dir = place.fresh().unwrap();
            let mut store = stores::open(peer, dir.path()).expect(peer);
            for number in 1..=50 {
                store.append(number, &stores::payload(number)).expect(peer);
            }
            store.close().expect(peer);
            assert_eq!(
                judged(stores::read(peer, dir.path()), 50),
                "exact",
                "{peer}"
            );
        }
    }
}
