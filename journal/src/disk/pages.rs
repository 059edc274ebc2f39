//! `Pages`: whole pages of memory that start at a page, as a write around the page cache needs them.

use std::fmt;

use crate::format::PAGE_BYTES;

const PAGE: usize = PAGE_BYTES as usize;

/// A buffer of whole pages of 4096 bytes, aligned to 4096. Its allocation can be used again.
#[derive(Default)]
pub struct Pages {
    /// One page longer than what it can hold, so that an aligned start lies in it; never grown in
    /// place, since growing would move it.
    bytes: Vec<u8>,
    start: usize,
    length: usize,
}

impl Pages {
    /// Makes the buffer `pages` long. What is in it is zeros or what was there before.
    pub fn resize(&mut self, pages: usize) {
        let length = pages.saturating_mul(PAGE);
        if self.bytes.len() < length.saturating_add(PAGE) {
            // Zeroed by the allocator, which has zero pages at hand.
            self.bytes = vec![0; length.saturating_add(PAGE)];
            self.start = self.bytes.as_ptr().align_offset(PAGE);
        }
        self.length = length;
    }

    /// The whole buffer.
    pub fn as_slice(&self) -> &[u8] {
        self.bytes
            .get(self.start..self.start + self.length)
            .unwrap_or_default()
    }

    /// The whole buffer.
    pub fn as_mut_slice(&mut self) -> &mut [u8] {
        self.bytes
            .get_mut(self.start..self.start + self.length)
            .unwrap_or_default()
    }

    /// Length in bytes, a multiple of 4096.
    pub fn len(&self) -> usize {
        self.length
    }

    /// Whether it has no page.
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// Bytes of memory that it holds, used or not.
    pub fn capacity_bytes(&self) -> usize {
        self.bytes.len()
    }
}

impl fmt::Debug for Pages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pages")
            .field("bytes", &self.length)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_length_starts_at_a_page_and_reuse_keeps_the_allocation() {
        let mut pages = Pages::default();
        assert!(pages.is_empty());
        for count in [1, 7, 64, 3, 64] {
            pages.resize(count);
            assert_eq!(pages.len(), count * PAGE);
            assert_eq!(pages.as_mut_slice().len(), count * PAGE);
            assert!(pages.as_slice().as_ptr().addr().is_multiple_of(PAGE));
        }
        let before = pages.as_slice().as_ptr();
        pages.resize(2);
        pages.resize(64);
        assert_eq!(pages.as_slice().as_ptr(), before);
    }
}
