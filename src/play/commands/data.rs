//! Region data: writes, reads, views that are held, and what a host asks about its log.

use std::ops::Bound;

use super::submissions::{BY, carry_out};
use super::{creation_of, epoch_of};
use crate::engine::Submission;
use crate::play::args::Args;
use crate::play::show;
use crate::play::spec::{CommandSpec, at, command, many, may, must};
use crate::play::value::Kind;
use crate::play::world::{Lines, Trouble, World};
use crate::store::Direction;
use crate::{ColumnFamily, RegionView, Sequence, WriteBatch};

const MODES: Kind = Kind::Word(&["flashback"]);
const ORDERS: Kind = Kind::Word(&["forward", "reverse"]);
const FAMILIES: Kind = Kind::Word(&["default", "lock", "write"]);

pub(super) const COMMANDS: &[CommandSpec] = &[
    command(
        "write",
        &[
            at("region", Kind::Region),
            must("at", Kind::Position),
            many("put", Kind::Row),
            many("delete", Kind::Key),
            many("delete-range", Kind::Range),
            may("cf", FAMILIES),
            may("epoch", Kind::Epoch),
            may("during", MODES),
            may("observer", Kind::Observer),
            many("ack", Kind::Mark),
        ],
        write,
        "Applies the data of one Raft entry: deletions of ranges first, then puts, then deletions of keys. With it what an observer's consumer acknowledges, in regions up to indexes.",
    ),
    command(
        "get",
        &[
            at("region", Kind::Region),
            at("key", Kind::Key),
            may("cf", FAMILIES),
            may("epoch", Kind::Epoch),
            may("during", MODES),
            may("sequence-of", Kind::Name),
            may("sequence", Kind::Number),
        ],
        get,
        "Reads one key now, and says whether memory or the store answered.",
    ),
    command(
        "scan",
        &[
            at("region", Kind::Region),
            may("cf", FAMILIES),
            may("epoch", Kind::Epoch),
            may("order", ORDERS),
            may("range", Kind::Range),
            may("during", MODES),
            may("sequence-of", Kind::Name),
            may("sequence", Kind::Number),
        ],
        scan,
        "Reads all rows of the region now, or those of a range in it.",
    ),
    command(
        "view",
        &[
            at("as", Kind::Name),
            at("region", Kind::Region),
            may("epoch", Kind::Epoch),
            may("during", MODES),
            may("sequence-of", Kind::Name),
            may("sequence", Kind::Number),
        ],
        view,
        "Pins the region's data under a name: as it is now, at the sequence of another view, or at a sequence.",
    ),
    command(
        "view-get",
        &[
            at("view", Kind::Name),
            at("key", Kind::Key),
            may("cf", FAMILIES),
        ],
        view_get,
        "Reads one key of a view that is held.",
    ),
    command(
        "view-scan",
        &[
            at("view", Kind::Name),
            may("cf", FAMILIES),
            may("order", ORDERS),
            may("range", Kind::Range),
        ],
        view_scan,
        "Reads all rows of a view that is held, or those of a range in it.",
    ),
    command(
        "drop-view",
        &[at("view", Kind::Name)],
        drop_view,
        "Lets a view go.",
    ),
    command(
        "safe-point",
        &[may("view", Kind::Name)],
        safe_point,
        "Versions are kept for reads at this view's sequence, or at none.",
    ),
    command(
        "collect-versions",
        &[],
        collect_versions,
        "Removes the versions that nobody can read any more, and says whether there were any.",
    ),
    command(
        "raft-start",
        &[at("region", Kind::Region)],
        raft_start,
        "What a host needs to start the region's Raft node.",
    ),
    command(
        "truncate-floor",
        &[at("region", Kind::Region)],
        truncate_floor,
        "Up to where the host may compact the region's log.",
    ),
    command(
        "report-log-start",
        &[
            at("region", Kind::Region),
            at("index", Kind::Number),
            may("incarnation", Kind::Incarnation),
            may("by", BY),
        ],
        report_log_start,
        "The host says where its log of the region starts.",
    ),
];

pub(super) fn family(args: &Args) -> ColumnFamily {
    match args.opt_word("cf") {
        Some("lock") => ColumnFamily::LOCK,
        Some("write") => ColumnFamily::WRITE,
        _ => ColumnFamily::DEFAULT,
    }
}

fn write(world: &mut World, args: &Args) -> Result<Lines, Trouble> {
    let machine = world.machine()?;
    let region = args.region("region")?;
    let epoch = epoch_of(machine, region, args.opt_epoch("epoch"))?;
    let (cf, position) = (family(args), args.position("at")?);
    let mut batch = WriteBatch::new();
    for range in args.ranges("delete-range") {
        batch.delete_range_cf(cf, range);
    }
    for (key, value) in args.rows("put") {
        batch.put_cf(cf, key, value.as_slice());
    }
    for key in args.keys("delete") {
        batch.delete_cf(cf, key);
    }
    if let Some(observer) = args.opt_observer("observer") {
        for (region, index) in args.marks("ack") {
            batch.acknowledge(observer, region, index);
        }
    }
    let engine = machine.engine()?;
    let answer = match args.opt_word("during") {
        Some(_) => engine.write_in_flashback(region, epoch, position, &batch)?,
        None => engine.write(region, epoch, position, &batch)?,
    };
    Ok(show::write_answer(&answer))
}

fn look(world: &mut World, args: &Args) -> Result<RegionView, Trouble> {
    let machine = world.machine()?;
    let region = args.region("region")?;
    let epoch = epoch_of(machine, region, args.opt_epoch("epoch"))?;
    let engine = machine.engine()?;
    if machine.has_metadata_only {
        return Err(Trouble::NeedsSim);
    }
    if args.opt_word("during").is_some() {
        return Ok(engine.view_in_flashback(region, epoch)?);
    }
    if let Some(sequence) = args.opt_number("sequence") {
        return Ok(engine.view_at(region, epoch, Sequence::new(sequence))?);
    }
    let Some(earlier) = args.opt_text("sequence-of") else {
        return Ok(engine.view(region, epoch)?);
    };
    let unknown = || Trouble::Script(format!("there is no view {earlier}"));
    let sequence = machine.views.get(&earlier).ok_or_else(unknown)?.sequence();
    Ok(engine.view_at(region, epoch, sequence)?)
}

fn get(world: &mut World, args: &Args) -> Result<Lines, Trouble> {
    get_of(&look(world, args)?, args)
}

fn scan(world: &mut World, args: &Args) -> Result<Lines, Trouble> {
    scan_of(&look(world, args)?, args)
}

fn get_of(view: &RegionView, args: &Args) -> Result<Lines, Trouble> {
    let value = view.get_cf(family(args), &args.key("key")?)?;
    let value = value.map_or("nothing".to_owned(), |value| show::key(&value));
    Ok(vec![format!("{value} ({})", show::source(view))])
}

fn scan_of(view: &RegionView, args: &Args) -> Result<Lines, Trouble> {
    let direction = match args.opt_word("order") {
        Some("reverse") => Direction::Reverse,
        _ => Direction::Forward,
    };
    let mut lines = vec![format!("from the {}", show::source(view))];
    let whole = view.region().range.clone();
    let range = args.opt_range("range").unwrap_or(whole);
    let end = range
        .end()
        .map_or(Bound::Unbounded, |end| Bound::Excluded(&**end));
    let bounds = (Bound::Included(&**range.start()), end);
    for row in view.scan_cf(family(args), bounds, direction) {
        let (key, value) = row?;
        lines.push(format!("{}:{}", show::key(&key), show::key(&value)));
    }
    Ok(lines)
}

fn view(world: &mut World, args: &Args) -> Result<Lines, Trouble> {
    let name = args.text("as")?;
    let taken = look(world, args)?;
    let line = format!(
        "{} from the {}",
        show::region(taken.region()),
        show::source(&taken)
    );
    world.machine()?.views.insert(name, taken);
    Ok(vec![line])
}

fn held<'a>(world: &'a mut World, args: &Args) -> Result<&'a RegionView, Trouble> {
    let name = args.text("view")?;
    let unknown = || Trouble::Script(format!("there is no view {name}"));
    world.machine()?.views.get(&name).ok_or_else(unknown)
}

fn view_get(world: &mut World, args: &Args) -> Result<Lines, Trouble> {
    get_of(held(world, args)?, args)
}

fn view_scan(world: &mut World, args: &Args) -> Result<Lines, Trouble> {
    scan_of(held(world, args)?, args)
}

fn drop_view(world: &mut World, args: &Args) -> Result<Lines, Trouble> {
    held(world, args)?;
    world.machine()?.views.remove(&args.text("view")?);
    Ok(vec!["ok".to_owned()])
}

fn safe_point(world: &mut World, args: &Args) -> Result<Lines, Trouble> {
    let machine = world.machine()?;
    let sequence = match args.opt_text("view") {
        None => None,
        Some(name) => {
            let unknown = || Trouble::Script(format!("there is no view {name}"));
            Some(machine.views.get(&name).ok_or_else(unknown)?.sequence())
        }
    };
    machine.engine()?.set_safe_point(sequence);
    Ok(vec!["ok".to_owned()])
}

fn collect_versions(world: &mut World, _: &Args) -> Result<Lines, Trouble> {
    let removed = world.machine()?.engine()?.collect_versions()?;
    Ok(vec![
        if removed == 0 { "none" } else { "removed" }.to_owned(),
    ])
}

fn raft_start(world: &mut World, args: &Args) -> Result<Lines, Trouble> {
    let start = world
        .machine()?
        .engine()?
        .raft_start(args.region("region")?)?;
    let meta = start.status.meta;
    let mut line = format!(
        "{}{} {} data {} meta {} floor i{}",
        start.status.peer,
        start.status.incarnation,
        start.status.stage,
        start.data,
        meta.map_or("none".to_owned(), |meta| meta.to_string()),
        start.truncate_floor
    );
    if let Some(predecessor) = start.predecessor {
        line.push_str(&format!(" carries on {predecessor}"));
    }
    if start.damaged {
        line.push_str(" damaged");
    }
    Ok(vec![line])
}

fn truncate_floor(world: &mut World, args: &Args) -> Result<Lines, Trouble> {
    let floor = world
        .machine()?
        .engine()?
        .truncate_floor(args.region("region")?)?;
    Ok(vec![format!("i{floor}")])
}

fn report_log_start(world: &mut World, args: &Args) -> Result<Lines, Trouble> {
    let machine = world.machine()?;
    let region = args.region("region")?;
    let incarnation = creation_of(machine, region, args.opt_ordinal("incarnation"))?;
    let index = args.number("index")?;
    let submission = Submission::ReportLogStart {
        region,
        incarnation,
        first_index: index,
    };
    carry_out(world, args, "report-log-start", submission, |engine| {
        engine.report_log_start(region, incarnation, index)
    })
}
