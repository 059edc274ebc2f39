//! The index as a state machine that recovery rebuilds from the history's records.
//!
//! Not here: the index itself.

use torrens_journal::{Lsn, RecordKind};
use torrens_recovery::StateMachine;
use torrens_recovery::checkpoint::CheckpointError;

use super::index::{Index, IndexPiece};
use super::record::HistoryRecord;
use crate::codec::{self, CodecError};

/// The index of a history, as recovery sees it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct HistoryMachine {
    index: Index,
}

impl HistoryMachine {
    /// A machine in the state of `index`.
    pub fn new(index: Index) -> Self {
        HistoryMachine { index }
    }

    /// Gives the state away.
    pub fn into_index(self) -> Index {
        self.index
    }
}

impl StateMachine for HistoryMachine {
    /// With the length of its payload in bytes.
    type Record = (usize, HistoryRecord);
    type Item = IndexPiece;
    type Error = CodecError;

    fn decode(kind: RecordKind, payload: &[u8]) -> Result<Option<Self::Record>, CodecError> {
        let decoded = codec::decode_history(kind.get(), payload)?;
        Ok(decoded.map(|(record, _)| (payload.len(), record)))
    }

    fn apply(&mut self, lsn: Lsn, (bytes, record): &Self::Record) -> Result<(), CodecError> {
        self.index.note(lsn, *bytes, record);
        Ok(())
    }

    fn save(
        &self,
        sink: &mut dyn FnMut(&[u8]) -> Result<(), CheckpointError>,
    ) -> Result<(), CheckpointError> {
        self.index
            .pieces()
            .try_for_each(|piece| sink(&codec::encode_piece(&piece)))
    }

    fn decode_item(item: &[u8]) -> Result<IndexPiece, CodecError> {
        codec::decode_piece(item)
    }

    fn load(&mut self, piece: IndexPiece) -> Result<(), CodecError> {
        self.index.restore(piece);
        Ok(())
    }
}
