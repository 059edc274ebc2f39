//! Observers, as a host registers and asks for them.
//!
//! * `registration`: adding, removing, choosing where to go on.
//! * `taking_over`: going on behind what was acknowledged on another store.
//! * `reconciling`: attaching and detaching in the background, failures, the audit.
//! * `status`: what is known of each.
//!
//! Not here: what the records mean (`lifecycle::observer`), what should be attached
//! (`observe::reconcile`), the changes themselves.

mod reconciling;
mod registration;
mod status;
mod taking_over;

use std::sync::Arc;

use parking_lot::RwLock;
use torrens_journal::Lsn;

use super::{Answer, Engine, EngineError};
use crate::lifecycle::{Cause, Event, ObserverEvent, Register};
use crate::observe::registry::Registry;
use crate::observe::{
    AuditReport, HistoryFacts, LeadershipSource, LeadershipTable, ObserverCounters,
};
use crate::{
    Generation, KeyRange, ObserverId, ObserverName, ObserverPolicy, Refusal, RegionId, StartFrom,
};

pub(super) use reconciling::moves_captures;
pub use status::{ObservedRegion, ObserverReason, ObserverRegions, ObserverStatus};
pub use taking_over::{TakeOverAnswer, TakenOver};

impl super::core::Core {
    /// As [`Engine::observers`].
    #[cfg(feature = "metrics")]
    pub(super) fn observer_statuses(&self) -> Vec<ObserverStatus> {
        status::all(self)
    }
}

/// What a registration came to.
#[must_use = "an answer says whether the observer is registered"]
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AddedObserver {
    /// It is registered, durably.
    Added {
        /// Its id.
        observer: ObserverId,
        /// Position of the record.
        lsn: Lsn,
        /// Where it starts: of each region that it observes here, exactly the changes above this index
        /// are delivered.
        starts: Vec<(RegionId, u64)>,
    },
    /// It is not registered; nothing changed.
    Refused(Refusal),
}

/// Where a consumer goes on that lost changes, or wants to go on elsewhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rebase {
    /// With what is applied from now on. It is told that changes are missing, deletions among them.
    Now,
    /// With every row of the region as it is, and what is applied from then on. It is told that what it
    /// has may be too much.
    Scan,
    /// After these indexes, which it has already, for example from another store.
    After(Vec<(RegionId, u64)>),
}

/// Why an attachment did not come to deliver.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AttachFailure {
    /// What it was about is not there any more: looked at again at once.
    Stale,
    /// Something that may pass: tried again after a while, which doubles while nothing is acknowledged.
    Transient,
}

/// What an engine keeps for observers in memory.
pub(super) struct Observing {
    pub(super) registry: Registry,
    pub(super) leadership: LeadershipTable,
    source: RwLock<Option<Arc<dyn LeadershipSource>>>,
    history: Arc<dyn HistoryFacts>,
}

impl Observing {
    /// For a store that was just opened: nobody told who leads yet.
    pub(super) fn new(register: &Register, history: Arc<dyn HistoryFacts>) -> Self {
        let registry = Registry::default();
        registry.captures.follow(|| register.clone());
        Observing {
            registry,
            leadership: LeadershipTable::default(),
            source: RwLock::new(None),
            history,
        }
    }

    /// What is kept of the past.
    pub(super) fn history(&self) -> Arc<dyn HistoryFacts> {
        Arc::clone(&self.history)
    }
}

impl std::fmt::Debug for Observing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Observing").finish_non_exhaustive()
    }
}

impl Engine {
    /// Registers an observer of the keys in `ranges`, which may overlap and come in any order. From
    /// when it answers on, every change of them that this store applies as leader is delivered, from
    /// where it starts in each region.
    ///
    /// # Errors
    /// The store could not do it. A refusal (the name is taken, a position is not kept any more or not
    /// given) is an answer, and nothing is registered then.
    ///
    /// # Durability
    /// Durable when it answers.
    pub fn add_observer(
        &self,
        name: ObserverName,
        ranges: Vec<KeyRange>,
        from: StartFrom,
        policy: ObserverPolicy,
    ) -> Result<AddedObserver, EngineError> {
        self.core.add_observer(name, ranges, &from, policy)
    }

    /// Removes an observer, and lets go what was kept for it. Waits for nobody.
    ///
    /// # Durability
    /// Durable when it answers.
    ///
    /// # Errors
    /// [`EngineError`], as of every [transition](Engine#transitions).
    pub fn remove_observer(&self, observer: ObserverId) -> Result<Answer, EngineError> {
        self.core.feeds.forget_acknowledged(observer);
        self.core
            .change_observer(ObserverEvent::Remove { observer })
    }

    /// Stops delivering to an observer. What it did not acknowledge is kept, within its limits.
    ///
    /// # Durability
    /// Durable when it answers.
    ///
    /// # Errors
    /// [`EngineError`], as of every [transition](Engine#transitions).
    pub fn pause_observer(&self, observer: ObserverId) -> Result<Answer, EngineError> {
        self.core.change_observer(ObserverEvent::Pause { observer })
    }

    /// Goes on delivering to a paused observer, from what it acknowledged.
    ///
    /// # Durability
    /// Durable when it answers.
    ///
    /// # Errors
    /// [`EngineError`], as of every [transition](Engine#transitions).
    pub fn resume_observer(&self, observer: ObserverId) -> Result<Answer, EngineError> {
        self.core
            .change_observer(ObserverEvent::Resume { observer })
    }

    /// Changes an observer's limits.
    ///
    /// # Durability
    /// Durable when it answers.
    ///
    /// # Errors
    /// [`EngineError`], as of every [transition](Engine#transitions).
    pub fn set_observer_policy(
        &self,
        observer: ObserverId,
        policy: ObserverPolicy,
    ) -> Result<Answer, EngineError> {
        self.core
            .change_observer(ObserverEvent::SetPolicy { observer, policy })
    }

    /// Goes on where the consumer chooses, in `regions`, or in all whose changes it lost if none are
    /// given. A region that is not here any more is given up.
    ///
    /// # Durability
    /// Durable when it answers.
    ///
    /// # Errors
    /// [`EngineError`], as of every [transition](Engine#transitions).
    pub fn rebase_observer(
        &self,
        observer: ObserverId,
        regions: &[RegionId],
        rebase: Rebase,
    ) -> Result<Answer, EngineError> {
        self.core.rebase_observer(observer, regions, &rebase)
    }

    /// Tells that an attachment does not deliver. Only the current generation is heard; the region stays
    /// wanted, and no other region waits for it. Answers whether it was the current one.
    ///
    /// # Errors
    /// [`EngineError`], as of every [transition](Engine#transitions).
    pub fn report_attach_failure(
        &self,
        observer: ObserverId,
        region: RegionId,
        generation: Generation,
        failure: AttachFailure,
    ) -> Result<bool, EngineError> {
        self.core
            .report_attach_failure(observer, region, generation, failure)
    }

    /// Every observer, by id, as durable.
    pub fn observers(&self) -> Vec<ObserverStatus> {
        status::all(&self.core)
    }

    /// One observer, as durable.
    pub fn observer(&self, observer: ObserverId) -> Option<ObserverStatus> {
        status::one(&self.core, observer)
    }

    /// How far an observer is in each region, by region, and why it is not further.
    pub fn observed_regions(&self, observer: ObserverId) -> Vec<ObservedRegion> {
        status::regions(&self.core, observer)
    }

    /// Counters since the store was opened.
    pub fn observer_counters(&self) -> ObserverCounters {
        self.core.observing.registry.counting.read()
    }

    /// Where the audit asks what is true of leadership; without one it believes what was reported.
    pub fn set_leadership_source(&self, source: Option<Arc<dyn LeadershipSource>>) {
        *self.core.observing.source.write() = source;
    }

    /// Compares what should be observed with what is, everywhere, and puts it right. The background
    /// does so by itself ([`Options::observer_audit_interval`](super::Options::observer_audit_interval)).
    ///
    /// # Errors
    /// [`EngineError`], as of every [transition](Engine#transitions). What was put right before it stays so.
    pub fn audit_observers(&self) -> Result<AuditReport, EngineError> {
        self.core.audit_observers()
    }
}

impl super::core::Core {
    /// An event of one observer that needs nothing around it.
    fn change_observer(&self, event: ObserverEvent) -> Result<Answer, EngineError> {
        self.check_open()?;
        self.commit(&Event::Observer(event), Cause::Host)
    }
}
