//! The gate: what becomes of a message for a peer of this store, before anything else looks at it.
//!
//! Every kind of message meets every state of its region with an answer and a stable reason. The gate
//! reads the register and changes nothing: a permit to create and an order to destroy are carried out
//! by the events of that name, which decide again, so an answer may be late and never wrong.
//!
//! A message names the peer that it is for. A smaller id than the live peer's is late; a larger one
//! means that the live peer was replaced; the same one is delivered to the creation that lives now.
//!
//! Not here: where a deferred message waits (`parking`), whether a snapshot may be applied (`step`).

use std::sync::Arc;

use super::{DestroyCause, Mode, PeerStage, PeerState, Register, Tombstone};
use crate::{Incarnation, KeyRange, PeerId, Region, RegionEpoch, RegionId, StoreId};

/// What the gate has to know of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MessageHeader {
    /// Which region.
    pub region: RegionId,
    /// The store that it is for.
    pub to_store: StoreId,
    /// The peer that it is for.
    pub to_peer: PeerId,
    /// The store that sent it.
    pub from_store: StoreId,
    /// The peer that sent it.
    pub from_peer: PeerId,
    /// The epoch that the sender knows; [`RegionEpoch::NONE`] if it names none.
    pub epoch: RegionEpoch,
    /// The sender's range, if the message carries it: what the peer will have, as far as is known.
    pub range: Option<KeyRange>,
    /// What it is.
    pub kind: MessageKind,
}

/// What a message is, as far as the gate cares.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MessageKind {
    /// Entries, or none.
    Append {
        /// Whether its first entry is the empty one at index 6: a new region's leader begins.
        is_first: bool,
    },
    /// A request for a vote.
    Vote {
        /// Whether it is for term 6: a new region elects its first leader.
        is_first: bool,
    },
    /// The question whether a vote would be given.
    PreVote {
        /// Whether it is for term 6: a new region elects its first leader.
        is_first: bool,
    },
    /// The leader lives.
    Heartbeat {
        /// Highest index that it tells to be committed; 0 for a peer of which it knows nothing.
        commit: u64,
    },
    /// A snapshot; its description is checked when it is reserved or begun.
    Snapshot,
    /// The leader wants this peer to take over at once.
    TransferLeader,
    /// An answer to something that this peer sent.
    Response,
    /// The sender knows that this peer was removed.
    Tombstone,
    /// The sender knows that the region was merged into another one.
    Merged {
        /// The other one.
        target: RegionId,
        /// The other one's version when it took the region in.
        target_version: u64,
    },
    /// The sender has not heard of a leader and asks who the peers are.
    CheckStale,
    /// The sender wants the region to be awake.
    WakeUp,
}

/// What becomes of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GateAnswer {
    /// The peer gets it. If that creation is gone by then, it is late and must be dropped.
    Deliver {
        /// The creation that it is for.
        incarnation: Incarnation,
    },
    /// A peer may be created for it; it gets the message then.
    Create(CreatePermit),
    /// Nobody gets it.
    Drop(GateDrop),
    /// The peer that it is for is gone for ever, or the sender knows less than the tombstone says.
    Stale(Tombstone),
    /// It is for a peer that may come to be, or has to wait; the host may park it.
    Defer(DeferUntil),
    /// The live peer has to go first.
    Destroy {
        /// The creation that lives.
        incarnation: Incarnation,
        /// Its peer.
        peer: PeerId,
        /// Why.
        cause: DestroyCause,
    },
    /// The sender is to be told something; nobody else gets the message.
    Reply(GateReply),
}

/// A peer may be created because a message for it arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct CreatePermit {
    /// Which region.
    pub region: RegionId,
    /// Which replica.
    pub peer: PeerId,
    /// Who sent the message.
    pub from_store: StoreId,
    /// The epoch that the sender knows.
    pub epoch: RegionEpoch,
}

/// What the sender of a message is to be told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GateReply {
    /// Its peer was removed from the region: a tombstone message, at this epoch.
    Gone {
        /// The epoch of this store's peer.
        epoch: RegionEpoch,
    },
    /// Who the peers are.
    Peers(Arc<Region>),
    /// The region was merged into another one.
    MergeTarget {
        /// The other one.
        target: RegionId,
    },
}

/// What a deferred message waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DeferUntil {
    /// A split, or a message that may create, makes the peer.
    PeerCreated,
    /// Another region gives up keys of the range: it is to be split, or to go.
    RangeFree {
        /// The other region.
        with: RegionId,
    },
    /// The snapshot that is being applied ends.
    SnapshotApplied,
    /// The region that took this one in has done so here too.
    TargetMerged {
        /// That region.
        target: RegionId,
    },
}

/// Why nobody gets a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum GateDrop {
    /// It is for another store.
    WrongStore,
    /// It names no epoch.
    NoEpoch,
    /// This store has no id yet.
    StoreUnidentified,
    /// A region or peer id is 0.
    IdZero,
    /// There is no such peer, and nothing to remove or to answer.
    PeerAbsent,
    /// There is no such peer, and a message of that kind creates none.
    NotInitial,
    /// It is for an older peer than the one that lives here.
    PeerStale {
        /// The peer that lives here.
        live: PeerId,
    },
    /// It says that another peer than the live one was removed.
    OtherPeer {
        /// The peer that lives here.
        live: PeerId,
    },
    /// It says that the peer was removed, and knows no more than the peer.
    NotNewer,
    /// The peer was a witness and waits for its data.
    WaitingForData,
    /// The peer's data is damaged: it takes a snapshot and nothing else.
    Damaged,
    /// A peer that is no voter with data cannot lead.
    CannotLead,
    /// The bootstrap is not confirmed.
    Unconfirmed,
    /// The peer has no description that it could answer with.
    Uninitialized,
    /// The range belongs to another region.
    RangeOverlap {
        /// The other region.
        with: RegionId,
    },
}

impl MessageKind {
    /// Whether a peer may be created for it.
    pub const fn is_initial(self) -> bool {
        match self {
            MessageKind::Vote { .. } | MessageKind::PreVote { .. } => true,
            MessageKind::Heartbeat { commit } => commit == 0,
            MessageKind::Append { .. }
            | MessageKind::Snapshot
            | MessageKind::TransferLeader
            | MessageKind::Response
            | MessageKind::Tombstone
            | MessageKind::Merged { .. }
            | MessageKind::CheckStale
            | MessageKind::WakeUp => false,
        }
    }

    /// Whether a new region's first leader would have to send it again, a whole election later: worth
    /// being parked.
    pub const fn is_first(self) -> bool {
        match self {
            MessageKind::Vote { is_first }
            | MessageKind::PreVote { is_first }
            | MessageKind::Append { is_first } => is_first,
            MessageKind::Heartbeat { .. }
            | MessageKind::Snapshot
            | MessageKind::TransferLeader
            | MessageKind::Response
            | MessageKind::Tombstone
            | MessageKind::Merged { .. }
            | MessageKind::CheckStale
            | MessageKind::WakeUp => false,
        }
    }
}

impl Register {
    /// What becomes of a message. Pure: nothing is looked up but this register.
    pub fn gate(&self, header: &MessageHeader) -> GateAnswer {
        let Some(store) = self.store() else {
            return GateAnswer::Drop(GateDrop::StoreUnidentified);
        };
        if header.to_store != store {
            return GateAnswer::Drop(GateDrop::WrongStore);
        }
        if header.region.0 == 0 || header.to_peer.0 == 0 {
            return GateAnswer::Drop(GateDrop::IdZero);
        }
        if header.epoch == RegionEpoch::NONE {
            return GateAnswer::Drop(GateDrop::NoEpoch);
        }
        match self.peer(header.region) {
            Some(live) => self.gate_live(header, live),
            None => self.gate_absent(header),
        }
    }

    fn gate_live(&self, header: &MessageHeader, live: &PeerState) -> GateAnswer {
        let destroy = |cause| GateAnswer::Destroy {
            incarnation: live.incarnation,
            peer: live.peer,
            cause,
        };
        let epoch = live.stage.epoch();
        match header.kind {
            MessageKind::Tombstone => {
                if header.to_peer != live.peer {
                    return GateAnswer::Drop(GateDrop::OtherPeer { live: live.peer });
                }
                if !epoch.is_stale_against(header.epoch) {
                    return GateAnswer::Drop(GateDrop::NotNewer);
                }
                let epoch = header.epoch;
                return destroy(DestroyCause::Removed { epoch });
            }
            MessageKind::Merged {
                target,
                target_version,
            } => {
                if header.to_peer != live.peer {
                    return GateAnswer::Drop(GateDrop::OtherPeer { live: live.peer });
                }
                return match self.has_moved_on(target, target_version) {
                    true => destroy(DestroyCause::Merged { target }),
                    false => GateAnswer::Defer(DeferUntil::TargetMerged { target }),
                };
            }
            MessageKind::Append { .. }
            | MessageKind::Vote { .. }
            | MessageKind::PreVote { .. }
            | MessageKind::Heartbeat { .. }
            | MessageKind::Snapshot
            | MessageKind::TransferLeader
            | MessageKind::Response
            | MessageKind::CheckStale
            | MessageKind::WakeUp => {}
        }
        // A member that is behind is none the less a member.
        let region = live.stage.region();
        let is_stranger = region.is_some_and(|region| region.peer_on(header.from_store).is_none());
        if is_stranger && header.epoch.is_stale_against(epoch) {
            return GateAnswer::Reply(GateReply::Gone { epoch });
        }
        if header.to_peer < live.peer {
            return GateAnswer::Drop(GateDrop::PeerStale { live: live.peer });
        }
        if header.to_peer > live.peer {
            let peer = header.to_peer;
            return destroy(DestroyCause::LargerPeer { peer });
        }
        match held_back(header.kind, &live.stage) {
            Some(answer) => answer,
            None => GateAnswer::Deliver {
                incarnation: live.incarnation,
            },
        }
    }

    fn gate_absent(&self, header: &MessageHeader) -> GateAnswer {
        match header.kind {
            MessageKind::Tombstone | MessageKind::Merged { .. } | MessageKind::Response => {
                return GateAnswer::Drop(GateDrop::PeerAbsent);
            }
            MessageKind::Append { .. }
            | MessageKind::Vote { .. }
            | MessageKind::PreVote { .. }
            | MessageKind::Heartbeat { .. }
            | MessageKind::Snapshot
            | MessageKind::TransferLeader
            | MessageKind::CheckStale
            | MessageKind::WakeUp => {}
        }
        if let Some(fence) = self.tombstone(header.region) {
            // A region that was merged never comes back, and whoever still speaks for it is told.
            if let Some(target) = fence.merge_target() {
                return GateAnswer::Reply(GateReply::MergeTarget { target });
            }
            let is_behind = header.epoch.is_stale_against(fence.epoch);
            if header.to_peer <= fence.highest_peer || is_behind {
                return GateAnswer::Stale(fence);
            }
        }
        let is_first = header.kind.is_first();
        if !header.kind.is_initial() {
            return match is_first {
                true => GateAnswer::Defer(DeferUntil::PeerCreated),
                false => GateAnswer::Drop(GateDrop::NotInitial),
            };
        }
        let tenants = header
            .range
            .as_ref()
            .map_or(Vec::new(), |range| self.tenants(range));
        for (with, _) in tenants {
            let merging = self.peer(with).and_then(|peer| peer.stage.merging());
            // A source that this region took in goes with the snapshot that the peer will get.
            let goes = merging.is_some_and(|merging| {
                merging.target == header.region
                    && merging.target_epoch.version < header.epoch.version
            });
            if !goes {
                return match is_first {
                    true => GateAnswer::Defer(DeferUntil::RangeFree { with }),
                    false => GateAnswer::Drop(GateDrop::RangeOverlap { with }),
                };
            }
        }
        GateAnswer::Create(CreatePermit {
            region: header.region,
            peer: header.to_peer,
            from_store: header.from_store,
            epoch: header.epoch,
        })
    }

    /// Whether the region that took another one in is past that here, so that the other one's peer was
    /// left behind: the target is newer, or is not here. A target that is not here may be a part that the
    /// source has yet to split off: its creation waits for the source's keys, and nothing but the
    /// target's log has the entry that would free them.
    fn has_moved_on(&self, target: RegionId, target_version: u64) -> bool {
        match self.peer(target) {
            Some(live) => live.stage.epoch().version > target_version,
            None => true,
        }
    }
}

/// What keeps a message of that kind from a peer in that stage.
fn held_back(kind: MessageKind, stage: &PeerStage) -> Option<GateAnswer> {
    let dropped = |reason| Some(GateAnswer::Drop(reason));
    if stage.mode() == Mode::Unconfirmed {
        return dropped(GateDrop::Unconfirmed);
    }
    match kind {
        MessageKind::Append { .. } => match stage {
            PeerStage::Waiting(_) => dropped(GateDrop::WaitingForData),
            PeerStage::Damaged(_) => dropped(GateDrop::Damaged),
            PeerStage::Uninitialized
            | PeerStage::Normal(_)
            | PeerStage::Witness(_)
            | PeerStage::Applying(_) => None,
        },
        MessageKind::TransferLeader => match stage {
            PeerStage::Normal(_) => None,
            PeerStage::Uninitialized
            | PeerStage::Witness(_)
            | PeerStage::Waiting(_)
            | PeerStage::Applying(_)
            | PeerStage::Damaged(_) => dropped(GateDrop::CannotLead),
        },
        // One at a time: the newer one is sent again if it is still needed.
        MessageKind::Snapshot => match stage {
            PeerStage::Applying(_) => Some(GateAnswer::Defer(DeferUntil::SnapshotApplied)),
            PeerStage::Uninitialized
            | PeerStage::Normal(_)
            | PeerStage::Witness(_)
            | PeerStage::Waiting(_)
            | PeerStage::Damaged(_) => None,
        },
        MessageKind::CheckStale => match stage.region() {
            Some(region) => Some(GateAnswer::Reply(GateReply::Peers(Arc::clone(region)))),
            None => dropped(GateDrop::Uninitialized),
        },
        MessageKind::Vote { .. }
        | MessageKind::PreVote { .. }
        | MessageKind::Heartbeat { .. }
        | MessageKind::Response
        | MessageKind::WakeUp
        | MessageKind::Tombstone
        | MessageKind::Merged { .. } => None,
    }
}

impl GateAnswer {
    /// Stable code for logs, tools and hosts: what it is, and the reason if there is one.
    pub const fn code(&self) -> &'static str {
        match self {
            GateAnswer::Deliver { .. } => "deliver",
            GateAnswer::Create(_) => "create",
            GateAnswer::Drop(reason) => reason.code(),
            GateAnswer::Stale(_) => "stale-tombstone",
            GateAnswer::Defer(until) => until.code(),
            GateAnswer::Destroy { cause, .. } => match cause {
                DestroyCause::Removed { .. } => "destroy-removed",
                DestroyCause::LargerPeer { .. } => "destroy-larger-peer",
                DestroyCause::Operator => "destroy-operator",
                DestroyCause::Merged { .. } => "destroy-merged",
            },
            GateAnswer::Reply(reply) => match reply {
                GateReply::Gone { .. } => "reply-gone",
                GateReply::Peers(_) => "reply-peers",
                GateReply::MergeTarget { .. } => "reply-merge-target",
            },
        }
    }
}

impl GateDrop {
    /// Stable code for logs, tools and hosts.
    pub const fn code(self) -> &'static str {
        match self {
            GateDrop::WrongStore => "drop-wrong-store",
            GateDrop::NoEpoch => "drop-no-epoch",
            GateDrop::StoreUnidentified => "drop-store-unidentified",
            GateDrop::IdZero => "drop-id-zero",
            GateDrop::PeerAbsent => "drop-peer-absent",
            GateDrop::NotInitial => "drop-not-initial",
            GateDrop::PeerStale { .. } => "drop-peer-stale",
            GateDrop::OtherPeer { .. } => "drop-other-peer",
            GateDrop::NotNewer => "drop-not-newer",
            GateDrop::WaitingForData => "drop-waiting-for-data",
            GateDrop::Damaged => "drop-damaged",
            GateDrop::CannotLead => "drop-cannot-lead",
            GateDrop::Unconfirmed => "drop-unconfirmed",
            GateDrop::Uninitialized => "drop-uninitialized",
            GateDrop::RangeOverlap { .. } => "drop-range-overlap",
        }
    }
}

impl DeferUntil {
    /// Stable code for logs, tools and hosts.
    pub const fn code(self) -> &'static str {
        match self {
            DeferUntil::PeerCreated => "defer-peer-created",
            DeferUntil::RangeFree { .. } => "defer-range-free",
            DeferUntil::SnapshotApplied => "defer-snapshot-applied",
            DeferUntil::TargetMerged { .. } => "defer-target-merged",
        }
    }
}
