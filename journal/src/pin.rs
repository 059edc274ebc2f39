//! Pins: who still needs which records, so that purging keeps them.
//!
//! A pin lives in memory and ends with the process: after reopening, whoever needs old records takes
//! its pin anew before anybody purges. How long a pin may hold back how many bytes is for the layer
//! above to decide: it lists the pins with their ages and revokes one that holds back too much.
//! Not here: removing files (the writer's `purge`), reading (`read`).

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::lsn::Lsn;
use crate::sync::{Mutex, MutexGuard};

/// Names a pin while the journal is open; never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PinId(u64);

impl PinId {
    /// The raw number.
    pub const fn get(self) -> u64 {
        self.0
    }
}

impl fmt::Display for PinId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// What kind of holder a pin has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PinKind {
    /// Taken by [`Journal::pin`](crate::Journal::pin).
    Pin,
    /// The place of a [`Follower`](crate::Follower), which moves on as it reads.
    Follower,
}

impl PinKind {
    /// Stable lower-case name.
    pub const fn as_str(self) -> &'static str {
        match self {
            PinKind::Pin => "pin",
            PinKind::Follower => "follower",
        }
    }
}

/// A pin as an operator sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PinInfo {
    /// Which one, for [`Journal::revoke_pin`](crate::Journal::revoke_pin).
    pub id: PinId,
    /// Who holds it, in the holder's own words.
    pub holder: String,
    /// What the holder is.
    pub kind: PinKind,
    /// The oldest record that is needed.
    pub lsn: Lsn,
    /// How long ago it was taken.
    pub age: Duration,
    /// How long ago it was taken or last moved on, whichever is later.
    pub idle: Duration,
}

/// Why a position was not pinned, or a pin not moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PinError {
    /// Records from there on were purged already.
    #[error("LSN {asked} was purged, the oldest record is {oldest}")]
    Gone {
        /// The position asked for.
        asked: Lsn,
        /// The oldest that is left.
        oldest: Lsn,
    },
    /// Somebody revoked the pin; it holds nothing any more.
    #[error("pin {id} was revoked")]
    Revoked {
        /// The pin.
        id: PinId,
    },
}

impl PinError {
    /// Stable lower-case name.
    pub const fn code(&self) -> &'static str {
        match self {
            PinError::Gone { .. } => "gone",
            PinError::Revoked { .. } => "revoked",
        }
    }
}

/// Keeps the records from a position on from being purged, until it is dropped.
///
/// Outlives its [`Journal`](crate::Journal) without harm, and without keeping it open.
#[derive(Debug)]
pub struct Pin {
    pins: Arc<Pins>,
    id: PinId,
}

impl Pin {
    /// Which one it is.
    pub fn id(&self) -> PinId {
        self.id
    }

    /// The oldest record that it keeps; `None` if it was revoked.
    pub fn lsn(&self) -> Option<Lsn> {
        Some(self.pins.lock().held.get(&self.id)?.lsn)
    }

    /// Records before `lsn` are not needed any more. A pin never moves back: an earlier position
    /// changes nothing.
    ///
    /// # Errors
    /// [`PinError::Revoked`].
    pub fn advance(&self, lsn: Lsn) -> Result<(), PinError> {
        let mut pins = self.pins.lock();
        let held = pins.held.get_mut(&self.id);
        let held = held.ok_or(PinError::Revoked { id: self.id })?;
        if lsn > held.lsn {
            held.lsn = lsn;
            held.moved = Instant::now();
        }
        Ok(())
    }
}

impl Drop for Pin {
    fn drop(&mut self) {
        self.pins.lock().held.remove(&self.id);
    }
}

#[derive(Debug)]
struct Held {
    holder: String,
    kind: PinKind,
    lsn: Lsn,
    taken: Instant,
    moved: Instant,
}

/// All pins of one open journal.
#[derive(Debug)]
pub(crate) struct Pins {
    inner: Mutex<PinsInner>,
}

/// Held while a purge decides, so that no pin is taken on what it is about to remove.
#[derive(Debug)]
pub(crate) struct PinsInner {
    held: BTreeMap<PinId, Held>,
    next_id: u64,
    /// No record before this can be pinned: purged, or about to be.
    oldest: Lsn,
}

impl Pins {
    /// No pins, in a journal whose oldest record is `oldest`.
    pub(crate) fn new(oldest: Lsn) -> Self {
        Pins {
            inner: Mutex::new(PinsInner {
                held: BTreeMap::new(),
                next_id: 1,
                oldest,
            }),
        }
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, PinsInner> {
        self.inner.lock()
    }

    /// Takes a pin at `lsn`.
    pub(crate) fn pin(
        self: &Arc<Self>,
        lsn: Lsn,
        kind: PinKind,
        holder: &str,
    ) -> Result<Pin, PinError> {
        let mut pins = self.lock();
        if lsn < pins.oldest {
            return Err(PinError::Gone {
                asked: lsn,
                oldest: pins.oldest,
            });
        }
        let id = PinId(pins.next_id);
        pins.next_id += 1;
        let now = Instant::now();
        pins.held.insert(
            id,
            Held {
                holder: holder.to_owned(),
                kind,
                lsn,
                taken: now,
                moved: now,
            },
        );
        drop(pins);
        Ok(Pin {
            pins: Arc::clone(self),
            id,
        })
    }

    /// Takes a pin away from its holder; whether there was one.
    pub(crate) fn revoke(&self, id: PinId) -> bool {
        self.lock().held.remove(&id).is_some()
    }

    /// All pins, by the position that they hold, then by age.
    pub(crate) fn list(&self) -> Vec<PinInfo> {
        let mut infos: Vec<_> = {
            let pins = self.lock();
            pins.held.iter().map(|(id, held)| info(*id, held)).collect()
        };
        infos.sort_by_key(|info| (info.lsn, info.id));
        infos
    }
}

impl PinsInner {
    /// The oldest record that is left.
    pub(crate) fn oldest(&self) -> Lsn {
        self.oldest
    }

    /// Says that nothing before `lsn` is left, or will be in a moment.
    pub(crate) fn set_oldest(&mut self, lsn: Lsn) {
        self.oldest = lsn;
    }

    /// The pin that needs the oldest record.
    pub(crate) fn first(&self) -> Option<PinInfo> {
        let (id, held) = self.held.iter().min_by_key(|(id, held)| (held.lsn, **id))?;
        Some(info(*id, held))
    }
}

fn info(id: PinId, held: &Held) -> PinInfo {
    PinInfo {
        id,
        holder: held.holder.clone(),
        kind: held.kind,
        lsn: held.lsn,
        age: held.taken.elapsed(),
        idle: held.moved.elapsed(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pin_holds_until_it_is_dropped_moves_only_forward_and_can_be_revoked() {
        let pins = Arc::new(Pins::new(Lsn::new(5)));
        let gone = pins.pin(Lsn::new(4), PinKind::Pin, "late").unwrap_err();
        assert_eq!(gone.code(), "gone");
        let first = pins.pin(Lsn::new(9), PinKind::Pin, "backup").unwrap();
        let second = pins.pin(Lsn::new(7), PinKind::Follower, "cdc").unwrap();
        let holders = |pins: &Pins| -> Vec<_> {
            let listed = pins.list();
            listed
                .into_iter()
                .map(|pin| (pin.holder, pin.lsn.get()))
                .collect()
        };
        assert_eq!(
            holders(&pins),
            [("cdc".to_owned(), 7), ("backup".to_owned(), 9)]
        );
        second.advance(Lsn::new(12)).unwrap();
        second.advance(Lsn::new(8)).unwrap();
        assert_eq!(second.lsn(), Some(Lsn::new(12)));
        assert_eq!(pins.lock().first().unwrap().holder, "backup");
        drop(first);
        assert_eq!(holders(&pins), [("cdc".to_owned(), 12)]);
        assert!(pins.revoke(second.id()));
        assert!(!pins.revoke(second.id()));
        assert_eq!(second.lsn(), None);
        let revoked = second.advance(Lsn::new(13)).unwrap_err();
        assert_eq!((revoked.code(), holders(&pins)), ("revoked", Vec::new()));
    }
}

#[cfg(all(test, shuttle))]
mod schedules {
    use std::sync::atomic::Ordering;

    use shuttle::sync::atomic::AtomicU64;
    use shuttle::thread;

    use super::*;
    use crate::sync::explore;

    /// As a purge decides: under the lock of the pins. It removes after that.
    fn purge(pins: &Pins, below: u64, removed: &AtomicU64) {
        let mut held = pins.lock();
        let first = held.first().map_or(below, |pin| pin.lsn.get().min(below));
        let kept = first.max(held.oldest().get());
        held.set_oldest(Lsn::new(kept));
        drop(held);
        thread::yield_now();
        removed.fetch_max(kept, Ordering::SeqCst);
    }

    #[test]
    fn no_purge_removes_what_is_pinned_and_nobody_pins_what_is_removed() {
        explore(|| {
            let pins = Arc::new(Pins::new(Lsn::new(1)));
            // Records below this are removed.
            let removed = Arc::new(AtomicU64::new(1));
            let holders = [2, 4].map(|lsn| {
                let (pins, removed) = (Arc::clone(&pins), Arc::clone(&removed));
                thread::spawn(move || {
                    let Ok(pin) = pins.pin(Lsn::new(lsn), PinKind::Pin, "test") else {
                        return;
                    };
                    for needed in [lsn, lsn + 1] {
                        pin.advance(Lsn::new(needed)).expect("nobody revokes it");
                        let removed = removed.load(Ordering::SeqCst);
                        assert!(removed <= needed, "{removed} removed, {needed} is needed");
                    }
                })
            });
            let purger = {
                let (pins, removed) = (Arc::clone(&pins), Arc::clone(&removed));
                thread::spawn(move || purge(&pins, 3, &removed))
            };
            purge(&pins, 5, &removed);
            for thread in holders.into_iter().chain([purger]) {
                thread.join().expect("no thread fails");
            }
        });
    }
}
