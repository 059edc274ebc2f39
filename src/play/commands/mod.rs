//! What the commands do, one file per family.
//!
//! Each is a thin call of the public API: what a scenario can do, a host can do. Not here: the form of
//! arguments (`value`), how things look (`show`).

mod asking;
mod caches;
mod checking;
mod copies;
mod data;
mod feed;
mod keeping;
mod looking;
mod machines;
mod merges;
mod messages;
mod observers;
mod orders;
mod snapshots;
mod submissions;
mod transitions;

use super::machine::Machine;
use super::spec::CommandSpec;
use super::world::Trouble;
use crate::{Incarnation, RegionEpoch, RegionId};

pub(super) use checking::check;

/// Every family.
pub(super) const ALL: &[&[CommandSpec]] = &[
    machines::COMMANDS,
    transitions::COMMANDS,
    submissions::COMMANDS,
    merges::COMMANDS,
    messages::COMMANDS,
    orders::COMMANDS,
    snapshots::COMMANDS,
    copies::COMMANDS,
    caches::COMMANDS,
    observers::COMMANDS,
    keeping::COMMANDS,
    data::COMMANDS,
    feed::COMMANDS,
    looking::COMMANDS,
    asking::COMMANDS,
];

/// The epoch that was given, or the one that a host knows: the durable one.
fn epoch_of(
    machine: &Machine,
    region: RegionId,
    given: Option<RegionEpoch>,
) -> Result<RegionEpoch, Trouble> {
    if let Some(given) = given {
        return Ok(given);
    }
    let register = machine.engine()?.register();
    let live = register.peer(region);
    Ok(live.map_or(RegionEpoch::NONE, |peer| peer.stage.epoch()))
}

/// The creation that was given, or the one that lives now.
fn creation_of(
    machine: &Machine,
    region: RegionId,
    given: Option<u64>,
) -> Result<Incarnation, Trouble> {
    if let Some(given) = given {
        return machine.creation(region, given);
    }
    let live = machine.engine()?.register().incarnation(region);
    live.ok_or_else(|| Trouble::Script(format!("{region} has no peer here; name a creation")))
}
