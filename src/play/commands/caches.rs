//! The caches of hot regions.

use super::epoch_of;
use crate::lifecycle::CacheEntry;
use crate::play::args::Args;
use crate::play::show;
use crate::play::spec::{CommandSpec, at, command, may};
use crate::play::value::Kind;
use crate::play::world::{Lines, Trouble, World};

pub(super) const COMMANDS: &[CommandSpec] = &[
    command(
        "load",
        &[at("region", Kind::Region), may("epoch", Kind::Epoch)],
        load,
        "Asks for the region to be held in memory; `step` fills it. It waits (`load-queued`) while other regions' memory with keys of it is on its way out.",
    ),
    command(
        "evict",
        &[at("region", Kind::Region)],
        evict,
        "Stops serving the region from memory; `step` frees it when nothing pins it.",
    ),
    command(
        "cache",
        &[],
        cache,
        "Every cache that is not absent, as decided; what is not durable yet is marked.",
    ),
    command(
        "cache-bytes",
        &[],
        cache_bytes,
        "Whether the caches hold any memory.",
    ),
];

fn load(world: &mut World, args: &Args) -> Result<Lines, Trouble> {
    let machine = world.machine()?;
    let region = args.region("region")?;
    let epoch = epoch_of(machine, region, args.opt_epoch("epoch"))?;
    let answer = machine.engine()?.load(region, epoch)?;
    world.answered(answer)
}

fn evict(world: &mut World, args: &Args) -> Result<Lines, Trouble> {
    let answer = world.machine()?.engine()?.evict(args.region("region")?)?;
    world.answered(answer)
}

fn cache(world: &mut World, _: &Args) -> Result<Lines, Trouble> {
    let engine = world.machine()?.engine()?;
    let (decided, durable) = (engine.appended_register(), engine.register());
    let mut lines = Vec::new();
    for (region, slot) in decided.slots() {
        let (now, then) = (slot.cache, durable.cache(region));
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
