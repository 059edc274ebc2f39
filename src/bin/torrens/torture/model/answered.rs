//! Judging an answer: is it what the model says must come? Only then the model moves.

use std::fmt;

use super::{Model, Replicated, Row};
use crate::torture::data::DataSet;
use crate::torture::protocol::{Digest, Digester, Do, Key, Position, Said};

/// Something that is not as it must be: one line on the screen, one count in the result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::torture) struct Wrong {
    /// Whose it is; none if it is the store's as a whole.
    pub(in crate::torture) region: Option<u64>,
    /// What was looked at.
    pub(in crate::torture) what: String,
    pub(in crate::torture) expected: String,
    pub(in crate::torture) found: String,
    /// Whether something acknowledged is missing or different, and not only an answer odd.
    pub(in crate::torture) lost: bool,
}

impl Wrong {
    /// An answer that may not come.
    pub(in crate::torture) fn answer(what: &Do, expected: &str, said: &Said) -> Wrong {
        Wrong {
            region: what.regions().first().copied(),
            what: format!("answer to {}", what.kind()),
            expected: expected.to_owned(),
            found: format!("{said:?}"),
            lost: false,
        }
    }

    /// A read that shows other rows than were acknowledged.
    fn lost(what: &Do, expected: String, said: &Said) -> Wrong {
        Wrong {
            lost: true,
            ..Wrong::answer(what, &expected, said)
        }
    }
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = if self.lost { "LOST" } else { "WRONG" };
        match self.region {
            Some(region) => write!(f, "{kind} r{region}: {}", self.what)?,
            None => write!(f, "{kind} store: {}", self.what)?,
        }
        write!(f, ": expected {}, found {}", self.expected, self.found)
    }
}

/// What an answer meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::torture) enum Meaning {
    /// It happened.
    Happened,
    /// It did not, and may not have: a message too late, a read.
    Nothing,
    /// Not yet: to be asked again a little later.
    Again,
}

/// Refusals that say "not yet".
const AGAIN: [&str; 3] = ["range-busy", "snapshot-applying", "region-busy"];

impl Model {
    /// Judges the answer to an operation in flight and moves the model by it.
    pub(in crate::torture) fn answered(
        &mut self,
        op: u64,
        said: &Said,
        data: &DataSet,
    ) -> Result<Meaning, Wrong> {
        let Some(flight) = self.flights.get(&op) else {
            return Ok(Meaning::Nothing);
        };
        let what = flight.what.clone();
        let meaning = self.judge(&what, said, data)?;
        if meaning == Meaning::Again {
            return Ok(meaning);
        }
        let covers = self
            .flights
            .remove(&op)
            .map(|flight| flight.covers)
            .unwrap_or_default();
        if meaning == Meaning::Happened {
            let created = match said {
                Said::Accepted(lsn) => *lsn,
                _ => 0,
            };
            self.happened(&what, created);
            match &what {
                Do::Write { region, at, .. } => self.acknowledge(*region, at.index),
                Do::TakeSnapshot { region, to, .. } => {
                    if let Said::Snapshot {
                        name, index, term, ..
                    } = said
                    {
                        let at = Position {
                            index: *index,
                            term: *term,
                        };
                        self.taken.insert(
                            *region,
                            super::Taken {
                                file: to.join(name),
                                at,
                            },
                        );
                    }
                }
                Do::Flush => self.flushed(&covers),
                _ => {}
            }
        }
        Ok(meaning)
    }

    /// Judges the answer to anything that was asked; nothing moves.
    pub(in crate::torture) fn judge(
        &self,
        what: &Do,
        said: &Said,
        data: &DataSet,
    ) -> Result<Meaning, Wrong> {
        let wrong = |expected: &str| Err(Wrong::answer(what, expected, said));
        match (what, said) {
            (_, Said::Failed(..)) => wrong("no failure"),
            (Do::CreatePeer { region, peer, .. }, said) if self.is_dead(*region, *peer) => {
                match said {
                    Said::Refused(..) => Ok(Meaning::Nothing),
                    _ => wrong("a refusal: that peer is dead"),
                }
            }
            (Do::Write { region, epoch, .. }, said) if self.is_stale(*region, epoch.version) => {
                match said {
                    Said::Refused(..) => Ok(Meaning::Nothing),
                    _ => wrong("a refusal: that epoch is old"),
                }
            }
            (Do::ApplySnapshot(_), Said::Refused(code, _)) if AGAIN.contains(&code.as_str()) => {
                Ok(Meaning::Again)
            }
            (Do::Load { .. } | Do::Evict { .. }, _) => Ok(Meaning::Happened),
            (Do::Write { .. }, Said::Applied) => Ok(Meaning::Happened),
            (
                Do::Bootstrap { .. }
                | Do::Split(_)
                | Do::ChangePeers { .. }
                | Do::EnterJoint { .. }
                | Do::LeaveJoint { .. }
                | Do::SwitchWitness { .. }
                | Do::BeginFlashback { .. }
                | Do::EndFlashback { .. }
                | Do::PrepareMerge { .. }
                | Do::CommitMerge { .. }
                | Do::RollbackMerge { .. }
                | Do::CreatePeer { .. }
                | Do::Destroy { .. }
                | Do::ApplySnapshot(_),
                Said::Accepted(_),
            ) => Ok(Meaning::Happened),
            (Do::TakeSnapshot { region, .. }, Said::Snapshot { index, rows, .. }) => {
                let Some(peer) = self.normal(*region) else {
                    return wrong("no such region");
                };
                // The last entry in it, of whatever kind.
                let last = peer.acked.max(peer.meta.index);
                let expected = (last, peer.state.rows.len() as u64);
                match (*index, *rows) == expected {
                    true => Ok(Meaning::Happened),
                    false => wrong(&format!("index {} and {} rows", expected.0, expected.1)),
                }
            }
            (Do::Read { region, rows, .. }, Said::Values(values, _)) => {
                let Some(peer) = self.normal(*region) else {
                    return wrong("no such region");
                };
                let value = |(prefix, row): &(u32, u32)| {
                    let row = peer.state.rows.get(&data.key(*prefix, *row)?)?;
                    Some(crc32fast::hash(&data.value(row.row, row.revision)?))
                };
                let expected: Vec<_> = rows.iter().map(value).collect();
                match *values == expected {
                    true => Ok(Meaning::Nothing),
                    false => Err(Wrong::lost(what, format!("{expected:?}"), said)),
                }
            }
            (
                Do::Scan {
                    region, start, end, ..
                },
                Said::Digest(found),
            ) => {
                let Some(peer) = self.normal(*region) else {
                    return wrong("no such region");
                };
                let expected = scan(&peer.state, start, end.as_ref(), what, data);
                match (found.rows, found.checksum) == (expected.rows, expected.checksum) {
                    true => Ok(Meaning::Nothing),
                    false => Err(Wrong::lost(what, format!("{expected:?}"), said)),
                }
            }
            // A region that ended, or moved on to another epoch, has no view any more.
            (Do::Hold { .. }, Said::Held(_) | Said::Refused(..)) => Ok(Meaning::Nothing),
            // A region that merges, or is in flashback, is in no backup.
            (Do::Backup { .. }, Said::Refused(..)) => Ok(Meaning::Nothing),
            (Do::Preload { .. } | Do::Label(_) | Do::Backup { .. }, Said::Done) => {
                Ok(Meaning::Happened)
            }
            (Do::CompareCaches, Said::Compared(_)) => Ok(Meaning::Nothing),
            (Do::Flush | Do::Checkpoint | Do::Collect | Do::Close, Said::Done) => {
                Ok(Meaning::Happened)
            }
            _ => wrong("acceptance"),
        }
    }

    /// Whether a message or a split for that peer comes too late.
    fn is_dead(&self, region: u64, peer: u64) -> bool {
        self.tombstones
            .get(&region)
            .is_some_and(|highest| *highest >= peer)
    }

    /// Whether a write was sent with an old epoch on purpose: no such entry is in the log.
    fn is_stale(&self, region: u64, version: u64) -> bool {
        self.normal(region)
            .is_none_or(|peer| peer.state.description.epoch.version > version)
    }

    /// The data of an entry is in the store.
    pub(in crate::torture) fn acknowledge(&mut self, region: u64, index: u64) {
        if let Some(peer) = self.normal_mut(region) {
            peer.acked = peer.acked.max(index);
        }
    }

    fn flushed(&mut self, covers: &[(u64, u64, u64)]) {
        for (region, incarnation, index) in covers {
            if let Some(peer) = self.normal_mut(*region)
                && peer.incarnation == *incarnation
            {
                peer.floor = peer.floor.max(*index);
                self.truncate_log(*region);
            }
        }
    }
}

fn scan(state: &Replicated, start: &Key, end: Option<&Key>, what: &Do, data: &DataSet) -> Digest {
    let wanted = |key: &[u8]| *key >= *start.0 && end.is_none_or(|end| *key < *end.0);
    let rows = state.rows.iter().filter(|(key, _)| wanted(key));
    let mut digester = Digester::default();
    let mut add = |(key, row): (&Vec<u8>, &Row)| {
        digester.add(key, &data.value(row.row, row.revision).unwrap_or_default());
    };
    match what {
        Do::Scan { reverse: true, .. } => rows.rev().for_each(&mut add),
        _ => rows.for_each(&mut add),
    }
    digester.finish()
}
