//! Reading ahead: the groups of a segment in batches, which any thread may verify.
//!
//! [`AheadReader`] reads in large pieces and looks at group headers only, to know where the next
//! group begins; [`AheadBatch::verify`] then computes the checksums of pages and records, on whichever
//! thread has time. So one thread can keep the device busy while others compute.
//!
//! An accelerator and no more: it stops without a word at the first place that is not a group, and
//! whoever uses it looks at that place again through [`SegmentReader`]. Not for a segment that is
//! being written. Not here: threads, and what follows what ([`Expectation`](crate::Expectation)).

use std::io;
use std::sync::Arc;

use super::{PAGE, SegmentReader};
use crate::disk::DiskFile;
use crate::format::SEGMENT_HEADER_BYTES;
use crate::group::{self, Group, GroupContext, GroupHeader};
use crate::ids::SegmentId;

/// Bytes that are read at once. Larger pieces gain nothing, and these stay in the processor's cache
/// until they are verified.
const BLOCK_BYTES: u64 = 1024 * 1024;

/// Reads a segment's groups in order, unverified.
#[derive(Debug)]
pub struct AheadReader {
    file: Arc<dyn DiskFile>,
    context: GroupContext,
    segment: SegmentId,
    end_bytes: u64,
    /// Where the pending bytes lie.
    offset_bytes: u64,
    /// What was read behind the last whole group: `pending[..pending_bytes]`.
    pending: Vec<u8>,
    pending_bytes: usize,
    ended: bool,
}

/// Some whole groups, one behind the other.
#[derive(Debug)]
pub struct AheadBatch {
    segment: SegmentId,
    offset_bytes: u64,
    bytes: Vec<u8>,
    headers: Vec<GroupHeader>,
    context: GroupContext,
    verified: usize,
}

impl SegmentReader {
    /// A second hand on the same open file that reads ahead from the first group on; `None` without
    /// a usable header.
    pub fn ahead(&self) -> Option<AheadReader> {
        let context = self.context().ok()?;
        self.file.will_read_in_order();
        Some(AheadReader {
            file: Arc::clone(&self.file),
            end_bytes: self.file_bytes.min(context.file_bytes()),
            context,
            segment: self.id,
            offset_bytes: SEGMENT_HEADER_BYTES,
            pending: Vec::new(),
            pending_bytes: 0,
            ended: false,
        })
    }
}

impl AheadReader {
    /// The next groups; `None` at the first place that is not a group. `spare` is a buffer to use,
    /// for example that of a batch that is done with.
    ///
    /// # Errors
    /// What the operating system said. Reading on gives `None`.
    pub fn next_batch(&mut self, spare: Vec<u8>) -> io::Result<Option<AheadBatch>> {
        let mut headers = Vec::new();
        let mut walked = 0;
        // More than one turn only for a group that is larger than a block; its header, which
        // verifies, bounds it.
        while headers.is_empty() && !self.ended {
            self.read_block().inspect_err(|_| self.ended = true)?;
            walked = self.walk(walked, &mut headers);
        }
        if headers.is_empty() {
            return Ok(None);
        }
        let mut rest = spare;
        let tail = self
            .pending
            .get(walked..self.pending_bytes)
            .unwrap_or_default();
        grow(&mut rest, tail.len());
        if let Some(target) = rest.get_mut(..tail.len()) {
            target.copy_from_slice(tail);
        }
        let rest_bytes = tail.len();
        let batch = AheadBatch {
            segment: self.segment,
            offset_bytes: self.offset_bytes,
            bytes: std::mem::replace(&mut self.pending, rest),
            headers,
            context: self.context,
            verified: 0,
        };
        self.pending_bytes = rest_bytes;
        self.offset_bytes += walked as u64;
        Ok(Some(batch))
    }

    /// Appends the next block to the pending bytes. At the end of the segment nothing more comes.
    fn read_block(&mut self) -> io::Result<()> {
        let have = self.pending_bytes as u64;
        let at = self.offset_bytes.saturating_add(have);
        let left = self.end_bytes.saturating_sub(at);
        let bytes = BLOCK_BYTES.min(left);
        if bytes == 0 {
            self.ended = true;
            return Ok(());
        }
        let from = self.pending_bytes;
        let to = from + bytes as usize;
        grow(&mut self.pending, to);
        if let Some(target) = self.pending.get_mut(from..to) {
            self.file.read_exact_at(at, target)?;
        }
        self.pending_bytes = to;
        Ok(())
    }

    /// Steps over the whole groups that are pending from `walked` on.
    fn walk(&mut self, mut walked: usize, headers: &mut Vec<GroupHeader>) -> usize {
        loop {
            let rest = self
                .pending
                .get(walked..self.pending_bytes)
                .unwrap_or_default();
            if rest.len() < PAGE {
                return walked;
            }
            let at = self.offset_bytes + walked as u64;
            let Ok(header) = group::decode_header(rest, at, &self.context) else {
                self.ended = true;
                return walked;
            };
            let padded = header.padded_bytes as usize;
            if padded > rest.len() {
                return walked;
            }
            walked += padded;
            let sealed = header.is_seal();
            headers.push(header);
            if sealed {
                self.ended = true;
                return walked;
            }
        }
    }
}

/// Makes the buffer at least `bytes` long. A buffer that was used before is not zeroed again.
fn grow(buffer: &mut Vec<u8>, bytes: usize) {
    if buffer.len() < bytes {
        buffer.resize(bytes.max(BLOCK_BYTES as usize), 0);
    }
}

impl AheadBatch {
    /// The segment that it was read from.
    pub fn segment(&self) -> SegmentId {
        self.segment
    }

    /// Computes every checksum of pages and records, up to the first that does not match.
    pub fn verify(&mut self) {
        let mut at = 0usize;
        let mut verified = 0;
        for header in &self.headers {
            let offset_bytes = self.offset_bytes + at as u64;
            let bytes = self.bytes.get(at..).unwrap_or_default();
            let good = group::decode_body(bytes, offset_bytes, &self.context, *header)
                .is_ok_and(|group| group.verify_records().is_ok());
            if !good {
                break;
            }
            verified += 1;
            at += header.padded_bytes as usize;
        }
        self.verified = verified;
    }

    /// Whether every group in it verified.
    pub fn is_whole(&self) -> bool {
        self.verified == self.headers.len()
    }

    /// The groups that verified, in order.
    pub fn groups(&self) -> impl Iterator<Item = Group<'_>> {
        let mut at = 0usize;
        self.headers.iter().take(self.verified).map(move |header| {
            let offset_bytes = self.offset_bytes + at as u64;
            let bytes = self.bytes.get(at..).unwrap_or_default();
            at += header.padded_bytes as usize;
            Group::verified(*header, offset_bytes, bytes, &self.context).with_verified_records()
        })
    }

    /// The buffer, for the next batch.
    pub fn into_buffer(self) -> Vec<u8> {
        self.bytes
    }
}
