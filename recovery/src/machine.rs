//! What recovery rebuilds: a state machine that records are applied to, and its laws.
//!
//! Not here: any particular machine. The engine brings its own; a verifier or a dump tool may bring
//! another one, and the same walk feeds both.

use torrens_journal::{Lsn, RecordKind};

use crate::checkpoint::CheckpointError;

/// A state that is the fold of the journal's records.
///
/// # Laws
/// * **Prefix.** Recovery applies records in LSN order, without a gap and each at most once, starting
///   right after the position that [`load`](Self::load) restored (or at LSN 1 on an empty machine).
///   It may stop after any of them, so the state after each record must be a state that existed.
/// * **Deterministic.** The result of [`apply`](Self::apply) depends on the state and the record
///   only: no clock, no randomness, no I/O. Two machines fed alike are equal.
/// * **Outcomes, not decisions.** A record says what happened. `apply` carries it out and refuses
///   only what cannot have happened; it never decides again.
/// * **Round trip.** Loading, into an empty machine and in order, what [`save`](Self::save) gave
///   yields an equal machine.
/// * **Idempotent position.** If the machine keeps its own position, applying a record at or below it
///   changes nothing. Recovery does not rely on this; it makes a repeated hand-over harmless.
///
/// Decoding knows no state, and a machine can be sent: what is long is decoded on one thread and applied
/// on another.
pub trait StateMachine: Send {
    /// A decoded record.
    type Record: Send;
    /// A decoded item of a checkpoint.
    type Item: Send;
    /// Why a payload could not be decoded, or a record not be applied.
    type Error: std::error::Error + Send + Sync + 'static;

    /// Decodes a payload. `None` says that this kind is unknown here;
    /// recovery skips it if the kind is marked as ignorable and reports a newer format if not.
    ///
    /// # Errors
    /// The kind is known and the payload is not one of it. The bytes carried a valid checksum, so
    /// recovery reports an impossible sequence and not damage.
    fn decode(kind: RecordKind, payload: &[u8]) -> Result<Option<Self::Record>, Self::Error>;

    /// Applies the record at `lsn`.
    ///
    /// # Errors
    /// The record cannot follow the state (for example the end of an operation that never began).
    /// The state must be as before the call; recovery stops there.
    fn apply(&mut self, lsn: Lsn, record: &Self::Record) -> Result<(), Self::Error>;

    /// Gives the whole state to `sink` as opaque items, each of at most
    /// [`ITEM_BYTES_MAX`](crate::checkpoint::ITEM_BYTES_MAX) bytes.
    ///
    /// # Errors
    /// Whatever `sink` answered; a machine has no reason of its own to fail.
    fn save(
        &self,
        sink: &mut dyn FnMut(&[u8]) -> Result<(), CheckpointError>,
    ) -> Result<(), CheckpointError>;

    /// Decodes one item that [`save`](Self::save) gave away.
    ///
    /// # Errors
    /// The item is not one that any machine of this type could have saved.
    fn decode_item(item: &[u8]) -> Result<Self::Item, Self::Error>;

    /// Takes back one item. Called on an empty machine, with the items in the order of
    /// [`save`](Self::save), after every checksum of the checkpoint was verified.
    ///
    /// # Errors
    /// The item cannot follow those before it.
    fn load(&mut self, item: Self::Item) -> Result<(), Self::Error>;
}
