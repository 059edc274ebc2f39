//! `Newest`: from a walk over versions to one value per key, the newest at or below a sequence.
//!
//! The walk comes in raw order (keys ascending, of each key the newest version first) or exactly
//! reversed. Deleted keys are left out. Store scans and cache scans share it.

use super::{Direction, Value};
use crate::{Key, Sequence};

/// One version of a key on a walk; a value of `None` is a deletion.
pub(crate) type Version = (Key, Sequence, Option<Value>);

/// Adaptor over a walk; after an error it ends.
#[derive(Debug)]
pub(crate) struct Newest<I> {
    /// `None` once the end or an error was met.
    walk: Option<I>,
    sequence: Sequence,
    direction: Direction,
    /// Forward: the key that was decided last; its older versions are skipped. Reverse: the best
    /// version so far of the key that is being walked.
    current: Option<(Key, Option<Value>)>,
}

impl<I, E> Newest<I>
where
    I: Iterator<Item = Result<Version, E>>,
{
    pub(crate) fn new(walk: I, sequence: Sequence, direction: Direction) -> Self {
        Newest {
            walk: Some(walk),
            sequence,
            direction,
            current: None,
        }
    }

    /// Next version at or below the sequence.
    fn next_readable(&mut self) -> Option<Result<(Key, Option<Value>), E>> {
        loop {
            match self.walk.as_mut()?.next() {
                Some(Ok((key, sequence, value))) if sequence <= self.sequence => {
                    return Some(Ok((key, value)));
                }
                Some(Ok(_)) => {}
                Some(Err(error)) => {
                    self.walk = None;
                    self.current = None;
                    return Some(Err(error));
                }
                None => {
                    self.walk = None;
                    return None;
                }
            }
        }
    }

    fn next_forward(&mut self) -> Option<Result<(Key, Value), E>> {
        loop {
            let (key, value) = match self.next_readable()? {
                Ok(version) => version,
                Err(error) => return Some(Err(error)),
            };
            if self.current.as_ref().is_some_and(|(seen, _)| *seen == key) {
                continue;
            }
            self.current = Some((key.clone(), None));
            if let Some(value) = value {
                return Some(Ok((key, value)));
            }
        }
    }

    fn next_reverse(&mut self) -> Option<Result<(Key, Value), E>> {
        loop {
            // Oldest version first here, so the last one of a key is the newest.
            let finished = match self.next_readable() {
                Some(Ok((key, value))) => match self.current.replace((key.clone(), value)) {
                    Some((before, _)) if before == key => None,
                    before => before,
                },
                Some(Err(error)) => return Some(Err(error)),
                None => Some(self.current.take()?),
            };
            if let Some((key, Some(value))) = finished {
                return Some(Ok((key, value)));
            }
        }
    }
}

impl<I, E> Iterator for Newest<I>
where
    I: Iterator<Item = Result<Version, E>>,
{
    type Item = Result<(Key, Value), E>;

    fn next(&mut self) -> Option<Self::Item> {
        match self.direction {
            Direction::Forward => self.next_forward(),
            Direction::Reverse => self.next_reverse(),
        }
    }
}
