//! What `torrens repair` prints: plans and lists as screens and as JSON.

use std::io::{self, Write};
use std::path::Path;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::Serialize;
use torrens_recovery::repair::{RepairInfo, RepairPlan, RepairState};

use super::shown;
use crate::paint::Paint;
use crate::render::{printable, size};
use crate::sheet::{JSON_VERSION, Sheet, left, object, right};
use crate::view::Style;

/// A plan as JSON.
#[derive(JsonSchema, Serialize)]
struct PlanJson<'a> {
    v: u32,
    way: String,
    verdict: &'a str,
    found: &'a str,
    steps: Vec<String>,
    loss: LossJson,
    copied_bytes: u64,
    fingerprint: String,
}

#[derive(JsonSchema, Serialize)]
struct LossJson {
    text: String,
    first_lsn: Option<u64>,
    last_lsn: Option<u64>,
    records_readable: u64,
    history_up_to_lsn: Option<u64>,
}

fn loss(plan: &RepairPlan) -> LossJson {
    let loss = &plan.loss;
    LossJson {
        text: loss.to_string(),
        first_lsn: loss.first.map(|lsn| lsn.get()),
        last_lsn: loss.last.map(|lsn| lsn.get()),
        records_readable: loss.records_readable,
        history_up_to_lsn: loss.history_up_to.map(|lsn| lsn.get()),
    }
}

/// A plan, and what to do with it.
pub(super) fn plan(
    out: &mut impl Write,
    style: &Style,
    dir: &Path,
    plan: &RepairPlan,
    saved: Option<&Path>,
) -> io::Result<()> {
    let json = PlanJson {
        v: JSON_VERSION,
        way: plan.choice.to_string(),
        verdict: &plan.verdict,
        found: &plan.found,
        steps: plan.steps.iter().map(ToString::to_string).collect(),
        loss: loss(plan),
        copied_bytes: plan.copied_bytes(),
        fingerprint: plan.fingerprint.to_string(),
    };
    object(out, style, &json, |out| {
        for line in plan.to_string().lines() {
            writeln!(out, "{}", printable(line))?;
        }
        let dir = shown(dir);
        let copied = size(plan.copied_bytes());
        writeln!(
            out,
            "backup    {dir}/journal/repair/, {copied} are copied there; whole files move"
        )?;
        match saved {
            Some(path) => {
                let path = shown(path);
                writeln!(
                    out,
                    "nothing was changed. next: torrens repair apply {dir} {path}"
                )
            }
            None => writeln!(
                out,
                "nothing was changed. next: torrens repair plan {dir} --save FILE, and read it"
            ),
        }
    })
}

/// What applying would do.
pub(super) fn dry_run(
    out: &mut impl Write,
    plan: &RepairPlan,
    resumed: Option<u64>,
) -> io::Result<()> {
    for line in plan.to_string().lines() {
        writeln!(out, "{}", printable(line))?;
    }
    match resumed {
        Some(id) => writeln!(
            out,
            "nothing was changed; applying would go on with repair {id}"
        ),
        None => writeln!(out, "nothing was changed; the plan fits this directory"),
    }
}

/// What was done.
pub(super) fn applied(
    out: &mut impl Write,
    dir: &Path,
    id: u64,
    plan: &RepairPlan,
) -> io::Result<()> {
    writeln!(out, "applied   repair {id}: {}", plan.choice)?;
    writeln!(out, "loss      {}", plan.loss)?;
    writeln!(
        out,
        "undo      torrens repair undo {} {id}, until the store is opened for writing",
        shown(dir)
    )
}

#[derive(JsonSchema, Serialize)]
struct RepairJson<'a> {
    v: u32,
    id: u64,
    state: &'a str,
    recorded_lsn: Option<u64>,
    kept_bytes: u64,
    way: Option<String>,
    loss: Option<LossJson>,
}

/// The repairs, one a row.
pub(super) fn list(out: &mut impl Write, style: &Style, known: &[RepairInfo]) -> io::Result<()> {
    let columns = [
        right("ID"),
        left("STATE"),
        right("KEPT"),
        left("WAY"),
        left("LOSS"),
    ];
    let mut sheet = Sheet::new(style, &columns);
    for info in known {
        let plan = info.plan.as_ref();
        let json = RepairJson {
            v: JSON_VERSION,
            id: info.id,
            state: info.state.as_str(),
            recorded_lsn: match info.state {
                RepairState::Recorded(lsn) => Some(lsn.get()),
                _ => None,
            },
            kept_bytes: info.kept_bytes,
            way: plan.map(|plan| plan.choice.to_string()),
            loss: plan.map(loss),
        };
        let cells = || {
            let unreadable = || "the plan cannot be read".to_owned();
            vec![
                info.id.to_string(),
                match info.state {
                    RepairState::Recorded(lsn) => format!("recorded at {lsn}"),
                    state => state.as_str().to_owned(),
                },
                size(info.kept_bytes),
                style.or_nothing(json.way.clone()),
                plan.map_or_else(unreadable, |plan| plan.loss.to_string()),
            ]
        };
        let paint = match info.state.is_unfinished() {
            true => Paint::Bad,
            false => Paint::Plain,
        };
        sheet.row(out, paint, cells, &json)?;
    }
    sheet.end(out)
}

/// The schema of a plan.
pub(crate) fn plan_schema(generator: &mut SchemaGenerator) -> Schema {
    generator.subschema_for::<PlanJson<'_>>()
}

/// The schema of a repair in the list.
pub(crate) fn list_schema(generator: &mut SchemaGenerator) -> Schema {
    generator.subschema_for::<RepairJson<'_>>()
}
