//! The command line.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Parser, Subcommand};
use wildmatch::WildMatch;

use crate::oracle::{ChildOptions, OracleOptions};

/// Torrens measured side by side with its peers.
#[derive(Debug, Parser)]
#[command(version, about)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Durable, ticketed and unsynced appends of 128 bytes, and replay
    Journal(Options),
    /// A region's data: out of memory, out of the store, loads, writes and snapshots
    Data(Options),
    /// Transitions, splits, routing, opening and bytes of the whole engine
    Engine(Options),
    /// Observers: what feeding one costs a writer, attaching, catching up, memory, and the home of the history
    Observe(Options),
    /// A store of a million regions: opening, lookups, splits, checkpoints, storms of loads, restart
    Scale(Options),
    /// What damage and power cuts leave of Torrens and its peers
    Oracle(OracleOptions),
    /// One store of the suite `oracle` (how this program calls itself)
    #[command(hide = true)]
    OracleChild(ChildOptions),
    /// Prints rows that were kept from --json as a table
    Table(RowFiles),
    /// Carries out one run (how this program calls itself)
    #[command(hide = true)]
    Job(JobFiles),
}

/// What every suite can be told.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Options {
    /// One JSON object a line on stdout, instead of a table
    #[arg(long)]
    pub(crate) json: bool,
    /// How often each run is repeated; medians are taken over rounds [default: 5, quick: 3]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=1000))]
    rounds: Option<u64>,
    /// How long a run that has no end of its own is measured [default: 0.5, quick: 0.12]
    #[arg(long, value_name = "S", value_parser = seconds)]
    seconds: Option<f64>,
    /// Only benchmarks that match: a pattern with * and ?, for a name (journal.durable*) or a name
    /// and a thread count (journal.durable@64); several with commas
    #[arg(long, value_name = "GLOB", value_delimiter = ',')]
    only: Vec<String>,
    /// Only these peers; Torrens always runs [default: all, quick: raft_engine, okaywal, raw]
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    pub(crate) peers: Vec<String>,
    /// Where the directories of the runs are made; a real disk, not tmpfs [default: beside this
    /// program, in cargo's target folder]
    #[arg(long)]
    pub(crate) dir: Option<PathBuf>,
    /// About a minute in all: fewer and shorter rounds, the closest peers, a smaller replay
    #[arg(long)]
    pub(crate) quick: bool,
    /// Rows in the stores of the suite `data` [default: 1000000, quick: 200000]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(20_000..=100_000_000))]
    pub(crate) rows: Option<u64>,
    /// Seed of payloads and of the order of runs
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub(crate) seed: u64,
}

impl Options {
    pub(crate) fn rounds(&self) -> u64 {
        self.rounds.unwrap_or(if self.quick { 3 } else { 5 })
    }

    pub(crate) fn measured(&self) -> Duration {
        let default = if self.quick { 0.12 } else { 0.5 };
        Duration::from_secs_f64(self.seconds.unwrap_or(default))
    }

    /// Whether a benchmark was asked for.
    pub(crate) fn wants(&self, bench: &str, threads: usize) -> bool {
        let cell = format!("{bench}@{threads}");
        self.only.is_empty()
            || self.only.iter().any(|pattern| {
                let pattern = WildMatch::new(pattern);
                pattern.matches(bench) || pattern.matches(&cell)
            })
    }
}

fn seconds(text: &str) -> Result<f64, String> {
    let seconds: f64 = text.parse().map_err(|_| "not a number".to_owned())?;
    if (0.01..=60.0).contains(&seconds) {
        Ok(seconds)
    } else {
        Err("not between 0.01 and 60".to_owned())
    }
}

/// Rows that were kept.
#[derive(Debug, clap::Args)]
pub(crate) struct RowFiles {
    /// Files of one JSON object a line
    #[arg(required = true)]
    pub(crate) files: Vec<PathBuf>,
}

/// Where one run finds what to do, and leaves what came out.
#[derive(Debug, clap::Args)]
pub(crate) struct JobFiles {
    /// The job, as JSON
    pub(crate) job: PathBuf,
    /// Where the sample goes, as JSON
    pub(crate) sample: PathBuf,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(words: &[&str]) -> Result<Options, clap::Error> {
        let words = ["peers", "journal"].iter().chain(words);
        match Args::try_parse_from(words)?.command {
            Command::Journal(options) => Ok(options),
            other => unreachable!("{other:?} instead of what was asked for"),
        }
    }

    #[test]
    fn the_documented_command_is_understood() {
        let options = options(&["--json"]).unwrap();
        assert!(options.json && !options.quick);
        assert_eq!(options.rounds(), 5);
        assert_eq!(options.measured(), Duration::from_millis(500));
        assert!(options.wants("journal.replay", 1));
    }

    #[test]
    fn quick_changes_what_was_not_said() {
        let plain = options(&["--quick"]).unwrap();
        assert_eq!(plain.rounds(), 3);
        let said = options(&["--quick", "--rounds", "9", "--seconds", "2"]).unwrap();
        assert_eq!(said.rounds(), 9);
        assert_eq!(said.measured(), Duration::from_secs(2));
    }

    #[test]
    fn only_takes_patterns_for_names_and_thread_counts() {
        let one = options(&["--only", "journal.durable@4,*replay"]).unwrap();
        assert!(one.wants("journal.durable", 4));
        assert!(!one.wants("journal.durable", 64));
        assert!(one.wants("journal.replay", 1));
        let all = options(&["--only", "journal.durable*"]).unwrap();
        assert!(all.wants("journal.durable", 64));
        assert!(all.wants("journal.durable.direct", 1));
        assert!(!all.wants("journal.buffered", 1));
    }

    #[test]
    fn nonsense_is_refused() {
        for words in [
            ["--rounds", "0"],
            ["--seconds", "0"],
            ["--seconds", "nan"],
            ["--seconds", "soon"],
        ] {
            assert!(options(&words).is_err(), "{words:?}");
        }
    }
}
