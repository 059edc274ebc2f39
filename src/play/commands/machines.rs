//! Machines: which one commands are for, opening and closing, crashes, faults, and the work that
//! otherwise goes on in the background.

use crate::OpenMode;
use crate::play::args::Args;
use crate::play::machine::Crash;
use crate::play::points::{Armed, CrashPoint, Plan, When, failure};
use crate::play::show;
use crate::play::spec::{CommandSpec, at, command, may, maybe_at, must};
use crate::play::value::Kind;
use crate::play::world::{Lines, Trouble, World};
use crate::store::Lost;

const CRASHES: Kind = Kind::Word(&["power", "kill", "sectors"]);
const WHEN: Kind = Kind::Word(&["before", "midway", "after"]);
const FAILURES: Kind = Kind::Word(&["error", "full", "short", "lies"]);
const MODES: Kind = Kind::Word(&["create", "existing", "read-only"]);

/// Most pieces of work that `drain` runs; more is an endless loop.
const DRAIN_STEPS_MAX: usize = 10_000;

pub(super) const COMMANDS: &[CommandSpec] = &[
    command(
        "store",
        &[at("store", Kind::Store)],
        store,
        "Commands from here on are for this store's machine.",
    ),
    command(
        "open",
        &[
            may("mode", MODES),
            may("segment", Kind::Number),
            may("id", Kind::Store),
        ],
        open,
        "Opens the store, recovering it first.",
    ),
    command(
        "close",
        &[],
        close,
        "Closes the store in order: background work done, data durable, journal marked clean.",
    ),
    command(
        "crash",
        &[
            at("how", CRASHES),
            may("seed", Kind::Number),
            may("batches", Kind::Number),
        ],
        crash,
        "The machine dies now. `batches` says how many unflushed batches of the data store survive.",
    ),
    command(
        "arm",
        &[
            at("point", Kind::Text),
            at("how", CRASHES),
            may("nth", Kind::Number),
            may("when", WHEN),
            may("seed", Kind::Number),
        ],
        arm,
        "The machine dies when the next command reaches that point.",
    ),
    command(
        "fail",
        &[
            at("point", Kind::Text),
            at("how", FAILURES),
            may("nth", Kind::Number),
        ],
        fail,
        "The operation of that point fails, once, when the next command reaches it.",
    ),
    command(
        "capacity",
        &[maybe_at("bytes", Kind::Number)],
        capacity,
        "Leaves room for this many more bytes on the disk; without a number, as much as one likes.",
    ),
    command(
        "keep-data",
        &[must("as", Kind::Name)],
        keep_data,
        "Keeps an image of what is durable in the data store.",
    ),
    command(
        "lose-data",
        &[may("since", Kind::Name)],
        lose_data,
        "Puts an empty data store, or an older image, under the closed store.",
    ),
    command(
        "tick",
        &[],
        tick,
        "What is due by the clock: a barrier for dirty data, a sync, a checkpoint if one is due.",
    ),
    command("step", &[], step, "Runs one piece of background work."),
    command(
        "drain",
        &[],
        drain,
        "Runs background work until there is none.",
    ),
    command(
        "flush",
        &[],
        flush,
        "Runs a barrier: everything written so far is durable.",
    ),
    command(
        "checkpoint",
        &[],
        checkpoint,
        "Writes a checkpoint and lets the journal go that it replaces.",
    ),
];

fn done() -> Result<Lines, Trouble> {
    Ok(vec!["ok".to_owned()])
}

fn store(world: &mut World, args: &Args) -> Result<Lines, Trouble> {
    world.select(args.store("store")?);
    world.machine()?;
    done()
}

fn open(world: &mut World, args: &Args) -> Result<Lines, Trouble> {
    let mode = match args.opt_word("mode") {
        Some("existing") => OpenMode::ExistingOnly,
        Some("read-only") => OpenMode::ReadOnly,
        _ => OpenMode::CreateIfMissing,
    };
    let report = world
        .machine()?
        .open(mode, args.opt_number("segment"), args.opt_store("id"))?;
    let mut lines = vec![match report.created {
        true => "created".to_owned(),
        false => format!("opened, {}", report.recovery.verdict.name()),
    }];
    if report.data_store_lost.is_some() {
        lines.push("the data store is a new one".to_owned());
    }
    for (region, why) in &report.damaged {
        lines.push(format!("damaged {region}: {why}"));
    }
    let recovery = &report.recovery;
    let ended = [
        ("forward", &recovery.resolved_forward),
        ("back", &recovery.resolved_back),
    ];
    for (direction, resolved) in ended {
        for resolved in resolved {
            lines.push(format!("{direction}: {}, {}", resolved.what, resolved.rule));
        }
    }
    Ok(lines)
}

fn close(world: &mut World, _: &Args) -> Result<Lines, Trouble> {
    world.machine()?.take_engine()?.close()?;
    done()
}

fn crash_of(args: &Args) -> Result<Crash, Trouble> {
    Ok(match args.word("how")? {
        "power" => Crash::Power,
        "sectors" => Crash::Sectors(args.opt_number("seed").unwrap_or(1)),
        _ => Crash::Kill,
    })
}

fn crash(world: &mut World, args: &Args) -> Result<Lines, Trouble> {
    let crash = crash_of(args)?;
    world.machine()?.crash(crash, args.opt_number("batches"))?;
    Ok(vec!["crashed".to_owned()])
}

/// Arms a point of the current machine, which must be a simulated one.
fn arm_at(world: &mut World, args: &Args, plan: Plan) -> Result<Lines, Trouble> {
    world.machine()?.sim()?;
    let name = args.text("point")?;
    let unknown = || Trouble::Script(format!("there is no point {name}"));
    let point = CrashPoint::named(&name).ok_or_else(unknown)?;
    let nth = args.opt_number("nth").unwrap_or(1);
    world.counter().arm(Some(Armed::new(point, nth, plan)));
    Ok(vec!["armed".to_owned()])
}

fn arm(world: &mut World, args: &Args) -> Result<Lines, Trouble> {
    let when = match args.opt_word("when") {
        Some("before") => When::Before,
        Some("midway") => When::Midway,
        _ => When::After,
    };
    let crash = crash_of(args)?;
    arm_at(world, args, Plan::Crash(crash, when))
}

fn fail(world: &mut World, args: &Args) -> Result<Lines, Trouble> {
    let how = args.word("how")?;
    let unknown = || Trouble::Script(format!("there is no failure {how}"));
    let fault = failure(how).ok_or_else(unknown)?;
    arm_at(world, args, Plan::Fail(fault))
}

fn capacity(world: &mut World, args: &Args) -> Result<Lines, Trouble> {
    let (disk, _) = world.machine()?.sim()?;
    let room = args.opt_number("bytes");
    disk.set_capacity(room.map(|room| disk.used_bytes().saturating_add(room)));
    done()
}

fn keep_data(world: &mut World, args: &Args) -> Result<Lines, Trouble> {
    let name = args.text("as")?;
    let machine = world.machine()?;
    let image = machine.sim()?.1.durable_image();
    machine.images.insert(name, image);
    done()
}

fn lose_data(world: &mut World, args: &Args) -> Result<Lines, Trouble> {
    let machine = world.machine()?;
    let lost = match args.opt_text("since") {
        None => Lost::Everything,
        Some(name) => {
            let unknown = || Trouble::Script(format!("there is no image {name}"));
            Lost::Since(machine.images.get(&name).cloned().ok_or_else(unknown)?)
        }
    };
    machine.replace_data(lost)?;
    done()
}

fn tick(world: &mut World, _: &Args) -> Result<Lines, Trouble> {
    world.machine()?.engine()?.tick()?;
    done()
}

fn step(world: &mut World, _: &Args) -> Result<Lines, Trouble> {
    let ran = world.machine()?.engine()?.step_background()?;
    Ok(vec![ran.unwrap_or("nothing to do").to_owned()])
}

fn drain(world: &mut World, _: &Args) -> Result<Lines, Trouble> {
    let engine = world.machine()?.engine()?;
    let mut lines = Vec::new();
    while let Some(ran) = engine.step_background()? {
        lines.push(ran.to_owned());
        if lines.len() >= DRAIN_STEPS_MAX {
            let text = format!("more than {DRAIN_STEPS_MAX} pieces of work");
            return Err(Trouble::Script(text));
        }
    }
    Ok(show::none_if_empty(lines))
}

fn flush(world: &mut World, _: &Args) -> Result<Lines, Trouble> {
    world.machine()?.engine()?.flush()?;
    done()
}

fn checkpoint(world: &mut World, _: &Args) -> Result<Lines, Trouble> {
    world.machine()?.engine()?.checkpoint()?;
    done()
}
