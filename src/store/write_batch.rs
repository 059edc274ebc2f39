//! `WriteBatch`: what a caller writes to one region, and the limits that it must keep.
//!
//! Not here: which region, epoch and index it is for (`engine`), raw keys (`keys`).

use super::{RegionRow, StoreBatch, Value};
use crate::{Key, KeyRange, Region, RegionId, Sequence};

/// One of the separate key spaces of a region.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ColumnFamily(u8);

impl ColumnFamily {
    /// The one that is used when none is named.
    pub const DEFAULT: ColumnFamily = ColumnFamily(0);
    /// Locks of running transactions, by TiKV's convention.
    pub const LOCK: ColumnFamily = ColumnFamily(1);
    /// Commit records, by TiKV's convention.
    pub const WRITE: ColumnFamily = ColumnFamily(2);
    /// Every family that may be written, in the order of their numbers.
    pub const ALL: [ColumnFamily; 3] = [Self::DEFAULT, Self::LOCK, Self::WRITE];

    /// The family with this number.
    pub const fn new(number: u8) -> Self {
        ColumnFamily(number)
    }

    /// Its number.
    pub const fn number(self) -> u8 {
        self.0
    }
}

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
    /// Not one of [`ColumnFamily::ALL`].
    #[error("there is no column family {}", .cf.number())]
    UnknownFamily {
        /// The family.
        cf: ColumnFamily,
    },
    /// A key does not belong to the region.
    #[error("key \"{}\" lies outside {range}", key.escape_ascii())]
    KeyOutside {
        /// The key.
        key: Key,
        /// The region's range.
        range: KeyRange,
    },
}

/// Puts and deletes of user keys that take effect together. Later writes of a key win.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WriteBatch {
    ops: Vec<WriteOp>,
    bytes: usize,
}

impl WriteBatch {
    /// Longest value, in bytes.
    pub const VALUE_BYTES_MAX: usize = 8 * 1024 * 1024;
    /// Most bytes of keys and values together.
    pub const BATCH_BYTES_MAX: usize = 64 * 1024 * 1024;

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

    fn push(&mut self, op: WriteOp) -> &mut Self {
        let value_bytes = op.value.as_ref().map_or(0, |value| value.len());
        self.bytes = self
            .bytes
            .saturating_add(op.key.len())
            .saturating_add(value_bytes);
        self.ops.push(op);
        self
    }

    /// The writes, in the order in which they were added.
    pub fn ops(&self) -> &[WriteOp] {
        &self.ops
    }

    /// How many writes.
    pub fn len(&self) -> usize {
        self.ops.len()
    }

    /// Whether there is nothing to write.
    pub fn is_empty(&self) -> bool {
        self.ops.is_empty()
    }

    /// Sum of the lengths of keys and values, in bytes.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Checks limits, and that every key lies in `range`.
    ///
    /// # Errors
    /// The first rule that a write breaks.
    pub fn check(&self, range: &KeyRange) -> Result<(), BatchError> {
        if self.bytes > Self::BATCH_BYTES_MAX {
            return Err(BatchError::BatchTooLong { bytes: self.bytes });
        }
        for op in &self.ops {
            if !ColumnFamily::ALL.contains(&op.cf) {
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
        for op in &self.ops {
            batch.put_version(op.cf, &op.key, sequence, op.value.as_deref());
        }
        batch.put_region_row(region, row);
        batch
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_limit_has_its_own_answer_and_the_boundary_is_allowed() {
        let range = KeyRange::new(*b"b", Some(*b"y")).unwrap();
        let check = |batch: &WriteBatch| batch.check(&range);
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
        let big = Value::from(vec![0; WriteBatch::VALUE_BYTES_MAX]);
        let mut batch = WriteBatch::new();
        for _ in 0..8 {
            batch.put(*b"c", big.clone());
        }
        assert_eq!(
            check(&batch),
            Err(BatchError::BatchTooLong {
                bytes: 64 * 1024 * 1024 + 8
            })
        );
    }
}
