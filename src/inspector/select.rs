//! Which records are wanted: positions, times, regions, peers, stores, kinds, causes, keys. Between two
//! of them *and*, within one *or*.

use std::collections::BTreeSet;
use std::str::FromStr;

use torrens_journal::Lsn;
use torrens_recovery::RecordItem;

use super::clock::Moment;
use super::{Description, Filter, InspectError, Inspector};
use crate::lifecycle::Register;
use crate::{Key, KeyRange, PeerId, RegionId, StoreId};

/// Positions from a first to a last one, both inside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LsnRange {
    /// The first.
    pub first: Lsn,
    /// The last.
    pub last: Lsn,
}

impl LsnRange {
    /// Every position.
    pub const ALL: LsnRange = LsnRange {
        first: Lsn::FIRST,
        last: Lsn::new(u64::MAX),
    };

    /// Whether `lsn` is inside.
    pub fn contains(self, lsn: Lsn) -> bool {
        self.first <= lsn && lsn <= self.last
    }
}

impl Default for LsnRange {
    fn default() -> Self {
        LsnRange::ALL
    }
}

impl FromStr for LsnRange {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = |part: &str| {
            format!(
                "{part:?} is not a position; expected A..B, A.., ..B, A+N or N, both ends inside"
            )
        };
        let number = |part: &str| {
            let digits = part.trim().replace('_', "");
            digits.parse().map(Lsn::new).map_err(|_| wrong(part))
        };
        if let Some((first, count)) = text.split_once('+') {
            let first = number(first)?;
            let count = number(count)?.get().checked_sub(1);
            let last = count.and_then(|more| first.checked_add(more));
            return Ok(LsnRange {
                first,
                last: last.ok_or_else(|| wrong(text))?,
            });
        }
        let range = match text.split_once("..") {
            None => number(text).map(|lsn| LsnRange {
                first: lsn,
                last: lsn,
            })?,
            Some((first, last)) => LsnRange {
                first: if first.is_empty() {
                    LsnRange::ALL.first
                } else {
                    number(first)?
                },
                last: if last.is_empty() {
                    LsnRange::ALL.last
                } else {
                    number(last)?
                },
            },
        };
        if range.first > range.last {
            return Err(format!("{} is after {}", range.first, range.last));
        }
        Ok(range)
    }
}

/// A pattern over the stable kind names: `*` stands for any characters, `?` for one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KindPattern(Vec<char>);

impl FromStr for KindPattern {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Err("an empty pattern matches nothing".to_owned());
        }
        Ok(KindPattern(text.chars().collect()))
    }
}

impl KindPattern {
    /// Whether the whole of `name` fits.
    pub fn matches(&self, name: &str) -> bool {
        // One pass with one place to go back to: the last `*` takes one character more each time.
        let (mut pattern, mut rest) = (self.0.as_slice(), name);
        let mut retry: Option<(&[char], &str)> = None;
        loop {
            let mut after = rest.chars();
            match (pattern.split_first(), after.next()) {
                (None, None) => return true,
                (Some(('*', behind)), _) => {
                    retry = Some((behind, rest));
                    pattern = behind;
                    continue;
                }
                (Some((wanted, behind)), Some(found)) if *wanted == '?' || *wanted == found => {
                    (pattern, rest) = (behind, after.as_str());
                    continue;
                }
                _ => {}
            }
            let Some((behind, from)) = retry else {
                return false;
            };
            let mut longer = from.chars();
            if longer.next().is_none() {
                return false;
            }
            (pattern, rest) = (behind, longer.as_str());
            retry = Some((behind, rest));
        }
    }
}

/// Which records are wanted. What is left empty wants all.
#[derive(Clone, Debug, Default)]
pub struct Selection {
    /// Positions.
    pub lsns: LsnRange,
    /// Decided at this time or later.
    pub since: Option<Moment>,
    /// Decided at this time or earlier.
    pub until: Option<Moment>,
    /// Written by these openings of the store; negative ones count back from the newest.
    pub boots: Vec<i64>,
    /// Concerning these regions.
    pub regions: Vec<RegionId>,
    /// Concerning these regions, the ones that they came from and the ones that came of them.
    pub lineage_of: Vec<RegionId>,
    /// Naming these peers.
    pub peers: Vec<PeerId>,
    /// Naming these stores.
    pub stores: Vec<StoreId>,
    /// Of these kinds.
    pub kinds: Vec<KindPattern>,
    /// Asked for by these: `raft`, `message`, `operator`, `recovery`, `collector`, `host`, `keeper`.
    pub causes: Vec<String>,
    /// Concerning whoever owned these keys right before or after.
    pub keys: Vec<Key>,
    /// Concerning whoever owned keys of these ranges right before or after.
    pub key_ranges: Vec<KeyRange>,
    /// Records of which this holds.
    pub filter: Option<Filter>,
}

/// A selection with everything looked up that it names by other means than numbers.
#[derive(Clone, Debug)]
pub(super) struct Resolved {
    pub(super) lsns: LsnRange,
    since_micros: Option<u64>,
    until_micros: Option<u64>,
    boots: Vec<u32>,
    regions: Option<BTreeSet<RegionId>>,
    selection: Selection,
}

impl Inspector {
    pub(super) fn resolve_selection(
        &self,
        selection: &Selection,
    ) -> Result<Resolved, InspectError> {
        let needs_look = selection.since.is_some()
            || selection.until.is_some()
            || !selection.boots.is_empty()
            || !selection.lineage_of.is_empty();
        let mut resolved = Resolved {
            lsns: selection.lsns,
            since_micros: None,
            until_micros: None,
            boots: Vec::new(),
            regions: match selection.regions.is_empty() {
                true => None,
                false => Some(selection.regions.iter().copied().collect()),
            },
            selection: selection.clone(),
        };
        if !needs_look {
            return Ok(resolved);
        }
        let picture = self.survey()?;
        let (newest, now) = (self.newest_micros(&picture)?, self.now_micros());
        resolved.since_micros = selection.since.map(|moment| moment.micros(newest, now));
        resolved.until_micros = selection.until.map(|moment| moment.micros(newest, now));
        let newest_boot = i64::from(picture.evidence.boot_max().get());
        resolved.boots = selection
            .boots
            .iter()
            .map(|boot| if *boot < 0 { newest_boot + boot } else { *boot })
            // A boot that never was wrote nothing.
            .map(|boot| u32::try_from(boot).unwrap_or(u32::MAX))
            .collect();
        if !selection.lineage_of.is_empty() {
            let lineage = self.lineage(None)?;
            let regions = resolved.regions.get_or_insert_default();
            for region in &selection.lineage_of {
                regions.extend(lineage.related(*region));
            }
        }
        Ok(resolved)
    }
}

impl Resolved {
    pub(super) fn wants_keys(&self) -> bool {
        !self.selection.keys.is_empty() || !self.selection.key_ranges.is_empty()
    }

    /// Whether no record from here on can be wanted. Behind a gap LSNs may start again lower; in the
    /// history they never do.
    pub(super) fn is_past(&self, item: &RecordItem<'_>) -> bool {
        item.record.lsn > self.lsns.last && !item.behind_gap
    }

    /// What can be said before the record is decoded.
    pub(super) fn may_want(&self, item: &RecordItem<'_>) -> bool {
        self.lsns.contains(item.record.lsn)
            && (self.selection.boots.is_empty() || self.boots.contains(&item.boot.get()))
    }

    pub(super) fn wants(&self, item: &RecordItem<'_>, description: &Description) -> bool {
        let selection = &self.selection;
        if self.since_micros.is_some() || self.until_micros.is_some() {
            let Some(written) = description.written_micros() else {
                return false;
            };
            if self.since_micros.is_some_and(|since| written < since)
                || self.until_micros.is_some_and(|until| written > until)
            {
                return false;
            }
        }
        if let Some(regions) = &self.regions
            && !regions.iter().any(|region| description.concerns(*region))
        {
            return false;
        }
        let kinds = &selection.kinds;
        if !kinds.is_empty() && !kinds.iter().any(|kind| kind.matches(&description.kind)) {
            return false;
        }
        let causes = &selection.causes;
        let is_cause = |wanted: &String| {
            description
                .cause()
                .is_some_and(|cause| cause.as_str() == wanted)
        };
        if !causes.is_empty() && !causes.iter().any(is_cause) {
            return false;
        }
        let peers = &selection.peers;
        if !peers.is_empty() && !peers.iter().any(|peer| description.names_peer(*peer)) {
            return false;
        }
        let stores = &selection.stores;
        if !stores.is_empty() && !stores.iter().any(|store| description.names_store(*store)) {
            return false;
        }
        match &selection.filter {
            Some(filter) => filter.holds(item, description),
            None => true,
        }
    }

    /// Adds the regions that own one of the keys now.
    pub(super) fn owners(&self, register: &Register, into: &mut BTreeSet<RegionId>) {
        into.extend(
            self.selection
                .keys
                .iter()
                .filter_map(|key| register.owner_of(key)),
        );
        for range in &self.selection.key_ranges {
            into.extend(
                register
                    .tenants(range)
                    .into_iter()
                    .map(|(region, _)| region),
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_has_five_forms_and_both_ends_inside() {
        let range = |text: &str| {
            text.parse::<LsnRange>()
                .map(|r| (r.first.get(), r.last.get()))
        };
        assert_eq!(range("5..9"), Ok((5, 9)));
        assert_eq!(range("5.."), Ok((5, u64::MAX)));
        assert_eq!(range("..9"), Ok((1, 9)));
        assert_eq!(range("7"), Ok((7, 7)));
        assert_eq!(range("7+3"), Ok((7, 9)));
        assert_eq!(range("1_000..2_000"), Ok((1000, 2000)));
        for bad in [
            "9..5",
            "a..b",
            "",
            "1..2..3",
            "-1",
            "7+0",
            "+3",
            "2+18446744073709551615",
        ] {
            assert!(range(bad).is_err(), "{bad:?} was taken for a range");
        }
        let range: LsnRange = "5..9".parse().unwrap();
        assert!(range.contains(Lsn::new(5)) && range.contains(Lsn::new(9)));
        assert!(!range.contains(Lsn::new(4)) && !range.contains(Lsn::new(10)));
    }

    #[test]
    fn a_pattern_fits_the_whole_name() {
        let fits =
            |pattern: &str, name: &str| pattern.parse::<KindPattern>().unwrap().matches(name);
        assert!(fits("region.split", "region.split"));
        assert!(!fits("region.split", "region.split2"));
        assert!(fits("region.*", "region.split"));
        assert!(!fits("region.*", "peer.create"));
        assert!(fits("*.begin", "snapshot.begin") && fits("*.begin", "destroy.begin"));
        assert!(fits("*s*t*", "region.split") && !fits("*s*z", "region.split"));
        assert!(fits("?eer.create", "peer.create") && !fits("?peer.create", "peer.create"));
        // Many stars on a long name end in time.
        assert!(!fits(&"*a".repeat(30), &"a".repeat(29)));
    }
}
