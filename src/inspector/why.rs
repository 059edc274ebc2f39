//! Why a region, a peer or a key is in the state that it is in: the records that made it so, each with
//! what it changed.

use std::collections::VecDeque;
use std::ops::ControlFlow;

use torrens_journal::Lsn;

use super::diff::{Changed, region_facets};
use super::fold::{Folded, HistoryReader, Step};
use super::{Description, InspectError, Inspector};
use crate::lifecycle::{Owner, Register};
use crate::{Key, PeerId, RegionId};

/// Links that a chain keeps at most, the newest ones; what made the peer is kept beside them.
pub const LINKS_MAX: usize = 200;

/// Whose state is in question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Question {
    /// A region's.
    Region(RegionId),
    /// A peer's, whichever region it is of.
    Peer(PeerId),
    /// That of whoever owns a key, or owned it last.
    Key(Key),
}

/// One record that had a part in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// The record.
    pub description: Description,
    /// What it changed in the region.
    pub changed: Vec<Changed>,
}

/// The answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reason {
    /// The region that the answer is about; none if nothing of what was asked for was ever here.
    pub region: Option<RegionId>,
    /// The chain, oldest record first.
    pub links: Vec<Link>,
    /// Links between the first and the second that were left out.
    pub left_out: u64,
    /// Whether the region was known already where the history that is left begins.
    pub known_before: bool,
}

struct Reader {
    region: Option<RegionId>,
    caches: bool,
    before: Vec<(&'static str, super::diff::Facet)>,
    first: Option<Link>,
    links: VecDeque<Link>,
    left_out: u64,
    known_before: bool,
}

/// Finds the region that a question is about.
struct Finder<'q> {
    question: &'q Question,
    found: Option<RegionId>,
}

impl HistoryReader for Finder<'_> {
    fn after(&mut self, register: &Register, step: &Step<'_>) -> ControlFlow<()> {
        let Some(record) = step.record else {
            return ControlFlow::Continue(());
        };
        match self.question {
            Question::Region(_) => return ControlFlow::Break(()),
            Question::Key(key) => self.own(register, key),
            Question::Peer(peer) => {
                for region in record.header.region.into_iter().chain(record.change.also()) {
                    if register.peer(region).is_some_and(|live| live.peer == *peer) {
                        self.found = Some(region);
                    }
                }
            }
        }
        ControlFlow::Continue(())
    }
}

impl Finder<'_> {
    fn start(&mut self, register: &Register) {
        match self.question {
            Question::Region(region) => self.found = Some(*region),
            Question::Key(key) => self.own(register, key),
            Question::Peer(peer) => {
                self.found = register.slots().find_map(|(region, slot)| {
                    let live = slot.peer.as_ref().is_some_and(|live| live.peer == *peer);
                    let gone = slot
                        .tombstone
                        .as_ref()
                        .is_some_and(|fence| fence.highest_peer == *peer);
                    (live || gone).then_some(region)
                });
            }
        }
    }

    fn own(&mut self, register: &Register, key: &Key) {
        self.found = match register.owner_at(key) {
            Some(Owner::Peer { region, .. } | Owner::Reservation { region, .. }) => Some(region),
            Some(Owner::Deletion(deletion)) => register
                .deletion(deletion)
                .map(|pending| pending.cause.region())
                .or(self.found),
            None => self.found,
        };
    }
}

impl Inspector {
    /// Why it is so at `until`, or now. Records of a cache are in the chain with `caches` only.
    ///
    /// # Errors
    /// As [`Inspector::look`].
    pub fn why(
        &self,
        question: &Question,
        until: Option<Lsn>,
        caches: bool,
    ) -> Result<(Reason, Folded), InspectError> {
        let region = match question {
            Question::Region(region) => Some(*region),
            question => {
                let (finder, _) = self.fold(until, |_, register| {
                    let mut finder = Finder {
                        question,
                        found: None,
                    };
                    finder.start(register);
                    finder
                })?;
                finder.found
            }
        };
        let (reader, folded) = self.fold(until, |_, register| Reader {
            region,
            caches,
            before: Vec::new(),
            first: None,
            links: VecDeque::new(),
            left_out: 0,
            known_before: region.is_some_and(|region| register.slot(region).is_some()),
        })?;
        let is_known = reader.known_before || reader.first.is_some();
        let reason = Reason {
            region: region.filter(|_| is_known),
            links: reader.first.into_iter().chain(reader.links).collect(),
            left_out: reader.left_out,
            known_before: reader.known_before,
        };
        Ok((reason, folded))
    }
}

impl HistoryReader for Reader {
    fn before(&mut self, register: &Register, step: &Step<'_>) {
        if let Some(region) = self.region
            && concerns(step, region)
        {
            self.before = region_facets(register, region);
        }
    }

    fn after(&mut self, register: &Register, step: &Step<'_>) -> ControlFlow<()> {
        let (Some(region), Some(record)) = (self.region, step.record) else {
            return ControlFlow::Continue(());
        };
        let is_cache = record.change.kind_name().starts_with("cache.");
        if !concerns(step, region) || is_cache && !self.caches {
            return ControlFlow::Continue(());
        }
        let before = std::mem::take(&mut self.before);
        let link = Link {
            description: Description::of(step.item.record.lsn, record.clone()),
            changed: super::diff::facet_difference(region, before, region_facets(register, region)),
        };
        if self.first.is_none() {
            self.first = Some(link);
            return ControlFlow::Continue(());
        }
        // A peer's life begins with its creation: what was before matters no more than its first record.
        self.links.push_back(link);
        if self.links.len() > LINKS_MAX {
            self.links.pop_front();
            self.left_out += 1;
        }
        ControlFlow::Continue(())
    }
}

fn concerns(step: &Step<'_>, region: RegionId) -> bool {
    step.record.is_some_and(|record| {
        record.header.region == Some(region) || record.change.also().contains(&region)
    })
}
