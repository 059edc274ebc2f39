//! The register as a state machine that recovery rebuilds: records and checkpoint items go through
//! the one codec, and state moves through the one `apply`.
//!
//! Not here: any rule about what may follow what (`lifecycle`), or bytes (`codec`).

use torrens_journal::{Lsn, RecordKind};
use torrens_recovery::StateMachine;
use torrens_recovery::checkpoint::CheckpointError;

use crate::codec::{self, CodecError};
use crate::lifecycle::{ApplyError, Record, Register, RegisterItem, apply};

/// The register of one store, as recovery sees it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RegisterMachine {
    register: Register,
}

/// A decoded item of a checkpoint.
#[derive(Debug)]
pub struct PieceOfRegister(RegisterItem);

/// Why a record or a checkpoint item did not fit.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MachineError {
    /// The bytes are whole but do not say anything that this version understands.
    #[error("cannot decode")]
    Decode(#[source] CodecError),
    /// The record cannot follow the state.
    #[error("cannot follow the state")]
    Apply(#[source] ApplyError),
}

impl RegisterMachine {
    /// A machine in the state of `register`.
    pub fn new(register: Register) -> Self {
        RegisterMachine { register }
    }

    /// The state.
    pub fn register(&self) -> &Register {
        &self.register
    }

    /// The state, for a record that was just appended.
    pub(crate) fn register_mut(&mut self) -> &mut Register {
        &mut self.register
    }

    /// Gives the state away.
    pub fn into_register(self) -> Register {
        self.register
    }
}

impl StateMachine for RegisterMachine {
    type Record = Record;
    type Item = PieceOfRegister;
    type Error = MachineError;

    fn decode(kind: RecordKind, payload: &[u8]) -> Result<Option<Record>, MachineError> {
        codec::decode(kind.get(), payload).map_err(MachineError::Decode)
    }

    fn apply(&mut self, lsn: Lsn, record: &Record) -> Result<(), MachineError> {
        apply(&mut self.register, lsn, record).map_err(MachineError::Apply)
    }

    fn save(
        &self,
        sink: &mut dyn FnMut(&[u8]) -> Result<(), CheckpointError>,
    ) -> Result<(), CheckpointError> {
        codec::save_register(&self.register, sink)
    }

    fn decode_item(item: &[u8]) -> Result<PieceOfRegister, MachineError> {
        let decoded = codec::decode_item(item).map_err(MachineError::Decode)?;
        Ok(PieceOfRegister(decoded))
    }

    fn load(&mut self, PieceOfRegister(piece): PieceOfRegister) -> Result<(), MachineError> {
        let restored = self.register.restore(piece);
        restored.map_err(|error| MachineError::Decode(CodecError::Restore(error)))
    }
}
