//! The comparison after a restart: what the store reports against the model, item by item.
//!
//! It runs after the operations in flight were settled, so the model says exactly what must be
//! there: every acknowledged transition, every in-flight one wholly or not at all, nothing else.
//! Pure; not here: comparing rows (the driver asks for digests), judging answers (`model`).

use std::collections::BTreeMap;

use super::model::{Model, PeerModel, Wrong};
use super::protocol::{Opened, OpenedRegion};

/// Everything in which the store differs from the model.
pub(super) fn compare(model: &Model, opened: &Opened) -> Vec<Wrong> {
    let mut wrongs = Vec::new();
    let mut differs = |region: Option<u64>, what: &str, expected: String, found: String| {
        if expected != found {
            let what = what.to_owned();
            wrongs.push(Wrong {
                region,
                what,
                expected,
                found,
                lost: true,
            });
        }
    };
    let store = model.store.clone().unwrap_or_default();
    differs(None, "identity", store, opened.store.clone());
    let data = opened.data_lost.clone().unwrap_or_default();
    differs(
        None,
        "data store that had to be replaced",
        String::new(),
        data,
    );
    for (region, why) in &opened.damaged {
        differs(
            Some(*region),
            "trust in its data",
            "whole".to_owned(),
            format!("damaged: {why}"),
        );
    }

    let mut found: BTreeMap<u64, &OpenedRegion> = opened
        .regions
        .iter()
        .map(|region| (region.id, region))
        .collect();
    for (id, peer) in &model.peers {
        let Some(region) = found.remove(id) else {
            differs(
                Some(*id),
                "peer",
                format!("p{}", peer.peer()),
                "none".to_owned(),
            );
            continue;
        };
        compare_peer(peer, region, |what, expected, found| {
            differs(Some(*id), what, expected, found);
        });
    }
    for (id, region) in found {
        differs(
            Some(id),
            "peer",
            "none".to_owned(),
            format!("p{}", region.peer),
        );
    }

    let mut tombstones: BTreeMap<u64, u64> = opened.tombstones.iter().copied().collect();
    for (id, peer) in &model.tombstones {
        let found = tombstones.remove(id);
        // A living peer fences older ones by itself.
        if !model.peers.contains_key(id) {
            differs(
                Some(*id),
                "tombstone",
                format!("{:?}", Some(peer)),
                format!("{found:?}"),
            );
        }
    }
    for (id, peer) in tombstones {
        differs(
            Some(id),
            "tombstone",
            "none".to_owned(),
            format!("up to p{peer}"),
        );
    }
    wrongs
}

fn compare_peer(
    peer: &PeerModel,
    found: &OpenedRegion,
    mut differs: impl FnMut(&str, String, String),
) {
    differs(
        "peer",
        format!("p{}", peer.peer()),
        format!("p{}", found.peer),
    );
    let incarnation = |incarnation: u64| format!("#{incarnation}");
    differs(
        "incarnation",
        incarnation(peer.incarnation()),
        incarnation(found.incarnation),
    );
    let (stage, description, meta) = match peer {
        PeerModel::Uninitialized(_) => ("uninitialized", None, None),
        PeerModel::Normal(peer) => ("normal", Some(&peer.state.description), Some(peer.meta)),
    };
    differs("stage", stage.to_owned(), found.stage.clone());
    if description != found.description.as_ref() {
        let found = found.description.as_ref();
        differs(
            "description",
            format!("{description:?}"),
            format!("{found:?}"),
        );
    }
    differs(
        "metadata position",
        format!("{meta:?}"),
        format!("{:?}", found.meta),
    );
    if let PeerModel::Normal(peer) = peer {
        let (floor, last) = (peer.floor, peer.state.last.index);
        if !(floor..=last).contains(&found.data_index) {
            let found = found.data_index.to_string();
            differs("data index", format!("{floor} to {last}"), found);
        }
    }
}

#[cfg(test)]
mod tests;
