//! What happens when records become durable: they are published, in order, and those who follow are told.
//!
//! The thread that leads a sync of the journal publishes what it made durable, before anybody who waits for
//! it goes on; so they find it published, and do not all try to. Not here: what a picture is and how one is
//! put in the place of another (`publication`).

use std::cell::Cell;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::Instant;

use torrens_journal::{Lsn, SyncHooks, planted};

use super::EngineError;
use super::core::Core;
use super::observers::moves_captures;
use super::publication::Publication;
use super::timing::Appended;
use crate::lifecycle::{Change, ChildFate, Effect, Record, Register, SplitChild};
use crate::{crash_points, trace};

/// What follows a record when it is published.
#[derive(Debug)]
pub(super) struct Follows {
    pub(super) record: Record,
    /// What nobody waits to do.
    pub(super) after: Option<After>,
    /// How long it took up to its place in the journal.
    pub(super) appended: Appended,
}

/// What is left to do once a record is published, whoever publishes it.
#[derive(Debug, Default)]
pub(super) struct After {
    pub(super) effects: Vec<Effect>,
    /// The peer is gone.
    pub(super) went: bool,
}

impl After {
    /// None if nothing is left to do.
    pub(super) fn of(effects: Vec<Effect>, went: bool) -> Option<After> {
        (went || !effects.is_empty()).then_some(After { effects, went })
    }
}

/// What the engine does around a sync of its journal.
struct Around {
    publication: Arc<Publication<Register, Follows>>,
    /// The journal is the core's: what it keeps must not keep the core.
    core: Weak<Core>,
}

impl SyncHooks for Around {
    fn seal(&self, seal: &mut dyn FnMut()) {
        self.publication.seal(seal);
    }

    fn durable(&self, _: Lsn) {
        if let Some(core) = self.core.upgrade() {
            core.publish();
        }
    }
}

impl Core {
    /// Has the journal do its part of publishing. Called once, before anything is decided.
    pub(super) fn attend_syncs(self: &Arc<Self>) {
        self.journal.set_hooks(Arc::new(Around {
            publication: Arc::clone(&self.publication),
            core: Arc::downgrade(self),
        }));
    }

    /// Remembers that the journal is poisoned, for those who do not write to it themselves.
    pub(super) fn note_poison<T>(&self, outcome: Result<T, EngineError>) -> Result<T, EngineError> {
        if let Err(EngineError::Poisoned) = outcome {
            self.note_poisoned();
        }
        outcome
    }

    fn note_poisoned(&self) {
        if !self.poisoned.swap(true, Ordering::AcqRel) {
            trace::poisoned();
        }
    }

    /// Waits until the record at `lsn` is durable, and publishes up to it.
    pub(super) fn wait_durable(&self, lsn: Lsn) -> Result<(), EngineError> {
        if planted!("visible-before-durable") {
            self.publish();
            return Ok(());
        }
        self.note_durable(self.journal.wait_durable(lsn), lsn)
    }

    /// As [`Core::wait_durable`], for whoever was told how the wait for `lsn` ended.
    pub(super) fn note_durable(
        &self,
        outcome: Result<(), EngineError>,
        lsn: Lsn,
    ) -> Result<(), EngineError> {
        self.note_poison(outcome)?;
        // Whoever led the sync may be about to.
        if !self.publication.has_reached(lsn) {
            self.publish();
        }
        Ok(())
    }

    /// Whether everybody can see the record at `lsn`.
    pub(super) fn is_published(&self, lsn: Lsn) -> bool {
        if !self.publication.has_reached(lsn) && self.journal.synced() >= lsn {
            // Whoever led the sync is about to.
            self.publish();
        }
        self.publication.has_reached(lsn)
    }

    /// Whether the record at `lsn` was appended and is known never to be durable through this journal.
    pub(super) fn is_lost(&self, lsn: Lsn) -> bool {
        let is_lost = self.journal.is_lost(lsn);
        if is_lost {
            self.note_poisoned();
        }
        is_lost
    }

    /// Makes everything appended durable and publishes it.
    pub(super) fn sync(&self) -> Result<Lsn, EngineError> {
        let synced = self.note_poison(self.journal.sync())?;
        self.publish();
        Ok(synced)
    }

    /// Lets everybody see the picture of the last durable record.
    pub(super) fn publish(&self) {
        let synced = || match planted!("visible-before-durable") {
            true => Lsn::new(u64::MAX),
            false => self.journal.synced(),
        };
        let durable = Instant::now();
        let moves = Cell::new(false);
        let mut concerns_feeds = false;
        let followed = self.publication.publish(synced, |lsn, after, follows| {
            let record = &follows.record;
            crash_points::durable(&record.change);
            self.hand_fences_on(&record.change);
            moves.set(moves.get() || moves_captures(&record.change));
            concerns_feeds |= self.feeds.note(&record.change);
            let Some(after) = after else {
                return;
            };
            // Before anybody can write on top of it: events lie at their exact place.
            self.keep_lineage(after, lsn, record);
            if Core::wants_differently(&record.change) {
                // The journal is there already: whoever adds an observer makes it first. Without, every
                // attachment finds that nothing is kept, and says so.
                let _ = self.want_history_of(after);
            }
        });
        if concerns_feeds {
            self.history.bell.ring();
        }
        if moves.get() {
            let published = || self.published().clone();
            self.observing.registry.captures.follow(published);
        }
        if followed.is_empty() {
            return;
        }
        let records = followed.iter();
        self.note_published(records.map(|each| (&each.record, &each.appended)), durable);
        self.tell_watches();
        for after in followed.into_each().filter_map(|follows| follows.after) {
            self.finish(after);
        }
    }

    /// Does what is left when a record is published.
    pub(super) fn finish(&self, after: After) {
        if after.went {
            self.snapshots_to_sweep.store(true, Ordering::Release);
        }
        self.queue.push_effects(after.effects);
    }

    /// Whether what follows a record looks at the state right behind it. History is kept, or about to be,
    /// since before the first record of an observer was decided; nobody observes what was decided without.
    pub(super) fn needs_own_picture(&self, change: &Change) -> bool {
        Core::wants_differently(change) || (self.history.is_open() && Core::tells_lineage(change))
    }

    /// In one step with the publication of a split: a view gets its fence while it looks at the
    /// published picture, so it is of the whole and inherited, or of a part and that part's.
    fn hand_fences_on(&self, change: &Change) {
        if let Change::RegionsMerged { source, .. } = change {
            // Nobody could tell its views any more that their data goes.
            self.fences.trip(source.region);
        }
        let Change::RegionSplit {
            region, children, ..
        } = change
        else {
            return;
        };
        let is_born = |child: &&SplitChild| !matches!(child.fate, ChildFate::Skipped { .. });
        if children.iter().all(|child| is_born(&child)) {
            self.fences
                .split(*region, children.iter().map(|child| child.id));
        } else {
            // The part of a skipped child is cleared, and nobody owns it who could be told.
            self.fences.trip(*region);
        }
    }
}
