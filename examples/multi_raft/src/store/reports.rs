//! Reports of leadership to the engine. Several threads make them, so that they come in any order, as they
//! do where such news goes through queues; the nemesis holds some back. The engine goes by the terms.
//!
//! Not here: when a role changes (the loop notices).

use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, unbounded};
use rand::Rng;
use torrens::{Engine, Incarnation, LeadershipRole, RegionId};

use super::Shared;

const THREADS: usize = 3;

/// What a peer has become.
pub(super) struct Report {
    pub(super) region: RegionId,
    pub(super) incarnation: Incarnation,
    pub(super) term: u64,
    pub(super) role: LeadershipRole,
}

/// Starts the threads. They end when the sender is dropped.
pub(super) fn start(engine: &Engine, shared: &Arc<Shared>) -> Sender<Report> {
    let (sender, receiver) = unbounded();
    for _ in 0..THREADS {
        let (engine, shared, receiver) = (engine.clone(), Arc::clone(shared), receiver.clone());
        std::thread::spawn(move || run(&engine, &shared, &receiver));
    }
    sender
}

fn run(engine: &Engine, shared: &Shared, reports: &Receiver<Report>) {
    for report in reports {
        let (is_late, delay_max_ms) = {
            let faults = shared.faults.lock();
            let faults = faults.expect("nothing panics while it holds the faults");
            let is_late = rand::rng().random_range(0..1000) < faults.delay;
            (is_late, faults.delay_max_ms)
        };
        if is_late {
            let late = rand::rng().random_range(0..=delay_max_ms);
            std::thread::sleep(Duration::from_millis(u64::from(late)));
        }
        let Report {
            region,
            incarnation,
            term,
            role,
        } = report;
        let name = match engine.report_leadership(region, incarnation, term, role) {
            Ok(answer) => format!("{answer:?}"),
            Err(error) => error.code().to_owned(),
        };
        let name = name.split([' ', '{', '(']).next();
        let name = name.unwrap_or_default().to_lowercase();
        shared.counters.add("leadership", &name);
    }
}
