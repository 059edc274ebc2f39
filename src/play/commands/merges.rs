//! Merges, flashback, changes of many peers at once, witnesses.

use super::submissions::{BY, carry_out};
use super::transitions::at_entry;
use super::{creation_of, epoch_of};
use crate::engine::Submission;
use crate::lifecycle::{PeerChange, WitnessSwitch};
use crate::play::args::Args;
use crate::play::machine::Machine;
use crate::play::spec::{CommandSpec, at, command, many, may, must};
use crate::play::value::Kind;
use crate::play::world::{Lines, Trouble, World};
use crate::{KeyRange, Region, RegionId};

#[rustfmt::skip]
pub(super) const COMMANDS: &[CommandSpec] = &[
    command("prepare-merge", &[at("region", Kind::Region), must("into", Kind::Region), must("at", Kind::Position), must("min-index", Kind::Number), may("epoch", Kind::Epoch), may("range", Kind::Range), may("target-epoch", Kind::Epoch), may("peers", Kind::Peers), may("by", BY)], prepare_merge,
        "Raft committed the begin of a merge on the source. The target's description is the one here, but for what is given."),
    command("commit-merge", &[at("region", Kind::Region), must("source", Kind::Region), must("at", Kind::Position), must("commit", Kind::Number), may("epoch", Kind::Epoch), may("range", Kind::Range), may("source-epoch", Kind::Epoch), may("peers", Kind::Peers), may("by", BY)], commit_merge,
        "Raft committed the merge on the target. The source's description is the one here, but for what is given."),
    command("rollback-merge", &[at("region", Kind::Region), must("at", Kind::Position), must("commit", Kind::Number), may("epoch", Kind::Epoch), may("by", BY)], rollback_merge,
        "Raft committed on the source that the merge begun at `commit` is off."),
    command("begin-flashback", &[at("region", Kind::Region), must("at", Kind::Position), may("epoch", Kind::Epoch), may("by", BY)], begin_flashback,
        "Raft committed that the region is to be set back: ordinary reads and writes stop."),
    command("end-flashback", &[at("region", Kind::Region), must("at", Kind::Position), may("epoch", Kind::Epoch), may("by", BY)], end_flashback,
        "Raft committed that the region has been set back."),
    command("enter-joint", &[at("region", Kind::Region), must("at", Kind::Position), many("add", Kind::Peers), many("remove", Kind::Peer), many("promote", Kind::Peer), many("demote", Kind::Peer), may("epoch", Kind::Epoch), may("by", BY)], enter_joint,
        "Raft committed several changes of peers at once: additions first, then removals, promotions, demotions."),
    command("leave-joint", &[at("region", Kind::Region), must("at", Kind::Position), may("epoch", Kind::Epoch), may("by", BY)], leave_joint,
        "Raft committed the end of a joint change."),
    command("switch-witness", &[at("region", Kind::Region), must("at", Kind::Position), many("on", Kind::Peer), many("off", Kind::Peer), may("epoch", Kind::Epoch), may("by", BY)], switch_witness,
        "Raft committed that peers give their data up (`on`) or get it back (`off`)."),
    command("install-witness", &[at("region", Kind::Region), must("peers", Kind::Peers), must("at", Kind::Position), may("range", Kind::Range), may("epoch", Kind::Epoch), may("incarnation", Kind::Incarnation), may("by", BY)], install_witness,
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
    let submission = Submission::PrepareMerge {
        region,
        epoch,
        position,
        target: target.clone(),
        min_index,
    };
    carry_out(world, args, "prepare-merge", submission, |engine| {
        engine.prepare_merge(region, epoch, position, target, min_index)
    })
}

fn commit_merge(world: &mut World, args: &Args) -> Result<Lines, Trouble> {
    let machine = world.machine()?;
    let (region, epoch, position) = at_entry(machine, args)?;
    let source = described(machine, args.region("source")?, args, "source-epoch")?;
    let commit = args.number("commit")?;
    let submission = Submission::CommitMerge {
        region,
        epoch,
        position,
        source: source.clone(),
        commit,
    };
    carry_out(world, args, "commit-merge", submission, |engine| {
        engine.commit_merge(region, epoch, position, source, commit)
    })
}

fn rollback_merge(world: &mut World, args: &Args) -> Result<Lines, Trouble> {
    let machine = world.machine()?;
    let (region, epoch, position) = at_entry(machine, args)?;
    let commit = args.number("commit")?;
    let submission = Submission::RollbackMerge {
        region,
        epoch,
        position,
        commit,
    };
    carry_out(world, args, "rollback-merge", submission, |engine| {
        engine.rollback_merge(region, epoch, position, commit)
    })
}

fn begin_flashback(world: &mut World, args: &Args) -> Result<Lines, Trouble> {
    let machine = world.machine()?;
    let (region, epoch, position) = at_entry(machine, args)?;
    let submission = Submission::BeginFlashback {
        region,
        epoch,
        position,
    };
    carry_out(world, args, "begin-flashback", submission, |engine| {
        engine.begin_flashback(region, epoch, position)
    })
}

fn end_flashback(world: &mut World, args: &Args) -> Result<Lines, Trouble> {
    let machine = world.machine()?;
    let (region, epoch, position) = at_entry(machine, args)?;
    let submission = Submission::EndFlashback {
        region,
        epoch,
        position,
    };
    carry_out(world, args, "end-flashback", submission, |engine| {
        engine.end_flashback(region, epoch, position)
    })
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
    let changes: Vec<PeerChange> = changes.collect();
    let submission = Submission::EnterJoint {
        region,
        epoch,
        position,
        changes: changes.clone(),
    };
    carry_out(world, args, "enter-joint", submission, |engine| {
        engine.enter_joint(region, epoch, position, changes)
    })
}

fn leave_joint(world: &mut World, args: &Args) -> Result<Lines, Trouble> {
    let machine = world.machine()?;
    let (region, epoch, position) = at_entry(machine, args)?;
    let submission = Submission::LeaveJoint {
        region,
        epoch,
        position,
    };
    carry_out(world, args, "leave-joint", submission, |engine| {
        engine.leave_joint(region, epoch, position)
    })
}

fn switch_witness(world: &mut World, args: &Args) -> Result<Lines, Trouble> {
    let machine = world.machine()?;
    let (region, epoch, position) = at_entry(machine, args)?;
    let switch = |witness| move |peer| WitnessSwitch { peer, witness };
    let on = args.ids("on").into_iter().map(switch(true));
    let off = args.ids("off").into_iter().map(switch(false));
    let switches: Vec<WitnessSwitch> = on.chain(off).collect();
    let submission = Submission::SwitchWitness {
        region,
        epoch,
        position,
        switches: switches.clone(),
    };
    carry_out(world, args, "switch-witness", submission, |engine| {
        engine.switch_witness(region, epoch, position, switches)
    })
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
    let submission = Submission::InstallWitness {
        region,
        incarnation,
        description: description.clone(),
        position,
    };
    carry_out(world, args, "install-witness", submission, |engine| {
        engine.install_witness(region, incarnation, description, position)
    })
}
