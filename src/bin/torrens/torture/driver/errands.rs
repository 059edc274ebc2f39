//! What must be done for each region before new work: compare its rows, send again what the store
//! lacks, ask again what was in flight.

use super::life::{AskedKind, Life, OUTSTANDING_MAX};
use crate::torture::protocol::{Digester, Do, Position};

/// The consumer's copy is compared at every so many openings, and at every orderly end.
const COPY_EVERY: u64 = 8;

/// What must be done for one region before new work.
#[derive(Debug)]
pub(super) enum Errand {
    /// Compare all rows with the model's at the acknowledged index.
    Digest,
    /// Compare all rows of the consumer's copy.
    Copy,
    /// Send a committed entry again.
    Resend { what: Do, at: Position },
    /// Ask again what was in flight.
    Reissue { op: u64, what: Do },
}

impl Life<'_, '_> {
    /// After opening: all rows, then what is missing, then the rows that changed by that.
    pub(super) fn plan_errands(&mut self) {
        let normals = self.model().normals();
        let regions: Vec<(u64, bool)> = normals.map(|(id, p)| (id, p.serves())).collect();
        for (region, is_serving) in regions {
            // What is prepared for a merge, or in flashback, serves nothing, and is compared when that has ended.
            let digest = |life: &mut Self| {
                if is_serving {
                    let errands = life.errands.entry(region).or_default();
                    errands.push_back(Errand::Digest);
                }
            };
            digest(self);
            if self.plan_resends(region) {
                digest(self);
            }
        }
        if self.driver.kills.kills % COPY_EVERY == COPY_EVERY - 1 {
            self.plan_copies();
        }
        let reissued: Vec<(u64, Do)> = self
            .model()
            .flights
            .iter()
            .filter(|(_, flight)| flight.what.position().is_none())
            .map(|(op, flight)| (*op, flight.what.clone()))
            .collect();
        for (op, what) in reissued {
            if let Some(region) = what.regions().first() {
                let errand = Errand::Reissue {
                    op,
                    what: what.clone(),
                };
                self.errands.entry(*region).or_default().push_back(errand);
            }
        }
    }

    /// Queues every committed entry above the acknowledged index; whether there is one.
    pub(super) fn plan_resends(&mut self, region: u64) -> bool {
        let Some(peer) = self.model().normal(region) else {
            return false;
        };
        let entries = peer.state.entries_above(peer.acked);
        let resends: Vec<Errand> = entries
            .map(|entry| Errand::Resend {
                what: entry.what.clone(),
                at: entry.at,
            })
            .collect();
        let any = !resends.is_empty();
        self.errands.entry(region).or_default().extend(resends);
        any
    }

    pub(super) fn dispatch_errands(&mut self) {
        // An errand may turn out to be none; then the next one of its region is due.
        while self.dispatch_some_errands() {}
    }

    /// The next errand of every region that is free; whether one of them asked nothing.
    fn dispatch_some_errands(&mut self) -> bool {
        let mut is_any_none = false;
        let regions: Vec<u64> = self
            .errands
            .keys()
            .copied()
            .filter(|region| !self.busy.contains(region))
            .collect();
        for region in regions {
            if self.asked.len() >= OUTSTANDING_MAX {
                return false;
            }
            let Some(queue) = self.errands.get(&region) else {
                continue;
            };
            // What ends a region comes after everything that is still to be sent to it.
            let ends = match queue.front() {
                Some(Errand::Resend {
                    what: Do::CommitMerge { source, .. },
                    ..
                }) => Some(source.id),
                _ => None,
            };
            if ends
                .is_some_and(|ends| self.errands.contains_key(&ends) || self.busy.contains(&ends))
            {
                continue;
            }
            // A merge that was in flight holds a second region, whose own operations come to their end first.
            let is_held = |held: &u64| *held != region && self.busy.contains(held);
            if queue
                .front()
                .is_some_and(|errand| self.holds_of(region, errand).iter().any(is_held))
            {
                continue;
            }
            let Some(queue) = self.errands.get_mut(&region) else {
                continue;
            };
            let errand = queue.pop_front();
            if queue.is_empty() {
                self.errands.remove(&region);
            }
            let asked = self.asked.len();
            match errand {
                Some(Errand::Digest) => self.ask_digest(region),
                Some(Errand::Copy) => self.ask_copy(region),
                Some(Errand::Resend { what, at }) => {
                    // The one in flight when the process died is acknowledged only now.
                    match self.model().flight_at(region, at.index) {
                        Some(op) => self.ask(op, what, AskedKind::Tracked),
                        None => {
                            let op = self.driver.oracle.take_op();
                            self.ask(op, what, AskedKind::Resend { region, at });
                        }
                    }
                }
                Some(Errand::Reissue { op, what }) => self.ask(op, what, AskedKind::Tracked),
                None => {}
            }
            is_any_none |= self.asked.len() == asked;
        }
        is_any_none
    }

    /// The regions that an errand of `region` holds until it is answered.
    fn holds_of(&self, region: u64, errand: &Errand) -> Vec<u64> {
        match errand {
            Errand::Resend { what, at } if self.model().flight_at(region, at.index).is_some() => {
                what.regions()
            }
            Errand::Reissue { what, .. } => what.regions(),
            Errand::Resend { .. } | Errand::Digest | Errand::Copy => vec![region],
        }
    }

    /// Compares the consumer's copy of every region, if there is a consumer.
    pub(super) fn plan_copies(&mut self) {
        if self.driver.launch.copy.is_none() {
            return;
        }
        let regions: Vec<u64> = self.model().serving().map(|(id, _)| id).collect();
        for region in regions {
            self.errands
                .entry(region)
                .or_default()
                .push_back(Errand::Copy);
        }
    }

    fn ask_copy(&mut self, region: u64) {
        let Some(peer) = self.model().normal(region).filter(|peer| peer.serves()) else {
            return;
        };
        let mut digester = Digester::default();
        for (key, row) in peer.state.rows_at(peer.acked) {
            let value = self.driver.oracle.data().value(row.row, row.revision);
            let checksum = crc32fast::hash(&value.unwrap_or_default());
            digester.add(&key, &checksum.to_le_bytes());
        }
        let expected = digester.finish();
        let op = self.driver.oracle.take_op();
        let kind = AskedKind::Digest { region, expected };
        self.ask(op, Do::Copy { region }, kind);
    }

    pub(super) fn ask_digest(&mut self, region: u64) {
        // One that is prepared for a merge meanwhile serves nothing.
        let Some(peer) = self.model().normal(region).filter(|peer| peer.serves()) else {
            return;
        };
        let epoch = peer.state.description.epoch;
        let expected = peer.state.digest_at(peer.acked, self.driver.oracle.data());
        let op = self.driver.oracle.take_op();
        self.ask(
            op,
            Do::Digest { region, epoch },
            AskedKind::Digest { region, expected },
        );
    }
}
