//! Collects a report: a look, the lives, the lineage, and one more walk for records, rates and samples.
//!
//! * `count`: what a walk counts. * `pictures`: the lives, and the graph of splits and merges.
//!
//! All of them end at the same record, so that a writer at work does not make them disagree. Memory grows
//! with the number of lives and of splits; the report itself is bounded, and says what it left out.

use std::collections::{BTreeMap, BTreeSet};

use torrens::RegionId;
use torrens::inspector::timeline::TimelineOptions;
use torrens::inspector::{InspectError, Inspector, KeyForm, Picture};
use torrens::lifecycle::CacheState;
use torrens_journal::Lsn;
use torrens_recovery::Verdict;

use super::model::{FilePart, KindPart, ObserverPart, Report, VerdictPart};
use crate::look::opened_by;
use crate::render::{age, cut, printable};
use crate::verdict::{sentence, stop};
use count::{Counted, Counts, SLOTS, buckets, sample};
use pictures::{graph, lives};

mod count;
mod pictures;

/// Openings that it marks.
const BOOTS_MAX: usize = 200;
/// Observers, and segments, that it lists.
const LISTED_MAX: usize = 100;
/// Characters of a text from the directory.
const TEXT_MAX: usize = 240;

/// A text of the directory, short and without control characters.
fn text(text: &str) -> String {
    cut(&printable(text), TEXT_MAX)
}

/// What of a history a report is about.
#[derive(Clone, Debug, Default)]
pub(crate) struct Scope {
    /// No record behind this one.
    pub(crate) until: Option<Lsn>,
    /// Lives, lineage and records of these regions only; of all if empty.
    pub(crate) regions: BTreeSet<RegionId>,
}

/// Collects the report and the verdict that it is about.
///
/// # Errors
/// As [`Inspector::look`].
pub(crate) fn gather(
    inspector: &Inspector,
    keys: &KeyForm,
    scope: &Scope,
) -> Result<(Report, Verdict), InspectError> {
    let picture = inspector.look(scope.until)?;
    let until = Some(picture.position);
    let spans = inspector.segments(&picture)?;
    let start_micros = spans.iter().find_map(|span| span.first_micros).unwrap_or(0);
    let options = TimelineOptions {
        until,
        regions: scope.regions.clone(),
        ..TimelineOptions::default()
    };
    let (timeline, _) = inspector.timeline(&options)?;
    let newest = match scope.until {
        Some(_) => Some(timeline.end.micros),
        None => spans.iter().filter_map(|span| span.last_micros).max(),
    };
    let last_micros = newest.unwrap_or(0).max(start_micros);
    let slot_micros = (last_micros - start_micros) / SLOTS + 1;
    let mut lineage = inspector.lineage(until)?;
    if !scope.regions.is_empty() {
        lineage = lineage.only(&scope.regions);
    }
    let (counted, folded) = inspector.fold(until, |_, register| {
        Counted::new(start_micros, slot_micros, sample(register), &scope.regions)
    })?;
    let register = &picture.register;
    let verdict = picture.report.verdict.clone();
    let mut stages: BTreeMap<&'static str, u64> = BTreeMap::new();
    for peer in register.region_ids().filter_map(|id| register.peer(id)) {
        *stages.entry(peer.stage.name()).or_default() += 1;
    }
    let mut caches: BTreeMap<&'static str, u64> = BTreeMap::new();
    for (_, slot) in register.slots() {
        let state = slot.cache.state();
        if state != CacheState::Absent {
            *caches.entry(state.as_str()).or_default() += 1;
        }
    }
    let now_micros = inspector.now_micros();
    let mut files: Vec<FilePart> = spans
        .iter()
        .rev()
        .take(LISTED_MAX)
        .map(|span| FilePart {
            name: format!("segment {:04}", span.id.get()),
            bytes: span.file_bytes,
            records: Some(span.records),
            what: match (span.first_lsn, span.last_lsn) {
                (Some(first), Some(last)) => format!("LSN {first} … {last}"),
                _ => "no records".to_owned(),
            },
        })
        .collect();
    let checkpoints = inspector.checkpoints(&picture)?;
    let valid = checkpoints.iter().find(|file| file.fault.is_none());
    let checkpoint_micros = valid.and_then(|file| file.written_micros).unwrap_or(0);
    for file in checkpoints {
        let written = file.written_micros.map(|then| age(then, now_micros));
        files.push(FilePart {
            name: format!("checkpoint {}", file.lsn),
            bytes: file.bytes,
            records: None,
            what: match file.fault {
                Some(why) => text(&format!("NOT VALID: {why}")),
                None => format!("valid, {}", written.unwrap_or("age unknown".to_owned())),
            },
        });
    }
    let observers = register.observers();
    let observers_total = observers.iter().count();
    let (lives, lives_left_out, spans_left_out) = lives(&timeline);
    let (regions, lineage_left_out, edges, edges_left_out) = graph(lineage, &timeline, keys);
    let stopped = folded.stopped.as_deref();
    let boots_left_out = timeline.boots.len().saturating_sub(BOOTS_MAX);
    let report = Report {
        tool: env!("CARGO_PKG_VERSION"),
        dir: text(&inspector.path().display().to_string()),
        made_micros: now_micros,
        writer: opened_by(&picture),
        is_open: picture.writer.is_open,
        store: register.store().map(|store| format!("store {store}")),
        uuid: picture.report.store.map(|uuid| uuid.to_string()),
        verdict: verdict_part(&picture, stopped, keys),
        start_lsn: timeline.start.lsn.get(),
        start_micros,
        last_lsn: picture.position.get(),
        last_micros,
        records: counted.records,
        bytes: counted.bytes,
        groups: counted.groups,
        group_max: counted.group_max,
        segments: spans.len() as u64,
        journal_bytes: spans.iter().map(|span| span.file_bytes).sum(),
        replays: picture.report.records_replayed,
        checkpoint_micros,
        data_bytes: inspector.part_size("data")?.bytes,
        data_store: inspector.data_store()?,
        stages_now: stages.into_iter().collect(),
        caches_now: caches.into_iter().collect(),
        tombstones: register.tombstones().count() as u64,
        deletions: register.deletions().count() as u64,
        boots: timeline
            .boots
            .iter()
            .skip(boots_left_out)
            .map(|(boot, at)| (*boot, at.lsn.get(), at.micros))
            .collect(),
        boots_total: picture.evidence.boot_max().get().into(),
        lives,
        lives_left_out,
        spans_left_out,
        lineage: regions,
        lineage_left_out,
        edges,
        edges_left_out,
        slot_micros,
        samples: counted.samples(sample(register)),
        slots: counted.slots,
        pace_p50: counted.pace.quantile(500),
        pace_p99: counted.pace.quantile(990),
        pace: buckets(&counted.pace),
        observer_events: counted
            .kinds
            .iter()
            .filter(|(kind, _)| kind.starts_with("observer."))
            .map(|(kind, counts)| (kind.clone(), counts.records))
            .collect(),
        kinds: kinds(&counted.kinds),
        observers: observers
            .iter()
            .take(LISTED_MAX)
            .map(|(_, observer)| ObserverPart {
                name: text(&observer.name.to_string()),
                added: observer.added.get(),
                regions: observer.attachment_count() as u64,
                paused: observer.paused,
            })
            .collect(),
        observers_left_out: observers_total.saturating_sub(LISTED_MAX) as u64,
        files,
        files_left_out: spans.len().saturating_sub(LISTED_MAX) as u64,
        rows_left_out: counted.rows_seen - counted.rows.len() as u64,
        rows: counted
            .rows
            .iter()
            .rev()
            .map(|row| row.part(keys))
            .collect(),
    };
    Ok((report, verdict))
}

fn verdict_part(picture: &Picture, stopped: Option<&str>, keys: &KeyForm) -> VerdictPart {
    let report = &picture.report;
    let mut notes: Vec<String> = Vec::new();
    if let Some((position, why)) = stop(&report.verdict) {
        // A reason may quote what a record says.
        let why = if keys.hides() { String::new() } else { why };
        notes.push(match position {
            Some(position) => text(&format!("{position}: {why}")),
            None => text(&why),
        });
    }
    if !keys.hides() {
        notes.extend(stopped.map(text));
        notes.extend(report.notes.iter().take(LISTED_MAX).map(|note| text(note)));
    }
    VerdictPart {
        name: report.verdict.name(),
        exit: report.verdict.exit_code(),
        sentence: sentence(report, picture.writer.is_open),
        notes,
    }
}

fn kinds(kinds: &BTreeMap<String, Counts>) -> Vec<KindPart> {
    let mut kinds: Vec<KindPart> = kinds
        .iter()
        .map(|(name, counts)| KindPart {
            name: name.clone(),
            records: counts.records,
            bytes: counts.bytes,
            p50: counts.sizes.quantile(500),
            p99: counts.sizes.quantile(990),
        })
        .collect();
    kinds.sort_by_key(|kind| std::cmp::Reverse(kind.records));
    kinds.truncate(LISTED_MAX);
    kinds
}
