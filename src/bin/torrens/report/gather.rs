//! Collects a report: a look, the lives, the lineage, and one more walk for records, rates and samples.
//!
//! All of them end at the same record, so that a writer at work does not make them disagree. Memory grows
//! with the number of lives and of splits; the report itself is bounded, and says what it left out.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::ControlFlow;

use torrens::RegionId;
use torrens::inspector::lineage::{Descent, Lineage};
use torrens::inspector::stats::Histogram;
use torrens::inspector::timeline::{Life, Span, Timeline, TimelineOptions};
use torrens::inspector::{
    Description, HistoryReader, InspectError, Inspector, KeyForm, Picture, Step, describe,
};
use torrens::lifecycle::{CacheState, Register};
use torrens_journal::Lsn;
use torrens_journal::format::RECORD_HEADER_BYTES;
use torrens_recovery::{RecordItem, Verdict};

use super::model::{
    EdgePart, FilePart, KindPart, LifePart, ObserverPart, RegionPart, Report, RowPart, SpanPart,
    VerdictPart,
};
use crate::look::opened_by;
use crate::render::{age, cut, printable};
use crate::verdict::{sentence, stop};

/// Records that the page lists.
const ROWS_MAX: usize = 2_000;
/// Lives that it draws.
const LIVES_MAX: usize = 300;
/// Stages, and as many states of caches, that it draws of one life.
const SPANS_MAX: usize = 40;
/// Regions of the graph.
const REGIONS_MAX: usize = 300;
/// Arrows of the graph.
const EDGES_MAX: usize = 1_000;
/// Openings that it marks.
const BOOTS_MAX: usize = 200;
/// Observers, and segments, that it lists.
const LISTED_MAX: usize = 100;
/// Bars of a chart over time.
const SLOTS: u64 = 96;
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

/// The lives that changed last, by region; how many are left out, and how many spans of the others.
fn lives(timeline: &Timeline) -> (Vec<LifePart>, u64, u64) {
    let newest = |life: &&Life| {
        let last = |spans: &[Span]| {
            let last = spans.last().map(|span| span.to.unwrap_or(span.from));
            last.unwrap_or_default().lsn
        };
        let at = last(&life.stages).max(last(&life.caches));
        std::cmp::Reverse((life.ended_by.is_none(), at))
    };
    let mut wanted: Vec<&Life> = timeline.lives.iter().collect();
    wanted.sort_by_key(newest);
    wanted.truncate(LIVES_MAX);
    wanted.sort_by_key(|life| (life.region, life.incarnation));
    let mut left_out = 0;
    let mut parts = |spans: &[Span]| -> Vec<SpanPart> {
        let skipped = spans.len().saturating_sub(SPANS_MAX);
        left_out += skipped as u64;
        let kept = spans.iter().skip(skipped);
        kept.map(|span| {
            let (from, to) = (span.from, span.to);
            let ended = to.map_or(0, |to| to.micros);
            let to = to.map(|to| to.lsn.get());
            (span.name, from.lsn.get(), from.micros, to, ended)
        })
        .collect()
    };
    let lives = wanted
        .iter()
        .map(|life| LifePart {
            region: life.region.0,
            peer: life.peer.0,
            ended: life.ended_by.as_deref().map(str::to_owned),
            stages: parts(&life.stages),
            caches: parts(&life.caches),
        })
        .collect();
    let lives_left_out = timeline.lives.len().saturating_sub(LIVES_MAX) as u64;
    (lives, lives_left_out, left_out)
}

fn graph(
    lineage: Lineage,
    timeline: &Timeline,
    keys: &KeyForm,
) -> (Vec<RegionPart>, u64, Vec<EdgePart>, u64) {
    let total = lineage.regions.len();
    let mut newest: Vec<_> = lineage
        .regions
        .values()
        .map(|one| (one.last, one.region))
        .collect();
    newest.sort_unstable_by(|a, b| b.cmp(a));
    newest.truncate(REGIONS_MAX);
    let wanted = newest.into_iter().map(|(_, region)| region).collect();
    let lineage = lineage.only(&wanted);
    // What was there from the begin has no time of its own.
    let known = |micros: u64| {
        if micros == 0 {
            timeline.start.micros
        } else {
            micros
        }
    };
    let regions = lineage.regions.values().map(|one| RegionPart {
        id: one.region.0,
        origin: one.origin.as_str(),
        first: one.first.lsn.get(),
        first_micros: known(one.first.micros),
        last: one.last.lsn.get(),
        last_micros: known(one.last.micros),
        standing: one.standing,
        gone: one.gone,
        range: one.range.as_ref().map(|range| text(&keys.range(range))),
        epoch: one.epoch.clone(),
    });
    let skipped = lineage.edges.len().saturating_sub(EDGES_MAX);
    let edges = lineage.edges.iter().skip(skipped).map(|edge| EdgePart {
        from: edge.from.0,
        to: edge.to.0,
        lsn: edge.at.lsn.get(),
        micros: known(edge.at.micros),
        by: edge.descent.as_str(),
        fate: match &edge.descent {
            Descent::Split { fate, .. } => Some(*fate),
            _ => None,
        },
    });
    let left_out = total.saturating_sub(REGIONS_MAX) as u64;
    (regions.collect(), left_out, edges.collect(), skipped as u64)
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

/// The histogram with one bucket for each power of two, from its smallest value to its largest.
fn buckets(histogram: &Histogram) -> Vec<(u64, u64)> {
    let mut powers: BTreeMap<u32, u64> = BTreeMap::new();
    for (upper, count) in histogram.buckets() {
        *powers.entry(u64::BITS - upper.leading_zeros()).or_default() += count;
    }
    let (Some(first), Some(last)) = (powers.keys().min(), powers.keys().max()) else {
        return Vec::new();
    };
    (*first..=*last)
        .map(|power| {
            let upper = 1u64.checked_shl(power).map_or(u64::MAX, |next| next - 1);
            (upper, powers.get(&power).copied().unwrap_or(0))
        })
        .collect()
}

/// Regions, caches that serve, regions that somebody observes.
fn sample(register: &Register) -> [u64; 3] {
    let regions = register.region_ids().count() as u64;
    let serving = register
        .slots()
        .filter(|(_, slot)| slot.cache.state() == CacheState::Active)
        .count() as u64;
    let observed: BTreeSet<RegionId> = register
        .observers()
        .iter()
        .flat_map(|(_, observer)| observer.attachments().map(|(region, _)| region))
        .collect();
    [regions, serving, observed.len() as u64]
}

/// Records of one kind.
#[derive(Default)]
struct Counts {
    records: u64,
    bytes: u64,
    sizes: Histogram,
}

/// A record that the page lists.
struct Row {
    description: Description,
    behind: bool,
}

impl Row {
    fn part(&self, keys: &KeyForm) -> RowPart {
        let said = &self.description;
        let mut regions: Vec<u64> = said.regions().iter().map(|region| region.0).collect();
        regions.truncate(LISTED_MAX);
        RowPart {
            lsn: said.lsn.get(),
            micros: said.written_micros().unwrap_or(0),
            kind: said.kind.to_string(),
            region: said.region().map(|region| region.0),
            regions,
            peer: said.peer().map(|peer| peer.0),
            epoch: said.epoch_text().unwrap_or_default(),
            cause: text(&said.cause_text()),
            detail: text(&said.detail(keys)),
            behind: self.behind,
        }
    }
}

/// What one walk through the history counts.
struct Counted<'s> {
    /// Only records of these are listed; all if empty.
    regions: &'s BTreeSet<RegionId>,
    start_micros: u64,
    slot_micros: u64,
    records: u64,
    bytes: u64,
    groups: u64,
    group_max: u64,
    group: Option<(u64, u64)>,
    /// The boot of the last group, and when its first record was decided.
    group_began: Option<(u32, u64)>,
    pace: Histogram,
    kinds: BTreeMap<String, Counts>,
    slots: Vec<(u64, u64)>,
    slot: usize,
    sampled: Vec<[u64; 3]>,
    first_sample: [u64; 3],
    rows: VecDeque<Row>,
    rows_seen: u64,
}

impl<'s> Counted<'s> {
    fn new(
        start_micros: u64,
        slot_micros: u64,
        first_sample: [u64; 3],
        regions: &'s BTreeSet<RegionId>,
    ) -> Self {
        Counted {
            regions,
            start_micros,
            slot_micros,
            records: 0,
            bytes: 0,
            groups: 0,
            group_max: 0,
            group: None,
            group_began: None,
            pace: Histogram::default(),
            kinds: BTreeMap::new(),
            slots: vec![(0, 0); SLOTS as usize],
            slot: 0,
            sampled: Vec::new(),
            first_sample,
            rows: VecDeque::new(),
            rows_seen: 0,
        }
    }

    /// The samples of all slots; those behind the last record are as the register is now.
    fn samples(&self, now: [u64; 3]) -> Vec<[u64; 3]> {
        let mut samples = self.sampled.clone();
        samples.resize(SLOTS as usize, now);
        samples
    }

    fn row(&mut self, description: Description, behind: bool) {
        let wanted = |region| self.regions.contains(region);
        if !self.regions.is_empty() && !description.regions().iter().any(wanted) {
            return;
        }
        if self.rows.len() == ROWS_MAX {
            self.rows.pop_front();
        }
        self.rows_seen += 1;
        self.rows.push_back(Row {
            description,
            behind,
        });
    }

    fn described(item: &RecordItem<'_>) -> Description {
        describe(item.record.lsn, item.record.kind, item.record.payload)
    }
}

impl HistoryReader for Counted<'_> {
    fn before(&mut self, register: &Register, step: &Step<'_>) {
        let Some(record) = step.record else { return };
        let since = record
            .header
            .wall_clock_micros
            .saturating_sub(self.start_micros);
        let slot = usize::try_from(since / self.slot_micros).unwrap_or(usize::MAX);
        // A clock that was set back does not lead back.
        let slot = slot.min(self.slots.len() - 1);
        if slot > self.slot {
            // A slot's sample is the register at its end, which no record of a later slot has moved yet.
            let ended = sample(register);
            self.sampled.resize(self.slot, self.first_sample);
            self.sampled.resize(slot, ended);
            self.slot = slot;
        }
    }

    fn after(&mut self, _: &Register, step: &Step<'_>) -> ControlFlow<()> {
        let (item, record) = (&step.item, step.record);
        let bytes = (RECORD_HEADER_BYTES + item.record.payload.len()) as u64;
        self.records += 1;
        self.bytes += bytes;
        let description = match record {
            Some(record) => Description::of(item.record.lsn, record.clone()),
            None => Self::described(item),
        };
        let counts = self.kinds.entry(description.kind.to_string()).or_default();
        counts.records += 1;
        counts.bytes += bytes;
        counts.sizes.add(bytes);
        if let Some((records, sum)) = self.slots.get_mut(self.slot) {
            *records += 1;
            *sum += bytes;
        }
        let group = Some((item.segment.get(), item.group_offset_bytes));
        if group != self.group {
            self.group = group;
            self.groups += 1;
            self.group_max = self.group_max.max(item.group_records.into());
            let boot = item.boot.get();
            let micros = description.written_micros().filter(|micros| *micros > 0);
            if let (Some((last_boot, last)), Some(micros)) = (self.group_began, micros)
                && last_boot == boot
                && let Some(between) = micros.checked_sub(last)
            {
                self.pace.add(between);
            }
            self.group_began = micros.map(|micros| (boot, micros));
        }
        self.row(description, false);
        ControlFlow::Continue(())
    }

    fn behind(&mut self, item: &RecordItem<'_>) -> ControlFlow<()> {
        self.row(Self::described(item), true);
        ControlFlow::Continue(())
    }
}
