//! The bytes of every kind of record and of every checkpoint item, as they were written once and
//! for ever. `TORRENS_REWRITE_GOLDEN=1` writes the files anew; a file that changes means that
//! journals on disk are no longer read as they were written.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that cannot go on says where"
)]

#[path = "support/hex.rs"]
mod hex;

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;

use hex::to_hex;
use torrens::codec;
use torrens::lifecycle::*;
use torrens::{
    Generation, Incarnation, KeyRange, ObserverId, ObserverName, ObserverPolicy, ObserverRanges,
    Peer, PeerId, PeerRole, Region, RegionEpoch, RegionId, Sequence, StoreId,
};
use torrens_journal::Lsn;

const REGION: RegionId = RegionId(7);
const INCARNATION: Incarnation = Incarnation::new(Lsn::new(97));

fn peers(id: u64) -> Vec<Peer> {
    let peer = |store, role| Peer {
        id: PeerId(100 * id + store),
        store: StoreId(store),
        role,
        is_witness: false,
    };
    vec![
        peer(1, PeerRole::Voter),
        peer(2, PeerRole::Voter),
        peer(300, PeerRole::Learner),
    ]
}

/// Every role, with data and without.
fn every_role() -> Vec<Peer> {
    let roles = [
        PeerRole::Voter,
        PeerRole::Learner,
        PeerRole::IncomingVoter,
        PeerRole::DemotingVoter,
    ];
    let both = roles
        .into_iter()
        .flat_map(|role| [(role, false), (role, true)]);
    let peer = |(store, (role, is_witness))| Peer {
        id: PeerId(700 + store),
        store: StoreId(store),
        role,
        is_witness,
    };
    (1..).zip(both).map(peer).collect()
}

fn region(start: &str, end: Option<&str>) -> Region {
    Region {
        id: REGION,
        range: KeyRange::new(start.as_bytes(), end.map(str::as_bytes)).unwrap(),
        epoch: RegionEpoch {
            conf_ver: 3,
            version: 221,
        },
        peers: peers(7),
    }
}

fn merged() -> MergedSource {
    MergedSource {
        region: RegionId(8),
        peer: PeerId(801),
        incarnation: Incarnation::new(Lsn::new(88)),
    }
}

fn snapshot() -> SnapshotRef {
    SnapshotRef {
        position: RaftPosition {
            index: 14749,
            term: 7,
        },
        id: 0x0123_4567_89ab_cdef,
        checksum: 0xdead_beef,
        bytes: 65_536,
        rows: 300,
    }
}

fn position() -> RaftPosition {
    RaftPosition {
        index: 14749,
        term: 7,
    }
}

/// Every kind, and every variant within a kind: file name, cause, change.
fn changes() -> Vec<(&'static str, Cause, Change)> {
    let region_id = REGION;
    let raft = Cause::Raft {
        term: 7,
        index: 14749,
    };
    let epoch = RegionEpoch {
        conf_ver: 4,
        version: 221,
    };
    let child = |id, fate| SplitChild {
        id: RegionId(id),
        peers: peers(id),
        fate,
    };
    let skipped = |reason| ChildFate::Skipped { reason };
    let changed = |change| Change::PeersChanged {
        region: region_id,
        position: position(),
        conf_ver: 4,
        change,
    };
    let destroyed = |cause| Change::PeerDestroyed {
        region: region_id,
        peer: PeerId(701),
        epoch,
        cause,
    };
    let damaged = |reason| Change::PeerDamaged {
        region: region_id,
        reason,
    };
    let aborted = |reason| Change::SnapshotAborted {
        region: region_id,
        reason,
    };
    let gone = |reason, queued| Change::CacheGone {
        region: region_id,
        reason,
        queued,
    };
    let pending = |reason| Change::CacheEvictPending {
        region: region_id,
        reason,
    };
    let one = PeerId(702);
    vec![
        (
            "store.identify",
            Cause::Operator,
            Change::StoreIdentified { store: StoreId(1) },
        ),
        (
            "store.new-data",
            Cause::Recovery,
            Change::DataStoreReplaced {
                generation: *b"0123456789abcdef",
            },
        ),
        (
            "store.lease",
            Cause::Host,
            Change::SequencesLeased {
                up_to: Sequence::new(1 << 40),
            },
        ),
        (
            "store.barrier.none",
            Cause::Host,
            Change::BarrierReached {
                number: 1,
                floors: vec![],
            },
        ),
        (
            "store.barrier",
            Cause::Host,
            Change::BarrierReached {
                number: 300,
                floors: vec![
                    FloorUpdate {
                        region: REGION,
                        incarnation: INCARNATION,
                        index: 14800,
                    },
                    FloorUpdate {
                        region: RegionId(1 << 33),
                        incarnation: Incarnation::new(Lsn::new(70_000)),
                        index: 6,
                    },
                ],
            },
        ),
        (
            "region.bootstrap",
            Cause::Operator,
            Change::RegionBootstrapped {
                store: StoreId(1),
                region: region("", None),
            },
        ),
        (
            "region.split",
            raft,
            Change::RegionSplit {
                region: region_id,
                position: position(),
                version: 226,
                derive: Derive::Right,
                boundaries: ["c", "e", "g", "i", "k"]
                    .map(|key| key.as_bytes().into())
                    .to_vec(),
                children: vec![
                    child(8, ChildFate::Created),
                    child(
                        9,
                        ChildFate::Adopted {
                            predecessor: Incarnation::new(Lsn::new(90)),
                        },
                    ),
                    child(
                        10,
                        skipped(SkipReason::Tombstoned {
                            highest_peer: PeerId(1003),
                        }),
                    ),
                    child(11, skipped(SkipReason::OtherPeer { peer: PeerId(1104) })),
                    child(
                        12,
                        skipped(SkipReason::Initialized {
                            incarnation: Incarnation::new(Lsn::new(91)),
                        }),
                    ),
                ],
            },
        ),
        (
            "region.split.left",
            raft,
            Change::RegionSplit {
                region: region_id,
                position: position(),
                version: 222,
                derive: Derive::Left,
                boundaries: vec![[0x00, 0xff].as_slice().into()],
                children: vec![child(8, ChildFate::Created)],
            },
        ),
        (
            "region.change-peers.add",
            raft,
            changed(PeerChange::Add { peer: peers(7)[2] }),
        ),
        (
            "region.change-peers.remove",
            raft,
            changed(PeerChange::Remove { peer: one }),
        ),
        (
            "region.change-peers.promote",
            raft,
            changed(PeerChange::Promote { peer: one }),
        ),
        (
            "region.change-peers.demote",
            raft,
            changed(PeerChange::Demote { peer: one }),
        ),
        (
            "region.enter-joint",
            raft,
            Change::JointEntered {
                region: region_id,
                position: position(),
                conf_ver: 6,
                changes: vec![
                    PeerChange::Demote { peer: one },
                    PeerChange::Add {
                        peer: Peer::voter(PeerId(704), StoreId(4)).as_witness(),
                    },
                ],
            },
        ),
        (
            "region.leave-joint",
            raft,
            Change::JointLeft {
                region: region_id,
                position: position(),
                conf_ver: 8,
            },
        ),
        (
            "region.switch-witness",
            raft,
            Change::WitnessesSwitched {
                region: region_id,
                position: position(),
                conf_ver: 5,
                switches: vec![
                    WitnessSwitch {
                        peer: one,
                        witness: true,
                    },
                    WitnessSwitch {
                        peer: PeerId(703),
                        witness: false,
                    },
                ],
            },
        ),
        (
            "snapshot.witness",
            Cause::Host,
            Change::WitnessInstalled {
                description: Region {
                    peers: every_role(),
                    ..region("apple", Some("pear"))
                },
                position: position(),
                sources: vec![merged()],
            },
        ),
        (
            "region.merge-prepare",
            raft,
            Change::MergePrepared {
                region: region_id,
                position: position(),
                epoch,
                target: RegionId(8),
                target_epoch: RegionEpoch {
                    conf_ver: 2,
                    version: 300,
                },
                min_index: 14_700,
            },
        ),
        (
            "region.merge-commit",
            raft,
            Change::RegionsMerged {
                region: region_id,
                position: position(),
                version: 301,
                source: merged(),
            },
        ),
        (
            "region.merge-rollback",
            raft,
            Change::MergeRolledBack {
                region: region_id,
                position: position(),
                version: 223,
            },
        ),
        (
            "region.flashback-begin",
            raft,
            Change::FlashbackBegun {
                region: region_id,
                position: position(),
            },
        ),
        (
            "region.flashback-end",
            raft,
            Change::FlashbackEnded {
                region: region_id,
                position: position(),
            },
        ),
        (
            "region.bootstrap-prepare",
            Cause::Host,
            Change::BootstrapPrepared {
                store: StoreId(1),
                region: region("", None),
            },
        ),
        (
            "region.bootstrap-confirm",
            Cause::Host,
            Change::BootstrapConfirmed { region: region_id },
        ),
        (
            "region.bootstrap-abandon",
            Cause::Host,
            Change::BootstrapAbandoned { region: region_id },
        ),
        (
            "region.recover",
            Cause::Operator,
            Change::RegionRecovered {
                region: region("apple", None),
            },
        ),
        (
            "region.force-voters",
            Cause::Operator,
            Change::VotersForced {
                region: region_id,
                conf_ver: 5,
                failed: vec![StoreId(2), StoreId(300)],
            },
        ),
        (
            "peer.tombstone",
            Cause::Operator,
            Change::TombstonePlaced {
                region: region_id,
                peer: one,
                epoch,
            },
        ),
        (
            "peer.collect",
            Cause::Host,
            Change::TombstoneCollected {
                region: region_id,
                highest_peer: one,
            },
        ),
        (
            "peer.damage.merge-source-lost",
            raft,
            damaged(DamageReason::MergeSourceLost {
                source: RegionId(8),
            }),
        ),
        (
            "peer.destroy-begin.merged",
            Cause::Message {
                from_store: StoreId(2),
            },
            destroyed(DestroyCause::Merged {
                target: RegionId(8),
            }),
        ),
        (
            "snapshot.reserve",
            Cause::Host,
            Change::SnapshotReserved {
                description: region("apple", Some("pear")),
                position: position(),
                sources: vec![RegionId(8), RegionId(900)],
            },
        ),
        (
            "snapshot.release",
            Cause::Host,
            Change::SnapshotReleased { region: region_id },
        ),
        (
            "snapshot.begin-merged",
            Cause::Host,
            Change::SnapshotBegunOverSources {
                description: region("apple", Some("pear")),
                snapshot: snapshot(),
                sources: vec![
                    merged(),
                    MergedSource {
                        region: RegionId(900),
                        ..merged()
                    },
                ],
            },
        ),
        (
            "region.remove-self",
            raft,
            Change::OwnPeerRemoved {
                region: region_id,
                position: position(),
                conf_ver: 4,
                peer: PeerId(701),
            },
        ),
        (
            "peer.create",
            Cause::Message {
                from_store: StoreId(2),
            },
            Change::PeerCreated {
                region: region_id,
                peer: PeerId(701),
                message_epoch: epoch,
            },
        ),
        (
            "peer.destroy-begin.removed",
            Cause::Message {
                from_store: StoreId(2),
            },
            destroyed(DestroyCause::Removed { epoch }),
        ),
        (
            "peer.destroy-begin.larger-peer",
            Cause::Host,
            destroyed(DestroyCause::LargerPeer { peer: PeerId(709) }),
        ),
        (
            "peer.destroy-begin.operator",
            Cause::Operator,
            destroyed(DestroyCause::Operator),
        ),
        (
            "peer.destroy-end",
            Cause::Collector,
            Change::DeletionFinished {
                region: region_id,
                deletion: DeletionId {
                    lsn: Lsn::new(98),
                    ordinal: 1,
                },
            },
        ),
        (
            "peer.damage.row-missing",
            Cause::Recovery,
            damaged(DamageReason::RowMissing { floor: 14700 }),
        ),
        (
            "peer.damage.below-floor",
            Cause::Recovery,
            damaged(DamageReason::BelowFloor {
                have: 14000,
                floor: 14700,
            }),
        ),
        (
            "peer.damage.store-replaced",
            Cause::Recovery,
            damaged(DamageReason::StoreReplaced),
        ),
        (
            "peer.damage.store-older",
            Cause::Recovery,
            damaged(DamageReason::StoreOlder {
                barrier: 299,
                floor: 300,
            }),
        ),
        (
            "peer.damage.log-truncated",
            Cause::Host,
            damaged(DamageReason::LogTruncated {
                first_index: 15000,
                data_index: 14800,
            }),
        ),
        (
            "peer.damage.snapshot-lost",
            Cause::Recovery,
            damaged(DamageReason::SnapshotLost {
                reason: AbortReason::IngestFailed,
            }),
        ),
        (
            "snapshot.begin",
            Cause::Host,
            Change::SnapshotBegun {
                description: region("b", Some("m")),
                snapshot: snapshot(),
            },
        ),
        (
            "snapshot.end",
            Cause::Host,
            Change::SnapshotEnded {
                region: region_id,
                floor: Floor {
                    index: 14749,
                    barrier: 300,
                },
            },
        ),
        (
            "snapshot.abort.staged-file-lost",
            Cause::Recovery,
            aborted(AbortReason::StagedFileLost),
        ),
        (
            "snapshot.abort.ingest-failed",
            Cause::Host,
            aborted(AbortReason::IngestFailed),
        ),
        (
            "snapshot.abort.operator",
            Cause::Operator,
            aborted(AbortReason::Operator),
        ),
        (
            "cache.request",
            Cause::Host,
            Change::CacheLoadRequested { region: region_id },
        ),
        (
            "cache.queue",
            Cause::Host,
            Change::CacheLoadQueued {
                region: region_id,
                version: 221,
            },
        ),
        (
            "cache.wait",
            Cause::Host,
            Change::CacheLoadWaits { region: region_id },
        ),
        (
            "cache.gone-wait",
            Cause::Collector,
            Change::CacheGoneLoadWaits {
                region: region_id,
                reason: EvictReason::Merge,
            },
        ),
        (
            "cache.gone.split-before-load",
            Cause::Host,
            gone(EvictReason::SplitBeforeLoad, QueuedLoadFate::None),
        ),
        (
            "cache.unqueue",
            Cause::Host,
            Change::CacheLoadUnqueued {
                region: region_id,
                reason: EvictReason::Requested,
            },
        ),
        (
            "cache.loading",
            Cause::Collector,
            Change::CacheLoading { region: region_id },
        ),
        (
            "cache.active",
            Cause::Collector,
            Change::CacheActive { region: region_id },
        ),
        (
            "cache.cancel",
            Cause::Host,
            Change::CacheCancelled {
                region: region_id,
                reason: EvictReason::LoadFailed,
            },
        ),
        (
            "cache.evict-pending.requested",
            Cause::Host,
            pending(EvictReason::Requested),
        ),
        (
            "cache.evict-pending.memory-limit",
            Cause::Host,
            pending(EvictReason::MemoryLimit),
        ),
        (
            "cache.evict-pending.load-failed",
            Cause::Host,
            pending(EvictReason::LoadFailed),
        ),
        (
            "cache.evict-pending.split",
            Cause::Host,
            pending(EvictReason::Split),
        ),
        (
            "cache.evict-pending.snapshot",
            Cause::Host,
            pending(EvictReason::Snapshot),
        ),
        (
            "cache.evict-pending.destroyed",
            Cause::Host,
            pending(EvictReason::Destroyed),
        ),
        (
            "cache.evict-pending.damaged",
            Cause::Host,
            pending(EvictReason::Damaged),
        ),
        (
            "cache.evict-pending.restart",
            Cause::Recovery,
            pending(EvictReason::Restart),
        ),
        (
            "cache.evict-pending.cold",
            Cause::Host,
            pending(EvictReason::Cold),
        ),
        (
            "cache.evict-pending.leadership-lost",
            Cause::Host,
            pending(EvictReason::LeadershipLost),
        ),
        (
            "cache.evict-pending.merge",
            Cause::Host,
            pending(EvictReason::Merge),
        ),
        (
            "cache.evict-pending.delete-range",
            Cause::Host,
            pending(EvictReason::DeleteRange),
        ),
        (
            "cache.evict-pending.ingest",
            Cause::Host,
            pending(EvictReason::Ingest),
        ),
        (
            "cache.evict-pending.flashback",
            Cause::Host,
            pending(EvictReason::Flashback),
        ),
        (
            "cache.evict-pending.label-removed",
            Cause::Host,
            pending(EvictReason::LabelRemoved),
        ),
        (
            "cache.evict-pending.disabled",
            Cause::Host,
            pending(EvictReason::Disabled),
        ),
        (
            "cache.evict-pending.mismatch",
            Cause::Host,
            pending(EvictReason::Mismatch),
        ),
        (
            "cache.evict-pending.witness",
            Cause::Host,
            pending(EvictReason::Witness),
        ),
        (
            "cache.request.keeper-hot",
            Cause::Keeper {
                why: LoadReason::Hot,
            },
            Change::CacheLoadRequested { region: region_id },
        ),
        (
            "cache.request.keeper-label",
            Cause::Keeper {
                why: LoadReason::Label,
            },
            Change::CacheLoadRequested { region: region_id },
        ),
        (
            "cache.request.keeper-preload",
            Cause::Keeper {
                why: LoadReason::Preload,
            },
            Change::CacheLoadRequested { region: region_id },
        ),
        (
            "cache.request.keeper-warm-restart",
            Cause::Keeper {
                why: LoadReason::WarmRestart,
            },
            Change::CacheLoadRequested { region: region_id },
        ),
        (
            "cache.request.keeper-repair",
            Cause::Keeper {
                why: LoadReason::Repair,
            },
            Change::CacheLoadRequested { region: region_id },
        ),
        (
            "cache.evicting",
            Cause::Collector,
            Change::CacheEvicting { region: region_id },
        ),
        (
            "cache.gone",
            Cause::Collector,
            gone(EvictReason::MemoryLimit, QueuedLoadFate::None),
        ),
        (
            "cache.gone.starts",
            Cause::Collector,
            gone(EvictReason::Snapshot, QueuedLoadFate::Starts),
        ),
        (
            "cache.gone.incarnation-gone",
            Cause::Collector,
            gone(
                EvictReason::Destroyed,
                QueuedLoadFate::Dropped(DropReason::IncarnationGone),
            ),
        ),
        (
            "cache.gone.not-serving",
            Cause::Collector,
            gone(
                EvictReason::Damaged,
                QueuedLoadFate::Dropped(DropReason::NotServing),
            ),
        ),
        (
            "cache.gone.range-changed",
            Cause::Recovery,
            gone(
                EvictReason::Restart,
                QueuedLoadFate::Dropped(DropReason::RangeChanged),
            ),
        ),
    ]
}

const OBSERVER: ObserverId = ObserverId(3);

/// Every kind of observers' record, and every variant within a kind.
fn observer_changes() -> Vec<(&'static str, Cause, Change)> {
    let (observer, region) = (OBSERVER, REGION);
    let key_range = |start: &str, end: Option<&str>| {
        KeyRange::new(start.as_bytes(), end.map(str::as_bytes)).unwrap()
    };
    let ranges = vec![key_range("a", Some("f")), key_range("m", None)];
    let limits = ObserverPolicy {
        retain_bytes_max: Some(1 << 30),
        retain_age_millis_max: Some(3_600_000),
        early: true,
    };
    let start = |region, acked| Started {
        region: RegionId(region),
        acked,
    };
    let attached = |observer, region, live| Attached {
        observer: ObserverId(observer),
        region: RegionId(region),
        version: 221,
        term: 7,
        from: 14750,
        live,
    };
    let rebased = |region, acked, reset| Rebased {
        region: RegionId(region),
        acked,
        reset,
    };
    let detached = |(at, reason): (u64, WantReason)| Detached {
        observer,
        region: RegionId(7 + at),
        generation: Generation(12 + at),
        reason,
    };
    let lost = |(at, reason): (u64, InvalidReason)| Invalidated {
        region: RegionId(7 + 300 * at),
        loss: Loss {
            reason,
            first_lost: 14750,
            first_available: 15001,
        },
    };
    let generation = Generation(12);
    let all = [
        (
            "observer.add",
            Cause::Host,
            ObserverChange::Added {
                observer,
                name: ObserverName::new("backup-eu.1").unwrap(),
                ranges: ObserverRanges::new(ranges).unwrap(),
                policy: limits,
                starts: vec![start(7, 14749), start(8, 5), start(100_007, 0)],
            },
        ),
        (
            "observer.add.nothing-here",
            Cause::Host,
            ObserverChange::Added {
                observer,
                name: ObserverName::new("b").unwrap(),
                ranges: ObserverRanges::new(vec![KeyRange::all()]).unwrap(),
                policy: ObserverPolicy::default(),
                starts: Vec::new(),
            },
        ),
        (
            "observer.remove",
            Cause::Host,
            ObserverChange::Removed { observer },
        ),
        (
            "observer.pause",
            Cause::Host,
            ObserverChange::Paused { observer },
        ),
        (
            "observer.resume",
            Cause::Host,
            ObserverChange::Resumed { observer },
        ),
        (
            "observer.policy",
            Cause::Host,
            ObserverChange::PolicySet {
                observer,
                policy: limits,
            },
        ),
        (
            "observer.attach",
            Cause::Host,
            ObserverChange::Attached {
                first: Generation(300),
                attachments: vec![
                    attached(3, 7, true),
                    attached(3, 8, false),
                    attached(4, 7, false),
                ],
            },
        ),
        (
            "observer.caught-up",
            Cause::Host,
            ObserverChange::CaughtUp {
                attachments: vec![CaughtUp {
                    observer,
                    region,
                    generation,
                    index: 14749,
                }],
            },
        ),
        (
            "observer.detach",
            Cause::Host,
            ObserverChange::Detached {
                attachments: (0..).zip(WantReason::ALL).map(detached).collect(),
            },
        ),
        (
            "observer.ack",
            Cause::Host,
            ObserverChange::Acknowledged {
                observer,
                positions: vec![
                    Acknowledged {
                        region,
                        generation,
                        index: 14749,
                    },
                    Acknowledged {
                        region: RegionId(9),
                        generation: Generation(70_000),
                        index: 6,
                    },
                ],
            },
        ),
        (
            "observer.invalidate",
            Cause::Collector,
            ObserverChange::Invalidated {
                observer,
                losses: (0..).zip(InvalidReason::ALL).map(lost).collect(),
            },
        ),
        (
            "observer.rebase",
            Cause::Host,
            ObserverChange::Rebased {
                observer,
                starts: vec![
                    rebased(7, Some(15000), Reset::None),
                    rebased(8, Some(15000), Reset::Marker),
                    rebased(9, Some(15000), Reset::Scan),
                    rebased(10, None, Reset::None),
                ],
            },
        ),
        (
            "observer.end",
            Cause::Collector,
            ObserverChange::Ended {
                attachments: vec![Ended {
                    observer,
                    region,
                    end: 14749,
                }],
            },
        ),
        (
            "observer.restart",
            Cause::Recovery,
            ObserverChange::Restarted,
        ),
    ];
    let whole = all
        .into_iter()
        .map(|(name, cause, change)| (name, cause, Change::Observer(change)));
    whole.collect()
}

fn record(cause: Cause, change: Change) -> Record {
    let region = change.region();
    let header = RecordHeader {
        wall_clock_micros: 1_767_225_600_000_000,
        boot: 3,
        cause,
        region,
        incarnation: region.map(|_| INCARNATION),
        previous: region.map(|_| Lsn::new(131)),
    };
    Record { header, change }
}

fn golden(name: &str) -> PathBuf {
    let golden = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden");
    PathBuf::from(golden).join(name)
}

fn is_rewriting() -> bool {
    std::env::var_os("TORRENS_REWRITE_GOLDEN").is_some()
}

fn from_hex(text: &str) -> Vec<u8> {
    let byte = |pair| u8::from_str_radix(pair, 16).unwrap();
    text.split_whitespace().map(byte).collect()
}

#[test]
fn every_kind_of_record_is_read_and_written_byte_for_byte() {
    let mut kinds = BTreeSet::new();
    let mut names = BTreeSet::new();
    for (name, cause, change) in changes().into_iter().chain(observer_changes()) {
        let record = record(cause, change);
        let kind = record.change.change_kind();
        assert!(name.starts_with(kind.name()), "{name}");
        assert!(names.insert(format!("{name}.hex")), "{name} twice");
        kinds.insert(kind);
        let (number, payload) = codec::encode(&record);
        let text = format!("kind {number:#06x}\n{}", to_hex(&payload));
        let path = golden("records").join(format!("{name}.hex"));
        if is_rewriting() {
            fs::write(&path, &text).unwrap();
        }
        let kept = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(text, kept, "{name} is written otherwise");
        let (first, bytes) = kept.split_once('\n').unwrap();
        let number = first.strip_prefix("kind 0x").unwrap();
        let number = u16::from_str_radix(number, 16).unwrap();
        let read = codec::decode(number, &from_hex(bytes)).unwrap().unwrap();
        assert_eq!(read, record, "{name} is read otherwise");
    }
    assert_eq!(
        Vec::from_iter(kinds),
        ChangeKind::ALL,
        "each kind has a file"
    );
    let files = fs::read_dir(golden("records")).unwrap();
    let files = files.map(|file| file.unwrap().file_name().into_string().unwrap());
    assert_eq!(
        files.collect::<BTreeSet<_>>(),
        names,
        "each file is compared"
    );
}

#[test]
fn the_example_in_the_format_page_is_the_golden_file() {
    let docs = concat!(env!("CARGO_MANIFEST_DIR"), "/docs");
    let pages = fs::read_dir(docs).unwrap().map(|page| page.unwrap().path());
    let pages = pages.filter(|page| page.extension().is_some_and(|kind| kind == "md"));
    let text: String = pages
        .map(|page| fs::read_to_string(page).unwrap())
        .collect();
    let kept = fs::read_to_string(golden("records/peer.create.hex")).unwrap();
    let (_, bytes) = kept.split_once('\n').unwrap();
    assert!(text.contains(&format!("```text\n{bytes}```")));
    for kind in ChangeKind::ALL {
        let row = format!("| {:#06x} | {} | ", kind.number(), kind.name());
        let row = text.lines().find_map(|line| line.strip_prefix(&row));
        let row = row.unwrap_or_else(|| panic!("no row of {}", kind.name()));
        let waits = match kind.durability() {
            Durability::Wait => "wait",
            Durability::AppendOnly => "append",
        };
        assert_eq!(row.split(" | ").nth(1), Some(waits), "{}", kind.name());
    }
}

/// A register in which every stage, cache state and cause has its place, made by events.
fn register() -> Register {
    let mut register = Register::default();
    let mut go = |event: Event| {
        let Outcome::Accepted(accepted) = step(&register, &event) else {
            panic!("{event:?}: {:?}", step(&register, &event));
        };
        let stamp = Stamp {
            wall_clock_micros: 0,
            boot: 1,
            cause: Cause::Host,
        };
        let record = Record::new(&register, accepted.change, stamp);
        let lsn = register.last_lsn().next().unwrap();
        apply(&mut register, lsn, &record).unwrap();
        Incarnation::new(lsn)
    };
    let at = |index| RaftPosition { index, term: 6 };
    let id = RegionId;
    let described = |id: u64, range: (&str, Option<&str>), version| Region {
        id: RegionId(id),
        epoch: RegionEpoch {
            conf_ver: 3,
            version,
        },
        peers: peers(id),
        ..region(range.0, range.1)
    };
    let create = |n: u64| Event::CreateByMessage {
        region: RegionId(n),
        peer: PeerId(100 * n + 1),
        from_store: StoreId(2),
        message_epoch: RegionEpoch::NONE,
    };
    let staged = |index| SnapshotRef {
        position: at(index),
        ..snapshot()
    };
    let store = StoreId(1);
    let whole = described(1, ("", Some("p")), 1);
    let whole_epoch = whole.epoch;
    let first = go(Event::Bootstrap {
        store,
        region: whole,
    });
    go(Event::NewDataStore {
        generation: *b"0123456789abcdef",
    });
    go(Event::SequenceLease {
        up_to: Sequence::new(70_000),
    });
    let floors = vec![FloorUpdate {
        region: id(1),
        incarnation: first,
        index: 9,
    }];
    go(Event::Barrier { number: 4, floors });
    go(Event::LoadRequest {
        region: id(1),
        incarnation: first,
        epoch: whole_epoch,
    });
    go(Event::LoadBegin {
        region: id(1),
        incarnation: first,
    });
    go(Event::LoadEnd {
        region: id(1),
        incarnation: first,
    });
    // 2 is adopted, 3 created, 4 skipped; all but 4 share the active cache.
    go(create(2));
    go(create(4));
    go(Event::Destroy {
        region: id(4),
        incarnation: None,
        peer: PeerId(401),
        cause: DestroyCause::LargerPeer { peer: PeerId(409) },
    });
    let split = go(Event::Split(Split {
        region: id(1),
        incarnation: None,
        epoch: whole_epoch,
        position: at(10),
        boundaries: ["d", "g", "m"].map(|key| key.as_bytes().into()).to_vec(),
        children: [2, 3, 4]
            .map(|n| NewRegion {
                id: id(n),
                peers: peers(n),
            })
            .to_vec(),
        derive: Derive::Left,
    }));
    // 2: damaged, its cache leaving with nothing queued. 3: a load queued behind its eviction.
    go(Event::Damage {
        region: id(2),
        incarnation: split,
        reason: DamageReason::BelowFloor { have: 3, floor: 5 },
    });
    go(Event::Evict {
        region: id(3),
        reason: EvictReason::MemoryLimit,
    });
    go(Event::EvictBegin { region: id(3) });
    let version = RegionEpoch {
        version: 4,
        ..whole_epoch
    };
    go(Event::LoadRequest {
        region: id(3),
        incarnation: split,
        epoch: version,
    });
    // 5: a first snapshot; 6: none yet; 7: removed itself; 8: destroyed by a message.
    let fifth = go(create(5));
    go(Event::BeginSnapshot {
        region: id(5),
        incarnation: fifth,
        description: described(5, ("p", Some("q")), 8),
        snapshot: staged(20),
        sources: Vec::new(),
    });
    go(create(6));
    for n in [7, 8, 9, 10] {
        let incarnation = go(create(n));
        let (start, end) =
            [("q", "r"), ("r", "s"), ("s", "t"), ("t", "u")][usize::try_from(n - 7).unwrap()];
        go(Event::BeginSnapshot {
            region: id(n),
            incarnation,
            description: described(n, (start, Some(end)), 8),
            snapshot: staged(30),
            sources: Vec::new(),
        });
        go(Event::EndSnapshot {
            region: id(n),
            incarnation,
            floor: Floor {
                index: 30,
                barrier: 4,
            },
        });
        let epoch = RegionEpoch {
            conf_ver: 3,
            version: 8,
        };
        match n {
            7 => {
                let change = PeerChange::Remove { peer: PeerId(701) };
                go(Event::ChangePeers {
                    region: id(n),
                    incarnation: Some(incarnation),
                    epoch,
                    position: at(31),
                    change,
                });
            }
            8 => {
                let cause = DestroyCause::Removed {
                    epoch: RegionEpoch {
                        conf_ver: 9,
                        version: 8,
                    },
                };
                go(Event::Destroy {
                    region: id(n),
                    incarnation: Some(incarnation),
                    peer: PeerId(801),
                    cause,
                });
            }
            9 => {
                // Applies another snapshot over the one it has, which is larger.
                let description = described(n, ("sb", Some("sx")), 9);
                go(Event::BeginSnapshot {
                    region: id(n),
                    incarnation,
                    description,
                    snapshot: staged(40),
                    sources: Vec::new(),
                });
            }
            _ => {
                // A cancelled load.
                go(Event::LoadRequest {
                    region: id(n),
                    incarnation,
                    epoch,
                });
                go(Event::LoadBegin {
                    region: id(n),
                    incarnation,
                });
                go(Event::LoadCancel {
                    region: id(n),
                    incarnation,
                    reason: EvictReason::LoadFailed,
                });
            }
        }
    }
    // 11: an aborted first snapshot. 1: asks for its cache anew.
    let last = go(create(11));
    go(Event::BeginSnapshot {
        region: id(11),
        incarnation: last,
        description: described(11, ("u", None), 8),
        snapshot: staged(50),
        sources: Vec::new(),
    });
    go(Event::AbortSnapshot {
        region: id(11),
        incarnation: last,
        reason: AbortReason::StagedFileLost,
    });
    register
}

/// What the first register has no place for: modes, witnesses, sources of merges, reservations.
fn later_register() -> Register {
    let mut register = Register::default();
    let mut go = |event: Event| {
        let Outcome::Accepted(accepted) = step(&register, &event) else {
            panic!("{event:?}: {:?}", step(&register, &event));
        };
        let stamp = Stamp {
            wall_clock_micros: 0,
            boot: 1,
            cause: Cause::Host,
        };
        let record = Record::new(&register, accepted.change, stamp);
        let lsn = register.last_lsn().next().unwrap();
        apply(&mut register, lsn, &record).unwrap();
        Incarnation::new(lsn)
    };
    let at = |index| RaftPosition { index, term: 6 };
    let epoch = |conf_ver, version| RegionEpoch { conf_ver, version };
    let described = |id: u64, start: &str, end: Option<&str>, epoch| Region {
        id: RegionId(id),
        epoch,
        peers: peers(id),
        ..region(start, end)
    };
    let store = StoreId(1);
    let first = described(1, "", Some("b"), epoch(1, 1));
    go(Event::PrepareBootstrap {
        store,
        region: first,
    });
    let keys = ["b", "d", "f", "h", "j", "l", "n"];
    let mut recovered = Vec::new();
    for (id, bounds) in (2..).zip(keys.windows(2)) {
        let region = described(id, bounds[0], Some(bounds[1]), epoch(1, 1));
        recovered.push(go(Event::RecoverRegion { region }));
    }
    let sixth = recovered[4];
    let prepare = |source: u64, target: Region| Event::PrepareMerge {
        region: RegionId(source),
        incarnation: None,
        epoch: epoch(1, 1),
        position: at(7),
        target,
        min_index: 6,
    };
    // 2 into 3, done; 5 into 4, under way; 6 into 7, and damaged meanwhile.
    go(prepare(2, described(3, "d", Some("f"), epoch(1, 1))));
    go(Event::CommitMerge {
        region: RegionId(3),
        incarnation: None,
        epoch: epoch(1, 1),
        position: at(8),
        source: described(2, "b", Some("d"), epoch(2, 2)),
        commit: 7,
    });
    go(prepare(5, described(4, "f", Some("h"), epoch(1, 1))));
    go(Event::BeginFlashback {
        region: RegionId(4),
        incarnation: None,
        epoch: epoch(1, 1),
        position: at(9),
    });
    go(prepare(6, described(7, "l", Some("n"), epoch(1, 1))));
    let incarnation = sixth;
    go(Event::Damage {
        region: RegionId(6),
        incarnation,
        reason: DamageReason::MergeSourceLost {
            source: RegionId(9),
        },
    });
    // 8 is a witness, 9 was one, and 10 waits for a snapshot over what nobody has.
    let create = |n: u64| Event::CreateByMessage {
        region: RegionId(n),
        peer: PeerId(100 * n + 1),
        from_store: StoreId(2),
        message_epoch: RegionEpoch::NONE,
    };
    let witness = |id: u64, start: &str, end: &str, incarnation| {
        let mut description = described(id, start, Some(end), epoch(3, 4));
        description.peers[0].is_witness = true;
        Event::InstallWitness {
            region: RegionId(id),
            incarnation,
            description,
            position: at(9),
            sources: Vec::new(),
        }
    };
    let incarnation = go(create(8));
    go(witness(8, "n", "p", incarnation));
    let incarnation = go(create(9));
    go(witness(9, "p", "r", incarnation));
    go(Event::SwitchWitness {
        region: RegionId(9),
        incarnation: None,
        epoch: epoch(3, 4),
        position: at(10),
        switches: vec![WitnessSwitch {
            peer: PeerId(901),
            witness: false,
        }],
    });
    go(Event::SwitchWitness {
        region: RegionId(3),
        incarnation: None,
        epoch: epoch(1, 3),
        position: at(10),
        switches: vec![WitnessSwitch {
            peer: PeerId(301),
            witness: true,
        }],
    });
    let incarnation = go(create(10));
    go(Event::ReserveSnapshot {
        region: RegionId(10),
        incarnation,
        description: described(10, "t", Some("v"), epoch(3, 4)),
        position: at(20),
        sources: Vec::new(),
    });
    register
}

/// Observers in every state, over the first register.
fn observed_register() -> Register {
    let mut register = Register::default();
    let mut go = |event: Event| {
        let Outcome::Accepted(accepted) = step(&register, &event) else {
            panic!("{event:?}: {:?}", step(&register, &event));
        };
        let stamp = Stamp {
            wall_clock_micros: 0,
            boot: 1,
            cause: Cause::Host,
        };
        let record = Record::new(&register, accepted.change, stamp);
        let lsn = register.last_lsn().next().unwrap();
        apply(&mut register, lsn, &record).unwrap();
        Incarnation::new(lsn)
    };
    let at = |index| RaftPosition { index, term: 6 };
    let epoch = |conf_ver, version| RegionEpoch { conf_ver, version };
    let start = |region, acked| Started {
        region: RegionId(region),
        acked,
    };
    let store = StoreId(1);
    let whole = Region {
        id: RegionId(1),
        epoch: epoch(1, 1),
        peers: peers(1),
        ..region("", None)
    };
    let first = go(Event::Bootstrap {
        store,
        region: whole,
    });
    let range = |start: &str, end: Option<&str>| {
        KeyRange::new(start.as_bytes(), end.map(str::as_bytes)).unwrap()
    };
    let add = |name: &str, ranges, starts| {
        Event::Observer(ObserverEvent::Add {
            name: ObserverName::new(name).unwrap(),
            ranges: ObserverRanges::new(ranges).unwrap(),
            policy: ObserverPolicy {
                retain_bytes_max: Some(1 << 20),
                ..ObserverPolicy::default()
            },
            starts,
        })
    };
    go(add("all", vec![KeyRange::all()], vec![start(1, 5)]));
    go(add(
        "left",
        vec![range("a", Some("c")), range("d", Some("e"))],
        vec![start(1, 7)],
    ));
    go(add("paused", vec![KeyRange::all()], vec![start(1, 5)]));
    go(add("gone", vec![KeyRange::all()], vec![start(1, 5)]));
    let observer = ObserverId(4);
    go(Event::Observer(ObserverEvent::Remove { observer }));
    let of = |observer| AttachRequest {
        observer: ObserverId(observer),
        region: RegionId(1),
        leads: Some(Leads {
            incarnation: first,
            term: 6,
            version: 1,
            applied: 6,
        }),
    };
    let attachments = vec![of(1), of(2), of(3)];
    go(Event::Observer(ObserverEvent::Attach { attachments }));
    let observer = ObserverId(3);
    go(Event::Observer(ObserverEvent::Pause { observer }));
    let children = [10, 11, 12].map(|id| NewRegion {
        id: RegionId(id),
        peers: peers(id),
    });
    // 1 keeps the keys from "s" on: nothing of observer 2, which drains.
    let parts = go(Event::Split(Split {
        region: RegionId(1),
        incarnation: None,
        epoch: epoch(1, 1),
        position: at(9),
        boundaries: ["g", "m", "s"].map(|key| key.as_bytes().into()).to_vec(),
        children: children.to_vec(),
        derive: Derive::Right,
    }));
    let leads = |region, applied| AttachRequest {
        observer: ObserverId(1),
        region: RegionId(region),
        leads: Some(Leads {
            incarnation: parts,
            term: 8,
            version: 4,
            applied,
        }),
    };
    let attachments = vec![leads(10, 5), leads(11, 5)];
    go(Event::Observer(ObserverEvent::Attach { attachments }));
    go(Event::Observer(ObserverEvent::Acknowledge {
        observer: ObserverId(1),
        positions: vec![Acknowledged {
            region: RegionId(10),
            generation: Generation(4),
            index: 6,
        }],
    }));
    go(Event::Observer(ObserverEvent::CatchUp {
        attachments: vec![CaughtUp {
            observer: ObserverId(1),
            region: RegionId(10),
            generation: Generation(4),
            index: 6,
        }],
    }));
    // 11 goes, 12 is lost.
    go(Event::Destroy {
        region: RegionId(11),
        incarnation: None,
        peer: PeerId(1101),
        cause: DestroyCause::Operator,
    });
    for observer in [1, 3] {
        go(Event::Observer(ObserverEvent::Invalidate {
            observer: ObserverId(observer),
            losses: vec![Invalidated {
                region: RegionId(12),
                loss: Loss {
                    reason: InvalidReason::Bytes,
                    first_lost: 6,
                    first_available: 9,
                },
            }],
        }));
    }
    go(Event::Observer(ObserverEvent::Rebase {
        observer: ObserverId(3),
        starts: vec![Rebased {
            region: RegionId(12),
            acked: Some(20),
            reset: Reset::Scan,
        }],
    }));
    register
}

#[test]
fn checkpoint_items_of_observers_are_read_and_written_byte_for_byte() {
    let register = observed_register();
    let mut states = BTreeSet::new();
    for (_, observer) in register.observers().iter() {
        states.extend(observer.attachments().map(|(_, one)| one.state.as_str()));
    }
    let all = ["catching-up", "draining", "invalidated", "live", "wanted"];
    assert!(states.iter().eq(&all), "{states:?}");
    compare_items(&register, "items-observers.hex");
}

#[test]
fn checkpoint_items_of_later_stages_are_read_and_written_byte_for_byte() {
    compare_items(&later_register(), "items-stages.hex");
}

#[test]
fn checkpoint_items_are_read_and_written_byte_for_byte() {
    compare_items(&register(), "items.hex");
}

/// A checkpoint of before loads waited for other regions' evictions knows no memory on its way out. Opening
/// ends every eviction before anything else, so none of it is missed.
#[test]
fn checkpoint_items_without_memory_on_its_way_out_are_read() {
    let kept = fs::read_to_string(golden("items.hex")).unwrap();
    let mut read = Register::default();
    for item in kept.split("item\n").skip(1) {
        if !item.starts_with("05 ") {
            codec::load_item(&mut read, &from_hex(item)).unwrap();
        }
    }
    read.check_invariants().unwrap();
    assert_eq!(read.retiring().count(), 0);
    assert!(register().retiring().count() > 0);
    assert_eq!(read.slots().count(), register().slots().count());
}

fn compare_items(register: &Register, name: &str) {
    register.check_invariants().unwrap();
    let mut text = String::new();
    let Ok(()) = codec::save_register::<std::convert::Infallible>(register, &mut |item| {
        writeln!(text, "item\n{}", to_hex(item).trim_end()).unwrap();
        Ok(())
    });
    let path = golden(name);
    if is_rewriting() {
        fs::write(&path, &text).unwrap();
    }
    let kept = fs::read_to_string(&path).unwrap();
    assert_eq!(text, kept, "items are written otherwise");
    let mut read = Register::default();
    for item in kept.split("item\n").skip(1) {
        codec::load_item(&mut read, &from_hex(item)).unwrap();
    }
    assert_eq!(&read, register, "items are read otherwise");
}
