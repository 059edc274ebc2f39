//! Which records a command shows: positions, regions and kinds. Pure.

use std::str::FromStr;

use torrens_journal::Lsn;

/// Positions from a first to a last one, both inside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LsnRange {
    /// The first.
    pub(crate) first: Lsn,
    /// The last.
    pub(crate) last: Lsn,
}

impl LsnRange {
    /// Every position.
    pub(crate) const ALL: LsnRange = LsnRange {
        first: Lsn::FIRST,
        last: Lsn::new(u64::MAX),
    };

    /// Whether `lsn` is inside.
    pub(crate) fn contains(self, lsn: Lsn) -> bool {
        self.first <= lsn && lsn <= self.last
    }
}

impl FromStr for LsnRange {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number = |part: &str| {
            part.trim()
                .replace('_', "")
                .parse()
                .map(Lsn::new)
                .map_err(|_| {
                    format!(
                        "{part:?} is not a position; expected A..B, A.., ..B or N, both ends inside"
                    )
                })
        };
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
pub(crate) struct KindPattern(Vec<char>);

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
    pub(crate) fn matches(&self, name: &str) -> bool {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_has_four_forms_and_both_ends_inside() {
        let range = |text: &str| {
            text.parse::<LsnRange>()
                .map(|r| (r.first.get(), r.last.get()))
        };
        assert_eq!(range("5..9"), Ok((5, 9)));
        assert_eq!(range("5.."), Ok((5, u64::MAX)));
        assert_eq!(range("..9"), Ok((1, 9)));
        assert_eq!(range("7"), Ok((7, 7)));
        assert_eq!(range("1_000..2_000"), Ok((1000, 2000)));
        for bad in ["9..5", "a..b", "", "1..2..3", "-1"] {
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
