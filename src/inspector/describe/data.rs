//! What a change says, as fields; whom it names, and the epoch that it states.

use torrens_recovery::repair::RepairRecord;

use super::super::fields::{Field, FieldValue, field};
use super::super::keys::{KeyForm, hex};
use super::values::{begun, child, damage, entry, peer_change, region, source, sources, with};
use crate::lifecycle::{Cause, Change, DestroyCause, QueuedLoadFate};
use crate::{PeerId, RegionEpoch};

/// Who asked; `type` comes first.
pub(super) fn cause(cause: Cause) -> Vec<Field> {
    let mut fields = vec![field("type", cause.as_str())];
    match cause {
        Cause::Raft { term, index } => {
            fields.extend([field("term", term), field("index", index)]);
        }
        Cause::Message { from_store } => fields.push(field("from_store", from_store.0)),
        Cause::Keeper { why } => fields.push(field("why", why.as_str())),
        Cause::Operator | Cause::Recovery | Cause::Collector | Cause::Host => {}
    }
    fields
}

/// This store's replica, if the change names it.
pub(super) fn peer(change: &Change) -> Option<PeerId> {
    match change {
        Change::RegionBootstrapped { store, region }
        | Change::BootstrapPrepared { store, region } => region.peer_on(*store).map(|peer| peer.id),
        Change::PeerCreated { peer, .. }
        | Change::OwnPeerRemoved { peer, .. }
        | Change::PeerDestroyed { peer, .. }
        | Change::TombstonePlaced { peer, .. } => Some(*peer),
        Change::TombstoneCollected { highest_peer, .. } => Some(*highest_peer),
        _ => None,
    }
}

/// The parts of the region's epoch that the change states: `conf_ver`, `version`.
pub(super) fn epoch(change: &Change) -> (Option<u64>, Option<u64>) {
    let whole = |epoch: RegionEpoch| (Some(epoch.conf_ver), Some(epoch.version));
    match change {
        Change::RegionBootstrapped { region, .. }
        | Change::BootstrapPrepared { region, .. }
        | Change::RegionRecovered { region } => whole(region.epoch),
        Change::WitnessInstalled { description, .. }
        | Change::SnapshotBegun { description, .. }
        | Change::SnapshotBegunOverSources { description, .. } => whole(description.epoch),
        Change::MergePrepared { epoch, .. } | Change::PeerDestroyed { epoch, .. } => whole(*epoch),
        Change::RegionSplit { version, .. }
        | Change::RegionsMerged { version, .. }
        | Change::MergeRolledBack { version, .. } => (None, Some(*version)),
        Change::PeersChanged { conf_ver, .. }
        | Change::JointEntered { conf_ver, .. }
        | Change::JointLeft { conf_ver, .. }
        | Change::WitnessesSwitched { conf_ver, .. }
        | Change::OwnPeerRemoved { conf_ver, .. }
        | Change::VotersForced { conf_ver, .. } => (Some(*conf_ver), None),
        _ => (None, None),
    }
}

/// Everything that the change says.
pub(super) fn fields(change: &Change) -> Vec<Field> {
    match change {
        Change::StoreIdentified { store } => vec![field("store", store.0)],
        Change::DataStoreReplaced { generation } => {
            vec![field("generation", hex(generation))]
        }
        Change::SequencesLeased { up_to } => vec![field("up_to", up_to.get())],
        Change::BarrierReached { number, floors } => {
            let each = floors.iter().map(|floor| {
                vec![
                    field("region", floor.region.0),
                    field("incarnation", floor.incarnation.lsn().get()),
                    field("index", floor.index),
                ]
            });
            vec![
                field("number", *number),
                field("floors", each.collect::<Vec<_>>()),
            ]
        }
        Change::RegionBootstrapped {
            store,
            region: description,
        }
        | Change::BootstrapPrepared {
            store,
            region: description,
        } => {
            let mut fields = vec![field("store", store.0)];
            fields.extend(region(description));
            fields
        }
        Change::BootstrapConfirmed { .. }
        | Change::BootstrapAbandoned { .. }
        | Change::SnapshotReleased { .. }
        | Change::CacheLoadRequested { .. }
        | Change::CacheLoading { .. }
        | Change::CacheActive { .. }
        | Change::CacheEvicting { .. } => Vec::new(),
        Change::RegionRecovered {
            region: description,
        } => region(description),
        Change::VotersForced {
            conf_ver, failed, ..
        } => {
            let stores = failed.iter().map(|store| FieldValue::from(store.0));
            vec![
                field("conf_ver", *conf_ver),
                field("failed", stores.collect::<Vec<_>>()),
            ]
        }
        Change::MergePrepared {
            position,
            epoch,
            target,
            target_epoch,
            min_index,
            ..
        } => with(
            entry(*position),
            [
                field("epoch", *epoch),
                field("target", target.0),
                field("target_epoch", *target_epoch),
                field("min_index", *min_index),
            ],
        ),
        Change::RegionsMerged {
            position,
            version,
            source: merged,
            ..
        } => with(
            entry(*position),
            [field("version", *version), field("source", source(merged))],
        ),
        Change::MergeRolledBack {
            position, version, ..
        } => with(entry(*position), [field("version", *version)]),
        Change::FlashbackBegun { position, .. } | Change::FlashbackEnded { position, .. } => {
            entry(*position)
        }
        Change::TombstonePlaced { peer, epoch, .. } => {
            vec![field("peer", peer.0), field("tombstone_epoch", *epoch)]
        }
        Change::TombstoneCollected { highest_peer, .. } => vec![field("peer", highest_peer.0)],
        Change::SnapshotReserved {
            description,
            position,
            sources,
        } => {
            let each = sources.iter().map(|source| FieldValue::from(source.0));
            let fields = with(entry(*position), region(description));
            with(fields, [field("sources", each.collect::<Vec<_>>())])
        }
        Change::PeerCreated {
            peer,
            message_epoch,
            ..
        } => {
            vec![
                field("peer", peer.0),
                field("message_epoch", *message_epoch),
            ]
        }
        Change::RegionSplit {
            position,
            version,
            derive,
            boundaries,
            children,
            ..
        } => with(
            entry(*position),
            [
                field("version", *version),
                field("derive", derive.as_str()),
                field(
                    "boundaries",
                    boundaries.iter().map(FieldValue::from).collect::<Vec<_>>(),
                ),
                field("children", children.iter().map(child).collect::<Vec<_>>()),
            ],
        ),
        Change::PeersChanged {
            position,
            conf_ver,
            change,
            ..
        } => with(
            with(entry(*position), [field("conf_ver", *conf_ver)]),
            peer_change(change),
        ),
        Change::JointEntered {
            position,
            conf_ver,
            changes,
            ..
        } => with(
            entry(*position),
            [
                field("conf_ver", *conf_ver),
                field(
                    "changes",
                    changes.iter().map(peer_change).collect::<Vec<_>>(),
                ),
            ],
        ),
        Change::JointLeft {
            position, conf_ver, ..
        } => with(entry(*position), [field("conf_ver", *conf_ver)]),
        Change::WitnessesSwitched {
            position,
            conf_ver,
            switches,
            ..
        } => {
            let each = switches.iter().map(|switch| {
                vec![
                    field("peer", switch.peer.0),
                    field("witness", switch.witness),
                ]
            });
            with(
                entry(*position),
                [
                    field("conf_ver", *conf_ver),
                    field("switches", each.collect::<Vec<_>>()),
                ],
            )
        }
        Change::WitnessInstalled {
            description,
            position,
            sources: merged,
        } => with(
            with(entry(*position), region(description)),
            [sources(merged)],
        ),
        Change::OwnPeerRemoved {
            position,
            conf_ver,
            peer,
            ..
        } => with(
            entry(*position),
            [field("conf_ver", *conf_ver), field("peer", peer.0)],
        ),
        Change::SnapshotBegun {
            description,
            snapshot,
        } => begun(description, snapshot, &[]),
        Change::SnapshotBegunOverSources {
            description,
            snapshot,
            sources,
        } => begun(description, snapshot, sources),
        Change::SnapshotEnded { floor, .. } => {
            vec![field("index", floor.index), field("barrier", floor.barrier)]
        }
        Change::SnapshotAborted { reason, .. } => vec![field("reason", reason.as_str())],
        Change::PeerDestroyed {
            peer, epoch, cause, ..
        } => {
            let fields = vec![
                field("peer", peer.0),
                field("tombstone_epoch", *epoch),
                field("reason", cause.as_str()),
            ];
            let more = match cause {
                DestroyCause::Removed { epoch } => Some(field("removed_epoch", *epoch)),
                DestroyCause::LargerPeer { peer } => Some(field("larger_peer", peer.0)),
                DestroyCause::Operator => None,
                DestroyCause::Merged { target } => Some(field("target", target.0)),
            };
            with(fields, more)
        }
        Change::DeletionFinished { deletion, .. } => vec![
            field("deletion", deletion.lsn.get()),
            field("ordinal", deletion.ordinal),
        ],
        Change::PeerDamaged { reason, .. } => {
            with(vec![field("reason", reason.as_str())], damage(*reason))
        }
        Change::CacheLoadWaits { .. } => Vec::new(),
        Change::CacheGoneLoadWaits { reason, .. } => {
            vec![field("reason", reason.as_str()), field("queued", "waits")]
        }
        Change::Observer(change) => super::observers::said(change, &KeyForm::Auto).1,
        Change::CacheLoadQueued { version, .. } => vec![field("version", *version)],
        Change::CacheLoadUnqueued { reason, .. }
        | Change::CacheCancelled { reason, .. }
        | Change::CacheEvictPending { reason, .. } => vec![field("reason", reason.as_str())],
        Change::CacheGone { reason, queued, .. } => {
            let (queued, dropped) = match queued {
                QueuedLoadFate::None => ("none", None),
                QueuedLoadFate::Starts => ("starts", None),
                QueuedLoadFate::Dropped(why) => ("dropped", Some(why.as_str())),
            };
            let fields = vec![field("reason", reason.as_str()), field("queued", queued)];
            with(fields, dropped.map(|why| field("dropped", why)))
        }
    }
}

/// What the journal was told of a repair.
pub(super) fn repair(repair: &RepairRecord) -> Vec<Field> {
    vec![
        field("id", repair.id),
        field("first_lost", repair.first.map(|lsn| lsn.get())),
        field("last_lost", repair.last.map(|lsn| lsn.get())),
        field("records_readable", repair.records_readable),
        field("history_up_to", repair.history_up_to.map(|lsn| lsn.get())),
    ]
}
