//! The screen as one JSON object. Keys are a contract: they are added to, not changed.

use std::collections::BTreeMap;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::Serialize;
use torrens::inspector::clock::timestamp;

use super::Screen;
use crate::verdict::VerdictJson;

#[derive(JsonSchema, Serialize)]
struct Json<'a> {
    v: u32,
    dir: &'a str,
    format: String,
    store: Option<u64>,
    uuid: Option<String>,
    boots: u32,
    open: bool,
    pid: Option<u32>,
    segments: Vec<SegmentJson>,
    first_lsn: Option<u64>,
    last_lsn: u64,
    checkpoints: Vec<CheckpointJson<'a>>,
    replay_records: u64,
    regions: &'a BTreeMap<&'static str, u64>,
    cache: &'a BTreeMap<&'static str, u64>,
    tombstones: u64,
    pending_deletions: u64,
    open_operations: &'a [String],
    witness_lsn: Option<u64>,
    window_records: u64,
    data_store: &'static str,
    data_bytes: u64,
    snapshot_files: u64,
    snapshot_bytes: u64,
    notes: &'a [String],
    verdict: VerdictJson,
}

#[derive(JsonSchema, Serialize)]
struct SegmentJson {
    seg: u64,
    bytes: u64,
    used_bytes: u64,
    records: u64,
    first_lsn: Option<u64>,
    last_lsn: Option<u64>,
    first_ts: Option<String>,
    last_ts: Option<String>,
}

#[derive(JsonSchema, Serialize)]
struct CheckpointJson<'a> {
    lsn: u64,
    bytes: u64,
    ts: Option<String>,
    valid: bool,
    why: Option<&'a str>,
}

pub(super) fn of(screen: &Screen) -> impl Serialize + '_ {
    let (picture, report) = (&screen.picture, &screen.picture.report);
    let segments = screen.segments.iter().map(|span| SegmentJson {
        seg: span.id.get(),
        bytes: span.file_bytes,
        used_bytes: span.used_bytes,
        records: span.records,
        first_lsn: span.first_lsn.map(|lsn| lsn.get()),
        last_lsn: span.last_lsn.map(|lsn| lsn.get()),
        first_ts: span.first_micros.map(timestamp),
        last_ts: span.last_micros.map(timestamp),
    });
    let checkpoints = screen.checkpoints.iter().map(|file| CheckpointJson {
        lsn: file.lsn.get(),
        bytes: file.bytes,
        ts: file.written_micros.map(timestamp),
        valid: file.fault.is_none(),
        why: file.fault.as_deref(),
    });
    Json {
        v: 1,
        dir: &screen.name,
        format: format!("{}.{}", screen.format.0, screen.format.1),
        store: picture.register.store().map(|store| store.0),
        uuid: report.store.map(|uuid| uuid.to_string()),
        boots: picture.evidence.boot_max().get(),
        open: picture.writer.is_open,
        pid: picture.writer.pid,
        segments: segments.collect(),
        first_lsn: report.first_lsn.map(|lsn| lsn.get()),
        last_lsn: report.last_lsn.get(),
        checkpoints: checkpoints.collect(),
        replay_records: report.records_replayed,
        regions: &screen.stages,
        cache: &screen.caches,
        tombstones: screen.tombstones,
        pending_deletions: screen.deletions,
        open_operations: &screen.operations,
        witness_lsn: report.witness.map(|witness| witness.lsn.get()),
        window_records: report.window.records,
        data_store: screen.data_store,
        data_bytes: screen.data.bytes,
        snapshot_files: screen.snapshots.files,
        snapshot_bytes: screen.snapshots.bytes,
        notes: &report.notes,
        verdict: VerdictJson::new(report, report.verdict.name(), report.verdict.exit_code()),
    }
}

/// The schema of the object.
pub(crate) fn schema(generator: &mut SchemaGenerator) -> Schema {
    generator.subschema_for::<Json<'_>>()
}
