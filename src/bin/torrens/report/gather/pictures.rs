//! The two pictures of a report, bounded: the lives of peers over time, and the graph of splits and merges.

use torrens::inspector::KeyForm;
use torrens::inspector::lineage::{Descent, Lineage};
use torrens::inspector::timeline::{Life, Span, Timeline};

use super::text;
use crate::report::model::{EdgePart, LifePart, RegionPart, SpanPart};

/// Lives that it draws.
const LIVES_MAX: usize = 300;
/// Stages, and as many states of caches, that it draws of one life.
const SPANS_MAX: usize = 40;
/// Regions of the graph.
const REGIONS_MAX: usize = 300;
/// Arrows of the graph.
const EDGES_MAX: usize = 1_000;

/// The lives that changed last, by region; how many are left out, and how many spans of the others.
pub(super) fn lives(timeline: &Timeline) -> (Vec<LifePart>, u64, u64) {
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

pub(super) fn graph(
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
