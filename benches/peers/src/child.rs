//! The process that carries out one run: started by the suite, told by a file, answering by a file.
//!
//! A process of its own per run, because peers keep threads, caches and global settings beyond the
//! end of a log, and because one that panics or hangs must not take the others with it. The answer
//! goes through a file since some peers write to stdout.

use std::fs::{self, File};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::args::JobFiles;
use crate::data;
use crate::engine;
use crate::job::{Job, Sample, Work};
use crate::journal;
use crate::observe;
use crate::scale;

/// No run takes this long unless it hangs.
const PATIENCE: Duration = Duration::from_secs(180);

/// Runs `job` in a new process and gives what it measured.
pub(crate) fn run(job: &Job) -> Result<Sample> {
    let what = || format!("{} ({})", job.peer, job.setting);
    let notes = tempfile::tempdir().context("cannot create a directory for notes")?;
    let (job_file, sample_file) = (notes.path().join("job"), notes.path().join("sample"));
    let log_file = notes.path().join("log");
    fs::write(&job_file, serde_json::to_vec(job)?)?;
    let log = File::create(&log_file)?;
    let mut child = Command::new(std::env::current_exe()?)
        .arg("job")
        .args([&job_file, &sample_file])
        // The data directory of walrus can be given in no other way.
        .env("WALRUS_DATA_DIR", &job.dir)
        .env("WALRUS_QUIET", "1")
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .spawn()
        .with_context(|| format!("cannot start a run of {}", what()))?;
    let started = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        if started.elapsed() > PATIENCE {
            child.kill()?;
            child.wait()?;
            bail!("{} hung and was ended after {PATIENCE:?}", what());
        }
        std::thread::sleep(Duration::from_millis(5));
    };
    if !status.success() {
        let log = fs::read_to_string(&log_file).unwrap_or_default();
        bail!("{} failed, {status}: {}", what(), log.trim());
    }
    read(&sample_file).with_context(|| format!("{} left no sample", what()))
}

fn read(sample_file: &Path) -> Result<Sample> {
    Ok(serde_json::from_slice(&fs::read(sample_file)?)?)
}

/// Carries out the job in the file, in this process.
pub(crate) fn serve(files: &JobFiles) -> Result<()> {
    // A run never outlives the suite that started it.
    rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL))?;
    let job: Job = serde_json::from_slice(&fs::read(&files.job)?)?;
    let sample = match &job.work {
        Work::Data(work) => data::work::carry_out(&job, work)?,
        Work::Engine(work) => engine::work::carry(&job, work)?,
        Work::Observe(work) => observe::carry(&job, work)?,
        Work::Scale(work) => scale::carry(&job, work)?,
        _ => journal::work::carry_out(&job)?,
    };
    fs::write(&files.sample, serde_json::to_vec(&sample)?)?;
    Ok(())
}
