//! The plain model: what the store must hold, kept by the host that feeds it.
//!
//! ```text
//!  issue(op, what) ──► in flight ──► answered(op, said) ──► the model has moved
//!                          │ a kill
//!                          └──► opened(settled): happened, or to be sent again, or dropped
//! ```
//!
//! A Raft entry is *committed* the moment it is issued: its rows are in the model at once, with
//! what they replaced, so that the model can say what the store must hold at any data index it may
//! report after a kill. A change of metadata is in the model when it was acknowledged, or found to
//! have happened.
//!
//! Invariants: at most one entry of a region is in flight; every method is deterministic, so the
//! oracle's log replays into the same model. Not here: comparing with the store (`check`), keeping
//! the model on disk (`oracle`), choosing what to do (`workload`).

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use serde::{Deserialize, Serialize};

use super::data::DataSet;
use super::protocol::{Description, Digest, Digester, Do, Key, Position, RowChange, STORE};

mod answered;
mod settle;
#[cfg(test)]
pub(super) mod tests;
mod transitions;

pub(super) use answered::{Meaning, Wrong};
pub(super) use settle::Settled;

/// What a key holds: whose row, at which revision.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Row {
    pub(super) prefix: u32,
    pub(super) row: u32,
    pub(super) revision: u64,
}

/// Rows by key.
pub(super) type Rows = BTreeMap<Vec<u8>, Row>;

/// One committed entry of a region's Raft log.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Entry {
    pub(super) what: Do,
    pub(super) at: Position,
    /// What each key held before, oldest first.
    undo: Vec<(Key, Option<Row>)>,
}

/// A region's state in the cluster, wherever its replicas are.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Replicated {
    pub(super) description: Description,
    /// Position of the last committed entry.
    pub(super) last: Position,
    /// The rows after that entry.
    #[serde(with = "rows_list")]
    pub(super) rows: Rows,
    /// Committed entries, oldest first: all above the floor, and those that a kept snapshot needs.
    pub(super) log: VecDeque<Entry>,
}

/// A peer on the tortured store.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[expect(
    clippy::large_enum_variant,
    reason = "nearly all of them have their region"
)]
pub(super) enum PeerModel {
    /// Made by a message; it has no range and no data.
    Uninitialized(Uninitialized),
    /// It has its region.
    Normal(Normal),
}

/// A peer made by a message.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Uninitialized {
    pub(super) peer: u64,
    pub(super) incarnation: u64,
}

/// A peer with its region.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Normal {
    pub(super) peer: u64,
    pub(super) incarnation: u64,
    pub(super) state: Replicated,
    /// Last position that changed the metadata of this peer.
    pub(super) meta: Position,
    /// Highest index whose data was acknowledged since the store was opened.
    pub(super) acked: u64,
    /// The data index that must have survived, whatever happens.
    pub(super) floor: u64,
    /// Its merge, if it is prepared for one; it serves nothing then.
    #[serde(default)]
    pub(super) merging: Option<Merging>,
    /// What has begun and must end before anything else happens to it.
    #[serde(default)]
    pub(super) mode: Mode,
}

/// What a region is in the middle of, but for a merge.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Mode {
    #[default]
    Serving,
    /// In joint consensus; it serves.
    Joint,
    /// In flashback; it serves nobody.
    Flashback,
}

/// A merge that was prepared and not ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Merging {
    /// Into which region.
    pub(super) target: u64,
    /// The index of the entry that prepared it.
    pub(super) commit: u64,
}

/// A snapshot file that was taken and is kept for later.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Taken {
    pub(super) file: std::path::PathBuf,
    pub(super) at: Position,
}

/// An operation that was issued and not answered.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Flight {
    pub(super) what: Do,
    /// For a flush: the data that it promises to keep, as (region, incarnation, index).
    covers: Vec<(u64, u64, u64)>,
}

/// Next free numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Next {
    pub(super) op: u64,
    pub(super) region: u64,
    pub(super) peer: u64,
    pub(super) revision: u64,
    /// Raft's term: every start of the store is a new leader's.
    pub(super) term: u64,
}

/// Everything that the host knows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Model {
    /// The store's own identity, as its first opening told it.
    pub(super) store: Option<String>,
    pub(super) peers: BTreeMap<u64, PeerModel>,
    /// Regions that live on other stores only.
    pub(super) elsewhere: BTreeMap<u64, Replicated>,
    /// Highest dead peer id on the tortured store, by region.
    pub(super) tombstones: BTreeMap<u64, u64>,
    /// Regions that became parts of others: no region has their ids again.
    #[serde(default)]
    pub(super) merged: BTreeSet<u64>,
    pub(super) taken: BTreeMap<u64, Taken>,
    pub(super) flights: BTreeMap<u64, Flight>,
    pub(super) next: Next,
}

impl Default for Model {
    fn default() -> Self {
        Model {
            store: None,
            peers: BTreeMap::new(),
            elsewhere: BTreeMap::new(),
            tombstones: BTreeMap::new(),
            merged: BTreeSet::new(),
            taken: BTreeMap::new(),
            flights: BTreeMap::new(),
            next: Next {
                op: 1,
                region: 1,
                peer: 1,
                revision: 1,
                term: 6,
            },
        }
    }
}

impl Replicated {
    /// Writes the rows of an entry and remembers what they replaced.
    fn push_write(&mut self, what: Do, at: Position, rows: &[RowChange], data: &DataSet) {
        let mut undo = Vec::with_capacity(rows.len());
        for RowChange(prefix, row, revision) in rows {
            let Some(key) = data.key(*prefix, *row) else {
                continue;
            };
            let before = match revision {
                Some(revision) => {
                    let row = Row {
                        prefix: *prefix,
                        row: *row,
                        revision: *revision,
                    };
                    self.rows.insert(key.clone(), row)
                }
                None => self.rows.remove(&key),
            };
            undo.push((Key(key), before));
        }
        self.log.push_back(Entry { what, at, undo });
        self.last = at;
    }

    /// The rows as they were after the entry at `index`. The log must reach down to it.
    pub(super) fn rows_at(&self, index: u64) -> Rows {
        let mut rows = self.rows.clone();
        for entry in self
            .log
            .iter()
            .rev()
            .take_while(|entry| entry.at.index > index)
        {
            for (key, before) in entry.undo.iter().rev() {
                match before {
                    Some(row) => rows.insert(key.0.clone(), *row),
                    None => rows.remove(&key.0),
                };
            }
        }
        rows
    }

    /// The entries above `index`, oldest first.
    pub(super) fn entries_above(&self, index: u64) -> impl Iterator<Item = &Entry> {
        self.log.iter().filter(move |entry| entry.at.index > index)
    }

    /// Forgets the entries up to `index`.
    fn truncate(&mut self, index: u64) {
        while self
            .log
            .front()
            .is_some_and(|entry| entry.at.index <= index)
        {
            self.log.pop_front();
        }
    }

    /// The digest that a scan of these rows must give.
    pub(super) fn digest_of(rows: &Rows, data: &DataSet) -> Digest {
        let (mut digester, mut value) = (Digester::default(), Vec::new());
        for (key, row) in rows {
            value.clear();
            data.value_into(row.row, row.revision, &mut value);
            digester.add(key, &value);
        }
        digester.finish()
    }

    /// The digest of the rows as they were after the entry at `index`.
    pub(super) fn digest_at(&self, index: u64, data: &DataSet) -> Digest {
        match self.entries_above(index).next() {
            None => Self::digest_of(&self.rows, data),
            Some(_) => Self::digest_of(&self.rows_at(index), data),
        }
    }

    /// The position that the region's next entry gets.
    pub(super) fn next_position(&self, term: u64) -> Position {
        Position {
            index: self.last.index.saturating_add(1),
            term,
        }
    }
}

impl Normal {
    /// Whether it is read and written.
    pub(super) fn serves(&self) -> bool {
        self.merging.is_none() && self.mode != Mode::Flashback
    }
}

impl PeerModel {
    pub(super) fn peer(&self) -> u64 {
        match self {
            PeerModel::Uninitialized(peer) => peer.peer,
            PeerModel::Normal(peer) => peer.peer,
        }
    }

    pub(super) fn incarnation(&self) -> u64 {
        match self {
            PeerModel::Uninitialized(peer) => peer.incarnation,
            PeerModel::Normal(peer) => peer.incarnation,
        }
    }

    pub(super) fn normal(&self) -> Option<&Normal> {
        match self {
            PeerModel::Normal(peer) => Some(peer),
            PeerModel::Uninitialized(_) => None,
        }
    }
}

impl Model {
    /// The initialised peers by region.
    pub(super) fn normals(&self) -> impl Iterator<Item = (u64, &Normal)> {
        self.peers
            .iter()
            .filter_map(|(id, peer)| Some((*id, peer.normal()?)))
    }

    pub(super) fn normal(&self, region: u64) -> Option<&Normal> {
        self.peers.get(&region)?.normal()
    }

    fn normal_mut(&mut self, region: u64) -> Option<&mut Normal> {
        match self.peers.get_mut(&region)? {
            PeerModel::Normal(peer) => Some(peer),
            PeerModel::Uninitialized(_) => None,
        }
    }

    /// The initialised peers that serve: all but those that are prepared for a merge, or in flashback.
    pub(super) fn serving(&self) -> impl Iterator<Item = (u64, &Normal)> {
        self.normals().filter(|(_, peer)| peer.serves())
    }

    /// Whether a merge of the region, or into it, is under way: nothing else is done to it until that ends.
    pub(super) fn is_in_merge(&self, region: u64) -> bool {
        let is_target = |(_, peer): (u64, &Normal)| {
            peer.merging.is_some_and(|merging| merging.target == region)
        };
        let own = self.normal(region);
        own.is_some_and(|peer| peer.merging.is_some()) || self.normals().any(is_target)
    }

    /// Rows on the tortured store.
    pub(super) fn rows(&self) -> u64 {
        self.normals()
            .map(|(_, peer)| peer.state.rows.len() as u64)
            .sum()
    }

    /// The initialised region that holds `key`.
    pub(super) fn owner_of(&self, key: &[u8]) -> Option<u64> {
        let owns = |(_, peer): &(u64, &Normal)| peer.state.description.contains(key);
        self.normals().find(owns).map(|(id, _)| id)
    }

    /// The operation in flight for the entry of `region` at `index`, if it is one.
    pub(super) fn flight_at(&self, region: u64, index: u64) -> Option<u64> {
        let mut flights = self.flights.iter();
        let found = flights.find(|(_, flight)| {
            flight.what.position().is_some_and(|at| at.index == index)
                && flight.what.regions().first() == Some(&region)
        });
        found.map(|(op, _)| *op)
    }

    /// Forgets entries that the store keeps durably and no kept snapshot needs.
    fn truncate_log(&mut self, region: u64) {
        let kept = self.taken.get(&region).map(|taken| taken.at.index);
        if let Some(peer) = self.normal_mut(region) {
            let floor = peer.floor.min(kept.unwrap_or(u64::MAX));
            peer.state.truncate(floor);
        }
    }

    /// A region's metadata moved: a snapshot from before no longer fits in.
    fn forget_taken(&mut self, region: u64) {
        self.taken.remove(&region);
        self.truncate_log(region);
    }

    /// Remembers that a peer of `region` on the tortured store is dead.
    fn bury(&mut self, region: u64, peer: u64) {
        let highest = self.tombstones.entry(region).or_default();
        *highest = peer.max(*highest);
    }
}

/// The peer on the tortured store goes; what is left of the description.
fn without_own_peer(mut description: Description) -> Description {
    description.peers.retain(|peer| peer.store != STORE);
    description.epoch.conf_ver += 1;
    description
}

/// Rows as a list: JSON's maps have only text for keys.
mod rows_list {
    use serde::{Deserialize, Deserializer, Serializer};

    use super::{Key, Row, Rows};

    pub(super) fn serialize<S: Serializer>(rows: &Rows, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(
            rows.iter()
                .map(|(key, row)| (Key(key.clone()), row.prefix, row.row, row.revision)),
        )
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Rows, D::Error> {
        let rows = Vec::<(Key, u32, u32, u64)>::deserialize(from)?;
        let row = |(key, prefix, row, revision): (Key, _, _, _)| {
            (
                key.0,
                Row {
                    prefix,
                    row,
                    revision,
                },
            )
        };
        Ok(rows.into_iter().map(row).collect())
    }
}
