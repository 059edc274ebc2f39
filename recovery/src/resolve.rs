//! Bringing operations that were begun and not ended to an end, by a stated rule.
//!
//! The engine knows which operations are open and what to do about each; this room only keeps the
//! order: ask the rule, append the outcome, apply it, and make all of it durable before anyone sees
//! the state. Not here: effects (deleting data, ingesting files), which come after this and are
//! repeated until the journal says that they ended.

use torrens_journal::{AppendError, Lsn, NewRecord, RecordKind, SyncError};

use crate::machine::StateMachine;
use crate::recover::Recovered;
use crate::report::Resolved;

/// Which way an open operation is brought to an end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Direction {
    /// It is finished.
    Forward,
    /// It is undone.
    Back,
}

/// A record of a resolution.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResolutionRecord {
    /// Its kind.
    pub kind: RecordKind,
    /// The journal's per-record tag; opaque here.
    pub tag: u32,
    /// The encoded record.
    pub payload: Vec<u8>,
}

/// What a rule says about one open operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolution {
    /// Which way.
    pub direction: Direction,
    /// The operation, in words, for the report.
    pub what: String,
    /// The record that began it.
    pub begin: Lsn,
    /// The rule, in words, for the report.
    pub rule: String,
    /// The records that say so, in order. They are appended as one run in one group: after a crash
    /// all of them are there or none is.
    pub records: Vec<ResolutionRecord>,
}

/// Why open operations could not be resolved. `Recovered` must be dropped then and the directory be
/// recovered again: the machine may hold resolutions that are not durable.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ResolveError<R, M> {
    /// The rule gave no answer.
    #[error("no resolution for an open operation")]
    Rule(#[source] R),
    /// The journal did not take a record.
    #[error("cannot append the resolution of an operation")]
    Append(#[source] AppendError),
    /// The resolutions could not be made durable.
    #[error("cannot make the resolutions durable")]
    Sync(#[source] SyncError),
    /// The state machine does not accept a record of the resolution.
    #[error("the resolution at LSN {lsn} cannot follow the state")]
    Apply {
        /// The record.
        lsn: Lsn,
        /// The machine's reason.
        #[source]
        source: M,
    },
    /// The state machine does not know the kind of a record of the resolution.
    #[error("the resolution at LSN {lsn} has a kind that the state machine does not know")]
    UnknownKind {
        /// The record.
        lsn: Lsn,
    },
}

/// Resolves `operations` in order. Each rule sees the state with the earlier resolutions applied.
///
/// # Durability
/// Every resolution is durable when this returns; one sync covers them all. Until then the state is
/// nobody's but the caller's, who must not publish it.
///
/// # Errors
/// [`ResolveError`]; see there for what to do.
pub fn resolve<M, Op, R>(
    recovered: &mut Recovered<M>,
    operations: Vec<Op>,
    mut rule: impl FnMut(&M, &Op) -> Result<Resolution, R>,
) -> Result<(), ResolveError<R, M::Error>>
where
    M: StateMachine,
{
    let mut last = None;
    for operation in &operations {
        let resolution = rule(&recovered.machine, operation).map_err(ResolveError::Rule)?;
        let run: Vec<NewRecord<'_>> = resolution
            .records
            .iter()
            .map(|ResolutionRecord { kind, tag, payload }| NewRecord {
                kind: *kind,
                tag: *tag,
                payload,
            })
            .collect();
        let mut first = None;
        if !run.is_empty() {
            let end = recovered
                .journal
                .append_all(&run)
                .map_err(ResolveError::Append)?;
            let before = Lsn::new(end.get().saturating_sub(run.len() as u64));
            for (record, lsn) in run.iter().zip((before.get() + 1..).map(Lsn::new)) {
                first.get_or_insert(lsn);
                apply(&mut recovered.machine, lsn, record)?;
            }
            last = Some(end);
        }
        let line = Resolved {
            what: resolution.what,
            begin: resolution.begin,
            resolution: first.unwrap_or(resolution.begin),
            rule: resolution.rule,
        };
        match resolution.direction {
            Direction::Forward => recovered.report.resolved_forward.push(line),
            Direction::Back => recovered.report.resolved_back.push(line),
        }
    }
    match last {
        Some(lsn) => recovered
            .journal
            .wait_durable(lsn)
            .map_err(ResolveError::Sync),
        None => Ok(()),
    }
}

fn apply<M: StateMachine, R>(
    machine: &mut M,
    lsn: Lsn,
    record: &NewRecord<'_>,
) -> Result<(), ResolveError<R, M::Error>> {
    let refused = |source| ResolveError::Apply { lsn, source };
    let decoded = M::decode(record.kind, record.payload)
        .map_err(refused)?
        .ok_or(ResolveError::UnknownKind { lsn })?;
    machine.apply(lsn, &decoded).map_err(refused)
}
