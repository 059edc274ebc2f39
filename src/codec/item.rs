//! One piece of a register as an item of a checkpoint: a tag, a version byte, and the piece.
//!
//! The ledger is not written; loading rebuilds it from the pieces.

use bincode::{BorrowDecode, Decode, Encode};
use torrens_journal::Lsn;

use super::bytes::List;
use super::wire::{
    self, WireDamage, WireDeletionCause, WireDeletionId, WireDestroy, WireEpoch, WireEvict,
    WireFloor, WireMerge, WireMode, WirePosition, WireRange, WireRegion, WireSnapshot,
};
use super::{CodecError, bytes, observer};
use crate::lifecycle::{
    Applying, CacheEntry, Damaged, MergedSource, Mode, Normal, PeerStage, PeerState,
    PendingDeletion, Previous, QueuedLoad, Rare, Register, RegisterHead, RegisterItem, Reservation,
    Slot, Tombstone, TombstoneCause, Waiting,
};
use crate::{PeerId, RegionId, Sequence, StoreId};

/// Version of the items that this code writes.
const ITEM_VERSION: u8 = 1;
const TAG_HEAD: u8 = 1;
const TAG_SLOT: u8 = 2;
const TAG_DELETION: u8 = 3;
const TAG_RESERVATION: u8 = 4;
const TAG_RETIRING: u8 = 5;
const TAG_OBSERVERS: u8 = 6;
const TAG_OBSERVER: u8 = 7;
const TAG_ATTACHMENTS: u8 = 8;

#[derive(Encode, Decode)]
struct WireHead {
    store: Option<u64>,
    generation: Option<[u8; 16]>,
    sequence_ceiling: u64,
    barrier: u64,
    last_lsn: u64,
}

#[derive(Encode, BorrowDecode)]
struct WireSlot<'a> {
    region: u64,
    last_record: u64,
    last_transition: u64,
    peer: Option<WirePeerState<'a>>,
    tombstone: Option<WireTombstone>,
    cache: WireCache,
}

#[derive(Encode, BorrowDecode)]
struct WirePeerState<'a> {
    peer: u64,
    incarnation: u64,
    predecessor: Option<u64>,
    stage: WireStage<'a>,
}

#[derive(Encode, BorrowDecode)]
enum WireStage<'a> {
    Uninitialized,
    Normal {
        region: WireRegion<'a>,
        meta_index: WirePosition,
        floor: WireFloor,
    },
    Applying {
        region: WireRegion<'a>,
        snapshot: WireSnapshot,
        previous: Option<WirePrevious<'a>>,
        begun: u64,
    },
    Damaged {
        region: WireRegion<'a>,
        meta_index: WirePosition,
        floor: WireFloor,
        reason: WireDamage,
    },
    NormalIn {
        region: WireRegion<'a>,
        meta_index: WirePosition,
        floor: WireFloor,
        mode: WireMode,
    },
    Witness {
        region: WireRegion<'a>,
        meta_index: WirePosition,
        floor: WireFloor,
        mode: Option<WireMode>,
    },
    Waiting {
        region: WireRegion<'a>,
        meta_index: WirePosition,
    },
    DamagedSource {
        region: WireRegion<'a>,
        meta_index: WirePosition,
        floor: WireFloor,
        reason: WireDamage,
        merging: WireMerge,
    },
}

#[derive(Encode, BorrowDecode)]
struct WirePrevious<'a> {
    region: WireRegion<'a>,
    meta_index: WirePosition,
}

#[derive(Encode, Decode)]
struct WireTombstone {
    highest_peer: u64,
    epoch: WireEpoch,
    cause: WireTombstoneCause,
}

#[derive(Encode, Decode)]
enum WireTombstoneCause {
    PeersChanged,
    Destroyed(WireDestroy),
    Merged { target: u64 },
}

#[derive(Encode, Decode)]
enum WireCache {
    Absent,
    LoadRequested(u64),
    Loading(u64),
    Active {
        incarnation: u64,
        shared_from: Option<u64>,
    },
    Cancelled(WireLeaving),
    EvictPending(WireLeaving),
    Evicting(WireLeaving),
    LoadQueued(u64),
}

#[derive(Encode, Decode)]
struct WireLeaving {
    incarnation: u64,
    reason: WireEvict,
    queued: Option<WireQueued>,
}

#[derive(Clone, Copy, Encode, Decode)]
struct WireQueued {
    incarnation: u64,
    version: u64,
}

#[derive(Encode, BorrowDecode)]
struct WireDeletion<'a> {
    id: WireDeletionId,
    range: WireRange<'a>,
    cause: WireDeletionCause,
}

#[derive(Encode, BorrowDecode)]
struct WireRetiring<'a> {
    region: u64,
    range: WireRange<'a>,
}

#[derive(Encode, BorrowDecode)]
struct WireReservation<'a> {
    region: u64,
    incarnation: u64,
    reserved: u64,
    description: WireRegion<'a>,
    position: WirePosition,
    sources: List<u64>,
    parts: List<WireRange<'a>>,
}

/// Gives the whole register to `sink`, item by item, in an order that [`load_item`] takes.
///
/// # Errors
/// Whatever `sink` answered; encoding itself has nothing to fail at.
pub fn save_register<E>(
    register: &Register,
    sink: &mut dyn FnMut(&[u8]) -> Result<(), E>,
) -> Result<(), E> {
    let mut item = Vec::with_capacity(256);
    for piece in register.items() {
        item.clear();
        match &piece {
            RegisterItem::Head(head) => {
                item.extend([TAG_HEAD, ITEM_VERSION]);
                bytes::put(&mut item, &head_to_wire(head));
            }
            RegisterItem::Slot(region, slot) => {
                item.extend([TAG_SLOT, ITEM_VERSION]);
                bytes::put(&mut item, &slot_to_wire(*region, slot));
            }
            RegisterItem::Deletion(id, PendingDeletion { range, cause }) => {
                item.extend([TAG_DELETION, ITEM_VERSION]);
                let (id, range, cause) = ((*id).into(), range.into(), (*cause).into());
                bytes::put(&mut item, &WireDeletion { id, range, cause });
            }
            RegisterItem::Reservation(region, reservation) => {
                item.extend([TAG_RESERVATION, ITEM_VERSION]);
                bytes::put(&mut item, &reservation_to_wire(*region, reservation));
            }
            RegisterItem::Retiring(region, range) => {
                item.extend([TAG_RETIRING, ITEM_VERSION]);
                let (region, range) = (region.0, range.into());
                bytes::put(&mut item, &WireRetiring { region, range });
            }
            RegisterItem::Observers {
                last_id,
                last_generation,
            } => {
                item.extend([TAG_OBSERVERS, ITEM_VERSION]);
                let head = observer::head_to_wire(*last_id, *last_generation);
                bytes::put(&mut item, &head);
            }
            RegisterItem::Observer(id, observer) => {
                item.extend([TAG_OBSERVER, ITEM_VERSION]);
                bytes::put(&mut item, &observer::observer_to_wire(*id, observer));
            }
            RegisterItem::Attachments(some) => {
                item.extend([TAG_ATTACHMENTS, ITEM_VERSION]);
                bytes::put(&mut item, &observer::attachments_to_wire(some));
            }
        }
        sink(&item)?;
    }
    Ok(())
}

/// Takes back one item, on a register that holds the items before it.
///
/// # Errors
/// [`CodecError`] if the bytes are not an item, or not one that could follow; the register is as
/// before.
pub fn load_item(register: &mut Register, item: &[u8]) -> Result<(), CodecError> {
    let piece = decode_item(item)?;
    register.restore(piece).map_err(CodecError::Restore)
}

/// What an item says, whatever it is to follow.
///
/// # Errors
/// [`CodecError`] if the bytes are not an item.
pub(crate) fn decode_item(item: &[u8]) -> Result<RegisterItem, CodecError> {
    let (tag, rest) = item.split_first().ok_or(CodecError::Empty)?;
    let (version, mut rest) = rest.split_first().ok_or(CodecError::Empty)?;
    match *version {
        0 => return Err(CodecError::VersionZero),
        ITEM_VERSION => {}
        found => {
            let known = ITEM_VERSION;
            return Err(CodecError::NewerVersion { found, known });
        }
    }
    let piece = match *tag {
        TAG_HEAD => RegisterItem::Head(head_from_wire(bytes::take(&mut rest, "a head item")?)),
        TAG_SLOT => slot_from_wire(bytes::take(&mut rest, "a region item")?)?,
        TAG_DELETION => {
            let wire: WireDeletion<'_> = bytes::take(&mut rest, "a deletion item")?;
            let deletion = PendingDeletion {
                range: wire.range.try_into()?,
                cause: wire.cause.try_into()?,
            };
            RegisterItem::Deletion(wire.id.try_into()?, deletion)
        }
        TAG_RESERVATION => reservation_from_wire(bytes::take(&mut rest, "a reservation item")?)?,
        TAG_RETIRING => {
            let wire: WireRetiring<'_> = bytes::take(&mut rest, "an item of retiring memory")?;
            RegisterItem::Retiring(RegionId(wire.region), wire.range.try_into()?)
        }
        TAG_OBSERVERS => observer::head_from_wire(bytes::take(&mut rest, "an observers item")?),
        TAG_OBSERVER => observer::observer_from_wire(bytes::take(&mut rest, "an observer item")?)?,
        TAG_ATTACHMENTS => {
            observer::attachments_from_wire(bytes::take(&mut rest, "an attachments item")?)?
        }
        found => return Err(CodecError::UnknownItem { found }),
    };
    bytes::end(rest, "an item")?;
    Ok(piece)
}

fn reservation_to_wire(region: RegionId, reservation: &Reservation) -> WireReservation<'_> {
    WireReservation {
        region: region.0,
        incarnation: wire::from_incarnation(reservation.incarnation),
        reserved: reservation.reserved.get(),
        description: (&*reservation.description).into(),
        position: reservation.position.into(),
        sources: List(reservation.sources.iter().map(|source| source.0).collect()),
        parts: List(reservation.parts.iter().map(WireRange::from).collect()),
    }
}

fn reservation_from_wire(wire: WireReservation<'_>) -> Result<RegisterItem, CodecError> {
    let region = RegionId(wire.region);
    let (List(sources), List(parts)) = (wire.sources, wire.parts);
    let most = MergedSource::PER_SNAPSHOT_MAX;
    wire::bounded("merged regions", sources.len(), most)?;
    // Every part lies between two that somebody else has: the peer itself or a source.
    wire::bounded("reserved ranges", parts.len(), most + 2)?;
    let parts = parts.into_iter().map(crate::KeyRange::try_from);
    let reservation = Reservation {
        incarnation: wire::incarnation(wire.incarnation)?,
        description: wire.description.into_shared(region)?,
        position: wire.position.into(),
        sources: sources.into_iter().map(RegionId).collect(),
        parts: parts.collect::<Result<_, _>>()?,
        reserved: wire::lsn(wire.reserved)?,
    };
    Ok(RegisterItem::Reservation(region, reservation))
}

fn head_to_wire(head: &RegisterHead) -> WireHead {
    WireHead {
        store: head.store.map(|store| store.0),
        generation: head.generation,
        sequence_ceiling: head.sequence_ceiling.get(),
        barrier: head.barrier,
        last_lsn: head.last_lsn.get(),
    }
}

fn head_from_wire(wire: WireHead) -> RegisterHead {
    RegisterHead {
        store: wire.store.map(StoreId),
        generation: wire.generation,
        sequence_ceiling: Sequence::new(wire.sequence_ceiling),
        barrier: wire.barrier,
        last_lsn: Lsn::new(wire.last_lsn),
    }
}

fn slot_to_wire(region: RegionId, slot: &Slot) -> WireSlot<'_> {
    let peer = slot.peer.as_ref().map(|peer| WirePeerState {
        peer: peer.peer.0,
        incarnation: wire::from_incarnation(peer.incarnation),
        predecessor: peer.predecessor.map(wire::from_incarnation),
        stage: stage_to_wire(&peer.stage),
    });
    let tombstone = slot.tombstone.as_ref().map(|tombstone| WireTombstone {
        highest_peer: tombstone.highest_peer.0,
        epoch: tombstone.epoch.into(),
        cause: match tombstone.cause {
            TombstoneCause::PeersChanged => WireTombstoneCause::PeersChanged,
            TombstoneCause::Destroyed(cause) => WireTombstoneCause::Destroyed(cause.into()),
            TombstoneCause::Merged { target } => WireTombstoneCause::Merged { target: target.0 },
        },
    });
    WireSlot {
        region: region.0,
        last_record: slot.last_record.get(),
        last_transition: slot.last_transition.get(),
        peer,
        tombstone,
        cache: cache_to_wire(*slot.cache),
    }
}

fn slot_from_wire(wire: WireSlot<'_>) -> Result<RegisterItem, CodecError> {
    let region = RegionId(wire.region);
    let peer = match wire.peer {
        None => None,
        Some(peer) => Some(PeerState {
            peer: PeerId(peer.peer),
            incarnation: wire::incarnation(peer.incarnation)?,
            predecessor: peer.predecessor.map(wire::incarnation).transpose()?.into(),
            stage: stage_from_wire(region, peer.stage)?,
        }),
    };
    let tombstone = wire.tombstone.map(|tombstone| {
        Box::new(Tombstone {
            highest_peer: PeerId(tombstone.highest_peer),
            epoch: tombstone.epoch.into(),
            cause: match tombstone.cause {
                WireTombstoneCause::PeersChanged => TombstoneCause::PeersChanged,
                WireTombstoneCause::Destroyed(cause) => TombstoneCause::Destroyed(cause.into()),
                WireTombstoneCause::Merged { target } => TombstoneCause::Merged {
                    target: RegionId(target),
                },
            },
        })
    });
    let slot = Slot {
        peer,
        tombstone,
        cache: cache_from_wire(wire.cache)?.into(),
        last_record: wire::lsn(wire.last_record)?,
        last_transition: wire::lsn(wire.last_transition)?,
    };
    Ok(RegisterItem::Slot(region, triomphe::Arc::new(slot)))
}

fn stage_to_wire(stage: &PeerStage) -> WireStage<'_> {
    match stage {
        PeerStage::Uninitialized => WireStage::Uninitialized,
        PeerStage::Normal(normal) => {
            let (region, meta_index) = ((&*normal.region).into(), normal.meta_index.into());
            let floor = normal.floor.into();
            match wire::from_mode(*normal.mode) {
                None => WireStage::Normal {
                    region,
                    meta_index,
                    floor,
                },
                Some(mode) => WireStage::NormalIn {
                    region,
                    meta_index,
                    floor,
                    mode,
                },
            }
        }
        PeerStage::Witness(witness) => WireStage::Witness {
            region: (&*witness.region).into(),
            meta_index: witness.meta_index.into(),
            floor: witness.floor.into(),
            mode: wire::from_mode(*witness.mode),
        },
        PeerStage::Waiting(waiting) => WireStage::Waiting {
            region: (&*waiting.region).into(),
            meta_index: waiting.meta_index.into(),
        },
        PeerStage::Applying(applying) => WireStage::Applying {
            region: (&*applying.region).into(),
            snapshot: applying.snapshot.into(),
            previous: applying.previous.as_ref().map(|previous| WirePrevious {
                region: (&*previous.region).into(),
                meta_index: previous.meta_index.into(),
            }),
            begun: applying.begun.get(),
        },
        PeerStage::Damaged(damaged) => {
            let (region, meta_index) = ((&*damaged.region).into(), damaged.meta_index.into());
            let (floor, reason) = (damaged.floor.into(), damaged.reason.into());
            match damaged.merging {
                None => WireStage::Damaged {
                    region,
                    meta_index,
                    floor,
                    reason,
                },
                Some(merging) => WireStage::DamagedSource {
                    region,
                    meta_index,
                    floor,
                    reason,
                    merging: merging.into(),
                },
            }
        }
    }
}

fn stage_from_wire(id: RegionId, wire: WireStage<'_>) -> Result<PeerStage, CodecError> {
    Ok(match wire {
        WireStage::Uninitialized => PeerStage::Uninitialized,
        WireStage::Normal {
            region,
            meta_index,
            floor,
        } => PeerStage::Normal(Normal {
            region: region.into_shared(id)?,
            meta_index: meta_index.into(),
            floor: floor.into(),
            mode: Rare::default(),
        }),
        WireStage::NormalIn {
            region,
            meta_index,
            floor,
            mode,
        } => PeerStage::Normal(Normal {
            region: region.into_shared(id)?,
            meta_index: meta_index.into(),
            floor: floor.into(),
            mode: Mode::from(mode).into(),
        }),
        WireStage::Witness {
            region,
            meta_index,
            floor,
            mode,
        } => PeerStage::Witness(Normal {
            region: region.into_shared(id)?,
            meta_index: meta_index.into(),
            floor: floor.into(),
            mode: mode.map_or(Mode::Serving, Mode::from).into(),
        }),
        WireStage::Waiting { region, meta_index } => PeerStage::Waiting(Waiting {
            region: region.into_shared(id)?,
            meta_index: meta_index.into(),
        }),
        WireStage::Applying {
            region,
            snapshot,
            previous,
            begun,
        } => PeerStage::Applying(Box::new(Applying {
            region: region.into_shared(id)?,
            snapshot: snapshot.into(),
            previous: match previous {
                None => None,
                Some(previous) => Some(Previous {
                    region: previous.region.into_shared(id)?,
                    meta_index: previous.meta_index.into(),
                }),
            },
            begun: wire::lsn(begun)?,
        })),
        WireStage::Damaged {
            region,
            meta_index,
            floor,
            reason,
        } => PeerStage::Damaged(Box::new(Damaged {
            region: region.into_shared(id)?,
            meta_index: meta_index.into(),
            floor: floor.into(),
            reason: reason.into(),
            merging: None,
        })),
        WireStage::DamagedSource {
            region,
            meta_index,
            floor,
            reason,
            merging,
        } => PeerStage::Damaged(Box::new(Damaged {
            region: region.into_shared(id)?,
            meta_index: meta_index.into(),
            floor: floor.into(),
            reason: reason.into(),
            merging: Some(merging.into()),
        })),
    })
}

fn cache_to_wire(cache: CacheEntry) -> WireCache {
    let leaving = |incarnation, reason: crate::lifecycle::EvictReason, queued| WireLeaving {
        incarnation: wire::from_incarnation(incarnation),
        reason: reason.into(),
        queued: Option::map(queued, |load: QueuedLoad| WireQueued {
            incarnation: wire::from_incarnation(load.incarnation),
            version: load.version,
        }),
    };
    match cache {
        CacheEntry::Absent => WireCache::Absent,
        CacheEntry::LoadRequested { incarnation } => {
            WireCache::LoadRequested(wire::from_incarnation(incarnation))
        }
        CacheEntry::LoadQueued { incarnation } => {
            WireCache::LoadQueued(wire::from_incarnation(incarnation))
        }
        CacheEntry::Loading { incarnation } => {
            WireCache::Loading(wire::from_incarnation(incarnation))
        }
        CacheEntry::Active {
            incarnation,
            shared_from,
        } => WireCache::Active {
            incarnation: wire::from_incarnation(incarnation),
            shared_from: shared_from.map(|region| region.0),
        },
        CacheEntry::Cancelled {
            incarnation,
            reason,
            queued,
        } => WireCache::Cancelled(leaving(incarnation, reason, queued)),
        CacheEntry::EvictPending {
            incarnation,
            reason,
            queued,
        } => WireCache::EvictPending(leaving(incarnation, reason, queued)),
        CacheEntry::Evicting {
            incarnation,
            reason,
            queued,
        } => WireCache::Evicting(leaving(incarnation, reason, queued)),
    }
}

fn cache_from_wire(wire: WireCache) -> Result<CacheEntry, CodecError> {
    let leaving = |leaving: WireLeaving| {
        let queued = match leaving.queued {
            None => None,
            Some(load) => Some(QueuedLoad {
                incarnation: wire::incarnation(load.incarnation)?,
                version: load.version,
            }),
        };
        let incarnation = wire::incarnation(leaving.incarnation)?;
        Ok::<_, CodecError>((incarnation, leaving.reason.into(), queued))
    };
    Ok(match wire {
        WireCache::Absent => CacheEntry::Absent,
        WireCache::LoadRequested(created) => CacheEntry::LoadRequested {
            incarnation: wire::incarnation(created)?,
        },
        WireCache::LoadQueued(created) => CacheEntry::LoadQueued {
            incarnation: wire::incarnation(created)?,
        },
        WireCache::Loading(created) => CacheEntry::Loading {
            incarnation: wire::incarnation(created)?,
        },
        WireCache::Active {
            incarnation,
            shared_from,
        } => CacheEntry::Active {
            incarnation: wire::incarnation(incarnation)?,
            shared_from: shared_from.map(RegionId),
        },
        WireCache::Cancelled(wire) => {
            let (incarnation, reason, queued) = leaving(wire)?;
            CacheEntry::Cancelled {
                incarnation,
                reason,
                queued,
            }
        }
        WireCache::EvictPending(wire) => {
            let (incarnation, reason, queued) = leaving(wire)?;
            CacheEntry::EvictPending {
                incarnation,
                reason,
                queued,
            }
        }
        WireCache::Evicting(wire) => {
            let (incarnation, reason, queued) = leaving(wire)?;
            CacheEntry::Evicting {
                incarnation,
                reason,
                queued,
            }
        }
    })
}
