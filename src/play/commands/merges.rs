//! Merges, flashback, changes of many peers at once, witnesses.

use super::transitions::at_entry;
use super::{creation_of, epoch_of};
use crate::lifecycle::{PeerChange, WitnessSwitch};
use crate::play::args::Args;
use crate::play::machine::Machine;
use crate::play::spec::{CommandSpec, at, command, many, may, must};
use crate::play::value::Kind;
use crate::play::world::{Lines, Trouble, World};
use crate::{KeyRange, Region, RegionId};

#[rustfmt::skip]
pub(super) const COMMANDS: &[CommandSpec] = &[
    command("prepare-merge", &[at("region", Kind::Region), must("into", Kind::Region), must("at", Kind::Position), must("min-index", Kind::Number), may("epoch", Kind::Epoch), may("range", Kind::Range), may("target-epoch", Kind::Epoch), may("peers", Kind::Peers)], prepare_merge,
        "Raft committed the begin of a merge on the source. The target's description is the one here, but for what is given."),
    command("commit-merge", &[at("region", Kind::Region), must("source", Kind::Region), must("at", Kind::Position), must("commit", Kind::Number), may("epoch", Kind::Epoch), may("range", Kind::Range), may("source-epoch", Kind::Epoch), may("peers", Kind::Peers)], commit_merge,
        "Raft committed the merge on the target. The source's description is the one here, but for what is given."),
    command("rollback-merge", &[at("region", Kind::Region), must("at", Kind::Position), must("commit", Kind::Number), may("epoch", Kind::Epoch)], rollback_merge,
        "Raft committed on the source that the merge begun at `commit` is off."),
    command("begin-flashback", &[at("region", Kind::Region), must("at", Kind::Position), may("epoch", Kind::Epoch)], begin_flashback,
        "Raft committed that the region is to be set back: ordinary reads and writes stop."),
    command("end-flashback", &[at("region", Kind::Region), must("at", Kind::Position), may("epoch", Kind::Epoch)], end_flashback,
        "Raft committed that the region has been set back."),
    command("enter-joint", &[at("region", Kind::Region), must("at", Kind::Position), many("add", Kind::Peers), many("remove", Kind::Peer), many("promote", Kind::Peer), many("demote", Kind::Peer), may("epoch", Kind::Epoch)], enter_joint,
        "Raft committed several changes of peers at once: additions first, then removals, promotions, demotions."),
    command("leave-joint", &[at("region", Kind::Region), must("at", Kind::Position), may("epoch", Kind::Epoch)], leave_joint,
        "Raft committed the end of a joint change."),
    command("switch-witness", &[at("region", Kind::Region), must("at", Kind::Position), many("on", Kind::Peer), many("off", Kind::Peer), may("epoch", Kind::Epoch)], switch_witness,
        "Raft committed that peers give their data up (`on`) or get it back (`off`)."),
    command("install-witness", &[at("region", Kind::Region), must("peers", Kind::Peers), must("at", Kind::Position), may("range", Kind::Range), may("epoch", Kind::Epoch), may("incarnation", Kind::Incarnation)], install_witness,
        "A witness is told its region: a snapshot without data."),
];

/// A region as it is described here, but for what the arguments say.
fn described(
    machine: &Machine,
    id: RegionId,
    args: &Args,
    epoch: &'static str,
) -> Result<Region, Trouble> {
    let register = machine.engine()?.register();
    let here = register
        .peer(id)
        .and_then(|peer| peer.stage.region().cloned());
    let peers = args.opt_peers("peers");
    let here = match (here, peers) {
        (Some(here), None) => Region::clone(&here),
        (Some(here), Some(peers)) => Region {
            peers,
            ..Region::clone(&here)
        },
        (None, Some(peers)) => Region {
            id,
            range: KeyRange::all(),
            epoch: args.epoch(epoch)?,
            peers,
        },
        (None, None) => {
            let text = format!("{id} is not described here; give peers and {epoch}");
            return Err(Trouble::Script(text));
        }
    };
    Ok(Region {
        range: args
            .opt_range("range")
            .unwrap_or_else(|| here.range.clone()),
        epoch: args.opt_epoch(epoch).unwrap_or(here.epoch),
        ..here
    })
}

fn prepare_merge(world: &mut World, args: &Args) -> Result<Lines, Trouble> {
    let machine = world.machine()?;
    let (region, epoch, position) = at_entry(machine, args)?;
    let target = described(machine, args.region("into")?, args, "target-epoch")?;
    let min_index = args.number("min-index")?;
    let engine = machine.engine()?;
    let answer = engine.prepare_merge(region, epoch, position, target, min_index)?;
    world.answered(answer)
}

fn commit_merge(world: &mut World, args: &Args) -> Result<Lines, Trouble> {
    let machine = world.machine()?;
    let (region, epoch, position) = at_entry(machine, args)?;
    let source = described(machine, args.region("source")?, args, "source-epoch")?;
    let commit = args.number("commit")?;
    let engine = machine.engine()?;
    let answer = engine.commit_merge(region, epoch, position, source, commit)?;
    world.answered(answer)
}

fn rollback_merge(world: &mut World, args: &Args) -> Result<Lines, Trouble> {
    let machine = world.machine()?;
    let (region, epoch, position) = at_entry(machine, args)?;
    let engine = machine.engine()?;
    let answer = engine.rollback_merge(region, epoch, position, args.number("commit")?)?;
    world.answered(answer)
}

fn begin_flashback(world: &mut World, args: &Args) -> Result<Lines, Trouble> {
    let machine = world.machine()?;
    let (region, epoch, position) = at_entry(machine, args)?;
    let answer = machine.engine()?.begin_flashback(region, epoch, position)?;
    world.answered(answer)
}

fn end_flashback(world: &mut World, args: &Args) -> Result<Lines, Trouble> {
    let machine = world.machine()?;
    let (region, epoch, position) = at_entry(machine, args)?;
    let answer = machine.engine()?.end_flashback(region, epoch, position)?;
    world.answered(answer)
}

fn enter_joint(world: &mut World, args: &Args) -> Result<Lines, Trouble> {
    let machine = world.machine()?;
    let (region, epoch, position) = at_entry(machine, args)?;
    let added = args.listed("add").into_iter();
    let removed = args.ids("remove").into_iter();
    let promoted = args.ids("promote").into_iter();
    let demoted = args.ids("demote").into_iter();
    let changes = added
        .map(|peer| PeerChange::Add { peer })
        .chain(removed.map(|peer| PeerChange::Remove { peer }))
        .chain(promoted.map(|peer| PeerChange::Promote { peer }))
        .chain(demoted.map(|peer| PeerChange::Demote { peer }));
    let engine = machine.engine()?;
    let answer = engine.enter_joint(region, epoch, position, changes.collect())?;
    world.answered(answer)
}

fn leave_joint(world: &mut World, args: &Args) -> Result<Lines, Trouble> {
    let machine = world.machine()?;
    let (region, epoch, position) = at_entry(machine, args)?;
    let answer = machine.engine()?.leave_joint(region, epoch, position)?;
    world.answered(answer)
}

fn switch_witness(world: &mut World, args: &Args) -> Result<Lines, Trouble> {
    let machine = world.machine()?;
    let (region, epoch, position) = at_entry(machine, args)?;
    let switch = |witness| move |peer| WitnessSwitch { peer, witness };
    let on = args.ids("on").into_iter().map(switch(true));
    let off = args.ids("off").into_iter().map(switch(false));
    let engine = machine.engine()?;
    let answer = engine.switch_witness(region, epoch, position, on.chain(off).collect())?;
    world.answered(answer)
}

fn install_witness(world: &mut World, args: &Args) -> Result<Lines, Trouble> {
    let machine = world.machine()?;
    let region = args.region("region")?;
    let incarnation = creation_of(machine, region, args.opt_ordinal("incarnation"))?;
    let description = Region {
        id: region,
        range: args.opt_range("range").unwrap_or_else(KeyRange::all),
        epoch: epoch_of(machine, region, args.opt_epoch("epoch"))?,
        peers: args.peers("peers")?,
    };
    let position = args.position("at")?;
    let engine = machine.engine()?;
    let answer = engine.install_witness(region, incarnation, description, position)?;
    world.answered(answer)
}
