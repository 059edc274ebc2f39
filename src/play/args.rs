//! `Args`: a command's arguments, already of their kinds, for the code that carries it out.
//!
//! The table of commands says which are there, so asking for one that is not is a mistake of this
//! crate and still no panic: it is an `error` in the answer.

use super::value::Value;
use super::world::Trouble;
use crate::{Generation, ObserverId};
use crate::{Key, KeyRange, NewRegion, Peer, PeerId, RaftPosition, RegionEpoch, RegionId, StoreId};

/// Arguments by name, in the order in which they stand.
#[derive(Clone, Debug, Default)]
pub(super) struct Args {
    pub(super) given: Vec<(&'static str, Value)>,
}

/// A reader for one kind: required, and optional with the prefix `opt_`.
macro_rules! kind {
    ($name:ident, $opt:ident, $variant:ident, $of:ty) => {
        pub(super) fn $opt(&self, name: &'static str) -> Option<$of> {
            self.all(name).find_map(|value| match value {
                Value::$variant(value) => Some(value.clone()),
                _ => None,
            })
        }

        #[allow(
            dead_code,
            reason = "one pair per kind, whichever the commands need today"
        )]
        pub(super) fn $name(&self, name: &'static str) -> Result<$of, Trouble> {
            self.$opt(name).ok_or(Trouble::Argument(name))
        }
    };
}

impl Args {
    kind!(region, opt_region, Region, RegionId);
    kind!(peer, opt_peer, Peer, PeerId);
    kind!(store, opt_store, Store, StoreId);
    kind!(ordinal, opt_ordinal, Incarnation, u64);
    kind!(epoch, opt_epoch, Epoch, RegionEpoch);
    kind!(position, opt_position, Position, RaftPosition);
    kind!(number, opt_number, Number, u64);
    kind!(key, opt_key, Key, Key);
    kind!(range, opt_range, Range, KeyRange);
    kind!(peers, opt_peers, Peers, Vec<Peer>);
    kind!(observer, opt_observer, Observer, ObserverId);
    kind!(generation, opt_generation, Generation, Generation);
    kind!(text, opt_text, Text, String);
    kind!(word, opt_word, Word, &'static str);

    fn all(&self, name: &'static str) -> impl Iterator<Item = &Value> {
        self.given
            .iter()
            .filter(move |(given, _)| *given == name)
            .map(|(_, value)| value)
    }

    /// Every key of that name.
    pub(super) fn keys(&self, name: &'static str) -> Vec<Key> {
        let key = |value: &Value| match value {
            Value::Key(key) => Some(key.clone()),
            _ => None,
        };
        self.all(name).filter_map(key).collect()
    }

    /// Every range of that name.
    pub(super) fn ranges(&self, name: &'static str) -> Vec<KeyRange> {
        let range = |value: &Value| match value {
            Value::Range(range) => Some(range.clone()),
            _ => None,
        };
        self.all(name).filter_map(range).collect()
    }

    /// Every index of a region of that name.
    pub(super) fn marks(&self, name: &'static str) -> Vec<(RegionId, u64)> {
        let mark = |value: &Value| match value {
            Value::Mark(region, index) => Some((*region, *index)),
            _ => None,
        };
        self.all(name).filter_map(mark).collect()
    }

    /// Every row of that name.
    pub(super) fn rows(&self, name: &'static str) -> Vec<(Key, Vec<u8>)> {
        let row = |value: &Value| match value {
            Value::Row(key, value) => Some((key.clone(), value.clone())),
            _ => None,
        };
        self.all(name).filter_map(row).collect()
    }

    /// Every new region of that name.
    pub(super) fn children(&self, name: &'static str) -> Vec<NewRegion> {
        let child = |value: &Value| match value {
            Value::Child(child) => Some(child.clone()),
            _ => None,
        };
        self.all(name).filter_map(child).collect()
    }

    /// Every peer id of that name.
    pub(super) fn ids(&self, name: &'static str) -> Vec<PeerId> {
        let id = |value: &Value| match value {
            Value::Peer(id) => Some(*id),
            _ => None,
        };
        self.all(name).filter_map(id).collect()
    }

    /// Every store of that name.
    pub(super) fn stores(&self, name: &'static str) -> Vec<StoreId> {
        let store = |value: &Value| match value {
            Value::Store(store) => Some(*store),
            _ => None,
        };
        self.all(name).filter_map(store).collect()
    }

    /// Every region of that name.
    pub(super) fn regions(&self, name: &'static str) -> Vec<RegionId> {
        let region = |value: &Value| match value {
            Value::Region(region) => Some(*region),
            _ => None,
        };
        self.all(name).filter_map(region).collect()
    }

    /// Every listed peer of that name.
    pub(super) fn listed(&self, name: &'static str) -> Vec<Peer> {
        let listed = |value: &Value| match value {
            Value::Peers(peers) => Some(peers.clone()),
            _ => None,
        };
        self.all(name).filter_map(listed).flatten().collect()
    }
}
