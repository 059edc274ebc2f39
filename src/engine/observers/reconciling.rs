//! Making what is attached what should be: after whatever may have changed it, when a failed attempt is
//! due again, and everywhere at an audit.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use torrens_journal::planted;

use super::AttachFailure;
use crate::engine::EngineError;
use crate::engine::background::Job;
use crate::engine::core::Core;
use crate::lifecycle::{
    Attachment, AttachmentState, Cause, Change, Detached, Event, ObserverChange, ObserverEvent,
    Register, WantReason,
};
use crate::observe::reconcile::{Plan, Scope, Truth, reconcile};
use crate::observe::registry::Marked;
use crate::observe::{AuditReport, HistoryFacts, Leadership, Noted, partition};
use crate::sync::AtomicU64;
use crate::{Generation, Incarnation, ObserverId, RegionId};

/// The state beside the register, as it is now.
struct Now<'a> {
    core: &'a Core,
    history: Arc<dyn HistoryFacts>,
    micros: u64,
}

impl Truth for Now<'_> {
    fn leads(&self, region: RegionId, incarnation: Incarnation) -> Option<u64> {
        self.core
            .observing
            .leadership
            .get(region)?
            .leads(incarnation)
    }

    fn applied(&self, region: RegionId, incarnation: Incarnation) -> u64 {
        self.core.data_position(region, incarnation).index
    }

    fn history(&self) -> &dyn HistoryFacts {
        &*self.history
    }

    fn may_try(&self, observer: ObserverId, region: RegionId) -> bool {
        let retries = &self.core.observing.registry.retries;
        retries.is_due((observer, region), self.micros)
    }
}

impl Core {
    fn now(&self) -> Now<'_> {
        Now {
            core: self,
            history: self.observing.history(),
            micros: self.disk.wall_clock_micros(),
        }
    }

    /// Marks what a decided record may have changed. Cheap where nobody observes.
    pub(in crate::engine) fn mark_observed(&self, register: &Register, change: &Change) {
        let dirty = &self.observing.registry.dirty;
        match change {
            Change::Observer(change) => match change {
                // What the reconciler made itself, or what moves no attachment.
                ObserverChange::Removed { .. }
                | ObserverChange::Paused { .. }
                | ObserverChange::PolicySet { .. }
                | ObserverChange::Attached { .. }
                | ObserverChange::CaughtUp { .. }
                | ObserverChange::Detached { .. }
                | ObserverChange::Invalidated { .. } => return,
                // What was told for its parts only has been told then.
                ObserverChange::Acknowledged {
                    observer,
                    positions,
                } => {
                    let known = register.observers().get(*observer);
                    let is_for_parts = |region: &RegionId| {
                        let attachment = known.and_then(|known| known.attachment(*region));
                        attachment.is_some_and(Attachment::is_for_parts)
                    };
                    let regions = positions.iter().map(|position| position.region);
                    let ended: Vec<RegionId> = regions.filter(is_for_parts).collect();
                    if ended.is_empty() {
                        return;
                    }
                    dirty.mark(ended);
                }
                ObserverChange::Resumed { .. } | ObserverChange::Restarted => dirty.mark_all(),
                ObserverChange::Added { .. }
                | ObserverChange::Rebased { .. }
                | ObserverChange::Ended { .. } => dirty.mark(change.regions()),
            },
            _ if register.observers().is_empty() || change.change_kind().is_cache() => return,
            _ => dirty.mark(change.region().into_iter().chain(change.also())),
        }
        self.queue.push(Job::Observe);
    }

    /// Background: attaches and detaches what was marked, and what is due again.
    pub(in crate::engine) fn reconcile_observers(&self) -> Result<(), EngineError> {
        let registry = &self.observing.registry;
        let due = registry.retries.due(self.disk.wall_clock_micros());
        registry.dirty.mark(due);
        let Some(marked) = registry.dirty.take() else {
            return Ok(());
        };
        let register = self.with_decided(Register::clone);
        let plan = match &marked {
            Marked::All => reconcile(&register, Scope::All, &self.now()),
            Marked::Regions(regions) => reconcile(&register, Scope::Regions(regions), &self.now()),
        };
        let carried_out = self.carry_out_plan(plan);
        if carried_out.is_err() {
            // Whatever stopped it, the wish stands.
            match marked {
                Marked::All => registry.dirty.mark_all(),
                Marked::Regions(regions) => registry.dirty.mark(regions),
            }
        }
        carried_out
    }

    /// Journals a plan. What is not so any more when it is decided is left out; whatever made it so has
    /// marked the region again.
    fn carry_out_plan(&self, plan: Plan) -> Result<(), EngineError> {
        let retries = &self.observing.registry.retries;
        for event in plan.into_events() {
            if let ObserverEvent::Attach { attachments } = &event {
                retries.attempt(attachments.iter().map(|one| (one.observer, one.region)));
            }
            let _answer = self.commit(&Event::Observer(event), Cause::Collector)?;
        }
        Ok(())
    }

    /// Queues what is due by the clock.
    pub(in crate::engine) fn tick_observers(&self) {
        let retries = &self.observing.registry.retries;
        if !retries.due(self.disk.wall_clock_micros()).is_empty() {
            self.queue.push(Job::Observe);
        }
        let register = self.with_decided(Register::clone);
        retries.retain(|observer, region| {
            let attachment = register.observers().attachment(observer, region);
            attachment.is_some_and(|attachment| match &attachment.state {
                AttachmentState::Wanted { .. }
                | AttachmentState::CatchingUp { .. }
                | AttachmentState::Draining(_) => true,
                AttachmentState::Live { .. } | AttachmentState::Invalidated(_) => false,
            })
        });
    }

    pub(super) fn report_attach_failure(
        &self,
        observer: ObserverId,
        region: RegionId,
        generation: Generation,
        failure: AttachFailure,
    ) -> Result<bool, EngineError> {
        self.check_open()?;
        let registry = &self.observing.registry;
        let acked = self.with_decided(|register| {
            let attachment = register.observers().attachment(observer, region);
            attachment.map_or(0, |attachment| attachment.acked)
        });
        let reason = match failure {
            AttachFailure::Stale => WantReason::Stale,
            AttachFailure::Transient => WantReason::Failed,
        };
        let event = Event::Observer(ObserverEvent::Detach {
            attachments: vec![Detached {
                observer,
                region,
                generation,
                reason,
            }],
        });
        // Noted before anybody can look at the region again; forgotten if it was not the current one.
        let at = (observer, region);
        let before = registry.retries.next_micros(at);
        if failure == AttachFailure::Transient {
            registry
                .retries
                .note(at, acked, self.disk.wall_clock_micros());
        }
        let answer = self.commit(&event, Cause::Host)?;
        let is_current = answer.lsn().is_some();
        if !is_current {
            registry
                .counting
                .failures_ignored
                .fetch_add(1, Ordering::Relaxed);
            if before.is_none() {
                registry.retries.forget(at);
            }
        }
        registry.dirty.mark([region]);
        self.queue.push(Job::Observe);
        Ok(is_current)
    }

    /// Looks everywhere, and puts right what no notification did.
    pub(in crate::engine) fn audit_observers(&self) -> Result<AuditReport, EngineError> {
        self.check_open()?;
        // What is marked is under way, and no repair.
        self.reconcile_observers()?;
        let mut report = AuditReport {
            leaderships_repaired: self.ask_leaderships(),
            ..AuditReport::default()
        };
        let register = self.with_decided(Register::clone);
        let plan = reconcile(&register, Scope::All, &self.now());
        report.attachments_repaired = plan.count();
        if !planted!("audit-repairs-nothing") {
            self.carry_out_plan(plan)?;
        }
        for (observer, known) in register.observers().iter() {
            report.attachments = report.attachments.saturating_add(known.attachment_count());
            let holes = partition(&register, known).into_iter();
            let holes = holes.filter(|part| part.region.is_none());
            report
                .holes
                .extend(holes.map(|part| (observer, part.range)));
        }
        let repairs = report.attachments_repaired.max(report.leaderships_repaired);
        let counting = &self.observing.registry.counting;
        add(&counting.audits, 1);
        add(&counting.audit_repairs, repairs);
        Ok(report)
    }

    /// Asks the host who leads; answers of how many regions something else was known.
    fn ask_leaderships(&self) -> usize {
        let Some(source) = self.observing.source.read().clone() else {
            return 0;
        };
        let live: Vec<(RegionId, Incarnation)> = {
            let published = self.published();
            let all = published.normal_peers();
            all.map(|(region, incarnation, _)| (region, incarnation))
                .collect()
        };
        let differs = |(region, incarnation): &(RegionId, Incarnation)| {
            let told = source.leadership(*region);
            let told = told.filter(|told| told.incarnation == *incarnation);
            told.is_some_and(|told| {
                let noted = self.observing.leadership.note(*region, told);
                match noted {
                    Noted::News(before) => {
                        leads(before, *incarnation) != leads(Some(told), *incarnation)
                    }
                    Noted::Known | Noted::Late(_) => false,
                }
            })
        };
        live.iter().filter(|one| differs(one)).count()
    }

    /// A report of leadership came in: its region is looked at again.
    pub(in crate::engine) fn note_leadership(&self, region: RegionId, told: Leadership) -> Noted {
        let noted = self.observing.leadership.note(region, told);
        match noted {
            Noted::News(_) => {
                if !self.published().observers().is_empty() {
                    self.observing.registry.dirty.mark([region]);
                    self.queue.push(Job::Observe);
                }
            }
            Noted::Known => {}
            Noted::Late(_) => add(&self.observing.registry.counting.reports_late, 1),
        }
        noted
    }
}

/// Whether a record changes whose changes are kept.
pub(in crate::engine) const fn moves_captures(change: &Change) -> bool {
    matches!(
        change,
        Change::Observer(ObserverChange::Added { .. } | ObserverChange::Removed { .. })
    )
}

fn leads(known: Option<Leadership>, incarnation: Incarnation) -> Option<u64> {
    known?.leads(incarnation)
}

fn add(counter: &AtomicU64, count: usize) {
    let count = u64::try_from(count).unwrap_or(u64::MAX);
    counter.fetch_add(count, Ordering::Relaxed);
}
