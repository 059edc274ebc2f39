//! The tree: each region below the one that it was split off, oldest first; merges are named on the line.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};

use torrens::RegionId;
use torrens::inspector::lineage::{Descent, Edge, Lineage};

use super::{edge_text, fate};
use crate::output::{note, width};
use crate::paint::Paint;
use crate::render::{count, cut, printable};
use crate::view::{Output, Style};

/// One line of the tree.
#[derive(Debug)]
pub(super) struct Branch<'l> {
    pub(super) region: RegionId,
    /// The lines that lead to it: for each level whether more comes below, the last one its own.
    pub(super) more: Vec<bool>,
    /// The split that made it, unless it is a root.
    pub(super) edge: Option<&'l Edge>,
}

/// Regions in the order of the tree. Whatever a forged journal says, each comes once.
pub(super) fn branches(lineage: &Lineage) -> Vec<Branch<'_>> {
    let mut children: BTreeMap<RegionId, Vec<&Edge>> = BTreeMap::new();
    let mut has_parent = BTreeSet::new();
    for edge in &lineage.edges {
        if matches!(edge.descent, Descent::Split { .. })
            && edge.from != edge.to
            && has_parent.insert(edge.to)
        {
            children.entry(edge.from).or_default().push(edge);
        }
    }
    let mut branches = Vec::new();
    let mut seen = BTreeSet::new();
    let roots = lineage
        .regions
        .keys()
        .filter(|region| !has_parent.contains(region));
    // A circle has no root; it is entered anywhere.
    let rest = lineage.regions.keys();
    for root in roots.chain(rest) {
        let mut waiting = vec![Branch {
            region: *root,
            more: Vec::new(),
            edge: None,
        }];
        while let Some(branch) = waiting.pop() {
            if !seen.insert(branch.region) {
                continue;
            }
            let below = children.get(&branch.region).map_or(&[][..], Vec::as_slice);
            // The last one is pushed first, so that the first comes out first.
            for (index, edge) in below.iter().enumerate().rev() {
                let mut more = branch.more.clone();
                // A chain of thousands of splits is not drawn any deeper.
                if more.len() < 64 {
                    more.push(index + 1 < below.len());
                }
                waiting.push(Branch {
                    region: edge.to,
                    more,
                    edge: Some(edge),
                });
            }
            branches.push(branch);
        }
    }
    branches
}

pub(super) fn write(out: &mut impl Write, lineage: &Lineage, style: &Style) -> io::Result<()> {
    if lineage.regions.is_empty() {
        return writeln!(out, "no such region was ever here");
    }
    let width = match style.output {
        Output::Table => width(),
        _ => usize::MAX,
    };
    let mut rows = Vec::new();
    for branch in branches(lineage) {
        let Some(region) = lineage.regions.get(&branch.region) else {
            continue;
        };
        let mut name = String::new();
        for (index, more) in branch.more.iter().enumerate() {
            let is_own = index + 1 == branch.more.len();
            name.push_str(match (is_own, more) {
                (true, true) => "├─ ",
                (true, false) => "└─ ",
                (false, true) => "│  ",
                (false, false) => "   ",
            });
        }
        name.push_str(&region.region.to_string());
        let origin = match branch.edge {
            Some(edge) => format!("{} at LSN {}", edge_text(edge, &style.keys), edge.at.lsn),
            None if region.origin.as_str() == "before" => {
                format!("here before LSN {}", lineage.start.get().saturating_add(1))
            }
            None => format!("{} at LSN {}", region.origin.as_str(), region.first.lsn),
        };
        let took_in = lineage
            .edges
            .iter()
            .filter(|edge| {
                edge.to == region.region && !matches!(edge.descent, Descent::Split { .. })
            })
            .map(|edge| format!("; took {} in at LSN {}", edge.from, edge.at.lsn));
        let mut story = origin + &took_in.collect::<String>();
        if region.standing.is_none() && region.first.lsn < region.last.lsn {
            story.push_str(&format!("; last record {}", region.last.lsn));
        }
        let range = region.range.as_ref().map(|range| style.keys.range(range));
        let paint = match (region.standing, region.gone) {
            (Some("damaged"), _) => Paint::Bad,
            (Some(_), _) => Paint::Plain,
            (None, _) => Paint::Dim,
        };
        let cells = [
            name,
            range.unwrap_or_else(|| "-".to_owned()),
            region.epoch.clone().unwrap_or_else(|| "-".to_owned()),
            fate(lineage, region),
            story,
        ];
        rows.push((cells.map(|cell| printable(&cell)), paint));
    }
    let mut widths = [0; 5];
    for (cells, _) in &rows {
        for (widest, cell) in widths.iter_mut().zip(cells) {
            *widest = (*widest).max(cell.chars().count());
        }
    }
    for (cells, paint) in &rows {
        let line: Vec<String> = cells
            .iter()
            .zip(widths)
            .map(|(cell, widest)| format!("{cell:<widest$}"))
            .collect();
        writeln!(
            out,
            "{}",
            paint.on(&cut(&line.join("  "), width), style.color)
        )?;
    }
    let splits = lineage
        .edges
        .iter()
        .filter(|edge| matches!(edge.descent, Descent::Split { .. }));
    let splits = splits.count() as u64;
    let merges = lineage.edges.len() as u64 - splits;
    let line = format!(
        "{}, {}, {}",
        count(rows.len() as u64, "region"),
        count(splits, "new region").replace("new region", "split-off region"),
        count(merges, "merge")
    );
    note(out, &line, style)
}
