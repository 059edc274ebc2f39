//! `ChangeKind`: the stable number and name of each kind of change, and what it asks of the journal.
//!
//! Numbers and names are for ever. The high byte is the family; no kind has the journal's ignorable
//! bit, because each is needed to rebuild the state. Not here: what a change holds (`change`).

use super::{Change, Durability};

/// A kind of [`Change`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u16)]
pub enum ChangeKind {
    /// See [`Change::StoreIdentified`].
    StoreIdentified = 0x0101,
    /// See [`Change::DataStoreReplaced`].
    DataStoreReplaced = 0x0102,
    /// See [`Change::SequencesLeased`].
    SequencesLeased = 0x0103,
    /// See [`Change::BarrierReached`].
    BarrierReached = 0x0104,
    /// See [`Change::RegionBootstrapped`].
    RegionBootstrapped = 0x0201,
    /// See [`Change::RegionSplit`].
    RegionSplit = 0x0202,
    /// See [`Change::PeersChanged`].
    PeersChanged = 0x0203,
    /// See [`Change::OwnPeerRemoved`].
    OwnPeerRemoved = 0x0204,
    /// See [`Change::JointEntered`].
    JointEntered = 0x0205,
    /// See [`Change::JointLeft`].
    JointLeft = 0x0206,
    /// See [`Change::WitnessesSwitched`].
    WitnessesSwitched = 0x0207,
    /// See [`Change::MergePrepared`].
    MergePrepared = 0x0208,
    /// See [`Change::RegionsMerged`].
    RegionsMerged = 0x0209,
    /// See [`Change::MergeRolledBack`].
    MergeRolledBack = 0x020a,
    /// See [`Change::FlashbackBegun`].
    FlashbackBegun = 0x020b,
    /// See [`Change::FlashbackEnded`].
    FlashbackEnded = 0x020c,
    /// See [`Change::BootstrapPrepared`].
    BootstrapPrepared = 0x020d,
    /// See [`Change::BootstrapConfirmed`].
    BootstrapConfirmed = 0x020e,
    /// See [`Change::BootstrapAbandoned`].
    BootstrapAbandoned = 0x020f,
    /// See [`Change::RegionRecovered`].
    RegionRecovered = 0x0210,
    /// See [`Change::VotersForced`].
    VotersForced = 0x0211,
    /// See [`Change::PeerCreated`].
    PeerCreated = 0x0301,
    /// See [`Change::PeerDestroyed`].
    PeerDestroyed = 0x0302,
    /// See [`Change::DeletionFinished`].
    DeletionFinished = 0x0303,
    /// See [`Change::PeerDamaged`].
    PeerDamaged = 0x0304,
    /// See [`Change::TombstonePlaced`].
    TombstonePlaced = 0x0305,
    /// See [`Change::TombstoneCollected`].
    TombstoneCollected = 0x0306,
    /// See [`Change::SnapshotBegun`].
    SnapshotBegun = 0x0401,
    /// See [`Change::SnapshotEnded`].
    SnapshotEnded = 0x0402,
    /// See [`Change::SnapshotAborted`].
    SnapshotAborted = 0x0403,
    /// See [`Change::WitnessInstalled`].
    WitnessInstalled = 0x0404,
    /// See [`Change::SnapshotBegunOverSources`].
    SnapshotBegunOverSources = 0x0405,
    /// See [`Change::SnapshotReserved`].
    SnapshotReserved = 0x0406,
    /// See [`Change::SnapshotReleased`].
    SnapshotReleased = 0x0407,
    /// See [`Change::CacheLoadRequested`].
    CacheLoadRequested = 0x0501,
    /// See [`Change::CacheLoadQueued`].
    CacheLoadQueued = 0x0502,
    /// See [`Change::CacheLoadUnqueued`].
    CacheLoadUnqueued = 0x0503,
    /// See [`Change::CacheLoading`].
    CacheLoading = 0x0504,
    /// See [`Change::CacheActive`].
    CacheActive = 0x0505,
    /// See [`Change::CacheCancelled`].
    CacheCancelled = 0x0506,
    /// See [`Change::CacheEvictPending`].
    CacheEvictPending = 0x0507,
    /// See [`Change::CacheEvicting`].
    CacheEvicting = 0x0508,
    /// See [`Change::CacheGone`].
    CacheGone = 0x0509,
    /// See [`Change::CacheLoadWaits`].
    CacheLoadWaits = 0x050a,
    /// See [`Change::CacheGoneLoadWaits`].
    CacheGoneLoadWaits = 0x050b,
    /// See [`ObserverChange::Added`](super::ObserverChange::Added).
    ObserverAdded = 0x0601,
    /// See [`ObserverChange::Removed`](super::ObserverChange::Removed).
    ObserverRemoved = 0x0602,
    /// See [`ObserverChange::Paused`](super::ObserverChange::Paused).
    ObserverPaused = 0x0603,
    /// See [`ObserverChange::Resumed`](super::ObserverChange::Resumed).
    ObserverResumed = 0x0604,
    /// See [`ObserverChange::PolicySet`](super::ObserverChange::PolicySet).
    ObserverPolicySet = 0x0605,
    /// See [`ObserverChange::Attached`](super::ObserverChange::Attached).
    ObserverAttached = 0x0606,
    /// See [`ObserverChange::CaughtUp`](super::ObserverChange::CaughtUp).
    ObserverCaughtUp = 0x0607,
    /// See [`ObserverChange::Detached`](super::ObserverChange::Detached).
    ObserverDetached = 0x0608,
    /// See [`ObserverChange::Acknowledged`](super::ObserverChange::Acknowledged).
    ObserverAcknowledged = 0x0609,
    /// See [`ObserverChange::Invalidated`](super::ObserverChange::Invalidated).
    ObserverInvalidated = 0x060a,
    /// See [`ObserverChange::Rebased`](super::ObserverChange::Rebased).
    ObserverRebased = 0x060b,
    /// See [`ObserverChange::Ended`](super::ObserverChange::Ended).
    ObserverEnded = 0x060c,
    /// See [`ObserverChange::Restarted`](super::ObserverChange::Restarted).
    ObserverRestarted = 0x060d,
}

impl ChangeKind {
    /// Every kind, by number.
    pub const ALL: [ChangeKind; 58] = [
        ChangeKind::StoreIdentified,
        ChangeKind::DataStoreReplaced,
        ChangeKind::SequencesLeased,
        ChangeKind::BarrierReached,
        ChangeKind::RegionBootstrapped,
        ChangeKind::RegionSplit,
        ChangeKind::PeersChanged,
        ChangeKind::OwnPeerRemoved,
        ChangeKind::JointEntered,
        ChangeKind::JointLeft,
        ChangeKind::WitnessesSwitched,
        ChangeKind::MergePrepared,
        ChangeKind::RegionsMerged,
        ChangeKind::MergeRolledBack,
        ChangeKind::FlashbackBegun,
        ChangeKind::FlashbackEnded,
        ChangeKind::BootstrapPrepared,
        ChangeKind::BootstrapConfirmed,
        ChangeKind::BootstrapAbandoned,
        ChangeKind::RegionRecovered,
        ChangeKind::VotersForced,
        ChangeKind::PeerCreated,
        ChangeKind::PeerDestroyed,
        ChangeKind::DeletionFinished,
        ChangeKind::PeerDamaged,
        ChangeKind::TombstonePlaced,
        ChangeKind::TombstoneCollected,
        ChangeKind::SnapshotBegun,
        ChangeKind::SnapshotEnded,
        ChangeKind::SnapshotAborted,
        ChangeKind::WitnessInstalled,
        ChangeKind::SnapshotBegunOverSources,
        ChangeKind::SnapshotReserved,
        ChangeKind::SnapshotReleased,
        ChangeKind::CacheLoadRequested,
        ChangeKind::CacheLoadQueued,
        ChangeKind::CacheLoadUnqueued,
        ChangeKind::CacheLoading,
        ChangeKind::CacheActive,
        ChangeKind::CacheCancelled,
        ChangeKind::CacheEvictPending,
        ChangeKind::CacheEvicting,
        ChangeKind::CacheGone,
        ChangeKind::CacheLoadWaits,
        ChangeKind::CacheGoneLoadWaits,
        ChangeKind::ObserverAdded,
        ChangeKind::ObserverRemoved,
        ChangeKind::ObserverPaused,
        ChangeKind::ObserverResumed,
        ChangeKind::ObserverPolicySet,
        ChangeKind::ObserverAttached,
        ChangeKind::ObserverCaughtUp,
        ChangeKind::ObserverDetached,
        ChangeKind::ObserverAcknowledged,
        ChangeKind::ObserverInvalidated,
        ChangeKind::ObserverRebased,
        ChangeKind::ObserverEnded,
        ChangeKind::ObserverRestarted,
    ];

    /// The stable number.
    pub const fn number(self) -> u16 {
        self as u16
    }

    /// The kind with that number; none if this version does not know it.
    pub fn from_number(number: u16) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.number() == number)
    }

    /// The stable name.
    pub const fn name(self) -> &'static str {
        match self {
            ChangeKind::StoreIdentified => "store.identify",
            ChangeKind::DataStoreReplaced => "store.new-data",
            ChangeKind::SequencesLeased => "store.lease",
            ChangeKind::BarrierReached => "store.barrier",
            ChangeKind::RegionBootstrapped => "region.bootstrap",
            ChangeKind::RegionSplit => "region.split",
            ChangeKind::PeersChanged => "region.change-peers",
            ChangeKind::OwnPeerRemoved => "region.remove-self",
            ChangeKind::JointEntered => "region.enter-joint",
            ChangeKind::JointLeft => "region.leave-joint",
            ChangeKind::WitnessesSwitched => "region.switch-witness",
            ChangeKind::MergePrepared => "region.merge-prepare",
            ChangeKind::RegionsMerged => "region.merge-commit",
            ChangeKind::MergeRolledBack => "region.merge-rollback",
            ChangeKind::FlashbackBegun => "region.flashback-begin",
            ChangeKind::FlashbackEnded => "region.flashback-end",
            ChangeKind::BootstrapPrepared => "region.bootstrap-prepare",
            ChangeKind::BootstrapConfirmed => "region.bootstrap-confirm",
            ChangeKind::BootstrapAbandoned => "region.bootstrap-abandon",
            ChangeKind::RegionRecovered => "region.recover",
            ChangeKind::VotersForced => "region.force-voters",
            ChangeKind::PeerCreated => "peer.create",
            ChangeKind::PeerDestroyed => "peer.destroy-begin",
            ChangeKind::DeletionFinished => "peer.destroy-end",
            ChangeKind::PeerDamaged => "peer.damage",
            ChangeKind::TombstonePlaced => "peer.tombstone",
            ChangeKind::TombstoneCollected => "peer.collect",
            ChangeKind::SnapshotBegun => "snapshot.begin",
            ChangeKind::SnapshotEnded => "snapshot.end",
            ChangeKind::SnapshotAborted => "snapshot.abort",
            ChangeKind::WitnessInstalled => "snapshot.witness",
            ChangeKind::SnapshotBegunOverSources => "snapshot.begin-merged",
            ChangeKind::SnapshotReserved => "snapshot.reserve",
            ChangeKind::SnapshotReleased => "snapshot.release",
            ChangeKind::CacheLoadRequested => "cache.request",
            ChangeKind::CacheLoadQueued => "cache.queue",
            ChangeKind::CacheLoadUnqueued => "cache.unqueue",
            ChangeKind::CacheLoading => "cache.loading",
            ChangeKind::CacheActive => "cache.active",
            ChangeKind::CacheCancelled => "cache.cancel",
            ChangeKind::CacheEvictPending => "cache.evict-pending",
            ChangeKind::CacheEvicting => "cache.evicting",
            ChangeKind::CacheGone => "cache.gone",
            ChangeKind::CacheLoadWaits => "cache.wait",
            ChangeKind::CacheGoneLoadWaits => "cache.gone-wait",
            ChangeKind::ObserverAdded => "observer.add",
            ChangeKind::ObserverRemoved => "observer.remove",
            ChangeKind::ObserverPaused => "observer.pause",
            ChangeKind::ObserverResumed => "observer.resume",
            ChangeKind::ObserverPolicySet => "observer.policy",
            ChangeKind::ObserverAttached => "observer.attach",
            ChangeKind::ObserverCaughtUp => "observer.caught-up",
            ChangeKind::ObserverDetached => "observer.detach",
            ChangeKind::ObserverAcknowledged => "observer.ack",
            ChangeKind::ObserverInvalidated => "observer.invalidate",
            ChangeKind::ObserverRebased => "observer.rebase",
            ChangeKind::ObserverEnded => "observer.end",
            ChangeKind::ObserverRestarted => "observer.restart",
        }
    }

    /// Whether it only moves a cache: such a record changes nothing that data or epochs rest on.
    pub const fn is_cache(self) -> bool {
        self.number() & 0xff00 == 0x0500
    }

    /// Whether a caller may hear of it before it is durable.
    pub const fn durability(self) -> Durability {
        match self {
            // Losing this one clears the keys again; whatever moves in later is journaled later, and
            // so cannot be durable without it.
            ChangeKind::DeletionFinished => Durability::AppendOnly,
            // Nothing was given to Raft that a crash does not take away too.
            ChangeKind::SnapshotReserved | ChangeKind::SnapshotReleased => Durability::AppendOnly,
            // Losing one repeats work: what is delivered twice, or reads what is kept again.
            ChangeKind::ObserverCaughtUp
            | ChangeKind::ObserverDetached
            | ChangeKind::ObserverAcknowledged
            | ChangeKind::ObserverEnded
            | ChangeKind::ObserverRestarted => Durability::AppendOnly,
            // Memory does not outlive the process anyway.
            ChangeKind::CacheLoadRequested
            | ChangeKind::CacheLoadQueued
            | ChangeKind::CacheLoadUnqueued
            | ChangeKind::CacheLoading
            | ChangeKind::CacheActive
            | ChangeKind::CacheCancelled
            | ChangeKind::CacheEvictPending
            | ChangeKind::CacheEvicting
            | ChangeKind::CacheGone
            | ChangeKind::CacheLoadWaits
            | ChangeKind::CacheGoneLoadWaits => Durability::AppendOnly,
            ChangeKind::StoreIdentified
            | ChangeKind::DataStoreReplaced
            | ChangeKind::SequencesLeased
            | ChangeKind::BarrierReached
            | ChangeKind::RegionBootstrapped
            | ChangeKind::RegionSplit
            | ChangeKind::PeersChanged
            | ChangeKind::OwnPeerRemoved
            | ChangeKind::PeerCreated
            | ChangeKind::PeerDestroyed
            | ChangeKind::PeerDamaged
            | ChangeKind::SnapshotBegun
            | ChangeKind::SnapshotEnded
            | ChangeKind::JointEntered
            | ChangeKind::JointLeft
            | ChangeKind::WitnessesSwitched
            | ChangeKind::WitnessInstalled
            | ChangeKind::MergePrepared
            | ChangeKind::RegionsMerged
            | ChangeKind::MergeRolledBack
            | ChangeKind::FlashbackBegun
            | ChangeKind::FlashbackEnded
            | ChangeKind::BootstrapPrepared
            | ChangeKind::BootstrapConfirmed
            | ChangeKind::BootstrapAbandoned
            | ChangeKind::RegionRecovered
            | ChangeKind::VotersForced
            | ChangeKind::TombstonePlaced
            | ChangeKind::TombstoneCollected
            | ChangeKind::SnapshotBegunOverSources
            | ChangeKind::ObserverAdded
            | ChangeKind::ObserverRemoved
            | ChangeKind::ObserverPaused
            | ChangeKind::ObserverResumed
            | ChangeKind::ObserverPolicySet
            | ChangeKind::ObserverAttached
            | ChangeKind::ObserverInvalidated
            | ChangeKind::ObserverRebased
            | ChangeKind::SnapshotAborted => Durability::Wait,
        }
    }
}

impl Change {
    /// Its kind.
    pub const fn change_kind(&self) -> ChangeKind {
        match self {
            Change::StoreIdentified { .. } => ChangeKind::StoreIdentified,
            Change::DataStoreReplaced { .. } => ChangeKind::DataStoreReplaced,
            Change::SequencesLeased { .. } => ChangeKind::SequencesLeased,
            Change::BarrierReached { .. } => ChangeKind::BarrierReached,
            Change::RegionBootstrapped { .. } => ChangeKind::RegionBootstrapped,
            Change::RegionSplit { .. } => ChangeKind::RegionSplit,
            Change::PeersChanged { .. } => ChangeKind::PeersChanged,
            Change::OwnPeerRemoved { .. } => ChangeKind::OwnPeerRemoved,
            Change::JointEntered { .. } => ChangeKind::JointEntered,
            Change::JointLeft { .. } => ChangeKind::JointLeft,
            Change::WitnessesSwitched { .. } => ChangeKind::WitnessesSwitched,
            Change::MergePrepared { .. } => ChangeKind::MergePrepared,
            Change::RegionsMerged { .. } => ChangeKind::RegionsMerged,
            Change::MergeRolledBack { .. } => ChangeKind::MergeRolledBack,
            Change::FlashbackBegun { .. } => ChangeKind::FlashbackBegun,
            Change::FlashbackEnded { .. } => ChangeKind::FlashbackEnded,
            Change::BootstrapPrepared { .. } => ChangeKind::BootstrapPrepared,
            Change::BootstrapConfirmed { .. } => ChangeKind::BootstrapConfirmed,
            Change::BootstrapAbandoned { .. } => ChangeKind::BootstrapAbandoned,
            Change::RegionRecovered { .. } => ChangeKind::RegionRecovered,
            Change::VotersForced { .. } => ChangeKind::VotersForced,
            Change::PeerCreated { .. } => ChangeKind::PeerCreated,
            Change::PeerDestroyed { .. } => ChangeKind::PeerDestroyed,
            Change::DeletionFinished { .. } => ChangeKind::DeletionFinished,
            Change::PeerDamaged { .. } => ChangeKind::PeerDamaged,
            Change::TombstonePlaced { .. } => ChangeKind::TombstonePlaced,
            Change::TombstoneCollected { .. } => ChangeKind::TombstoneCollected,
            Change::SnapshotBegun { .. } => ChangeKind::SnapshotBegun,
            Change::SnapshotEnded { .. } => ChangeKind::SnapshotEnded,
            Change::SnapshotAborted { .. } => ChangeKind::SnapshotAborted,
            Change::WitnessInstalled { .. } => ChangeKind::WitnessInstalled,
            Change::SnapshotBegunOverSources { .. } => ChangeKind::SnapshotBegunOverSources,
            Change::SnapshotReserved { .. } => ChangeKind::SnapshotReserved,
            Change::SnapshotReleased { .. } => ChangeKind::SnapshotReleased,
            Change::CacheLoadRequested { .. } => ChangeKind::CacheLoadRequested,
            Change::CacheLoadQueued { .. } => ChangeKind::CacheLoadQueued,
            Change::CacheLoadUnqueued { .. } => ChangeKind::CacheLoadUnqueued,
            Change::CacheLoading { .. } => ChangeKind::CacheLoading,
            Change::CacheActive { .. } => ChangeKind::CacheActive,
            Change::CacheCancelled { .. } => ChangeKind::CacheCancelled,
            Change::CacheEvictPending { .. } => ChangeKind::CacheEvictPending,
            Change::CacheEvicting { .. } => ChangeKind::CacheEvicting,
            Change::CacheGone { .. } => ChangeKind::CacheGone,
            Change::CacheLoadWaits { .. } => ChangeKind::CacheLoadWaits,
            Change::CacheGoneLoadWaits { .. } => ChangeKind::CacheGoneLoadWaits,
            Change::Observer(change) => change.change_kind(),
        }
    }

    /// Stable number of its kind.
    pub const fn kind(&self) -> u16 {
        self.change_kind().number()
    }

    /// Stable name of its kind.
    pub const fn kind_name(&self) -> &'static str {
        self.change_kind().name()
    }

    /// Whether a caller may hear of it before it is durable.
    pub const fn durability(&self) -> Durability {
        self.change_kind().durability()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_names_are_unique_and_none_is_ignorable() {
        for (at, kind) in ChangeKind::ALL.into_iter().enumerate() {
            assert_eq!(ChangeKind::from_number(kind.number()), Some(kind));
            assert_eq!(kind.number() & 0x8000, 0);
            for other in &ChangeKind::ALL[..at] {
                assert!(other.number() < kind.number() && other.name() != kind.name());
            }
        }
        assert_eq!(ChangeKind::from_number(0), None);
    }
}
