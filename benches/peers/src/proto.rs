//! What a store that keeps region metadata in protobuf writes for one transition: the whole
//! `RegionLocalState` of TiKV's protocol, encoded by hand.

use torrens::{PeerRole, Region};

fn varint(into: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        into.push(value as u8 | 0x80);
        value >>= 7;
    }
    into.push(value as u8);
}

/// A number; zero is the default and is not written.
fn number(into: &mut Vec<u8>, field: u64, value: u64) {
    if value != 0 {
        varint(into, field << 3);
        varint(into, value);
    }
}

fn bytes(into: &mut Vec<u8>, field: u64, value: &[u8]) {
    varint(into, field << 3 | 2);
    varint(into, value.len() as u64);
    into.extend_from_slice(value);
}

/// `metapb.Region`: id, bounds, epoch and peers.
fn region(region: &Region) -> Vec<u8> {
    let mut into = Vec::new();
    number(&mut into, 1, region.id.0);
    if !region.range.start().is_empty() {
        bytes(&mut into, 2, region.range.start());
    }
    if let Some(end) = region.range.end() {
        bytes(&mut into, 3, end);
    }
    let mut epoch = Vec::new();
    number(&mut epoch, 1, region.epoch.conf_ver);
    number(&mut epoch, 2, region.epoch.version);
    bytes(&mut into, 4, &epoch);
    for peer in &region.peers {
        let mut one = Vec::new();
        number(&mut one, 1, peer.id.0);
        number(&mut one, 2, peer.store.0);
        let role = match peer.role {
            PeerRole::Voter => 0,
            PeerRole::Learner => 1,
            PeerRole::IncomingVoter => 2,
            PeerRole::DemotingVoter => 3,
        };
        number(&mut one, 3, role);
        number(&mut one, 4, u64::from(peer.is_witness));
        bytes(&mut into, 5, &one);
    }
    into
}

/// `raft_serverpb.RegionLocalState` of a normal peer: the state is the default, and the region follows.
pub(crate) fn local_state(of: &Region) -> Vec<u8> {
    let mut into = Vec::new();
    bytes(&mut into, 2, &region(of));
    into
}

#[cfg(test)]
mod tests {
    use super::*;
    use torrens::{KeyRange, Peer, PeerId, RegionEpoch, RegionId, StoreId};

    #[test]
    fn the_bytes_are_those_of_the_protocol() {
        let of = Region {
            id: RegionId(300),
            range: KeyRange::new(b"a".as_slice(), Some(b"bc".as_slice())).unwrap(),
            epoch: RegionEpoch {
                conf_ver: 1,
                version: 2,
            },
            peers: vec![Peer::learner(PeerId(5), StoreId(6))],
        };
        let expected = [
            0x08, 0xac, 0x02, 0x12, 1, b'a', 0x1a, 2, b'b', b'c', 0x22, 4, 8, 1, 16, 2, 0x2a, 6, 8,
            5, 16, 6, 24, 1,
        ];
        assert_eq!(region(&of), expected);
        assert_eq!(
            local_state(&of).get(..2),
            Some([0x12, 24].as_slice()),
            "field 2, 24 bytes"
        );
    }
}
