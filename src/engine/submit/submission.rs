//! `Submission`: the transitions that can be submitted, as a host names them.
//!
//! Not here: which events they are (`event`), what they do (`lifecycle`), how they are carried out (`carry`).

use std::collections::BTreeSet;

use crate::lifecycle::{DestroyCause, PeerChange, Split, WitnessSwitch};
use crate::{Incarnation, PeerId, RaftPosition, Region, RegionEpoch, RegionId, StoreId};

/// A transition that can be submitted.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Submission {
    /// As [`Engine::create_peer`](crate::Engine::create_peer).
    CreatePeer {
        /// Which region.
        region: RegionId,
        /// Which replica of it.
        peer: PeerId,
        /// Who sent the message.
        from_store: StoreId,
        /// The epoch in the message.
        epoch: RegionEpoch,
    },
    /// As [`Engine::change_peers`](crate::Engine::change_peers).
    ChangePeers {
        /// Which region.
        region: RegionId,
        /// Its epoch, as the proposer knew it.
        epoch: RegionEpoch,
        /// The entry.
        position: RaftPosition,
        /// What changes.
        change: PeerChange,
    },
    /// As [`Engine::enter_joint`](crate::Engine::enter_joint).
    EnterJoint {
        /// Which region.
        region: RegionId,
        /// Its epoch, as the proposer knew it.
        epoch: RegionEpoch,
        /// The entry.
        position: RaftPosition,
        /// What changes.
        changes: Vec<PeerChange>,
    },
    /// As [`Engine::leave_joint`](crate::Engine::leave_joint).
    LeaveJoint {
        /// Which region.
        region: RegionId,
        /// Its epoch, as the proposer knew it.
        epoch: RegionEpoch,
        /// The entry.
        position: RaftPosition,
    },
    /// As [`Engine::switch_witness`](crate::Engine::switch_witness).
    SwitchWitness {
        /// Which region.
        region: RegionId,
        /// Its epoch, as the proposer knew it.
        epoch: RegionEpoch,
        /// The entry.
        position: RaftPosition,
        /// Who becomes a witness, or is none any more.
        switches: Vec<WitnessSwitch>,
    },
    /// As [`Engine::split`](crate::Engine::split).
    Split(Split),
    /// As [`Engine::prepare_merge`](crate::Engine::prepare_merge).
    PrepareMerge {
        /// The source.
        region: RegionId,
        /// Its epoch, as the proposer knew it.
        epoch: RegionEpoch,
        /// The entry.
        position: RaftPosition,
        /// The target, as the proposer knew it.
        target: Region,
        /// From here on the source's log has to be kept.
        min_index: u64,
    },
    /// As [`Engine::commit_merge`](crate::Engine::commit_merge).
    CommitMerge {
        /// The target.
        region: RegionId,
        /// Its epoch, as the proposer knew it.
        epoch: RegionEpoch,
        /// The entry.
        position: RaftPosition,
        /// The source, as the proposer knew it.
        source: Region,
        /// Index of the entry that began the merge on the source.
        commit: u64,
    },
    /// As [`Engine::rollback_merge`](crate::Engine::rollback_merge).
    RollbackMerge {
        /// The source.
        region: RegionId,
        /// Its epoch, as the proposer knew it.
        epoch: RegionEpoch,
        /// The entry.
        position: RaftPosition,
        /// Index of the entry that began the merge.
        commit: u64,
    },
    /// As [`Engine::begin_flashback`](crate::Engine::begin_flashback).
    BeginFlashback {
        /// Which region.
        region: RegionId,
        /// Its epoch, as the proposer knew it.
        epoch: RegionEpoch,
        /// The entry.
        position: RaftPosition,
    },
    /// As [`Engine::end_flashback`](crate::Engine::end_flashback).
    EndFlashback {
        /// Which region.
        region: RegionId,
        /// Its epoch, as the proposer knew it.
        epoch: RegionEpoch,
        /// The entry.
        position: RaftPosition,
    },
    /// As [`Engine::install_witness`](crate::Engine::install_witness).
    InstallWitness {
        /// Which region.
        region: RegionId,
        /// Which creation of the peer.
        incarnation: Incarnation,
        /// What the region is.
        description: Region,
        /// The entry that the description is from.
        position: RaftPosition,
    },
    /// As [`Engine::collect_tombstones`](crate::Engine::collect_tombstones), of one tombstone.
    CollectTombstone {
        /// Which region.
        region: RegionId,
        /// The highest peer that the tombstone fences.
        highest_peer: PeerId,
    },
    /// As [`Engine::destroy`](crate::Engine::destroy).
    Destroy {
        /// Which region.
        region: RegionId,
        /// Its epoch, as the caller knows it.
        epoch: RegionEpoch,
        /// Which creation of the peer, if the caller knows.
        incarnation: Option<Incarnation>,
        /// Which replica.
        peer: PeerId,
        /// Why.
        cause: DestroyCause,
    },
    /// As [`Engine::bootstrap`](crate::Engine::bootstrap).
    Bootstrap {
        /// Its description.
        region: Region,
    },
    /// As [`Engine::prepare_bootstrap`](crate::Engine::prepare_bootstrap).
    PrepareBootstrap {
        /// Its description.
        region: Region,
    },
    /// As [`Engine::confirm_bootstrap`](crate::Engine::confirm_bootstrap).
    ConfirmBootstrap {
        /// The prepared region.
        region: RegionId,
    },
    /// As [`Engine::abandon_bootstrap`](crate::Engine::abandon_bootstrap).
    AbandonBootstrap {
        /// The prepared region.
        region: RegionId,
    },
    /// As [`Engine::recover_region`](crate::Engine::recover_region).
    RecoverRegion {
        /// Its description.
        region: Region,
    },
    /// As [`Engine::force_voters`](crate::Engine::force_voters).
    ForceVoters {
        /// Which region.
        region: RegionId,
        /// Its epoch, as the operator knows it.
        epoch: RegionEpoch,
        /// The stores that are lost.
        failed: Vec<StoreId>,
    },
    /// As [`Engine::place_tombstone`](crate::Engine::place_tombstone).
    PlaceTombstone {
        /// Which region.
        region: RegionId,
        /// The peer up to which none ever lives here.
        peer: PeerId,
        /// The epoch that the operator knows.
        epoch: RegionEpoch,
    },
    /// As [`Engine::report_log_start`](crate::Engine::report_log_start).
    ReportLogStart {
        /// Which region.
        region: RegionId,
        /// Which creation of the peer.
        incarnation: Incarnation,
        /// The first entry that the host's log has.
        first_index: u64,
    },
}

impl Submission {
    /// The region that it is about.
    pub fn region(&self) -> RegionId {
        match self {
            Submission::CreatePeer { region, .. }
            | Submission::ChangePeers { region, .. }
            | Submission::EnterJoint { region, .. }
            | Submission::LeaveJoint { region, .. }
            | Submission::SwitchWitness { region, .. }
            | Submission::PrepareMerge { region, .. }
            | Submission::CommitMerge { region, .. }
            | Submission::RollbackMerge { region, .. }
            | Submission::BeginFlashback { region, .. }
            | Submission::EndFlashback { region, .. }
            | Submission::InstallWitness { region, .. }
            | Submission::CollectTombstone { region, .. }
            | Submission::Destroy { region, .. }
            | Submission::ConfirmBootstrap { region }
            | Submission::AbandonBootstrap { region }
            | Submission::ForceVoters { region, .. }
            | Submission::PlaceTombstone { region, .. }
            | Submission::ReportLogStart { region, .. } => *region,
            Submission::Bootstrap { region }
            | Submission::PrepareBootstrap { region }
            | Submission::RecoverRegion { region } => region.id,
            Submission::Split(split) => split.region,
        }
    }

    /// The regions whose data has to be durable before the record is: the transition moves keys, or a mode
    /// of the region stands for what it has. Empty for those that leave data alone.
    pub(super) fn durable_first(&self) -> BTreeSet<RegionId> {
        match self {
            Submission::Split(_)
            | Submission::PrepareMerge { .. }
            | Submission::RollbackMerge { .. }
            | Submission::BeginFlashback { .. }
            | Submission::EndFlashback { .. } => BTreeSet::from([self.region()]),
            Submission::CommitMerge { region, source, .. } => BTreeSet::from([*region, source.id]),
            Submission::CreatePeer { .. }
            | Submission::ChangePeers { .. }
            | Submission::EnterJoint { .. }
            | Submission::LeaveJoint { .. }
            | Submission::SwitchWitness { .. }
            | Submission::InstallWitness { .. }
            | Submission::CollectTombstone { .. }
            | Submission::Destroy { .. }
            | Submission::Bootstrap { .. }
            | Submission::PrepareBootstrap { .. }
            | Submission::ConfirmBootstrap { .. }
            | Submission::AbandonBootstrap { .. }
            | Submission::RecoverRegion { .. }
            | Submission::ForceVoters { .. }
            | Submission::PlaceTombstone { .. }
            | Submission::ReportLogStart { .. } => BTreeSet::new(),
        }
    }

    /// Whether it may end what this store's own peer has: its data, or the peer itself. Others are not
    /// looked at for that.
    pub(super) fn may_take_away(&self) -> bool {
        match self {
            Submission::ChangePeers { .. }
            | Submission::EnterJoint { .. }
            | Submission::LeaveJoint { .. }
            | Submission::SwitchWitness { .. }
            | Submission::InstallWitness { .. }
            | Submission::CommitMerge { .. }
            | Submission::AbandonBootstrap { .. }
            | Submission::Destroy { .. }
            | Submission::ReportLogStart { .. } => true,
            Submission::CreatePeer { .. }
            | Submission::Split(_)
            | Submission::PrepareMerge { .. }
            | Submission::RollbackMerge { .. }
            | Submission::BeginFlashback { .. }
            | Submission::EndFlashback { .. }
            | Submission::CollectTombstone { .. }
            | Submission::Bootstrap { .. }
            | Submission::PrepareBootstrap { .. }
            | Submission::ConfirmBootstrap { .. }
            | Submission::RecoverRegion { .. }
            | Submission::ForceVoters { .. }
            | Submission::PlaceTombstone { .. } => false,
        }
    }
}
