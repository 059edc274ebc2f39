//! Appending during opening, when there is no engine yet: the same step, codec and apply, without
//! the two pictures and their locks, since nobody can look.

use torrens_journal::disk::Disk;
use torrens_recovery::{NewRecord, Recovered, StateMachine};
use torrens_journal::RecordKind;

use super::core::{append_error, region_tag, sync_error};
use super::{EngineError, OpenError};
use crate::codec;
use crate::lifecycle::{Accepted, Cause, Event, Outcome, Record, RecordHeader, Register, step};
use crate::machine::RegisterMachine;

/// The record of an event that is legal in this state; `None` if it would change nothing.
pub(super) fn record(
    register: &Register,
    event: &Event,
    (cause, boot, wall_clock_micros): (Cause, u32, u64),
) -> Option<NewRecord> {
    let Outcome::Accepted(Accepted { change, .. }) = step(register, event) else { return None };
    let region = event.region();
    let header = RecordHeader {
        wall_clock_micros,
        boot,
        cause,
        region,
        incarnation: region.and_then(|region| register.incarnation(region)),
        previous: region.and_then(|region| register.last_record(region)),
    };
    let (kind, payload) = codec::encode(&Record { header, change });
    let tag = region.map_or(0, region_tag);
    Some(NewRecord { kind: RecordKind::new(kind), tag, payload })
}
