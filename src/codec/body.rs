//! The body of each kind of record. The region stands in the header; a body says what is new of it.

use bincode::{BorrowDecode, Decode, Encode};

use super::bytes::List;
use super::wire::{
    self, WireAbort, WireDamage, WireDeletionId, WireDerive, WireDestroy, WireDrop, WireEpoch,
    WireEvict, WireFloor, WirePeer, WirePosition, WireRegion, WireSnapshot, bounded,
};
use super::{CodecError, bytes, observer};
use crate::lifecycle::{
    Change, ChangeKind, ChildFate, EvictReason, FloorUpdate, MergedSource, PeerChange,
    QueuedLoadFate, SkipReason, Split, SplitChild, WitnessSwitch,
};
use crate::{PeerId, Region, RegionId, Sequence, StoreId};

#[derive(Encode, BorrowDecode)]
struct WireBarrier {
    number: u64,
    floors: List<WireFloorUpdate>,
}

#[derive(Clone, Copy, Encode, Decode)]
struct WireFloorUpdate {
    region: u64,
    incarnation: u64,
    index: u64,
}

#[derive(Encode, BorrowDecode)]
struct WireBootstrap<'a> {
    store: u64,
    region: WireRegion<'a>,
}

#[derive(Encode, Decode)]
struct WireCreate {
    peer: u64,
    message_epoch: WireEpoch,
}

#[derive(Encode, BorrowDecode)]
struct WireSplit<'a> {
    position: WirePosition,
    version: u64,
    derive: WireDerive,
    children: List<WireChild<'a>>,
}

#[derive(Encode, BorrowDecode)]
struct WireChild<'a> {
    /// The boundary that lies between this part and the one before or after it, in key order.
    boundary: &'a [u8],
    id: u64,
    peers: List<WirePeer>,
    fate: WireFate,
}

#[derive(Encode, Decode)]
enum WireFate {
    Created,
    Adopted { predecessor: u64 },
    Tombstoned { highest_peer: u64 },
    OtherPeer { peer: u64 },
    Initialized { incarnation: u64 },
}

#[derive(Encode, Decode)]
struct WirePeersChanged {
    position: WirePosition,
    conf_ver: u64,
    change: WirePeerChange,
}

#[derive(Clone, Copy, Encode, Decode)]
enum WirePeerChange {
    Add { peer: WirePeer },
    Remove { peer: u64 },
    Promote { peer: u64 },
    Demote { peer: u64 },
}

#[derive(Encode, BorrowDecode)]
struct WireJointEntered {
    position: WirePosition,
    conf_ver: u64,
    changes: List<WirePeerChange>,
}

#[derive(Encode, Decode)]
struct WireJointLeft {
    position: WirePosition,
    conf_ver: u64,
}

#[derive(Encode, BorrowDecode)]
struct WireWitnesses {
    position: WirePosition,
    conf_ver: u64,
    switches: List<WireSwitch>,
}

#[derive(Clone, Copy, Encode, Decode)]
struct WireSwitch {
    peer: u64,
    witness: bool,
}

#[derive(Encode, BorrowDecode)]
struct WireWitnessInstalled<'a> {
    description: WireRegion<'a>,
    position: WirePosition,
    sources: List<WireSource>,
}

#[derive(Encode, BorrowDecode)]
struct WireBegunOverSources<'a> {
    description: WireRegion<'a>,
    snapshot: WireSnapshot,
    sources: List<WireSource>,
}

#[derive(Encode, BorrowDecode)]
struct WireReserved<'a> {
    description: WireRegion<'a>,
    position: WirePosition,
    sources: List<u64>,
}

#[derive(Clone, Copy, Encode, Decode)]
struct WireSource {
    region: u64,
    peer: u64,
    incarnation: u64,
}

#[derive(Encode, Decode)]
struct WireMergePrepared {
    position: WirePosition,
    epoch: WireEpoch,
    target: u64,
    target_epoch: WireEpoch,
    min_index: u64,
}

#[derive(Encode, Decode)]
struct WireMerged {
    position: WirePosition,
    version: u64,
    source: WireSource,
}

#[derive(Encode, Decode)]
struct WireRolledBack {
    position: WirePosition,
    version: u64,
}

#[derive(Encode, BorrowDecode)]
struct WireForced {
    conf_ver: u64,
    failed: List<u64>,
}

#[derive(Encode, Decode)]
struct WireTombstonePlaced {
    peer: u64,
    epoch: WireEpoch,
}

#[derive(Encode, Decode)]
struct WireOwnRemoved {
    position: WirePosition,
    conf_ver: u64,
    peer: u64,
}

#[derive(Encode, BorrowDecode)]
struct WireSnapshotBegun<'a> {
    description: WireRegion<'a>,
    snapshot: WireSnapshot,
}

#[derive(Encode, Decode)]
struct WireDestroyed {
    peer: u64,
    epoch: WireEpoch,
    cause: WireDestroy,
}

#[derive(Encode, Decode)]
struct WireGone {
    reason: WireEvict,
    queued: WireQueuedFate,
}

#[derive(Encode, Decode)]
enum WireQueuedFate {
    None,
    Starts,
    Dropped(WireDrop),
}

/// Appends the body of `change`.
pub(super) fn put_body(payload: &mut Vec<u8>, change: &Change) {
    match change {
        Change::StoreIdentified { store } => bytes::put(payload, &store.0),
        Change::DataStoreReplaced { generation } => bytes::put(payload, generation),
        Change::SequencesLeased { up_to } => bytes::put(payload, &up_to.get()),
        Change::BarrierReached { number, floors } => {
            let floors = floors.iter().map(|floor| WireFloorUpdate {
                region: floor.region.0,
                incarnation: wire::from_incarnation(floor.incarnation),
                index: floor.index,
            });
            let (number, floors) = (*number, List(floors.collect()));
            bytes::put(payload, &WireBarrier { number, floors });
        }
        Change::RegionBootstrapped { store, region } => {
            let (store, region) = (store.0, region.into());
            bytes::put(payload, &WireBootstrap { store, region });
        }
        Change::RegionSplit {
            region: _,
            position,
            version,
            derive,
            boundaries,
            children,
        } => {
            let children = boundaries
                .iter()
                .zip(children)
                .map(|(boundary, child)| WireChild {
                    boundary,
                    id: child.id.0,
                    peers: wire::from_peers(&child.peers),
                    fate: fate_to_wire(child.fate),
                });
            let split = WireSplit {
                position: (*position).into(),
                version: *version,
                derive: (*derive).into(),
                children: List(children.collect()),
            };
            bytes::put(payload, &split);
        }
        Change::PeersChanged {
            region: _,
            position,
            conf_ver,
            change,
        } => {
            let change = (*change).into();
            let (position, conf_ver) = ((*position).into(), *conf_ver);
            bytes::put(
                payload,
                &WirePeersChanged {
                    position,
                    conf_ver,
                    change,
                },
            );
        }
        Change::JointEntered {
            region: _,
            position,
            conf_ver,
            changes,
        } => {
            let entered = WireJointEntered {
                position: (*position).into(),
                conf_ver: *conf_ver,
                changes: List(changes.iter().copied().map(WirePeerChange::from).collect()),
            };
            bytes::put(payload, &entered);
        }
        Change::JointLeft {
            region: _,
            position,
            conf_ver,
        } => {
            let (position, conf_ver) = ((*position).into(), *conf_ver);
            bytes::put(payload, &WireJointLeft { position, conf_ver });
        }
        Change::WitnessesSwitched {
            region: _,
            position,
            conf_ver,
            switches,
        } => {
            let switches = switches.iter().map(|switch| WireSwitch {
                peer: switch.peer.0,
                witness: switch.witness,
            });
            let witnesses = WireWitnesses {
                position: (*position).into(),
                conf_ver: *conf_ver,
                switches: List(switches.collect()),
            };
            bytes::put(payload, &witnesses);
        }
        Change::WitnessInstalled {
            description,
            position,
            sources,
        } => {
            let installed = WireWitnessInstalled {
                description: description.into(),
                position: (*position).into(),
                sources: sources_to_wire(sources),
            };
            bytes::put(payload, &installed);
        }
        Change::SnapshotBegunOverSources {
            description,
            snapshot,
            sources,
        } => {
            let begun = WireBegunOverSources {
                description: description.into(),
                snapshot: (*snapshot).into(),
                sources: sources_to_wire(sources),
            };
            bytes::put(payload, &begun);
        }
        Change::SnapshotReserved {
            description,
            position,
            sources,
        } => {
            let reserved = WireReserved {
                description: description.into(),
                position: (*position).into(),
                sources: List(sources.iter().map(|source| source.0).collect()),
            };
            bytes::put(payload, &reserved);
        }
        Change::BootstrapPrepared { store, region } => {
            let (store, region) = (store.0, region.into());
            bytes::put(payload, &WireBootstrap { store, region });
        }
        Change::RegionRecovered { region } => bytes::put(payload, &WireRegion::from(region)),
        Change::VotersForced {
            region: _,
            conf_ver,
            failed,
        } => {
            let forced = WireForced {
                conf_ver: *conf_ver,
                failed: List(failed.iter().map(|store| store.0).collect()),
            };
            bytes::put(payload, &forced);
        }
        Change::MergePrepared {
            region: _,
            position,
            epoch,
            target,
            target_epoch,
            min_index,
        } => {
            let prepared = WireMergePrepared {
                position: (*position).into(),
                epoch: (*epoch).into(),
                target: target.0,
                target_epoch: (*target_epoch).into(),
                min_index: *min_index,
            };
            bytes::put(payload, &prepared);
        }
        Change::RegionsMerged {
            region: _,
            position,
            version,
            source,
        } => {
            let merged = WireMerged {
                position: (*position).into(),
                version: *version,
                source: (*source).into(),
            };
            bytes::put(payload, &merged);
        }
        Change::MergeRolledBack {
            region: _,
            position,
            version,
        } => {
            let (position, version) = ((*position).into(), *version);
            bytes::put(payload, &WireRolledBack { position, version });
        }
        Change::FlashbackBegun {
            region: _,
            position,
        }
        | Change::FlashbackEnded {
            region: _,
            position,
        } => bytes::put(payload, &WirePosition::from(*position)),
        Change::TombstonePlaced {
            region: _,
            peer,
            epoch,
        } => {
            let (peer, epoch) = (peer.0, (*epoch).into());
            bytes::put(payload, &WireTombstonePlaced { peer, epoch });
        }
        Change::TombstoneCollected {
            region: _,
            highest_peer,
        } => bytes::put(payload, &highest_peer.0),
        Change::OwnPeerRemoved {
            region: _,
            position,
            conf_ver,
            peer,
        } => {
            let (position, conf_ver, peer) = ((*position).into(), *conf_ver, peer.0);
            bytes::put(
                payload,
                &WireOwnRemoved {
                    position,
                    conf_ver,
                    peer,
                },
            );
        }
        Change::PeerCreated {
            region: _,
            peer,
            message_epoch,
        } => {
            let (peer, message_epoch) = (peer.0, (*message_epoch).into());
            bytes::put(
                payload,
                &WireCreate {
                    peer,
                    message_epoch,
                },
            );
        }
        Change::PeerDestroyed {
            region: _,
            peer,
            epoch,
            cause,
        } => {
            let (peer, epoch, cause) = (peer.0, (*epoch).into(), (*cause).into());
            bytes::put(payload, &WireDestroyed { peer, epoch, cause });
        }
        Change::DeletionFinished {
            region: _,
            deletion,
        } => {
            bytes::put(payload, &WireDeletionId::from(*deletion));
        }
        Change::PeerDamaged { region: _, reason } => {
            bytes::put(payload, &WireDamage::from(*reason));
        }
        Change::SnapshotBegun {
            description,
            snapshot,
        } => {
            let (description, snapshot) = (description.into(), (*snapshot).into());
            bytes::put(
                payload,
                &WireSnapshotBegun {
                    description,
                    snapshot,
                },
            );
        }
        Change::SnapshotEnded { region: _, floor } => {
            bytes::put(payload, &WireFloor::from(*floor));
        }
        Change::SnapshotAborted { region: _, reason } => {
            bytes::put(payload, &WireAbort::from(*reason));
        }
        Change::CacheLoadQueued { region: _, version } => bytes::put(payload, version),
        Change::SnapshotReleased { region: _ }
        | Change::BootstrapConfirmed { region: _ }
        | Change::BootstrapAbandoned { region: _ }
        | Change::CacheLoadRequested { region: _ }
        | Change::CacheLoadWaits { region: _ }
        | Change::CacheLoading { region: _ }
        | Change::CacheActive { region: _ }
        | Change::CacheEvicting { region: _ } => {}
        Change::CacheLoadUnqueued { region: _, reason }
        | Change::CacheGoneLoadWaits { region: _, reason }
        | Change::CacheCancelled { region: _, reason }
        | Change::CacheEvictPending { region: _, reason } => {
            bytes::put(payload, &WireEvict::from(*reason));
        }
        Change::CacheGone {
            region: _,
            reason,
            queued,
        } => {
            let queued = match *queued {
                QueuedLoadFate::None => WireQueuedFate::None,
                QueuedLoadFate::Starts => WireQueuedFate::Starts,
                QueuedLoadFate::Dropped(reason) => WireQueuedFate::Dropped(reason.into()),
            };
            let reason = (*reason).into();
            bytes::put(payload, &WireGone { reason, queued });
        }
        Change::Observer(change) => observer::put_body(payload, change),
    }
}

/// Takes the body of a record of that kind, whose header names `named`.
pub(super) fn take_body(
    rest: &mut &[u8],
    kind: ChangeKind,
    named: Option<RegionId>,
) -> Result<Change, CodecError> {
    let what = kind.name();
    let region = || {
        named.ok_or(CodecError::Region {
            kind,
            present: false,
        })
    };
    let no_region = || match named {
        None => Ok(()),
        Some(_) => Err(CodecError::Region {
            kind,
            present: true,
        }),
    };
    Ok(match kind {
        ChangeKind::StoreIdentified => {
            no_region()?;
            let store = StoreId(bytes::take(rest, what)?);
            Change::StoreIdentified { store }
        }
        ChangeKind::DataStoreReplaced => {
            no_region()?;
            let generation = bytes::take(rest, what)?;
            Change::DataStoreReplaced { generation }
        }
        ChangeKind::SequencesLeased => {
            no_region()?;
            let up_to = Sequence::new(bytes::take(rest, what)?);
            Change::SequencesLeased { up_to }
        }
        ChangeKind::BarrierReached => {
            no_region()?;
            let WireBarrier {
                number,
                floors: List(floors),
            } = bytes::take(rest, what)?;
            bounded("floors", floors.len(), FloorUpdate::PER_BARRIER_MAX)?;
            let floors = floors
                .into_iter()
                .map(floor_from_wire)
                .collect::<Result<_, _>>()?;
            Change::BarrierReached { number, floors }
        }
        ChangeKind::RegionBootstrapped => {
            let id = region()?;
            let WireBootstrap { store, region } = bytes::take(rest, what)?;
            let (store, region) = (StoreId(store), region.into_region(id)?);
            Change::RegionBootstrapped { store, region }
        }
        ChangeKind::RegionSplit => split_from_wire(region()?, bytes::take(rest, what)?)?,
        ChangeKind::PeersChanged => {
            let region = region()?;
            let WirePeersChanged {
                position,
                conf_ver,
                change,
            } = bytes::take(rest, what)?;
            let (position, change) = (position.into(), change.into());
            Change::PeersChanged {
                region,
                position,
                conf_ver,
                change,
            }
        }
        ChangeKind::JointEntered => {
            let region = region()?;
            let WireJointEntered {
                position,
                conf_ver,
                changes: List(changes),
            } = bytes::take(rest, what)?;
            bounded("changes of peers", changes.len(), Region::PEERS_MAX)?;
            Change::JointEntered {
                region,
                position: position.into(),
                conf_ver,
                changes: changes.into_iter().map(PeerChange::from).collect(),
            }
        }
        ChangeKind::JointLeft => {
            let region = region()?;
            let WireJointLeft { position, conf_ver } = bytes::take(rest, what)?;
            Change::JointLeft {
                region,
                position: position.into(),
                conf_ver,
            }
        }
        ChangeKind::WitnessesSwitched => {
            let region = region()?;
            let WireWitnesses {
                position,
                conf_ver,
                switches: List(switches),
            } = bytes::take(rest, what)?;
            bounded("switches of witnesses", switches.len(), Region::PEERS_MAX)?;
            let switches = switches.into_iter().map(|switch| WitnessSwitch {
                peer: PeerId(switch.peer),
                witness: switch.witness,
            });
            Change::WitnessesSwitched {
                region,
                position: position.into(),
                conf_ver,
                switches: switches.collect(),
            }
        }
        ChangeKind::WitnessInstalled => {
            let id = region()?;
            let WireWitnessInstalled {
                description,
                position,
                sources,
            } = bytes::take(rest, what)?;
            Change::WitnessInstalled {
                description: description.into_region(id)?,
                position: position.into(),
                sources: sources_from_wire(sources)?,
            }
        }
        ChangeKind::SnapshotBegunOverSources => {
            let id = region()?;
            let WireBegunOverSources {
                description,
                snapshot,
                sources,
            } = bytes::take(rest, what)?;
            Change::SnapshotBegunOverSources {
                description: description.into_region(id)?,
                snapshot: snapshot.into(),
                sources: sources_from_wire(sources)?,
            }
        }
        ChangeKind::SnapshotReserved => {
            let id = region()?;
            let WireReserved {
                description,
                position,
                sources: List(sources),
            } = bytes::take(rest, what)?;
            bounded(
                "merged regions",
                sources.len(),
                MergedSource::PER_SNAPSHOT_MAX,
            )?;
            Change::SnapshotReserved {
                description: description.into_region(id)?,
                position: position.into(),
                sources: sources.into_iter().map(RegionId).collect(),
            }
        }
        ChangeKind::SnapshotReleased => Change::SnapshotReleased { region: region()? },
        ChangeKind::BootstrapPrepared => {
            let id = region()?;
            let WireBootstrap { store, region } = bytes::take(rest, what)?;
            let (store, region) = (StoreId(store), region.into_region(id)?);
            Change::BootstrapPrepared { store, region }
        }
        ChangeKind::BootstrapConfirmed => Change::BootstrapConfirmed { region: region()? },
        ChangeKind::BootstrapAbandoned => Change::BootstrapAbandoned { region: region()? },
        ChangeKind::RegionRecovered => {
            let id = region()?;
            let wire: WireRegion<'_> = bytes::take(rest, what)?;
            let region = wire.into_region(id)?;
            Change::RegionRecovered { region }
        }
        ChangeKind::VotersForced => {
            let region = region()?;
            let WireForced {
                conf_ver,
                failed: List(failed),
            } = bytes::take(rest, what)?;
            bounded("failed stores", failed.len(), Region::PEERS_MAX)?;
            Change::VotersForced {
                region,
                conf_ver,
                failed: failed.into_iter().map(StoreId).collect(),
            }
        }
        ChangeKind::MergePrepared => {
            let region = region()?;
            let wire: WireMergePrepared = bytes::take(rest, what)?;
            Change::MergePrepared {
                region,
                position: wire.position.into(),
                epoch: wire.epoch.into(),
                target: RegionId(wire.target),
                target_epoch: wire.target_epoch.into(),
                min_index: wire.min_index,
            }
        }
        ChangeKind::RegionsMerged => {
            let region = region()?;
            let wire: WireMerged = bytes::take(rest, what)?;
            Change::RegionsMerged {
                region,
                position: wire.position.into(),
                version: wire.version,
                source: wire.source.try_into()?,
            }
        }
        ChangeKind::MergeRolledBack => {
            let region = region()?;
            let WireRolledBack { position, version } = bytes::take(rest, what)?;
            Change::MergeRolledBack {
                region,
                position: position.into(),
                version,
            }
        }
        ChangeKind::FlashbackBegun => {
            let region = region()?;
            let position: WirePosition = bytes::take(rest, what)?;
            let position = position.into();
            Change::FlashbackBegun { region, position }
        }
        ChangeKind::FlashbackEnded => {
            let region = region()?;
            let position: WirePosition = bytes::take(rest, what)?;
            let position = position.into();
            Change::FlashbackEnded { region, position }
        }
        ChangeKind::TombstonePlaced => {
            let region = region()?;
            let WireTombstonePlaced { peer, epoch } = bytes::take(rest, what)?;
            Change::TombstonePlaced {
                region,
                peer: PeerId(peer),
                epoch: epoch.into(),
            }
        }
        ChangeKind::TombstoneCollected => {
            let region = region()?;
            let highest_peer = PeerId(bytes::take(rest, what)?);
            Change::TombstoneCollected {
                region,
                highest_peer,
            }
        }
        ChangeKind::OwnPeerRemoved => {
            let region = region()?;
            let WireOwnRemoved {
                position,
                conf_ver,
                peer,
            } = bytes::take(rest, what)?;
            let (position, peer) = (position.into(), PeerId(peer));
            Change::OwnPeerRemoved {
                region,
                position,
                conf_ver,
                peer,
            }
        }
        ChangeKind::PeerCreated => {
            let region = region()?;
            let WireCreate {
                peer,
                message_epoch,
            } = bytes::take(rest, what)?;
            let (peer, message_epoch) = (PeerId(peer), message_epoch.into());
            Change::PeerCreated {
                region,
                peer,
                message_epoch,
            }
        }
        ChangeKind::PeerDestroyed => {
            let region = region()?;
            let WireDestroyed { peer, epoch, cause } = bytes::take(rest, what)?;
            let (peer, epoch, cause) = (PeerId(peer), epoch.into(), cause.into());
            Change::PeerDestroyed {
                region,
                peer,
                epoch,
                cause,
            }
        }
        ChangeKind::DeletionFinished => {
            let region = region()?;
            let deletion: WireDeletionId = bytes::take(rest, what)?;
            let deletion = deletion.try_into()?;
            Change::DeletionFinished { region, deletion }
        }
        ChangeKind::PeerDamaged => {
            let region = region()?;
            let reason: WireDamage = bytes::take(rest, what)?;
            let reason = reason.into();
            Change::PeerDamaged { region, reason }
        }
        ChangeKind::SnapshotBegun => {
            let id = region()?;
            let WireSnapshotBegun {
                description,
                snapshot,
            } = bytes::take(rest, what)?;
            let (description, snapshot) = (description.into_region(id)?, snapshot.into());
            Change::SnapshotBegun {
                description,
                snapshot,
            }
        }
        ChangeKind::SnapshotEnded => {
            let region = region()?;
            let floor: WireFloor = bytes::take(rest, what)?;
            let floor = floor.into();
            Change::SnapshotEnded { region, floor }
        }
        ChangeKind::SnapshotAborted => {
            let region = region()?;
            let reason: WireAbort = bytes::take(rest, what)?;
            let reason = reason.into();
            Change::SnapshotAborted { region, reason }
        }
        ChangeKind::CacheLoadRequested => Change::CacheLoadRequested { region: region()? },
        ChangeKind::CacheLoadQueued => {
            let region = region()?;
            let version = bytes::take(rest, what)?;
            Change::CacheLoadQueued { region, version }
        }
        ChangeKind::CacheLoadUnqueued => {
            let (region, reason) = (region()?, take_reason(rest, what)?);
            Change::CacheLoadUnqueued { region, reason }
        }
        ChangeKind::CacheLoadWaits => Change::CacheLoadWaits { region: region()? },
        ChangeKind::CacheGoneLoadWaits => {
            let (region, reason) = (region()?, take_reason(rest, what)?);
            Change::CacheGoneLoadWaits { region, reason }
        }
        ChangeKind::CacheLoading => Change::CacheLoading { region: region()? },
        ChangeKind::CacheActive => Change::CacheActive { region: region()? },
        ChangeKind::CacheCancelled => {
            let (region, reason) = (region()?, take_reason(rest, what)?);
            Change::CacheCancelled { region, reason }
        }
        ChangeKind::CacheEvictPending => {
            let (region, reason) = (region()?, take_reason(rest, what)?);
            Change::CacheEvictPending { region, reason }
        }
        ChangeKind::CacheEvicting => Change::CacheEvicting { region: region()? },
        ChangeKind::CacheGone => {
            let region = region()?;
            let WireGone { reason, queued } = bytes::take(rest, what)?;
            let reason = reason.into();
            let queued = match queued {
                WireQueuedFate::None => QueuedLoadFate::None,
                WireQueuedFate::Starts => QueuedLoadFate::Starts,
                WireQueuedFate::Dropped(reason) => QueuedLoadFate::Dropped(reason.into()),
            };
            Change::CacheGone {
                region,
                reason,
                queued,
            }
        }
        ChangeKind::ObserverAdded
        | ChangeKind::ObserverRemoved
        | ChangeKind::ObserverPaused
        | ChangeKind::ObserverResumed
        | ChangeKind::ObserverPolicySet
        | ChangeKind::ObserverAttached
        | ChangeKind::ObserverCaughtUp
        | ChangeKind::ObserverDetached
        | ChangeKind::ObserverAcknowledged
        | ChangeKind::ObserverInvalidated
        | ChangeKind::ObserverRebased
        | ChangeKind::ObserverEnded
        | ChangeKind::ObserverRestarted => {
            no_region()?;
            return match observer::take_body(rest, kind)? {
                Some(change) => Ok(Change::Observer(change)),
                None => unreachable!("{what} is a record of observers"),
            };
        }
    })
}

fn sources_to_wire(sources: &[MergedSource]) -> List<WireSource> {
    List(sources.iter().copied().map(WireSource::from).collect())
}

fn sources_from_wire(List(sources): List<WireSource>) -> Result<Vec<MergedSource>, CodecError> {
    bounded(
        "merged regions",
        sources.len(),
        MergedSource::PER_SNAPSHOT_MAX,
    )?;
    sources.into_iter().map(MergedSource::try_from).collect()
}

impl From<MergedSource> for WireSource {
    fn from(source: MergedSource) -> Self {
        WireSource {
            region: source.region.0,
            peer: source.peer.0,
            incarnation: wire::from_incarnation(source.incarnation),
        }
    }
}

impl TryFrom<WireSource> for MergedSource {
    type Error = CodecError;

    fn try_from(wire: WireSource) -> Result<Self, CodecError> {
        Ok(MergedSource {
            region: RegionId(wire.region),
            peer: PeerId(wire.peer),
            incarnation: wire::incarnation(wire.incarnation)?,
        })
    }
}

impl From<PeerChange> for WirePeerChange {
    fn from(change: PeerChange) -> Self {
        match change {
            PeerChange::Add { peer } => WirePeerChange::Add { peer: peer.into() },
            PeerChange::Remove { peer } => WirePeerChange::Remove { peer: peer.0 },
            PeerChange::Promote { peer } => WirePeerChange::Promote { peer: peer.0 },
            PeerChange::Demote { peer } => WirePeerChange::Demote { peer: peer.0 },
        }
    }
}

impl From<WirePeerChange> for PeerChange {
    fn from(wire: WirePeerChange) -> Self {
        match wire {
            WirePeerChange::Add { peer } => PeerChange::Add { peer: peer.into() },
            WirePeerChange::Remove { peer } => PeerChange::Remove { peer: PeerId(peer) },
            WirePeerChange::Promote { peer } => PeerChange::Promote { peer: PeerId(peer) },
            WirePeerChange::Demote { peer } => PeerChange::Demote { peer: PeerId(peer) },
        }
    }
}

fn take_reason(rest: &mut &[u8], what: &'static str) -> Result<EvictReason, CodecError> {
    let reason: WireEvict = bytes::take(rest, what)?;
    Ok(reason.into())
}

fn floor_from_wire(wire: WireFloorUpdate) -> Result<FloorUpdate, CodecError> {
    Ok(FloorUpdate {
        region: RegionId(wire.region),
        incarnation: wire::incarnation(wire.incarnation)?,
        index: wire.index,
    })
}

fn fate_to_wire(fate: ChildFate) -> WireFate {
    match fate {
        ChildFate::Created => WireFate::Created,
        ChildFate::Adopted { predecessor } => WireFate::Adopted {
            predecessor: wire::from_incarnation(predecessor),
        },
        ChildFate::Skipped { reason } => match reason {
            SkipReason::Tombstoned { highest_peer } => WireFate::Tombstoned {
                highest_peer: highest_peer.0,
            },
            SkipReason::OtherPeer { peer } => WireFate::OtherPeer { peer: peer.0 },
            SkipReason::Initialized { incarnation } => WireFate::Initialized {
                incarnation: wire::from_incarnation(incarnation),
            },
        },
    }
}

fn fate_from_wire(wire: WireFate) -> Result<ChildFate, CodecError> {
    let reason = match wire {
        WireFate::Created => return Ok(ChildFate::Created),
        WireFate::Adopted { predecessor } => {
            let predecessor = wire::incarnation(predecessor)?;
            return Ok(ChildFate::Adopted { predecessor });
        }
        WireFate::Tombstoned { highest_peer } => SkipReason::Tombstoned {
            highest_peer: PeerId(highest_peer),
        },
        WireFate::OtherPeer { peer } => SkipReason::OtherPeer { peer: PeerId(peer) },
        WireFate::Initialized { incarnation } => SkipReason::Initialized {
            incarnation: wire::incarnation(incarnation)?,
        },
    };
    Ok(ChildFate::Skipped { reason })
}

fn split_from_wire(region: RegionId, wire: WireSplit<'_>) -> Result<Change, CodecError> {
    let List(new) = wire.children;
    bounded("new regions", new.len(), Split::CHILDREN_MAX)?;
    let mut boundaries = Vec::with_capacity(new.len());
    let mut children = Vec::with_capacity(new.len());
    for child in new {
        boundaries.push(wire::key(child.boundary)?);
        children.push(SplitChild {
            id: RegionId(child.id),
            peers: wire::peers(child.peers)?,
            fate: fate_from_wire(child.fate)?,
        });
    }
    Ok(Change::RegionSplit {
        region,
        position: wire.position.into(),
        version: wire.version,
        derive: wire.derive.into(),
        boundaries,
        children,
    })
}
