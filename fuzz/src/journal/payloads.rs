//! A machine for recovery that keeps every record as it is.

use torrens_journal::{Lsn, RecordKind};
use torrens_recovery::StateMachine;
use torrens_recovery::checkpoint::CheckpointError;

/// Positions and payloads, in order.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Payloads(pub(super) Vec<(Lsn, Vec<u8>)>);

impl StateMachine for Payloads {
    type Record = Vec<u8>;
    type Item = ();
    type Error = std::io::Error;

    fn decode(_: RecordKind, payload: &[u8]) -> Result<Option<Vec<u8>>, std::io::Error> {
        Ok(Some(payload.to_vec()))
    }

    fn apply(&mut self, lsn: Lsn, record: &Vec<u8>) -> Result<(), std::io::Error> {
        self.0.push((lsn, record.clone()));
        Ok(())
    }

    fn save(
        &self,
        _: &mut dyn FnMut(&[u8]) -> Result<(), CheckpointError>,
    ) -> Result<(), CheckpointError> {
        Ok(())
    }

    fn decode_item(_: &[u8]) -> Result<(), std::io::Error> {
        Ok(())
    }

    fn load(&mut self, (): ()) -> Result<(), std::io::Error> {
        Ok(())
    }
}
