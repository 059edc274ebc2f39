//! What the message gate would have answered at some point: the engine's own gate, on the register as it
//! was then.

use torrens_journal::Lsn;

use super::{InspectError, Inspector};
use crate::StoreId;
use crate::lifecycle::{GateAnswer, MessageHeader, MessageKind, Register};

/// The gate's answer at a point.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GateLook {
    /// The point: right after this record.
    pub at: Lsn,
    /// The answer.
    pub answer: GateAnswer,
    /// The last record of the region before that; none if it was never here.
    pub decided_by: Option<Lsn>,
}

/// Names of the kinds of messages, as a person types them.
pub const MESSAGE_KINDS: [&str; 11] = [
    "append",
    "vote",
    "pre-vote",
    "heartbeat",
    "snapshot",
    "transfer-leader",
    "response",
    "tombstone",
    "merged",
    "check-stale",
    "wake-up",
];

/// What a kind of message needs beside its name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MessageDetails {
    /// Whether it is the first that a new region's leader or candidate sends.
    pub is_first: bool,
    /// The commit index of a heartbeat.
    pub commit: u64,
    /// The region that took this one in, and its version then, for `merged`.
    pub target: Option<(crate::RegionId, u64)>,
}

/// The kind of that name; none if there is no such name, or if `merged` has no target.
pub fn message_kind(name: &str, details: MessageDetails) -> Option<MessageKind> {
    let MessageDetails {
        is_first,
        commit,
        target,
    } = details;
    Some(match name {
        "append" => MessageKind::Append { is_first },
        "vote" => MessageKind::Vote { is_first },
        "pre-vote" => MessageKind::PreVote { is_first },
        "heartbeat" => MessageKind::Heartbeat { commit },
        "snapshot" => MessageKind::Snapshot,
        "transfer-leader" => MessageKind::TransferLeader,
        "response" => MessageKind::Response,
        "tombstone" => MessageKind::Tombstone,
        "merged" => {
            let (target, target_version) = target?;
            MessageKind::Merged {
                target,
                target_version,
            }
        }
        "check-stale" => MessageKind::CheckStale,
        "wake-up" => MessageKind::WakeUp,
        _ => return None,
    })
}

impl Inspector {
    /// What the gate would have answered to `header` right after the record `at`, or at the end. A
    /// header for store 0 is for this store.
    ///
    /// # Errors
    /// As [`Inspector::look`].
    pub fn gate(&self, at: Option<Lsn>, header: &MessageHeader) -> Result<GateLook, InspectError> {
        let picture = self.look(at)?;
        Ok(gate_at(&picture.register, picture.position, header))
    }
}

/// The gate's answer on a register.
pub fn gate_at(register: &Register, at: Lsn, header: &MessageHeader) -> GateLook {
    let mut header = header.clone();
    if header.to_store == StoreId(0) {
        header.to_store = register.store().unwrap_or(StoreId(0));
    }
    GateLook {
        at,
        answer: register.gate(&header),
        decided_by: register
            .last_transition(header.region)
            .filter(|lsn| *lsn > Lsn::ZERO),
    }
}
