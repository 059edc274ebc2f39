//! The bytes of a checkpoint file: header page, blocks, trailer. Little endian, no padding.
//!
//! docs/FORMAT.md says the same in words; the constants here are asserted against each other at
//! compile time. No I/O and no state machine here. Decoding never allocates.

use torrens_journal::{Boot, Lsn, StoreUuid};

use super::{CheckpointFault, Meta};

/// Largest number of stream bytes in one block.
pub const BLOCK_BYTES_MAX: usize = 64 * 1024;
/// Largest item that a state machine may save, in bytes.
pub const ITEM_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Major version that this code writes; a reader refuses a larger one.
pub const VERSION_MAJOR: u16 = 1;
/// Minor version that this code writes; a reader accepts any.
pub const VERSION_MINOR: u16 = 0;

/// "TORRCKPT" as it lies in the file.
pub(super) const MAGIC: u64 = u64::from_le_bytes(*b"TORRCKPT");
pub(super) const HEADER_BYTES: usize = 4096;
/// Length and checksum before each block's bytes, and at the head of the trailer.
pub(super) const BLOCK_HEADER_BYTES: usize = 8;
/// Length prefix of an item in the stream.
pub(super) const ITEM_HEADER_BYTES: usize = 4;
/// A zero length, a checksum, then [`TRAILER_BODY_BYTES`].
pub(super) const TRAILER_BYTES: usize = BLOCK_HEADER_BYTES + TRAILER_BODY_BYTES;
pub(super) const TRAILER_BODY_BYTES: usize = 32;

const HEADER_CRC_OFFSET: usize = 8;
const HEADER_CHECKED_OFFSET: usize = 12;

const _: () = assert!(HEADER_CRC_OFFSET + 4 == HEADER_CHECKED_OFFSET);
const _: () = assert!(ITEM_BYTES_MAX <= u32::MAX as usize);
const _: () = assert!(BLOCK_BYTES_MAX <= ITEM_BYTES_MAX);
const _: () = assert!(TRAILER_BYTES == 40);

/// Bounded reading of little-endian fields; `None` past the end.
pub(super) struct Fields<'a>(pub(super) &'a [u8]);

impl<'a> Fields<'a> {
    pub(super) fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (head, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*head)
    }
    pub(super) fn u16(&mut self) -> Option<u16> {
        self.take().map(u16::from_le_bytes)
    }
    pub(super) fn u32(&mut self) -> Option<u32> {
        self.take().map(u32::from_le_bytes)
    }
    pub(super) fn u64(&mut self) -> Option<u64> {
        self.take().map(u64::from_le_bytes)
    }
}

/// What every checksum after the header starts from, so that no block of another checkpoint, or of
/// another place in this one, verifies.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seed {
    store: StoreUuid,
    lsn: Lsn,
    salt: u64,
}

impl Seed {
    pub(super) fn new(meta: &Meta, salt: u64) -> Self {
        Seed {
            store: meta.store,
            lsn: meta.lsn,
            salt,
        }
    }

    /// Checksum of `length` and `bytes` as the part at `offset_bytes`.
    pub(super) fn checksum(self, offset_bytes: u64, length: u32, bytes: &[u8]) -> u32 {
        let mut hasher = crc32fast::Hasher::new();
        hasher.update(&self.store.0);
        hasher.update(&self.lsn.get().to_le_bytes());
        hasher.update(&self.salt.to_le_bytes());
        hasher.update(&offset_bytes.to_le_bytes());
        hasher.update(&length.to_le_bytes());
        hasher.update(bytes);
        hasher.finalize()
    }
}

/// The header page.
pub(super) fn encode_header(meta: &Meta, salt: u64) -> Vec<u8> {
    let mut checked = Vec::with_capacity(HEADER_BYTES);
    checked.extend_from_slice(&VERSION_MAJOR.to_le_bytes());
    checked.extend_from_slice(&VERSION_MINOR.to_le_bytes());
    checked.extend_from_slice(&0u32.to_le_bytes()); // flags that a reader must know
    checked.extend_from_slice(&0u32.to_le_bytes()); // flags that a reader may ignore
    checked.extend_from_slice(&meta.store.0);
    checked.extend_from_slice(&meta.lsn.get().to_le_bytes());
    checked.extend_from_slice(&meta.first_needed.get().to_le_bytes());
    checked.extend_from_slice(&meta.wall_clock_micros.to_le_bytes());
    checked.extend_from_slice(&salt.to_le_bytes());
    checked.extend_from_slice(&meta.boot.get().to_le_bytes());
    checked.resize(HEADER_BYTES - HEADER_CHECKED_OFFSET, 0);

    let mut page = Vec::with_capacity(HEADER_BYTES);
    page.extend_from_slice(&MAGIC.to_le_bytes());
    page.extend_from_slice(&crc32fast::hash(&checked).to_le_bytes());
    page.extend_from_slice(&checked);
    page
}

/// Reads a header page: what it says, and the salt.
pub(super) fn decode_header(page: &[u8; HEADER_BYTES]) -> Result<(Meta, u64), CheckpointFault> {
    let short = CheckpointFault::Truncated {
        file_bytes: 0,
        needed_bytes: HEADER_BYTES as u64,
    };
    let mut fields = Fields(page);
    let (Some(magic), Some(stored)) = (fields.u64(), fields.u32()) else {
        return Err(short);
    };
    if magic != MAGIC {
        return Err(CheckpointFault::Magic { found: magic });
    }
    let computed = crc32fast::hash(fields.0);
    if stored != computed {
        return Err(CheckpointFault::Checksum {
            part: "header",
            offset_bytes: 0,
            stored,
            computed,
        });
    }
    let (Some(major), Some(minor), Some(flags), Some(_ignorable)) =
        (fields.u16(), fields.u16(), fields.u32(), fields.u32())
    else {
        return Err(short);
    };
    if major > VERSION_MAJOR || flags != 0 {
        return Err(CheckpointFault::NewerFormat {
            major,
            minor,
            flags,
        });
    }
    let (
        Some(store),
        Some(lsn),
        Some(first_needed),
        Some(wall_clock_micros),
        Some(salt),
        Some(boot),
    ) = (
        fields.take::<16>(),
        fields.u64(),
        fields.u64(),
        fields.u64(),
        fields.u64(),
        fields.u32(),
    )
    else {
        return Err(short);
    };
    let meta = Meta {
        store: StoreUuid(store),
        lsn: Lsn::new(lsn),
        boot: Boot::new(boot),
        first_needed: Lsn::new(first_needed),
        wall_clock_micros,
    };
    Ok((meta, salt))
}

/// What the trailer states about everything before it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Trailer {
    pub(super) blocks: u64,
    pub(super) items: u64,
    /// Bytes of the item stream, over all blocks.
    pub(super) stream_bytes: u64,
    /// Checksum over the blocks' stored checksums, in order.
    pub(super) blocks_crc: u32,
}

impl Trailer {
    pub(super) fn encode(&self, seed: Seed, offset_bytes: u64) -> Vec<u8> {
        let mut body = Vec::with_capacity(TRAILER_BODY_BYTES);
        body.extend_from_slice(&self.blocks.to_le_bytes());
        body.extend_from_slice(&self.items.to_le_bytes());
        body.extend_from_slice(&self.stream_bytes.to_le_bytes());
        body.extend_from_slice(&self.blocks_crc.to_le_bytes());
        body.extend_from_slice(&0u32.to_le_bytes());
        let mut bytes = Vec::with_capacity(TRAILER_BYTES);
        bytes.extend_from_slice(&0u32.to_le_bytes());
        bytes.extend_from_slice(&seed.checksum(offset_bytes, 0, &body).to_le_bytes());
        bytes.extend_from_slice(&body);
        bytes
    }

    pub(super) fn decode(body: &[u8]) -> Option<Trailer> {
        let mut fields = Fields(body);
        Some(Trailer {
            blocks: fields.u64()?,
            items: fields.u64()?,
            stream_bytes: fields.u64()?,
            blocks_crc: fields.u32()?,
        })
    }
}
