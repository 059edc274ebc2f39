//! What no log says: a bootstrap in steps, and orders about this store alone.

use super::epoch_of;
use super::submissions::{BY, carry_out};
use crate::engine::Submission;
use crate::play::args::Args;
use crate::play::show;
use crate::play::spec::{CommandSpec, at, command, many, may, must};
use crate::play::value::Kind;
use crate::play::world::{Lines, Trouble, World};
use crate::{KeyRange, Region, RegionEpoch};

#[rustfmt::skip]
pub(super) const COMMANDS: &[CommandSpec] = &[
    command("prepare-bootstrap", &[at("region", Kind::Region), must("peers", Kind::Peers), may("by", BY)], prepare_bootstrap,
        "The first step of a bootstrap: the region stands here, and the cluster has not agreed yet."),
    command("prepared-bootstrap", &[], prepared_bootstrap,
        "The region whose bootstrap waits for the cluster's word."),
    command("confirm-bootstrap", &[at("region", Kind::Region), may("by", BY)], confirm_bootstrap,
        "The cluster agreed."),
    command("abandon-bootstrap", &[at("region", Kind::Region), may("by", BY)], abandon_bootstrap,
        "Another store was first: what was prepared goes."),
    command("recover-region", &[at("region", Kind::Region), must("peers", Kind::Peers), must("epoch", Kind::Epoch), may("range", Kind::Range), may("by", BY)], recover_region,
        "An operator orders a region into being, where nobody has its keys."),
    command("force-voters", &[at("region", Kind::Region), many("failed", Kind::Store), may("epoch", Kind::Epoch), may("by", BY)], force_voters,
        "An operator demotes the voters of failed stores."),
    command("place-tombstone", &[at("region", Kind::Region), at("peer", Kind::Peer), must("epoch", Kind::Epoch), may("by", BY)], place_tombstone,
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
    let submission = Submission::PrepareBootstrap {
        region: region.clone(),
    };
    carry_out(world, args, "prepare-bootstrap", submission, |engine| {
        engine.prepare_bootstrap(region)
    })
}

fn prepared_bootstrap(world: &mut World, _: &Args) -> Result<Lines, Trouble> {
    let prepared = world.machine()?.engine()?.prepared_bootstrap();
    let lines = prepared.iter().map(ToString::to_string).collect();
    Ok(show::none_if_empty(lines))
}

fn confirm_bootstrap(world: &mut World, args: &Args) -> Result<Lines, Trouble> {
    let region = args.region("region")?;
    let submission = Submission::ConfirmBootstrap { region };
    carry_out(world, args, "confirm-bootstrap", submission, |engine| {
        engine.confirm_bootstrap(region)
    })
}

fn abandon_bootstrap(world: &mut World, args: &Args) -> Result<Lines, Trouble> {
    let region = args.region("region")?;
    let submission = Submission::AbandonBootstrap { region };
    carry_out(world, args, "abandon-bootstrap", submission, |engine| {
        engine.abandon_bootstrap(region)
    })
}

fn recover_region(world: &mut World, args: &Args) -> Result<Lines, Trouble> {
    let region = Region {
        id: args.region("region")?,
        range: args.opt_range("range").unwrap_or_else(KeyRange::all),
        epoch: args.epoch("epoch")?,
        peers: args.peers("peers")?,
    };
    let submission = Submission::RecoverRegion {
        region: region.clone(),
    };
    carry_out(world, args, "recover-region", submission, |engine| {
        engine.recover_region(region)
    })
}

fn force_voters(world: &mut World, args: &Args) -> Result<Lines, Trouble> {
    let machine = world.machine()?;
    let region = args.region("region")?;
    let epoch = epoch_of(machine, region, args.opt_epoch("epoch"))?;
    let failed = args.stores("failed");
    let submission = Submission::ForceVoters {
        region,
        epoch,
        failed: failed.clone(),
    };
    carry_out(world, args, "force-voters", submission, |engine| {
        engine.force_voters(region, epoch, failed)
    })
}

fn place_tombstone(world: &mut World, args: &Args) -> Result<Lines, Trouble> {
    let (region, peer) = (args.region("region")?, args.peer("peer")?);
    let epoch = args.epoch("epoch")?;
    let submission = Submission::PlaceTombstone {
        region,
        peer,
        epoch,
    };
    carry_out(world, args, "place-tombstone", submission, |engine| {
        engine.place_tombstone(region, peer, epoch)
    })
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
