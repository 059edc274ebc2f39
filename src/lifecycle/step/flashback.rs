//! Flashback: while a region is set back to an earlier version of its data it serves nobody else.
//!
//! Both ends may be committed more than once, as in TiKV: the second one only moves the index.

use super::conf_change::Entry;
use super::{destroying, gate};
use crate::lifecycle::{Change, Mode, Normal, Outcome, Refusal, Register};

pub(super) fn begin(register: &Register, entry: Entry<'_>) -> Result<Outcome, Refusal> {
    if gate::is_applied(entry.peer, entry.position) {
        return Ok(Outcome::AlreadyApplied);
    }
    let normal = admit(entry)?;
    gate::epoch(register, &normal.region, entry.epoch)?;
    let change = Change::FlashbackBegun {
        region: entry.region,
        position: entry.position,
    };
    let effects = destroying::free_cache(register, entry.region);
    Ok(Outcome::accept_with(change, effects.into_iter().collect()))
}

pub(super) fn end(register: &Register, entry: Entry<'_>) -> Result<Outcome, Refusal> {
    if gate::is_applied(entry.peer, entry.position) {
        return Ok(Outcome::AlreadyApplied);
    }
    let normal = admit(entry)?;
    gate::epoch(register, &normal.region, entry.epoch)?;
    Ok(Outcome::accept(Change::FlashbackEnded {
        region: entry.region,
        position: entry.position,
    }))
}

fn admit(entry: Entry<'_>) -> Result<&Normal, Refusal> {
    let normal = gate::initialized(entry.region, entry.peer)?;
    match *normal.mode {
        Mode::Flashback => Ok(normal),
        Mode::Serving | Mode::Merging(_) | Mode::Unconfirmed => {
            gate::following(entry.region, entry.peer)
        }
    }
}
