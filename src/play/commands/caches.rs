//! The caches of hot regions: asked for, given up, waited for, looked at.
//!
//! Not here: settings, labels and what the keeper does by itself (`keeping`).

use std::time::Duration;

use super::{creation_of, epoch_of};
use crate::engine::{CacheOutcome, LeadershipAnswer, Preload, PreloadOutcome};
use crate::lifecycle::CacheEntry;
use crate::observe::LeadershipRole;
use crate::play::args::Args;
use crate::play::machine::{Machine, Ticket};
use crate::play::show;
use crate::play::spec::{CommandSpec, at, command, may, must};
use crate::play::value::Kind;
use crate::play::world::{Lines, Trouble, World};
use crate::{CacheTicket, EvictReason};

/// What a host may give as the reason of an eviction.
const REASONS: Kind = Kind::Word(&[
    "requested",
    "memory-limit",
    "load-failed",
    "split",
    "snapshot",
    "destroyed",
    "damaged",
    "restart",
    "cold",
    "leadership-lost",
    "merge",
    "delete-range",
    "ingest",
    "flashback",
    "label-removed",
    "disabled",
    "mismatch",
    "witness",
]);
const ROLES: Kind = Kind::Word(&["leader", "pre-candidate", "candidate", "follower"]);

/// How long a preload may be waited for if the scenario does not say.
const PATIENCE: Duration = Duration::from_secs(3600);

#[rustfmt::skip]
pub(super) const COMMANDS: &[CommandSpec] = &[
    command("load", &[at("region", Kind::Region), may("epoch", Kind::Epoch), may("as", Kind::Name)], load,
        "Asks for the region to be held in memory; `step` fills it. It waits (`load-queued`) while other regions' memory with keys of it is on its way out. `as` names a ticket of the load."),
    command("evict", &[at("region", Kind::Region), may("reason", REASONS), may("as", Kind::Name)], evict,
        "Stops serving the region from memory; `step` frees it when nothing pins it. `as` names a ticket of the eviction."),
    command("load-range", &[at("range", Kind::Range), may("as", Kind::Name)], load_range,
        "Loads every region that overlaps a range. `as` names the tickets: `NAME-r7` for region 7."),
    command("evict-range", &[at("range", Kind::Range), may("reason", REASONS), may("as", Kind::Name)], evict_range,
        "Evicts every region that overlaps a range. `as` names the tickets: `NAME-r7` for region 7."),
    command("preload", &[at("region", Kind::Region), may("epoch", Kind::Epoch), may("patience", Kind::Number), may("as", Kind::Name)], preload,
        "Another store hands the region's leadership over. `patience` is in milliseconds; `as` names a ticket."),
    command("ticket", &[at("ticket", Kind::Name)], ticket,
        "What a load, an eviction or a preload has come to."),
    command("leadership", &[at("region", Kind::Region), at("role", ROLES), must("term", Kind::Number), may("incarnation", Kind::Incarnation)], leadership,
        "Tells what the region's peer is in its Raft group now."),
    command("cache", &[], cache,
        "Every cache that is not absent, as decided; what is not durable yet is marked."),
    command("cache-bytes", &[], cache_bytes,
        "Whether the caches hold any memory."),
];

fn load(world: &mut World, args: &Args) -> Result<Lines, Trouble> {
    let machine = world.machine()?;
    let region = args.region("region")?;
    let epoch = epoch_of(machine, region, args.opt_epoch("epoch"))?;
    let Some(name) = args.opt_text("as") else {
        let answer = machine.engine()?.load(region, epoch)?;
        return world.answered(answer);
    };
    let (answer, ticket) = machine.engine()?.load_tracked(region, epoch)?;
    keep(machine, name, ticket);
    world.answered(answer)
}

/// Keeps a ticket under a name; a request without one takes the name away.
fn keep(machine: &mut Machine, name: String, ticket: Option<CacheTicket>) {
    match ticket {
        Some(ticket) => machine.tickets.insert(name, Ticket::Cache(ticket)),
        None => machine.tickets.remove(&name),
    };
}

/// The reason that an argument names.
fn reason_of(args: &Args) -> EvictReason {
    let word = args.opt_word("reason");
    let named = EvictReason::ALL
        .into_iter()
        .find(|reason| Some(reason.as_str()) == word);
    named.unwrap_or(EvictReason::Requested)
}

fn evict(world: &mut World, args: &Args) -> Result<Lines, Trouble> {
    let machine = world.machine()?;
    let region = args.region("region")?;
    if args.opt_text("as").is_none() && args.opt_word("reason").is_none() {
        let answer = machine.engine()?.evict(region)?;
        return world.answered(answer);
    }
    let (answer, ticket) = machine.engine()?.evict_tracked(region, reason_of(args))?;
    if let Some(name) = args.opt_text("as") {
        keep(machine, name, Some(ticket));
    }
    world.answered(answer)
}

/// One line for each region that there is a ticket of.
fn keep_all(machine: &mut Machine, name: Option<&str>, tickets: Vec<CacheTicket>) -> Lines {
    let mut lines = Vec::new();
    for ticket in tickets {
        let region = ticket.region();
        lines.push(region.to_string());
        if let Some(name) = name {
            keep(machine, format!("{name}-{region}"), Some(ticket));
        }
    }
    show::none_if_empty(lines)
}

fn load_range(world: &mut World, args: &Args) -> Result<Lines, Trouble> {
    let machine = world.machine()?;
    let tickets = machine.engine()?.load_range(&args.range("range")?)?;
    Ok(keep_all(machine, args.opt_text("as").as_deref(), tickets))
}

fn evict_range(world: &mut World, args: &Args) -> Result<Lines, Trouble> {
    let machine = world.machine()?;
    let (range, reason) = (args.range("range")?, reason_of(args));
    let tickets = machine.engine()?.evict_range(&range, reason)?;
    Ok(keep_all(machine, args.opt_text("as").as_deref(), tickets))
}

fn preload(world: &mut World, args: &Args) -> Result<Lines, Trouble> {
    let machine = world.machine()?;
    let region = args.region("region")?;
    let epoch = epoch_of(machine, region, args.opt_epoch("epoch"))?;
    let patience = args.opt_number("patience");
    let patience = patience.map_or(PATIENCE, Duration::from_millis);
    let line = match machine.engine()?.preload(region, epoch, patience)? {
        Preload::Ready => "ready".to_owned(),
        Preload::Refused(refusal) => format!("refused {}: {refusal}", refusal.code()),
        Preload::Loading(ticket) => {
            if let Some(name) = args.opt_text("as") {
                machine.tickets.insert(name, Ticket::Preload(ticket));
            }
            "loading".to_owned()
        }
    };
    Ok(vec![line])
}

fn ticket(world: &mut World, args: &Args) -> Result<Lines, Trouble> {
    let name = args.text("ticket")?;
    let unknown = || Trouble::Script(format!("there is no ticket {name}"));
    let ticket = world.machine()?.tickets.get(&name).ok_or_else(unknown)?;
    let cancelled = |why: Option<EvictReason>| match why {
        None => "cancelled".to_owned(),
        Some(why) => format!("cancelled ({})", why.as_str()),
    };
    let line = match ticket {
        Ticket::Cache(ticket) => match ticket.outcome() {
            None => "not yet".to_owned(),
            Some(CacheOutcome::Done) => "done".to_owned(),
            Some(CacheOutcome::Cancelled(why)) => cancelled(why),
            Some(CacheOutcome::PeerGone) => "the peer is gone".to_owned(),
            Some(CacheOutcome::Closed) => "the store is closed".to_owned(),
        },
        Ticket::Preload(ticket) => match ticket.poll() {
            None => "not yet".to_owned(),
            Some(PreloadOutcome::Ready) => "ready".to_owned(),
            Some(PreloadOutcome::DeadlinePassed) => "the deadline passed".to_owned(),
            Some(PreloadOutcome::Cancelled(why)) => cancelled(why),
        },
    };
    Ok(vec![line])
}

fn leadership(world: &mut World, args: &Args) -> Result<Lines, Trouble> {
    let machine = world.machine()?;
    let region = args.region("region")?;
    let incarnation = creation_of(machine, region, args.opt_ordinal("incarnation"))?;
    let role = match args.word("role")? {
        "leader" => LeadershipRole::Leader,
        "pre-candidate" => LeadershipRole::PreCandidate,
        "candidate" => LeadershipRole::Candidate,
        _ => LeadershipRole::Follower,
    };
    let engine = machine.engine()?;
    let answer = engine.report_leadership(region, incarnation, args.number("term")?, role)?;
    Ok(vec![match answer {
        LeadershipAnswer::Noted => "noted".to_owned(),
        LeadershipAnswer::Loading => "loading".to_owned(),
        LeadershipAnswer::SteppedDown => "stepped down".to_owned(),
        LeadershipAnswer::Stale { known } => format!("stale: term {known} is known"),
        LeadershipAnswer::PeerGone => "the peer is gone".to_owned(),
    }])
}

fn cache(world: &mut World, _: &Args) -> Result<Lines, Trouble> {
    let engine = world.machine()?.engine()?;
    let (decided, durable) = (engine.appended_register(), engine.register());
    let mut lines = Vec::new();
    for (region, slot) in decided.slots() {
        let (now, then) = (*slot.cache, durable.cache(region));
        if now == CacheEntry::Absent && then == CacheEntry::Absent {
            continue;
        }
        let line = show::cache(region, &now);
        lines.push(match now == then {
            true => line,
            false => format!("{line} (durable: {})", then.state().as_str()),
        });
    }
    Ok(show::none_if_empty(lines))
}

fn cache_bytes(world: &mut World, _: &Args) -> Result<Lines, Trouble> {
    let bytes = world.machine()?.engine()?.cache_bytes();
    Ok(vec![if bytes == 0 { "none" } else { "some" }.to_owned()])
}
