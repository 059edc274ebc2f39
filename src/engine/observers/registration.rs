//! Adding an observer at exact positions, and moving one.
//!
//! The positions of a registration are exact because its keys are kept from before they are read: first
//! every write begins to keep what it changes, then each region's position is read under its latch, and
//! only then is it decided. Nothing waits for it, and it holds one latch at a time.

use std::collections::BTreeMap;

use torrens_journal::planted;

use super::{AddedObserver, Answer, Rebase};
use crate::engine::EngineError;
use crate::engine::core::Core;
use crate::lifecycle::{
    AttachmentState, Cause, Event, ObserverEvent, ObserverRefusal, Rebased, Register, Reset,
    Started,
};
use crate::{
    KeyRange, ObserverId, ObserverName, ObserverPolicy, ObserverRanges, Refusal, RegionId,
    StartFrom,
};

/// Attempts of a registration whose regions split or merge under it.
const ATTEMPTS_MAX: usize = 64;

impl Core {
    pub(super) fn add_observer(
        &self,
        name: ObserverName,
        ranges: Vec<KeyRange>,
        from: &StartFrom,
        policy: ObserverPolicy,
    ) -> Result<AddedObserver, EngineError> {
        self.check_open()?;
        let ranges = match ObserverRanges::new(ranges) {
            Ok(ranges) => ranges,
            Err(fault) => {
                let refusal = Refusal::Observer(ObserverRefusal::Ranges { fault });
                return Ok(AddedObserver::Refused(refusal));
            }
        };
        let captures = &self.observing.registry.captures;
        let published = || self.published().clone();
        let number = captures.begin(&ranges, published);
        let added = self.add_captured(name, &ranges, from, policy);
        captures.end(number, published);
        added
    }

    fn add_captured(
        &self,
        name: ObserverName,
        ranges: &ObserverRanges,
        from: &StartFrom,
        policy: ObserverPolicy,
    ) -> Result<AddedObserver, EngineError> {
        // Before positions are looked at: from then on what they do not cover is kept.
        self.history.ensure().map_err(EngineError::History)?;
        let mut attempts = 0_usize;
        loop {
            attempts = attempts.saturating_add(1);
            let register = self.with_decided(Register::clone);
            let starts = match self.starts(&register, ranges, from) {
                Ok(starts) => starts,
                Err(refusal) => {
                    self.wait_durable(register.last_lsn())?;
                    return Ok(AddedObserver::Refused(Refusal::Observer(refusal)));
                }
            };
            let event = Event::Observer(ObserverEvent::Add {
                name: name.clone(),
                ranges: ranges.clone(),
                policy,
                starts: starts.clone(),
            });
            let mut observer = None;
            let decision = self.decide_with(&event, Cause::Host, |register, _| {
                observer = Some(register.observers().last_id());
            })?;
            let (answer, _) = self.settle(decision)?;
            match (answer, observer) {
                (Answer::Accepted { lsn }, Some(observer)) => {
                    let starts = starts
                        .iter()
                        .map(|start| (start.region, start.acked))
                        .collect();
                    return Ok(AddedObserver::Added {
                        observer,
                        lsn,
                        starts,
                    });
                }
                // The regions were others by then: read them again.
                (
                    Answer::Refused(Refusal::Observer(
                        ObserverRefusal::PositionMissing { .. }
                        | ObserverRefusal::NotObserved { .. },
                    )),
                    _,
                ) if attempts < ATTEMPTS_MAX => {}
                (Answer::Refused(refusal), _) => return Ok(AddedObserver::Refused(refusal)),
                (answer, _) => unreachable!("a registration is accepted or refused: {answer:?}"),
            }
        }
    }

    /// Where a new observer starts in each region that holds its keys and their data now.
    fn starts(
        &self,
        register: &Register,
        ranges: &ObserverRanges,
        from: &StartFrom,
    ) -> Result<Vec<Started>, ObserverRefusal> {
        let given: Option<BTreeMap<RegionId, u64>> = match from {
            StartFrom::Now | StartFrom::Oldest => None,
            StartFrom::After(given) => Some(given.iter().copied().collect()),
        };
        let observed = register.observed_regions(ranges);
        if let Some(given) = &given
            && let Some(region) = given
                .keys()
                .find(|region| observed.binary_search(region).is_err())
        {
            return Err(ObserverRefusal::NotObserved {
                observer: ObserverId(register.observers().last_id().0.saturating_add(1)),
                region: *region,
            });
        }
        let start = |region: RegionId| {
            let acked = match (
                from,
                given.as_ref().map(|given| given.get(&region).copied()),
            ) {
                (_, Some(None)) => return Err(ObserverRefusal::PositionMissing { region }),
                (_, Some(Some(acked))) => self.check_kept(region, acked)?,
                (StartFrom::Oldest, None) => {
                    let (oldest, applied) = (
                        self.observing.history().oldest(region),
                        self.applied_now(region),
                    );
                    // After a crash the history may be ahead of the data, which comes again.
                    oldest.map_or(applied, |oldest| applied.min(oldest.saturating_sub(1)))
                }
                (StartFrom::Now | StartFrom::After(_), None) => self.applied_now(region),
            };
            Ok(Started { region, acked })
        };
        observed.into_iter().map(start).collect()
    }

    /// The last entry of a region that is applied, with no write under way: what comes later is kept.
    fn applied_now(&self, region: RegionId) -> u64 {
        let _latch = self.latches.hold(region);
        self.applied(region)
    }

    /// The last entry of a region that is applied.
    pub(super) fn applied(&self, region: RegionId) -> u64 {
        let live = self.with_decided(|register| {
            let peer = register.peer(region)?;
            Some((peer.incarnation, peer.stage.meta_index()))
        });
        let Some((incarnation, meta)) = live else {
            return 0;
        };
        let data = self.data_position(region, incarnation).index;
        data.max(meta.map_or(0, |meta| meta.index))
    }

    /// The first index from which on everything is kept. What is not applied yet will be, also what comes again.
    pub(super) fn oldest_kept(&self, region: RegionId) -> u64 {
        let next = self.applied_now(region).saturating_add(1);
        let oldest = self.observing.history().oldest(region);
        oldest.map_or(next, |oldest| oldest.min(next))
    }

    /// That everything after `acked` is kept.
    fn check_kept(&self, region: RegionId, acked: u64) -> Result<u64, ObserverRefusal> {
        let wanted = acked.saturating_add(1);
        let oldest = self.oldest_kept(region);
        match oldest > wanted && !planted!("start-that-is-gone-accepted") {
            true => Err(ObserverRefusal::HistoryGone {
                region,
                wanted,
                oldest,
            }),
            false => Ok(acked),
        }
    }

    pub(super) fn rebase_observer(
        &self,
        observer: ObserverId,
        regions: &[RegionId],
        rebase: &Rebase,
    ) -> Result<Answer, EngineError> {
        self.check_open()?;
        self.forget_carried()?;
        let register = self.with_decided(Register::clone);
        let starts = match self.rebased(&register, observer, regions, rebase) {
            Ok(starts) => starts,
            Err(refusal) => {
                self.wait_durable(register.last_lsn())?;
                return Ok(Answer::Refused(Refusal::Observer(refusal)));
            }
        };
        // What was acknowledged before says nothing of the place that it chose.
        self.feeds.forget_acknowledged(observer);
        let regions: Vec<RegionId> = starts.iter().map(|start| start.region).collect();
        let answer = self.change_observer(ObserverEvent::Rebase { observer, starts })?;
        self.feeds.note_chosen(observer, regions.into_iter());
        Ok(answer)
    }

    fn rebased(
        &self,
        register: &Register,
        observer: ObserverId,
        regions: &[RegionId],
        rebase: &Rebase,
    ) -> Result<Vec<Rebased>, ObserverRefusal> {
        let unknown = ObserverRefusal::Unknown { observer };
        let known = register.observers().get(observer).ok_or(unknown)?;
        if let Rebase::After(given) = rebase {
            let start = |(region, acked): &(RegionId, u64)| {
                Ok(Rebased {
                    region: *region,
                    acked: Some(self.check_kept(*region, *acked)?),
                    reset: Reset::None,
                })
            };
            return given.iter().map(start).collect();
        }
        let reset = match rebase {
            Rebase::Scan => Reset::Scan,
            Rebase::Now | Rebase::After(_) => Reset::Marker,
        };
        let lost = known
            .attachments()
            .filter(|(_, attachment)| matches!(attachment.state, AttachmentState::Invalidated(_)));
        let regions = match regions {
            [] => lost.map(|(region, _)| region).collect(),
            given => given.to_vec(),
        };
        let start = |region| Rebased {
            region,
            acked: Some(self.applied_now(region)),
            reset,
        };
        Ok(regions.into_iter().map(start).collect())
    }
}
