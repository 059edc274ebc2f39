//! A record in words and in fields: the one place that knows how each kind of change is shown.
//!
//! Every kind is spelled out, so that a new one cannot be forgotten. What cannot be decoded is shown
//! as it lies, with the reason: a look must not end at a record that it does not understand.

use torrens_journal::{Lsn, RecordKind};

mod observers;
mod orders;

use self::orders::{sources_field, sources_text};
use super::fields::{Field, FieldValue, field, key_text};
use crate::codec;
use crate::lifecycle::{
    Cause, Change, ChildFate, DamageReason, DestroyCause, MergedSource, PeerChange, QueuedLoadFate,
    Record, SkipReason, SnapshotRef, SplitChild,
};
use crate::{Incarnation, KeyRange, Peer, PeerId, RaftPosition, Region, RegionEpoch, RegionId};

/// A record, ready to be shown.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Description {
    /// Stable name of the kind; `unknown(0x0031)` for one that this version does not know.
    pub kind: String,
    /// When it was decided, in microseconds since the Unix epoch.
    pub written_micros: Option<u64>,
    /// The region whose history it belongs to.
    pub region: Option<RegionId>,
    /// Every region that it concerns, the children of a split among them.
    pub regions: Vec<RegionId>,
    /// This store's replica, if the record names it.
    pub peer: Option<PeerId>,
    /// The incarnation that it made, or that was live before it.
    pub incarnation: Option<Incarnation>,
    /// The parts of the region's epoch that it states: `conf_ver`, `version`.
    pub epoch: (Option<u64>, Option<u64>),
    /// The region's previous record.
    pub previous: Option<Lsn>,
    /// Who asked, in a few characters.
    pub cause: String,
    /// The same as fields; `type` comes first.
    pub cause_fields: Vec<Field>,
    /// What happened, on one line.
    pub detail: String,
    /// The same as fields, in full.
    pub fields: Vec<Field>,
}

/// Describes the record at `lsn`.
pub fn describe(lsn: Lsn, kind: RecordKind, payload: &[u8]) -> Description {
    match codec::decode(kind.get(), payload) {
        Ok(Some(record)) => of_record(lsn, &record),
        Ok(None) => unknown(kind, payload, "a kind that this version does not know"),
        Err(error) => {
            let mut why = error.to_string();
            let mut cause = std::error::Error::source(&error);
            while let Some(source) = cause {
                why.push_str(": ");
                why.push_str(&source.to_string());
                cause = source.source();
            }
            unknown(kind, payload, &why)
        }
    }
}

fn unknown(kind: RecordKind, payload: &[u8], why: &str) -> Description {
    Description {
        kind: format!("unknown({:#06x})", kind.get()),
        written_micros: None,
        region: None,
        regions: Vec::new(),
        peer: None,
        incarnation: None,
        epoch: (None, None),
        previous: None,
        cause: String::new(),
        cause_fields: Vec::new(),
        detail: format!("{} bytes: {why}", payload.len()),
        fields: vec![
            field("why", why),
            field(
                "payload",
                payload
                    .iter()
                    .map(|byte| format!("{byte:02x}"))
                    .collect::<String>(),
            ),
        ],
    }
}

fn of_record(lsn: Lsn, record: &Record) -> Description {
    let (header, change) = (&record.header, &record.change);
    let (cause, cause_fields) = of_cause(header.cause);
    let said = of_change(change);
    let mut regions: Vec<RegionId> = header.region.into_iter().collect();
    regions.extend(change.also());
    if let Change::BarrierReached { floors, .. } = change {
        regions.extend(floors.iter().map(|floor| floor.region));
    }
    if let Change::Observer(change) = change {
        regions.extend(change.regions());
    }
    let creates = matches!(
        change,
        Change::RegionBootstrapped { .. }
            | Change::BootstrapPrepared { .. }
            | Change::RegionRecovered { .. }
            | Change::PeerCreated { .. }
    );
    Description {
        kind: change.kind_name().to_owned(),
        written_micros: Some(header.wall_clock_micros),
        region: header.region,
        regions,
        peer: said.peer,
        incarnation: if creates {
            Some(Incarnation::new(lsn))
        } else {
            header.incarnation
        },
        epoch: said.epoch,
        previous: header.previous,
        cause,
        cause_fields,
        detail: said.detail,
        fields: said.fields,
    }
}

fn of_snapshot(description: &Region, snapshot: &SnapshotRef, sources: &[MergedSource]) -> Said {
    let mut fields = vec![
        field("index", snapshot.position.index),
        field("term", snapshot.position.term),
        field("snapshot", snapshot.id),
        field("checksum", snapshot.checksum),
        field("bytes", snapshot.bytes),
        field("rows", snapshot.rows),
    ];
    fields.extend(region_fields(description));
    if !sources.is_empty() {
        fields.push(sources_field(sources));
    }
    let detail = format!(
        "snapshot {:x} at {}, {} rows, {} bytes; {}{}",
        snapshot.id,
        snapshot.position,
        snapshot.rows,
        snapshot.bytes,
        region_text(description),
        sources_text(sources)
    );
    let epoch = description.epoch;
    Said::new(detail, fields).epoch(Some(epoch.conf_ver), Some(epoch.version))
}

fn entry_fields(position: RaftPosition) -> Vec<Field> {
    vec![field("index", position.index), field("term", position.term)]
}

fn peer_change_text(change: &PeerChange) -> String {
    match change {
        PeerChange::Add { peer } => format!("add {}", peer_text(peer)),
        PeerChange::Remove { peer }
        | PeerChange::Promote { peer }
        | PeerChange::Demote { peer } => format!("{} {peer}", change.as_str()),
    }
}

fn peer_change_fields(change: &PeerChange) -> Vec<Field> {
    let peer = match change {
        PeerChange::Add { peer } => field("peer", peer),
        PeerChange::Remove { peer }
        | PeerChange::Promote { peer }
        | PeerChange::Demote { peer } => field("peer", vec![field("peer", peer.0)]),
    };
    vec![field("change", change.as_str()), peer]
}

fn of_cause(cause: Cause) -> (String, Vec<Field>) {
    let mut fields = vec![field("type", cause.as_str())];
    let text = match cause {
        Cause::Raft { term, index } => {
            fields.extend([field("term", term), field("index", index)]);
            format!("raft {term}/{index}")
        }
        Cause::Message { from_store } => {
            fields.push(field("from_store", from_store.0));
            format!("message {from_store}")
        }
        Cause::Keeper { why } => {
            fields.push(field("why", why.as_str()));
            format!("{} {}", cause.as_str(), why.as_str())
        }
        Cause::Operator | Cause::Recovery | Cause::Collector | Cause::Host => {
            cause.as_str().to_owned()
        }
    };
    (text, fields)
}

/// What a change says.
#[derive(Default)]
struct Said {
    peer: Option<PeerId>,
    epoch: (Option<u64>, Option<u64>),
    detail: String,
    fields: Vec<Field>,
}

impl Said {
    fn new(detail: impl Into<String>, fields: Vec<Field>) -> Self {
        Said {
            detail: detail.into(),
            fields,
            ..Said::default()
        }
    }

    fn peer(mut self, peer: Option<PeerId>) -> Self {
        self.peer = peer;
        self
    }

    fn epoch(mut self, conf_ver: Option<u64>, version: Option<u64>) -> Self {
        self.epoch = (conf_ver, version);
        self
    }
}

fn of_change(change: &Change) -> Said {
    match change {
        Change::StoreIdentified { store } => Said::new(
            format!("this store is {store}"),
            vec![field("store", store.0)],
        ),
        Change::DataStoreReplaced { generation } => {
            let generation: String = generation
                .iter()
                .map(|byte| format!("{byte:02x}"))
                .collect();
            Said::new(
                format!("generation {generation}"),
                vec![field("generation", generation)],
            )
        }
        Change::SequencesLeased { up_to } => Said::new(
            format!("sequences up to {}", up_to.get()),
            vec![field("up_to", up_to.get())],
        ),
        Change::BarrierReached { number, floors } => {
            let each = floors.iter().map(|floor| {
                vec![
                    field("region", floor.region.0),
                    field("incarnation", floor.incarnation.lsn().get()),
                    field("index", floor.index),
                ]
            });
            let shown: Vec<String> = floors
                .iter()
                .map(|floor| format!("{} i{}", floor.region, floor.index))
                .collect();
            let detail = match shown.is_empty() {
                true => format!("barrier {number}"),
                false => format!("barrier {number}: {}", shown.join(", ")),
            };
            let floors = each.collect::<Vec<_>>();
            Said::new(
                detail,
                vec![field("number", *number), field("floors", floors)],
            )
        }
        Change::RegionBootstrapped { store, region } => {
            let mut fields = vec![field("store", store.0)];
            fields.extend(region_fields(region));
            Said::new(region_text(region), fields)
                .peer(region.peer_on(*store).map(|peer| peer.id))
                .epoch(Some(region.epoch.conf_ver), Some(region.epoch.version))
        }
        Change::PeerCreated {
            peer,
            message_epoch,
            ..
        } => Said::new(
            format!("uninitialized; the message was of epoch {message_epoch}"),
            vec![
                field("peer", peer.0),
                field("message_epoch", epoch_fields(*message_epoch)),
            ],
        )
        .peer(Some(*peer)),
        Change::RegionSplit {
            position,
            version,
            derive,
            boundaries,
            children,
            ..
        } => {
            let keys: Vec<String> = boundaries.iter().map(|key| quoted(key)).collect();
            let parts: Vec<String> = children.iter().map(child_text).collect();
            let detail = format!(
                "at {} into {}; keeps the {}",
                keys.join(", "),
                parts.join(", "),
                match derive {
                    crate::lifecycle::Derive::Left => "first part",
                    crate::lifecycle::Derive::Right => "last part",
                }
            );
            let boundaries = boundaries.iter().map(FieldValue::from).collect::<Vec<_>>();
            let children = children.iter().map(child_fields).collect::<Vec<_>>();
            Said::new(
                detail,
                vec![
                    field("index", position.index),
                    field("term", position.term),
                    field("version", *version),
                    field("derive", derive.as_str()),
                    field("boundaries", boundaries),
                    field("children", children),
                ],
            )
            .epoch(None, Some(*version))
        }
        Change::PeersChanged {
            position,
            conf_ver,
            change,
            ..
        } => {
            let mut fields = entry_fields(*position);
            fields.push(field("conf_ver", *conf_ver));
            fields.extend(peer_change_fields(change));
            Said::new(peer_change_text(change), fields).epoch(Some(*conf_ver), None)
        }
        Change::JointEntered {
            position,
            conf_ver,
            changes,
            ..
        } => {
            let mut fields = entry_fields(*position);
            fields.push(field("conf_ver", *conf_ver));
            let each = changes.iter().map(peer_change_fields).collect::<Vec<_>>();
            fields.push(field("changes", each));
            let shown: Vec<String> = changes.iter().map(peer_change_text).collect();
            Said::new(shown.join(", "), fields).epoch(Some(*conf_ver), None)
        }
        Change::JointLeft {
            position, conf_ver, ..
        } => {
            let mut fields = entry_fields(*position);
            fields.push(field("conf_ver", *conf_ver));
            Said::new("joint consensus is over", fields).epoch(Some(*conf_ver), None)
        }
        Change::WitnessesSwitched {
            position,
            conf_ver,
            switches,
            ..
        } => {
            let mut fields = entry_fields(*position);
            fields.push(field("conf_ver", *conf_ver));
            let each = switches.iter().map(|switch| {
                vec![
                    field("peer", switch.peer.0),
                    field("witness", switch.witness),
                ]
            });
            fields.push(field("switches", each.collect::<Vec<_>>()));
            let shown = switches.iter().map(|switch| match switch.witness {
                true => format!("{} becomes a witness", switch.peer),
                false => format!("{} holds data again", switch.peer),
            });
            let shown: Vec<String> = shown.collect();
            Said::new(shown.join(", "), fields).epoch(Some(*conf_ver), None)
        }
        Change::WitnessInstalled {
            description,
            position,
            sources,
        } => {
            let mut fields = entry_fields(*position);
            fields.extend(region_fields(description));
            fields.push(sources_field(sources));
            let detail = format!(
                "a witness at {position}, without data; {}{}",
                region_text(description),
                sources_text(sources)
            );
            let epoch = description.epoch;
            Said::new(detail, fields).epoch(Some(epoch.conf_ver), Some(epoch.version))
        }
        Change::OwnPeerRemoved {
            position,
            conf_ver,
            peer,
            ..
        } => Said::new(
            format!("its own peer {peer}; destroy begins"),
            vec![
                field("index", position.index),
                field("term", position.term),
                field("conf_ver", *conf_ver),
                field("peer", peer.0),
            ],
        )
        .peer(Some(*peer))
        .epoch(Some(*conf_ver), None),
        Change::SnapshotBegun {
            description,
            snapshot,
        } => of_snapshot(description, snapshot, &[]),
        Change::SnapshotBegunOverSources {
            description,
            snapshot,
            sources,
        } => of_snapshot(description, snapshot, sources),
        Change::MergePrepared { .. }
        | Change::RegionsMerged { .. }
        | Change::MergeRolledBack { .. }
        | Change::FlashbackBegun { .. }
        | Change::FlashbackEnded { .. }
        | Change::BootstrapPrepared { .. }
        | Change::BootstrapConfirmed { .. }
        | Change::BootstrapAbandoned { .. }
        | Change::RegionRecovered { .. }
        | Change::VotersForced { .. }
        | Change::TombstonePlaced { .. }
        | Change::TombstoneCollected { .. }
        | Change::SnapshotReserved { .. }
        | Change::SnapshotReleased { .. } => orders::said(change),
        Change::SnapshotEnded { floor, .. } => Said::new(
            format!(
                "durable to index {} by barrier {}",
                floor.index, floor.barrier
            ),
            vec![field("index", floor.index), field("barrier", floor.barrier)],
        ),
        Change::SnapshotAborted { reason, .. } => {
            Said::new(reason.as_str(), vec![field("reason", reason.as_str())])
        }
        Change::PeerDestroyed {
            peer, epoch, cause, ..
        } => {
            let mut fields = vec![
                field("peer", peer.0),
                field("tombstone_epoch", epoch_fields(*epoch)),
                field("reason", cause.as_str()),
            ];
            let why = match cause {
                DestroyCause::Removed { epoch } => {
                    fields.push(field("removed_epoch", epoch_fields(*epoch)));
                    format!("removed at {epoch}")
                }
                DestroyCause::LargerPeer { peer } => {
                    fields.push(field("larger_peer", peer.0));
                    format!("{peer} takes its place")
                }
                DestroyCause::Operator => "asked for by an operator".to_owned(),
                DestroyCause::Merged { target } => {
                    fields.push(field("target", target.0));
                    format!("its region was merged into {target}")
                }
            };
            Said::new(format!("{why}; tombstone up to {peer} at {epoch}"), fields)
                .peer(Some(*peer))
                .epoch(Some(epoch.conf_ver), Some(epoch.version))
        }
        Change::DeletionFinished { deletion, .. } => Said::new(
            format!("keys of {deletion} are cleared"),
            vec![
                field("deletion", deletion.lsn.get()),
                field("ordinal", deletion.ordinal),
            ],
        ),
        Change::PeerDamaged { reason, .. } => {
            let mut fields = vec![field("reason", reason.as_str())];
            fields.extend(damage_fields(*reason));
            Said::new(reason.to_string(), fields)
        }
        Change::CacheLoadRequested { .. }
        | Change::CacheLoading { .. }
        | Change::CacheActive { .. }
        | Change::CacheEvicting { .. } => Said::default(),
        Change::CacheLoadQueued { version, .. } => Said::new(
            format!("behind the eviction, for version {version}"),
            vec![field("version", *version)],
        ),
        Change::CacheLoadWaits { .. } => Said::new(
            "behind the evictions of other regions that hold its keys",
            Vec::new(),
        ),
        Change::CacheGoneLoadWaits { reason, .. } => Said::new(
            format!(
                "{}; the queued load waits for other regions' evictions",
                reason.as_str()
            ),
            vec![field("reason", reason.as_str()), field("queued", "waits")],
        ),
        Change::CacheLoadUnqueued { reason, .. }
        | Change::CacheCancelled { reason, .. }
        | Change::CacheEvictPending { reason, .. } => {
            Said::new(reason.as_str(), vec![field("reason", reason.as_str())])
        }
        Change::CacheGone { reason, queued, .. } => {
            let (queued, dropped) = match queued {
                QueuedLoadFate::None => ("none", None),
                QueuedLoadFate::Starts => ("starts", None),
                QueuedLoadFate::Dropped(why) => ("dropped", Some(why.as_str())),
            };
            let detail = match (queued, dropped) {
                ("none", _) => reason.as_str().to_owned(),
                (_, None) => format!("{}; the queued load starts", reason.as_str()),
                (_, Some(why)) => format!("{}; the queued load is dropped: {why}", reason.as_str()),
            };
            let mut fields = vec![field("reason", reason.as_str()), field("queued", queued)];
            fields.extend(dropped.map(|why| field("dropped", why)));
            Said::new(detail, fields)
        }
        Change::Observer(change) => observers::said(change),
    }
}

fn region_text(region: &Region) -> String {
    let peers: Vec<String> = region.peers.iter().map(peer_text).collect();
    format!("{}; peers {}", range_text(&region.range), peers.join(" "))
}

fn region_fields(region: &Region) -> Vec<Field> {
    vec![
        field("range", &region.range),
        field("epoch", epoch_fields(region.epoch)),
        field(
            "peers",
            region
                .peers
                .iter()
                .map(FieldValue::from)
                .collect::<Vec<_>>(),
        ),
    ]
}

fn epoch_fields(epoch: RegionEpoch) -> Vec<Field> {
    vec![
        field("conf_ver", epoch.conf_ver),
        field("version", epoch.version),
    ]
}

fn child_text(child: &SplitChild) -> String {
    let id = child.id;
    match child.fate {
        ChildFate::Created => id.to_string(),
        ChildFate::Adopted { predecessor } => format!("{id} (adopts {predecessor})"),
        ChildFate::Skipped { reason } => format!("{id} (skipped: {})", reason.as_str()),
    }
}

fn child_fields(child: &SplitChild) -> Vec<Field> {
    let mut fields = vec![
        field("region", child.id.0),
        field(
            "peers",
            child.peers.iter().map(FieldValue::from).collect::<Vec<_>>(),
        ),
    ];
    match child.fate {
        ChildFate::Created => fields.push(field("fate", "created")),
        ChildFate::Adopted { predecessor } => fields.extend([
            field("fate", "adopted"),
            field("predecessor", predecessor.lsn().get()),
        ]),
        ChildFate::Skipped { reason } => {
            fields.extend([field("fate", "skipped"), field("reason", reason.as_str())]);
            fields.push(match reason {
                SkipReason::Tombstoned { highest_peer } => field("highest_peer", highest_peer.0),
                SkipReason::OtherPeer { peer } => field("peer", peer.0),
                SkipReason::Initialized { incarnation } => {
                    field("incarnation", incarnation.lsn().get())
                }
            });
        }
    }
    fields
}

fn damage_fields(reason: DamageReason) -> Vec<Field> {
    match reason {
        DamageReason::RowMissing { floor } => vec![field("floor", floor)],
        DamageReason::BelowFloor { have, floor } => {
            vec![field("have", have), field("floor", floor)]
        }
        DamageReason::StoreReplaced => Vec::new(),
        DamageReason::StoreOlder { barrier, floor } => {
            vec![field("barrier", barrier), field("floor", floor)]
        }
        DamageReason::LogTruncated {
            first_index,
            data_index,
        } => {
            vec![
                field("first_index", first_index),
                field("data_index", data_index),
            ]
        }
        DamageReason::SnapshotLost { reason } => vec![field("abort", reason.as_str())],
        DamageReason::MergeSourceLost { source } => vec![field("source", source.0)],
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

/// `"a" … "m"`; a bound that is not printable is given in hexadecimal, without quotes.
pub fn range_text(range: &KeyRange) -> String {
    let end = range.end().map_or("∞".to_owned(), |end| quoted(end));
    format!("{} … {end}", quoted(range.start()))
}

fn quoted(key: &[u8]) -> String {
    let text = key_text(key);
    if text.starts_with("0x") {
        text
    } else {
        format!("\"{text}\"")
    }
}
