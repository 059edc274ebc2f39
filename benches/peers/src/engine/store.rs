//! Stores to measure on: how their keys look, how they are filled, and the mix of transitions.
//!
//! The mix, without barriers, is four steps over and over, each on a region of the thread's own: a learner is
//! added, a peer without data is created by a message, the learner is removed, that peer is destroyed.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use torrens::lifecycle::{Cause, Change, Record, RecordHeader};
use torrens::{
    Answer, Derive, DestroyCause, Engine, Incarnation, Key, KeyRange, NewRegion, Peer, PeerChange,
    PeerId, RaftPosition, Region, RegionEpoch, RegionId, Split, StoreId, Submission,
};
use torrens_journal::Lsn;

pub(crate) const STORE: StoreId = StoreId(1);
/// New regions of one split while a store is filled.
const CHILDREN: u64 = 250;
/// Ids of regions that have no data, above all others.
const BARE: u64 = 1 << 32;

/// The start of the `n`th region: as TiKV's keys of rows, `t`, a table, `_r`, a row; a thousand regions a
/// table, a region every 2²⁰ rows.
pub(crate) fn key(n: u64) -> [u8; 19] {
    row_key(n, 0)
}

/// A key in the `n`th region.
pub(crate) fn row_key(n: u64, row: u64) -> [u8; 19] {
    let mut key = [0; 19];
    let (table, place) = (n / 1000, n % 1000);
    let parts: [&[u8]; 4] = [
        b"t",
        &(table | 1 << 63).to_be_bytes(),
        b"_r",
        &(((place << 20) + row) | (1 << 63)).to_be_bytes(),
    ];
    for (into, byte) in key.iter_mut().zip(parts.into_iter().flatten()) {
        *into = *byte;
    }
    key
}

fn peers(region: u64) -> Vec<Peer> {
    let peer = |store| Peer::voter(PeerId(region * 4 + store), StoreId(store));
    (1..=3).map(peer).collect()
}

pub(crate) fn position(index: u64) -> RaftPosition {
    RaftPosition { index, term: 6 }
}

pub(crate) fn open(dir: &Path) -> Result<Engine> {
    let options = Engine::options().store(STORE).checkpoint_records(u64::MAX);
    Ok(options.open(dir.join("store"))?.0)
}

/// A store with regions 1 to `regions` in key order; region `n` begins at [`key`]`(n)`, the first at the
/// beginning.
pub(crate) fn create(dir: &Path, regions: u64) -> Result<Engine> {
    let engine = open(dir)?;
    fill(&engine, regions)?;
    Ok(engine)
}

/// Makes those regions in a new store.
pub(crate) fn fill(engine: &Engine, regions: u64) -> Result<()> {
    let first = Region {
        id: RegionId(1),
        range: KeyRange::all(),
        epoch: RegionEpoch::BOOTSTRAP,
        peers: peers(1),
    };
    accepted(&engine.bootstrap(first)?)?;
    // The last region is split again and again.
    let mut last = 1;
    while last < regions {
        let region = RegionId(last);
        let new: Vec<u64> = (last + 1..=regions.min(last + CHILDREN)).collect();
        let epoch = engine.region(region).and_then(|status| status.region);
        let split = Split {
            region,
            incarnation: None,
            epoch: epoch.context("the last region is there")?.epoch,
            position: position(6 + last),
            boundaries: new.iter().map(|n| Key::from(key(*n).as_slice())).collect(),
            children: new
                .iter()
                .map(|n| NewRegion {
                    id: RegionId(*n),
                    peers: peers(*n),
                })
                .collect(),
            derive: Derive::Left,
        };
        accepted(&engine.split(split)?)?;
        last = regions.min(last + CHILDREN);
    }
    Ok(())
}

pub(crate) fn accepted(answer: &Answer) -> Result<()> {
    ensure!(
        matches!(answer, Answer::Accepted { .. }),
        "not accepted: {answer:?}"
    );
    Ok(())
}

/// One thread's part of the mix.
#[derive(Debug)]
pub(crate) struct Mix {
    regions: Vec<(u64, RegionEpoch, u64)>,
    bare: u64,
    step: usize,
}

impl Mix {
    /// For thread `thread` of `threads`: every `threads`th of the regions from 1 to `regions`, at the epochs
    /// that they have.
    pub(crate) fn new(engine: &Engine, regions: u64, thread: usize, threads: usize) -> Result<Mix> {
        let own = (1 + thread as u64..=regions).step_by(threads);
        let epoch = |n: u64| {
            let status = engine.region(RegionId(n)).context("it was made")?;
            let index = status.meta.map_or(5, |meta| meta.index);
            let region = status.region.context("it has a description")?;
            Ok((n, region.epoch, index))
        };
        Ok(Mix {
            regions: own.map(epoch).collect::<Result<_>>()?,
            bare: BARE + ((thread as u64) << 40),
            step: 0,
        })
    }

    /// The next transition.
    pub(crate) fn next(&mut self) -> Submission {
        let (round, step) = (self.step / 4, self.step % 4);
        self.step += 1;
        let place = round % self.regions.len().max(1);
        let (Some((n, epoch, index)), bare) = (self.regions.get_mut(place), self.bare) else {
            unreachable!("every thread has a region");
        };
        let learner = Peer::learner(PeerId(u64::from(u32::MAX)), StoreId(9));
        match step {
            0 | 2 => {
                *index += 1;
                let given = *epoch;
                epoch.conf_ver += 1;
                Submission::ChangePeers {
                    region: RegionId(*n),
                    epoch: given,
                    position: position(*index),
                    change: match step {
                        0 => PeerChange::Add { peer: learner },
                        _ => PeerChange::Remove { peer: learner.id },
                    },
                }
            }
            1 => Submission::CreatePeer {
                region: RegionId(bare),
                peer: PeerId(bare),
                from_store: StoreId(2),
                epoch: RegionEpoch::BOOTSTRAP,
            },
            _ => {
                self.bare += 1;
                Submission::Destroy {
                    region: RegionId(bare),
                    epoch: RegionEpoch::NONE,
                    incarnation: None,
                    peer: PeerId(bare),
                    cause: DestroyCause::Operator,
                }
            }
        }
    }
}

/// Carries a transition out and waits for it.
pub(crate) fn carry_out(engine: &Engine, submission: Submission) -> Result<()> {
    accepted(&match submission {
        Submission::ChangePeers {
            region,
            epoch,
            position,
            change,
        } => engine.change_peers(region, epoch, position, change)?,
        Submission::CreatePeer {
            region,
            peer,
            from_store,
            epoch,
        } => engine.create_peer(region, peer, from_store, epoch)?,
        Submission::Destroy {
            region,
            epoch,
            incarnation,
            peer,
            cause,
        } => engine.destroy(region, epoch, incarnation, peer, cause)?,
        other => engine.submit(other)?.wait()?,
    })
}

/// The payloads of the mix's four records, as the engine encodes them.
pub(crate) fn payloads() -> Vec<Vec<u8>> {
    let (region, bare) = (RegionId(5_000), RegionId(BARE + 500));
    let incarnation = Incarnation::new(Lsn::new(20_000));
    let learner = Peer::learner(PeerId(u64::from(u32::MAX)), StoreId(9));
    let changed = |change| Change::PeersChanged {
        region,
        position: position(500),
        conf_ver: 500,
        change,
    };
    let created = Change::PeerCreated {
        region: bare,
        peer: PeerId(bare.0),
        message_epoch: RegionEpoch::BOOTSTRAP,
    };
    let destroyed = Change::PeerDestroyed {
        region: bare,
        peer: PeerId(bare.0),
        epoch: RegionEpoch::NONE,
        cause: DestroyCause::Operator,
    };
    let raft = Cause::Raft {
        term: 6,
        index: 500,
    };
    let message = Cause::Message {
        from_store: StoreId(2),
    };
    let previous = Some(Lsn::new(200_000));
    let encode = |change: Change, cause, region, incarnation, previous| {
        let header = RecordHeader {
            wall_clock_micros: 1_795_000_000_000_000,
            boot: 1,
            cause,
            region: Some(region),
            incarnation,
            previous,
        };
        torrens::codec::encode(&Record { header, change }).1
    };
    let live = Some(incarnation);
    vec![
        encode(
            changed(PeerChange::Add { peer: learner }),
            raft,
            region,
            live,
            previous,
        ),
        encode(created, message, bare, None, None),
        encode(
            changed(PeerChange::Remove { peer: learner.id }),
            raft,
            region,
            live,
            previous,
        ),
        encode(destroyed, Cause::Host, bare, live, previous),
    ]
}
