//! `LsnReader`: the history from an LSN on, out of a directory, as far as it goes and further.
//!
//! For whoever has the directory and not the [`Journal`](crate::Journal): another process, a tool, a
//! backup. Plain reads, so a live writer is not disturbed and nothing is changed. It delivers what
//! lies there, group by group, and says of each group whether it is *witnessed*: whether a later
//! group, a later segment or the mark file states that it was durable. What is only there may be gone
//! after a power cut. Inside the writer's process, [`Follower`](crate::Follower) is the better reader.

use std::iter::Skip;
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use super::locate::locate_or_end;
use super::{Cursor, Met, PositionError, Source, locate};
use crate::disk::Disk;
use crate::group::{Group, GroupHeader};
use crate::ids::{Boot, SegmentId, StoreUuid};
use crate::lsn::Lsn;
use crate::mark::read_marks;
use crate::record::{RecordFault, RecordRef, Records};

/// Pauses between two looks at the end: the first, and the longest.
const PAUSES: (Duration, Duration) = (Duration::from_millis(1), Duration::from_millis(64));

/// Records that were appended together, with adjacent LSNs, borrowed from the reader's buffer.
///
/// All records of one [`append_all`](crate::Journal::append_all) are in one batch, so a reader that
/// takes batches whole never sees a part of them.
#[derive(Clone, Copy, Debug)]
pub struct Batch<'a> {
    group: Group<'a>,
    segment: SegmentId,
    skip: usize,
    witnessed: bool,
}

/// The records of a [`Batch`]. After an `Err` it yields nothing more; only a writer with a bug, or a
/// forger, makes one.
pub type BatchRecords<'a> = Skip<Records<'a>>;

impl<'a> Batch<'a> {
    /// The records of `group` from `from` on.
    pub(crate) fn new(group: Group<'a>, segment: SegmentId, from: Lsn, witnessed: bool) -> Self {
        let skip = from.distance_from(group.header.first_lsn);
        Batch {
            group,
            segment,
            skip: usize::try_from(skip).unwrap_or(usize::MAX),
            witnessed,
        }
    }

    /// LSN of the first record.
    pub fn first_lsn(&self) -> Lsn {
        let first = self.group.header.first_lsn;
        first.checked_add(self.skip as u64).unwrap_or(first)
    }

    /// LSN of the last record.
    pub fn last_lsn(&self) -> Lsn {
        self.group.header.last_lsn()
    }

    /// The records in order.
    pub fn records(&self) -> BatchRecords<'a> {
        self.group.records().skip(self.skip)
    }

    /// The single record at `lsn`, if it is in the batch.
    ///
    /// # Errors
    /// As for [`Batch::records`].
    pub fn record(&self, lsn: Lsn) -> Option<Result<RecordRef<'a>, RecordFault>> {
        let ahead = lsn.get().checked_sub(self.first_lsn().get())?;
        self.records()
            .nth(usize::try_from(ahead).ok()?)
            .filter(|_| lsn <= self.last_lsn())
    }

    /// Whether something says that every record of the batch was durable. What is not witnessed may
    /// be lost in a power cut, and usually is witnessed a moment later.
    pub fn is_witnessed(&self) -> bool {
        self.witnessed
    }

    /// The boot that wrote the batch.
    pub fn boot(&self) -> Boot {
        self.group.header.boot
    }

    /// The segment that holds it.
    pub fn segment(&self) -> SegmentId {
        self.segment
    }

    /// Its group's number in the segment, from 1.
    pub fn group_number(&self) -> u32 {
        self.group.header.number
    }

    /// Records in its group, also those before the first that was asked for.
    pub fn group_records(&self) -> u32 {
        self.group.header.record_count
    }

    /// Where it starts in the segment file.
    pub fn offset_bytes(&self) -> u64 {
        self.group.offset_bytes
    }
}

/// Reads the history from an LSN on, from outside the writer.
///
/// Every byte that it delivers has matched its checksums, and from its first batch on each follows the
/// one before. It is no verifier: it does not read what lies before its position, so a segment that
/// was exchanged for another one of the same store and number is noticed where it is entered or left.
/// `torrens-recovery` judges a whole directory.
#[derive(Debug)]
pub struct LsnReader {
    source: Source,
    cursor: Cursor,
    /// The group at the cursor, if it was delivered: its bytes are in the cursor's buffer until the
    /// next call passes it.
    delivered: Option<GroupHeader>,
    /// Reads ahead of `cursor` for witnesses, in a buffer of its own.
    scout: Option<Cursor>,
    next_lsn: Lsn,
    witnessed: Lsn,
    witnessed_only: bool,
}

impl LsnReader {
    /// Opens the journal in `dir` at the record `from`, or at the end if `from` is the next record to
    /// come. Finds the place with a number of reads that grows with the logarithm of the journal's
    /// size.
    ///
    /// If `store` is given, segments of another one are damage.
    ///
    /// # Errors
    /// [`PositionError::Gone`] and [`PositionError::NotYet`] say what can be read instead; the others
    /// as they say.
    pub fn open(
        disk: Arc<dyn Disk>,
        dir: &Path,
        store: Option<StoreUuid>,
        from: Lsn,
    ) -> Result<LsnReader, PositionError> {
        let source = Source {
            disk,
            dir: dir.to_owned(),
            store,
        };
        Self::at(source, from)
    }

    /// Like [`LsnReader::open`], at the oldest record that is left.
    ///
    /// # Errors
    /// As for [`LsnReader::open`], but for `Gone` and `NotYet`.
    pub fn open_oldest(
        disk: Arc<dyn Disk>,
        dir: &Path,
        store: Option<StoreUuid>,
    ) -> Result<LsnReader, PositionError> {
        let source = Source {
            disk,
            dir: dir.to_owned(),
            store,
        };
        for _ in 0..super::cursor::RETRIES {
            let oldest = source.oldest()?;
            match Self::at(source.clone(), oldest) {
                // Purged between the two.
                Err(PositionError::Gone { .. }) => {}
                opened => return opened,
            }
        }
        Err(source.restless())
    }

    fn at(source: Source, from: Lsn) -> Result<LsnReader, PositionError> {
        let from = from.max(Lsn::FIRST);
        let marked = marked(&source)?;
        // What the end says of the rest: without it, a page in the middle that turned to zero would
        // pass for the end.
        let witnessed = match locate_or_end(&source, Lsn::new(u64::MAX), marked) {
            Ok(end) => end.witnessed,
            // Then the look at the damage says so, if it is on the way.
            Err(PositionError::Damaged { .. }) => marked,
            Err(error) => return Err(error),
        };
        let located = locate(&source, from, witnessed)?;
        Ok(LsnReader {
            source,
            cursor: located.cursor,
            delivered: None,
            scout: None,
            next_lsn: from,
            witnessed: located.witnessed,
            witnessed_only: false,
        })
    }

    /// Whether to deliver only what is witnessed. The reader then stays behind a busy writer by what
    /// is in flight, and behind an idle one until it writes its mark. Default: no.
    #[must_use]
    pub fn witnessed_only(mut self, yes: bool) -> Self {
        self.witnessed_only = yes;
        self
    }

    /// The next batch, or `None` if there is none yet; a later call looks again.
    ///
    /// # Errors
    /// [`PositionError::Gone`] if a writer purged what comes next: open anew at its `oldest`, with
    /// records missing in between. [`PositionError::Damaged`] if it was durable once and is not
    /// readable. After an error a call looks again at the same place.
    pub fn next_batch(&mut self) -> Result<Option<Batch<'_>>, PositionError> {
        let header = self.advance()?;
        Ok(header.and_then(|header| self.deliver(header)))
    }

    /// Like [`LsnReader::next_batch`], but looks again for up to `timeout`, with pauses of 1 to 64 ms.
    /// Nobody wakes a reader in another process.
    ///
    /// # Errors
    /// As for [`LsnReader::next_batch`].
    pub fn next_batch_within(
        &mut self,
        timeout: Duration,
    ) -> Result<Option<Batch<'_>>, PositionError> {
        let deadline = Instant::now().checked_add(timeout);
        let (mut pause, longest) = PAUSES;
        loop {
            if let Some(header) = self.advance()? {
                return Ok(self.deliver(header));
            }
            let left = match deadline {
                Some(deadline) => deadline.saturating_duration_since(Instant::now()),
                None => longest,
            };
            if left.is_zero() {
                return Ok(None);
            }
            thread::sleep(pause.min(left));
            pause = (pause * 2).min(longest);
        }
    }

    /// The next record's LSN: that of the first one not delivered yet.
    pub fn next_lsn(&self) -> Lsn {
        self.next_lsn
    }

    /// Everything up to here is known to have been durable, as far as this reader has seen.
    pub fn witnessed(&self) -> Lsn {
        self.witnessed
    }

    fn deliver(&mut self, header: GroupHeader) -> Option<Batch<'_>> {
        let (segment, from) = (self.cursor.segment(), self.next_lsn);
        let witnessed = header.last_lsn() <= self.witnessed;
        self.next_lsn = after(&header);
        self.delivered = Some(header);
        let group = self.cursor.held(header)?;
        Some(Batch::new(group, segment, from, witnessed))
    }

    /// Goes to the group that holds the next record; `None` if it is not there to be delivered.
    fn advance(&mut self) -> Result<Option<GroupHeader>, PositionError> {
        if let Some(header) = self.delivered.take() {
            self.cursor.pass(&header);
        }
        loop {
            let header = match self.cursor.look(self.witnessed)? {
                Met::Group(header) => header,
                Met::End => {
                    if self.learn()? {
                        // Something says that it is there: it came since, or it is damaged.
                        continue;
                    }
                    return Ok(None);
                }
            };
            self.witnessed = self.witnessed.max(header.durable_lsn);
            let last = header.last_lsn();
            if !holds_any(&header, self.next_lsn) {
                self.cursor.pass(&header);
                continue;
            }
            if last > self.witnessed {
                self.scout(&header)?;
            }
            if last > self.witnessed && self.witnessed_only {
                return Ok(None);
            }
            return Ok(Some(header));
        }
    }

    /// Reads the marks; whether what lies at the cursor is witnessed now.
    fn learn(&mut self) -> Result<bool, PositionError> {
        self.witnessed = self.witnessed.max(marked(&self.source)?);
        Ok(self.cursor.next_lsn() <= self.witnessed)
    }

    /// Looks behind the cursor's group for somebody who says that it was durable.
    fn scout(&mut self, header: &GroupHeader) -> Result<(), PositionError> {
        let wanted = header.last_lsn();
        if self
            .scout
            .as_ref()
            .is_none_or(|scout| scout.next_lsn() < after(header))
        {
            self.scout = self.cursor.another()?;
            if let Some(scout) = &mut self.scout {
                scout.pass(header);
            }
        }
        while let Some(scout) = &mut self.scout
            && self.witnessed < wanted
        {
            match scout.look(Lsn::ZERO) {
                Ok(Met::Group(next)) => {
                    self.witnessed = self.witnessed.max(next.durable_lsn);
                    scout.pass(&next);
                }
                Ok(Met::End) => break,
                // What is wrong ahead is for the cursor to find when it comes there.
                Err(_) => self.scout = None,
            }
            // A segment has its name only when all before it is durable.
            if let Some(header) = self.scout.as_ref().and_then(Cursor::header) {
                let stated = header
                    .predecessor
                    .map_or(Lsn::ZERO, |before| before.last_lsn);
                self.witnessed = self.witnessed.max(stated);
            }
        }
        if self.witnessed < wanted {
            self.witnessed = self.witnessed.max(marked(&self.source)?);
        }
        Ok(())
    }
}

/// The LSN behind a group.
pub(crate) fn after(header: &GroupHeader) -> Lsn {
    let last = header.last_lsn();
    last.next().unwrap_or(last)
}

/// Whether a group has a record at or behind `next`.
pub(crate) fn holds_any(header: &GroupHeader, next: Lsn) -> bool {
    header.record_count > 0 && header.last_lsn() >= next
}

/// What the mark file says was durable.
fn marked(source: &Source) -> Result<Lsn, PositionError> {
    let marks = read_marks(&*source.disk, &source.dir, source.store)?;
    let durable = marks.iter().map(|mark| mark.durable_lsn).max();
    Ok(durable.unwrap_or(Lsn::ZERO))
}
