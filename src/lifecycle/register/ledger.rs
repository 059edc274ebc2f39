//! The ledger: which keys belong to whom. A key has at most one owner, because a claim that touches
//! another's is refused, whoever makes it.
//!
//! Not here: why an owner changes (`apply`).

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
    #[error("{owner:?} does not own exactly that range")]
    NotOwned {
        /// The range.
        range: KeyRange,
        /// Who should own it.
        owner: Owner,
    },
    /// The range to be taken belongs, in part, to somebody else.
    #[error("the range overlaps what {by:?} owns")]
    Occupied {
        /// The range.
        range: KeyRange,
        /// Who owns some of it.
        by: Owner,
    },
}

/// Where ownership changes: the keys on which an owned range starts or ends, and who owns what follows each,
/// up to the next one. Nobody owns anything before the first.
///
/// A range has no end of its own: it ends where the next one starts, or where what nobody owns starts. So
/// neighbours keep one key between them, and to find an owner one place is looked at. Of two bounds in a row
/// at least one has an owner behind it, so equal claims are always written down alike.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::lifecycle) struct Ledger {
    by_bound: PersistentMap<Key, Option<Owner>>,
}

/// The claims among bounds that come in key order.
fn claims<'a>(
    bounds: impl Iterator<Item = (&'a Key, &'a Option<Owner>)>,
) -> impl Iterator<Item = Claim> {
    let mut bounds = bounds.peekable();
    std::iter::from_fn(move || {
        loop {
            let (start, owner) = bounds.next()?;
            if let Some(owner) = owner {
                return Some(claim(start, bounds.peek().map(|(end, _)| *end), *owner));
            }
        }
    })
}

fn claim(start: &Key, end: Option<&Key>, owner: Owner) -> Claim {
    let range = KeyRange::new(Key::clone(start), end.cloned());
    Claim {
        range: range.expect("the bound after another one is larger"),
        owner,
    }
}

impl Ledger {
    pub(in crate::lifecycle) fn owner_at(&self, key: &[u8]) -> Option<Owner> {
        let (_, owner) = self.by_bound.at_or_before(key)?;
        *owner
    }

    /// The claims that share a key with `range`, in key order.
    pub(in crate::lifecycle) fn overlapping<'a>(
        &'a self,
        range: &'a KeyRange,
    ) -> impl Iterator<Item = Claim> + 'a {
        let start: &[u8] = range.start();
        let first = self.by_bound.at_or_before(start);
        let first = first.map_or(start, |(first, _)| &**first);
        let starts_inside = |claim: &Claim| {
            let start = claim.range.start();
            range.end().is_none_or(|end| **start < **end)
        };
        claims(self.by_bound.from(first)).take_while(starts_inside)
    }

    /// The claims in key order.
    pub(in crate::lifecycle) fn claims(&self) -> impl Iterator<Item = Claim> {
        claims(self.by_bound.iter())
    }

    /// The claims before (nearest first) and after the one that starts at `start`.
    pub(in crate::lifecycle) fn neighbours(
        &self,
        start: &[u8],
    ) -> (impl Iterator<Item = Claim>, impl Iterator<Item = Claim>) {
        let mut end = self.by_bound.from(start).next().map(|(bound, _)| bound);
        let before = self.by_bound.before(start);
        let before = before.filter_map(move |(start, owner)| {
            let end = end.replace(start);
            Some(claim(start, end, (*owner)?))
        });
        let after = claims(self.by_bound.from(start));
        (
            before,
            after.skip_while(move |claim| **claim.range.start() == *start),
        )
    }

    /// Lets the bounds of `range` be the very bytes that the ledger has of them already, so that
    /// neighbours keep one copy of the key between them.
    pub(in crate::lifecycle) fn share_bounds(&self, range: &mut KeyRange) {
        let same = |key: &Key| {
            let (bound, _) = self.by_bound.at_or_before(&**key)?;
            (**bound == **key).then(|| Key::clone(bound))
        };
        let (start, end) = (same(range.start()), range.end().and_then(same));
        range.share_bounds(start, end);
    }

    /// Gives up `released` and then takes `taken`, or changes nothing.
    pub(in crate::lifecycle) fn exchange(
        &mut self,
        released: &[Claim],
        taken: &[Claim],
    ) -> Result<(), LedgerFault> {
        let mut done = 0;
        let mut outcome = Ok(());
        for step in Step::all(released, taken) {
            outcome = self.carry_out(step);
            if outcome.is_err() {
                break;
            }
            done += 1;
        }
        if outcome.is_err() {
            let steps: Vec<Step<'_>> = Step::all(released, taken).take(done).collect();
            for step in steps.into_iter().rev() {
                // It was done a moment ago, so it can be undone.
                let _ = self.carry_out(step.undone());
            }
        }
        outcome
    }

    fn carry_out(&mut self, step: Step<'_>) -> Result<(), LedgerFault> {
        match step {
            Step::Release(claim) => self.release(claim),
            Step::Take(claim) => self.take(claim),
        }
    }

    fn release(&mut self, Claim { range, owner }: &Claim) -> Result<(), LedgerFault> {
        let start: &[u8] = range.start();
        let is_owned = {
            let mut from = self.by_bound.from(start);
            let first = from.next();
            first.is_some_and(|(bound, found)| **bound == *start && *found == Some(*owner))
                && from.next().map(|(end, _)| end) == range.end()
        };
        if !is_owned {
            return Err(LedgerFault::NotOwned {
                range: range.clone(),
                owner: *owner,
            });
        }
        let before = self.by_bound.before(start).next();
        if before.is_some_and(|(_, owner)| owner.is_some()) {
            self.by_bound.insert(range.start().clone(), None);
        } else {
            self.by_bound.remove(start);
        }
        if let Some(end) = range.end()
            && self.by_bound.get(&**end) == Some(&None)
        {
            self.by_bound.remove(&**end);
        }
        Ok(())
    }

    fn take(&mut self, Claim { range, owner }: &Claim) -> Result<(), LedgerFault> {
        let last = self.by_bound.last_key_value();
        let lies_behind_all =
            last.is_none_or(|(last, owner)| owner.is_none() && *last <= *range.start());
        if !lies_behind_all && let Some(other) = self.overlapping(range).next() {
            return Err(LedgerFault::Occupied {
                range: range.clone(),
                by: other.owner,
            });
        }
        self.by_bound.insert(range.start().clone(), Some(*owner));
        if let Some(end) = range.end()
            && (lies_behind_all || self.by_bound.get(&**end).is_none())
        {
            self.by_bound.insert(end.clone(), None);
        }
        Ok(())
    }
}

/// One part of an exchange.
enum Step<'a> {
    Release(&'a Claim),
    Take(&'a Claim),
}

impl<'a> Step<'a> {
    fn all(released: &'a [Claim], taken: &'a [Claim]) -> impl Iterator<Item = Step<'a>> {
        let taken = taken.iter().map(Step::Take);
        released.iter().map(Step::Release).chain(taken)
    }

    fn undone(self) -> Self {
        match self {
            Step::Release(claim) => Step::Take(claim),
            Step::Take(claim) => Step::Release(claim),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

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

    /// Beside a plain list of claims: what is owned, what is refused, and that equal claims are equal.
    #[test]
    fn a_random_history_is_what_a_list_of_claims_says() {
        let seed = 5;
        println!("seed {seed}");
        let mut state: u64 = seed;
        let mut below = |end: u64| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) % end
        };
        let key = |n: u64| format!("k{n:03}");
        let (mut ledger, mut plain): (Ledger, Vec<Claim>) = (Ledger::default(), Vec::new());
        let (mut accepted, mut refused) = (0, 0);
        for step in 0..4_000 {
            let start = below(200);
            let end = match below(40) {
                0 => String::new(),
                length => key(start + length / 4 + 1),
            };
            let start = if start == 0 {
                String::new()
            } else {
                key(start)
            };
            let taken = [claim(&start, &end, step)];
            // Sometimes one that is there, sometimes with another end.
            let mut released: Vec<Claim> = Vec::new();
            if !plain.is_empty() && below(3) > 0 {
                let one = &plain[below(plain.len() as u64) as usize];
                released.push(one.clone());
                if below(10) == 0 {
                    released[0].range = taken[0].range.clone();
                }
            }
            let taken = &taken[..usize::from(below(4) > 0 || released.is_empty())];
            let mut wanted = plain.clone();
            let mut may = true;
            for claim in &released {
                let before = wanted.len();
                wanted.retain(|other| other != claim);
                may &= wanted.len() < before;
            }
            for claim in taken {
                may &= !wanted
                    .iter()
                    .any(|other| other.range.overlaps(&claim.range));
                wanted.push(claim.clone());
            }
            let before = ledger.clone();
            match ledger.exchange(&released, taken) {
                Ok(()) => {
                    assert!(may, "{released:?} {taken:?}");
                    accepted += 1;
                    wanted.sort_by(|a, b| a.range.start().cmp(b.range.start()));
                    plain = wanted;
                }
                Err(fault) => {
                    assert!(!may, "{fault}");
                    refused += 1;
                    assert_eq!(ledger, before, "a refusal changed something");
                }
            }
            assert!(ledger.claims().eq(plain.iter().cloned()));
            let probe = key(below(260));
            let owner = plain
                .iter()
                .find(|claim| claim.range.contains(probe.as_bytes()));
            assert_eq!(
                ledger.owner_at(probe.as_bytes()),
                owner.map(|claim| claim.owner)
            );
            let (before, after) = ledger.neighbours(probe.as_bytes());
            let is_before = |claim: &&Claim| **claim.range.start() < *probe.as_bytes();
            let wanted = plain.iter().filter(is_before).rev().cloned();
            assert!(before.eq(wanted), "before {probe}");
            let is_after = |claim: &&Claim| **claim.range.start() > *probe.as_bytes();
            assert!(
                after.eq(plain.iter().filter(is_after).cloned()),
                "after {probe}"
            );
            if step % 500 == 0 {
                let mut again = Ledger::default();
                again.exchange(&[], &plain).unwrap();
                assert_eq!(again, ledger, "written down in two ways");
            }
        }
        println!("{accepted} accepted, {refused} refused");
        assert!(accepted > 500 && refused > 200);
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
