//! Bytes that cannot be read at any place, as a nameless file that can: what zstd packed, and what comes
//! through a pipe.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::os::unix::fs::FileExt;

use ruzstd::decoding::StreamingDecoder;
use ruzstd::decoding::errors::{FrameDecoderError, ReadFrameHeaderError};

use super::slice::Slice;

/// Bytes that are taken at a time.
const BLOCK_BYTES: usize = 256 * 1024;
/// What a frame of zstd begins with.
const MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];
/// A frame that may ask for more memory is refused.
const WINDOW_BYTES_MAX: u64 = 128 * 1024 * 1024;

/// Whether bytes are packed by zstd, as their first ones tell.
pub(super) fn is_packed(first: &[u8]) -> bool {
    first.starts_with(&MAGIC)
}

/// All bytes of `source`, unpacked if they are packed.
///
/// # Errors
/// `InvalidData` for what no zstd packed, or for more than `bytes_max`; else what the operating system said.
pub(super) fn spool(source: &mut dyn Read, bytes_max: u64) -> io::Result<Slice> {
    let mut source = BufReader::with_capacity(BLOCK_BYTES, source);
    let mut to = Spool::new(bytes_max)?;
    // A pipe may give a few bytes at first.
    let mut first = [0; MAGIC.len()];
    let found = fill(&mut source, &mut first)?;
    let first = first.get(..found).unwrap_or_default();
    let mut source = io::Read::chain(first, source);
    match is_packed(first) {
        true => unpack(&mut source, &mut to)?,
        false => to.take(&mut source)?,
    }
    to.end()
}

fn fill(source: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while let Some(rest) = buffer.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match source.read(rest) {
            Ok(0) => break,
            Ok(bytes) => filled += bytes,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

/// One frame after the other.
fn unpack(source: &mut impl BufRead, to: &mut Spool) -> io::Result<()> {
    while !source.fill_buf()?.is_empty() {
        match StreamingDecoder::new_with_max_window_size(&mut *source, WINDOW_BYTES_MAX) {
            Ok(mut frame) => {
                to.take(&mut frame)?;
                let frame = frame.into_frame_decoder();
                let (stated, computed) = (
                    frame.get_checksum_from_data(),
                    frame.get_calculated_checksum(),
                );
                if stated.is_some() && stated != computed {
                    return Err(invalid("the checksum of the packed bytes differs"));
                }
            }
            Err(FrameDecoderError::ReadFrameHeaderError(ReadFrameHeaderError::SkipFrame {
                length,
                ..
            })) => {
                let mut skipped = io::Read::take(&mut *source, length.into());
                io::copy(&mut skipped, &mut io::sink())?;
            }
            Err(error) => return Err(invalid(&error.to_string())),
        }
    }
    Ok(())
}

fn invalid(why: &str) -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidData,
        format!("cannot be unpacked: {why}"),
    )
}

/// A nameless file that grows. Blocks of zeros, of which a segment has many, take no room in it.
struct Spool {
    file: File,
    bytes: u64,
    bytes_max: u64,
    block: Vec<u8>,
}

impl Spool {
    fn new(bytes_max: u64) -> io::Result<Spool> {
        Ok(Spool {
            file: tempfile::tempfile()?,
            bytes: 0,
            bytes_max,
            block: vec![0; BLOCK_BYTES],
        })
    }

    fn take(&mut self, source: &mut impl Read) -> io::Result<()> {
        loop {
            let bytes = fill(source, &mut self.block)?;
            let Some(block) = self.block.get(..bytes).filter(|block| !block.is_empty()) else {
                return Ok(());
            };
            if self.bytes.saturating_add(bytes as u64) > self.bytes_max {
                return Err(invalid(&format!("more than {} bytes", self.bytes_max)));
            }
            if block.iter().any(|byte| *byte != 0) {
                self.file.write_all_at(block, self.bytes)?;
            }
            self.bytes += bytes as u64;
        }
    }

    fn end(self) -> io::Result<Slice> {
        self.file.set_len(self.bytes)?;
        Ok(Slice::new(self.file, self.bytes))
    }
}
