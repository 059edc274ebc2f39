//! An explanation as JSON.

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::Serialize;
use torrens::inspector::explain::Explanation;

use crate::info::operation;
use crate::sheet::JSON_VERSION;
use crate::view::Style;

#[derive(JsonSchema, Serialize)]
pub(super) struct Json {
    v: u32,
    verdict: crate::verdict::VerdictJson,
    open: bool,
    evidence: Vec<String>,
    flipped_bit: Option<FlippedJson>,
    impact: Option<ImpactJson>,
    open_operations: Vec<String>,
    ways: Vec<WayJson>,
}

#[derive(JsonSchema, Serialize)]
struct FlippedJson {
    off: u64,
    bit: u32,
    found: u8,
    candidates: Vec<CandidateJson>,
}

#[derive(JsonSchema, Serialize)]
struct CandidateJson {
    lsn: u64,
    kind: String,
    region: Option<u64>,
    detail: String,
}

#[derive(JsonSchema, Serialize)]
struct ImpactJson {
    last_whole_lsn: u64,
    far_side_lsn: Option<u64>,
    regions_hit: u64,
    regions_whole: u64,
    regions_silent: u64,
    regions: Vec<RegionJson>,
}

#[derive(JsonSchema, Serialize)]
struct RegionJson {
    region: u64,
    hit: bool,
    known_lsn: Option<u64>,
    next_lsn: u64,
    links_to_lsn: Option<u64>,
}

#[derive(JsonSchema, Serialize)]
struct WayJson {
    choice: String,
    loss: String,
    first_lost_lsn: Option<u64>,
    last_lost_lsn: Option<u64>,
}

pub(super) fn json(explanation: &Explanation, style: &Style) -> Json {
    let report = &explanation.picture.report;
    let verdict = &report.verdict;
    let number = |lsn: Option<torrens_journal::Lsn>| lsn.map(|lsn| lsn.get());
    let flipped_bit = explanation.flipped.as_ref().map(|flipped| FlippedJson {
        off: flipped.offset_bytes,
        bit: flipped.bit,
        found: flipped.found,
        candidates: flipped
            .candidates
            .iter()
            .map(|one| CandidateJson {
                lsn: one.lsn.get(),
                kind: one.kind.to_string(),
                region: one.region().map(|region| region.0),
                detail: one.detail(&style.keys),
            })
            .collect(),
    });
    let regions = explanation.impact.iter().map(|one| RegionJson {
        region: one.region.0,
        hit: one.is_hit(),
        known_lsn: number(one.known),
        next_lsn: one.next.get(),
        links_to_lsn: number(one.links_to),
    });
    Json {
        v: JSON_VERSION,
        verdict: crate::verdict::VerdictJson::new(report, verdict.name(), verdict.exit_code()),
        open: explanation.picture.writer.is_open,
        evidence: explanation.evidence.clone(),
        flipped_bit,
        impact: verdict.is_corruption().then(|| ImpactJson {
            last_whole_lsn: report.last_lsn.get(),
            far_side_lsn: number(explanation.far_side),
            regions_hit: explanation.regions_hit,
            regions_whole: explanation.regions_whole,
            regions_silent: explanation.regions_silent,
            regions: regions.collect(),
        }),
        open_operations: explanation
            .open_operations
            .iter()
            .filter_map(|open| operation(open, &style.keys))
            .collect(),
        ways: explanation
            .ways
            .iter()
            .map(|way| WayJson {
                choice: way.choice.to_string(),
                loss: way.loss.to_string(),
                first_lost_lsn: number(way.loss.first),
                last_lost_lsn: number(way.loss.last),
            })
            .collect(),
    }
}

/// The schema of what is known of a directory.
pub(crate) fn schema(generator: &mut SchemaGenerator) -> Schema {
    generator.subschema_for::<Json>()
}
