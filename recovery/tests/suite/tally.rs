//! `Tally`, the state machine of these tests: remembers every value in order and which operations
//! are open. Small, and strict: a gap or an end without a begin cannot be.

use std::collections::BTreeMap;

use torrens_journal::{Lsn, RecordKind};
use torrens_recovery::StateMachine;
use torrens_recovery::checkpoint::CheckpointError;

pub(crate) const VALUE: RecordKind = RecordKind::new(1);
pub(crate) const BEGIN: RecordKind = RecordKind::new(2);
pub(crate) const END: RecordKind = RecordKind::new(3);
pub(crate) const REMARK: RecordKind = RecordKind::new(RecordKind::IGNORABLE | 9);
pub(crate) const UNKNOWN: RecordKind = RecordKind::new(9);

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    /// The last record applied.
    pub(crate) position: u64,
    pub(crate) values: Vec<Vec<u8>>,
    /// Operation to the record that began it.
    pub(crate) open: BTreeMap<u8, u64>,
}

#[derive(Debug)]
pub(crate) enum Record {
    Value(Vec<u8>),
    Begin(u8),
    End(u8),
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum TallyError {
    #[error("record {lsn} after {position}")]
    Gap { lsn: u64, position: u64 },
    #[error("operation {0} ends and never began")]
    NotOpen(u8),
    #[error("an operation has a number of one byte")]
    Payload,
}

fn one(payload: &[u8]) -> Result<u8, TallyError> {
    match payload {
        [id] => Ok(*id),
        _ => Err(TallyError::Payload),
    }
}

impl StateMachine for Tally {
    type Record = Record;
    type Item = Vec<u8>;
    type Error = TallyError;

    fn decode(kind: RecordKind, payload: &[u8]) -> Result<Option<Record>, TallyError> {
        Ok(match kind {
            VALUE => Some(Record::Value(payload.to_vec())),
            BEGIN => Some(Record::Begin(one(payload)?)),
            END => Some(Record::End(one(payload)?)),
            _ => None,
        })
    }

    fn apply(&mut self, lsn: Lsn, record: &Record) -> Result<(), TallyError> {
        let lsn = lsn.get();
        // Skipped remarks leave holes, so only going back is a mistake here.
        if lsn <= self.position {
            return Err(TallyError::Gap {
                lsn,
                position: self.position,
            });
        }
        match record {
            Record::Value(value) => self.values.push(value.clone()),
            Record::Begin(id) => {
                self.open.insert(*id, lsn);
            }
            Record::End(id) => {
                self.open.remove(id).ok_or(TallyError::NotOpen(*id))?;
            }
        }
        self.position = lsn;
        Ok(())
    }

    fn save(
        &self,
        sink: &mut dyn FnMut(&[u8]) -> Result<(), CheckpointError>,
    ) -> Result<(), CheckpointError> {
        sink(&self.position.to_le_bytes())?;
        for (id, lsn) in &self.open {
            let mut item = vec![b'o', *id];
            item.extend_from_slice(&lsn.to_le_bytes());
            sink(&item)?;
        }
        for value in &self.values {
            let mut item = vec![b'v'];
            item.extend_from_slice(value);
            sink(&item)?;
        }
        Ok(())
    }

    fn decode_item(item: &[u8]) -> Result<Vec<u8>, TallyError> {
        Ok(item.to_vec())
    }

    fn load(&mut self, item: Vec<u8>) -> Result<(), TallyError> {
        match item.as_slice() {
            [b'v', value @ ..] => self.values.push(value.to_vec()),
            [b'o', id, lsn @ ..] => {
                let lsn = lsn.try_into().map_err(|_| TallyError::Payload)?;
                self.open.insert(*id, u64::from_le_bytes(lsn));
            }
            position => {
                let position = position.try_into().map_err(|_| TallyError::Payload)?;
                self.position = u64::from_le_bytes(position);
            }
        }
        Ok(())
    }
}
