//! What differs between two registers: of two points of one history, or of two stores.
//!
//! A register is taken apart into facets, each a name and a value, region by region; a difference is a
//! facet whose value differs. Positions in the journal are no facets: they differ between any two points.

use std::collections::BTreeSet;

use super::describe::peer_text;
use super::fields::FieldValue;
use super::keys::{KeyForm, hex};
use crate::lifecycle::{CacheState, Mode, Owner, PeerStage, Register};
use crate::{KeyRange, RegionId};

/// A facet's value.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Facet {
    /// Words, a name, an id.
    Text(String),
    /// A count.
    Number(u64),
    /// Keys.
    Range(KeyRange),
}

impl Facet {
    /// On one line.
    pub fn text(&self, keys: &KeyForm) -> String {
        match self {
            Facet::Text(text) => text.clone(),
            Facet::Number(number) => number.to_string(),
            Facet::Range(range) => keys.range(range),
        }
    }

    /// As a value.
    pub fn value(&self) -> FieldValue {
        match self {
            Facet::Text(text) => text.clone().into(),
            Facet::Number(number) => (*number).into(),
            Facet::Range(range) => range.into(),
        }
    }
}

/// Whose facets differ.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Subject {
    /// The whole store.
    Store,
    /// A region.
    Region(RegionId),
    /// A pending deletion, as it is shown.
    Deletion(String),
}

impl std::fmt::Display for Subject {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Subject::Store => f.write_str("store"),
            Subject::Region(region) => write!(f, "{region}"),
            Subject::Deletion(deletion) => write!(f, "deletion {deletion}"),
        }
    }
}

/// One facet that differs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Changed {
    /// Whose.
    pub subject: Subject,
    /// Its stable name.
    pub facet: &'static str,
    /// What it was; none if there was no such thing.
    pub before: Option<Facet>,
    /// What it is.
    pub after: Option<Facet>,
}

type Facets = Vec<(&'static str, Facet)>;

fn text(value: impl ToString) -> Facet {
    Facet::Text(value.to_string())
}

/// The facets of one region, peer first, then what lies beside it.
pub fn region_facets(register: &Register, region: RegionId) -> Vec<(&'static str, Facet)> {
    let mut facets = Facets::new();
    if let Some(peer) = register.peer(region) {
        let stage = &peer.stage;
        facets.push(("peer", text(format!("{}{}", peer.peer, peer.incarnation))));
        facets.push(("stage", text(stage.name())));
        if stage.mode() != Mode::Serving {
            facets.push(("mode", text(mode_text(stage.mode()))));
        }
        if let PeerStage::Damaged(damaged) = stage {
            facets.push(("damage", text(damaged.reason)));
        }
        if let PeerStage::Applying(applying) = stage {
            facets.push(("snapshot", text(format!("{:x}", applying.snapshot.id))));
        }
        if let Some(description) = stage.region() {
            facets.push(("range", Facet::Range(description.range.clone())));
            facets.push(("epoch", text(description.epoch)));
            let peers: Vec<String> = description.peers.iter().map(peer_text).collect();
            facets.push(("peers", text(peers.join(" "))));
        }
        if let Some(meta) = stage.meta_index() {
            facets.push(("meta", text(meta)));
        }
        let floor = match stage {
            PeerStage::Normal(normal) | PeerStage::Witness(normal) => Some(normal.floor),
            PeerStage::Damaged(damaged) => Some(damaged.floor),
            PeerStage::Uninitialized | PeerStage::Waiting(_) | PeerStage::Applying(_) => None,
        };
        if let Some(floor) = floor {
            facets.push(("floor", Facet::Number(floor.index)));
        }
    }
    if let Some(fence) = register.tombstone(region) {
        let (peer, epoch, why) = (fence.highest_peer, fence.epoch, fence.cause.as_str());
        facets.push((
            "tombstone",
            text(format!("up to {peer} at {epoch} ({why})")),
        ));
    }
    if let Some(reserved) = register.reservation(region) {
        facets.push(("reserved", Facet::Range(reserved.description.range.clone())));
    }
    let cache = register.cache_state(region);
    if cache != CacheState::Absent {
        facets.push(("cache", text(cache.as_str())));
    }
    facets
}

fn mode_text(mode: Mode) -> String {
    match mode {
        Mode::Merging(source) => format!("merging into {}", source.target),
        mode => mode.as_str().to_owned(),
    }
}

fn store_facets(register: &Register) -> Facets {
    let mut facets = Facets::new();
    if let Some(store) = register.store() {
        facets.push(("store", text(store)));
    }
    if let Some(generation) = register.generation() {
        facets.push(("generation", Facet::Text(hex(&generation))));
    }
    facets.push(("barrier", Facet::Number(register.barrier())));
    facets.push((
        "sequences",
        Facet::Number(register.sequence_ceiling().get()),
    ));
    facets
}

fn compare(subject: &Subject, before: Facets, after: Facets, into: &mut Vec<Changed>) {
    let find = |facets: &Facets, name: &str| {
        let found = facets.iter().find(|(facet, _)| *facet == name);
        found.map(|(_, value)| value.clone())
    };
    let mut names: Vec<&'static str> = before.iter().map(|(name, _)| *name).collect();
    names.extend(after.iter().map(|(name, _)| *name));
    let mut seen = BTreeSet::new();
    for facet in names {
        let (old, new) = (find(&before, facet), find(&after, facet));
        if seen.insert(facet) && old != new {
            into.push(Changed {
                subject: subject.clone(),
                facet,
                before: old,
                after: new,
            });
        }
    }
}

/// What differs in one region.
pub fn region_difference(before: &Register, after: &Register, region: RegionId) -> Vec<Changed> {
    facet_difference(
        region,
        region_facets(before, region),
        region_facets(after, region),
    )
}

/// What differs between two sets of facets of one region.
pub fn facet_difference(
    region: RegionId,
    before: Vec<(&'static str, Facet)>,
    after: Vec<(&'static str, Facet)>,
) -> Vec<Changed> {
    let mut changed = Vec::new();
    compare(&Subject::Region(region), before, after, &mut changed);
    changed
}

/// Everything that differs, the store first, then regions by id, then pending deletions.
pub fn difference(before: &Register, after: &Register) -> Vec<Changed> {
    let mut changed = Vec::new();
    compare(
        &Subject::Store,
        store_facets(before),
        store_facets(after),
        &mut changed,
    );
    let regions: BTreeSet<RegionId> = before
        .slots()
        .chain(after.slots())
        .map(|(region, _)| region)
        .chain(
            before
                .reservations()
                .chain(after.reservations())
                .map(|(region, _)| region),
        )
        .collect();
    for region in regions {
        changed.extend(region_difference(before, after, region));
    }
    let deletions = |register: &Register| -> Vec<(Subject, Facets)> {
        let each = register.deletions().map(|(id, pending)| {
            let range = Facet::Range(pending.range.clone());
            let cause = format!("{} ({})", pending.cause.region(), pending.cause.as_str());
            (
                Subject::Deletion(id.to_string()),
                vec![("range", range), ("of", text(cause))],
            )
        });
        each.collect()
    };
    let (old, new) = (deletions(before), deletions(after));
    for (subject, facets) in &old {
        if new.iter().all(|(other, _)| other != subject) {
            compare(subject, facets.clone(), Vec::new(), &mut changed);
        }
    }
    for (subject, facets) in new {
        let before = old.iter().find(|(other, _)| *other == subject);
        let before = before.map_or(Vec::new(), |(_, facets)| facets.clone());
        compare(&subject, before, facets, &mut changed);
    }
    changed
}

/// An owner of keys in words; `register` is the one that named it.
pub fn owner_text(register: &Register, owner: Owner) -> String {
    match owner {
        Owner::Peer {
            region,
            incarnation,
        } => {
            let peer = register.peer(region).map(|peer| peer.peer.to_string());
            format!("{region} {}{incarnation}", peer.unwrap_or_default())
        }
        Owner::Deletion(deletion) => {
            let of = register
                .deletion(deletion)
                .map(|pending| pending.cause.region());
            let of = of.map_or(String::new(), |region| format!(" of {region}"));
            format!("pending deletion {deletion}{of}")
        }
        Owner::Reservation {
            region,
            incarnation,
        } => {
            format!("kept free for a snapshot of {region}{incarnation}")
        }
    }
}
