//! Carries out one run of the suite, in the process that was started for it.

use std::collections::VecDeque;
use std::time::Instant;

use anyhow::{Context, Result, bail};

use crate::gauge::{self, Turn};
use crate::job::{Job, Sample, Work, figure};
use crate::peers::{self, Log, Mode, PAYLOAD_BYTES, Payloads};
use crate::rng::Rng;

/// How many unsynced appends are counted at once: they take less time than counting.
const APPENDS_PER_COUNT: u64 = 64;

/// One ticket in so many is timed.
const SAMPLED_TICKETS: u64 = 256;

/// Carries out `job` here and now.
pub(crate) fn carry_out(job: &Job) -> Result<Sample> {
    let peer = peers::by_name(&job.peer)?;
    let create = |mode| peer.create(&job.dir, &job.setting, mode);
    match job.work {
        Work::Durable { threads, time } => {
            let log = create(Mode::Durable)?;
            let body = |turn: &mut Turn<'_>| durable(&*log, job.seed, turn);
            finish(gauge::measure(&job.dir, threads, time, body)?, log)
        }
        Work::Buffered { threads, time } => {
            let log = create(Mode::Buffered)?;
            let body = |turn: &mut Turn<'_>| buffered(&*log, job.seed, turn);
            finish(gauge::measure(&job.dir, threads, time, body)?, log)
        }
        Work::Ticket { in_flight, time } => {
            let log = create(Mode::Ticket)?;
            let body = |turn: &mut Turn<'_>| ticket(&*log, job.seed, in_flight, turn);
            finish(gauge::measure(&job.dir, 1, time, body)?, log)
        }
        Work::Fill { records } => {
            let log = create(Mode::Replay)?;
            let mut payloads = Payloads::new(job.seed, records);
            let sample = gauge::once(records, || log.fill(&mut payloads))?;
            finish(sample, log)
        }
        Work::Replay { records } => {
            let mut replayed = None;
            let mut sample = gauge::once(records, || {
                replayed = Some(peer.replay(&job.dir, &job.setting)?);
                Ok(())
            })?;
            let tally = replayed.as_ref().context("nothing was read")?.tally;
            let mut put = |name: &str, value: u64| {
                sample.figures.insert(name.to_owned(), value as f64);
            };
            put(figure::RECORDS, tally.records);
            put(figure::SUM, tally.sum);
            Ok(sample)
        }
        Work::Data(_) | Work::Engine(_) | Work::Observe(_) | Work::Scale(_) => {
            bail!("is no run of this suite")
        }
    }
}

fn finish(mut sample: Sample, log: Box<dyn Log>) -> Result<Sample> {
    sample.about = log.about();
    log.close().context("cannot close the log")?;
    Ok(sample)
}

fn payload(seed: u64, turn: &Turn<'_>) -> [u8; PAYLOAD_BYTES] {
    let mut payload = [0; PAYLOAD_BYTES];
    Rng::new(seed ^ turn.thread as u64).fill(&mut payload);
    payload
}

fn durable(log: &dyn Log, seed: u64, turn: &mut Turn<'_>) -> Result<()> {
    let payload = payload(seed, turn);
    let mut appender = log.appender(turn.thread)?;
    while turn.goes_on() {
        turn.timed(|| appender.append_durable(&payload))?;
    }
    Ok(())
}

fn buffered(log: &dyn Log, seed: u64, turn: &mut Turn<'_>) -> Result<()> {
    let payload = payload(seed, turn);
    let mut appender = log.appender(turn.thread)?;
    while turn.goes_on() {
        for _ in 0..APPENDS_PER_COUNT {
            appender.append(&payload)?;
        }
        turn.count(APPENDS_PER_COUNT);
    }
    Ok(())
}

/// Only records that are durable count. How long a record took from submission to completion is noted
/// for a sample of them, since reading the clock takes about as long as submitting.
fn ticket(log: &dyn Log, seed: u64, in_flight: usize, turn: &mut Turn<'_>) -> Result<()> {
    let payload = payload(seed, turn);
    let mut submitter = log.submitter()?;
    let mut submitted = 0;
    let mut completed = 0;
    let mut sampled = VecDeque::new();
    while turn.goes_on() {
        if submitted % SAMPLED_TICKETS == 0 {
            sampled.push_back(Instant::now());
        }
        submitter.submit(&payload)?;
        submitted += 1;
        if submitted <= in_flight as u64 {
            continue;
        }
        submitter.complete_oldest()?;
        if completed % SAMPLED_TICKETS == 0
            && let Some(started) = sampled.pop_front()
        {
            turn.took(started.elapsed());
        }
        completed += 1;
        turn.count(1);
    }
    for _ in completed..submitted {
        submitter.complete_oldest()?;
    }
    Ok(())
}
