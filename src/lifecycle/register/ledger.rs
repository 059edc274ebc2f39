//! The ledger: which keys belong to whom. A key has at most one owner, because a claim that touches
//! another's is refused, whoever makes it.
//!
//! Not here: why an owner changes (`apply`).

use std::sync::Arc;

use crate::lifecycle::DeletionId;
use crate::persistent_map::PersistentMap;
use crate::{Incarnation, Key, KeyRange, RegionId};

/// Who owns a range of keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Owner {
    /// A live peer with a description.
    Peer {
        /// Its region.
        region: RegionId,
        /// Which creation of it.
        incarnation: Incarnation,
    },
    /// A pending deletion.
    Deletion(DeletionId),
    /// A snapshot that a peer is about to get.
    Reservation {
        /// Its region.
        region: RegionId,
        /// The peer that gets it.
        incarnation: Incarnation,
    },
}

/// One range and its owner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::lifecycle) struct Claim {
    pub(in crate::lifecycle) range: KeyRange,
    pub(in crate::lifecycle) owner: Owner,
}

/// Why the ledger did not change hands.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LedgerFault {
    /// The range to be given up is not owned like that.
    #[error("{range} is not owned by {owner:?}")]
    NotOwned {
        /// The range.
        range: KeyRange,
        /// Who should own it.
        owner: Owner,
    },
    /// The range to be taken belongs, in part, to somebody else.
    #[error("{range} overlaps what {by:?} owns")]
    Occupied {
        /// The range.
        range: KeyRange,
        /// Who owns some of it.
        by: Owner,
    },
}

/// What lies behind the start of an owned range.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Owned {
    end: Option<Key>,
    owner: Owner,
}

/// Disjoint ranges by their start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::lifecycle) struct Ledger {
    by_start: PersistentMap<Key, Owned>,
}

fn claim((start, owned): (&Key, &Owned)) -> Claim {
    let range = KeyRange::new(Key::clone(start), owned.end.clone());
    Claim {
        range: range.expect("only ranges are claimed, and those are not empty"),
        owner: owned.owner,
    }
}

impl Ledger {
    pub(in crate::lifecycle) fn owner_at(&self, key: &[u8]) -> Option<Owner> {
        let (_, owned, next) = self.by_start.at_or_before(key)?;
        let is_inside = match (&owned.end, next) {
            (None, _) => true,
            // Neighbours share the key between them; it was looked at already.
            (Some(end), Some(next)) if Arc::ptr_eq(end, next) => true,
            (Some(end), _) => *key < **end,
        };
        is_inside.then_some(owned.owner)
    }

    /// The claims that share a key with `range`, in key order.
    pub(in crate::lifecycle) fn overlapping<'a>(
        &'a self,
        range: &'a KeyRange,
    ) -> impl Iterator<Item = Claim> + 'a {
        let start: &[u8] = range.start();
        let before = self.by_start.before(start).next();
        let reaches = |owned: &Owned| owned.end.as_ref().is_none_or(|end| **end > *start);
        let starts_inside = move |start: &Key| range.end().is_none_or(|end| **start < **end);
        before
            .filter(|(_, owned)| reaches(owned))
            .into_iter()
            .chain(
                self.by_start
                    .from(start)
                    .take_while(move |(start, _)| starts_inside(start)),
            )
            .map(claim)
    }

    /// The claims in key order.
    pub(in crate::lifecycle) fn claims(&self) -> impl Iterator<Item = Claim> {
        self.by_start.iter().map(claim)
    }

    /// The claims before (nearest first) and after the one that starts at `start`.
    pub(in crate::lifecycle) fn neighbours(
        &self,
        start: &[u8],
    ) -> (impl Iterator<Item = Claim>, impl Iterator<Item = Claim>) {
        let after = self.by_start.from(start).map(claim);
        (
            self.by_start.before(start).map(claim),
            after.skip_while(move |claim| **claim.range.start() == *start),
        )
    }

    /// Lets the bounds of `range` be the very bytes that the ledger has of them already, so that
    /// neighbours keep one copy of the key between them.
    pub(in crate::lifecycle) fn share_bounds(&self, range: &mut KeyRange) {
        let start: &[u8] = range.start();
        let before = self.by_start.before(start).next();
        let end_before = before.and_then(|(_, owned)| owned.end.as_ref());
        let shared_start = end_before.filter(|end| ***end == *start).cloned();
        let at_end = range.end().and_then(|end| {
            let (next, _, _) = self.by_start.at_or_before(&**end)?;
            (*next == *end).then(|| Key::clone(next))
        });
        range.share_bounds(shared_start, at_end);
    }

    /// Gives up `released` and then takes `taken`, or changes nothing.
    pub(in crate::lifecycle) fn exchange(
        &mut self,
        released: &[Claim],
        taken: &[Claim],
    ) -> Result<(), LedgerFault> {
        let mut removed = Vec::with_capacity(released.len());
        let mut inserted: Vec<&Key> = Vec::with_capacity(taken.len());
        let outcome = self.try_exchange(released, taken, &mut removed, &mut inserted);
        if outcome.is_err() {
            for start in inserted {
                self.by_start.remove(&**start);
            }
            for (start, owned) in removed {
                self.by_start.insert(start, owned);
            }
        }
        outcome
    }

    fn try_exchange<'a>(
        &mut self,
        released: &[Claim],
        taken: &'a [Claim],
        removed: &mut Vec<(Key, Owned)>,
        inserted: &mut Vec<&'a Key>,
    ) -> Result<(), LedgerFault> {
        for claim in released {
            let start = claim.range.start();
            let owned = self.by_start.get(&**start).filter(|owned| {
                owned.owner == claim.owner && owned.end.as_ref() == claim.range.end()
            });
            if owned.is_none() {
                return Err(LedgerFault::NotOwned {
                    range: claim.range.clone(),
                    owner: claim.owner,
                });
            }
            let owned = self.by_start.remove(&**start);
            removed.extend(owned.map(|owned| (start.clone(), owned)));
        }
        for claim in taken {
            if let Some(other) = self.overlapping(&claim.range).next() {
                return Err(LedgerFault::Occupied {
                    range: claim.range.clone(),
                    by: other.owner,
                });
            }
            let start = claim.range.start();
            let owned = Owned {
                end: claim.range.end().cloned(),
                owner: claim.owner,
            };
            self.by_start.insert(start.clone(), owned);
            inserted.push(start);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use torrens_journal::Lsn;

    use super::*;

    fn claim(start: &str, end: &str, region: u64) -> Claim {
        let end = (!end.is_empty()).then_some(end.as_bytes());
        Claim {
            range: KeyRange::new(start.as_bytes(), end).unwrap(),
            owner: Owner::Peer {
                region: RegionId(region),
                incarnation: Incarnation::new(Lsn::new(region)),
            },
        }
    }

    #[test]
    fn an_exchange_that_fails_anywhere_changes_nothing() {
        let mut ledger = Ledger::default();
        let (a, b) = (claim("", "d", 1), claim("f", "", 2));
        ledger.exchange(&[], &[a.clone(), b.clone()]).unwrap();
        let before = ledger.clone();
        // The second new claim touches `b`: the release of `a` and the first claim are undone.
        let taken = [claim("", "c", 3), claim("c", "g", 4)];
        assert_eq!(
            ledger.exchange(std::slice::from_ref(&a), &taken),
            Err(LedgerFault::Occupied {
                range: taken[1].range.clone(),
                by: b.owner
            })
        );
        assert_eq!(ledger, before);
        // Another owner, or another end, is not what is owned.
        for wrong in [claim("", "d", 9), claim("", "c", 1)] {
            assert!(matches!(
                ledger.exchange(&[a.clone(), wrong], &[]),
                Err(LedgerFault::NotOwned { .. })
            ));
            assert_eq!(ledger, before);
        }
    }

    #[test]
    fn neighbours_keep_one_copy_of_the_key_between_them() {
        let mut ledger = Ledger::default();
        let (a, c) = (claim("b", "d", 1), claim("f", "h", 3));
        ledger.exchange(&[], &[a.clone(), c.clone()]).unwrap();
        let mut between = claim("d", "f", 2).range;
        let before = between.clone();
        ledger.share_bounds(&mut between);
        assert_eq!(between, before, "the bytes are the same");
        assert!(Arc::ptr_eq(between.start(), a.range.end().unwrap()));
        assert!(Arc::ptr_eq(between.end().unwrap(), c.range.start()));
        let mut apart = claim("i", "k", 4).range;
        ledger.share_bounds(&mut apart);
        assert_eq!(apart, claim("i", "k", 4).range);
    }

    #[test]
    fn overlapping_claims_are_found_from_every_side() {
        let mut ledger = Ledger::default();
        let all = [claim("b", "d", 1), claim("d", "f", 2), claim("h", "", 3)];
        ledger.exchange(&[], &all).unwrap();
        let found = |start: &str, end: &str| -> Vec<Claim> {
            let range = claim(start, end, 0).range;
            ledger.overlapping(&range).collect()
        };
        assert_eq!(found("", "b"), []);
        assert_eq!(found("", "c"), all[..1]);
        assert_eq!(found("c", "e"), all[..2]);
        assert_eq!(found("b", "d"), all[..1]);
        assert_eq!(found("f", "h"), []);
        assert_eq!(found("", ""), all);
        assert_eq!(found("z", ""), all[2..]);
        for (key, owner) in [
            ("a", None),
            ("b", Some(0)),
            ("d", Some(1)),
            ("f", None),
            ("zz", Some(2)),
        ] {
            let expected = owner.map(|n: usize| all[n].owner);
            assert_eq!(ledger.owner_at(key.as_bytes()), expected, "{key}");
        }
    }
}
