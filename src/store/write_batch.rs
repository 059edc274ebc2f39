//! `WriteBatch`: what a caller writes to one region, and the limits that it must keep.
//!
//! Not here: which region, epoch and index it is for (`engine`), raw keys (`keys`).

use std::borrow::Cow;

use torrens_journal::planted;

use super::{AckRow, ColumnFamilies, ColumnFamily, RegionRow, StoreBatch, Value};
use crate::{Key, KeyRange, ObserverId, Region, RegionId, Sequence};

/// One write of one user key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WriteOp {
    /// Column family.
    pub cf: ColumnFamily,
    /// User key.
    pub key: Key,
    /// New value; `None` deletes the key.
    pub value: Option<Value>,
}

/// Why a batch is not accepted; nothing of it was written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BatchError {
    /// A key is longer than [`Region::KEY_BYTES_MAX`].
    #[error("a key of {bytes} bytes, more than the {max} allowed", max = Region::KEY_BYTES_MAX)]
    KeyTooLong {
        /// Its length.
        bytes: usize,
    },
    /// A value is longer than [`WriteBatch::VALUE_BYTES_MAX`].
    #[error("a value of {bytes} bytes, more than the {max} allowed", max = WriteBatch::VALUE_BYTES_MAX)]
    ValueTooLong {
        /// Its length.
        bytes: usize,
    },
    /// All keys and values together are longer than [`WriteBatch::BATCH_BYTES_MAX`].
    #[error("a batch of {bytes} bytes, more than the {max} allowed", max = WriteBatch::BATCH_BYTES_MAX)]
    BatchTooLong {
        /// Their length.
        bytes: usize,
    },
    /// More range deletes than [`WriteBatch::RANGE_DELETES_MAX`].
    #[error("{ranges} range deletes, more than the {max} allowed", max = WriteBatch::RANGE_DELETES_MAX)]
    TooManyRanges {
        /// How many.
        ranges: usize,
    },
    /// More acknowledgements than [`WriteBatch::ACKS_MAX`].
    #[error("{acks} acknowledgements, more than the {max} allowed", max = WriteBatch::ACKS_MAX)]
    TooManyAcks {
        /// How many.
        acks: usize,
    },
    /// Not one of the store's [`ColumnFamilies`].
    #[error("there is no column family {}", .cf.number())]
    UnknownFamily {
        /// The family.
        cf: ColumnFamily,
    },
    /// A key does not belong to the region.
    #[error("a key of {} bytes lies outside the region's range", key.len())]
    KeyOutside {
        /// The key.
        key: Key,
        /// The region's range.
        range: KeyRange,
    },
}

/// Puts, deletes and range deletes of user keys that take effect together. Later writes of a key win.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WriteBatch {
    ops: Vec<WriteOp>,
    /// Each hides what was there before the batch; no write of `ops` that came before it lies inside.
    range_deletes: Vec<RangeDelete>,
    acks: Vec<(ObserverId, RegionId, u64)>,
    bytes: usize,
}

/// Deletes every key of a range.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RangeDelete {
    /// Column family.
    pub cf: ColumnFamily,
    /// The keys.
    pub range: KeyRange,
}

impl WriteBatch {
    /// Longest value, in bytes.
    pub const VALUE_BYTES_MAX: usize = 8 * 1024 * 1024;
    /// Most bytes of keys and values together.
    pub const BATCH_BYTES_MAX: usize = 64 * 1024 * 1024;
    /// Most range deletes.
    pub const RANGE_DELETES_MAX: usize = 1024;
    /// Most acknowledgements.
    pub const ACKS_MAX: usize = 4096;

    /// An empty batch.
    pub fn new() -> Self {
        WriteBatch::default()
    }

    /// Sets `key` in the default column family.
    pub fn put(&mut self, key: impl Into<Key>, value: impl Into<Value>) -> &mut Self {
        self.put_cf(ColumnFamily::DEFAULT, key, value)
    }

    /// Deletes `key` in the default column family; fine if it is not there.
    pub fn delete(&mut self, key: impl Into<Key>) -> &mut Self {
        self.delete_cf(ColumnFamily::DEFAULT, key)
    }

    /// Sets `key` in a column family.
    pub fn put_cf(
        &mut self,
        cf: ColumnFamily,
        key: impl Into<Key>,
        value: impl Into<Value>,
    ) -> &mut Self {
        self.push(WriteOp {
            cf,
            key: key.into(),
            value: Some(value.into()),
        })
    }

    /// Deletes `key` in a column family; fine if it is not there.
    pub fn delete_cf(&mut self, cf: ColumnFamily, key: impl Into<Key>) -> &mut Self {
        self.push(WriteOp {
            cf,
            key: key.into(),
            value: None,
        })
    }

    /// Deletes every key of `range` in the default column family.
    pub fn delete_range(&mut self, range: KeyRange) -> &mut Self {
        self.delete_range_cf(ColumnFamily::DEFAULT, range)
    }

    /// Deletes every key of `range` in a column family, however many there are: it costs one small
    /// row, and the space comes back in the background. Writes that the batch already has in the
    /// range go too; those that follow stay.
    pub fn delete_range_cf(&mut self, cf: ColumnFamily, range: KeyRange) -> &mut Self {
        self.ops
            .retain(|op| op.cf != cf || !range.contains(&op.key));
        // One row for one first key; a shorter one of the same start says nothing new.
        self.range_deletes
            .retain(|other| other.cf != cf || !range.covers(&other.range));
        let is_new = |other: &RangeDelete| other.cf != cf || !other.range.covers(&range);
        if self.range_deletes.iter().all(is_new) {
            self.range_deletes.push(RangeDelete { cf, range });
        }
        let bytes_of = |op: &WriteOp| {
            let value_bytes = op.value.as_ref().map_or(0, |value| value.len());
            op.key.len().saturating_add(value_bytes)
        };
        let ranges = self.range_deletes.iter().map(RangeDelete::bytes);
        self.bytes = self.ops.iter().map(bytes_of).chain(ranges).sum();
        self
    }

    /// Acknowledges for a consumer that writes what it made of the changes of `region` up to `index`:
    /// what it wrote and the acknowledgement survive together, or neither does, so each change takes effect
    /// exactly once. `region` is the one whose changes it was told of, on this store.
    ///
    /// Nothing is refused for it, since the entry is committed: an acknowledgement that says nothing new, that
    /// names what the consumer was not told, or whose observer or region is gone, has no effect. It stands, and history goes for it, from the barrier
    /// on that makes the write durable; a subscription that is opened later goes on behind it.
    pub fn acknowledge(&mut self, observer: ObserverId, region: RegionId, index: u64) -> &mut Self {
        self.acks.push((observer, region, index));
        self
    }

    /// The acknowledgements that come with the writes: the observer, the region and the index.
    pub fn acks(&self) -> &[(ObserverId, RegionId, u64)] {
        &self.acks
    }

    /// The same writes with those of the acknowledgements that `keep` says.
    pub(crate) fn with_acks(
        &self,
        keep: impl Fn(&(ObserverId, RegionId, u64)) -> bool,
    ) -> Cow<'_, WriteBatch> {
        if self.acks.iter().all(&keep) {
            return Cow::Borrowed(self);
        }
        let mut batch = self.clone();
        batch.acks.retain(keep);
        Cow::Owned(batch)
    }

    /// The rows of its acknowledgements; of several for one observer and region the highest.
    pub(crate) fn ack_rows(&self, sequence: Sequence) -> Vec<AckRow> {
        let row = |(observer, region, index): &(ObserverId, RegionId, u64)| AckRow {
            observer: *observer,
            region: *region,
            sequence,
            index: *index,
        };
        let mut rows: Vec<AckRow> = self.acks.iter().map(row).collect();
        rows.sort_unstable();
        rows.dedup_by(|later, earlier| {
            let is_same = (later.observer, later.region) == (earlier.observer, earlier.region);
            if is_same {
                earlier.index = later.index;
            }
            is_same
        });
        rows
    }

    fn push(&mut self, op: WriteOp) -> &mut Self {
        let value_bytes = op.value.as_ref().map_or(0, |value| value.len());
        self.bytes = self
            .bytes
            .saturating_add(op.key.len())
            .saturating_add(value_bytes);
        self.ops.push(op);
        self
    }

    /// The writes of single keys, in the order in which they were added. They come after the
    /// [`range_deletes`](Self::range_deletes).
    pub fn ops(&self) -> &[WriteOp] {
        &self.ops
    }

    /// The ranges whose keys are deleted before the writes of single keys.
    pub fn range_deletes(&self) -> &[RangeDelete] {
        &self.range_deletes
    }

    /// How many writes and range deletes.
    pub fn len(&self) -> usize {
        self.ops.len() + self.range_deletes.len()
    }

    /// Whether there is nothing to write.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Sum of the lengths of keys and values, in bytes.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Checks limits, that every family is one of `families`, and that every key lies in `range`.
    ///
    /// # Errors
    /// The first rule that a write breaks.
    pub fn check(&self, range: &KeyRange, families: &ColumnFamilies) -> Result<(), BatchError> {
        if self.bytes > Self::BATCH_BYTES_MAX {
            return Err(BatchError::BatchTooLong { bytes: self.bytes });
        }
        if self.range_deletes.len() > Self::RANGE_DELETES_MAX {
            return Err(BatchError::TooManyRanges {
                ranges: self.range_deletes.len(),
            });
        }
        if self.acks.len() > Self::ACKS_MAX {
            return Err(BatchError::TooManyAcks {
                acks: self.acks.len(),
            });
        }
        for delete in &self.range_deletes {
            if !families.contains(delete.cf) {
                return Err(BatchError::UnknownFamily { cf: delete.cf });
            }
            delete.check(range)?;
        }
        for op in &self.ops {
            if !families.contains(op.cf) && !planted!("unknown-family-taken") {
                return Err(BatchError::UnknownFamily { cf: op.cf });
            }
            if op.key.len() > Region::KEY_BYTES_MAX {
                return Err(BatchError::KeyTooLong {
                    bytes: op.key.len(),
                });
            }
            if let Some(bytes) = op.value.as_ref().map(|value| value.len())
                && bytes > Self::VALUE_BYTES_MAX
            {
                return Err(BatchError::ValueTooLong { bytes });
            }
            if !range.contains(&op.key) {
                return Err(BatchError::KeyOutside {
                    key: op.key.clone(),
                    range: range.clone(),
                });
            }
        }
        Ok(())
    }

    /// The raw changes: every write as a version at `sequence`, and the region's row with them, so
    /// that data and `data_index` move together. [`check`](Self::check) comes first.
    pub fn to_store_batch(
        &self,
        region: RegionId,
        row: &RegionRow,
        sequence: Sequence,
    ) -> StoreBatch {
        let mut batch = StoreBatch::new();
        for delete in &self.range_deletes {
            batch.delete_range(delete.cf, &delete.range, sequence);
        }
        for op in &self.ops {
            batch.put_version(op.cf, &op.key, sequence, op.value.as_deref());
        }
        for ack in self.ack_rows(sequence) {
            batch.put_ack(&ack);
        }
        batch.put_region_row(region, row);
        batch
    }
}

impl RangeDelete {
    fn bytes(&self) -> usize {
        let end = self.range.end().map_or(0, |end| end.len());
        self.range.start().len().saturating_add(end)
    }

    fn check(&self, region: &KeyRange) -> Result<(), BatchError> {
        let bounds = [Some(self.range.start()), self.range.end()];
        if let Some(long) = bounds
            .into_iter()
            .flatten()
            .find(|key| key.len() > Region::KEY_BYTES_MAX)
        {
            return Err(BatchError::KeyTooLong { bytes: long.len() });
        }
        match self.range.difference(region).first() {
            None => Ok(()),
            // The first key of it that is not the region's.
            Some(outside) => Err(BatchError::KeyOutside {
                key: outside.start().clone(),
                range: region.clone(),
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_delete_takes_what_came_before_it_and_leaves_what_follows() {
        let range =
            |start: &str, end: &str| KeyRange::new(start.as_bytes(), Some(end.as_bytes())).unwrap();
        let mut batch = WriteBatch::new();
        batch.put(*b"c", *b"1").put(*b"x", *b"1");
        batch.put_cf(ColumnFamily::LOCK, *b"c", *b"1");
        batch.delete_range(range("b", "d")).put(*b"b", *b"2");
        let left: Vec<_> = batch
            .ops()
            .iter()
            .map(|op| (op.cf.number(), &*op.key))
            .collect();
        assert_eq!(left, [(0, b"x".as_slice()), (1, b"c"), (0, b"b")]);
        assert_eq!((batch.len(), batch.bytes()), (4, 2 + 3 * 2));
        // The same range again takes what followed too, and is one row.
        batch
            .delete_range(range("b", "d"))
            .delete_range(range("bb", "c"));
        assert_eq!((batch.ops().len(), batch.range_deletes().len()), (2, 1));
        batch.delete_range(range("a", "z"));
        assert_eq!((batch.ops().len(), batch.range_deletes().len()), (1, 1));
        let region = range("b", "y");
        let families = ColumnFamilies::default();
        for (start, end, outside) in [("a", "c", "a"), ("c", "z", "y"), ("y", "z", "y")] {
            let refused = WriteBatch::new()
                .delete_range(range(start, end))
                .check(&region, &families);
            let key = Key::from(outside.as_bytes());
            let region = region.clone();
            assert_eq!(refused, Err(BatchError::KeyOutside { key, range: region }));
        }
        let mut whole = WriteBatch::new();
        assert_eq!(
            whole.delete_range(region.clone()).check(&region, &families),
            Ok(())
        );
        let unknown = ColumnFamily::new(9);
        assert_eq!(
            WriteBatch::new()
                .delete_range_cf(unknown, region.clone())
                .check(&region, &families),
            Err(BatchError::UnknownFamily { cf: unknown })
        );
    }

    #[test]
    fn every_limit_has_its_own_answer_and_the_boundary_is_allowed() {
        let range = KeyRange::new(*b"b", Some(*b"y")).unwrap();
        let families = ColumnFamilies::default();
        let check = |batch: &WriteBatch| batch.check(&range, &families);
        let mut at_limit = WriteBatch::new();
        at_limit.put(
            vec![b'x'; Region::KEY_BYTES_MAX],
            vec![0; WriteBatch::VALUE_BYTES_MAX],
        );
        assert_eq!(check(&at_limit), Ok(()));
        assert_eq!(
            at_limit.bytes(),
            Region::KEY_BYTES_MAX + WriteBatch::VALUE_BYTES_MAX
        );
        assert_eq!(
            check(WriteBatch::new().delete(vec![b'x'; Region::KEY_BYTES_MAX + 1])),
            Err(BatchError::KeyTooLong {
                bytes: Region::KEY_BYTES_MAX + 1
            })
        );
        assert_eq!(
            check(WriteBatch::new().put(*b"x", vec![0; WriteBatch::VALUE_BYTES_MAX + 1])),
            Err(BatchError::ValueTooLong {
                bytes: WriteBatch::VALUE_BYTES_MAX + 1
            })
        );
        for outside in ["a", "y", ""] {
            let key = Key::from(outside.as_bytes());
            assert_eq!(
                check(WriteBatch::new().put(*b"c", *b"1").delete(key.clone())),
                Err(BatchError::KeyOutside {
                    key,
                    range: range.clone()
                })
            );
        }
        let unknown = ColumnFamily::new(9);
        for refused in [
            check(WriteBatch::new().put_cf(unknown, *b"c", *b"1")),
            check(WriteBatch::new().delete_cf(unknown, *b"c")),
        ] {
            assert_eq!(refused, Err(BatchError::UnknownFamily { cf: unknown }));
        }
        let big = Value::from(vec![0; WriteBatch::VALUE_BYTES_MAX]);
        let mut batch = WriteBatch::new();
        for _ in 0..8 {
            batch.put(*b"c", big.clone());
        }
        let mut acks = WriteBatch::new();
        for index in 0..WriteBatch::ACKS_MAX as u64 {
            acks.acknowledge(ObserverId(1), RegionId(7), index);
        }
        assert_eq!(check(&acks), Ok(()));
        let rows = acks.ack_rows(Sequence::new(3));
        assert_eq!(rows.len(), 1);
        assert_eq!(rows.first().map(|row| row.index), Some(4095));
        acks.acknowledge(ObserverId(2), RegionId(7), 1);
        assert_eq!(check(&acks), Err(BatchError::TooManyAcks { acks: 4097 }));
        assert_eq!(
            check(&batch),
            Err(BatchError::BatchTooLong {
                bytes: 64 * 1024 * 1024 + 8
            })
        );
    }
}
