//! The bytes of a simulated file: pages that are shared until they change, and holes.
//!
//! Cloning an image costs one reference count, so that thousands of crash images of one disk share
//! everything that they do not differ in. Not here: which bytes are durable (see `inode`).

use std::sync::Arc;

/// The unit in which a device writes or loses data.
pub(super) const SECTOR_BYTES: usize = 512;
/// The unit in which a file is allocated and shared.
pub(super) const PAGE_BYTES: usize = 4096;

/// One sector's contents.
pub(super) type Sector = [u8; SECTOR_BYTES];
type Page = [u8; PAGE_BYTES];

/// A file's length and contents. Pages that were never written are holes and read as zeros.
///
/// Invariant: bytes of allocated pages at and behind `bytes` are zero.
#[derive(Clone, Debug, Default)]
pub(super) struct Image {
    bytes: u64,
    pages: Arc<Vec<Option<Arc<Page>>>>,
}

/// Splits a byte offset into a unit's number and the offset inside.
fn split(offset: u64, unit_bytes: usize) -> (usize, usize) {
    let unit = unit_bytes as u64;
    let number = usize::try_from(offset / unit).unwrap_or(usize::MAX);
    // Less than `unit_bytes`, which is a usize.
    (number, usize::try_from(offset % unit).unwrap_or(0))
}

impl Image {
    /// Length in bytes.
    pub(super) fn len(&self) -> u64 {
        self.bytes
    }

    /// Sets the length: what is cut off is gone, what is added is a hole.
    pub(super) fn set_len(&mut self, bytes: u64) {
        if bytes < self.bytes {
            let (page, used) = split(bytes, PAGE_BYTES);
            let whole = page + usize::from(used > 0);
            if self.pages.len() > whole {
                Arc::make_mut(&mut self.pages).truncate(whole);
            }
            if used > 0
                && let Some(tail) = self.page_mut(page)
                && let Some(tail) = tail.get_mut(used..)
            {
                tail.fill(0);
            }
        }
        self.bytes = bytes;
    }

    /// The page's bytes for changing, if it is allocated.
    fn page_mut(&mut self, page: usize) -> Option<&mut Page> {
        self.page(page)?;
        Arc::make_mut(&mut self.pages)
            .get_mut(page)?
            .as_mut()
            .map(Arc::make_mut)
    }

    fn page(&self, page: usize) -> Option<&Page> {
        self.pages.get(page)?.as_deref()
    }

    /// Fills `buffer` from `offset`; behind the end and in holes there are zeros.
    pub(super) fn read(&self, offset: u64, buffer: &mut [u8]) {
        let mut at = offset;
        let mut rest = buffer;
        while !rest.is_empty() {
            let (page, start) = split(at, PAGE_BYTES);
            let (piece, after) = rest.split_at_mut(rest.len().min(PAGE_BYTES - start));
            match self
                .page(page)
                .and_then(|page| page.get(start..start + piece.len()))
            {
                Some(bytes) => piece.copy_from_slice(bytes),
                None => piece.fill(0),
            }
            at = at.saturating_add(piece.len() as u64);
            rest = after;
        }
    }

    /// One sector's contents.
    pub(super) fn sector(&self, sector: u64) -> Sector {
        let mut bytes = [0; SECTOR_BYTES];
        self.read(sector * SECTOR_BYTES as u64, &mut bytes);
        bytes
    }

    /// Whether the page that holds the sector is not a hole.
    pub(super) fn is_allocated(&self, sector: u64) -> bool {
        self.page(split(sector * SECTOR_BYTES as u64, PAGE_BYTES).0)
            .is_some()
    }

    /// Puts one sector's contents, allocating its page. The caller then sets a length that covers
    /// what is to be seen of it.
    pub(super) fn put_sector(&mut self, sector: u64, bytes: &Sector) {
        let (page, start) = split(sector * SECTOR_BYTES as u64, PAGE_BYTES);
        let pages = Arc::make_mut(&mut self.pages);
        if pages.len() <= page {
            pages.resize(page + 1, None);
        }
        if let Some(slot) = pages.get_mut(page) {
            let page = Arc::make_mut(slot.get_or_insert_with(|| Arc::new([0; PAGE_BYTES])));
            if let Some(target) = page.get_mut(start..start + SECTOR_BYTES) {
                target.copy_from_slice(bytes);
            }
        }
    }

    /// Where the first hole below `bytes` begins.
    pub(super) fn first_hole(&self, bytes: u64) -> Option<u64> {
        let pages = bytes.div_ceil(PAGE_BYTES as u64);
        (0..pages)
            .find(|page| {
                usize::try_from(*page)
                    .ok()
                    .and_then(|page| self.page(page))
                    .is_none()
            })
            .map(|page| page * PAGE_BYTES as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cut_bytes_do_not_come_back_when_the_image_grows_again() {
        let mut image = Image::default();
        image.put_sector(0, &[7; SECTOR_BYTES]);
        image.put_sector(9, &[7; SECTOR_BYTES]);
        image.set_len(5120);
        image.set_len(100);
        image.set_len(8192);
        let mut bytes = vec![1; 8192];
        image.read(0, &mut bytes);
        assert!(bytes[..100].iter().all(|byte| *byte == 7));
        assert!(bytes[100..].iter().all(|byte| *byte == 0));
    }

    #[test]
    fn holes_are_found_page_by_page() {
        let mut image = Image::default();
        image.set_len(12288);
        assert_eq!(image.first_hole(12288), Some(0));
        image.put_sector(0, &[0; SECTOR_BYTES]);
        assert_eq!(image.first_hole(4096), None);
        assert_eq!(image.first_hole(4097), Some(4096));
    }

    #[test]
    fn a_change_to_a_clone_leaves_the_original_alone() {
        let mut image = Image::default();
        image.put_sector(0, &[1; SECTOR_BYTES]);
        image.set_len(512);
        let mut copy = image.clone();
        copy.put_sector(0, &[2; SECTOR_BYTES]);
        assert_eq!(image.sector(0), [1; SECTOR_BYTES]);
        assert_eq!(copy.sector(0), [2; SECTOR_BYTES]);
    }
}
