//! Moving a region: for Torrens a snapshot that one store takes and another receives and applies,
//! durable at its end; for sled, copying rows from one tree to another, and its flush.

use std::time::Instant;

use anyhow::{Result, bail, ensure};

use super::stores::{self, Torrens};
use super::work;
use crate::job::{Job, Sample};

/// Rows in one batch of a copy.
const ROWS_PER_BATCH: usize = 1000;

pub(super) fn carry_out(job: &Job, bytes: u64) -> Result<Sample> {
    let row_bytes = (stores::key(0).len() + size_of::<stores::Value>()) as u64;
    let rows = bytes.div_ceil(row_bytes);
    let seconds = match job.peer.as_str() {
        "torrens" => {
            let from = Torrens::open(&job.dir.join("from"))?;
            let to = Torrens::open_other(&job.dir.join("to"))?;
            work::fill(&from, rows, job.seed)?;
            from.add_replica()?;
            from.flush()?;
            let begun = Instant::now();
            from.send_to(&to)?;
            begun.elapsed().as_secs_f64()
        }
        "sled" => copy_trees(job, rows)?,
        other => bail!("{other} moves no regions here"),
    };
    Ok(Sample {
        rate: (rows * row_bytes) as f64 / seconds,
        ..Sample::default()
    })
}

fn copy_trees(job: &Job, rows: u64) -> Result<f64> {
    let store = stores::open_sled(&job.dir, stores::Way::Default)?;
    work::fill(&store, rows, job.seed)?;
    let db = store.database();
    let to = db.open_tree("to")?;
    db.flush()?;
    let begun = Instant::now();
    match job.setting.as_str() {
        "insert" => {
            for row in db.iter() {
                let (key, value) = row?;
                to.insert(key, value)?;
            }
        }
        _ => {
            let mut all = db.iter();
            loop {
                let mut batch = sled::Batch::default();
                let mut taken = 0;
                for row in all.by_ref().take(ROWS_PER_BATCH) {
                    let (key, value) = row?;
                    batch.insert(key, value);
                    taken += 1;
                }
                if taken == 0 {
                    break;
                }
                to.apply_batch(batch)?;
            }
        }
    }
    to.flush()?;
    let seconds = begun.elapsed().as_secs_f64();
    ensure!(to.len() as u64 == rows, "not every row was copied");
    Ok(seconds)
}
