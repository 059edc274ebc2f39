//! In words and fields: merges, flashbacks, steps of a bootstrap, and what an operator orders.

use super::super::fields::{Field, FieldValue, field};
use super::{Said, entry_fields, epoch_fields, region_fields, region_text};
use crate::lifecycle::{Change, MergedSource};

/// What such a change says; nothing of any other.
pub(super) fn said(change: &Change) -> Said {
    match change {
        Change::MergePrepared {
            position,
            epoch,
            target,
            target_epoch,
            min_index,
            ..
        } => {
            let mut fields = entry_fields(*position);
            fields.extend([
                field("epoch", epoch_fields(*epoch)),
                field("target", target.0),
                field("target_epoch", epoch_fields(*target_epoch)),
                field("min_index", *min_index),
            ]);
            let detail =
                format!("into {target} at {target_epoch}; the log stays from i{min_index} on");
            Said::new(detail, fields).epoch(Some(epoch.conf_ver), Some(epoch.version))
        }
        Change::RegionsMerged {
            position,
            version,
            source,
            ..
        } => {
            let mut fields = entry_fields(*position);
            fields.push(field("version", *version));
            fields.push(field("source", source_fields(source)));
            let MergedSource {
                region,
                peer,
                incarnation,
            } = source;
            let detail = format!("took in {region} with its {peer}{incarnation}");
            Said::new(detail, fields).epoch(None, Some(*version))
        }
        Change::MergeRolledBack {
            position, version, ..
        } => {
            let mut fields = entry_fields(*position);
            fields.push(field("version", *version));
            Said::new("the merge does not take place", fields).epoch(None, Some(*version))
        }
        Change::FlashbackBegun { position, .. } => {
            Said::new("is being set back", entry_fields(*position))
        }
        Change::FlashbackEnded { position, .. } => {
            Said::new("is set back", entry_fields(*position))
        }
        Change::BootstrapPrepared { store, region } => {
            let mut fields = vec![field("store", store.0)];
            fields.extend(region_fields(region));
            let detail = format!("to be confirmed; {}", region_text(region));
            Said::new(detail, fields)
                .peer(region.peer_on(*store).map(|peer| peer.id))
                .epoch(Some(region.epoch.conf_ver), Some(region.epoch.version))
        }
        Change::BootstrapConfirmed { .. } => Said::new("the cluster begins with it", Vec::new()),
        Change::BootstrapAbandoned { .. } => Said::new(
            "the cluster began elsewhere; its keys are cleared",
            Vec::new(),
        ),
        Change::RegionRecovered { region } => {
            let detail = format!("ordered by an operator; {}", region_text(region));
            Said::new(detail, region_fields(region))
                .epoch(Some(region.epoch.conf_ver), Some(region.epoch.version))
        }
        Change::SnapshotReserved {
            description,
            position,
            sources,
        } => {
            let mut fields = entry_fields(*position);
            fields.extend(region_fields(description));
            let each = sources.iter().map(|source| FieldValue::from(source.0));
            fields.push(field("sources", each.collect::<Vec<_>>()));
            let detail = format!("for a snapshot at {position}; {}", region_text(description));
            Said::new(detail, fields)
        }
        Change::SnapshotReleased { .. } => Said::new("the snapshot does not come", Vec::new()),
        Change::VotersForced {
            conf_ver, failed, ..
        } => {
            let shown: Vec<String> = failed.iter().map(ToString::to_string).collect();
            let stores = failed.iter().map(|store| FieldValue::from(store.0));
            let fields = vec![
                field("conf_ver", *conf_ver),
                field("failed", stores.collect::<Vec<_>>()),
            ];
            let detail = format!("peers on {} vote no more", shown.join(", "));
            Said::new(detail, fields).epoch(Some(*conf_ver), None)
        }
        Change::TombstonePlaced { peer, epoch, .. } => {
            let fields = vec![
                field("peer", peer.0),
                field("tombstone_epoch", epoch_fields(*epoch)),
            ];
            let detail = format!("ordered by an operator, up to {peer} at {epoch}");
            Said::new(detail, fields).peer(Some(*peer))
        }
        Change::TombstoneCollected { highest_peer, .. } => Said::new(
            format!("the tombstone up to {highest_peer} is not needed any more"),
            vec![field("peer", highest_peer.0)],
        )
        .peer(Some(*highest_peer)),
        _ => Said::default(),
    }
}

/// Regions that end with a snapshot, as they follow its description in a line; empty if none do.
pub(super) fn sources_text(sources: &[MergedSource]) -> String {
    if sources.is_empty() {
        return String::new();
    }
    let shown = sources.iter().map(|source| source.region.to_string());
    let shown: Vec<String> = shown.collect();
    format!("; takes in {}", shown.join(", "))
}

/// The same as a field.
pub(super) fn sources_field(sources: &[MergedSource]) -> Field {
    let each = sources.iter().map(source_fields);
    field("sources", each.collect::<Vec<_>>())
}

fn source_fields(source: &MergedSource) -> Vec<Field> {
    vec![
        field("region", source.region.0),
        field("peer", source.peer.0),
        field("incarnation", source.incarnation.lsn().get()),
    ]
}
