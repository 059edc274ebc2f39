//! When the storage process dies: drawn from the seed, aimed so that a good part of the deaths falls
//! into recovery, and counted by what really happened.

use std::collections::BTreeMap;
use std::time::Duration;

use torrens::crash_points::CrashPoint;
use torrens_journal::disk::op;

use super::random::Random;

/// Middle of the exponential waiting time before a kill at work.
const WORK_MILLIS_MEAN: f64 = 260.0;
/// A kill at work never comes sooner: something must be under way.
const WORK_MILLIS_MIN: u64 = 40;
/// Share of deaths that are to fall into recovery, in percent.
const RECOVERY_PERCENT: u64 = 33;
/// How long opening is taken to last before one was seen.
const RECOVERY_FIRST_GUESS: Duration = Duration::from_millis(8);

/// The kinds of operations at which a process may abort itself: those after which another state is on the
/// disk than before, whatever the bytes.
const KINDS: [&str; 8] = [
    op::CREATE,
    op::RENAME,
    op::REMOVE,
    op::SYNC,
    op::SYNC_DIR,
    op::WRITE_ZEROS,
    op::WRITE_DURABLE,
    op::STORE,
];

/// Share of deaths that are to fall on a named point of the engine, in percent, where it is built with them.
const POINT_PERCENT: u64 = 45;
/// Points that nearly every write or barrier reaches: there the process dies at a later time, not at the first.
const OFTEN_REACHED: [&str; 3] = ["write.", "barrier.", "history."];

/// How one life of the storage process is to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Plan {
    /// SIGKILL this long after the checks that follow opening.
    AtWork(Duration),
    /// SIGKILL this long after opening, whatever is being checked or sent again then.
    AfterOpen(Duration),
    /// SIGKILL this long after the process said that it recovers.
    InRecovery(Duration),
    /// The process aborts itself at that operation on the disk.
    AtOperation(u64),
    /// The process aborts itself at that operation of that kind on the disk.
    AtKind(&'static str, u64),
    /// The process aborts itself when it is at that point of the engine for that time.
    AtPoint(CrashPoint, u64),
    /// It is left to end in order.
    None,
}

impl Plan {
    /// What the process is told of the operation at which it aborts itself: `24`, `rename:3`, or
    /// `@split.durable:1`.
    pub(super) fn abort_at(self) -> Option<String> {
        match self {
            Plan::AtOperation(number) => Some(number.to_string()),
            Plan::AtKind(kind, number) => Some(format!("{kind}:{number}")),
            Plan::AtPoint(point, number) => Some(format!("@{}:{number}", point.name())),
            Plan::AtWork(_) | Plan::AfterOpen(_) | Plan::InRecovery(_) | Plan::None => None,
        }
    }

    /// Whether the process is to die while it is closed in order.
    pub(super) fn is_in_close(self) -> bool {
        matches!(self, Plan::AtPoint(point, _) if point.name().starts_with("close."))
    }

    /// Whether the process ends itself.
    pub(super) fn is_abort(self) -> bool {
        self.abort_at().is_some()
    }
}

/// Draws the plans and counts the deaths.
#[derive(Debug)]
pub(super) struct Kills {
    random: Random,
    opening: Duration,
    pub(super) kills: u64,
    pub(super) in_recovery: u64,
    pub(super) by_operation: u64,
    pub(super) by_point: BTreeMap<&'static str, u64>,
}

impl Kills {
    pub(super) fn new(seed: u64) -> Self {
        let random = Random::new(seed ^ 0x6b69_6c6c);
        Kills {
            random,
            opening: RECOVERY_FIRST_GUESS,
            kills: 0,
            in_recovery: 0,
            by_operation: 0,
            by_point: BTreeMap::new(),
        }
    }

    /// The next plan.
    pub(super) fn plan(&mut self) -> Plan {
        if cfg!(feature = "crash-points") && self.random.percent(POINT_PERCENT) {
            return self.at_point();
        }
        let behind = self.in_recovery * 100 < self.kills * RECOVERY_PERCENT;
        let aimed = if behind { 70 } else { 20 };
        if self.random.percent(aimed) {
            return match self.random.percent(40) {
                true => Plan::AtOperation(self.random.between(1, 24)),
                false => {
                    let micros = u64::try_from(self.opening.as_micros()).unwrap_or(u64::MAX);
                    Plan::InRecovery(Duration::from_micros(self.random.below(micros)))
                }
            };
        }
        match self.random.below(10) {
            0 => Plan::AfterOpen(Duration::from_millis(self.random.between(1, 60))),
            1 => Plan::AtOperation(self.random.between(25, 900)),
            2 => {
                let kind = self.random.pick(&KINDS).copied().unwrap_or(op::SYNC);
                Plan::AtKind(kind, self.random.between(1, 12))
            }
            _ => {
                let millis = self.random.exponential(WORK_MILLIS_MEAN) as u64;
                Plan::AtWork(Duration::from_millis(
                    millis.saturating_add(WORK_MILLIS_MIN),
                ))
            }
        }
    }

    /// Any of the points, each as often as any other.
    fn at_point(&mut self) -> Plan {
        let point = self.random.pick(CrashPoint::ALL).copied();
        let point = point.unwrap_or(CrashPoint::BarrierFlushed);
        let is_of = |part: &&str| point.name().starts_with(*part);
        let most = match (OFTEN_REACHED.iter().any(is_of), is_of(&"open.")) {
            (true, _) => 12,
            // The second store beside is opened by the same process.
            (_, true) => 2,
            (_, false) => 1,
        };
        Plan::AtPoint(point, self.random.between(1, most))
    }

    /// An opening lasted this long: recovery kills are spread over that time.
    pub(super) fn saw_opening(&mut self, took: Duration) {
        self.opening = (self.opening * 3 + took) / 4;
    }

    /// A process died as it was meant to. `opened` tells whether it had said that the store is open, `aborted`
    /// whether it ended itself, and by which plan.
    pub(super) fn count(&mut self, opened: bool, aborted: Option<Plan>) {
        self.kills += 1;
        self.in_recovery += u64::from(!opened);
        match aborted {
            Some(Plan::AtPoint(point, _)) => {
                *self.by_point.entry(point.name()).or_default() += 1;
            }
            Some(_) => self.by_operation += 1,
            None => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fifth_of_the_deaths_is_in_recovery_even_if_half_of_the_aimed_ones_miss() {
        let mut kills = Kills::new(3);
        let mut luck = Random::new(4);
        for _ in 0..400 {
            let opened = match kills.plan() {
                Plan::InRecovery(_) => luck.percent(50),
                Plan::AtOperation(op) => op > 12,
                Plan::AtPoint(point, _) => !point.name().starts_with("open."),
                Plan::AtWork(_) | Plan::AfterOpen(_) | Plan::AtKind(..) | Plan::None => true,
            };
            kills.count(opened, None);
        }
        assert!(kills.in_recovery * 5 >= kills.kills, "{kills:?}");
        assert!(kills.in_recovery * 2 <= kills.kills, "{kills:?}");
    }

    #[test]
    fn the_same_seed_draws_the_same_plans() {
        let plans = |seed| {
            let mut kills = Kills::new(seed);
            (0..20).map(|_| kills.plan()).collect::<Vec<_>>()
        };
        assert_eq!(plans(9), plans(9));
        assert_ne!(plans(9), plans(10));
    }
}
