//! One store process: opens the engine and the logs, joins the cluster, listens, and runs the loop.

use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::{Sender, unbounded};
use torrens::{
    CacheSettings, Engine, KeyRange, Peer, PeerId, Region, RegionEpoch, RegionId, StoreId,
};

use crate::HostError;
use crate::raft_log::RaftLogs;
use crate::server::{self, Context};
use crate::store::{self, Input, Shared, Store, Threads};
use crate::transport::{ask, connect};
use crate::wire::Frame;

const BEAT: Duration = Duration::from_millis(200);

/// Where a store lives and whom it speaks to.
#[derive(clap::Args, Clone, Debug)]
pub struct StoreOptions {
    pub dir: PathBuf,
    #[arg(long)]
    pub id: u64,
    /// For other stores, driver and nemesis.
    #[arg(long)]
    pub listen: String,
    /// For clients.
    #[arg(long)]
    pub clients: String,
    #[arg(long)]
    pub driver: String,
    /// Entries that a leader keeps for a replica that is behind.
    #[arg(long)]
    pub log_entries_max: u64,
    /// How many snapshots of a thousand are sent a second time, seconds later.
    #[arg(long)]
    pub snapshots_again: u32,
}

/// Regions of this example are small and are read some ten times a second, so a hot one is known sooner.
fn cache_settings() -> CacheSettings {
    CacheSettings {
        round_interval: Duration::from_secs(1),
        hot_reads: 10,
        cold_reads: 2,
        residence_min: Duration::from_secs(10),
        reload_pause: Duration::from_secs(5),
        expected_region_bytes: 1 << 20,
        ..CacheSettings::default()
    }
}

/// Runs a store until it is told to stop.
pub fn run_store(options: &StoreOptions) -> Result<(), HostError> {
    let id = StoreId(options.id);
    std::fs::create_dir_all(&options.dir)?;
    let (engine, report) = Engine::options()
        .store(id)
        .cache(cache_settings())
        .open(store::engine_dir(&options.dir))?;
    eprintln!("{report}");
    let logs = RaftLogs::open(&store::log_dir(&options.dir))?;
    let shared = Arc::new(Shared {
        snapshots_again: options.snapshots_again,
        ..Shared::default()
    });
    let (own, inputs) = unbounded();
    join_cluster(options, &engine)?;
    let context = Context {
        id,
        engine: engine.clone(),
        shared: Arc::clone(&shared),
        inputs: own.clone(),
    };
    let threads = Threads {
        shared: Arc::clone(&shared),
        own: own.clone(),
        inputs,
    };
    let store = Store::open(id, engine, logs, options.log_entries_max, threads)?;
    server::serve_cluster(TcpListener::bind(&options.listen)?, context.clone());
    server::serve_clients(TcpListener::bind(&options.clients)?, context);
    beat(options.clone(), shared, own.clone());
    let stop = own;
    let _ = ctrlc::set_handler(move || {
        let _ = stop.send(Input::Stop);
    });
    store.run()
}

/// A new store prepares a first region of its own, and the driver says whether the cluster begins with
/// it. Whatever crashes in between, there is one first region, and no trace of the others.
fn join_cluster(options: &StoreOptions, engine: &Engine) -> Result<(), HostError> {
    let joined = options.dir.join("joined");
    if joined.exists() {
        return Ok(());
    }
    let mut link = loop {
        match connect(&options.driver, Duration::from_secs(5)) {
            Ok(link) => break link,
            Err(_) => std::thread::sleep(BEAT),
        }
    };
    let prepared = match engine.prepared_bootstrap() {
        Some(region) => region,
        None if !engine.regions().is_empty() => {
            std::fs::write(&joined, "")?;
            return Ok(());
        }
        None => {
            let Frame::FirstRegion { region, peer } =
                ask(&mut link, &Frame::AskFirstRegion { store: options.id })?
            else {
                return Err(std::io::Error::from(std::io::ErrorKind::InvalidData).into());
            };
            let first = Region {
                id: RegionId(region),
                range: KeyRange::all(),
                epoch: RegionEpoch::BOOTSTRAP,
                peers: vec![Peer::voter(PeerId(peer), StoreId(options.id))],
            };
            let _ = engine.prepare_bootstrap(first)?;
            RegionId(region)
        }
    };
    let asked = Frame::Prepared {
        store: options.id,
        region: prepared.0,
    };
    let answer = match ask(&mut link, &asked)? {
        Frame::Confirmed { won: true } => engine.confirm_bootstrap(prepared)?,
        _ => engine.abandon_bootstrap(prepared)?,
    };
    eprintln!("first region {prepared}: {answer:?}");
    std::fs::write(&joined, "")?;
    Ok(())
}

/// Tells the driver of the regions that this store leads, and passes on what it wants.
fn beat(options: StoreOptions, shared: Arc<Shared>, inputs: Sender<Input>) {
    std::thread::spawn(move || {
        let mut link: Option<TcpStream> = None;
        loop {
            std::thread::sleep(BEAT);
            if link.is_none() {
                link = connect(&options.driver, Duration::from_secs(2)).ok();
            }
            let Some(stream) = &mut link else { continue };
            let regions = shared
                .beats
                .lock()
                .expect("nothing panics while it holds the beats")
                .clone();
            let frame = Frame::Beat {
                store: options.id,
                address: options.listen.clone(),
                regions,
            };
            match ask(stream, &frame) {
                Ok(Frame::Orders { orders, stores }) => {
                    *shared
                        .addresses
                        .write()
                        .expect("nothing panics while it holds the addresses") = stores;
                    for order in orders {
                        if inputs.send(Input::Order(order)).is_err() {
                            return;
                        }
                    }
                }
                _ => link = None,
            }
        }
    });
}
