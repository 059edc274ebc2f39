//! The entries that a region's leader would put into its log, each fitted to the region as the model
//! has it. Not here: which of them, and when (`workload`).

use std::collections::BTreeSet;

use super::Scene;
use crate::torture::model::{Merging, Mode, Model, Normal, Replicated};
use crate::torture::protocol::{
    Description, Do, Epoch, Key, KeyBounds, NewChild, PeerChangeLine, PeerLine, Position,
    RowChange, STORE, SplitLine,
};

/// The first region of the cluster.
pub(in crate::torture) fn bootstrap(model: &Model) -> Do {
    let peer = PeerLine::voter(model.next.peer, STORE);
    let description = Description {
        id: model.next.region,
        start: Key(Vec::new()),
        end: None,
        epoch: Epoch {
            conf_ver: 1,
            version: 1,
        },
        peers: vec![peer],
    };
    Do::Bootstrap { description }
}

/// The next entry of the region's log, a write.
pub(in crate::torture) fn write(
    model: &Model,
    region: u64,
    state: &Replicated,
    rows: Vec<RowChange>,
) -> Do {
    let (epoch, at) = (
        state.description.epoch,
        state.next_position(model.next.term),
    );
    Do::Write {
        region,
        epoch,
        at,
        rows,
        range: None,
    }
}

/// The next entry of the region's log: everything from `start` to `end` goes at once.
pub(in crate::torture) fn delete_range(
    model: &Model,
    region: u64,
    state: &Replicated,
    range: KeyBounds,
) -> Do {
    let is_inside = |key: &[u8]| range.end.as_ref().is_none_or(|end| *key < *end.0);
    let rows = state.rows.range(range.start.0.clone()..);
    let rows = rows.take_while(|(key, _)| is_inside(key));
    let gone = rows.map(|(_, row)| RowChange(row.prefix, row.row, None));
    let gone = gone.collect();
    match write(model, region, state, gone) {
        Do::Write {
            region,
            epoch,
            at,
            rows,
            ..
        } => Do::Write {
            region,
            epoch,
            at,
            rows,
            range: Some(range),
        },
        other => other,
    }
}

/// The next entry of the region's log: it gets ready to become a part of its neighbour.
pub(in crate::torture) fn prepare_merge(
    model: &Model,
    region: u64,
    state: &Replicated,
    target: &Description,
) -> Do {
    Do::PrepareMerge {
        region,
        epoch: state.description.epoch,
        at: state.next_position(model.next.term),
        target: target.clone(),
    }
}

/// The end of a merge: an entry of the target's log, or one of the source's that calls it off.
pub(in crate::torture) fn end_merge(
    model: &Model,
    region: u64,
    merging: Merging,
    takes_place: bool,
) -> Option<Do> {
    let source = &model.normal(region)?.state;
    let (term, commit) = (model.next.term, merging.commit);
    if !takes_place {
        return Some(Do::RollbackMerge {
            region,
            epoch: source.description.epoch,
            at: source.next_position(term),
            commit,
        });
    }
    let target = &model.normal(merging.target)?.state;
    Some(Do::CommitMerge {
        region: merging.target,
        epoch: target.description.epoch,
        at: target.next_position(term),
        source: source.description.clone(),
        commit,
    })
}

/// Epoch and position of the next entry of a region's log.
pub(super) fn next(model: &Model, state: &Replicated) -> (Epoch, Position) {
    let at = state.next_position(model.next.term);
    (state.description.epoch, at)
}

/// The end of joint consensus or of a flashback.
pub(super) fn end_mode(model: &Model, region: u64, peer: &Normal) -> Do {
    let (epoch, at) = next(model, &peer.state);
    match peer.mode {
        Mode::Joint => Do::LeaveJoint { region, epoch, at },
        Mode::Flashback | Mode::Serving => Do::EndFlashback { region, epoch, at },
    }
}

/// The next entry of the region's log, a change of peers.
pub(in crate::torture) fn change_peers(
    model: &Model,
    region: u64,
    state: &Replicated,
    change: PeerChangeLine,
) -> Do {
    let (epoch, at) = (
        state.description.epoch,
        state.next_position(model.next.term),
    );
    Do::ChangePeers {
        region,
        epoch,
        at,
        change,
    }
}

/// The next entry of the region's log, a split at even distances.
///
/// The first child is one that a message announced, or one whose announced replica is dead
/// already, if there is such a one.
pub(in crate::torture) fn split(
    scene: Scene<'_>,
    region: u64,
    parts: u64,
    derive_right: bool,
) -> Option<Do> {
    let model = scene.model;
    let state = &model.normal(region)?.state;
    let rows = state.rows.len() as u64;
    let keys: BTreeSet<&Vec<u8>> = (1..parts)
        .filter_map(|part| state.rows.keys().nth((rows * part / parts) as usize))
        .filter(|key| **key > state.description.start.0)
        .collect();
    if keys.is_empty() {
        return None;
    }
    let waiting = scene.uninitialized().find(|(id, _)| !scene.is_known(*id));
    let mut announced = waiting.map(|(id, peer)| (id, peer.peer())).or_else(|| {
        let mut dead = model.tombstones.iter();
        let unborn = |id: &u64| {
            let is_gone = model.peers.contains_key(id) || model.merged.contains(id);
            !is_gone && !scene.is_known(*id) && scene.idle(*id)
        };
        dead.find(|(id, _)| unborn(id))
            .map(|(id, peer)| (*id, *peer))
    });
    let (mut next_region, mut next_peer) = (model.next.region, model.next.peer);
    let mut children = Vec::new();
    for _ in &keys {
        let announced = announced.take();
        let id = announced.map_or(next_region, |(id, _)| id);
        next_region += u64::from(announced.is_none());
        let peers = state.description.peers.iter().map(|peer| {
            let known = announced
                .map(|(_, own)| own)
                .filter(|_| peer.store == STORE);
            let id = known.unwrap_or(next_peer);
            next_peer += u64::from(known.is_none());
            PeerLine { id, ..*peer }
        });
        let peers = peers.collect();
        children.push(NewChild { id, peers });
    }
    Some(Do::Split(SplitLine {
        region,
        epoch: state.description.epoch,
        at: state.next_position(model.next.term),
        keys: keys.into_iter().cloned().map(Key).collect(),
        children,
        derive_right,
    }))
}
