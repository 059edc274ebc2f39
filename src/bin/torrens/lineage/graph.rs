//! The lineage as a graph for Graphviz and for Mermaid.

use std::io::{self, Write};

use torrens::inspector::KeyForm;
use torrens::inspector::lineage::{Descent, Lineage, LineageRegion};

use super::{edge_text, fate};
use crate::render::printable;

/// What stands in a node: the id, the range, the epoch, the fate.
fn lines(lineage: &Lineage, region: &LineageRegion, keys: &KeyForm) -> Vec<String> {
    let range = region.range.as_ref().map(|range| keys.range(range));
    let name = region.region.to_string();
    let parts = [
        Some(name),
        range,
        region.epoch.clone(),
        Some(fate(lineage, region)),
    ];
    parts
        .into_iter()
        .flatten()
        .map(|part| printable(&part))
        .collect()
}

pub(super) fn dot(out: &mut impl Write, lineage: &Lineage, keys: &KeyForm) -> io::Result<()> {
    let quoted = |text: &str| text.replace('\\', "\\\\").replace('"', "\\\"");
    writeln!(out, "digraph lineage {{")?;
    writeln!(
        out,
        "  rankdir=LR; node [shape=box, style=rounded, fontname=\"sans-serif\"];"
    )?;
    for region in lineage.regions.values() {
        let label: Vec<String> = lines(lineage, region, keys)
            .iter()
            .map(|line| quoted(line))
            .collect();
        let look = match region.standing {
            Some("damaged") => ", color=red",
            Some(_) => "",
            None => ", style=\"rounded,dashed\", fontcolor=gray40, color=gray60",
        };
        writeln!(
            out,
            "  {} [label=\"{}\"{look}];",
            region.region,
            label.join("\\n")
        )?;
    }
    for edge in &lineage.edges {
        let style = match edge.descent {
            Descent::Split { .. } => "",
            _ => ", style=bold, color=blue",
        };
        let label = quoted(&printable(&edge_text(edge, keys)));
        writeln!(
            out,
            "  {} -> {} [label=\"{label}\\nLSN {}\"{style}];",
            edge.from, edge.to, edge.at.lsn
        )?;
    }
    writeln!(out, "}}")
}

pub(super) fn mermaid(out: &mut impl Write, lineage: &Lineage, keys: &KeyForm) -> io::Result<()> {
    // Within quotes Mermaid takes everything but quotes, which it wants as an entity.
    let quoted = |text: &str| {
        text.replace('&', "&amp;")
            .replace('"', "&quot;")
            .replace('<', "&lt;")
            .replace('>', "&gt;")
    };
    writeln!(out, "flowchart LR")?;
    for region in lineage.regions.values() {
        let label: Vec<String> = lines(lineage, region, keys)
            .iter()
            .map(|line| quoted(line))
            .collect();
        writeln!(out, "  {}[\"{}\"]", region.region, label.join("<br>"))?;
        if region.standing.is_none() {
            writeln!(out, "  style {} stroke-dasharray: 4 4", region.region)?;
        }
    }
    for edge in &lineage.edges {
        let label = quoted(&printable(&edge_text(edge, keys)));
        let arrow = match edge.descent {
            Descent::Split { .. } => "-->",
            _ => "==>",
        };
        writeln!(
            out,
            "  {} {arrow}|\"{label}, LSN {}\"| {}",
            edge.from, edge.at.lsn, edge.to
        )?;
    }
    Ok(())
}
