//! Looking at a store: regions, peers, tombstones, the range ledger, the journal, invariants.

use torrens_journal::Lsn;

use super::checking;
use crate::RegionStatus;
use crate::lifecycle::OpenOperation;
use crate::play::args::Args;
use crate::play::show;
use crate::play::spec::{CommandSpec, at, command, maybe_at};
use crate::play::value::Kind;
use crate::play::world::{Lines, Trouble, World};

pub(super) const COMMANDS: &[CommandSpec] = &[
    command("peers", &[], peers, "Every live peer, as it is durable."),
    command(
        "region",
        &[at("region", Kind::Region)],
        region,
        "One region's peer, as it is durable.",
    ),
    command(
        "owner",
        &[at("key", Kind::Key)],
        owner,
        "The region that holds a key.",
    ),
    command(
        "status",
        &[maybe_at("region", Kind::Region)],
        status,
        "What the engine tells a host of a region's peer, or of every peer.",
    ),
    command(
        "families",
        &[],
        families,
        "The column families of the store.",
    ),
    command("tombstones", &[], tombstones, "Every tombstone."),
    command(
        "ledger",
        &[],
        ledger,
        "Who owns which keys: peers and pending deletions, in key order.",
    ),
    command(
        "open-operations",
        &[],
        open_operations,
        "What was begun and has not ended.",
    ),
    command(
        "positions",
        &[],
        positions,
        "Whether everything appended is synced, and everything synced published.",
    ),
    command(
        "journal",
        &[maybe_at("last", Kind::Number)],
        journal,
        "The last records in the journal's files, newest last; ten, or as many as asked for.",
    ),
    command(
        "check",
        &[],
        check,
        "Checks everything that always holds: invariants, ownership of every key in the data store, caches against the store, the journal against the register, no acknowledged transition lost.",
    ),
];

fn peers(world: &mut World, _: &Args) -> Result<Lines, Trouble> {
    let register = world.machine()?.durable()?;
    let live = register.region_ids();
    let line = |id| register.peer(id).map(|peer| show::peer(id, peer));
    Ok(show::none_if_empty(live.filter_map(line).collect()))
}

fn region(world: &mut World, args: &Args) -> Result<Lines, Trouble> {
    let id = args.region("region")?;
    let register = world.machine()?.durable()?;
    let line = register.peer(id).map(|peer| show::peer(id, peer));
    Ok(show::none_if_empty(line.into_iter().collect()))
}

fn owner(world: &mut World, args: &Args) -> Result<Lines, Trouble> {
    let key = args.key("key")?;
    let engine = world.machine()?.engine()?;
    let status = engine.region_for(&key);
    let line = status
        .as_ref()
        .map(|status| format!("{}{}", status.id, status.incarnation));
    let mut lines: Lines = line.into_iter().collect();
    let routed = engine.route(&key);
    if routed != status.map(|status| status.id) {
        lines.push(format!("but it is routed to {routed:?}"));
    }
    Ok(show::none_if_empty(lines))
}

fn status(world: &mut World, args: &Args) -> Result<Lines, Trouble> {
    let engine = world.machine()?.engine()?;
    let found = match args.opt_region("region") {
        Some(region) => engine.region(region).into_iter().collect(),
        None => engine.regions(),
    };
    let line = |status: RegionStatus| {
        let described = status
            .region
            .map_or(status.id.to_string(), |region| show::region(&region));
        format!(
            "{described} {}{} {} {} meta {} cache {}",
            status.peer,
            status.incarnation,
            status.stage,
            status.mode.as_str(),
            status
                .meta
                .map_or("none".to_owned(), |meta| meta.to_string()),
            status.cache.as_str()
        )
    };
    Ok(show::none_if_empty(found.into_iter().map(line).collect()))
}

fn families(world: &mut World, _: &Args) -> Result<Lines, Trouble> {
    let families = world.machine()?.engine()?.column_families();
    let names = families.named().map(|(name, _)| name.to_owned());
    Ok(names.collect())
}

fn tombstones(world: &mut World, _: &Args) -> Result<Lines, Trouble> {
    let all = world.machine()?.engine()?.tombstones();
    let line = |(region, tombstone)| show::tombstone(region, &tombstone);
    Ok(show::none_if_empty(all.into_iter().map(line).collect()))
}

fn ledger(world: &mut World, _: &Args) -> Result<Lines, Trouble> {
    Ok(show::ledger(&world.machine()?.durable()?))
}

fn open_operations(world: &mut World, _: &Args) -> Result<Lines, Trouble> {
    let open = world.machine()?.durable()?.open_operations();
    let line = |operation: OpenOperation| match operation {
        OpenOperation::SnapshotApply {
            region, snapshot, ..
        } => format!("snapshot apply of {region} at {}", snapshot.position),
        OpenOperation::Deletion {
            deletion, cause, ..
        } => format!(
            "deletion {deletion} of {} ({})",
            cause.region(),
            cause.as_str()
        ),
        OpenOperation::Reservation { region, .. } => {
            format!("keys kept free for a snapshot of {region}")
        }
        OpenOperation::Cache { region, state, .. } => {
            format!("cache of {region} ({})", state.as_str())
        }
    };
    Ok(show::none_if_empty(open.into_iter().map(line).collect()))
}

fn positions(world: &mut World, _: &Args) -> Result<Lines, Trouble> {
    let engine = world.machine()?.engine()?;
    let appended = engine.appended_register().last_lsn();
    let (synced, applied) = (engine.synced(), engine.register().last_lsn());
    let behind = |what: &str, from: Lsn, to: Lsn| match from.distance_from(to) {
        0 => format!("everything {what}"),
        count => format!("{count} not {what}"),
    };
    Ok(vec![
        behind("synced", appended, synced),
        behind("published", synced, applied),
    ])
}

fn journal(world: &mut World, args: &Args) -> Result<Lines, Trouble> {
    let wanted = args.opt_number("last").unwrap_or(10);
    let wanted = usize::try_from(wanted).unwrap_or(usize::MAX);
    let records = world
        .machine()?
        .records_from(Lsn::FIRST)
        .map_err(|error| Trouble::Script(error.to_string()))?;
    let skipped = records.len().saturating_sub(wanted);
    let line = |(_, description)| show::entry(&description);
    let lines = records.into_iter().skip(skipped).map(line);
    Ok(show::none_if_empty(lines.collect()))
}

fn check(world: &mut World, _: &Args) -> Result<Lines, Trouble> {
    let machine = world.machine()?;
    machine.engine()?;
    Ok(match checking::check(machine) {
        Ok(()) => vec!["ok".to_owned()],
        Err(violation) => vec![format!("violated: {violation}")],
    })
}
