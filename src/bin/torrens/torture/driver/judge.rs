//! What each answer means for the life that got it.

use std::time::{Duration, Instant};

use super::errands::Errand;
use super::life::{Asked, AskedKind, Life};
use super::{LifeEnd, died};
use crate::torture::error::TortureError;
use crate::torture::model::{Meaning, Wrong};
use crate::torture::protocol::{Digest, Do, Key, Position, Said};

/// Rows that are named when a region's rows differ; all are counted.
const ROWS_NAMED_MAX: usize = 5;
/// When something that must wait is asked again.
const AGAIN_AFTER: Duration = Duration::from_millis(10);

impl Life<'_, '_> {
    /// Takes an answer in; the end of the life if it is one.
    pub(super) fn answer(&mut self, op: u64, said: Said) -> Result<Option<LifeEnd>, TortureError> {
        if let Said::Failed(code, text) = &said
            && code == "disk-full"
        {
            return Err(TortureError::DiskFull { text: text.clone() });
        }
        let Some(Asked { what, kind, holds }) = self.asked.remove(&op) else {
            let what = Do::Flush;
            return Ok(Some(self.driver.wrong(Wrong::answer(
                &what,
                "an answer to a question",
                &said,
            ))));
        };
        for region in &holds {
            self.busy.remove(region);
        }
        match kind {
            AskedKind::Tracked => self.tracked(op, what, &said),
            AskedKind::Probe => Ok(self.probed(&what, &said)),
            AskedKind::Digest { region, expected } => {
                Ok(self.digested(region, expected, &what, &said))
            }
            AskedKind::Rows {
                region,
                expected,
                found,
            } => Ok(Some(self.explain(region, expected, found, &said))),
            AskedKind::Resend { region, at } => self.resent(region, at, &what, &said),
            AskedKind::LastFlush => match self.driver.oracle.answered(op, &said)? {
                Ok(_) => Ok(None),
                Err(wrong) => Ok(Some(self.driver.wrong(wrong))),
            },
            AskedKind::Close => self.closed(&what, &said),
        }
    }

    fn tracked(&mut self, op: u64, what: Do, said: &Said) -> Result<Option<LifeEnd>, TortureError> {
        match self.driver.oracle.answered(op, said)? {
            Ok(Meaning::Happened) => {
                self.driver.tally.happened(&what);
                if let Do::ApplySnapshot(snapshot) = &what {
                    // The entries that follow the snapshot.
                    let region = snapshot.description.id;
                    self.plan_resends(region);
                    self.errands
                        .entry(region)
                        .or_default()
                        .push_back(Errand::Digest);
                }
                Ok(None)
            }
            Ok(Meaning::Nothing) => Ok(None),
            Ok(Meaning::Again) => {
                let holds = what.regions();
                self.busy.extend(holds.iter().copied());
                self.asked.insert(
                    op,
                    Asked {
                        what,
                        kind: AskedKind::Tracked,
                        holds,
                    },
                );
                self.again.push_back((Instant::now() + AGAIN_AFTER, op));
                Ok(None)
            }
            Err(wrong) => Ok(Some(self.driver.wrong(wrong))),
        }
    }

    fn probed(&mut self, what: &Do, said: &Said) -> Option<LifeEnd> {
        let oracle = &self.driver.oracle;
        if let Err(wrong) = oracle.model().judge(what, said, oracle.data()) {
            return Some(self.driver.wrong(wrong));
        }
        if let (
            Do::Load { .. } | Do::Evict { .. } | Do::Checkpoint,
            Said::Accepted(_) | Said::Done,
        ) = (what, said)
        {
            self.driver.oracle.noted(what);
        }
        let tally = &mut self.driver.tally;
        match (what, said) {
            (Do::Read { .. } | Do::Scan { .. }, said) => {
                tally.reads += 1;
                let cached = matches!(
                    said,
                    Said::Digest(Digest { cached: true, .. }) | Said::Values(_, true)
                );
                tally.reads_cached += u64::from(cached);
            }
            (_, Said::Compared(regions)) => tally.caches_compared += regions,
            (_, Said::Held(is_same)) => tally.views_held += u64::from(*is_same),
            (Do::CreatePeer { .. } | Do::Write { .. }, _) => tally.fenced += 1,
            (_, Said::Refused(..)) => {}
            (what, _) => tally.happened(what),
        }
        None
    }

    fn digested(
        &mut self,
        region: u64,
        expected: Digest,
        what: &Do,
        said: &Said,
    ) -> Option<LifeEnd> {
        match said {
            Said::Digest(found)
                if (found.rows, found.checksum) == (expected.rows, expected.checksum) =>
            {
                match what {
                    Do::Copy { .. } => self.driver.tally.rows_copied += found.rows,
                    _ => self.driver.tally.rows_verified += found.rows,
                }
                None
            }
            Said::Digest(found) => {
                let found = *found;
                // Which rows? The answer ends this life.
                let named = match what {
                    Do::Digest { epoch, .. } => Do::Rows {
                        region,
                        epoch: *epoch,
                    },
                    Do::Copy { .. } => Do::CopyRows { region },
                    _ => return None,
                };
                let op = self.driver.oracle.take_op();
                self.ask(
                    op,
                    named,
                    AskedKind::Rows {
                        region,
                        expected,
                        found,
                    },
                );
                None
            }
            other => {
                let wrong = Wrong::answer(what, &format!("{expected:?}"), other);
                Some(self.driver.wrong(Wrong {
                    lost: true,
                    ..wrong
                }))
            }
        }
    }

    /// Names the rows in which a region differs.
    fn explain(&mut self, region: u64, then: Digest, saw: Digest, said: &Said) -> LifeEnd {
        let (model, data) = (self.driver.oracle.model(), self.driver.oracle.data());
        let expected: std::collections::BTreeMap<Key, u32> = model
            .normal(region)
            .map(|peer| peer.state.rows_at(peer.acked))
            .unwrap_or_default()
            .into_iter()
            .map(|(key, row)| {
                let value = data.value(row.row, row.revision).unwrap_or_default();
                (Key(key), crc32fast::hash(&value))
            })
            .collect();
        let found: std::collections::BTreeMap<Key, u32> = match said {
            Said::Rows(rows) => rows.iter().cloned().collect(),
            _ => Default::default(),
        };
        let text = |value: Option<&u32>| value.map_or("no row".to_owned(), |v| format!("{v:08x}"));
        let keys: std::collections::BTreeSet<&Key> = expected.keys().chain(found.keys()).collect();
        let differs = keys
            .into_iter()
            .filter(|key| expected.get(*key) != found.get(*key));
        let wrongs: Vec<Wrong> = differs
            .map(|key| Wrong {
                region: Some(region),
                what: format!("row {key:?}"),
                expected: text(expected.get(key)),
                found: text(found.get(key)),
                lost: true,
            })
            .collect();
        if wrongs.is_empty() {
            // The rows differed a moment ago and do not now: no less wrong.
            let what = format!("rows, at first; {} are as expected now", expected.len());
            let (expected, found) = (format!("{then:?}"), format!("{saw:?}"));
            return self.driver.wrong(Wrong {
                region: Some(region),
                what,
                expected,
                found,
                lost: true,
            });
        }
        for (number, wrong) in wrongs.into_iter().enumerate() {
            if number < ROWS_NAMED_MAX {
                self.driver.wrong(wrong);
            } else {
                self.driver.tally.lost += 1;
            }
        }
        LifeEnd::Wrong
    }

    fn resent(
        &mut self,
        region: u64,
        at: Position,
        what: &Do,
        said: &Said,
    ) -> Result<Option<LifeEnd>, TortureError> {
        let expected = match what {
            Do::Write { .. } => Said::Applied,
            _ => Said::AlreadyApplied,
        };
        if *said != expected {
            let wrong = Wrong::answer(what, &format!("{expected:?}, being sent again"), said);
            return Ok(Some(self.driver.wrong(wrong)));
        }
        if let Do::Write { .. } = what {
            self.driver.oracle.resent(region, at.index)?;
        }
        self.driver.tally.entries_resent += 1;
        self.driver.tally.rows_resent += rows_of(what);
        Ok(None)
    }

    fn closed(&mut self, what: &Do, said: &Said) -> Result<Option<LifeEnd>, TortureError> {
        if *said != Said::Done {
            return Ok(Some(self.driver.wrong(Wrong::answer(
                what,
                "an orderly end",
                said,
            ))));
        }
        let status = self.process.wait()?;
        match status.success() {
            true => Ok(Some(LifeEnd::Closed)),
            false => Ok(Some(self.driver.wrong(died(status)))),
        }
    }
}

/// How many rows an entry changes.
fn rows_of(what: &Do) -> u64 {
    match what {
        Do::Write { rows, .. } => rows.len() as u64,
        _ => 0,
    }
}
