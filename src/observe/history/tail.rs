//! The newest records of the history in memory, shared by everybody who reads them: a reader that keeps
//! up reads no file.
//!
//! Not here: who may read how far, the records that are older.

use std::collections::VecDeque;
use std::sync::Arc;

use torrens_journal::Lsn;

/// One record as it was appended. Cloning shares the payload.
#[derive(Clone, Debug)]
pub(crate) struct TailRecord {
    pub(crate) lsn: Lsn,
    pub(crate) kind: u16,
    pub(crate) payload: Arc<Vec<u8>>,
}

/// Records with adjacent LSNs, the oldest first, up to a number of bytes.
#[derive(Debug)]
pub(crate) struct Tail {
    records: VecDeque<TailRecord>,
    bytes: usize,
    bytes_max: usize,
}

impl Tail {
    /// What a record takes beside its payload.
    const RECORD_BYTES: usize = 64;

    pub(crate) fn new(bytes_max: usize) -> Self {
        let records = VecDeque::new();
        Tail {
            records,
            bytes: 0,
            bytes_max,
        }
    }

    /// Adds the next record. The oldest go when there is no room; the newest stays whatever its size.
    pub(crate) fn push(&mut self, record: TailRecord) {
        self.bytes = self
            .bytes
            .saturating_add(record.payload.len() + Tail::RECORD_BYTES);
        self.records.push_back(record);
        self.shrink();
    }

    fn shrink(&mut self) {
        while self.bytes > self.bytes_max && self.records.len() > 1 {
            if let Some(gone) = self.records.pop_front() {
                self.bytes = self
                    .bytes
                    .saturating_sub(gone.payload.len() + Tail::RECORD_BYTES);
            }
        }
    }

    /// From now on it takes at most so many bytes.
    pub(crate) fn resize(&mut self, bytes_max: usize) {
        self.bytes_max = bytes_max;
        self.shrink();
    }

    /// Gives up to `count` records from `from` to `until`; `None` if the first of them is not here.
    pub(crate) fn read(&self, from: Lsn, until: Lsn, count: usize) -> Option<Vec<TailRecord>> {
        let first = self.records.front()?.lsn;
        let skip = from.get().checked_sub(first.get())?;
        let skip = usize::try_from(skip).ok()?;
        let left = usize::try_from(until.next()?.distance_from(from)).unwrap_or(usize::MAX);
        let records = self.records.range(skip.min(self.records.len())..);
        Some(records.take(left.min(count)).cloned().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(lsn: u64) -> TailRecord {
        TailRecord {
            lsn: Lsn::new(lsn),
            kind: 1,
            payload: Arc::new(vec![0; 36]),
        }
    }

    fn lsns(found: Option<Vec<TailRecord>>) -> Option<Vec<u64>> {
        found.map(|records| records.iter().map(|record| record.lsn.get()).collect())
    }

    #[test]
    fn the_oldest_go_first_and_what_is_gone_is_told_from_what_is_to_come() {
        let mut tail = Tail::new(350);
        let read = |tail: &Tail, from, until| lsns(tail.read(Lsn::new(from), Lsn::new(until), 9));
        assert_eq!(read(&tail, 1, 9), None);
        (1..=5).for_each(|lsn| tail.push(record(lsn)));
        assert_eq!(read(&tail, 2, 9), None);
        assert_eq!(read(&tail, 3, 4), Some(vec![3, 4]));
        assert_eq!(read(&tail, 6, 9), Some(vec![]));
        assert_eq!(read(&tail, 4, 3), Some(vec![]));
        assert_eq!(lsns(tail.read(Lsn::new(3), Lsn::new(9), 1)), Some(vec![3]));
        tail.resize(0);
        assert_eq!(read(&tail, 5, 9), Some(vec![5]));
    }
}
