//! How caches are kept: settings, labels, what the keeper decides by itself, comparisons with the data
//! store, and what can be seen of it all.

use std::time::Duration;

use crate::cache::{CacheDecision, CacheSettings, Label};
use crate::engine::CheckOutcome;
use crate::play::args::Args;
use crate::play::show;
use crate::play::spec::{CommandSpec, at, command, may};
use crate::play::value::Kind;
use crate::play::world::{Lines, Trouble, World};
use crate::store::{DataStore, StoreBatch, get_at};
use crate::{EvictReason, LoadReason};

const YES_NO: Kind = Kind::Word(&["yes", "no"]);
const FAMILIES: Kind = Kind::Word(&["default", "lock", "write"]);

#[rustfmt::skip]
pub(super) const COMMANDS: &[CommandSpec] = &[
    command("set-cache", &[may("enabled", YES_NO), may("capacity", Kind::Number), may("evict-at", Kind::Number), may("stop-load-at", Kind::Number), may("automatic", YES_NO), may("round", Kind::Number), may("hot", Kind::Number), may("cold", Kind::Number), may("residence", Kind::Number), may("reload-pause", Kind::Number), may("expected", Kind::Number), may("warm", YES_NO), may("pin-timeout", Kind::Number), may("preload-wait", Kind::Number), may("check-every", Kind::Number)], set_cache,
        "Changes the settings of the caches, at once, and shows those that are other ones now; what is not given stays. Bytes, milliseconds, reads."),
    command("cache-settings", &[], cache_settings,
        "The settings of the caches that are in force."),
    command("label", &[at("as", Kind::Name), at("range", Kind::Range), may("priority", Kind::Number)], label,
        "Holds a range in memory until the label is removed."),
    command("remove-label", &[at("label", Kind::Name)], remove_label,
        "Removes a label; what no other covers is evicted."),
    command("balance-caches", &[], balance,
        "One round of automatic loads and evictions, and what it decided."),
    command("check-caches", &[], check,
        "Compares every region in memory with the data store; one that differs is evicted and loaded again."),
    command("damage-data", &[at("key", Kind::Key), may("cf", FAMILIES)], damage_data,
        "Changes the newest value of a key in the data store behind the engine's back."),
    command("cache-report", &[], report,
        "Regions in memory, evictions that have not ended, work that waits, labels, and what the caches did so far."),
];

fn is_yes(args: &Args, name: &'static str) -> Option<bool> {
    args.opt_word(name).map(|word| word == "yes")
}

fn millis(args: &Args, name: &'static str) -> Option<Duration> {
    args.opt_number(name).map(Duration::from_millis)
}

fn set_cache(world: &mut World, args: &Args) -> Result<Lines, Trouble> {
    let engine = world.machine()?.engine()?;
    let now = engine.cache_settings();
    // Thresholds follow the capacity unless they are given themselves.
    let (evict, stop) = match args.opt_number("capacity") {
        Some(_) => (None, None),
        None => (now.evict_bytes, now.stop_load_bytes),
    };
    let settings = CacheSettings {
        enabled: is_yes(args, "enabled").unwrap_or(now.enabled),
        capacity_bytes: args.opt_number("capacity").unwrap_or(now.capacity_bytes),
        evict_bytes: args.opt_number("evict-at").or(evict),
        stop_load_bytes: args.opt_number("stop-load-at").or(stop),
        automatic: is_yes(args, "automatic").unwrap_or(now.automatic),
        round_interval: millis(args, "round").unwrap_or(now.round_interval),
        hot_reads: args.opt_number("hot").unwrap_or(now.hot_reads),
        cold_reads: args.opt_number("cold").unwrap_or(now.cold_reads),
        residence_min: millis(args, "residence").unwrap_or(now.residence_min),
        reload_pause: millis(args, "reload-pause").unwrap_or(now.reload_pause),
        expected_region_bytes: args
            .opt_number("expected")
            .unwrap_or(now.expected_region_bytes),
        warm_restart: is_yes(args, "warm").unwrap_or(now.warm_restart),
        pin_timeout: millis(args, "pin-timeout").or(now.pin_timeout),
        preload_wait_max: millis(args, "preload-wait").unwrap_or(now.preload_wait_max),
        check_interval: millis(args, "check-every").or(now.check_interval),
    };
    Ok(match engine.set_cache_settings(settings) {
        Ok(set) => {
            let before = named(&now);
            let changed = named(&set).into_iter();
            let changed = changed.filter(|setting| !before.contains(setting));
            show::none_if_empty(changed.map(setting).collect())
        }
        Err(error) => vec![format!("error cache-setting: {error}")],
    })
}

fn cache_settings(world: &mut World, _: &Args) -> Result<Lines, Trouble> {
    let settings = world.machine()?.engine()?.cache_settings();
    Ok(named(&settings).into_iter().map(setting).collect())
}

/// Every setting with its value.
fn named(set: &CacheSettings) -> Vec<(&'static str, String)> {
    let yes = |is: bool| if is { "yes" } else { "no" }.to_owned();
    let time = |time: Duration| time.as_millis().to_string();
    let maybe = |given: Option<Duration>| given.map_or("none".to_owned(), time);
    vec![
        ("enabled", yes(set.enabled)),
        ("capacity", set.capacity_bytes.to_string()),
        ("evict-at", set.evict_bytes_effective().to_string()),
        ("stop-load-at", set.stop_load_bytes_effective().to_string()),
        ("automatic", yes(set.automatic)),
        ("round", time(set.round_interval)),
        ("hot", set.hot_reads.to_string()),
        ("cold", set.cold_reads.to_string()),
        ("residence", time(set.residence_min)),
        ("reload-pause", time(set.reload_pause)),
        ("expected", set.expected_region_bytes.to_string()),
        ("warm", yes(set.warm_restart)),
        ("pin-timeout", maybe(set.pin_timeout)),
        ("preload-wait", time(set.preload_wait_max)),
        ("check-every", maybe(set.check_interval)),
    ]
}

fn setting((name, value): (&'static str, String)) -> String {
    format!("{name}={value}")
}

fn label(world: &mut World, args: &Args) -> Result<Lines, Trouble> {
    let machine = world.machine()?;
    let (name, range) = (args.text("as")?, args.range("range")?);
    let priority = args.opt_number("priority").unwrap_or(0);
    let too_high = |_| Trouble::Script(format!("a priority is at most {}", i32::MAX));
    let priority = i32::try_from(priority).map_err(too_high)?;
    let id = machine.engine()?.add_cache_label(Label { range, priority });
    machine.labels.insert(name, id);
    Ok(vec!["ok".to_owned()])
}

fn remove_label(world: &mut World, args: &Args) -> Result<Lines, Trouble> {
    let machine = world.machine()?;
    let name = args.text("label")?;
    let unknown = || Trouble::Script(format!("there is no label {name}"));
    let id = *machine.labels.get(&name).ok_or_else(unknown)?;
    let removed = machine.engine()?.remove_cache_label(id);
    Ok(vec![
        if removed { "removed" } else { "not there" }.to_owned(),
    ])
}

fn balance(world: &mut World, _: &Args) -> Result<Lines, Trouble> {
    let decisions = world.machine()?.engine()?.balance_caches();
    let line = |decision: CacheDecision| match decision {
        CacheDecision::Load(region, why) => format!("load {region} ({})", why.as_str()),
        CacheDecision::Evict(region, why) => format!("evict {region} ({})", why.as_str()),
    };
    Ok(show::none_if_empty(
        decisions.into_iter().map(line).collect(),
    ))
}

fn check(world: &mut World, _: &Args) -> Result<Lines, Trouble> {
    let engine = world.machine()?.engine()?;
    let checks = engine.check_caches()?;
    let line = |check: crate::CacheCheck| match check.outcome {
        CheckOutcome::Same => format!("{} same, {} rows", check.region, check.rows),
        CheckOutcome::Different { cf, key } => {
            let family = engine.column_families().name_of(cf).unwrap_or("unnamed");
            format!("{} differs at {family} {}", check.region, show::key(&key))
        }
        CheckOutcome::Ended => format!("{} ended meanwhile", check.region),
    };
    Ok(show::none_if_empty(checks.into_iter().map(line).collect()))
}

fn damage_data(world: &mut World, args: &Args) -> Result<Lines, Trouble> {
    let machine = world.machine()?;
    let (_, data) = machine.sim()?;
    let key = args.key("key")?;
    let cf = super::data::family(args);
    let engine = machine.engine()?;
    let missing = || Trouble::Script("nobody can read that key".to_owned());
    let status = engine.region_for(&key).ok_or_else(missing)?;
    let epoch = status.region.ok_or_else(missing)?.epoch;
    let sequence = engine.view(status.id, epoch)?.sequence();
    let unreadable = |error| Trouble::Script(format!("the data store: {error}"));
    let value = get_at(data, cf, &key, sequence).map_err(unreadable)?;
    let mut value = value.map_or(Vec::new(), |value| value.to_vec());
    value.push(b'!');
    let mut batch = StoreBatch::new();
    batch.put_version(cf, &key, sequence, Some(&value));
    data.apply(&batch).map_err(unreadable)?;
    Ok(vec!["damaged".to_owned()])
}

fn report(world: &mut World, _: &Args) -> Result<Lines, Trouble> {
    let report = world.machine()?.engine()?.cache_report();
    let mut lines = Vec::new();
    for region in &report.regions {
        lines.push(format!(
            "{} {} {} versions={} pins={} reads={} from-memory={}",
            region.region,
            region.state.as_str(),
            show::range(&region.range),
            region.versions,
            region.pins,
            region.reads,
            region.reads_from_memory
        ));
    }
    for region in &report.evicting {
        let reason = region.reason.map_or("none", EvictReason::as_str);
        let (id, pins) = (region.region, region.pins);
        lines.push(format!("{id} leaves ({reason}) pins={pins}"));
    }
    for (_, label) in &report.labels {
        let range = show::range(&label.range);
        lines.push(format!("label {range} priority={}", label.priority));
    }
    let counters = &report.counters;
    let counted = [
        ("loads-waiting", report.loads_queued as u64),
        ("evictions-waiting", report.evictions_queued as u64),
        ("merges-waiting", report.merges_queued as u64),
        ("loads-begun", counters.loads_begun),
        ("loads-finished", counters.loads_finished),
        ("loads-cancelled", counters.loads_cancelled),
        ("loads-out-of-memory", counters.loads_out_of_memory),
        ("loads-failed", counters.loads_failed),
        ("rows-loaded", counters.load_rows),
        ("merges", counters.merges),
        ("pins-timed-out", counters.pins_timed_out),
        ("checks", counters.checks),
        ("mismatches", counters.mismatches),
        ("stale-leadership", counters.leadership_reports_stale),
        ("preloads", counters.preloads),
        ("preloads-refused", counters.preloads_refused),
    ];
    let counted = counted
        .into_iter()
        .map(|(name, count)| (name.to_owned(), count));
    let loads = LoadReason::ALL
        .into_iter()
        .map(|why| (format!("loads-{}", why.as_str()), counters.loads(why)));
    let evictions = EvictReason::ALL
        .into_iter()
        .map(|why| (format!("evicted-{}", why.as_str()), counters.evictions(why)));
    let all = counted.chain(loads).chain(evictions);
    lines.extend(
        all.filter(|(_, count)| *count > 0)
            .map(|(name, count)| format!("{name}={count}")),
    );
    Ok(show::none_if_empty(lines))
}
