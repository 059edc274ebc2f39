//! The frames of a snapshot file as bytes: header, chunks, trailer. `docs/FORMAT.md` has the page.
//!
//! ```text
//! file    = header chunk* trailer
//! header  = "TORRSNAP" format:u16 0:u16 meta_bytes:u32 crc:u32 meta
//! chunk   = "CHNK" number:u32 payload_bytes:u32 rows:u32 crc:u32 row*
//! row     = cf:u8 key_bytes:u32 value_bytes:u32 key value
//! trailer = "TAIL" chunks:u32 rows:u64 payload_bytes:u64 crc:u32
//! ```
//!
//! Little-endian. A chunk's checksum starts from the header's, so that a chunk of another snapshot
//! is not taken for one of this; the trailer's covers every byte before it.

use torrens_journal::planted;

use super::SnapshotFault;
use super::meta::META_BYTES_MAX;
use crate::{ColumnFamily, Region, WriteBatch};

pub(super) const MAGIC: [u8; 8] = *b"TORRSNAP";
pub(super) const FORMAT: u16 = 1;
pub(super) const CHUNK_MAGIC: [u8; 4] = *b"CHNK";
pub(super) const TRAILER_MAGIC: [u8; 4] = *b"TAIL";

/// Magic, format, reserved, length of the meta, checksum.
pub(super) const HEADER_BYTES: usize = 8 + 2 + 2 + 4 + 4;
/// Magic, number, payload length, rows, checksum.
pub(super) const CHUNK_HEADER_BYTES: usize = 4 * 5;
/// Column family and two lengths.
pub(super) const ROW_HEADER_BYTES: usize = 1 + 4 + 4;
/// Magic, chunks, rows, payload bytes, checksum.
pub(super) const TRAILER_BYTES: usize = 4 + 4 + 8 + 8 + 4;

/// Most payload bytes of a chunk with more than one row.
pub const CHUNK_PAYLOAD_BYTES_MAX: usize = 64 * 1024;
/// Longest row with its header, in bytes; a chunk of one row may be that long.
pub const ROW_BYTES_MAX: usize =
    ROW_HEADER_BYTES + Region::KEY_BYTES_MAX + WriteBatch::VALUE_BYTES_MAX;

/// The file's header, and its checksum, which salts those of the chunks.
pub(super) fn header(meta: &[u8]) -> (Vec<u8>, u32) {
    let mut bytes = Vec::with_capacity(HEADER_BYTES + meta.len());
    bytes.extend_from_slice(&MAGIC);
    bytes.extend_from_slice(&FORMAT.to_le_bytes());
    bytes.extend_from_slice(&[0; 2]);
    bytes.extend_from_slice(&(meta.len() as u32).to_le_bytes());
    let checksum = header_checksum(&bytes, meta);
    bytes.extend_from_slice(&checksum.to_le_bytes());
    bytes.extend_from_slice(meta);
    (bytes, checksum)
}

/// Over everything of the header but the checksum itself.
pub(super) fn header_checksum(before: &[u8], meta: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(before);
    hasher.update(meta);
    hasher.finalize()
}

/// Length of the meta that a header declares.
pub(super) fn header_meta_bytes(header: &[u8; HEADER_BYTES]) -> Result<usize, SnapshotFault> {
    let mut fields = Words { rest: header };
    if fields.take::<8>() != MAGIC {
        return Err(SnapshotFault::NotASnapshot);
    }
    let format = u16::from_le_bytes(fields.take());
    if format > FORMAT {
        return Err(SnapshotFault::Unsupported {
            found: format,
            supported: FORMAT,
        });
    }
    if format != FORMAT {
        return Err(SnapshotFault::BadHeader { field: "format" });
    }
    if fields.take::<2>() != [0; 2] {
        return Err(SnapshotFault::BadHeader { field: "reserved" });
    }
    let declared = fields.u32();
    if declared as usize > META_BYTES_MAX {
        return Err(SnapshotFault::TooLong {
            what: "header",
            offset: 0,
            declared: declared.into(),
            max: META_BYTES_MAX as u64,
        });
    }
    Ok(declared as usize)
}

/// A chunk's header, or the first bytes of a trailer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ChunkHeader {
    pub(super) number: u32,
    pub(super) payload_bytes: u32,
    pub(super) rows: u32,
    pub(super) checksum: u32,
}

impl ChunkHeader {
    /// The header of a chunk, checksummed.
    pub(super) fn of(salt: u32, number: u32, rows: u32, payload: &[u8]) -> ChunkHeader {
        let mut header = ChunkHeader {
            number,
            payload_bytes: payload.len() as u32,
            rows,
            checksum: 0,
        };
        header.checksum = header.computed_checksum(salt, payload);
        header
    }

    pub(super) fn encode(&self) -> [u8; CHUNK_HEADER_BYTES] {
        let mut bytes = [0; CHUNK_HEADER_BYTES];
        let words = [
            CHUNK_MAGIC,
            self.number.to_le_bytes(),
            self.payload_bytes.to_le_bytes(),
            self.rows.to_le_bytes(),
            self.checksum.to_le_bytes(),
        ];
        for (slot, word) in bytes.chunks_exact_mut(4).zip(words) {
            slot.copy_from_slice(&word);
        }
        bytes
    }

    /// Reads what follows the magic.
    pub(super) fn decode(after_magic: &[u8; CHUNK_HEADER_BYTES - 4]) -> ChunkHeader {
        let mut fields = Words { rest: after_magic };
        ChunkHeader {
            number: fields.u32(),
            payload_bytes: fields.u32(),
            rows: fields.u32(),
            checksum: fields.u32(),
        }
    }

    pub(super) fn computed_checksum(&self, salt: u32, payload: &[u8]) -> u32 {
        let mut hasher = crc32fast::Hasher::new();
        hasher.update(&salt.to_le_bytes());
        hasher.update(&self.number.to_le_bytes());
        hasher.update(&self.payload_bytes.to_le_bytes());
        hasher.update(&self.rows.to_le_bytes());
        hasher.update(payload);
        hasher.finalize()
    }
}

/// What the trailer counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) chunks: u32,
    pub(super) rows: u64,
    pub(super) payload_bytes: u64,
}

impl Counts {
    /// The trailer without its checksum.
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(TRAILER_BYTES);
        bytes.extend_from_slice(&TRAILER_MAGIC);
        bytes.extend_from_slice(&self.chunks.to_le_bytes());
        bytes.extend_from_slice(&self.rows.to_le_bytes());
        bytes.extend_from_slice(&self.payload_bytes.to_le_bytes());
        bytes
    }

    /// Reads the trailer's counts and checksum behind its magic.
    pub(super) fn decode(after_magic: &[u8; TRAILER_BYTES - 4]) -> (Counts, u32) {
        let mut fields = Words { rest: after_magic };
        let counts = Counts {
            chunks: fields.u32(),
            rows: u64::from_le_bytes(fields.take()),
            payload_bytes: u64::from_le_bytes(fields.take()),
        };
        (counts, fields.u32())
    }
}

/// The hash of a snapshot's rows, of rows that are not in a file.
#[derive(Clone, Debug, Default)]
pub struct ContentHasher {
    hasher: crc32fast::Hasher,
}

impl ContentHasher {
    /// Adds a row; rows come in ascending order of (column family, key).
    pub fn push(&mut self, cf: ColumnFamily, key: &[u8], value: &[u8]) {
        self.hasher.update(&[cf.number()]);
        self.hasher.update(&(key.len() as u32).to_le_bytes());
        self.hasher.update(&(value.len() as u32).to_le_bytes());
        self.hasher.update(key);
        if !planted!("digest-of-keys-only") {
            self.hasher.update(value);
        }
    }

    /// The hash: that of [`SnapshotReader::verify_content`](super::SnapshotReader::verify_content).
    pub fn finish(self) -> u32 {
        self.hasher.finalize()
    }
}

/// A row's header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct RowHeader {
    pub(super) cf: u8,
    pub(super) key_bytes: u32,
    pub(super) value_bytes: u32,
}

impl RowHeader {
    pub(super) fn decode(bytes: &[u8; ROW_HEADER_BYTES]) -> RowHeader {
        let mut fields = Words { rest: bytes };
        let [cf] = fields.take();
        RowHeader {
            cf,
            key_bytes: fields.u32(),
            value_bytes: fields.u32(),
        }
    }
}

/// Words from the front of a buffer whose type says that it is long enough.
struct Words<'a> {
    rest: &'a [u8],
}

impl Words<'_> {
    fn take<const N: usize>(&mut self) -> [u8; N] {
        let (word, rest) = self
            .rest
            .split_first_chunk()
            .expect("a fixed layout ends where its buffer ends");
        self.rest = rest;
        *word
    }

    fn u32(&mut self) -> u32 {
        u32::from_le_bytes(self.take())
    }
}
