//! `OpenReport`: what opening a store found and did, as a value that prints well.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use torrens_recovery::RecoveryReport;

use crate::store::RolledBack;
use crate::{RegionId, StoreId};

/// What opening found and did.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct OpenReport {
    /// This node's id.
    pub store: StoreId,
    /// Whether the store was created by this opening.
    pub created: bool,
    /// The journal's part: verdict, evidence, what was replayed.
    pub recovery: RecoveryReport,
    /// Which data store is in use.
    pub data_store: &'static str,
    /// Why the data store that was there could not be used, if it could not.
    pub data_store_lost: Option<String>,
    /// Data stores and histories that could not be used, now or at an earlier opening, and are kept.
    pub set_aside: Vec<PathBuf>,
    /// What was written behind the last barrier and taken away, since nobody can vouch for it after
    /// an end that was not in order. The host sends it again from [`raft_start`](super::Engine::raft_start).
    pub rolled_back: RolledBack,
    /// Why the history of observed regions that was there could not be used, if it could not.
    pub history_lost: Option<String>,
    /// Regions that this opening found damaged, and why.
    pub damaged: Vec<(RegionId, String)>,
    /// How long opening took.
    pub took: Duration,
}

impl OpenReport {
    /// How many operations were carried to their end.
    pub fn resolved_forward(&self) -> u64 {
        self.recovery.resolved_forward.len() as u64
    }

    /// How many operations were undone.
    pub fn resolved_back(&self) -> u64 {
        self.recovery.resolved_back.len() as u64
    }
}

impl fmt::Display for OpenReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let created = if self.created { ", created" } else { "" };
        writeln!(
            f,
            "store     {}{created}, opened in {:.1?}",
            self.store, self.took
        )?;
        writeln!(f, "{}", self.recovery)?;
        match &self.data_store_lost {
            None => writeln!(f, "data      {}", self.data_store)?,
            Some(why) => writeln!(f, "data      {}, new: {why}", self.data_store)?,
        }
        let RolledBack { versions, regions } = &self.rolled_back;
        if *versions > 0 || !regions.is_empty() {
            let regions = regions.len();
            writeln!(
                f,
                "back      {versions} versions of {regions} regions that no barrier covered: sent again"
            )?;
        }
        if let Some(why) = &self.history_lost {
            writeln!(f, "history   new: {why}")?;
        }
        for path in &self.set_aside {
            writeln!(f, "kept      {}", path.display())?;
        }
        for (region, why) in &self.damaged {
            writeln!(f, "damaged   {region}: {why}")?;
        }
        Ok(())
    }
}
