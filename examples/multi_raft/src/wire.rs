//! What goes over the wire between stores, driver, clients and nemesis, and how it is framed: a length
//! of four bytes, the cluster's id of eight, then bincode. Bounded: a frame above [`FRAME_BYTES_MAX`] closes the
//! connection, and so does one of another cluster: two of them may have been given the same ports.
//!
//! Not here: RESP, which clients speak (`resp`); what a message does (`store`).

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::sync::OnceLock;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use torrens::snapshot::SnapshotName;
use torrens::{KeyRange, Peer, PeerId, PeerRole, Region, RegionEpoch, RegionId, StoreId};

/// Longest frame. Snapshot files are streamed behind a frame, not in one.
pub const FRAME_BYTES_MAX: usize = 64 << 20;

/// A region's epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WireEpoch {
    pub conf_ver: u64,
    pub version: u64,
}

/// One replica.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WirePeer {
    pub id: u64,
    pub store: u64,
    /// 0 voter, 1 learner, 2 incoming voter, 3 demoting voter.
    pub role: u8,
}

/// A range of keys; no end is infinity.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WireRange {
    pub start: Vec<u8>,
    pub end: Option<Vec<u8>>,
}

/// A region's description.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WireRegion {
    pub id: u64,
    pub range: WireRange,
    pub epoch: WireEpoch,
    pub peers: Vec<WirePeer>,
}

impl From<RegionEpoch> for WireEpoch {
    fn from(epoch: RegionEpoch) -> Self {
        WireEpoch {
            conf_ver: epoch.conf_ver,
            version: epoch.version,
        }
    }
}

impl From<WireEpoch> for RegionEpoch {
    fn from(epoch: WireEpoch) -> Self {
        RegionEpoch {
            conf_ver: epoch.conf_ver,
            version: epoch.version,
        }
    }
}

impl From<Peer> for WirePeer {
    fn from(peer: Peer) -> Self {
        let role = match peer.role {
            PeerRole::Voter => 0,
            PeerRole::Learner => 1,
            PeerRole::IncomingVoter => 2,
            PeerRole::DemotingVoter => 3,
        };
        WirePeer {
            id: peer.id.0,
            store: peer.store.0,
            role,
        }
    }
}

impl WirePeer {
    fn into_peer(self) -> Option<Peer> {
        let role = match self.role {
            0 => PeerRole::Voter,
            1 => PeerRole::Learner,
            2 => PeerRole::IncomingVoter,
            3 => PeerRole::DemotingVoter,
            _ => return None,
        };
        Some(Peer {
            id: PeerId(self.id),
            store: StoreId(self.store),
            role,
            is_witness: false,
        })
    }
}

impl From<&KeyRange> for WireRange {
    fn from(range: &KeyRange) -> Self {
        WireRange {
            start: range.start().to_vec(),
            end: range.end().map(|end| end.to_vec()),
        }
    }
}

impl WireRange {
    pub fn into_range(self) -> Option<KeyRange> {
        KeyRange::new(self.start, self.end)
    }
}

impl From<&Region> for WireRegion {
    fn from(region: &Region) -> Self {
        WireRegion {
            id: region.id.0,
            range: WireRange::from(&region.range),
            epoch: region.epoch.into(),
            peers: region
                .peers
                .iter()
                .map(|peer| WirePeer::from(*peer))
                .collect(),
        }
    }
}

impl WireRegion {
    /// The description, if it can be one; the engine checks it as a whole.
    pub fn into_region(self) -> Option<Region> {
        Some(Region {
            id: RegionId(self.id),
            range: self.range.into_range()?,
            epoch: self.epoch.into(),
            peers: self
                .peers
                .into_iter()
                .map(WirePeer::into_peer)
                .collect::<Option<_>>()?,
        })
    }
}

/// A message from one peer to another.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Envelope {
    pub region: u64,
    pub from_store: u64,
    pub to_store: u64,
    pub from_peer: u64,
    pub to_peer: u64,
    /// The epoch that the sender knows.
    pub epoch: WireEpoch,
    /// The sender's range, if it has one.
    pub range: Option<WireRange>,
    pub body: Body,
}

/// What a message between peers is.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Body {
    /// A message of Raft, as protobuf.
    Raft(Vec<u8>),
    /// The receiver's peer was removed from its region, at the epoch of the envelope.
    Gone,
    /// The receiver's region was merged into another one, which was at that version then.
    Merged { target: u64, target_version: u64 },
    /// Who are the peers? The sender has not heard of a leader.
    CheckStale,
    /// These are the peers.
    Peers(WireRegion),
    /// The receiver will be asked to lead, and would do well to have the region in memory.
    Preload,
    /// It has, or will not.
    Preloaded,
}

/// Name and length of a snapshot file, whose bytes follow its frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SnapshotHead {
    pub region: u64,
    pub index: u64,
    pub term: u64,
    pub id: u64,
    pub bytes: u64,
}

impl SnapshotHead {
    pub fn name(&self) -> SnapshotName {
        SnapshotName {
            region: RegionId(self.region),
            index: self.index,
            term: self.term,
            id: self.id,
        }
    }
}

/// What a client wants of a key, or of the keys from one on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Request {
    Get {
        key: Vec<u8>,
    },
    Set {
        key: Vec<u8>,
        value: Vec<u8>,
    },
    Delete {
        key: Vec<u8>,
    },
    /// Rows from `start` on, within the region that holds it.
    Scan {
        start: Vec<u8>,
        limit: u32,
    },
}

impl Request {
    pub fn key(&self) -> &[u8] {
        match self {
            Request::Get { key } | Request::Set { key, .. } | Request::Delete { key } => key,
            Request::Scan { start, .. } => start,
        }
    }
}

/// The answer to a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Response {
    Value(Option<Vec<u8>>),
    Done,
    /// Whether the key was there.
    Deleted(bool),
    /// Rows, and where to go on.
    Rows {
        rows: Vec<(Vec<u8>, Vec<u8>)>,
        next: Option<Vec<u8>>,
    },
    /// Nothing happened; that store may lead the region.
    NotLeader(Option<u64>),
    /// Nothing happened; ask again.
    Retry(String),
    /// It may have happened or not, or may still.
    Unknown(String),
}

/// What the driver wants a region's leader to do. Each is proposed at the region's epoch as the leader
/// knows it, and may come to nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Order {
    /// Split in the middle; the new region's id, and its peers' in the order of the region's.
    Split {
        region: u64,
        child: u64,
        peers: Vec<u64>,
    },
    AddLearner {
        region: u64,
        peer: u64,
        store: u64,
    },
    Promote {
        region: u64,
        peer: u64,
    },
    /// Promote one and demote another, in joint consensus.
    Swap {
        region: u64,
        promote: u64,
        demote: u64,
    },
    Remove {
        region: u64,
        peer: u64,
    },
    Transfer {
        region: u64,
        to_peer: u64,
    },
    Merge {
        source: u64,
        target: u64,
    },
    /// Have the region in memory.
    Load {
        region: u64,
    },
    /// Let its memory go and take it again at once: the load has to wait for the eviction.
    Reload {
        region: u64,
    },
}

/// What a leader tells the driver of its region.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RegionBeat {
    pub region: WireRegion,
    pub leader: u64,
    /// Bytes written since the leader took over or split it, roughly its size.
    pub bytes: u64,
    /// Peers that have nearly everything.
    pub caught_up: Vec<u64>,
    pub is_merging: bool,
}

/// How the links of a store are to misbehave, in thousandths of its messages.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Faults {
    pub drop: u32,
    pub duplicate: u32,
    /// Held back for up to `delay_max_ms`, so that later ones overtake it.
    pub delay: u32,
    pub delay_max_ms: u32,
    /// Stores that nothing is sent to.
    pub unreachable: Vec<u64>,
}

/// What a region's rows are at one index on one store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WireDigest {
    pub region: WireRegion,
    pub index: u64,
    pub rows: u64,
    pub hash: u32,
}

/// One change of a key, as a consumer is told of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum WireChange {
    Put { key: Vec<u8>, value: Vec<u8> },
    Delete { key: Vec<u8> },
    DeleteRange(WireRange),
}

/// What a consumer of changes is told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum WireItem {
    /// Changes of one entry, or a part of them.
    Changes {
        region: u64,
        generation: u64,
        index: u64,
        changes: Vec<WireChange>,
        is_last: bool,
    },
    /// What it has of the range may be wrong.
    Reset {
        region: u64,
        generation: u64,
        range: WireRange,
        index: u64,
        is_scanned: bool,
    },
    /// Rows of a scan.
    Rows {
        region: u64,
        generation: u64,
        index: u64,
        rows: Vec<(Vec<u8>, Vec<u8>)>,
        is_last: bool,
    },
    /// A snapshot replaced the region's data.
    Replaced { region: u64 },
    /// Changes are lost.
    Invalidated { region: u64, reason: String },
    /// Nothing for the copy; what it acknowledges, if it does.
    Moved {
        region: u64,
        generation: u64,
        acknowledges: Option<u64>,
    },
}

/// Every row of a region.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RegionRows {
    pub region: u64,
    pub range: WireRange,
    pub rows: Vec<(Vec<u8>, Vec<u8>)>,
}

/// What a store says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoreStatus {
    pub store: u64,
    pub regions: u64,
    pub leaders: u64,
    pub damaged: u64,
    pub uninitialized: u64,
    pub merging: u64,
    /// Counted by name: gate answers, refusals, transitions, reads.
    pub counters: BTreeMap<String, u64>,
}

/// One frame.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Frame {
    /// A message; no answer.
    Envelope(Envelope),
    /// A message whose snapshot file follows; answered with [`Frame::Ok`] when it is staged.
    Snapshot(Envelope, SnapshotHead),
    /// A client's request, from another store; answered with a [`Frame::Response`].
    Request(Request),
    Response(Response),
    /// Answered with [`Frame::Ok`].
    SetFaults(Faults),
    /// Answered with [`Frame::Status`].
    AskStatus,
    Status(StoreStatus),
    /// Answered with [`Frame::Digests`]: of every region that can be read here.
    AskDigests,
    Digests(Vec<WireDigest>),
    /// Answered with [`Frame::LedRows`]: of every region that the store leads.
    AskLedRows,
    LedRows(Vec<RegionRows>),
    /// From a consumer: from now on the connection carries the feed of the observer of that name.
    Observe(String),
    /// To a consumer. Without items it says that the store lives.
    Items(Vec<WireItem>),
    /// From a consumer: region, generation and index of what it has dealt with.
    Acks(Vec<(u64, u64, u64)>),
    /// From a consumer: tell the region anew.
    Rescan(u64),
    /// To the driver: a store with an empty directory wants a first region. Answered with `Region`.
    AskFirstRegion {
        store: u64,
    },
    FirstRegion {
        region: u64,
        peer: u64,
    },
    /// To the driver: the first region is prepared. Answered with [`Frame::Confirmed`].
    Prepared {
        store: u64,
        region: u64,
    },
    Confirmed {
        won: bool,
    },
    /// To the driver; answered with [`Frame::Orders`].
    Beat {
        store: u64,
        address: String,
        regions: Vec<RegionBeat>,
    },
    /// What to do, and where every store listens.
    Orders {
        orders: Vec<Order>,
        stores: BTreeMap<u64, String>,
    },
    /// To the driver: keep moving things, or let everything come to rest. Answered with [`Frame::Ok`].
    SetChurn(bool),
    Ok,
}

/// The cluster that this process belongs to; 0 if it was not told.
static CLUSTER: OnceLock<u64> = OnceLock::new();
const HEAD_BYTES: usize = 12;

/// Says which cluster this process belongs to, before anything is sent.
pub fn belong_to(cluster: u64) {
    let _ = CLUSTER.set(cluster);
}

fn cluster() -> u64 {
    CLUSTER.get().copied().unwrap_or(0)
}

/// Writes one frame.
pub fn send(to: &mut impl Write, frame: &Frame) -> io::Result<()> {
    let bytes = encode(frame);
    let length = u32::try_from(bytes.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
    let mut whole = Vec::with_capacity(bytes.len() + HEAD_BYTES);
    whole.extend_from_slice(&length.to_le_bytes());
    whole.extend_from_slice(&cluster().to_le_bytes());
    whole.extend_from_slice(&bytes);
    to.write_all(&whole)
}

/// Reads one frame.
pub fn receive(from: &mut impl Read) -> io::Result<Frame> {
    let (mut length, mut of) = ([0; 4], [0; 8]);
    from.read_exact(&mut length)?;
    from.read_exact(&mut of)?;
    let length = u32::from_le_bytes(length) as usize;
    if length > FRAME_BYTES_MAX {
        return Err(io::ErrorKind::InvalidData.into());
    }
    if u64::from_le_bytes(of) != cluster() {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "a frame of another cluster",
        ));
    }
    let mut bytes = vec![0; length];
    from.read_exact(&mut bytes)?;
    decode(&bytes).ok_or_else(|| io::ErrorKind::InvalidData.into())
}

/// A value as bytes.
pub fn encode(value: &impl Serialize) -> Vec<u8> {
    bincode::serde::encode_to_vec(value, bincode::config::standard()).expect("plain values encode")
}

/// A value from bytes, all of them.
pub fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Option<T> {
    let config = bincode::config::standard().with_limit::<FRAME_BYTES_MAX>();
    let (value, used) = bincode::serde::decode_from_slice(bytes, config).ok()?;
    (used == bytes.len()).then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_of_another_cluster_is_refused() {
        let mut bytes = Vec::new();
        send(&mut bytes, &Frame::Ok).unwrap();
        assert!(matches!(receive(&mut bytes.as_slice()), Ok(Frame::Ok)));
        bytes[4] ^= 1;
        let refused = receive(&mut bytes.as_slice()).unwrap_err();
        assert_eq!(refused.to_string(), "a frame of another cluster");
    }
}
