//! Machines: which one commands are for, opening and closing, crashes, faults, and the work that
//! otherwise goes on in the background.

use std::time::Duration;

use crate::OpenMode;
use crate::play::args::Args;
use crate::play::held::Release;
use crate::play::machine::Crash;
use crate::play::points::{Armed, CrashPoint, Plan, When, failure};
use crate::play::show;
use crate::play::spec::{CommandSpec, at, command, may, maybe_at, must};
use crate::play::value::Kind;
use crate::play::world::{Lines, Trouble, World};
use crate::store::{DataStore, Lost, RegionRow, StoreBatch, read_region_row};

const CRASHES: Kind = Kind::Word(&["power", "kill", "sectors", "scattered"]);
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
        "The machine dies now. `batches` says how many unflushed batches of the data store survive; after `scattered` any of their changes do, by seed.",
    ),
    command(
        "arm",
        &[
            at("point", Kind::Text),
            at("how", CRASHES),
            may("nth", Kind::Number),
            may("when", WHEN),
            may("seed", Kind::Number),
            may("batches", Kind::Number),
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
        "pass-time",
        &[at("millis", Kind::Number)],
        pass_time,
        "The machine's clock goes on by so many milliseconds.",
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
        "remove-store",
        &[],
        remove_store,
        "Removes everything of the closed store, as an operator does with one that was never finished.",
    ),
    command(
        "lose-row",
        &[at("region", Kind::Region), may("index", Kind::Number)],
        lose_row,
        "Takes the region's row out of the closed data store, or sets it back to an index.",
    ),
    command(
        "tick",
        &[],
        tick,
        "What is due by the clock: a barrier for dirty data, a sync, a checkpoint if one is due.",
    ),
    command(
        "step",
        &[may("rows", Kind::Number)],
        step,
        "Runs one piece of background work. With `rows`, a load stands still once it has read that many rows of the data store, until `resume`.",
    ),
    command(
        "resume",
        &[may("how", Kind::Word(&["fail"]))],
        resume,
        "Lets the load that stands still go on to its end; with `how=fail` its next read fails.",
    ),
    command(
        "wait-idle",
        &[],
        wait_idle,
        "Runs background work until there is none, and makes what was appended durable.",
    ),
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
    let machine = world.machine()?;
    let closed = machine.take_engine()?.close();
    // Work that stands still finds the store closed when it goes on.
    if let Some(held) = machine.held.take() {
        let _ = held.release(Release::GoOn);
    }
    closed?;
    done()
}

fn crash_of(args: &Args) -> Result<Crash, Trouble> {
    Ok(match args.word("how")? {
        "power" => Crash::Power,
        "sectors" => Crash::Sectors(args.opt_number("seed").unwrap_or(1)),
        "scattered" => Crash::Scattered(args.opt_number("seed").unwrap_or(1)),
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
    let batches = args.opt_number("batches");
    arm_at(
        world,
        args,
        Plan::Crash {
            crash,
            when,
            batches,
        },
    )
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

fn pass_time(world: &mut World, args: &Args) -> Result<Lines, Trouble> {
    let passed = Duration::from_millis(args.number("millis")?);
    world.machine()?.sim()?.0.advance_clock(passed);
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

fn remove_store(world: &mut World, _: &Args) -> Result<Lines, Trouble> {
    world.machine()?.remove_store()?;
    done()
}

fn lose_row(world: &mut World, args: &Args) -> Result<Lines, Trouble> {
    let machine = world.machine()?;
    if machine.is_open() {
        let text = format!("{} is open; close or crash it first", machine.store);
        return Err(Trouble::Script(text));
    }
    let (_, data) = machine.sim()?;
    let region = args.region("region")?;
    let failed = |error| Trouble::Script(format!("the data store: {error}"));
    let mut batch = StoreBatch::new();
    match args.opt_number("index") {
        None => batch.delete_region_row(region),
        Some(data_index) => {
            let row = read_region_row(data, region).map_err(failed)?;
            let missing = || Trouble::Script(format!("{region} has no row"));
            let row = row.ok_or_else(missing)?;
            batch.put_region_row(region, &RegionRow { data_index, ..row });
        }
    }
    data.apply(&batch)
        .and_then(|()| data.flush())
        .map_err(failed)?;
    Ok(vec!["lost".to_owned()])
}

fn tick(world: &mut World, _: &Args) -> Result<Lines, Trouble> {
    world.machine()?.engine()?.tick()?;
    done()
}

fn step(world: &mut World, args: &Args) -> Result<Lines, Trouble> {
    let machine = world.machine()?;
    let ran = match args.opt_number("rows") {
        None => machine.engine()?.step_background()?,
        Some(rows) => {
            // Other work may hold what the commands in between need.
            let next = machine.engine()?.next_background();
            if next != Some("load") {
                let next = next.unwrap_or("nothing");
                let text = format!("only a load can stand still, and next is {next}");
                return Err(Trouble::Script(text));
            }
            match machine.hold_background(rows)? {
                None => return Ok(vec![format!("load stands after {rows} rows")]),
                Some(ran) => ran,
            }
        }
    };
    Ok(vec![ran.unwrap_or("nothing to do").to_owned()])
}

fn resume(world: &mut World, args: &Args) -> Result<Lines, Trouble> {
    let nothing = || Trouble::Script("nothing stands still".to_owned());
    let held = world.machine()?.held.take().ok_or_else(nothing)?;
    let ran = held.release(match args.opt_word("how") {
        Some(_) => Release::Fail,
        None => Release::GoOn,
    })?;
    Ok(vec![ran.unwrap_or("nothing to do").to_owned()])
}

fn wait_idle(world: &mut World, _: &Args) -> Result<Lines, Trouble> {
    world.machine()?.engine()?.wait_idle()?;
    done()
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
