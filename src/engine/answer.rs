//! What the engine answers to a transition or a write. A refusal is an answer, not an error.

use torrens_journal::Lsn;

use crate::lifecycle::WaitReason;
use crate::{Incarnation, Refusal, Sequence};

/// The answer to a transition.
///
/// # Durability
/// Whatever it says rests on synced state: an `Accepted` record is durable (unless the transition's
/// documentation says that it is only appended), and a refusal or `AlreadyApplied` was given only
/// after every record that it rests on was durable.
#[must_use = "an answer says whether the transition happened"]
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It happened; the record at `lsn` says so.
    Accepted {
        /// Position of the record.
        lsn: Lsn,
    },
    /// It had happened before; nothing changed.
    AlreadyApplied,
    /// It will happen when something else on this store has: do that, and ask again. Nothing
    /// changed. Only what Raft committed waits.
    Wait(WaitReason),
    /// It may not happen; nothing changed.
    Refused(Refusal),
}

impl Answer {
    /// The record's position, if the transition happened now.
    pub fn lsn(&self) -> Option<Lsn> {
        match self {
            Answer::Accepted { lsn } => Some(*lsn),
            Answer::AlreadyApplied | Answer::Wait(_) | Answer::Refused(_) => None,
        }
    }

    /// The incarnation that the transition created, if it happened now and creates one.
    pub fn incarnation(&self) -> Option<Incarnation> {
        self.lsn().map(Incarnation::new)
    }

    /// Whether the state that was asked for holds now.
    pub fn holds(&self) -> bool {
        match self {
            Answer::Accepted { .. } | Answer::AlreadyApplied => true,
            Answer::Wait(_) | Answer::Refused(_) => false,
        }
    }
}

/// The answer to a write of region data.
///
/// # Durability
/// `Applied` data is in the data store and visible to reads; it is *durable* at the next barrier.
/// Until then the host keeps the entry in its log: after a crash the engine reports a `data_index`
/// from which the host sends again.
#[must_use = "an answer says whether the write happened"]
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WriteAnswer {
    /// The batch is in, at this sequence number.
    Applied {
        /// Sequence number of every version that the batch wrote.
        sequence: Sequence,
    },
    /// The store already holds this index.
    AlreadyApplied {
        /// Highest index whose batch the store holds.
        data_index: u64,
    },
    /// It may not happen; nothing changed.
    Refused(Refusal),
}
