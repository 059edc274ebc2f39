//! Groups that verify on their own, found by looking at every page of a segment.

use super::{Looked, SegmentReader};
use crate::error::ReadError;
use crate::format::PAGE_BYTES;
use crate::group::GroupHeader;

/// A group that verifies on its own, found by looking at every page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScannedGroup {
    /// Where it starts in the segment file.
    pub offset_bytes: u64,
    /// What it says about itself.
    pub header: GroupHeader,
}

/// See [`SegmentReader::tail_scan`]. Ends after the first `Err`.
#[derive(Debug)]
pub struct TailScan<'r> {
    pub(super) reader: &'r mut SegmentReader,
    pub(super) next_offset_bytes: Option<u64>,
    pub(super) used_end_bytes: Option<u64>,
}

impl TailScan<'_> {
    /// Where the last whole page that is not all zero ends, of those looked at so far; `None` if
    /// there was none.
    pub fn used_end_bytes(&self) -> Option<u64> {
        self.used_end_bytes
    }
}

impl Iterator for TailScan<'_> {
    type Item = Result<ScannedGroup, ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        let context = self.reader.context().ok()?;
        while let Some(offset_bytes) = self.next_offset_bytes {
            self.next_offset_bytes = None;
            if !self.reader.has_page(offset_bytes, context.file_bytes()) {
                return None;
            }
            match self.reader.look(offset_bytes, &context) {
                Err(error) => return Some(Err(error)),
                Ok(Looked::Zero) => {
                    self.next_offset_bytes = offset_bytes.checked_add(PAGE_BYTES);
                }
                Ok(Looked::Bad(_)) => {
                    self.next_offset_bytes = offset_bytes.checked_add(PAGE_BYTES);
                    self.used_end_bytes = self.next_offset_bytes;
                }
                Ok(Looked::Good(header)) => {
                    self.next_offset_bytes =
                        offset_bytes.checked_add(u64::from(header.padded_bytes));
                    self.used_end_bytes = self.next_offset_bytes;
                    return Some(Ok(ScannedGroup {
                        offset_bytes,
                        header,
                    }));
                }
            }
        }
        None
    }
}
