//! `Follower`: reads what becomes durable, inside the writer's process, and is woken when more does.
//!
//! It reads the files like any reader and knows one thing that no reader outside knows: how far the
//! journal is durable. It never reads past that, and what it does not find before that is damage. Its
//! place is pinned, so no purge overtakes it, unless somebody revokes the pin. Not here: how records
//! are found (`read`), how the durable position is published (`writer::watch`).

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::error::Poison;
use crate::group::GroupHeader;
use crate::ids::RecordKind;
use crate::lsn::Lsn;
use crate::pin::{Pin, PinKind};
use crate::read::{
    Batch, Cursor, Met, PositionError, PositionFault, Source, after, holds_any, locate,
};
use crate::record::RecordRef;
use crate::writer::Journal;
use crate::writer::watch::{Ended, SyncedWatch, Waited};

/// What a follower met.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Followed<'a> {
    /// The next durable records.
    Batch(Batch<'a>),
    /// Nothing became durable in the time given.
    TimedOut,
    /// A [`StopHandle`] told the follower to stop; every later call says so too.
    Stopped,
    /// The journal was closed, and everything in it was delivered.
    Closed,
}

/// Why a follower does not go on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FollowError {
    /// The journal failed. Everything that was acknowledged was delivered before; what lies behind it
    /// is known after reopening.
    #[error("journal is poisoned, reopen it")]
    Poisoned(#[source] Arc<Poison>),
    /// The next record cannot be read. [`PositionError::Gone`] happens only after the follower's pin
    /// was revoked.
    #[error("cannot read what follows")]
    Position(#[from] PositionError),
}

impl FollowError {
    /// Stable lower-case name.
    pub const fn code(&self) -> &'static str {
        match self {
            FollowError::Poisoned(_) => "poisoned",
            FollowError::Position(error) => error.code(),
        }
    }
}

/// A record with a payload of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnedRecord {
    /// Its position in the journal.
    pub lsn: Lsn,
    /// What the payload is.
    pub kind: RecordKind,
    /// The caller's own tag.
    pub tag: u32,
    /// The bytes as they were appended.
    pub payload: Vec<u8>,
}

impl From<RecordRef<'_>> for OwnedRecord {
    fn from(record: RecordRef<'_>) -> Self {
        OwnedRecord {
            lsn: record.lsn,
            kind: record.kind,
            tag: record.tag,
            payload: record.payload.to_vec(),
        }
    }
}

/// Makes a [`Follower`] stop, from any thread.
#[derive(Clone)]
pub struct StopHandle {
    stop: Arc<AtomicBool>,
    watch: Arc<SyncedWatch>,
}

impl StopHandle {
    /// Wakes the follower if it sleeps. Stopping twice is fine.
    pub fn stop(&self) {
        self.stop.store(true, Ordering::SeqCst);
        self.watch.wake();
    }
}

impl fmt::Debug for StopHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StopHandle")
            .field("stop", &self.stop)
            .finish_non_exhaustive()
    }
}

/// Reads durable records in order, and waits for more. See [`Journal::follow`].
///
/// It neither keeps the journal open nor hinders it: it ends when the journal is closed or dropped.
#[derive(Debug)]
pub struct Follower {
    source: Source,
    watch: Arc<SyncedWatch>,
    stop: Arc<AtomicBool>,
    pin: Pin,
    /// Found when the first record is there to be read.
    cursor: Option<Cursor>,
    /// The group at the cursor, if it was delivered; passed by the next call.
    delivered: Option<GroupHeader>,
    next_lsn: Lsn,
}

impl Follower {
    /// The next durable records, at once if there are any. Otherwise sleeps until there are, or for
    /// `timeout`, or as long as it takes. The records before them are not pinned any more.
    ///
    /// # Errors
    /// [`FollowError`]. A later call looks again at the same place.
    pub fn next_batch(&mut self, timeout: Option<Duration>) -> Result<Followed<'_>, FollowError> {
        // A revoked pin is no reason to stop as long as the records are there.
        let _ = self.pin.advance(self.next_lsn);
        let mut wanted = self.next_lsn;
        loop {
            match self.watch.wait(wanted, timeout, &self.stop) {
                Waited::Reached => {}
                Waited::Stopped => return Ok(Followed::Stopped),
                Waited::TimedOut => return Ok(Followed::TimedOut),
                Waited::Ended(Ended::Closed) => return Ok(Followed::Closed),
                Waited::Ended(Ended::Poisoned(poison)) => {
                    return Err(FollowError::Poisoned(poison));
                }
            }
            let header = self.find()?;
            // A group is delivered whole, so all of it has to be durable.
            if header.last_lsn() <= self.watch.synced() {
                return self.deliver(header);
            }
            wanted = header.last_lsn();
        }
    }

    /// Goes to the group that holds the next record, which is durable.
    fn find(&mut self) -> Result<GroupHeader, PositionError> {
        let synced = self.watch.synced();
        let cursor = match &mut self.cursor {
            Some(cursor) => cursor,
            None => {
                let located = locate(&self.source, self.next_lsn, synced)?;
                self.cursor.insert(located.cursor)
            }
        };
        if let Some(delivered) = self.delivered.take() {
            cursor.pass(&delivered);
        }
        loop {
            match cursor.look(synced)? {
                Met::Group(header) if holds_any(&header, self.next_lsn) => return Ok(header),
                Met::Group(header) => cursor.pass(&header),
                // Up to `synced` a look finds a group or says why not.
                Met::End => {
                    return Err(PositionError::NotYet {
                        asked: self.next_lsn,
                        end: synced,
                    });
                }
            }
        }
    }

    fn deliver(&mut self, header: GroupHeader) -> Result<Followed<'_>, FollowError> {
        let from = std::mem::replace(&mut self.next_lsn, after(&header));
        self.delivered = Some(header);
        let group = self.cursor.as_ref().and_then(|cursor| {
            let group = cursor.held(header)?;
            Some(Batch::new(group, cursor.segment(), from, true))
        });
        // The look that found the group has left it in the buffer.
        Ok(group.map_or(Followed::TimedOut, Followed::Batch))
    }

    /// The next record's LSN: that of the first one not delivered yet. It is pinned.
    pub fn next_lsn(&self) -> Lsn {
        self.next_lsn
    }

    /// Whether somebody revoked the follower's pin: then a purge may overtake it.
    pub fn is_revoked(&self) -> bool {
        self.pin.lsn().is_none()
    }

    /// A handle that stops this follower.
    pub fn stop_handle(&self) -> StopHandle {
        StopHandle {
            stop: Arc::clone(&self.stop),
            watch: Arc::clone(&self.watch),
        }
    }
}

impl Journal {
    /// Follows the durable records from `from` on, the ones that are there and the ones to come.
    /// `holder` tells an operator whose it is in [`Journal::pins`].
    ///
    /// # Durability
    /// Only durable records are delivered. The place is pinned in memory: who goes on after a restart
    /// keeps its own place durable, and pins it anew before the first purge.
    ///
    /// # Errors
    /// [`PositionError::Gone`] if `from` was purged, [`PositionError::NotYet`] if it lies behind the
    /// next record to come.
    pub fn follow(&self, from: Lsn, holder: &str) -> Result<Follower, PositionError> {
        let from = from.max(Lsn::FIRST);
        let appended = self.appended();
        if appended.next().is_some_and(|next| from > next) {
            return Err(PositionError::NotYet {
                asked: from,
                end: appended,
            });
        }
        let pin = self.take_pin(from, PinKind::Follower, holder);
        Ok(Follower {
            source: self.source(),
            watch: self.watch(),
            stop: Arc::new(AtomicBool::new(false)),
            pin: pin.map_err(|error| PositionError::from_pin(error, from))?,
            cursor: None,
            delivered: None,
            next_lsn: from,
        })
    }

    /// The durable record at `lsn`, found with a number of reads that grows with the logarithm of the
    /// journal's size. To read many in order, [`Journal::follow`] is faster.
    ///
    /// # Errors
    /// [`PositionError::Gone`] if it was purged, [`PositionError::NotYet`] if it is not durable yet.
    pub fn read(&self, lsn: Lsn) -> Result<OwnedRecord, PositionError> {
        let (oldest, synced) = (self.oldest(), self.synced());
        if lsn < oldest {
            return Err(PositionError::Gone { asked: lsn, oldest });
        }
        if lsn > synced {
            return Err(PositionError::NotYet {
                asked: lsn,
                end: synced,
            });
        }
        let mut cursor = locate(&self.source(), lsn, synced)?.cursor;
        let not_yet = PositionError::NotYet {
            asked: lsn,
            end: synced,
        };
        let Met::Group(header) = cursor.look(synced)? else {
            return Err(not_yet);
        };
        let Some(group) = cursor.held(header) else {
            return Err(not_yet);
        };
        let batch = Batch::new(group, cursor.segment(), lsn, true);
        match batch.records().next() {
            Some(Ok(record)) => Ok(record.into()),
            Some(Err(why)) => Err(PositionError::Damaged {
                expected: lsn,
                segment: batch.segment(),
                offset_bytes: batch.offset_bytes(),
                why: PositionFault::Record(why),
            }),
            None => Err(not_yet),
        }
    }
}
