//! The history of observed regions, and what a consumer is told of it.

use std::time::Duration;

use crate::engine::{
    Ack, AckAnswer, ObserveOptions, TransitionFollower, Transitions, TransitionsError,
};
use crate::observe::{FeedItem, Generation, HistorySettings};
use crate::play::args::Args;
use crate::play::show;
use crate::play::spec::{CommandSpec, at, command, many, may};
use crate::play::value::Kind;
use crate::play::world::{Lines, Trouble, World};
use crate::{EngineError, Refusal};

const YES_NO: Kind = Kind::Word(&["yes", "no"]);

#[rustfmt::skip]
pub(super) const COMMANDS: &[CommandSpec] = &[
    command("set-history", &[may("bytes", Kind::Number), may("age", Kind::Number), may("tail", Kind::Number), may("transitions", Kind::Number), many("range", Kind::Range)], set_history,
        "Changes how much history of observed regions is kept, in bytes and milliseconds, of which ranges although nobody observes them, and how many bytes of the journal for followers of transitions; what is not given stays."),
    command("history-settings", &[], history_settings,
        "How much history is kept."),
    command("history", &[], history,
        "How many records the history has had, the oldest that is left, and how many could not be kept."),
    command("retain-history", &[], retain_history,
        "Lets go what nobody needs any more, and what is beyond a limit, after its observers were told."),
    command("subscribe", &[at("observer", Kind::Observer), may("early", YES_NO)], subscribe,
        "Opens the subscription of an observer."),
    command("unsubscribe", &[at("observer", Kind::Observer)], unsubscribe,
        "Lets a subscription go."),
    command("next", &[at("observer", Kind::Observer), may("count", Kind::Number)], next,
        "What the observer is told next, as far as there is anything now."),
    command("ack", &[at("observer", Kind::Observer), at("region", Kind::Region), at("index", Kind::Number), may("generation", Kind::Generation), may("durable", YES_NO)], ack,
        "Acknowledges everything of a region up to an index, under its current generation unless another is given."),
    command("progress", &[at("observer", Kind::Observer)], progress,
        "Whether everything observed is being told, or what is not."),
    command("lag", &[at("observer", Kind::Observer)], lag,
        "How far the observer is behind in each region."),
    command("transitions", &[may("from", Kind::Number)], transitions,
        "How many transitions the store's journal has from a position on."),
    command("follow-transitions", &[at("name", Kind::Name), may("from", Kind::Number)], follow_transitions,
        "Follows the transitions from a position on, under a name."),
    command("next-transitions", &[at("name", Kind::Name)], next_transitions,
        "How many transitions that follower has not read, which are read now."),
    command("unfollow-transitions", &[at("name", Kind::Name)], unfollow_transitions,
        "Lets that follower go."),
    command("followers", &[], followers,
        "Who follows transitions, how far it is, and how near to losing its place."),
];

fn is_yes(args: &Args, name: &'static str) -> bool {
    args.opt_word(name) == Some("yes")
}

fn shown(settings: &HistorySettings) -> Lines {
    let age = settings.age_max.map(|age| format!("{age:?}"));
    let mut lines = vec![
        format!("bytes={}", settings.bytes_max),
        format!("age={}", age.unwrap_or("none".to_owned())),
        format!("tail={}", settings.tail_bytes),
        format!("transitions={}", settings.transitions_bytes_max),
    ];
    lines.extend(
        settings
            .ranges
            .iter()
            .map(|range| format!("range={}", show::range(range))),
    );
    lines
}

fn set_history(world: &mut World, args: &Args) -> Result<Lines, Trouble> {
    let engine = world.machine()?.engine()?;
    let mut settings = engine.history_settings();
    if let Some(bytes) = args.opt_number("bytes") {
        settings.bytes_max = bytes;
    }
    if let Some(age) = args.opt_number("age") {
        settings.age_max = (age > 0).then(|| Duration::from_millis(age));
    }
    if let Some(tail) = args.opt_number("tail") {
        settings.tail_bytes = usize::try_from(tail).unwrap_or(usize::MAX);
    }
    if let Some(bytes) = args.opt_number("transitions") {
        settings.transitions_bytes_max = bytes;
    }
    let ranges = args.ranges("range");
    if !ranges.is_empty() {
        settings.ranges = ranges;
    }
    engine.set_history_settings(settings)?;
    Ok(shown(&engine.history_settings()))
}

fn history_settings(world: &mut World, _: &Args) -> Result<Lines, Trouble> {
    let engine = world.machine()?.engine()?;
    Ok(shown(&engine.history_settings()))
}

fn history(world: &mut World, _: &Args) -> Result<Lines, Trouble> {
    let stats = world.machine()?.engine()?.history_stats();
    if !stats.is_open {
        return Ok(vec!["none".to_owned()]);
    }
    Ok(vec![format!(
        "{} records, from {} on, of {} regions, {} missed",
        stats.appended, stats.oldest, stats.regions, stats.missed
    )])
}

fn retain_history(world: &mut World, _: &Args) -> Result<Lines, Trouble> {
    let report = world.machine()?.engine()?.retain_history()?;
    Ok(vec![format!(
        "needed from {} on, kept from {} on, {} invalidated",
        report.below, report.oldest, report.invalidated
    )])
}

fn subscribe(world: &mut World, args: &Args) -> Result<Lines, Trouble> {
    let machine = world.machine()?;
    let options = match args.opt_word("early") {
        None => ObserveOptions::default(),
        Some(_) => ObserveOptions::default().early(is_yes(args, "early")),
    };
    let observer = args.observer("observer")?;
    let opened = machine.engine()?.observe(observer, options);
    let subscription = opened.map_err(Trouble::Observe)?;
    machine.subscriptions.insert(observer, subscription);
    Ok(vec!["ok".to_owned()])
}

fn unsubscribe(world: &mut World, args: &Args) -> Result<Lines, Trouble> {
    let observer = args.observer("observer")?;
    let gone = world.machine()?.subscriptions.remove(&observer);
    let missing = || Trouble::Script(format!("there is no subscription of {observer}"));
    gone.map(|_| vec!["ok".to_owned()]).ok_or_else(missing)
}

fn next(world: &mut World, args: &Args) -> Result<Lines, Trouble> {
    let observer = args.observer("observer")?;
    let most = args.opt_number("count").unwrap_or(u64::MAX);
    let machine = world.machine()?;
    let missing = || Trouble::Script(format!("there is no subscription of {observer}"));
    let subscription = machine
        .subscriptions
        .get_mut(&observer)
        .ok_or_else(missing)?;
    let mut lines = Vec::new();
    let mut count = 0;
    while count < most
        && let Some(item) = subscription.try_next().map_err(Trouble::Observe)?
    {
        lines.push(item_line(&item));
        count += 1;
    }
    if lines.is_empty() {
        lines.push("nothing".to_owned());
    }
    Ok(lines)
}

fn item_line(item: &FeedItem) -> String {
    let (region, generation) = (item.region(), item.generation());
    let what = match item {
        FeedItem::Attached { after, .. } => format!("attached after {after}"),
        FeedItem::Reset {
            range,
            index,
            is_scanned,
            ..
        } => {
            let rows = if *is_scanned {
                "rows follow"
            } else {
                "no rows"
            };
            format!("reset {} at {index}, {rows}", show::range(range))
        }
        FeedItem::Rows { rows, is_last, .. } => {
            let rows = rows
                .iter()
                .map(|row| format!(" {}:{}", show::key(&row.key), show::key(&row.value)));
            let last = if *is_last { ", the last" } else { "" };
            format!("rows{}{last}", rows.collect::<String>())
        }
        FeedItem::Entry(entry) => {
            let changes = entry.changes.iter().map(|one| {
                use crate::observe::ChangeOp;
                match &one.change.op {
                    ChangeOp::Put { key, value } => {
                        format!(" {}={}", show::key(key), show::key(value))
                    }
                    ChangeOp::Delete { key } => format!(" -{}", show::key(key)),
                    ChangeOp::DeleteRange { range } => format!(" -{}", show::range(range)),
                }
            });
            let early = if entry.is_early { " early" } else { "" };
            let part = if entry.is_last { "" } else { ", a part" };
            format!(
                "{}{early}{}{part}",
                entry.position.index,
                changes.collect::<String>()
            )
        }
        FeedItem::Event(event) => format!("{} {}", event.position.index, event.event),
        FeedItem::Progress { index, .. } => format!("progress {index}"),
        FeedItem::Detached { reason, index, .. } => {
            let reason = reason.map_or("ended", |reason| reason.as_str());
            format!("detached at {index}: {reason}")
        }
        FeedItem::SnapshotApplied {
            first_untold,
            index,
            ..
        } => format!("snapshot at {index}, untold from {first_untold} on"),
        FeedItem::Invalidated {
            reason,
            first_lost,
            first_available,
            ..
        } => format!(
            "lost from {first_lost} on ({}), there from {first_available} on",
            reason.as_str()
        ),
    };
    format!("{region} {generation} {what}")
}

fn ack(world: &mut World, args: &Args) -> Result<Lines, Trouble> {
    let (observer, region) = (args.observer("observer")?, args.region("region")?);
    let engine = world.machine()?.engine()?;
    let register = engine.register();
    let attachment = register.observers().attachment(observer, region);
    let current = attachment.map_or(Generation::NONE, |attachment| attachment.generation);
    let ack = Ack {
        region,
        generation: args.opt_generation("generation").unwrap_or(current),
        index: args.number("index")?,
    };
    let durable = args.opt_word("durable") != Some("no");
    match engine.ack(observer, &[ack], durable)? {
        AckAnswer::Acknowledged => Ok(vec!["acknowledged".to_owned()]),
        AckAnswer::Already => Ok(vec!["already".to_owned()]),
        AckAnswer::Refused(refusal) => Err(Trouble::Refused(Refusal::Observer(refusal))),
    }
}

fn progress(world: &mut World, args: &Args) -> Result<Lines, Trouble> {
    let observer = args.observer("observer")?;
    let known = world.machine()?.engine()?.observer_progress(observer);
    let Some(progress) = known else {
        return Ok(vec!["no such observer".to_owned()]);
    };
    let mut lines = vec![format!(
        "up to {}, {} regions",
        progress.up_to, progress.regions
    )];
    lines.extend(progress.pinned.iter().map(|pin| {
        let region = pin.region.map_or(String::new(), |id| format!("{id} "));
        format!(
            "pinned {region}{} {}",
            show::range(&pin.range),
            pin.reason.as_str()
        )
    }));
    Ok(lines)
}

fn lag(world: &mut World, args: &Args) -> Result<Lines, Trouble> {
    let observer = args.observer("observer")?;
    let known = world.machine()?.engine()?.observer_lag(observer);
    let Some(lag) = known else {
        return Ok(vec!["no such observer".to_owned()]);
    };
    let mut lines = vec![format!(
        "{} {} records, {} bytes left",
        lag.stage.as_str(),
        lag.records,
        lag.bytes_left
    )];
    lines.extend(lag.regions.iter().map(|one| {
        format!(
            "{} {} {} acked {} delivered {} head {} {}",
            one.region,
            one.generation,
            one.state,
            one.acked,
            one.delivered,
            one.head,
            one.stage.as_str()
        )
    }));
    Ok(lines)
}

fn not_followed(error: TransitionsError) -> Trouble {
    match error {
        TransitionsError::Engine(error) => Trouble::Engine(error),
        error => Trouble::Engine(EngineError::Transitions(Box::new(error))),
    }
}

/// Reads what there is.
fn read(feed: &mut Transitions) -> Result<Lines, Trouble> {
    let mut kinds: Vec<&'static str> = Vec::new();
    while let Some(next) = feed
        .next_transition(Some(Duration::ZERO))
        .map_err(not_followed)?
    {
        kinds.extend(next.record.map(|record| record.change.change_kind().name()));
    }
    Ok(vec![format!(
        "{} transitions, the last is {}",
        kinds.len(),
        kinds.last().unwrap_or(&"none")
    )])
}

fn from(args: &Args) -> torrens_journal::Lsn {
    torrens_journal::Lsn::new(args.opt_number("from").unwrap_or(1))
}

fn transitions(world: &mut World, args: &Args) -> Result<Lines, Trouble> {
    let engine = world.machine()?.engine()?;
    read(&mut engine.transitions(from(args)).map_err(not_followed)?)
}

fn follow_transitions(world: &mut World, args: &Args) -> Result<Lines, Trouble> {
    let name = args.text("name")?;
    let machine = world.machine()?;
    let opened = machine.engine()?.transitions(from(args));
    let follower = opened.map_err(not_followed)?;
    machine.followers.insert(name, follower);
    Ok(vec!["ok".to_owned()])
}

fn next_transitions(world: &mut World, args: &Args) -> Result<Lines, Trouble> {
    let name = args.text("name")?;
    let missing = || Trouble::Script(format!("there is no follower {name}"));
    let followers = &mut world.machine()?.followers;
    read(followers.get_mut(&name).ok_or_else(missing)?)
}

fn unfollow_transitions(world: &mut World, args: &Args) -> Result<Lines, Trouble> {
    let name = args.text("name")?;
    let missing = || Trouble::Script(format!("there is no follower {name}"));
    let gone = world.machine()?.followers.remove(&name);
    gone.map(|_| vec!["ok".to_owned()]).ok_or_else(missing)
}

fn followers(world: &mut World, _: &Args) -> Result<Lines, Trouble> {
    let followers = world.machine()?.engine()?.transition_followers();
    let line = |one: &TransitionFollower| {
        let (next, records, bytes) = (one.next, one.records, one.bytes);
        let stage = one.stage.as_str();
        format!("from {next} on, {records} records, {bytes} bytes kept, {stage}")
    };
    match followers.is_empty() {
        true => Ok(vec!["none".to_owned()]),
        false => Ok(followers.iter().map(line).collect()),
    }
}
