//! Identities: which region, which peer, which store, and which *creation* of a peer.
//!
//! Not here: what they identify.

use std::fmt;

use torrens_journal::Lsn;

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $prefix:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub u64);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!($prefix, "{}"), self.0)
            }
        }
    };
}

id! {
    /// A key range's identity, unique in the cluster and never used again. Shown as `r7`.
    RegionId, "r"
}
id! {
    /// One replica of a region. A larger id on the same store is a newer replica. Shown as `p12`.
    PeerId, "p"
}
id! {
    /// One node of the cluster. Shown as `s4`.
    StoreId, "s"
}

/// One creation of a peer on this store: the LSN of the record that created it.
///
/// A peer that a message made and the same peer made again by a split have the same ids and
/// different incarnations, so late work for the first can never touch the second. Shown as `#97`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Incarnation(Lsn);

impl Incarnation {
    /// The incarnation that the record at `lsn` created.
    pub const fn new(lsn: Lsn) -> Self {
        Incarnation(lsn)
    }

    /// The record that created it.
    pub const fn lsn(self) -> Lsn {
        self.0
    }
}

impl fmt::Display for Incarnation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{}", self.0)
    }
}
