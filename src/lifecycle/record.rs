//! `Record`: a change, with when and why it happened and where it belongs.
//!
//! Not here: bytes (`codec`).

use torrens_journal::Lsn;

use super::{Change, LoadReason, Register};
use crate::{Incarnation, RegionId, StoreId};

/// One journaled transition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// When, why and where.
    pub header: RecordHeader,
    /// What came of it.
    pub change: Change,
}

/// When and why a change happened, and where it belongs.
///
/// `region`, `incarnation` and `previous` follow from the change and from the state that it was
/// decided on; [`Record::new`] fills them, and [`apply`](super::apply) refuses a record whose fields
/// do not fit the state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RecordHeader {
    /// Wall clock when it was decided, in microseconds since 1970. For people; never compared.
    pub wall_clock_micros: u64,
    /// Which opening of the store decided it.
    pub boot: u32,
    /// Who asked.
    pub cause: Cause,
    /// The region whose history it belongs to; none for what concerns the whole store.
    pub region: Option<RegionId>,
    /// The region's live incarnation *before* this record.
    pub incarnation: Option<Incarnation>,
    /// The region's previous record.
    pub previous: Option<Lsn>,
}

/// When and why, as whoever decides knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Stamp {
    /// See [`RecordHeader::wall_clock_micros`].
    pub wall_clock_micros: u64,
    /// See [`RecordHeader::boot`].
    pub boot: u32,
    /// See [`RecordHeader::cause`].
    pub cause: Cause,
}

/// Who asked for a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Cause {
    /// A committed Raft entry.
    Raft {
        /// Its term.
        term: u64,
        /// Its index.
        index: u64,
    },
    /// A message from another store.
    Message {
        /// Who sent it.
        from_store: StoreId,
    },
    /// An operator.
    Operator,
    /// Recovery, while the store was opened.
    Recovery,
    /// The background work that ends operations.
    Collector,
    /// The host, for reasons of its own.
    Host,
    /// The keeper of the caches, which loads regions by itself.
    Keeper {
        /// Why it asks for the load.
        why: LoadReason,
    },
}

impl Cause {
    /// Stable lower-case name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Cause::Raft { .. } => "raft",
            Cause::Message { .. } => "message",
            Cause::Operator => "operator",
            Cause::Recovery => "recovery",
            Cause::Collector => "collector",
            Cause::Host => "host",
            Cause::Keeper { .. } => "keeper",
        }
    }
}

impl Record {
    /// The record of `change`, which was decided on `register`.
    pub fn new(register: &Register, change: Change, stamp: Stamp) -> Self {
        let region = change.region();
        let slot = region.and_then(|region| register.slot(region));
        let peer = slot.and_then(|slot| slot.peer.as_ref());
        let header = RecordHeader {
            wall_clock_micros: stamp.wall_clock_micros,
            boot: stamp.boot,
            cause: stamp.cause,
            region,
            incarnation: peer.map(|peer| peer.incarnation),
            previous: slot.map(|slot| slot.last_record),
        };
        Record { header, change }
    }
}
