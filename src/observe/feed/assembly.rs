//! Whole changes out of records that hold parts of them.
//!
//! Not here: which records of which region (`cursor`).

use crate::codec::{self, CodecError};
use crate::observe::{Change, EntryHead, EntryPart};

/// Puts the parts of one region's entries together.
#[derive(Debug, Default)]
pub(super) struct Assembly {
    /// The entry and the number of the next part, if one is under way.
    expected: Option<(u64, u32)>,
    /// The beginning of a change that was cut.
    leftover: Vec<u8>,
    /// The place of the next change in the entry.
    sub: u32,
}

impl Assembly {
    /// The whole changes that end in this part, with the place of the first; none if the part is not the
    /// next of its entry, as a crash leaves them.
    ///
    /// # Errors
    /// The bytes are no changes.
    pub(super) fn take(
        &mut self,
        head: &EntryHead,
        part: EntryPart,
        bytes: &[u8],
    ) -> Result<Option<(u32, Vec<Change>)>, CodecError> {
        if part.number == 0 {
            (self.sub, self.expected) = (0, Some((head.position.index, 0)));
            self.leftover.clear();
        }
        if self.expected != Some((head.position.index, part.number)) {
            self.expected = None;
            return Ok(None);
        }
        let first = self.sub;
        let mut changes = Vec::new();
        // Only a change that was cut is copied.
        let joined = match self.leftover.is_empty() {
            true => None,
            false => {
                self.leftover.extend_from_slice(bytes);
                Some(std::mem::take(&mut self.leftover))
            }
        };
        let mut rest = joined.as_deref().unwrap_or(bytes);
        while !rest.is_empty() {
            match codec::take_change(&mut rest) {
                Ok(change) => changes.push(change),
                Err(error) if part.is_last => return Err(error),
                // It goes on in the next part.
                Err(_) => break,
            }
        }
        self.leftover = rest.to_vec();
        self.sub = self
            .sub
            .saturating_add(u32::try_from(changes.len()).unwrap_or(u32::MAX));
        self.expected = match part.is_last {
            true => None,
            false => Some((head.position.index, part.number.saturating_add(1))),
        };
        Ok(Some((first, changes)))
    }
}
