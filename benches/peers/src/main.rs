//! Torrens side by side with its peers: `cargo run --release -- journal`, or `data`; and the engine beside its own
//! journal and plain maps: `engine`; what observers cost and get: `observe`; and a million regions: `scale`.
//!
//! Every figure is taken in a process of its own, in a fresh directory on a real disk, and every
//! comparison is a ratio of two runs of the same round, seconds apart. One subcommand is one suite;
//! suites share the rooms below and add theirs.
//!
//! | room | what lives there |
//! |---|---|
//! | `args` | the command line |
//! | `suite` | what suites share: choosing, running, printing |
//! | `rounds`, `stats` | interleaved runs, medians, ratios |
//! | `job`, `child` | one run, as a value; the process that carries it out |
//! | `gauge` | how a run is measured: threads, counters, latencies, the processor, the device |
//! | `place` | directories: which disk, fresh, cold, copied |
//! | `judged` | figures that have a row and a bar of their own |
//! | `row`, `bar`, `table` | results as JSON and as a table, with the bar that each must clear |
//! | `compare` | rows of one figure beside one peer's |
//! | `machine` | the machine in one line |
//! | `rng` | payloads and orders from a seed |
//! | `peers` | one log after another behind one small trait, Torrens among them |
//! | `journal` | the suite `journal` |
//! | `data` | the suite `data` |
//! | `engine`, `proto` | the suite `engine`, and the protobuf that it compares with |
//! | `observe` | the suite `observe` |
//! | `scale` | the suite `scale` |
//! | `oracle` | the suite `oracle`: not how fast, but what is left after damage and power cuts |
//!
//! Not here: benchmarks of Torrens alone, which are `cargo bench` in the workspace.

mod args;
mod bar;
mod child;
mod compare;
mod data;
mod engine;
mod gauge;
mod job;
mod journal;
mod judged;
mod machine;
mod observe;
mod oracle;
mod peers;
mod place;
mod proto;
mod rng;
mod rounds;
mod row;
mod scale;
mod stats;
mod suite;
mod table;

use std::process::ExitCode;

use clap::Parser;

use crate::args::{Args, Command};

fn main() -> ExitCode {
    let outcome = match Args::parse().command {
        Command::Journal(options) => journal::run(&options),
        Command::Data(options) => data::run(&options),
        Command::Engine(options) => engine::run(&options),
        Command::Observe(options) => observe::run(&options),
        Command::Scale(options) => scale::run(&options),
        Command::Oracle(options) => oracle::run(&options),
        Command::OracleChild(options) => oracle::serve(&options),
        Command::Table(rows) => suite::reprint(&rows.files),
        Command::Job(files) => child::serve(&files),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
