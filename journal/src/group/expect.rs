//! What must follow what: LSNs, chain, numbers and boots from group to group.

use super::{GroupFault, GroupHeader};
use crate::header::SegmentHeader;
use crate::ids::Boot;
use crate::lsn::Lsn;

/// What must follow at a position, if the journal goes on there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Expectation {
    /// LSN of the next record.
    pub lsn: Lsn,
    /// Header checksum of the group before.
    pub chain: u32,
    /// The group's number in its segment.
    pub group_number: u32,
    /// Boot of the group before; a later group never has a smaller one.
    pub boot: Boot,
}

impl Expectation {
    /// What the first group of a segment must be.
    pub fn first_of(header: &SegmentHeader) -> Self {
        Expectation {
            lsn: header.first_lsn,
            chain: header.first_chain(),
            group_number: 1,
            boot: header.boot,
        }
    }

    /// What must follow `group` in its segment.
    pub fn after(group: &GroupHeader) -> Self {
        Expectation {
            lsn: group.last_lsn().next().unwrap_or(Lsn::new(u64::MAX)),
            chain: group.crc,
            group_number: group.number.saturating_add(1),
            boot: group.boot,
        }
    }

    /// # Errors
    /// The first field of `group` that is not what must follow.
    pub fn check(&self, group: &GroupHeader) -> Result<(), GroupFault> {
        if group.first_lsn != self.lsn {
            return Err(GroupFault::UnexpectedLsn {
                expected: self.lsn,
                found: group.first_lsn,
            });
        }
        if group.chain != self.chain {
            return Err(GroupFault::UnexpectedChain {
                expected: self.chain,
                found: group.chain,
            });
        }
        if group.number != self.group_number {
            return Err(GroupFault::UnexpectedNumber {
                expected: self.group_number,
                found: group.number,
            });
        }
        if group.boot < self.boot {
            return Err(GroupFault::BootWentBack {
                before: self.boot,
                found: group.boot,
            });
        }
        Ok(())
    }
}
