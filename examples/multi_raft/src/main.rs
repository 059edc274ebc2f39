//! A multi-Raft key-value store on Torrens: what embedding it looks like when it is done right.
//!
//! `cluster` starts three stores and a placement driver and shows what they do; clients speak RESP2 to
//! any store. `nemesis` starts a cluster, breaks it in every way it knows, and checks what clients saw.
//! docs/EMBEDDING.md walks through the code.

mod cluster;
mod command;
mod copy;
mod counters;
mod driver;
mod feed;
mod history;
mod nemesis;
mod peer;
mod process;
mod raft_log;
mod resp;
mod router;
mod server;
mod storage;
mod store;
mod transport;
mod wire;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, Subcommand};
use torrens::{BackupError, EngineError, OpenError, RegionId};

/// What ends a store process; a new start may mend it.
#[derive(Debug, thiserror::Error)]
pub enum HostError {
    #[error("engine: {0}")]
    Engine(#[from] EngineError),
    #[error("opening: {0}")]
    Open(#[from] OpenError),
    #[error("Raft log: {0}")]
    Logs(#[from] raft_engine::Error),
    #[error("Raft: {0}")]
    Raft(#[from] raft::Error),
    #[error("protobuf: {0}")]
    Protobuf(protobuf::ProtobufError),
    #[error("entry {index} of {region} cannot be read")]
    Entry { region: RegionId, index: u64 },
    #[error("{0}")]
    Io(#[from] std::io::Error),
    #[error("backup: {0}")]
    Backup(#[from] BackupError),
}

#[derive(Parser)]
#[command(about = "A multi-Raft key-value store on Torrens")]
struct Arguments {
    #[command(subcommand)]
    command: Subcommands,
    /// For processes of a cluster: which one.
    #[arg(long, global = true, hide = true, default_value_t = 0)]
    cluster_id: u64,
}

#[derive(Subcommand)]
enum Subcommands {
    /// Start stores and a driver, and show what they do until Ctrl-C.
    Cluster {
        /// Directory of the cluster; made if missing.
        dir: PathBuf,
        #[command(flatten)]
        options: cluster::ClusterOptions,
        /// Stop after that many seconds; 0 is never.
        #[arg(long, default_value_t = 0)]
        seconds: u64,
    },
    /// Start a cluster, break it, and check what clients saw.
    Nemesis {
        /// Directory of the cluster; must not exist.
        dir: PathBuf,
        #[command(flatten)]
        options: cluster::ClusterOptions,
        /// How long to break things.
        #[arg(long, default_value_t = 60)]
        seconds: u64,
        /// Draws of clients and nemesis; printed if not given. Fixes the draws, not the timing.
        #[arg(long)]
        seed: Option<u64>,
        /// Client threads.
        #[arg(long, default_value_t = 6)]
        clients: u64,
        /// Keys that they share.
        #[arg(long, default_value_t = 120)]
        keys: u64,
    },
    /// One store process.
    #[command(hide = true)]
    Store(process::StoreOptions),
    /// The driver process.
    #[command(hide = true)]
    Driver {
        dir: PathBuf,
        #[arg(long)]
        listen: String,
        #[arg(long)]
        replicas: usize,
        #[arg(long)]
        churn_ms: u64,
        #[arg(long)]
        region_kib: u64,
        #[arg(long)]
        regions_max: usize,
    },
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if arguments.cluster_id != 0 {
        wire::belong_to(arguments.cluster_id);
    }
    let done = match arguments.command {
        Subcommands::Cluster {
            dir,
            options,
            seconds,
        } => cluster::run(&dir, &options, seconds),
        Subcommands::Nemesis {
            dir,
            options,
            seconds,
            seed,
            clients,
            keys,
        } => {
            let settings = nemesis::Settings {
                seconds,
                seed,
                clients,
                keys,
            };
            return match nemesis::run(&dir, &options, &settings) {
                Ok(true) => ExitCode::SUCCESS,
                Ok(false) => ExitCode::from(1),
                Err(error) => {
                    eprintln!("multi_raft: {error}");
                    ExitCode::from(2)
                }
            };
        }
        Subcommands::Store(options) => process::run_store(&options),
        Subcommands::Driver {
            dir,
            listen,
            replicas,
            churn_ms,
            region_kib,
            regions_max,
        } => {
            let goals = driver::Goals {
                replicas,
                region_bytes_max: region_kib * 1024,
                regions_max,
                churn: Duration::from_millis(churn_ms),
            };
            std::net::TcpListener::bind(&listen)
                .and_then(|listener| driver::run(&dir, listener, goals))
                .map_err(HostError::Io)
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("multi_raft: {error}");
            ExitCode::from(2)
        }
    }
}
