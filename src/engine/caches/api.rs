//! What a host calls about caches, beside [`Engine::load`] and [`Engine::evict`].

use std::time::Duration;

use super::completion::Wanted;
use super::{CacheCheck, CacheReport, CacheTicket, LeadershipAnswer, Preload};
use crate::cache::{CacheDecision, CacheSettingError, CacheSettings, Label, LabelId};
use crate::engine::{Answer, Engine, EngineError};
use crate::lifecycle::{Cause, EvictReason};
use crate::observe::LeadershipRole;
use crate::{Incarnation, KeyRange, RegionEpoch, RegionId};

impl Engine {
    /// The settings of the caches that are in force, with every threshold set.
    pub fn cache_settings(&self) -> CacheSettings {
        CacheSettings::clone(&self.core.caches.settings())
    }

    /// Changes the settings of the caches, at once; answers those in force. If caching is switched
    /// off, every cached region is evicted; if memory shrinks, what has to go does so.
    ///
    /// # Errors
    /// [`CacheSettingError`]; nothing was changed.
    pub fn set_cache_settings(
        &self,
        settings: CacheSettings,
    ) -> Result<CacheSettings, CacheSettingError> {
        let settings = settings.validated()?;
        self.core.caches.put_settings(settings.clone());
        if settings.enabled {
            self.core.relieve_caches();
        } else {
            for region in self.core.cached_regions() {
                // Memory stops serving whatever becomes of the record.
                let _ = self
                    .core
                    .evict_for(region, EvictReason::Disabled, Cause::Operator);
            }
        }
        Ok(settings)
    }

    /// The caches as they are now: memory, states, ages, counters, queues.
    pub fn cache_report(&self) -> CacheReport {
        self.core.cache_report()
    }

    /// As [`Engine::load`], with a ticket that completes when the region is active, or will not be.
    /// A refused load has no ticket.
    ///
    /// # Durability
    /// As [`Engine::load`].
    ///
    /// # Errors
    /// As [`Engine::load`].
    pub fn load_tracked(
        &self,
        region: RegionId,
        epoch: RegionEpoch,
    ) -> Result<(Answer, Option<CacheTicket>), EngineError> {
        let (answer, incarnation) = self.core.load_for(region, epoch, Cause::Host)?;
        let ticket = answer
            .holds()
            .then(|| self.core.watch_load(region, incarnation));
        Ok((answer, ticket))
    }

    /// As [`Engine::evict`] for a reason of the host's, with a ticket that completes when the
    /// eviction has ended.
    ///
    /// A host that changes data beside the write path ([`EvictReason::DeleteRange`],
    /// [`EvictReason::Ingest`], [`EvictReason::Flashback`]) calls this *before* it does.
    ///
    /// # Durability
    /// As [`Engine::evict`].
    ///
    /// # Errors
    /// As [`Engine::evict`].
    pub fn evict_tracked(
        &self,
        region: RegionId,
        reason: EvictReason,
    ) -> Result<(Answer, CacheTicket), EngineError> {
        let answer = self.core.evict_for(region, reason, Cause::Host)?;
        Ok((answer, self.core.watch_eviction(region)))
    }

    /// Loads every region that overlaps `range`; a ticket for each that is not refused.
    ///
    /// # Durability
    /// As [`Engine::load`].
    ///
    /// # Errors
    /// [`EngineError`], as of every [transition](Engine#transitions). Loads that were asked for before it stay so.
    pub fn load_range(&self, range: &KeyRange) -> Result<Vec<CacheTicket>, EngineError> {
        let mut tickets = Vec::new();
        for (region, epoch) in self.core.regions_over(range) {
            match self.load_tracked(region, epoch) {
                Ok((_, ticket)) => tickets.extend(ticket),
                // It went away meanwhile.
                Err(EngineError::NoPeer { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(tickets)
    }

    /// Evicts every region that overlaps `range`; a ticket for each that had something to evict.
    ///
    /// # Durability
    /// As [`Engine::evict`].
    ///
    /// # Errors
    /// [`EngineError`], as of every [transition](Engine#transitions). What was evicted before it stays so.
    pub fn evict_range(
        &self,
        range: &KeyRange,
        reason: EvictReason,
    ) -> Result<Vec<CacheTicket>, EngineError> {
        let evicted = self.core.evict_range_for(range, reason)?;
        let ticket = |region| self.core.watch(region, None, Wanted::Gone);
        Ok(evicted.into_iter().map(ticket).collect())
    }

    /// Asks for a region whose leadership this store is about to take over. The answer comes at once;
    /// whoever waits does so for `patience` at most, and never longer than
    /// [`CacheSettings::preload_wait_max`].
    ///
    /// # Errors
    /// [`EngineError`], as of every [transition](Engine#transitions). What speaks against it is in [`Preload`].
    pub fn preload(
        &self,
        region: RegionId,
        epoch: RegionEpoch,
        patience: Duration,
    ) -> Result<Preload, EngineError> {
        self.core.preload(region, epoch, patience)
    }

    /// Tells what a peer is in its Raft group. Call it at every change of the peer's own role: its
    /// step down from leader evicts its region, and nothing else does.
    ///
    /// # Durability
    /// Nothing: the host tells every role again after opening. An eviction that follows is as [`Engine::evict`].
    ///
    /// # Errors
    /// [`EngineError::Closed`], [`EngineError::ReadOnly`] or [`EngineError::Poisoned`]; what failed of an eviction
    /// that follows.
    pub fn report_leadership(
        &self,
        region: RegionId,
        incarnation: Incarnation,
        term: u64,
        role: LeadershipRole,
    ) -> Result<LeadershipAnswer, EngineError> {
        self.core.report_leadership(region, incarnation, term, role)
    }

    /// Holds a range in memory until the label is removed: its regions are loaded now, after splits
    /// and when they become leaders, and are evicted last. Labels may overlap; each counts. They
    /// live as long as the engine: the host tells them again after opening.
    pub fn add_cache_label(&self, label: Label) -> LabelId {
        let range = label.range.clone();
        let id = self.core.caches.labels.lock().add(label);
        self.core.load_labelled(&range);
        id
    }

    /// Removes a label and evicts what no other covers; says whether there was one.
    pub fn remove_cache_label(&self, id: LabelId) -> bool {
        let removed = self.core.caches.labels.lock().remove(id);
        if let Some(label) = &removed {
            self.core.evict_unlabelled(&label.range);
        }
        removed.is_some()
    }

    /// Runs one round of automatic loads and evictions now; answers what it decided.
    pub fn balance_caches(&self) -> Vec<CacheDecision> {
        self.core.balance_caches()
    }

    /// Compares every region that is served from memory with the data store; one that differs is
    /// evicted and loaded again.
    ///
    /// # Errors
    /// The data store could not be read.
    pub fn check_caches(&self) -> Result<Vec<CacheCheck>, EngineError> {
        self.core.check_all()
    }
}
