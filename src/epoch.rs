//! `RegionEpoch`: how old a description of a region is.
//!
//! Which transition bumps which part is part of that transition (`lifecycle`), not of this file.

use std::fmt;

/// Version of a region's description, as in TiKV's `metapb.RegionEpoch`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct RegionEpoch {
    /// Grows with every change of peers.
    pub conf_ver: u64,
    /// Grows with every change of the key range.
    pub version: u64,
}

impl RegionEpoch {
    /// The epoch of a region that a bootstrap creates.
    pub const BOOTSTRAP: RegionEpoch = RegionEpoch {
        conf_ver: 1,
        version: 1,
    };
    /// The epoch of a peer that has no region description yet.
    pub const NONE: RegionEpoch = RegionEpoch {
        conf_ver: 0,
        version: 0,
    };

    /// TiKV's rule for messages and requests: `self` is stale against `other` if *either* part is
    /// smaller. Two epochs can be stale against each other.
    pub const fn is_stale_against(self, other: Self) -> bool {
        self.version < other.version || self.conf_ver < other.conf_ver
    }

    /// Order of pictures of the *key range*: smaller version, or the same version and smaller
    /// conf_ver. A merged region may have a smaller conf_ver than its source had, so comparing the
    /// parts independently would call it stale.
    pub const fn precedes(self, other: Self) -> bool {
        self.version < other.version
            || (self.version == other.version && self.conf_ver < other.conf_ver)
    }
}

impl fmt::Display for RegionEpoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "c{}.v{}", self.conf_ver, self.version)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_epochs_can_be_stale_against_each_other_but_only_one_precedes() {
        let merged = RegionEpoch {
            conf_ver: 1,
            version: 9,
        };
        let source = RegionEpoch {
            conf_ver: 5,
            version: 8,
        };
        assert!(merged.is_stale_against(source) && source.is_stale_against(merged));
        assert!(source.precedes(merged) && !merged.precedes(source));
        assert!(!merged.is_stale_against(merged) && !merged.precedes(merged));
    }
}
