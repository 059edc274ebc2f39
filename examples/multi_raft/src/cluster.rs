//! The processes of a cluster on this machine, and the command that runs one and shows what it does.

use std::io;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::HostError;
use crate::transport::{ask, connect};
use crate::wire::{self, Frame, StoreStatus};

/// What a cluster is made of.
#[derive(clap::Args, Clone, Debug)]
pub struct ClusterOptions {
    /// How many stores.
    #[arg(long, default_value_t = 3)]
    pub stores: u64,
    /// Voters of a region.
    #[arg(long, default_value_t = 3)]
    pub replicas: usize,
    /// The driver listens there, stores from the next port on, clients 100 ports above their store's.
    #[arg(long, default_value_t = 21_000)]
    pub port: u16,
    /// The driver moves, merges or transfers something that often, in milliseconds.
    #[arg(long, default_value_t = 700)]
    pub churn_ms: u64,
    /// Size above which a region is split, in KiB.
    #[arg(long, default_value_t = 256)]
    pub region_kib: u64,
    /// Most regions.
    #[arg(long, default_value_t = 40)]
    pub regions_max: usize,
    /// Entries of a region's log that its leader keeps for a replica that is behind: beyond it the replica
    /// gets a snapshot. Default 500; the nemesis's is 24, so that a few seconds are enough.
    #[arg(long)]
    pub log_entries_max: Option<u64>,
    /// How many snapshots of a thousand come a second time, seconds later. The nemesis sets it.
    #[arg(skip)]
    pub snapshots_again: u32,
}

/// What a leader keeps of a region's log for a replica that is behind, if nothing else is said.
const LOG_ENTRIES_MAX: u64 = 500;

/// One process.
struct Process {
    child: Child,
    paused: bool,
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A running cluster; its processes end with it.
pub struct Cluster {
    dir: PathBuf,
    /// Tells its processes from those of others.
    id: u64,
    options: ClusterOptions,
    driver: Option<Process>,
    stores: Vec<Option<Process>>,
}

impl Cluster {
    pub fn start(dir: &Path, options: &ClusterOptions) -> io::Result<Cluster> {
        std::fs::create_dir_all(dir)?;
        let id = cluster_id(&dir.join("cluster-id"))?;
        wire::belong_to(id);
        let stores = (0..options.stores).map(|_| None).collect();
        let mut cluster = Cluster {
            dir: dir.to_owned(),
            id,
            options: options.clone(),
            driver: None,
            stores,
        };
        cluster.check_addresses()?;
        cluster.start_driver()?;
        for id in cluster.ids() {
            cluster.start_store(id)?;
        }
        Ok(cluster)
    }

    pub fn ids(&self) -> Vec<u64> {
        (1..=self.options.stores).collect()
    }

    pub fn store_dir(&self, id: u64) -> PathBuf {
        self.dir.join(format!("store-{id}"))
    }

    fn address(&self, offset: u64) -> String {
        format!("127.0.0.1:{}", u64::from(self.options.port) + offset)
    }

    /// That nobody else listens where this cluster is to.
    fn check_addresses(&self) -> io::Result<()> {
        let mut addresses = vec![self.driver_address()];
        addresses.extend(self.ids().into_iter().map(|id| self.store_address(id)));
        addresses.extend(self.ids().into_iter().map(|id| self.client_address(id)));
        for address in addresses {
            TcpListener::bind(&address).map_err(|error| {
                let told = format!("{address}: {error}; --port takes others");
                io::Error::new(error.kind(), told)
            })?;
        }
        Ok(())
    }

    pub fn driver_address(&self) -> String {
        self.address(0)
    }

    pub fn store_address(&self, id: u64) -> String {
        self.address(id)
    }

    pub fn client_address(&self, id: u64) -> String {
        self.address(100 + id)
    }

    fn spawn(&self, name: &str, arguments: &[String]) -> io::Result<Process> {
        let log = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.dir.join(format!("{name}.log")))?;
        let child = Command::new(std::env::current_exe()?)
            .args(arguments)
            .arg(format!("--cluster-id={}", self.id))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()?;
        Ok(Process {
            child,
            paused: false,
        })
    }

    pub fn start_driver(&mut self) -> io::Result<()> {
        let options = &self.options;
        let arguments = [
            "driver".to_owned(),
            self.dir.join("driver").to_string_lossy().into_owned(),
            format!("--listen={}", self.driver_address()),
            format!("--replicas={}", options.replicas),
            format!("--churn-ms={}", options.churn_ms),
            format!("--region-kib={}", options.region_kib),
            format!("--regions-max={}", options.regions_max),
        ];
        self.driver = Some(self.spawn("driver", &arguments)?);
        Ok(())
    }

    pub fn start_store(&mut self, id: u64) -> io::Result<()> {
        let arguments = [
            "store".to_owned(),
            self.store_dir(id).to_string_lossy().into_owned(),
            format!("--id={id}"),
            format!("--listen={}", self.store_address(id)),
            format!("--clients={}", self.client_address(id)),
            format!("--driver={}", self.driver_address()),
            format!(
                "--log-entries-max={}",
                self.options.log_entries_max.unwrap_or(LOG_ENTRIES_MAX)
            ),
            format!("--snapshots-again={}", self.options.snapshots_again),
        ];
        let process = self.spawn(&format!("store-{id}"), &arguments)?;
        self.stores[id as usize - 1] = Some(process);
        Ok(())
    }

    fn store(&mut self, id: u64) -> Option<&mut Process> {
        self.stores[id as usize - 1].as_mut()
    }

    /// Kills a store without warning.
    pub fn kill_store(&mut self, id: u64) {
        self.stores[id as usize - 1] = None;
    }

    pub fn kill_driver(&mut self) {
        self.driver = None;
    }

    /// Asks every store to end in order, and waits until it has; whether all of them did so well.
    pub fn stop_stores(&mut self) -> bool {
        let mut all = true;
        for id in self.ids() {
            self.pause_store(id, false);
            if let Some(process) = self.store(id) {
                signal(&process.child, Signal::TERM);
            }
        }
        for process in self.stores.iter_mut().filter_map(Option::take) {
            let mut process = process;
            let deadline = Instant::now() + Duration::from_secs(30);
            let ended = loop {
                match process.child.try_wait() {
                    Ok(Some(status)) => break status.success(),
                    Ok(None) if Instant::now() < deadline => {
                        std::thread::sleep(Duration::from_millis(50))
                    }
                    _ => break false,
                }
            };
            all &= ended;
        }
        all
    }

    /// Stops a store's process where it is, or lets it go on.
    pub fn pause_store(&mut self, id: u64, pause: bool) {
        if let Some(process) = self.store(id).filter(|process| process.paused != pause) {
            signal(
                &process.child,
                if pause { Signal::STOP } else { Signal::CONT },
            );
            process.paused = pause;
        }
    }

    /// Stores that ended by themselves, with how.
    pub fn fallen(&mut self) -> Vec<(u64, String)> {
        let mut fallen = Vec::new();
        for id in self.ids() {
            let Some(process) = self.store(id) else {
                continue;
            };
            if let Ok(Some(status)) = process.child.try_wait() {
                fallen.push((id, status.to_string()));
                self.stores[id as usize - 1] = None;
            }
        }
        fallen
    }

    /// Asks a store something.
    pub fn ask_store(&self, id: u64, frame: &Frame) -> Option<Frame> {
        let mut link: TcpStream = connect(&self.store_address(id), Duration::from_secs(10)).ok()?;
        ask(&mut link, frame).ok()
    }

    pub fn ask_driver(&self, frame: &Frame) -> Option<Frame> {
        let mut link: TcpStream = connect(&self.driver_address(), Duration::from_secs(2)).ok()?;
        ask(&mut link, frame).ok()
    }

    pub fn statuses(&self) -> Vec<(u64, Option<StoreStatus>)> {
        let ask = |id| match self.ask_store(id, &Frame::AskStatus) {
            Some(Frame::Status(status)) => Some(status),
            _ => None,
        };
        self.ids().into_iter().map(|id| (id, ask(id))).collect()
    }
}

/// The id that the file holds, or a new one that it holds from now on.
fn cluster_id(file: &Path) -> io::Result<u64> {
    match std::fs::read_to_string(file) {
        Ok(text) => text.trim().parse().map_err(|_| {
            let told = format!("{}: not an id of a cluster", file.display());
            io::Error::new(io::ErrorKind::InvalidData, told)
        }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let id = rand::random_range(1..=u64::MAX);
            std::fs::write(file, id.to_string())?;
            Ok(id)
        }
        Err(error) => Err(error),
    }
}

fn signal(child: &Child, signal: Signal) {
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    if let Some(pid) = pid {
        let _ = kill_process(pid, signal);
    }
}

/// The sum of a counter family over all stores.
pub fn total(statuses: &[(u64, Option<StoreStatus>)], names: &[&str]) -> u64 {
    let stores = statuses.iter().filter_map(|(_, status)| status.as_ref());
    stores
        .flat_map(|status| &status.counters)
        .filter(|(name, _)| names.contains(&name.as_str()))
        .map(|(_, count)| count)
        .sum()
}

/// Runs a cluster and prints a line a second.
pub fn run(dir: &Path, options: &ClusterOptions, seconds: u64) -> Result<(), HostError> {
    let mut cluster = Cluster::start(dir, options)?;
    let stop = Arc::new(AtomicBool::new(false));
    let told = Arc::clone(&stop);
    let _ = ctrlc::set_handler(move || told.store(true, Ordering::SeqCst));
    for id in cluster.ids() {
        println!(
            "store {id}: redis-cli -p {}",
            cluster.client_address(id).rsplit(':').next().unwrap_or("")
        );
    }
    let began = Instant::now();
    while !stop.load(Ordering::SeqCst) && (seconds == 0 || began.elapsed().as_secs() < seconds) {
        std::thread::sleep(Duration::from_secs(1));
        for (id, how) in cluster.fallen() {
            println!("store {id} ended ({how}) and is started again");
            cluster.start_store(id)?;
        }
        println!("{}", line(began.elapsed(), &cluster.statuses()));
    }
    println!("stopping");
    cluster.kill_driver();
    match cluster.stop_stores() {
        true => println!("stopped in order"),
        false => println!(
            "not every store stopped in order; see the logs in {}",
            dir.display()
        ),
    }
    Ok(())
}

/// One line of status.
pub fn line(elapsed: Duration, statuses: &[(u64, Option<StoreStatus>)]) -> String {
    let known = || statuses.iter().filter_map(|(_, status)| status.as_ref());
    let per_store: Vec<String> = statuses
        .iter()
        .map(|(id, status)| match status {
            Some(status) => format!("s{id} {}/{}", status.leaders, status.regions),
            None => format!("s{id} down"),
        })
        .collect();
    let accepted = |names: &[&str]| total(statuses, names);
    format!(
        "{:>5.1} s  regions {:>3}  leaders/peers {}  splits {}  merges {}  moves {}  snapshots {}  transfers {}  reads {}  damaged {}",
        elapsed.as_secs_f64(),
        known().map(|status| status.leaders).sum::<u64>(),
        per_store.join(" "),
        accepted(&["split.accepted"]),
        accepted(&["commit-merge.accepted"]),
        accepted(&["leave-joint.accepted", "remove-peer.accepted"]),
        accepted(&["apply-snapshot.accepted"]),
        accepted(&["transfer.begun"]),
        accepted(&["read.by-lease", "read.by-index"]),
        known().map(|status| status.damaged).sum::<u64>(),
    )
}
