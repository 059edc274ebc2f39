//! Positions that a consumer acknowledged on another store: this one goes on behind them, or says what is gone.
//!
//! A position names the same entry on every store, so a consumer that was told by the store that led a region
//! carries how far it is over to the one that leads it now, and to those that only keep the region: what is
//! acknowledged elsewhere needs not be kept here. It never takes anything back. Not here: choosing an earlier
//! place, or one behind a loss (`Engine::rebase_observer`).

use crate::engine::core::Core;
use crate::engine::{Engine, EngineError};
use crate::lifecycle::{
    AttachmentState, Observer, ObserverEvent, ObserverRefusal, Observers, Refusal, Register,
    is_news,
};
use crate::{Answer, ObserverId, RegionId};

/// What became of a position that was acknowledged on another store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TakenOver {
    /// What comes next is behind it.
    GoesOn,
    /// The observer is as far here, or further; or the region ended here, and what is left of it is told.
    Already,
    /// Changes behind it are not kept here: the consumer chooses between what is kept and a scan.
    Gone {
        /// The first index from which on everything is kept.
        oldest: u64,
        /// The index that the rows of a scan ([`Rebase::Scan`](super::Rebase::Scan)) would have now: a snapshot to start from.
        snapshot: u64,
    },
    /// The observer has nothing to do with the region here.
    NotObserved,
}

impl TakenOver {
    /// Stable code for logs and tools.
    pub const fn code(&self) -> &'static str {
        match self {
            TakenOver::GoesOn => "goes-on",
            TakenOver::Already => "already",
            TakenOver::Gone { .. } => "gone",
            TakenOver::NotObserved => "not-observed",
        }
    }
}

/// What became of all positions.
#[must_use = "an answer says which positions stand"]
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TakeOverAnswer {
    /// Each, in the order in which they were given.
    Each(Vec<(RegionId, TakenOver)>),
    /// None stands.
    Refused(Refusal),
}

impl Engine {
    /// Takes over what an observer's consumer acknowledged on other stores: everything of a region up to an
    /// index. A region whose position is behind what is known here, or not kept here, stays as it is; the
    /// others go on. What the position makes up for, a loss or a part's whole included, is not told here.
    ///
    /// # Errors
    /// The engine takes nothing any more, or failed.
    ///
    /// # Durability
    /// Durable when it answers.
    pub fn take_over_positions(
        &self,
        observer: ObserverId,
        positions: &[(RegionId, u64)],
    ) -> Result<TakeOverAnswer, EngineError> {
        self.core.take_over_positions(observer, positions)
    }
}

impl Core {
    fn take_over_positions(
        &self,
        observer: ObserverId,
        positions: &[(RegionId, u64)],
    ) -> Result<TakeOverAnswer, EngineError> {
        self.check_open()?;
        // What came with the consumer's own writes is known first.
        self.stand_by_carried(observer)?;
        let register = self.with_decided(Register::clone);
        let Some(known) = register.observers().get(observer) else {
            let refusal = Refusal::Observer(ObserverRefusal::Unknown { observer });
            self.wait_durable(register.last_lsn())?;
            return Ok(TakeOverAnswer::Refused(refusal));
        };
        let each: Vec<(RegionId, TakenOver)> = positions
            .iter()
            .map(|(region, index)| (*region, self.taken_over(known, *region, *index)))
            .collect();
        let stand = positions.iter().zip(&each);
        let stand = stand.filter(|(_, (_, became))| *became == TakenOver::GoesOn);
        let positions: Vec<(RegionId, u64)> = stand.map(|(position, _)| *position).collect();
        // What was acknowledged here meanwhile, and further, is left out where it is decided.
        for positions in positions.chunks(Observers::PER_RECORD_MAX) {
            let positions = positions.to_vec();
            let event = ObserverEvent::TakeOver {
                observer,
                positions,
            };
            let answer = self.change_observer(event)?;
            if let Answer::Refused(refusal) = answer {
                return Ok(TakeOverAnswer::Refused(refusal));
            }
        }
        let regions = positions.iter().map(|(region, _)| *region);
        self.feeds.note_chosen(observer, regions);
        self.wait_durable(register.last_lsn())?;
        Ok(TakeOverAnswer::Each(each))
    }

    fn taken_over(&self, known: &Observer, region: RegionId, index: u64) -> TakenOver {
        let Some(attachment) = known.attachment(region) else {
            return TakenOver::NotObserved;
        };
        let is_lost = matches!(attachment.state, AttachmentState::Invalidated(_));
        let first_available = match &attachment.state {
            AttachmentState::Invalidated(loss) => loss.first_available,
            AttachmentState::Draining(_) => 0,
            AttachmentState::Wanted { .. }
            | AttachmentState::CatchingUp { .. }
            | AttachmentState::Live { .. } => self.oldest_kept(region),
        };
        let is_news = is_news(attachment, index);
        if (is_lost || is_news) && first_available > index.saturating_add(1) {
            return TakenOver::Gone {
                oldest: first_available,
                snapshot: self.applied(region),
            };
        }
        match is_news {
            true => TakenOver::GoesOn,
            false => TakenOver::Already,
        }
    }
}
