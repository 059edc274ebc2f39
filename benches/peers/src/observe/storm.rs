//! Attaching after a storm of elections: every region has a leader of a new term at once, and every observer
//! is attached to every region under a new generation.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use torrens::lifecycle::AttachmentState;
use torrens::{Engine, StartFrom};

use super::named;
use super::store;
use crate::engine::store as stores;
use crate::job::{Sample, figure};

pub(super) fn carry(dir: &Path, observers: u64, regions: u64) -> Result<Sample> {
    let engine = stores::create(dir, regions)?;
    engine.wait_idle()?;
    let before = resident_bytes()?;
    for number in 0..observers {
        store::add(&engine, &format!("observer-{number}"), StartFrom::Now)?;
    }
    store::lead(&engine, regions, 6)?;
    engine.wait_idle()?;
    check(&engine, observers * regions, 6)?;
    // Every region elects anew: the bar is on this, from the first report to the last durable attachment.
    let begun = Instant::now();
    store::lead(&engine, regions, 7)?;
    engine.wait_idle()?;
    let seconds = begun.elapsed().as_secs_f64();
    check(&engine, observers * regions, 7)?;
    let resident = resident_bytes()? - before;
    let attachments = (observers * regions) as f64;
    let figures = BTreeMap::from([
        (figure::SECONDS.to_owned(), seconds),
        (named::ATTACHMENT_BYTES.to_owned(), resident / attachments),
    ]);
    Ok(Sample {
        rate: attachments / seconds,
        figures,
        ..Sample::default()
    })
}

/// That so many attachments deliver in that term, durably.
fn check(engine: &Engine, wanted: u64, term: u64) -> Result<()> {
    let register = engine.register();
    let attached = |state: &AttachmentState| match state {
        AttachmentState::Live { term: known } | AttachmentState::CatchingUp { term: known } => {
            *known == term
        }
        _ => false,
    };
    let all = register.observers().iter();
    let found = all
        .flat_map(|(_, observer)| observer.attachments())
        .filter(|(_, attachment)| attached(&attachment.state))
        .count() as u64;
    ensure!(
        found == wanted,
        "{found} of {wanted} are attached in term {term}"
    );
    Ok(())
}

/// Bytes of this process that lie in memory.
fn resident_bytes() -> Result<f64> {
    let text = std::fs::read_to_string("/proc/self/statm")?;
    let pages = text.split_whitespace().nth(1).context("a second field")?;
    Ok(pages.parse::<f64>()? * rustix::param::page_size() as f64)
}
