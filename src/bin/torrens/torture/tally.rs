//! What a run did and found, in numbers.

use std::collections::BTreeMap;
use std::time::Duration;

use super::model::Wrong;
use super::protocol::{Do, Opened};

/// Most findings that are kept in words; all are counted.
const WRONGS_MAX: usize = 50;

/// The numbers.
#[derive(Clone, Debug, Default)]
pub(super) struct Tally {
    /// Acknowledged transitions of metadata by kind.
    pub(super) transitions: BTreeMap<&'static str, u64>,
    pub(super) rows_written: u64,
    pub(super) rows_resent: u64,
    pub(super) rows_verified: u64,
    /// Rows that a consumer had rebuilt from what it was told.
    pub(super) rows_copied: u64,
    pub(super) entries_resent: u64,
    pub(super) reads: u64,
    pub(super) reads_cached: u64,
    /// Late messages and stale writes that were refused, as they must be.
    pub(super) fenced: u64,
    pub(super) opens: u64,
    /// Directories that a death left and that `torrens verify` calls sound.
    pub(super) verifications: u64,
    /// Regions in memory that were compared with the data store, row by row.
    pub(super) caches_compared: u64,
    /// Views that were held while everything else went on, and read the same again.
    pub(super) views_held: u64,
    pub(super) verdicts: BTreeMap<String, u64>,
    pub(super) records_replayed: u64,
    pub(super) resolved_forward: u64,
    pub(super) resolved_back: u64,
    pub(super) slowest_open: Duration,
    /// Acknowledged things that are missing or different.
    pub(super) lost: u64,
    /// Answers that may not come, and processes that died by themselves.
    pub(super) wrong: u64,
    pub(super) wrongs: Vec<Wrong>,
}

impl Tally {
    /// Counts a transition that was acknowledged, or found to have happened.
    pub(super) fn happened(&mut self, what: &Do) {
        match what {
            Do::Write { rows, .. } => self.rows_written += rows.len() as u64,
            Do::Flush => {}
            other => *self.transitions.entry(other.kind()).or_default() += 1,
        }
    }

    pub(super) fn opened(&mut self, opened: &Opened) {
        self.opens += 1;
        *self.verdicts.entry(opened.verdict.clone()).or_default() += 1;
        self.records_replayed += opened.records_replayed;
        self.resolved_forward += opened.resolved_forward;
        self.resolved_back += opened.resolved_back;
        self.slowest_open = self
            .slowest_open
            .max(Duration::from_micros(opened.took_micros));
    }

    pub(super) fn found(&mut self, wrong: Wrong) {
        match wrong.lost {
            true => self.lost += 1,
            false => self.wrong += 1,
        }
        if self.wrongs.len() < WRONGS_MAX {
            self.wrongs.push(wrong);
        }
    }

    pub(super) fn transitions_total(&self) -> u64 {
        self.transitions.values().sum()
    }

    /// Whether the store did everything that it must.
    pub(super) fn is_good(&self) -> bool {
        self.lost == 0 && self.wrong == 0
    }
}
