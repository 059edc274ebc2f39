//! Observers: who is told of changes, and what is attached.

use super::creation_of;
use crate::engine::{
    AddedObserver, AttachFailure, ObservedRegion, Rebase, TakeOverAnswer, TakenOver,
};
use crate::lifecycle::Reset;
use crate::observe::{Leadership, LeadershipRole, partition};
use crate::play::args::Args;
use crate::play::show;
use crate::play::spec::{CommandSpec, at, command, many, may, must};
use crate::play::value::Kind;
use crate::play::world::{Lines, Trouble, World};
use crate::{ObserverName, ObserverPolicy, StartFrom};

const FROM: Kind = Kind::Word(&["now", "oldest"]);
const ROLES: Kind = Kind::Word(&["leader", "pre-candidate", "candidate", "follower"]);
const HOW: Kind = Kind::Word(&["now", "scan", "after"]);
const FAILURES: Kind = Kind::Word(&["stale", "transient"]);
const YES: Kind = Kind::Word(&["yes", "no"]);

#[rustfmt::skip]
pub(super) const COMMANDS: &[CommandSpec] = &[
    command("add-observer", &[at("name", Kind::Text), many("range", Kind::Range), may("from", FROM), many("after", Kind::Mark), may("bytes", Kind::Number), may("age", Kind::Number), may("early", YES)], add,
        "Registers an observer of the ranges (all keys if none is given), from now, from the oldest that is kept, or after the indexes that it has. Answers its id and where it starts."),
    command("remove-observer", &[at("observer", Kind::Observer)], remove,
        "Removes an observer."),
    command("pause-observer", &[at("observer", Kind::Observer)], pause,
        "Delivers nothing to an observer for now, and keeps its place."),
    command("resume-observer", &[at("observer", Kind::Observer)], resume,
        "Goes on delivering to a paused observer."),
    command("limit-observer", &[at("observer", Kind::Observer), may("bytes", Kind::Number), may("age", Kind::Number), may("early", YES)], limit,
        "Changes how much is kept for an observer: bytes, and milliseconds."),
    command("rebase-observer", &[at("observer", Kind::Observer), at("how", HOW), many("region", Kind::Region), many("after", Kind::Mark)], rebase,
        "The consumer chooses where to go on: now, with a scan, or after the indexes that it has; in the regions given, or in all that lost changes."),
    command("take-over-positions", &[at("observer", Kind::Observer), many("after", Kind::Mark)], take_over,
        "The consumer was told of everything up to these indexes by other stores; what becomes of each."),
    command("observers", &[], observers,
        "Every observer, as durable, with how many of its regions are in which state."),
    command("observed", &[at("observer", Kind::Observer)], observed,
        "How far an observer is in each region, and why it is not further."),
    command("parts", &[at("observer", Kind::Observer)], parts,
        "The keys that an observer asks for, each part with the region that covers it here, or as a hole."),
    command("fail-attach", &[at("observer", Kind::Observer), at("region", Kind::Region), at("how", FAILURES), must("generation", Kind::Generation)], fail_attach,
        "Tells that an attachment does not deliver."),
    command("truth", &[at("region", Kind::Region), at("role", ROLES), must("term", Kind::Number), may("incarnation", Kind::Incarnation)], truth,
        "What the region's peer is in its Raft group now, for the audit to find; nothing is reported."),
    command("audit-observers", &[], audit,
        "Compares what should be observed with what is, everywhere, and puts it right."),
    command("observer-counters", &[], counters,
        "What was late, ignored or repaired since the store was opened."),
];

fn yes(args: &Args) -> Option<bool> {
    args.opt_word("early").map(|word| word == "yes")
}

fn add(world: &mut World, args: &Args) -> Result<Lines, Trouble> {
    let text = args.text("name")?;
    let name = ObserverName::new(&text)
        .ok_or_else(|| Trouble::Script(format!("{text} is no name of an observer")))?;
    let mut ranges = args.ranges("range");
    if ranges.is_empty() {
        ranges.push(crate::KeyRange::all());
    }
    let after = args.marks("after");
    let from = match (args.opt_word("from"), after.is_empty()) {
        (Some("oldest"), _) => StartFrom::Oldest,
        (None, false) => StartFrom::After(after),
        _ => StartFrom::Now,
    };
    let policy = ObserverPolicy {
        retain_bytes_max: args.opt_number("bytes"),
        retain_age_millis_max: args.opt_number("age"),
        early: yes(args).unwrap_or(false),
    };
    let machine = world.machine()?;
    match machine.engine()?.add_observer(name, ranges, from, policy)? {
        AddedObserver::Added {
            observer,
            lsn,
            starts,
        } => {
            machine.acknowledge(lsn);
            let starts = starts
                .iter()
                .map(|(region, acked)| format!(" {region}:{acked}"));
            Ok(vec![format!(
                "{observer}, after{}",
                starts.collect::<String>()
            )])
        }
        AddedObserver::Refused(refusal) => Err(Trouble::Refused(refusal)),
    }
}

fn remove(world: &mut World, args: &Args) -> Result<Lines, Trouble> {
    let observer = args.observer("observer")?;
    let answer = world.machine()?.engine()?.remove_observer(observer)?;
    world.answered(answer)
}

fn pause(world: &mut World, args: &Args) -> Result<Lines, Trouble> {
    let observer = args.observer("observer")?;
    let answer = world.machine()?.engine()?.pause_observer(observer)?;
    world.answered(answer)
}

fn resume(world: &mut World, args: &Args) -> Result<Lines, Trouble> {
    let observer = args.observer("observer")?;
    let answer = world.machine()?.engine()?.resume_observer(observer)?;
    world.answered(answer)
}

fn limit(world: &mut World, args: &Args) -> Result<Lines, Trouble> {
    let observer = args.observer("observer")?;
    let engine = world.machine()?.engine()?;
    let now = engine
        .observer(observer)
        .map(|status| status.policy)
        .unwrap_or_default();
    let policy = ObserverPolicy {
        retain_bytes_max: args.opt_number("bytes").or(now.retain_bytes_max),
        retain_age_millis_max: args.opt_number("age").or(now.retain_age_millis_max),
        early: yes(args).unwrap_or(now.early),
    };
    let answer = engine.set_observer_policy(observer, policy)?;
    world.answered(answer)
}

fn rebase(world: &mut World, args: &Args) -> Result<Lines, Trouble> {
    let observer = args.observer("observer")?;
    let rebase = match args.word("how")? {
        "scan" => Rebase::Scan,
        "after" => Rebase::After(args.marks("after")),
        _ => Rebase::Now,
    };
    let engine = world.machine()?.engine()?;
    let answer = engine.rebase_observer(observer, &args.regions("region"), rebase)?;
    world.answered(answer)
}

fn take_over(world: &mut World, args: &Args) -> Result<Lines, Trouble> {
    let (observer, positions) = (args.observer("observer")?, args.marks("after"));
    let engine = world.machine()?.engine()?;
    match engine.take_over_positions(observer, &positions)? {
        TakeOverAnswer::Refused(refusal) => Err(Trouble::Refused(refusal)),
        TakeOverAnswer::Each(each) => Ok(each
            .into_iter()
            .map(|(region, became)| match became {
                TakenOver::Gone { oldest, snapshot } => {
                    format!("{region} gone: from {oldest} on, or a scan at {snapshot}")
                }
                became => format!("{region} {}", became.code()),
            })
            .collect()),
    }
}

fn observers(world: &mut World, _: &Args) -> Result<Lines, Trouble> {
    let all = world.machine()?.engine()?.observers();
    let lines = all.into_iter().map(|status| {
        let ranges = status
            .ranges
            .iter()
            .map(|range| format!(" {}", show::range(range)));
        let mut line = format!(
            "{} {}{}",
            status.id,
            status.name,
            ranges.collect::<String>()
        );
        if status.paused {
            line.push_str(" paused");
        }
        let policy = status.policy;
        for (name, limit) in [
            ("bytes", policy.retain_bytes_max),
            ("age", policy.retain_age_millis_max),
        ] {
            line.extend(limit.map(|limit| format!(" {name}={limit}")));
        }
        if policy.early {
            line.push_str(" early");
        }
        let regions = status.regions;
        for (state, count) in [
            ("live", regions.live),
            ("catching-up", regions.catching_up),
            ("wanted", regions.wanted),
            ("draining", regions.draining),
            ("invalidated", regions.invalidated),
        ] {
            if count > 0 {
                line.push_str(&format!(", {count} {state}"));
            }
        }
        line
    });
    Ok(show::none_if_empty(lines.collect()))
}

fn observed(world: &mut World, args: &Args) -> Result<Lines, Trouble> {
    let observer = args.observer("observer")?;
    let regions = world.machine()?.engine()?.observed_regions(observer);
    Ok(show::none_if_empty(
        regions.iter().map(region_line).collect(),
    ))
}

fn region_line(observed: &ObservedRegion) -> String {
    let mut line = observed.region.to_string();
    line.extend(
        observed
            .range
            .iter()
            .map(|range| format!(" {}", show::range(range))),
    );
    line.push_str(&format!(" {}", observed.state));
    let why = observed
        .reason
        .filter(|reason| reason.code() != observed.state);
    line.extend(why.map(|reason| format!(" ({reason})")));
    if observed.generation.0 > 0 {
        line.push_str(&format!(" {}", observed.generation));
    }
    line.extend(observed.term.map(|term| format!(" in t{term}")));
    line.push_str(&format!(" acked i{}", observed.acked));
    if observed.range.is_some() {
        line.push_str(&format!(" applied i{}", observed.applied));
    }
    line.extend(
        observed
            .after
            .map(|(region, index)| format!(" after {region}:{index}")),
    );
    if observed.reset != Reset::None {
        line.push_str(&format!(" reset={}", observed.reset.as_str()));
    }
    line
}

fn parts(world: &mut World, args: &Args) -> Result<Lines, Trouble> {
    let observer = args.observer("observer")?;
    let register = world.machine()?.engine()?.register();
    let Some(known) = register.observers().get(observer) else {
        return Ok(show::none_if_empty(Vec::new()));
    };
    let parts = partition(&register, known).into_iter().map(|part| {
        let covered = part
            .region
            .map_or("hole".to_owned(), |region| region.to_string());
        format!("{} {covered}", show::range(&part.range))
    });
    Ok(parts.collect())
}

fn fail_attach(world: &mut World, args: &Args) -> Result<Lines, Trouble> {
    let failure = match args.word("how")? {
        "stale" => AttachFailure::Stale,
        _ => AttachFailure::Transient,
    };
    let (observer, region) = (args.observer("observer")?, args.region("region")?);
    let generation = args.generation("generation")?;
    let engine = world.machine()?.engine()?;
    let is_current = engine.report_attach_failure(observer, region, generation, failure)?;
    Ok(vec![
        if is_current { "noted" } else { "ignored" }.to_owned(),
    ])
}

fn truth(world: &mut World, args: &Args) -> Result<Lines, Trouble> {
    let machine = world.machine()?;
    let region = args.region("region")?;
    let incarnation = creation_of(machine, region, args.opt_ordinal("incarnation"))?;
    let role = match args.word("role")? {
        "leader" => LeadershipRole::Leader,
        "pre-candidate" => LeadershipRole::PreCandidate,
        "candidate" => LeadershipRole::Candidate,
        _ => LeadershipRole::Follower,
    };
    let term = args.number("term")?;
    let told = Leadership {
        incarnation,
        term,
        role,
    };
    machine.truth.tell(region, told);
    Ok(vec!["known to the host".to_owned()])
}

fn audit(world: &mut World, _: &Args) -> Result<Lines, Trouble> {
    let report = world.machine()?.engine()?.audit_observers()?;
    let mut lines = vec![format!(
        "attachments={} repaired={} leaderships={}",
        report.attachments, report.attachments_repaired, report.leaderships_repaired
    )];
    let holes = report.holes.iter();
    lines.extend(holes.map(|(observer, range)| format!("hole {observer} {}", show::range(range))));
    Ok(lines)
}

fn counters(world: &mut World, _: &Args) -> Result<Lines, Trouble> {
    let counters = world.machine()?.engine()?.observer_counters();
    Ok(vec![
        format!("late-reports={}", counters.reports_late),
        format!("ignored-failures={}", counters.failures_ignored),
        format!("audits={}", counters.audits),
        format!("repairs={}", counters.audit_repairs),
    ])
}
