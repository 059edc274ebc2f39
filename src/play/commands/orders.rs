//! What no log says: a bootstrap in steps, and orders about this store alone.

use super::epoch_of;
use crate::play::args::Args;
use crate::play::show;
use crate::play::spec::{CommandSpec, at, command, many, may, must};
use crate::play::value::Kind;
use crate::play::world::{Lines, Trouble, World};
use crate::{KeyRange, Region, RegionEpoch};

#[rustfmt::skip]
pub(super) const COMMANDS: &[CommandSpec] = &[
    command("prepare-bootstrap", &[at("region", Kind::Region), must("peers", Kind::Peers)], prepare_bootstrap,
        "The first step of a bootstrap: the region stands here, and the cluster has not agreed yet."),
    command("prepared-bootstrap", &[], prepared_bootstrap,
        "The region whose bootstrap waits for the cluster's word."),
    command("confirm-bootstrap", &[at("region", Kind::Region)], confirm_bootstrap,
        "The cluster agreed."),
    command("abandon-bootstrap", &[at("region", Kind::Region)], abandon_bootstrap,
        "Another store was first: what was prepared goes."),
    command("recover-region", &[at("region", Kind::Region), must("peers", Kind::Peers), must("epoch", Kind::Epoch), may("range", Kind::Range)], recover_region,
        "An operator orders a region into being, where nobody has its keys."),
    command("force-voters", &[at("region", Kind::Region), many("failed", Kind::Store), may("epoch", Kind::Epoch)], force_voters,
        "An operator demotes the voters of failed stores."),
    command("place-tombstone", &[at("region", Kind::Region), at("peer", Kind::Peer), must("epoch", Kind::Epoch)], place_tombstone,
        "An operator fences a region's peers up to one, whether they were here or not."),
    command("collect-tombstone", &[at("region", Kind::Region), at("peer", Kind::Peer)], collect_tombstone,
        "The host says that nothing late can come for these peers any more."),
];

fn prepare_bootstrap(world: &mut World, args: &Args) -> Result<Lines, Trouble> {
    let region = Region {
        id: args.region("region")?,
        range: KeyRange::all(),
        epoch: RegionEpoch::BOOTSTRAP,
        peers: args.peers("peers")?,
    };
    let answer = world.machine()?.engine()?.prepare_bootstrap(region)?;
    world.answered(answer)
}

fn prepared_bootstrap(world: &mut World, _: &Args) -> Result<Lines, Trouble> {
    let prepared = world.machine()?.engine()?.prepared_bootstrap();
    let lines = prepared.iter().map(ToString::to_string).collect();
    Ok(show::none_if_empty(lines))
}

fn confirm_bootstrap(world: &mut World, args: &Args) -> Result<Lines, Trouble> {
    let region = args.region("region")?;
    let answer = world.machine()?.engine()?.confirm_bootstrap(region)?;
    world.answered(answer)
}

fn abandon_bootstrap(world: &mut World, args: &Args) -> Result<Lines, Trouble> {
    let region = args.region("region")?;
    let answer = world.machine()?.engine()?.abandon_bootstrap(region)?;
    world.answered(answer)
}

fn recover_region(world: &mut World, args: &Args) -> Result<Lines, Trouble> {
    let region = Region {
        id: args.region("region")?,
        range: args.opt_range("range").unwrap_or_else(KeyRange::all),
        epoch: args.epoch("epoch")?,
        peers: args.peers("peers")?,
    };
    let answer = world.machine()?.engine()?.recover_region(region)?;
    world.answered(answer)
}

fn force_voters(world: &mut World, args: &Args) -> Result<Lines, Trouble> {
    let machine = world.machine()?;
    let region = args.region("region")?;
    let epoch = epoch_of(machine, region, args.opt_epoch("epoch"))?;
    let engine = machine.engine()?;
    let answer = engine.force_voters(region, epoch, args.stores("failed"))?;
    world.answered(answer)
}

fn place_tombstone(world: &mut World, args: &Args) -> Result<Lines, Trouble> {
    let (region, peer) = (args.region("region")?, args.peer("peer")?);
    let engine = world.machine()?.engine()?;
    let answer = engine.place_tombstone(region, peer, args.epoch("epoch")?)?;
    world.answered(answer)
}

fn collect_tombstone(world: &mut World, args: &Args) -> Result<Lines, Trouble> {
    let tombstone = (args.region("region")?, args.peer("peer")?);
    let answers = world
        .machine()?
        .engine()?
        .collect_tombstones(&[tombstone])?;
    let mut lines = Vec::new();
    for answer in answers {
        lines.extend(world.answered(answer)?);
    }
    Ok(lines)
}
