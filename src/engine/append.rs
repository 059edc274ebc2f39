//! Appending during opening, when there is no engine yet: the same step, codec and apply, without
//! the two pictures and their locks, since nobody can look.

use torrens_journal::RecordKind;
use torrens_journal::disk::Disk;
use torrens_recovery::{Recovered, ResolutionRecord};

use super::OpenError;
use super::decide::region_tag;
use super::log::{append_error, sync_error};
use crate::codec;
use crate::lifecycle::{Accepted, Cause, Event, Outcome, Record, Register, Stamp, apply, step};
use crate::machine::RegisterMachine;

/// The record of an event; `None` if it is not legal in this state, or has happened.
pub(super) fn decide(register: &Register, event: &Event, stamp: Stamp) -> Option<Record> {
    match step(register, event) {
        Outcome::Accepted(Accepted { change, .. }) => Some(Record::new(register, change, stamp)),
        Outcome::AlreadyApplied | Outcome::Wait(_) | Outcome::Refused(_) => None,
    }
}

/// The record as the journal takes it.
pub(super) fn encode(record: &Record) -> ResolutionRecord {
    let (kind, payload) = codec::encode(record);
    let tag = record.header.region.map_or(0, region_tag);
    ResolutionRecord {
        kind: RecordKind::new(kind),
        tag,
        payload,
    }
}

/// When and why a record of this opening is written.
pub(super) fn stamp(recovered: &Recovered<RegisterMachine>, disk: &dyn Disk) -> Stamp {
    let boot = recovered.journal.boot().get();
    Stamp {
        wall_clock_micros: disk.wall_clock_micros(),
        boot,
        cause: Cause::Recovery,
    }
}

/// Decides an event, appends its record and applies it. Durable at the next [`sync`].
pub(super) fn append(
    recovered: &mut Recovered<RegisterMachine>,
    disk: &dyn Disk,
    event: &Event,
) -> Result<(), OpenError> {
    let stamp = stamp(recovered, disk);
    let Some(record) = decide(recovered.machine.register(), event, stamp) else {
        return Ok(());
    };
    let ResolutionRecord { kind, tag, payload } = encode(&record);
    let lsn = recovered
        .journal
        .append(kind, tag, &payload)
        .map_err(|error| OpenError::Finish(append_error(error)))?;
    apply(recovered.machine.register_mut(), lsn, &record)
        .expect("an accepted outcome applies to the state that it was decided on");
    Ok(())
}

/// Makes everything appended durable.
pub(super) fn sync(recovered: &Recovered<RegisterMachine>) -> Result<(), OpenError> {
    let synced = recovered.journal.sync();
    synced
        .map(drop)
        .map_err(|error| OpenError::Finish(sync_error(error)))
}
