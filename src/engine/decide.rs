//! Deciding: what an event does to everything that was decided so far, its record in the journal, and the
//! wait for that.
//!
//! Not here: what events do (`lifecycle::step`), when a record is durable and what follows then (`durable`).

use std::time::Instant;

use torrens_journal::Lsn;

use super::core::Core;
use super::durable::{After, Follows};
use super::timing::Appended;
use super::{Answer, EngineError};
use crate::codec;
use crate::lifecycle::{
    Accepted, Cause, Change, Durability, Effect, Event, Outcome, Record, Register, Stamp, apply,
    preceding, step,
};
use crate::{Incarnation, RegionId, crash_points, trace};

/// What a decision said, and how far the journal must be durable before anyone may hear of it.
pub(super) struct Decision {
    pub(super) answer: Answer,
    pub(super) effects: Vec<Effect>,
    /// The incarnation that an accepted event was decided on, if its region had one.
    pub(super) subject: Option<Incarnation>,
    /// Every record that the answer rests on is at or below this.
    basis: Lsn,
    durability: Durability,
}

/// A record that was just made.
pub(super) struct Made<'a> {
    /// The state behind it.
    pub(super) register: &'a Register,
    pub(super) lsn: Lsn,
    /// The incarnation that the event was decided on, if its region had one.
    pub(super) subject: Option<Incarnation>,
}

impl Decision {
    /// Every record that the answer rests on is at or below this.
    pub(super) fn basis(&self) -> Lsn {
        self.basis
    }
}

impl Core {
    /// Decides an event and appends its record; nothing is visible or durable yet.
    pub(super) fn decide(&self, event: &Event, cause: Cause) -> Result<Decision, EngineError> {
        self.decide_with(event, cause, |_, _| {})
    }

    /// As [`Core::decide`]; `prepare` sees the state after an accepted event before anybody can
    /// build on it and before anybody can make it durable and publish it. It must be short and take
    /// no lock of the order above.
    pub(super) fn decide_with(
        &self,
        event: &Event,
        cause: Cause,
        prepare: impl FnOnce(&Register, Lsn),
    ) -> Result<Decision, EngineError> {
        let look = |_: &Register| {};
        self.decide_looking(event, cause, look, |made, _| {
            prepare(made.register, made.lsn);
            None
        })
    }

    /// As [`Core::decide_with`]; `look` sees the state that is decided on, and `prepare` may have part of
    /// what follows done by whoever publishes the record: what it gives, which it takes out of the effects.
    pub(super) fn decide_looking(
        &self,
        event: &Event,
        cause: Cause,
        look: impl FnOnce(&Register),
        prepare: impl FnOnce(&Made<'_>, &mut Vec<Effect>) -> Option<After>,
    ) -> Result<Decision, EngineError> {
        self.check_open()?;
        let begun = Instant::now();
        let mut decided = self.publication.decided();
        look(&decided);
        let mut accepted = match step(&decided, event) {
            Outcome::Accepted(accepted) => accepted,
            Outcome::Wait(reason) => return Ok(self.no_change(&decided, Answer::Wait(reason))),
            Outcome::AlreadyApplied => {
                self.note_sent(event);
                return Ok(self.no_change(&decided, Answer::AlreadyApplied));
            }
            Outcome::Refused(refusal) => {
                trace::refused(event.region(), &refusal);
                return Ok(self.no_change(&decided, Answer::Refused(refusal)));
            }
        };
        if let Some(first) = preceding(&decided, event)
            && let Outcome::Accepted(before) = step(&decided, &first)
        {
            self.append(&mut decided, before.change, cause, begun, |_| None)?;
            // Building on the new record, with the same answer.
            if let Outcome::Accepted(after) = step(&decided, event) {
                accepted = after;
            }
        }
        let Accepted { change, effects } = accepted;
        let durability = change.durability();
        let mut left = Vec::new();
        let (lsn, subject) = self.append(&mut decided, change, cause, begun, |made| {
            left = effects.at(made.lsn);
            prepare(made, &mut left)
        })?;
        drop(decided);
        self.note_sent(event);
        // Not under the lock, which whoever syncs needs.
        self.journal.relieve();
        Ok(Decision {
            answer: Answer::Accepted { lsn },
            effects: left,
            subject,
            basis: lsn,
            durability,
        })
    }

    /// An entry of a region's log that holds: the host has sent everything before it.
    fn note_sent(&self, event: &Event) {
        if let (Some(region), Some(position)) = (event.region(), event.position()) {
            self.rows.note_sent(region, position.index);
        }
    }

    /// An answer without a record of its own. It rests on everything that was decided so far.
    fn no_change(&self, decided: &Register, answer: Answer) -> Decision {
        self.counting.note_unchanged(&answer);
        Decision {
            answer,
            effects: Vec::new(),
            subject: None,
            basis: decided.last_lsn(),
            durability: Durability::Wait,
        }
    }

    /// Appends the record of a change that was decided on `decided`, and moves that. Deciding it began at
    /// `begun`.
    fn append(
        &self,
        decided: &mut Register,
        change: Change,
        cause: Cause,
        begun: Instant,
        prepare: impl FnOnce(&Made<'_>) -> Option<After>,
    ) -> Result<(Lsn, Option<Incarnation>), EngineError> {
        let decided_at = Instant::now();
        let (_, boot) = self.journal.store_and_boot()?;
        let (wall_clock_micros, boot) = (self.disk.wall_clock_micros(), boot.get());
        let stamp = Stamp {
            wall_clock_micros,
            boot,
            cause,
        };
        let record = Record::new(decided, change, stamp);
        let (kind, payload) = codec::encode(&record);
        let tag = record.header.region.map_or(0, region_tag);
        let lsn = self.note_poison(self.journal.append_ahead(kind, tag, &payload))?;
        apply(decided, lsn, &record)
            .expect("an accepted outcome applies to the state that it was decided on");
        let subject = record.header.incarnation;
        let after = prepare(&Made {
            register: decided,
            lsn,
            subject,
        });
        self.mark_observed(decided, &record.change);
        let picture = self
            .needs_own_picture(&record.change)
            .then(|| decided.clone());
        self.counting.note_record(record.change.change_kind());
        crash_points::decided(&record.change);
        let appended = Appended::now(lsn, &record, begun, decided_at);
        let follows = Follows {
            record,
            after,
            appended,
        };
        self.publication.push(lsn, picture, follows);
        Ok((lsn, subject))
    }

    /// Waits until everything that the decision rests on is durable, and publishes it.
    ///
    /// A decision whose record is only appended returns at once.
    pub(super) fn settle(&self, decision: Decision) -> Result<(Answer, Vec<Effect>), EngineError> {
        if decision.durability == Durability::Wait {
            self.wait_durable(decision.basis)?;
        }
        Ok((decision.answer, decision.effects))
    }

    /// Decides, settles, and queues what follows from it.
    pub(super) fn commit(&self, event: &Event, cause: Cause) -> Result<Answer, EngineError> {
        let decision = self.decide(event, cause)?;
        let (answer, effects) = self.settle(decision)?;
        self.queue.push_effects(effects);
        Ok(answer)
    }
}

/// The journal's record tag: enough to skip other regions' records without decoding them.
pub(crate) fn region_tag(region: RegionId) -> u32 {
    let [a, b, c, d, e, f, g, h] = region.0.to_le_bytes();
    u32::from_le_bytes([a, b, c, d]) ^ u32::from_le_bytes([e, f, g, h])
}
