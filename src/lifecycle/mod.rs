//! The lifecycle of regions, peers, snapshots and caches on one store, decided without I/O.
//!
//! ```text
//!            message                begin                 end
//!  (none) ───────────► Uninitialized ──────► Applying ───────────► Normal ──damage──► Damaged
//!    ▲ │                      ▲                │  ▲ ▲    begin      │                    │
//!    │ └─bootstrap, split─────┼──── Normal     │  │ └───────────────┘       begin        │
//!    │                        └────abort───────┘  └──────────────────────────────────────┘
//!    │                        (never had data)      abort of any other: Applying → Damaged
//!    └──destroy, own removal── any stage: leaves a tombstone, and a pending deletion if it had keys
//! ```
//!
//! A peer whose region lists it as a witness is *Witness* instead of Normal; one that is none any more is
//! *Waiting* until a snapshot brought the data. Normal and Witness have a [`Mode`]: serving, or what the
//! region's log has put the region into.
//!
//! * [`step`] says what an event does to a [`Register`]: a pure, total function to an [`Outcome`].
//! * [`apply`] carries out a recorded outcome; it is the only way in which state changes, on the
//!   live path and at replay alike.
//! * `register` holds the state and answers questions; `peer`, `cache`, `deletion`, `tombstone` are
//!   its parts; `event`, `change`, `record`, `refusal`, `outcome` are the words of the conversation.
//! * `observer` holds who observes what, and moves with the regions.
//!
//! Invariants (checked by [`Register::check_invariants`])
//! * Every key has at most one owner: a live peer with a range, a snapshot's reservation, or a pending
//!   deletion. A deletion that
//!   clears what a witness must not hold owns nothing, and nothing is ingested over it.
//! * A live peer's id is above its region's tombstone; an incarnation is never minted twice.
//! * A cache that holds or will hold data belongs to the live peer's incarnation and a normal stage.
//! * An epoch never goes back while its incarnation lives; floors never go down.
//!
//! Not here: bytes (`codec`), durability (`torrens-journal`), data and memory (`store`, `cache`),
//! who carries out effects (`engine`). No clock, no randomness, no panic.

#![deny(clippy::wildcard_enum_match_arm)]

mod apply;
mod cache;
mod change;
mod deletion;
mod event;
mod gate;
mod kind;
mod observer;
mod outcome;
mod parking;
mod peer;
mod position;
mod rare;
mod record;
mod refusal;
mod register;
mod step;
mod tombstone;

#[cfg(test)]
pub(crate) mod tests;

pub use apply::{ApplyError, apply};
pub use cache::{
    CacheEntry, CacheState, DropReason, EvictReason, LoadReason, QueuedLoad, QueuedLoadFate,
};
pub use change::{Change, ChildFate, Durability, MergedSource, SkipReason, SplitChild};
pub use deletion::{DeletionCause, DeletionId, PendingDeletion};
pub use event::{Derive, Event, FloorUpdate, NewRegion, PeerChange, Split, WitnessSwitch};
pub use gate::{
    CreatePermit, DeferUntil, GateAnswer, GateDrop, GateReply, MessageHeader, MessageKind,
};
pub use kind::ChangeKind;
pub(crate) use observer::is_news;
pub use observer::{
    Acknowledged, AttachRequest, Attached, Attachment, AttachmentState, CaughtUp, Detached, Drain,
    Ended, InvalidReason, Invalidated, Leads, Loss, Observer, ObserverChange, ObserverEvent,
    ObserverRefusal, ObserverViolation, Observers, Origin, Rebased, Reset, Started, WantReason,
};
pub use outcome::{Accepted, Effect, Outcome, PlannedEffects, WaitReason};
pub use parking::ParkingLot;
pub use peer::{
    AbortReason, Applying, DamageReason, Damaged, Floor, MergeSource, Mode, Normal, PeerStage,
    PeerState, Previous, SnapshotRef, Waiting,
};
pub use position::{INITIAL_INDEX, INITIAL_POSITION, INITIAL_TERM, RaftPosition};
pub use rare::{Rare, Usual};
pub use record::{Cause, Record, RecordHeader, Stamp};
pub use refusal::{MergeFault, PeerChangeFault, Refusal, SplitFault};
pub use register::LedgerFault;
pub use register::{
    Admitted, OpenOperation, Owner, Register, Reservation, RestoreError, Slot, Violation,
};
pub(crate) use register::{RegisterHead, RegisterItem};
pub use step::{preceding, step};
pub use tombstone::{DestroyCause, Tombstone, TombstoneCause};
