//! `torrens torture DIR`: a storage process that works on real data, is killed again and again, and
//! is compared with a plain model after each restart.
//!
//! ```text
//!  parent: host and oracle                          child: the storage process
//!  workload ─► driver ─► oracle (before) ─► pipe ─► child ─► Engine ─► DIR
//!                 ▲          │ model                   │
//!                 └── check ◄┴── (after) ◄── pipe ◄────┘
//! ```
//!
//! * `data`: rows, keys and values; `protocol`: what goes through the pipes
//! * `model`: what the store must hold; `oracle`: the model on disk; `check`: the comparison
//! * `workload`, `kills`, `steps`: what happens, when it dies, and every single step of it
//! * `driver`: the loop; `process`: the child from outside; `child`: the child from inside
//! * `outline`: a failure as a scenario
//! * `snapshots`: files from and for other stores; `tally`, `screen`: what is told
//! * `child/copy`: a consumer in the storage process, whose copy is compared too
//! * `child/other`: a second store, through which snapshots for the first one go
//! * `settings`: how each life opens the store; `image`: the file system whose power is cut
//!
//! The store under torture is DIR and nothing else is in it; what torture keeps lies in
//! `DIR.torture`. A run on a directory of an earlier run goes on from there.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

mod check;
mod child;
mod data;
mod driver;
mod error;
mod image;
mod kills;
mod model;
mod oracle;
mod outline;
mod process;
mod protocol;
mod random;
mod screen;
mod settings;
mod snapshots;
mod steps;
mod tally;
mod workload;

use torrens::{Engine, OpenMode, StoreId};

pub(crate) use child::{ChildArgs, run as run_child};

use self::data::DataSet;
use self::driver::{Driver, LifeEnd, Source, Stop};
use self::error::TortureError;
use self::image::Image;
use self::kills::{Kills, Plan};
use self::oracle::{Beside, Oracle};
use self::process::Launch;
use self::random::Random;
use self::screen::{Bar, Summary};
use self::tally::Tally;
use self::workload::Workload;

/// Kill a working storage process again and again, and check that nothing is lost.
///
/// Exit code 0: nothing lost. 1: something lost or wrong; the directory is kept. 2: could not run.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The store's directory: new, empty, or of an earlier run, which is then continued. What
    /// torture itself keeps goes to DIR.torture.
    dir: PathBuf,
    /// How long to go on.
    #[arg(long, value_name = "N", default_value_t = 20)]
    seconds: u64,
    /// Draws the work and the kills; a new one each run if not given.
    #[arg(long, value_name = "S")]
    seed: Option<u64>,
    /// Stop after so many kills, whatever the time.
    #[arg(long, value_name = "N")]
    kills: Option<u64>,
    /// Work on this CSV or TSV file (first column: key) and not on the airports.
    #[arg(long, value_name = "FILE")]
    data: Option<PathBuf>,
    /// End with one JSON object on standard output.
    #[arg(long)]
    json: bool,
    /// Run one short history with an abort at every single operation on the disk, on a store in
    /// DIR.torture. DIR is not touched, and --seconds does not apply.
    #[arg(long)]
    every_step: bool,
    /// Put the store on an ext4 image (DIR.torture/image, mounted at DIR while this runs), and take the
    /// power from it at each kill: what the device does not have by then is gone. Needs the right to mount.
    #[arg(long, conflicts_with = "every_step")]
    power_cut: bool,
}

/// Ends a run by time, by kills, or by an interrupt.
#[derive(Debug)]
struct Limits {
    until: Option<Instant>,
    kills: Option<u64>,
    interrupted: Arc<AtomicBool>,
}

impl Limits {
    fn interrupted(&self) -> bool {
        self.interrupted.load(Ordering::Relaxed)
    }
}

impl Stop for Limits {
    fn stop(&self, kills: u64) -> bool {
        self.interrupted()
            || self.until.is_some_and(|until| Instant::now() >= until)
            || self.kills.is_some_and(|enough| kills >= enough)
    }
}

/// Runs `torrens torture`.
pub(crate) fn run(args: Args) -> ExitCode {
    match torture(&args) {
        Ok(good) => ExitCode::from(u8::from(!good)),
        Err(error) => {
            let mut stderr = std::io::stderr().lock();
            let mut source: Option<&dyn std::error::Error> = Some(&error);
            let mut before = "torrens torture: ";
            while let Some(error) = source {
                let _ = write!(stderr, "{before}{error}");
                (before, source) = (": ", error.source());
            }
            let _ = writeln!(stderr);
            error.exit_code()
        }
    }
}

fn torture(args: &Args) -> Result<bool, TortureError> {
    let started = Instant::now();
    let data = DataSet::load(args.data.as_deref())?;
    let seed = match args.seed {
        Some(seed) => seed,
        // As good as any, and printed.
        None => u64::from(std::process::id()) ^ started_millis(),
    };
    let interrupted = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&interrupted);
    ctrlc::set_handler(move || flag.store(true, Ordering::Relaxed))
        .map_err(TortureError::Interrupt)?;
    let time = Duration::from_secs(args.seconds);
    let limits = match args.every_step {
        true => Limits {
            until: None,
            kills: args.kills,
            interrupted,
        },
        false => Limits {
            until: started.checked_add(time),
            kills: args.kills,
            interrupted,
        },
    };
    let bar = Bar::new((!args.every_step).then_some(time));
    for warning in &data.warnings {
        bar.say(&format!("note: {warning}"));
    }
    let name = data.name.clone();
    let told = match args.every_step {
        true => every_step(args, &data, seed, &limits, &bar)?,
        false => random(args, data, seed, &limits, &bar)?,
    };
    bar.end();
    let summary = Summary {
        dir: args.dir.display().to_string(),
        data: &name,
        seed,
        took: started.elapsed(),
        kills: &told.kills,
        tally: &told.tally,
        regions: told.regions,
        rows: told.rows,
        steps: told.steps,
        interrupted: limits.interrupted(),
        passed_on: Beside::of(&args.dir).passed_on(),
    };
    let text = if args.json {
        format!("{}\n", summary.json())
    } else {
        summary.to_string()
    };
    // A reader that went away does not change what was found.
    let _ = std::io::stdout().write_all(text.as_bytes());
    Ok(told.tally.is_good())
}

fn started_millis() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(0))
}

/// What a run has to tell.
struct Told {
    kills: Kills,
    tally: Tally,
    regions: u64,
    rows: u64,
    steps: Option<(u64, bool)>,
}

/// Kills at random until it is time to stop; then an orderly end, and one more opening.
fn random(
    args: &Args,
    data: DataSet,
    seed: u64,
    limits: &Limits,
    bar: &Bar,
) -> Result<Told, TortureError> {
    // Before the oracle looks at the directory; unmounted when everything else is done with.
    let image = args.power_cut.then(|| image(&args.dir)).transpose()?;
    let oracle = Oracle::open(&args.dir, data)?;
    same_store(&args.dir, &oracle)?;
    let name = &oracle.data().name;
    bar.say(&format!(
        "torture of {} with {name}, seed {seed}",
        args.dir.display()
    ));
    let launch = Launch {
        dir: args.dir.clone(),
        data: args.data.clone(),
        child_log: oracle.beside().child_log(),
        copy: Some(oracle.beside().copy()),
        other: Some(oracle.beside().other()),
        abort_at: None,
        settings: None,
    };
    let mut driver = Driver {
        oracle,
        launch,
        source: Source::Random(Workload::new(seed)),
        lives: Some(Random::new(seed ^ 0x6c69_7665)),
        image,
        kills: Kills::new(seed),
        tally: Tally::default(),
        outlined: Default::default(),
        stop: limits,
        progress: bar,
    };
    let mut closed = 0;
    while closed < 2 {
        let stop = limits.stop(driver.kills.kills);
        let plan = if stop {
            Plan::None
        } else {
            driver.kills.plan()
        };
        match driver.live(plan)? {
            LifeEnd::Killed => {}
            // The second opening shows that an orderly end is found to be one.
            LifeEnd::Closed => closed += 1,
            LifeEnd::Wrong => break,
        }
    }
    if driver.tally.is_good() {
        driver.oracle.compact()?;
    }
    let model = driver.oracle.model();
    let (regions, rows) = (model.normals().count() as u64, model.rows());
    Ok(Told {
        kills: driver.kills,
        tally: driver.tally,
        regions,
        rows,
        steps: None,
    })
}

/// The file system of a run with cuts of power.
fn image(dir: &Path) -> Result<Image, TortureError> {
    let beside = Beside::of(dir);
    std::fs::create_dir_all(beside.root()).map_err(TortureError::io("create", beside.root()))?;
    Image::open(beside.image(), dir)
}

/// Refuses a store that the oracle does not know, before anything is changed in it.
fn same_store(dir: &Path, oracle: &Oracle) -> Result<(), TortureError> {
    let Some(expected) = &oracle.model().store else {
        return Ok(());
    };
    let looked = Engine::options()
        .store(StoreId(protocol::STORE))
        .mode(OpenMode::ReadOnly)
        .open(dir);
    // A store that cannot be looked at has something to be found: the first opening will tell.
    let found = looked.ok().and_then(|(_, report)| report.recovery.store);
    match found.map(|found| found.to_string()) {
        Some(found) if found != *expected => Err(TortureError::OtherStore {
            dir: dir.to_owned(),
            oracle: oracle.beside().root().to_owned(),
            expected: expected.clone(),
            found,
        }),
        _ => Ok(()),
    }
}

fn every_step(
    args: &Args,
    data: &DataSet,
    seed: u64,
    limits: &Limits,
    bar: &Bar,
) -> Result<Told, TortureError> {
    let folder = Beside::of(&args.dir).steps();
    let file = args.data.as_deref().map(Path::new);
    let steps::Outcome {
        kills,
        tally,
        steps,
        complete,
        regions,
        rows,
    } = steps::run(&folder, data, file, seed, limits, bar)?;
    Ok(Told {
        kills,
        tally,
        regions,
        rows,
        steps: Some((steps, complete)),
    })
}
