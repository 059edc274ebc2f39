//! `Lineage`: which regions came of which, by splits and merges.
//!
//! Not here: how it is drawn (the tool).

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

use torrens_journal::Lsn;

use super::fold::{Folded, HistoryReader, Step};
use super::timeline::{Instant, standing};
use super::{InspectError, Inspector};
use crate::lifecycle::{Change, ChildFate, MergedSource, Register};
use crate::{Key, KeyRange, RegionId};

/// How a region came to be known here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Origin {
    /// It was here already where the history that is left begins.
    Before,
    /// The cluster began with it.
    Bootstrap,
    /// Another region was split.
    Split,
    /// A message for a peer of it arrived.
    Message,
    /// An operator ordered it to exist.
    Recovery,
    /// Something else named it first: a tombstone, or the part of a split that is not for this store.
    Mention,
}

impl Origin {
    /// Stable lower-case name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Origin::Before => "before",
            Origin::Bootstrap => "bootstrap",
            Origin::Split => "split",
            Origin::Message => "message",
            Origin::Recovery => "recovery",
            Origin::Mention => "mention",
        }
    }
}

/// One region.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LineageRegion {
    /// Which.
    pub region: RegionId,
    /// How it came to be known.
    pub origin: Origin,
    /// The record that did so.
    pub first: Instant,
    /// The last record of it that was no matter of its cache.
    pub last: Instant,
    /// Its range, as far as it was ever known; the last one if it is gone.
    pub range: Option<KeyRange>,
    /// Its epoch, likewise.
    pub epoch: Option<String>,
    /// What its peer is now: a stage or mode, or none if no peer lives here.
    pub standing: Option<&'static str>,
    /// Why no peer lives here, if one did.
    pub gone: Option<&'static str>,
}

/// What one region became of another by.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Descent {
    /// A split made it.
    Split {
        /// Where the two parts meet.
        boundary: Key,
        /// What came of it on this store: `created`, `adopted` or `skipped`.
        fate: &'static str,
    },
    /// A merge took it in.
    Merge,
    /// A snapshot, or a witness's description, took it in.
    Snapshot,
}

impl Descent {
    /// Stable lower-case name.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Descent::Split { .. } => "split",
            Descent::Merge => "merge",
            Descent::Snapshot => "snapshot",
        }
    }
}

/// One region that became of another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edge {
    /// The record.
    pub at: Instant,
    /// From this region: the parent of a split, the source of a merge.
    pub from: RegionId,
    /// To this one: the new region of a split, the target of a merge.
    pub to: RegionId,
    /// By what.
    pub descent: Descent,
}

/// Which regions came of which.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lineage {
    /// Where the history that is left begins.
    pub start: Lsn,
    /// The regions, by id.
    pub regions: BTreeMap<RegionId, LineageRegion>,
    /// What connects them, in the order of the records.
    pub edges: Vec<Edge>,
}

struct Reader {
    lineage: Lineage,
}

impl Inspector {
    /// Which regions came of which, up to a record. Memory grows with the number of splits and merges.
    ///
    /// # Errors
    /// As [`Inspector::look`].
    pub fn lineage(&self, until: Option<Lsn>) -> Result<Lineage, InspectError> {
        self.lineage_folded(until).map(|(lineage, _)| lineage)
    }

    /// [`Inspector::lineage`], and how the fold through the history ended.
    ///
    /// # Errors
    /// As [`Inspector::look`].
    pub fn lineage_folded(&self, until: Option<Lsn>) -> Result<(Lineage, Folded), InspectError> {
        let (reader, folded) = self.fold(until, |start, register| {
            let mut reader = Reader {
                lineage: Lineage::default(),
            };
            reader.lineage.start = start;
            let at = Instant {
                lsn: start,
                micros: 0,
            };
            for (region, _) in register.slots() {
                reader.see(register, region, at, Origin::Before);
            }
            reader
        })?;
        Ok((reader.lineage, folded))
    }
}

impl Lineage {
    /// The region, everything that it came of, and everything that came of it.
    pub fn related(&self, region: RegionId) -> BTreeSet<RegionId> {
        let mut related = BTreeSet::from([region]);
        for forward in [true, false] {
            let mut waiting = vec![region];
            let mut seen = BTreeSet::from([region]);
            while let Some(one) = waiting.pop() {
                let next = self.edges.iter().filter_map(|edge| match forward {
                    true => (edge.from == one).then_some(edge.to),
                    false => (edge.to == one).then_some(edge.from),
                });
                waiting.extend(next.filter(|next| seen.insert(*next)));
            }
            related.extend(seen);
        }
        related
    }

    /// The part of it that is about those regions.
    #[must_use]
    pub fn only(mut self, wanted: &BTreeSet<RegionId>) -> Self {
        self.regions.retain(|region, _| wanted.contains(region));
        self.edges
            .retain(|edge| wanted.contains(&edge.from) && wanted.contains(&edge.to));
        self
    }
}

impl Reader {
    fn see(&mut self, register: &Register, region: RegionId, at: Instant, origin: Origin) {
        let entry = self.lineage.regions.entry(region).or_insert(LineageRegion {
            region,
            origin,
            first: at,
            last: at,
            range: None,
            epoch: None,
            standing: None,
            gone: None,
        });
        entry.last = at;
        let peer = register.peer(region);
        if let Some(description) = peer.and_then(|peer| peer.stage.region()) {
            entry.range = Some(description.range.clone());
            entry.epoch = Some(description.epoch.to_string());
        }
        entry.standing = peer.map(standing);
        entry.gone = match peer {
            Some(_) => None,
            None => register.tombstone(region).map(|fence| fence.cause.as_str()),
        };
    }

    fn join(&mut self, at: Instant, sources: &[MergedSource], to: RegionId, descent: &Descent) {
        self.lineage.edges.extend(sources.iter().map(|source| Edge {
            at,
            from: source.region,
            to,
            descent: descent.clone(),
        }));
    }
}

impl HistoryReader for Reader {
    fn after(&mut self, register: &Register, step: &Step<'_>) -> ControlFlow<()> {
        let Some(record) = step.record else {
            return ControlFlow::Continue(());
        };
        let at = Instant {
            lsn: step.item.record.lsn,
            micros: record.header.wall_clock_micros,
        };
        match &record.change {
            Change::RegionSplit {
                region,
                boundaries,
                children,
                ..
            } => {
                for (child, boundary) in children.iter().zip(boundaries) {
                    let fate = match child.fate {
                        ChildFate::Created => "created",
                        ChildFate::Adopted { .. } => "adopted",
                        ChildFate::Skipped { .. } => "skipped",
                    };
                    self.see(register, child.id, at, Origin::Split);
                    let boundary = Key::clone(boundary);
                    self.lineage.edges.push(Edge {
                        at,
                        from: *region,
                        to: child.id,
                        descent: Descent::Split { boundary, fate },
                    });
                }
            }
            Change::RegionsMerged { region, source, .. } => {
                self.join(at, &[*source], *region, &Descent::Merge);
            }
            Change::SnapshotBegunOverSources {
                description,
                sources,
                ..
            }
            | Change::WitnessInstalled {
                description,
                sources,
                ..
            } => {
                self.join(at, sources, description.id, &Descent::Snapshot);
            }
            _ => {}
        }
        let is_cache = record.change.kind_name().starts_with("cache.");
        for region in record.header.region.into_iter().chain(record.change.also()) {
            let origin = match &record.change {
                Change::RegionBootstrapped { .. } | Change::BootstrapPrepared { .. } => {
                    Origin::Bootstrap
                }
                Change::PeerCreated { .. } => Origin::Message,
                Change::RegionRecovered { .. } => Origin::Recovery,
                _ => Origin::Mention,
            };
            if !is_cache {
                self.see(register, region, at, origin);
            }
        }
        ControlFlow::Continue(())
    }
}
