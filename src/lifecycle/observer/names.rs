//! Stable names of what an attachment is doing and why. Names are for ever.

use super::{AttachmentState, InvalidReason, Reset, WantReason};

impl AttachmentState {
    /// Stable lower-case name.
    pub const fn as_str(&self) -> &'static str {
        match self {
            AttachmentState::Wanted { .. } => "wanted",
            AttachmentState::CatchingUp { .. } => "catching-up",
            AttachmentState::Live { .. } => "live",
            AttachmentState::Draining(_) => "draining",
            AttachmentState::Invalidated(_) => "invalidated",
        }
    }
}

impl WantReason {
    /// Every reason.
    pub const ALL: [WantReason; 13] = [
        WantReason::Added,
        WantReason::Created,
        WantReason::Split,
        WantReason::Merged,
        WantReason::Snapshot,
        WantReason::NotLeader,
        WantReason::NewTerm,
        WantReason::Paused,
        WantReason::Restarted,
        WantReason::Damaged,
        WantReason::Stale,
        WantReason::Failed,
        WantReason::Rebased,
    ];

    /// Stable lower-case name.
    pub const fn as_str(self) -> &'static str {
        match self {
            WantReason::Added => "added",
            WantReason::Created => "created",
            WantReason::Split => "split",
            WantReason::Merged => "merged",
            WantReason::Snapshot => "snapshot",
            WantReason::NotLeader => "not-leader",
            WantReason::NewTerm => "new-term",
            WantReason::Paused => "paused",
            WantReason::Restarted => "restarted",
            WantReason::Damaged => "damaged",
            WantReason::Stale => "stale",
            WantReason::Failed => "failed",
            WantReason::Rebased => "rebased",
        }
    }
}

impl InvalidReason {
    /// Every reason.
    pub const ALL: [InvalidReason; 6] = [
        InvalidReason::Snapshot,
        InvalidReason::Bytes,
        InvalidReason::Age,
        InvalidReason::HistoryLost,
        InvalidReason::HistoryDamaged,
        InvalidReason::Recovered,
    ];

    /// Stable lower-case name.
    pub const fn as_str(self) -> &'static str {
        match self {
            InvalidReason::Snapshot => "snapshot",
            InvalidReason::Bytes => "bytes",
            InvalidReason::Age => "age",
            InvalidReason::HistoryLost => "history-lost",
            InvalidReason::HistoryDamaged => "history-damaged",
            InvalidReason::Recovered => "recovered",
        }
    }
}

impl Reset {
    /// Stable lower-case name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Reset::None => "none",
            Reset::Marker => "marker",
            Reset::Scan => "scan",
        }
    }
}
