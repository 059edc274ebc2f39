//! The placement driver: gives out ids, decides which store's first region begins the cluster, and
//! keeps moving things. What it wants of a region it sees in the region's peers, so it can be killed
//! and started again at any time; only the ids are on disk.

use std::collections::BTreeMap;
use std::io;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rand::Rng;
use rand::seq::IndexedRandom;

use crate::wire::{self, Frame, Order, RegionBeat, WirePeer};

/// Ids that are written ahead at once.
const IDS_AHEAD: u64 = 1000;
/// A region is left alone for that long after an order.
const ORDER_PAUSE: Duration = Duration::from_millis(600);

/// What the driver is to keep.
#[derive(Clone, Debug)]
pub struct Goals {
    pub replicas: usize,
    /// A region with more is split.
    pub region_bytes_max: u64,
    /// Most regions; above it nothing is split.
    pub regions_max: usize,
    /// Pause between two moves, merges or transfers that nobody needs.
    pub churn: Duration,
}

struct Driver {
    goals: Goals,
    ids: Ids,
    first: Option<(u64, u64)>,
    stores: BTreeMap<u64, (String, Instant)>,
    /// The last beat of each region's leader.
    regions: BTreeMap<u64, RegionBeat>,
    ordered: BTreeMap<u64, Instant>,
    /// Peers that are on their way out, by region: what to demote and remove.
    leaving: BTreeMap<u64, u64>,
    churns: bool,
    last_churn: Instant,
}

/// Ids that are never given twice.
struct Ids {
    file: PathBuf,
    next: u64,
    written: u64,
}

impl Ids {
    fn open(dir: &Path) -> io::Result<Ids> {
        let file = dir.join("driver-ids");
        let next = match std::fs::read_to_string(&file) {
            Ok(text) => text
                .trim()
                .parse()
                .map_err(|_| io::ErrorKind::InvalidData)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => 1,
            Err(error) => return Err(error),
        };
        Ok(Ids {
            file,
            next,
            written: next,
        })
    }

    fn take(&mut self) -> io::Result<u64> {
        if self.next >= self.written {
            let written = self.next + IDS_AHEAD;
            let new = self.file.with_extension("new");
            std::fs::write(&new, written.to_string())?;
            std::fs::File::open(&new)?.sync_all()?;
            std::fs::rename(&new, &self.file)?;
            self.written = written;
        }
        self.next += 1;
        Ok(self.next - 1)
    }
}

/// Runs until the process ends.
pub fn run(dir: &Path, listener: TcpListener, goals: Goals) -> io::Result<()> {
    std::fs::create_dir_all(dir)?;
    let first_file = dir.join("driver-first");
    let first = std::fs::read_to_string(&first_file).ok().and_then(|text| {
        let (store, region) = text.split_once(' ')?;
        Some((store.parse().ok()?, region.trim().parse().ok()?))
    });
    let driver = Arc::new(Mutex::new(Driver {
        goals,
        ids: Ids::open(dir)?,
        first,
        stores: BTreeMap::new(),
        regions: BTreeMap::new(),
        ordered: BTreeMap::new(),
        leaving: BTreeMap::new(),
        churns: true,
        last_churn: Instant::now(),
    }));
    for stream in listener.incoming().flatten() {
        let (driver, first_file) = (Arc::clone(&driver), first_file.clone());
        std::thread::spawn(move || {
            let _ = serve(stream, &driver, &first_file);
        });
    }
    Ok(())
}

fn serve(mut stream: TcpStream, driver: &Mutex<Driver>, first_file: &Path) -> io::Result<()> {
    stream.set_nodelay(true)?;
    loop {
        let frame = wire::receive(&mut stream)?;
        let answer = {
            let mut driver = driver
                .lock()
                .expect("nothing panics while it holds the driver");
            match frame {
                Frame::AskFirstRegion { .. } => Frame::FirstRegion {
                    region: driver.ids.take()?,
                    peer: driver.ids.take()?,
                },
                Frame::Prepared { store, region } => {
                    if driver.first.is_none() {
                        std::fs::write(first_file, format!("{store} {region}"))?;
                        std::fs::File::open(first_file)?.sync_all()?;
                        driver.first = Some((store, region));
                    }
                    Frame::Confirmed {
                        won: driver.first == Some((store, region)),
                    }
                }
                Frame::Beat {
                    store,
                    address,
                    regions,
                } => {
                    driver.stores.insert(store, (address, Instant::now()));
                    let orders = driver.beat(store, regions)?;
                    let stores = driver.stores.iter();
                    Frame::Orders {
                        orders,
                        stores: stores
                            .map(|(id, (address, _))| (*id, address.clone()))
                            .collect(),
                    }
                }
                Frame::SetChurn(churns) => {
                    driver.churns = churns;
                    Frame::Ok
                }
                _ => return Err(io::ErrorKind::InvalidData.into()),
            }
        };
        wire::send(&mut stream, &answer)?;
    }
}

fn is_voter(peer: &WirePeer) -> bool {
    peer.role == 0
}

fn is_learner(peer: &WirePeer) -> bool {
    peer.role == 1
}

impl Driver {
    /// Takes a store's beat; answers what it is to do with the regions that it leads.
    fn beat(&mut self, store: u64, beats: Vec<RegionBeat>) -> io::Result<Vec<Order>> {
        let mut orders = Vec::new();
        self.forget_old(store, &beats);
        for beat in &beats {
            self.regions.insert(beat.region.id, beat.clone());
        }
        for beat in &beats {
            let region = beat.region.id;
            let now = Instant::now();
            if self
                .ordered
                .get(&region)
                .is_some_and(|at| now.duration_since(*at) < ORDER_PAUSE)
            {
                continue;
            }
            if let Some(order) = self.wanted(beat)? {
                self.ordered.insert(region, now);
                orders.push(order);
            }
        }
        if self.churns
            && self.last_churn.elapsed() >= self.goals.churn
            && let Some(order) = self.churn(&beats)?
        {
            self.last_churn = Instant::now();
            orders.push(order);
        }
        Ok(orders)
    }

    /// Regions that overlap a newer picture are gone, or are no longer what they were.
    fn forget_old(&mut self, store: u64, beats: &[RegionBeat]) {
        for beat in beats {
            let new = &beat.region;
            self.regions.retain(|id, old| {
                let old = &old.region;
                let ends_before =
                    |a: &Option<Vec<u8>>, b: &Vec<u8>| a.as_ref().is_some_and(|a| a <= b);
                let apart = ends_before(&old.range.end, &new.range.start)
                    || ends_before(&new.range.end, &old.range.start);
                *id == new.id || apart || old.epoch.version >= new.epoch.version
            });
        }
        let _ = store;
    }

    /// What a region needs.
    fn wanted(&mut self, beat: &RegionBeat) -> io::Result<Option<Order>> {
        let region = beat.region.id;
        let peers = &beat.region.peers;
        if beat.is_merging || peers.iter().any(|peer| peer.role > 1) {
            return Ok(None);
        }
        let voters: Vec<&WirePeer> = peers.iter().filter(|peer| is_voter(peer)).collect();
        let learner = peers.iter().find(|peer| is_learner(peer));
        let leaving = self.leaving.get(&region).copied();
        if let Some(learner) = learner {
            let is_ready = beat.caught_up.contains(&learner.id);
            let swap = leaving.filter(|id| voters.iter().any(|peer| peer.id == *id));
            return Ok(match (is_ready, swap) {
                _ if leaving == Some(learner.id) => {
                    self.leaving.remove(&region);
                    Some(Order::Remove {
                        region,
                        peer: learner.id,
                    })
                }
                (true, Some(demote)) if demote == beat.leader => {
                    let to = voters.iter().find(|peer| peer.id != demote);
                    to.map(|peer| Order::Transfer {
                        region,
                        to_peer: peer.id,
                    })
                }
                (true, Some(demote)) => Some(Order::Swap {
                    region,
                    promote: learner.id,
                    demote,
                }),
                (true, None) if voters.len() < self.goals.replicas => Some(Order::Promote {
                    region,
                    peer: learner.id,
                }),
                // Demoted by a swap that this driver does not remember.
                (_, None) if voters.len() >= self.goals.replicas => Some(Order::Remove {
                    region,
                    peer: learner.id,
                }),
                _ => None,
            });
        }
        if voters.len() > self.goals.replicas {
            let surplus = voters.iter().find(|peer| peer.id != beat.leader);
            return Ok(surplus.map(|peer| Order::Remove {
                region,
                peer: peer.id,
            }));
        }
        if voters.len() < self.goals.replicas {
            return self.add_learner(beat);
        }
        self.leaving.remove(&region);
        let is_full = self.regions.len() >= self.goals.regions_max;
        if beat.bytes > self.goals.region_bytes_max && !is_full {
            return self.split(beat).map(Some);
        }
        Ok(None)
    }

    fn split(&mut self, beat: &RegionBeat) -> io::Result<Order> {
        let child = self.ids.take()?;
        let peers: io::Result<Vec<u64>> =
            beat.region.peers.iter().map(|_| self.ids.take()).collect();
        Ok(Order::Split {
            region: beat.region.id,
            child,
            peers: peers?,
        })
    }

    /// A new replica on the store that has the fewest and none of this region.
    fn add_learner(&mut self, beat: &RegionBeat) -> io::Result<Option<Order>> {
        let alive = |at: &Instant| at.elapsed() < Duration::from_secs(3);
        let taken: Vec<u64> = beat.region.peers.iter().map(|peer| peer.store).collect();
        let load = |store: u64| {
            let all = self.regions.values().flat_map(|beat| &beat.region.peers);
            all.filter(|peer| peer.store == store).count()
        };
        let free = self
            .stores
            .iter()
            .filter(|(id, (_, at))| alive(at) && !taken.contains(id));
        let Some(store) = free.map(|(id, _)| *id).min_by_key(|id| load(*id)) else {
            return Ok(None);
        };
        Ok(Some(Order::AddLearner {
            region: beat.region.id,
            peer: self.ids.take()?,
            store,
        }))
    }

    /// Something that nobody needs.
    fn churn(&mut self, beats: &[RegionBeat]) -> io::Result<Option<Order>> {
        let quiet: Vec<&RegionBeat> = beats
            .iter()
            .filter(|beat| {
                !beat.is_merging
                    && beat.region.peers.len() == self.goals.replicas
                    && beat.region.peers.iter().all(is_voter)
            })
            .collect();
        let Some(beat) = quiet.choose(&mut rand::rng()) else {
            return Ok(None);
        };
        let region = beat.region.id;
        let others: Vec<&WirePeer> = beat
            .region
            .peers
            .iter()
            .filter(|peer| peer.id != beat.leader)
            .collect();
        let Some(other) = others.choose(&mut rand::rng()) else {
            return Ok(None);
        };
        let order = match rand::rng().random_range(0..13) {
            10..=11 => Some(Order::Load { region }),
            12 => Some(Order::Reload { region }),
            0..=2 => Some(Order::Transfer {
                region,
                to_peer: other.id,
            }),
            3..=5 => self.merge(beat),
            6 => match self.regions.len() < self.goals.regions_max {
                true => Some(self.split(beat)?),
                false => None,
            },
            _ if self.stores.len() > self.goals.replicas => {
                // Moved: a learner elsewhere first, then both at once in joint consensus.
                let order = self.add_learner(beat)?;
                if order.is_some() {
                    self.leaving.insert(region, other.id);
                }
                order
            }
            // Replaced: removed, and made again on the same store under another id.
            _ => Some(Order::Remove {
                region,
                peer: other.id,
            }),
        };
        if order.is_some() {
            self.ordered.insert(region, Instant::now());
        }
        Ok(order)
    }

    fn merge(&self, beat: &RegionBeat) -> Option<Order> {
        if self.regions.len() < 3 {
            return None;
        }
        let end = beat.region.range.end.as_ref()?;
        let target = self
            .regions
            .values()
            .find(|other| other.region.range.start == *end)?;
        let stores = |beat: &RegionBeat| {
            let mut stores: Vec<u64> = beat.region.peers.iter().map(|peer| peer.store).collect();
            stores.sort_unstable();
            stores
        };
        let fits = stores(beat) == stores(target)
            && target.region.peers.iter().all(is_voter)
            && !target.is_merging
            && beat.bytes + target.bytes < self.goals.region_bytes_max * 2;
        fits.then_some(Order::Merge {
            source: beat.region.id,
            target: target.region.id,
        })
    }
}
