//! What happened, on one line: one sentence for each kind of change.

use torrens_recovery::repair::RepairRecord;

use super::super::keys::{KeyForm, hex};
use crate::lifecycle::{
    Cause, Change, ChildFate, Derive, DestroyCause, MergedSource, PeerChange, QueuedLoadFate,
    SnapshotRef, SplitChild,
};
use crate::{Peer, Region};

/// Who asked.
pub(super) fn cause(cause: Cause) -> String {
    match cause {
        Cause::Raft { term, index } => format!("raft {term}/{index}"),
        Cause::Message { from_store } => format!("message {from_store}"),
        Cause::Keeper { why } => format!("{} {}", cause.as_str(), why.as_str()),
        Cause::Operator | Cause::Recovery | Cause::Collector | Cause::Host => {
            cause.as_str().to_owned()
        }
    }
}

/// The line of a change.
pub(super) fn change(change: &Change, keys: &KeyForm) -> String {
    match change {
        Change::StoreIdentified { store } => format!("this store is {store}"),
        Change::DataStoreReplaced { generation } => {
            format!("generation {}", hex(generation))
        }
        Change::SequencesLeased { up_to } => format!("sequences up to {}", up_to.get()),
        Change::BarrierReached { number, floors } => {
            let each = floors
                .iter()
                .map(|floor| format!("{} i{}", floor.region, floor.index));
            match floors.is_empty() {
                true => format!("barrier {number}"),
                false => format!("barrier {number}: {}", joined(each)),
            }
        }
        Change::RegionBootstrapped {
            region: description,
            ..
        } => region(description, keys),
        Change::BootstrapPrepared {
            region: description,
            ..
        } => {
            format!("to be confirmed; {}", region(description, keys))
        }
        Change::BootstrapConfirmed { .. } => "the cluster begins with it".to_owned(),
        Change::BootstrapAbandoned { .. } => {
            "the cluster began elsewhere; its keys are cleared".to_owned()
        }
        Change::RegionRecovered {
            region: description,
        } => {
            format!("ordered by an operator; {}", region(description, keys))
        }
        Change::VotersForced { failed, .. } => {
            format!("peers on {} vote no more", joined(failed))
        }
        Change::MergePrepared {
            target,
            target_epoch,
            min_index,
            ..
        } => {
            format!("into {target} at {target_epoch}; the log stays from i{min_index} on")
        }
        Change::RegionsMerged { source, .. } => {
            let MergedSource {
                region,
                peer,
                incarnation,
            } = source;
            format!("took in {region} with its {peer}{incarnation}")
        }
        Change::MergeRolledBack { .. } => "the merge does not take place".to_owned(),
        Change::FlashbackBegun { .. } => "is being set back".to_owned(),
        Change::FlashbackEnded { .. } => "is set back".to_owned(),
        Change::TombstonePlaced { peer, epoch, .. } => {
            format!("ordered by an operator, up to {peer} at {epoch}")
        }
        Change::TombstoneCollected { highest_peer, .. } => {
            format!("the tombstone up to {highest_peer} is not needed any more")
        }
        Change::SnapshotReserved {
            description,
            position,
            ..
        } => {
            format!(
                "for a snapshot at {position}; {}",
                region(description, keys)
            )
        }
        Change::SnapshotReleased { .. } => "the snapshot does not come".to_owned(),
        Change::PeerCreated { message_epoch, .. } => {
            format!("uninitialized; the message was of epoch {message_epoch}")
        }
        Change::RegionSplit {
            derive,
            boundaries,
            children,
            ..
        } => {
            let at = joined(boundaries.iter().map(|key| keys.quoted(key)));
            let parts = joined(children.iter().map(child));
            let kept = match derive {
                Derive::Left => "first part",
                Derive::Right => "last part",
            };
            format!("at {at} into {parts}; keeps the {kept}")
        }
        Change::PeersChanged { change, .. } => peer_change(change),
        Change::JointEntered { changes, .. } => joined(changes.iter().map(peer_change)),
        Change::JointLeft { .. } => "joint consensus is over".to_owned(),
        Change::WitnessesSwitched { switches, .. } => {
            joined(switches.iter().map(|switch| match switch.witness {
                true => format!("{} becomes a witness", switch.peer),
                false => format!("{} holds data again", switch.peer),
            }))
        }
        Change::WitnessInstalled {
            description,
            position,
            sources: merged,
        } => format!(
            "a witness at {position}, without data; {}{}",
            region(description, keys),
            sources(merged)
        ),
        Change::OwnPeerRemoved { peer, .. } => format!("its own peer {peer}; destroy begins"),
        Change::SnapshotBegun {
            description,
            snapshot,
        } => begun(description, snapshot, &[], keys),
        Change::SnapshotBegunOverSources {
            description,
            snapshot,
            sources,
        } => begun(description, snapshot, sources, keys),
        Change::SnapshotEnded { floor, .. } => {
            format!(
                "durable to index {} by barrier {}",
                floor.index, floor.barrier
            )
        }
        Change::SnapshotAborted { reason, .. } => reason.as_str().to_owned(),
        Change::PeerDestroyed {
            peer, epoch, cause, ..
        } => {
            let why = match cause {
                DestroyCause::Removed { epoch } => format!("removed at {epoch}"),
                DestroyCause::LargerPeer { peer } => format!("{peer} takes its place"),
                DestroyCause::Operator => "asked for by an operator".to_owned(),
                DestroyCause::Merged { target } => format!("its region was merged into {target}"),
            };
            format!("{why}; tombstone up to {peer} at {epoch}")
        }
        Change::DeletionFinished { deletion, .. } => format!("keys of {deletion} are cleared"),
        Change::PeerDamaged { reason, .. } => reason.to_string(),
        Change::CacheLoadRequested { .. }
        | Change::CacheLoading { .. }
        | Change::CacheActive { .. }
        | Change::CacheEvicting { .. } => String::new(),
        Change::CacheLoadQueued { version, .. } => {
            format!("behind the eviction, for version {version}")
        }
        Change::CacheLoadWaits { .. } => {
            "behind the evictions of other regions that hold its keys".to_owned()
        }
        Change::CacheGoneLoadWaits { reason, .. } => format!(
            "{}; the queued load waits for other regions' evictions",
            reason.as_str()
        ),
        Change::Observer(change) => super::observers::said(change, keys).0,
        Change::CacheLoadUnqueued { reason, .. }
        | Change::CacheCancelled { reason, .. }
        | Change::CacheEvictPending { reason, .. } => reason.as_str().to_owned(),
        Change::CacheGone { reason, queued, .. } => {
            let reason = reason.as_str();
            match queued {
                QueuedLoadFate::None => reason.to_owned(),
                QueuedLoadFate::Starts => format!("{reason}; the queued load starts"),
                QueuedLoadFate::Dropped(why) => {
                    format!("{reason}; the queued load is dropped: {}", why.as_str())
                }
            }
        }
    }
}

/// The line of a repair that the journal was told of.
pub(super) fn repair(repair: &RepairRecord) -> String {
    let RepairRecord {
        id,
        first,
        last,
        records_readable,
        history_up_to,
    } = repair;
    let lost = match (first, last) {
        (Some(first), Some(last)) if last > first => {
            format!(
                "records {first} to {last} are lost, {records_readable} of them readable in what was set aside"
            )
        }
        (Some(first), _) => format!(
            "records from {first} on are lost, {records_readable} of them readable in what was set aside"
        ),
        (None, _) => "no record of the state is lost".to_owned(),
    };
    let history = match history_up_to {
        Some(up_to) => format!("; history up to {up_to} is only in a checkpoint"),
        None => String::new(),
    };
    format!("repair {id}: {lost}{history}")
}

fn joined(each: impl IntoIterator<Item = impl ToString>) -> String {
    let each: Vec<String> = each.into_iter().map(|one| one.to_string()).collect();
    each.join(", ")
}

fn begun(
    description: &Region,
    snapshot: &SnapshotRef,
    merged: &[MergedSource],
    keys: &KeyForm,
) -> String {
    format!(
        "snapshot {:x} at {}, {} rows, {} bytes; {}{}",
        snapshot.id,
        snapshot.position,
        snapshot.rows,
        snapshot.bytes,
        region(description, keys),
        sources(merged)
    )
}

/// Regions that end with a snapshot, as they follow its description in a line; empty if none do.
fn sources(sources: &[MergedSource]) -> String {
    match sources.is_empty() {
        true => String::new(),
        false => format!(
            "; takes in {}",
            joined(sources.iter().map(|source| source.region))
        ),
    }
}

fn region(region: &Region, keys: &KeyForm) -> String {
    let peers: Vec<String> = region.peers.iter().map(peer_text).collect();
    format!("{}; peers {}", keys.range(&region.range), peers.join(" "))
}

fn child(child: &SplitChild) -> String {
    let id = child.id;
    match child.fate {
        ChildFate::Created => id.to_string(),
        ChildFate::Adopted { predecessor } => format!("{id} (adopts {predecessor})"),
        ChildFate::Skipped { reason } => format!("{id} (skipped: {})", reason.as_str()),
    }
}

fn peer_change(change: &PeerChange) -> String {
    match change {
        PeerChange::Add { peer } => format!("add {}", peer_text(peer)),
        PeerChange::Remove { peer }
        | PeerChange::Promote { peer }
        | PeerChange::Demote { peer } => format!("{} {peer}", change.as_str()),
    }
}

/// `p211@s4`, with the role of everything but a voter.
pub fn peer_text(peer: &Peer) -> String {
    let Peer {
        id,
        store,
        role,
        is_witness,
    } = peer;
    let witness = if *is_witness { ", witness" } else { "" };
    match role {
        crate::PeerRole::Voter if !is_witness => format!("{id}@{store}"),
        role => format!("{id}@{store}({}{witness})", role.as_str()),
    }
}
