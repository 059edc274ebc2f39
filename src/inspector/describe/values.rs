//! Values that changes share, as fields: regions, snapshots, sources of a merge, children of a split, reasons.

use super::super::fields::{Field, FieldValue, field};
use crate::Region;
use crate::lifecycle::{
    ChildFate, DamageReason, MergedSource, PeerChange, RaftPosition, SkipReason, SnapshotRef,
    SplitChild,
};

pub(super) fn with(mut fields: Vec<Field>, more: impl IntoIterator<Item = Field>) -> Vec<Field> {
    fields.extend(more);
    fields
}

pub(super) fn entry(position: RaftPosition) -> Vec<Field> {
    vec![field("index", position.index), field("term", position.term)]
}

pub(super) fn begun(
    description: &Region,
    snapshot: &SnapshotRef,
    merged: &[MergedSource],
) -> Vec<Field> {
    let fields = with(
        entry(snapshot.position),
        [
            field("snapshot", snapshot.id),
            field("checksum", snapshot.checksum),
            field("bytes", snapshot.bytes),
            field("rows", snapshot.rows),
        ],
    );
    let fields = with(fields, region(description));
    match merged.is_empty() {
        true => fields,
        false => with(fields, [sources(merged)]),
    }
}

pub(super) fn region(region: &Region) -> Vec<Field> {
    vec![
        field("range", &region.range),
        field("epoch", region.epoch),
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

pub(super) fn sources(sources: &[MergedSource]) -> Field {
    field("sources", sources.iter().map(source).collect::<Vec<_>>())
}

pub(super) fn source(source: &MergedSource) -> Vec<Field> {
    vec![
        field("region", source.region.0),
        field("peer", source.peer.0),
        field("incarnation", source.incarnation.lsn().get()),
    ]
}

pub(super) fn peer_change(change: &PeerChange) -> Vec<Field> {
    let peer = match change {
        PeerChange::Add { peer } => field("peer", peer),
        PeerChange::Remove { peer }
        | PeerChange::Promote { peer }
        | PeerChange::Demote { peer } => field("peer", vec![field("peer", peer.0)]),
    };
    vec![field("change", change.as_str()), peer]
}

pub(super) fn child(child: &SplitChild) -> Vec<Field> {
    let fields = vec![
        field("region", child.id.0),
        field(
            "peers",
            child.peers.iter().map(FieldValue::from).collect::<Vec<_>>(),
        ),
    ];
    match child.fate {
        ChildFate::Created => with(fields, [field("fate", "created")]),
        ChildFate::Adopted { predecessor } => with(
            fields,
            [
                field("fate", "adopted"),
                field("predecessor", predecessor.lsn().get()),
            ],
        ),
        ChildFate::Skipped { reason } => with(
            fields,
            [
                field("fate", "skipped"),
                field("reason", reason.as_str()),
                match reason {
                    SkipReason::Tombstoned { highest_peer } => {
                        field("highest_peer", highest_peer.0)
                    }
                    SkipReason::OtherPeer { peer } => field("peer", peer.0),
                    SkipReason::Initialized { incarnation } => {
                        field("incarnation", incarnation.lsn().get())
                    }
                },
            ],
        ),
    }
}

pub(super) fn damage(reason: DamageReason) -> Vec<Field> {
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
        } => vec![
            field("first_index", first_index),
            field("data_index", data_index),
        ],
        DamageReason::SnapshotLost { reason } => vec![field("abort", reason.as_str())],
        DamageReason::MergeSourceLost { source } => vec![field("source", source.0)],
    }
}
