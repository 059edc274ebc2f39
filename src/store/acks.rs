//! Acknowledgements that came with a write: rows in the write's own batch, so both survive or neither.
//!
//! They stay until the journal has what they say, which is soon after the barrier that made the write
//! durable; then they are removed. They carry the write's sequence number, so going back to a barrier
//! takes them away with the write.
//!
//! Not here: what an acknowledgement means (`lifecycle::observer`), when it is journaled (`engine`).

use super::keys::{ack_key, ack_rows_range};
use super::rows::{seal, unseal};
use super::{DataStore, Direction, StoreBatch, StoreError, StoreKey};
use crate::{ObserverId, RegionId, Sequence};

const ACK: &str = "acknowledgement";
const ACK_ROW_BYTES: usize = 1 + 8 + 4;

/// One acknowledgement that came with a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AckRow {
    /// Whose consumer.
    pub observer: ObserverId,
    /// The region whose changes it has.
    pub region: RegionId,
    /// Of the write that came with it.
    pub sequence: Sequence,
    /// It has everything up to this index.
    pub index: u64,
}

impl StoreBatch {
    /// Adds an acknowledgement to the write of that sequence number.
    pub fn put_ack(&mut self, ack: &AckRow) {
        self.put(
            ack_key(ack.observer, ack.region, ack.sequence),
            seal(&ack.index.to_le_bytes()),
        );
    }

    /// Removes it.
    pub fn delete_ack(&mut self, ack: &AckRow) {
        self.delete(ack_key(ack.observer, ack.region, ack.sequence));
    }
}

/// Every acknowledgement in the store, by observer and region, the newest of each first.
///
/// # Errors
/// [`StoreError::BadStoreRow`] if one is not readable, or whatever kept the store from answering.
pub fn read_acks(store: &dyn DataStore) -> Result<Vec<AckRow>, StoreError> {
    let rows = store.scan(&ack_rows_range(), Direction::Forward);
    rows.map(|item| {
        let (raw_key, row) = item?;
        let (observer, region, sequence) = match StoreKey::decode(&raw_key) {
            Ok(StoreKey::Ack {
                observer,
                region,
                sequence,
            }) => (observer, region, sequence),
            Ok(_) => {
                let prefix = raw_key.first().copied().unwrap_or(0);
                let source = super::KeyError::UnknownPrefix { prefix };
                return Err(StoreError::BadEntry { raw_key, source });
            }
            Err(source) => return Err(StoreError::BadEntry { raw_key, source }),
        };
        let fields = unseal(&row, ACK_ROW_BYTES)
            .map_err(|source| StoreError::BadStoreRow { name: ACK, source })?;
        let index = fields.first_chunk::<8>();
        Ok(AckRow {
            observer,
            region,
            sequence,
            index: index.map_or(0, |bytes| u64::from_le_bytes(*bytes)),
        })
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{MemoryStore, roll_back};

    fn ack(observer: u64, sequence: u64, index: u64) -> AckRow {
        AckRow {
            observer: ObserverId(observer),
            region: RegionId(7),
            sequence: Sequence::new(sequence),
            index,
        }
    }

    #[test]
    fn bytes_are_those_of_the_format_and_going_back_takes_what_no_barrier_covered() {
        let store = MemoryStore::new();
        let mut batch = StoreBatch::new();
        batch.put_ack(&ack(1, 5, 40));
        batch.put_ack(&ack(1, 6, 41));
        batch.put_ack(&ack(2, 6, 9));
        let raw = batch.ops().first().cloned();
        let Some(crate::store::StoreOp::Put { key, value }) = raw else {
            panic!("{raw:?}");
        };
        let mut bytes = vec![b'a'];
        bytes.extend(1_u64.to_be_bytes());
        bytes.extend(7_u64.to_be_bytes());
        bytes.extend((!5_u64).to_be_bytes());
        assert_eq!(key, bytes);
        assert_eq!(
            value.get(..9),
            Some([1, 40, 0, 0, 0, 0, 0, 0, 0].as_slice())
        );
        store.apply(&batch).unwrap();
        assert_eq!(
            read_acks(&store).unwrap(),
            [ack(1, 6, 41), ack(1, 5, 40), ack(2, 6, 9)]
        );
        roll_back(&store, None).unwrap();
        assert_eq!(read_acks(&store).unwrap(), []);

        let mut batch = StoreBatch::new();
        batch.put(bytes.clone(), vec![1; ACK_ROW_BYTES]);
        store.apply(&batch).unwrap();
        let broken = read_acks(&store).unwrap_err();
        assert!(broken.is_damage(), "{broken}");
        for cut in 0..bytes.len() {
            assert!(StoreKey::decode(&bytes[..cut]).is_err(), "{cut} bytes");
        }
        bytes.push(0);
        assert!(StoreKey::decode(&bytes).is_err());
    }
}
