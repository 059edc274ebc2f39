//! Opening a store that was killed, and one that was closed in order, with nothing of it cached; beside
//! sled's own opening of the very same files, and beside that and reading every row.

use std::mem;
use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};

use super::stores::{self, Key, Store, Torrens, Value, Way};
use super::work::{self, value};
use crate::job::{Job, Sample, figure};
use crate::rng::Rng;

/// Rows that were written behind the last barrier when the store was killed.
const ROWS_BEHIND: u64 = 10_000;
/// No barrier but the one that is asked for.
const NEVER: Duration = Duration::from_secs(3600);

/// Fills a store, and leaves it as a kill would, or closed in order.
pub(super) fn leave(job: &Job, rows: u64) -> Result<Sample> {
    let store = Torrens::open_with(&job.dir, Some(NEVER))?;
    work::fill(&store, rows, job.seed)?;
    store.flush()?;
    let mut rng = Rng::new(job.seed ^ 1);
    for _ in 0..ROWS_BEHIND / 10 {
        let row = |_| (stores::key(rng.next() % rows), value(&mut rng));
        let batch: Vec<(Key, Value)> = (0..10).map(row).collect();
        store.write(&batch)?;
    }
    if job.setting == "killed" {
        // The process ends without any of the store's code being run.
        mem::forget(store);
    } else {
        Box::new(store).close()?;
    }
    Ok(Sample {
        rate: 1.0,
        ..Sample::default()
    })
}

/// Opens what was left.
pub(super) fn open(job: &Job, rows: u64) -> Result<Sample> {
    let begun = Instant::now();
    let seconds = match job.setting.as_str() {
        "killed" | "closed" => {
            let store = Torrens::open(&job.dir)?;
            let seconds = begun.elapsed().as_secs_f64();
            work::iterate(&store, rows)?;
            seconds
        }
        "sled" | "sled_rows" => {
            let sled = stores::open_sled(&job.dir.join("torrens/data"), Way::Default)?;
            if job.setting == "sled_rows" {
                let mut read: u64 = 0;
                for row in sled.database().iter() {
                    row?;
                    read += 1;
                }
                ensure!(read >= rows, "{read} rows instead of {rows}");
            }
            begun.elapsed().as_secs_f64()
        }
        other => bail!("nothing is opened as {other}"),
    };
    Ok(Sample {
        rate: 1.0 / seconds,
        figures: [(figure::SECONDS.to_owned(), seconds)].into(),
        ..Sample::default()
    })
}
