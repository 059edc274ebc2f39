//! `SnapshotMeta`: what a snapshot's header says, and its fixed little-endian layout.
//!
//! The decoder holds every count and length to its limit before it is used, and the region to
//! [`Region::validate`].

use super::{SnapshotFault, SnapshotName};
use crate::{
    Key, KeyRange, Peer, PeerId, PeerRole, Region, RegionEpoch, RegionId, Sequence, StoreId,
};

const ROLE_VOTER: u8 = 1;
const ROLE_LEARNER: u8 = 2;
const ROLE_INCOMING_VOTER: u8 = 3;
const ROLE_DEMOTING_VOTER: u8 = 4;
/// Beside a role: the peer holds no data.
const WITNESS_BIT: u8 = 0x80;
const END_INFINITE: u8 = 0;
const END_FINITE: u8 = 1;

const PEER_BYTES: usize = 8 + 8 + 1;
/// Region id, epoch, index, term, sequence; two bounds; peers.
pub(super) const META_BYTES_MAX: usize =
    6 * 8 + (4 + Region::KEY_BYTES_MAX) * 2 + 1 + 4 + Region::PEERS_MAX * PEER_BYTES;

/// Which rows a snapshot holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SnapshotMeta {
    /// The region as it was when the snapshot was taken. Every row lies in its range.
    pub region: Region,
    /// Raft index of the last entry whose effects are in the rows.
    pub index: u64,
    /// Raft term of that entry.
    pub term: u64,
    /// Sequence at which the sender read the rows. Says nothing on another store.
    pub sequence: Sequence,
}

impl SnapshotMeta {
    /// The file name of this snapshot when it is staged under `id`.
    pub fn name(&self, id: u64) -> SnapshotName {
        SnapshotName {
            region: self.region.id,
            index: self.index,
            term: self.term,
            id,
        }
    }

    /// Whether a file of that name may hold this snapshot.
    pub(super) fn check_name(&self, name: SnapshotName) -> Result<(), SnapshotFault> {
        if self.name(name.id) == name {
            return Ok(());
        }
        Err(SnapshotFault::NameMismatch {
            region: self.region.id,
            index: self.index,
            term: self.term,
        })
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let region = &self.region;
        let mut bytes = Vec::new();
        for number in [
            region.id.0,
            region.epoch.conf_ver,
            region.epoch.version,
            self.index,
            self.term,
            self.sequence.get(),
        ] {
            bytes.extend_from_slice(&number.to_le_bytes());
        }
        put_key(&mut bytes, region.range.start());
        match region.range.end() {
            None => bytes.push(END_INFINITE),
            Some(end) => {
                bytes.push(END_FINITE);
                put_key(&mut bytes, end);
            }
        }
        bytes.extend_from_slice(&(region.peers.len() as u32).to_le_bytes());
        for peer in &region.peers {
            bytes.extend_from_slice(&peer.id.0.to_le_bytes());
            bytes.extend_from_slice(&peer.store.0.to_le_bytes());
            let role = match peer.role {
                PeerRole::Voter => ROLE_VOTER,
                PeerRole::Learner => ROLE_LEARNER,
                PeerRole::IncomingVoter => ROLE_INCOMING_VOTER,
                PeerRole::DemotingVoter => ROLE_DEMOTING_VOTER,
            };
            bytes.push(role | if peer.is_witness { WITNESS_BIT } else { 0 });
        }
        bytes
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<SnapshotMeta, SnapshotFault> {
        let mut fields = Fields { rest: bytes };
        let id = RegionId(fields.u64("region id")?);
        let epoch = RegionEpoch {
            conf_ver: fields.u64("epoch conf_ver")?,
            version: fields.u64("epoch version")?,
        };
        let (index, term) = (fields.u64("index")?, fields.u64("term")?);
        let sequence = Sequence::new(fields.u64("sequence")?);
        let start = fields.key("range start")?;
        let end = match fields.u8("range end")? {
            END_INFINITE => None,
            END_FINITE => Some(fields.key("range end")?),
            _ => return Err(SnapshotFault::BadHeader { field: "range end" }),
        };
        let bad_range = SnapshotFault::BadHeader { field: "range" };
        let range = KeyRange::new(start, end).ok_or(bad_range)?;
        let count = fields.u32("peers")? as usize;
        if count > Region::PEERS_MAX {
            return Err(SnapshotFault::BadHeader { field: "peers" });
        }
        let mut peers = Vec::with_capacity(count);
        for _ in 0..count {
            let id = PeerId(fields.u64("peer id")?);
            let store = StoreId(fields.u64("peer store")?);
            let byte = fields.u8("peer role")?;
            let role = match byte & !WITNESS_BIT {
                ROLE_VOTER => PeerRole::Voter,
                ROLE_LEARNER => PeerRole::Learner,
                ROLE_INCOMING_VOTER => PeerRole::IncomingVoter,
                ROLE_DEMOTING_VOTER => PeerRole::DemotingVoter,
                _ => return Err(SnapshotFault::BadHeader { field: "peer role" }),
            };
            peers.push(Peer {
                id,
                store,
                role,
                is_witness: byte & WITNESS_BIT != 0,
            });
        }
        if !fields.rest.is_empty() {
            return Err(SnapshotFault::BadHeader { field: "length" });
        }
        let region = Region {
            id,
            range,
            epoch,
            peers,
        };
        region.validate().map_err(SnapshotFault::BadRegion)?;
        Ok(SnapshotMeta {
            region,
            index,
            term,
            sequence,
        })
    }
}

fn put_key(bytes: &mut Vec<u8>, key: &[u8]) {
    bytes.extend_from_slice(&(key.len() as u32).to_le_bytes());
    bytes.extend_from_slice(key);
}

/// Fields from the front of what is left.
struct Fields<'a> {
    rest: &'a [u8],
}

impl<'a> Fields<'a> {
    fn take(&mut self, bytes: usize, field: &'static str) -> Result<&'a [u8], SnapshotFault> {
        let (taken, rest) = self
            .rest
            .split_at_checked(bytes)
            .ok_or(SnapshotFault::BadHeader { field })?;
        self.rest = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self, field: &'static str) -> Result<[u8; N], SnapshotFault> {
        let taken = self.take(N, field)?;
        taken
            .first_chunk()
            .copied()
            .ok_or(SnapshotFault::BadHeader { field })
    }

    fn u8(&mut self, field: &'static str) -> Result<u8, SnapshotFault> {
        self.array::<1>(field).map(u8::from_le_bytes)
    }

    fn u32(&mut self, field: &'static str) -> Result<u32, SnapshotFault> {
        self.array(field).map(u32::from_le_bytes)
    }

    fn u64(&mut self, field: &'static str) -> Result<u64, SnapshotFault> {
        self.array(field).map(u64::from_le_bytes)
    }

    fn key(&mut self, field: &'static str) -> Result<Key, SnapshotFault> {
        let bytes = self.u32(field)? as usize;
        if bytes > Region::KEY_BYTES_MAX {
            return Err(SnapshotFault::BadHeader { field });
        }
        self.take(bytes, field).map(Key::from)
    }
}
