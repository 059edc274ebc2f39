//! `Cursor`: one place in the history, moved from group to group and from segment to segment.
//!
//! What it must tell apart: nothing here *yet*, purged or recycled under the reader, and damaged. A
//! segment's name is never used again, and a purged file is zeroed or written anew only after it lost
//! its name. So what was read as "no group" is taken for what it says only if the file still has its
//! name afterwards. Damage is what a witness says was durable. Not here: finding the first place
//! (`locate`), who may read how far.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use super::{Found, PositionError, PositionFault, SegmentReader, WINDOW_BYTES, list};
use crate::disk::Disk;
use crate::error::ReadError;
use crate::format::{PAGE_BYTES, SEGMENT_HEADER_BYTES};
use crate::group::{Expectation, Group, GroupHeader};
use crate::header::{HeaderFault, Predecessor, SegmentHeader};
use crate::ids::{SegmentId, StoreUuid};
use crate::lsn::Lsn;

/// How often a look is taken anew because a writer purged meanwhile, before that counts as a failure.
pub(super) const RETRIES: usize = 100;

/// A journal's directory, to read in.
#[derive(Clone, Debug)]
pub(crate) struct Source {
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) dir: PathBuf,
    pub(crate) store: Option<StoreUuid>,
}

impl Source {
    /// Opens a segment; `None` if no file has its name.
    pub(super) fn open(&self, id: SegmentId) -> Result<Option<SegmentReader>, ReadError> {
        match SegmentReader::open(&*self.disk, &self.dir, id, self.store) {
            Ok(reader) => Ok(Some(reader)),
            Err(ReadError::Open { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// The segments by number.
    pub(super) fn segments(&self) -> Result<Vec<SegmentId>, PositionError> {
        let listing = list(&*self.disk, &self.dir)?;
        if listing.segments.is_empty() {
            return Err(PositionError::NoJournal {
                dir: self.dir.clone(),
            });
        }
        Ok(listing.segments.iter().map(|entry| entry.id).collect())
    }

    /// The first LSN that is left.
    pub(super) fn oldest(&self) -> Result<Lsn, PositionError> {
        for _ in 0..RETRIES {
            let Some(first) = self.segments()?.first().copied() else {
                continue;
            };
            // A live writer may have purged it between the two looks.
            if let Some(reader) = self.open(first)? {
                match reader.header() {
                    Ok(header) => return Ok(header.first_lsn),
                    Err(fault) if self.open(first)?.is_some() => {
                        return Err(unusable(first, Lsn::FIRST, fault.clone()));
                    }
                    Err(_) => {}
                }
            }
        }
        Err(self.restless())
    }

    /// The answer when segments go away faster than they can be looked at.
    pub(super) fn restless(&self) -> PositionError {
        PositionError::Read(ReadError::List {
            dir: self.dir.clone(),
            source: io::Error::other("segments are purged faster than they can be read"),
        })
    }
}

/// The answer to a header that is not usable.
pub(super) fn unusable(segment: SegmentId, expected: Lsn, fault: HeaderFault) -> PositionError {
    match fault {
        HeaderFault::NewerFormat { .. } => PositionError::NewerFormat { segment, fault },
        fault => PositionError::Damaged {
            expected,
            segment,
            offset_bytes: 0,
            why: PositionFault::Header(fault),
        },
    }
}

/// What lies at a cursor's place.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Met {
    /// The next group, which the cursor has not passed yet.
    Group(GroupHeader),
    /// Nothing that is known to have been durable.
    End,
}

/// Where a file stands in its directory.
enum Standing {
    Named,
    Gone,
    /// What has its name is not it, or cannot be told to be it.
    Other(PositionFault),
}

/// A place in the history.
#[derive(Debug)]
pub(crate) struct Cursor {
    source: Source,
    reader: SegmentReader,
    offset_bytes: u64,
    expected: Expectation,
    /// The group before the place seals the segment: the history goes on in the next one.
    sealed: bool,
    read_ahead_bytes: u64,
}

impl Cursor {
    pub(super) fn new(
        source: Source,
        reader: SegmentReader,
        offset_bytes: u64,
        expected: Expectation,
    ) -> Self {
        Cursor {
            source,
            reader,
            offset_bytes,
            expected,
            sealed: false,
            read_ahead_bytes: WINDOW_BYTES,
        }
    }

    /// Says that the group before the place seals its segment.
    pub(super) fn set_sealed(&mut self) {
        self.sealed = true;
    }

    /// A second cursor at the same place, with a file and a buffer of its own; `None` if the segment
    /// is gone.
    pub(super) fn another(&self) -> Result<Option<Cursor>, ReadError> {
        let Some(reader) = self.source.open(self.reader.id())? else {
            return Ok(None);
        };
        Ok(Some(Cursor {
            source: self.source.clone(),
            reader,
            offset_bytes: self.offset_bytes,
            expected: self.expected,
            sealed: self.sealed,
            read_ahead_bytes: self.read_ahead_bytes,
        }))
    }

    /// The next record's LSN.
    pub(crate) fn next_lsn(&self) -> Lsn {
        self.expected.lsn
    }

    pub(crate) fn segment(&self) -> SegmentId {
        self.reader.id()
    }

    /// The segment's header, if it is usable.
    pub(super) fn header(&self) -> Option<&SegmentHeader> {
        self.reader.header().ok()
    }

    /// Looks at the place. Every record up to `witnessed` is known to have been durable.
    ///
    /// # Errors
    /// [`PositionError`], but for `NotYet`.
    pub(crate) fn look(&mut self, witnessed: Lsn) -> Result<Met, PositionError> {
        for _ in 0..RETRIES {
            if self.sealed {
                if !self.enter_next(witnessed)? {
                    return Ok(Met::End);
                }
                continue;
            }
            self.reader.set_read_ahead(self.read_ahead_bytes);
            let found = self
                .reader
                .group_at(self.offset_bytes, Some(&self.expected))?;
            let why = match found {
                Found::Group(group) => return Ok(Met::Group(group.header)),
                Found::Zero => PositionFault::Zero,
                Found::EndOfFile => PositionFault::EndOfFile,
                Found::Invalid { why, .. } => PositionFault::Group(why),
            };
            // At the end, what comes next comes a page or two at a time.
            self.read_ahead_bytes = PAGE_BYTES;
            match self.standing()? {
                Standing::Named if self.expected.lsn > witnessed => return Ok(Met::End),
                Standing::Named => return Err(self.damaged(why)),
                Standing::Other(why) => return Err(self.damaged(why)),
                Standing::Gone => self.find_again()?,
            }
        }
        Err(self.source.restless())
    }

    /// The group that the last look has met.
    pub(crate) fn held(&self, header: GroupHeader) -> Option<Group<'_>> {
        self.reader.held(self.offset_bytes, header)
    }

    /// Moves behind the group that a look has met.
    pub(crate) fn pass(&mut self, header: &GroupHeader) {
        self.offset_bytes = self
            .offset_bytes
            .saturating_add(u64::from(header.padded_bytes));
        self.expected = Expectation::after(header);
        self.sealed = header.is_seal();
        self.read_ahead_bytes = self.read_ahead_bytes.saturating_mul(2).min(WINDOW_BYTES);
    }

    /// Goes to the next segment; `false` if there is none yet.
    fn enter_next(&mut self, witnessed: Lsn) -> Result<bool, PositionError> {
        let current = self.reader.id();
        let Some(next) = current.next() else {
            return Ok(false);
        };
        let Some(reader) = self.source.open(next)? else {
            return self.explain_no_next(next, witnessed);
        };
        let header = match reader.header() {
            Ok(header) => *header,
            // Purged and being made into another segment while it was read?
            Err(_) if self.source.open(next)?.is_none() => return Ok(true),
            Err(fault) => return Err(unusable(next, self.expected.lsn, fault.clone())),
        };
        let here = Predecessor {
            segment: current,
            last_lsn: before(self.expected.lsn),
            end_offset_bytes: self.offset_bytes,
            chain: self.expected.chain,
        };
        if header.predecessor != Some(here) || header.first_lsn != self.expected.lsn {
            return Err(PositionError::Damaged {
                expected: self.expected.lsn,
                segment: next,
                offset_bytes: 0,
                why: PositionFault::DoesNotJoin,
            });
        }
        self.expected = Expectation::first_of(&header);
        self.reader = reader;
        self.offset_bytes = SEGMENT_HEADER_BYTES;
        self.sealed = false;
        Ok(true)
    }

    /// Why no file has the name of the next segment; `Ok(true)`: look again.
    fn explain_no_next(&self, next: SegmentId, witnessed: Lsn) -> Result<bool, PositionError> {
        let segments = self.source.segments()?;
        let Some(later) = segments.iter().copied().find(|id| *id >= next) else {
            if self.expected.lsn <= witnessed {
                return Err(self.missing(next));
            }
            return Ok(false);
        };
        if later == next {
            return Ok(true);
        }
        // Whole segments are purged from the oldest on, so one in the middle was not purged.
        if segments.first() != Some(&later) {
            return Err(self.missing(next));
        }
        Err(PositionError::Gone {
            asked: self.expected.lsn,
            oldest: self.source.oldest()?,
        })
    }

    /// Finds the place anew after its segment was purged. Only a reader that had nothing left to read
    /// there succeeds.
    fn find_again(&mut self) -> Result<(), PositionError> {
        let expected = self.expected.lsn;
        let oldest = self.source.oldest()?;
        if expected < oldest {
            return Err(PositionError::Gone {
                asked: expected,
                oldest,
            });
        }
        *self = super::locate(&self.source, expected, Lsn::ZERO)?.cursor;
        Ok(())
    }

    fn standing(&self) -> Result<Standing, ReadError> {
        let id = self.reader.id();
        let Some(now) = self.source.open(id)? else {
            return Ok(Standing::Gone);
        };
        if now.header() == self.reader.header() {
            return Ok(Standing::Named);
        }
        // It may have lost its name and its header between the two.
        if self.source.open(id)?.is_none() {
            return Ok(Standing::Gone);
        }
        Ok(Standing::Other(match now.header() {
            Ok(_) => PositionFault::Replaced,
            Err(fault) => PositionFault::Header(fault.clone()),
        }))
    }

    fn damaged(&self, why: PositionFault) -> PositionError {
        PositionError::Damaged {
            expected: self.expected.lsn,
            segment: self.reader.id(),
            offset_bytes: self.offset_bytes,
            why,
        }
    }

    fn missing(&self, segment: SegmentId) -> PositionError {
        PositionError::Damaged {
            expected: self.expected.lsn,
            segment,
            offset_bytes: 0,
            why: PositionFault::Missing,
        }
    }
}

/// The LSN before `lsn`.
pub(super) fn before(lsn: Lsn) -> Lsn {
    Lsn::new(lsn.get().saturating_sub(1))
}
