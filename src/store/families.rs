//! Column families: the separate key spaces of a region, by number on disk and by name for people.
//!
//! A number is for ever: it is part of every raw key and of every row of a snapshot, so all stores of
//! a cluster are opened with the same names and numbers. The store remembers the set that it was
//! opened with; later sets may add to it and never take away or rename.
//!
//! Not here: where the set is kept (`rows`), who checks it (`engine`).

use std::fmt;
use std::sync::Arc;

use torrens_journal::planted;

/// One of the separate key spaces of a region, by its number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ColumnFamily(u8);

impl ColumnFamily {
    /// The one that is used when none is named.
    pub const DEFAULT: ColumnFamily = ColumnFamily(0);
    /// Locks of running transactions, by TiKV's convention.
    pub const LOCK: ColumnFamily = ColumnFamily(1);
    /// Commit records, by TiKV's convention.
    pub const WRITE: ColumnFamily = ColumnFamily(2);
    /// The families of [`ColumnFamilies::default`], in the order of their numbers.
    pub const ALL: [ColumnFamily; 3] = [Self::DEFAULT, Self::LOCK, Self::WRITE];

    /// The family with this number.
    pub const fn new(number: u8) -> Self {
        ColumnFamily(number)
    }

    /// Its number.
    pub const fn number(self) -> u8 {
        self.0
    }
}

/// The column families of a store, by name. Cloning shares them.
#[derive(Clone, PartialEq, Eq)]
pub struct ColumnFamilies {
    /// By number.
    families: Arc<[(ColumnFamily, Arc<str>)]>,
}

/// Why names and numbers are not a set of column families.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FamiliesError {
    /// A name that is empty, too long, or has other characters than `a-z`, `0-9`, `_` and `-`.
    #[error(
        "{name:?} is no name for a column family: 1 to {max} of a-z, 0-9, _ and -",
        max = ColumnFamilies::NAME_BYTES_MAX
    )]
    Name {
        /// The name.
        name: String,
    },
    /// A name or a number that comes twice.
    #[error("column family {name} ({number}) has a name or a number that another one has")]
    Duplicate {
        /// Its name.
        name: String,
        /// Its number.
        number: u8,
    },
    /// No family has the number 0, which is used when none is named.
    #[error("no column family has the number 0")]
    NoDefault,
    /// The store has a family that the set lacks, or names otherwise.
    #[error("the store has the column family {name} ({number}), which was not given")]
    Missing {
        /// Its name in the store.
        name: String,
        /// Its number.
        number: u8,
    },
}

impl ColumnFamilies {
    /// Longest name, in bytes.
    pub const NAME_BYTES_MAX: usize = 64;

    /// A set of names with their numbers, in any order. One has the number 0.
    ///
    /// # Errors
    /// The first rule that the set breaks.
    pub fn new<'a>(
        named: impl IntoIterator<Item = (&'a str, u8)>,
    ) -> Result<ColumnFamilies, FamiliesError> {
        let mut families: Vec<(ColumnFamily, Arc<str>)> = Vec::new();
        for (name, number) in named {
            let is_plain = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-');
            let length = 1..=Self::NAME_BYTES_MAX;
            if !length.contains(&name.len()) || !name.bytes().all(is_plain) {
                return Err(FamiliesError::Name {
                    name: name.to_owned(),
                });
            }
            let family = ColumnFamily(number);
            if families
                .iter()
                .any(|(other, named)| *other == family || **named == *name)
            {
                return Err(FamiliesError::Duplicate {
                    name: name.to_owned(),
                    number,
                });
            }
            families.push((family, Arc::from(name)));
        }
        families.sort_unstable();
        match families.first() {
            Some((ColumnFamily::DEFAULT, _)) => Ok(ColumnFamilies {
                families: families.into(),
            }),
            Some(_) | None => Err(FamiliesError::NoDefault),
        }
    }

    /// The family of that name.
    pub fn by_name(&self, name: &str) -> Option<ColumnFamily> {
        let mut named = self.families.iter();
        named
            .find(|(_, known)| **known == *name)
            .map(|(family, _)| *family)
    }

    /// The name of a family.
    pub fn name_of(&self, family: ColumnFamily) -> Option<&str> {
        let at = self
            .families
            .binary_search_by_key(&family, |(family, _)| *family)
            .ok()?;
        self.families.get(at).map(|(_, name)| &**name)
    }

    /// Whether the set has that family.
    pub fn contains(&self, family: ColumnFamily) -> bool {
        self.name_of(family).is_some()
    }

    /// The families in the order of their numbers.
    pub fn iter(&self) -> impl Iterator<Item = ColumnFamily> + '_ {
        self.families.iter().map(|(family, _)| *family)
    }

    /// The families with their names, in the order of their numbers.
    pub fn named(&self) -> impl Iterator<Item = (&str, ColumnFamily)> {
        self.families
            .iter()
            .map(|(family, name)| (&**name, *family))
    }

    /// Whether a store that was opened with `before` may be opened with this set.
    ///
    /// # Errors
    /// [`FamiliesError::Missing`] for the first family of `before` that is not here under its name.
    pub fn extends(&self, before: &ColumnFamilies) -> Result<(), FamiliesError> {
        match before
            .named()
            .find(|(name, family)| self.name_of(*family) != Some(name))
        {
            None => Ok(()),
            Some(_) if planted!("families-renumbered") => Ok(()),
            Some((name, family)) => Err(FamiliesError::Missing {
                name: name.to_owned(),
                number: family.0,
            }),
        }
    }

    /// Number, length of the name and name of each, in the order of their numbers.
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (family, name) in self.families.iter() {
            bytes.extend_from_slice(&[family.0, name.len() as u8]);
            bytes.extend_from_slice(name.as_bytes());
        }
        bytes
    }

    /// `None` if it is not what [`encode`](Self::encode) makes.
    pub(super) fn decode(mut bytes: &[u8]) -> Option<ColumnFamilies> {
        let mut named = Vec::new();
        while let Some((&[number, length], rest)) = bytes.split_first_chunk::<2>() {
            let (name, rest) = rest.split_at_checked(usize::from(length))?;
            named.push((std::str::from_utf8(name).ok()?, number));
            bytes = rest;
        }
        if !bytes.is_empty() || !named.is_sorted_by_key(|(_, number)| *number) {
            return None;
        }
        ColumnFamilies::new(named).ok()
    }
}

impl Default for ColumnFamilies {
    /// TiKV's three: `default` (0), `lock` (1) and `write` (2).
    fn default() -> Self {
        let named = [
            ("default", ColumnFamily::DEFAULT),
            ("lock", ColumnFamily::LOCK),
        ];
        let named = named.into_iter().chain([("write", ColumnFamily::WRITE)]);
        ColumnFamilies {
            families: named
                .map(|(name, family)| (family, Arc::from(name)))
                .collect(),
        }
    }
}

impl fmt::Debug for ColumnFamilies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map()
            .entries(self.families.iter().map(|(family, name)| (name, family.0)))
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_set_is_what_its_constants_say() {
        let families = ColumnFamilies::default();
        assert_eq!(families.iter().collect::<Vec<_>>(), ColumnFamily::ALL);
        for (name, family) in families.named() {
            assert_eq!(families.by_name(name), Some(family));
            assert_eq!(families.name_of(family), Some(name));
        }
        assert_eq!(families.by_name("raft"), None);
        assert!(!families.contains(ColumnFamily::new(3)));
    }

    #[test]
    fn sets_that_cannot_be_told_apart_later_are_refused() {
        let new = |named: &[(&str, u8)]| ColumnFamilies::new(named.iter().copied());
        let long = "x".repeat(ColumnFamilies::NAME_BYTES_MAX + 1);
        for name in ["", "Write", "a b", "\u{e9}", &long] {
            let refused = new(&[("default", 0), (name, 1)]).unwrap_err();
            assert_eq!(
                refused,
                FamiliesError::Name {
                    name: name.to_owned()
                }
            );
        }
        for (name, number) in [("default", 7), ("other", 0)] {
            let refused = new(&[("default", 0), (name, number)]).unwrap_err();
            let name = name.to_owned();
            assert_eq!(refused, FamiliesError::Duplicate { name, number });
        }
        assert_eq!(new(&[("lock", 1)]), Err(FamiliesError::NoDefault));
        assert_eq!(new(&[]), Err(FamiliesError::NoDefault));
    }

    #[test]
    fn a_set_may_grow_and_neither_shrink_nor_rename() {
        let three = ColumnFamilies::default();
        let four = [("write", 2), ("raft", 9), ("lock", 1), ("default", 0)];
        let four = ColumnFamilies::new(four).unwrap();
        assert_eq!(four.extends(&three), Ok(()));
        let (name, number) = ("raft".to_owned(), 9);
        assert_eq!(
            three.extends(&four),
            Err(FamiliesError::Missing { name, number })
        );
        let swapped = ColumnFamilies::new([("default", 0), ("write", 1), ("lock", 2)]).unwrap();
        let (name, number) = ("lock".to_owned(), 1);
        assert_eq!(
            swapped.extends(&three),
            Err(FamiliesError::Missing { name, number })
        );
    }

    #[test]
    fn what_is_written_down_comes_back_and_nothing_else_does() {
        let families = ColumnFamilies::default();
        let bytes = families.encode();
        assert_eq!(ColumnFamilies::decode(&bytes), Some(families));
        for length in 0..bytes.len() {
            let whole = [0, 9, 9 + 6].contains(&length);
            let cut = ColumnFamilies::decode(&bytes[..length]);
            assert_eq!(cut.is_some(), whole && length > 0, "{length}");
        }
        assert_eq!(ColumnFamilies::decode(&[1, 1, b'a', 0, 1, b'b']), None);
    }
}
