//! Transitions of regions and peers.

use super::epoch_of;
use super::submissions::{BY, carry_out};
use crate::engine::Submission;
use crate::lifecycle::{DestroyCause, PeerChange};
use crate::play::args::Args;
use crate::play::machine::Machine;
use crate::play::spec::{CommandSpec, at, command, many, may, must};
use crate::play::value::Kind;
use crate::play::world::{Lines, Trouble, World};
use crate::{Derive, KeyRange, RaftPosition, Region, RegionEpoch, RegionId, Split, StoreId};

const SIDES: Kind = Kind::Word(&["left", "right"]);
const CAUSES: Kind = Kind::Word(&["operator", "removed", "larger-peer", "merged"]);

pub(super) const COMMANDS: &[CommandSpec] = &[
    command(
        "bootstrap",
        &[
            at("region", Kind::Region),
            must("peers", Kind::Peers),
            may("epoch", Kind::Epoch),
            may("range", Kind::Range),
            may("by", BY),
        ],
        bootstrap,
        "Creates the first region of a cluster.",
    ),
    command(
        "create-peer",
        &[
            at("region", Kind::Region),
            at("peer", Kind::Peer),
            may("from", Kind::Store),
            may("epoch", Kind::Epoch),
        ],
        create_peer,
        "A message for a peer that is not here arrived.",
    ),
    command(
        "split",
        &[
            at("region", Kind::Region),
            must("at", Kind::Position),
            many("boundary", Kind::Key),
            many("child", Kind::Child),
            may("epoch", Kind::Epoch),
            may("incarnation", Kind::Incarnation),
            may("derive", SIDES),
            may("by", BY),
        ],
        split,
        "Raft committed a split: boundaries and new regions in key order.",
    ),
    command(
        "add-peer",
        &[
            at("region", Kind::Region),
            at("peers", Kind::Peers),
            must("at", Kind::Position),
            may("epoch", Kind::Epoch),
        ],
        add_peer,
        "Raft committed a change that adds one peer.",
    ),
    command(
        "remove-peer",
        &[
            at("region", Kind::Region),
            at("peer", Kind::Peer),
            must("at", Kind::Position),
            may("epoch", Kind::Epoch),
        ],
        remove_peer,
        "Raft committed a change that removes one peer, perhaps this store's own.",
    ),
    command(
        "promote-peer",
        &[
            at("region", Kind::Region),
            at("peer", Kind::Peer),
            must("at", Kind::Position),
            may("epoch", Kind::Epoch),
        ],
        promote_peer,
        "Raft committed a change that makes a learner a voter.",
    ),
    command(
        "demote-peer",
        &[
            at("region", Kind::Region),
            at("peer", Kind::Peer),
            must("at", Kind::Position),
            may("epoch", Kind::Epoch),
        ],
        demote_peer,
        "Raft committed a change that makes a voter a learner.",
    ),
    command(
        "destroy",
        &[
            at("region", Kind::Region),
            at("peer", Kind::Peer),
            may("incarnation", Kind::Incarnation),
            may("epoch", Kind::Epoch),
            may("cause", CAUSES),
            may("newer", Kind::Epoch),
            may("by", Kind::Peer),
            may("target", Kind::Region),
        ],
        destroy,
        "Removes a peer: by an operator, because a message says so (`newer`), for a larger peer (`by`), or because its region was merged (`target`).",
    ),
];

fn bootstrap(world: &mut World, args: &Args) -> Result<Lines, Trouble> {
    let region = Region {
        id: args.region("region")?,
        range: args.opt_range("range").unwrap_or_else(KeyRange::all),
        epoch: args.opt_epoch("epoch").unwrap_or(RegionEpoch::BOOTSTRAP),
        peers: args.peers("peers")?,
    };
    let submission = Submission::Bootstrap {
        region: region.clone(),
    };
    carry_out(world, args, "bootstrap", submission, |engine| {
        engine.bootstrap(region)
    })
}

fn create_peer(world: &mut World, args: &Args) -> Result<Lines, Trouble> {
    let from = args.opt_store("from").unwrap_or(StoreId(2));
    let epoch = args.opt_epoch("epoch").unwrap_or(RegionEpoch::BOOTSTRAP);
    let (region, peer) = (args.region("region")?, args.peer("peer")?);
    let engine = world.machine()?.engine()?;
    let answer = engine.create_peer(region, peer, from, epoch)?;
    world.answered(answer)
}

/// The split that the arguments describe.
pub(super) fn split_of(world: &mut World, args: &Args) -> Result<Split, Trouble> {
    let machine = world.machine()?;
    let region = args.region("region")?;
    let incarnation = args.opt_ordinal("incarnation");
    let incarnation = incarnation.map(|ordinal| machine.creation(region, ordinal));
    Ok(Split {
        region,
        incarnation: incarnation.transpose()?,
        epoch: epoch_of(machine, region, args.opt_epoch("epoch"))?,
        position: args.position("at")?,
        boundaries: args.keys("boundary"),
        children: args.children("child"),
        derive: match args.opt_word("derive") {
            Some("right") => Derive::Right,
            _ => Derive::Left,
        },
    })
}

fn split(world: &mut World, args: &Args) -> Result<Lines, Trouble> {
    let split = split_of(world, args)?;
    let submission = Submission::Split(split.clone());
    carry_out(world, args, "split", submission, |engine| {
        engine.split(split)
    })
}

/// Region, epoch and position of a committed entry.
pub(super) fn at_entry(
    machine: &Machine,
    args: &Args,
) -> Result<(RegionId, RegionEpoch, RaftPosition), Trouble> {
    let region = args.region("region")?;
    let epoch = epoch_of(machine, region, args.opt_epoch("epoch"))?;
    Ok((region, epoch, args.position("at")?))
}

fn change(world: &mut World, args: &Args, change: PeerChange) -> Result<Lines, Trouble> {
    let machine = world.machine()?;
    let (region, epoch, position) = at_entry(machine, args)?;
    let engine = machine.engine()?;
    let answer = engine.change_peers(region, epoch, position, change)?;
    world.answered(answer)
}

fn add_peer(world: &mut World, args: &Args) -> Result<Lines, Trouble> {
    let peers = args.peers("peers")?;
    let [peer] = peers.as_slice() else {
        return Err(Trouble::Script("exactly one peer is added".to_owned()));
    };
    change(world, args, PeerChange::Add { peer: *peer })
}

fn remove_peer(world: &mut World, args: &Args) -> Result<Lines, Trouble> {
    let peer = args.peer("peer")?;
    change(world, args, PeerChange::Remove { peer })
}

fn promote_peer(world: &mut World, args: &Args) -> Result<Lines, Trouble> {
    let peer = args.peer("peer")?;
    change(world, args, PeerChange::Promote { peer })
}

fn demote_peer(world: &mut World, args: &Args) -> Result<Lines, Trouble> {
    let peer = args.peer("peer")?;
    change(world, args, PeerChange::Demote { peer })
}

/// Why the arguments say that the peer has to go.
pub(super) fn cause_of(args: &Args) -> Result<DestroyCause, Trouble> {
    Ok(match args.opt_word("cause") {
        Some("removed") => DestroyCause::Removed {
            epoch: args.epoch("newer")?,
        },
        Some("larger-peer") => DestroyCause::LargerPeer {
            peer: args.peer("by")?,
        },
        Some("merged") => DestroyCause::Merged {
            target: args.region("target")?,
        },
        _ => DestroyCause::Operator,
    })
}

fn destroy(world: &mut World, args: &Args) -> Result<Lines, Trouble> {
    let machine = world.machine()?;
    let (region, peer) = (args.region("region")?, args.peer("peer")?);
    let incarnation = args.opt_ordinal("incarnation");
    let incarnation = incarnation.map(|ordinal| machine.creation(region, ordinal));
    let epoch = epoch_of(machine, region, args.opt_epoch("epoch"))?;
    let (incarnation, cause) = (incarnation.transpose()?, cause_of(args)?);
    let engine = machine.engine()?;
    let answer = engine.destroy(region, epoch, incarnation, peer, cause)?;
    world.answered(answer)
}
