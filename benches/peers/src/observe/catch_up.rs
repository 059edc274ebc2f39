//! Reading what was kept: a consumer that begins at the oldest change, out of files.
//!
//! Reading never asks the data store, so that is in memory here, and a million changes are written in seconds.
//! The history is on the disk as always; its newest 8 MiB are in memory, too, and are read last.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Instant;

use anyhow::{Result, ensure};
use torrens::StartFrom;
use torrens::engine::ObserveOptions;

use super::named;
use super::store::{self, Writer};
use crate::engine::store as stores;
use crate::job::Sample;

/// Regions that are written to in turn.
const REGIONS: u64 = 16;

/// Writes `changes` rows in entries of `per_entry`, and reads them.
pub(super) fn carry(dir: &Path, changes: u64, per_entry: u64) -> Result<Sample> {
    let engine = store::open_in_memory(dir)?;
    stores::fill(&engine, REGIONS)?;
    store::lead(&engine, REGIONS, 6)?;
    let observer = store::add(&engine, "consumer", StartFrom::Now)?;
    store::keep_all(&engine, true)?;
    engine.wait_idle()?;
    let mut writers = (1..=REGIONS)
        .map(|region| Writer::new(&engine, region))
        .collect::<Result<Vec<_>>>()?;
    let (entries, count) = (changes / per_entry, writers.len());
    for entry in 0..entries {
        if let Some(writer) = writers.get_mut(entry as usize % count) {
            writer.write(&engine, per_entry)?;
        }
    }
    engine.flush()?;
    let begun = Instant::now();
    let mut feed = engine.observe(observer, ObserveOptions::default())?;
    let read = store::consume(&engine, &mut feed, |read, _| read >= changes)?;
    let seconds = begun.elapsed().as_secs_f64();
    ensure!(read == changes, "{read} changes instead of {changes}");
    let rate = changes as f64 / seconds;
    let figures = BTreeMap::from([(named::READ.to_owned(), rate)]);
    Ok(Sample {
        rate,
        figures,
        ..Sample::default()
    })
}
