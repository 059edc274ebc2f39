//! `SnapshotDecoder`: the one reader of snapshot bytes, over any `Read`.
//!
//! It checks everything as it goes: lengths before they are allocated, checksums before rows are
//! given out, strict order, the region's range, and at the end counts, the checksum of the whole
//! and that nothing follows. A stream that it walks to the end without an error is a good snapshot;
//! rows that it gave before an error must not be kept.
//!
//! Not here: where the bytes come from (`reader`, `receive`).

use std::io::{self, Read};

use torrens_journal::planted;

use super::frame::{
    CHUNK_HEADER_BYTES, CHUNK_MAGIC, CHUNK_PAYLOAD_BYTES_MAX, ChunkHeader, Counts, HEADER_BYTES,
    ROW_BYTES_MAX, ROW_HEADER_BYTES, RowHeader, TRAILER_BYTES, TRAILER_MAGIC, header_checksum,
    header_meta_bytes,
};
use super::{SnapshotFault, SnapshotMeta};
use crate::{ColumnFamilies, ColumnFamily, Key, Region, Value, WriteBatch};

/// One row of a snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SnapshotRow {
    /// Column family.
    pub cf: ColumnFamily,
    /// User key.
    pub key: Key,
    /// Its value.
    pub value: Value,
}

/// Why decoding stopped: the bytes, or the source of the bytes.
#[derive(Debug)]
pub(super) enum Stop {
    Fault(SnapshotFault),
    Io(io::Error),
}

impl From<SnapshotFault> for Stop {
    fn from(fault: SnapshotFault) -> Self {
        Stop::Fault(fault)
    }
}

/// What a complete walk found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Totals {
    /// Checksum over every byte before the trailer's checksum.
    pub(super) checksum: u32,
    pub(super) bytes: u64,
    pub(super) rows: u64,
    /// Over the rows alone.
    pub(super) content: u32,
}

/// Reads a snapshot from a stream.
#[derive(Debug)]
pub(super) struct SnapshotDecoder<R> {
    source: Checksummed<R>,
    meta: SnapshotMeta,
    /// The header's checksum.
    salt: u32,
    found: Counts,
    chunk: Chunk,
    previous: Option<(ColumnFamily, Key)>,
    /// Rows of other families are refused.
    families: Option<ColumnFamilies>,
    /// Over the payloads of the chunks so far.
    content: crc32fast::Hasher,
    totals: Option<Totals>,
    stopped: bool,
}

/// The chunk that rows are taken from.
#[derive(Debug, Default)]
struct Chunk {
    offset: u64,
    payload: Vec<u8>,
    position: usize,
    rows_left: u32,
}

impl<R: Read> SnapshotDecoder<R> {
    /// Reads and checks the header.
    pub(super) fn new(source: R) -> Result<Self, Stop> {
        let mut source = Checksummed {
            inner: source,
            hasher: crc32fast::Hasher::new(),
            offset: 0,
        };
        let header: [u8; HEADER_BYTES] = source.array("the header", 0)?;
        let meta_bytes = header_meta_bytes(&header)?;
        let mut meta = vec![0; meta_bytes];
        source.fill(&mut meta, "the header", 0)?;
        let Some((before, stored)) = header.split_last_chunk::<4>() else {
            return Err(SnapshotFault::NotASnapshot.into());
        };
        let (stored, computed) = (u32::from_le_bytes(*stored), header_checksum(before, &meta));
        if stored != computed {
            let what = "the header";
            return Err(SnapshotFault::Checksum {
                what,
                offset: 0,
                stored,
                computed,
            }
            .into());
        }
        Ok(SnapshotDecoder {
            meta: SnapshotMeta::decode(&meta)?,
            source,
            salt: stored,
            found: Counts::default(),
            chunk: Chunk::default(),
            previous: None,
            families: None,
            content: crc32fast::Hasher::new(),
            totals: None,
            stopped: false,
        })
    }

    /// Refuses rows of any family but these.
    pub(super) fn only(mut self, families: Option<ColumnFamilies>) -> Self {
        self.families = families;
        self
    }

    /// What the header says.
    pub(super) fn meta(&self) -> &SnapshotMeta {
        &self.meta
    }

    /// Walks to the end.
    pub(super) fn finish(&mut self) -> Result<Totals, Stop> {
        while self.next_row()?.is_some() {}
        self.totals.ok_or_else(|| {
            // Only after an earlier error, which was returned then.
            SnapshotFault::Truncated {
                offset: self.source.offset,
                inside: "the file",
            }
            .into()
        })
    }

    /// The next row, checked; `None` behind the trailer or after an error.
    pub(super) fn next_row(&mut self) -> Result<Option<SnapshotRow>, Stop> {
        if self.stopped || self.totals.is_some() {
            return Ok(None);
        }
        let next = self.try_next_row();
        self.stopped = next.is_err();
        next
    }

    fn try_next_row(&mut self) -> Result<Option<SnapshotRow>, Stop> {
        if self.chunk.rows_left == 0 && !self.read_frame()? {
            return Ok(None);
        }
        let row = self.chunk.take_row(self.found.chunks)?;
        let number = self.found.rows;
        let place = (row.cf, row.key.clone());
        if self
            .previous
            .as_ref()
            .is_some_and(|previous| place <= *previous)
        {
            return Err(SnapshotFault::OutOfOrder { row: number }.into());
        }
        let range = &self.meta.region.range;
        if !range.contains(&row.key) && !planted!("snapshot-keys-outside-its-range") {
            let range = self.meta.region.range.clone();
            return Err(SnapshotFault::KeyOutside {
                row: number,
                key: row.key,
                range,
            }
            .into());
        }
        let is_new = self.previous.as_ref().is_none_or(|(cf, _)| *cf != row.cf);
        let families = self.families.as_ref();
        if is_new && families.is_some_and(|families| !families.contains(row.cf)) {
            let family = row.cf.number();
            return Err(SnapshotFault::UnknownFamily {
                row: number,
                family,
            }
            .into());
        }
        self.previous = Some(place);
        self.found.rows = number.saturating_add(1);
        Ok(Some(row))
    }

    /// Reads the next chunk (`true`) or the trailer and the end (`false`).
    fn read_frame(&mut self) -> Result<bool, Stop> {
        let offset = self.source.offset;
        match self.source.array::<4>("a frame", offset)? {
            CHUNK_MAGIC => self.read_chunk(offset).map(|()| true),
            TRAILER_MAGIC => self.read_trailer(offset).map(|()| false),
            _ => Err(SnapshotFault::UnknownFrame { offset }.into()),
        }
    }

    fn read_chunk(&mut self, offset: u64) -> Result<(), Stop> {
        const WHAT: &str = "a chunk";
        let header: [u8; CHUNK_HEADER_BYTES - 4] = self.source.array(WHAT, offset)?;
        let header = ChunkHeader::decode(&header);
        let number = self.found.chunks;
        let bad = |what| SnapshotFault::BadChunk {
            chunk: number.into(),
            offset,
            what,
        };
        if header.number != number {
            return Err(bad("its number is not the next one").into());
        }
        if header.rows == 0 {
            return Err(bad("it has no rows").into());
        }
        let max = if header.rows == 1 {
            ROW_BYTES_MAX
        } else {
            CHUNK_PAYLOAD_BYTES_MAX
        };
        if header.payload_bytes as usize > max {
            return Err(SnapshotFault::TooLong {
                what: WHAT,
                offset,
                declared: header.payload_bytes.into(),
                max: max as u64,
            }
            .into());
        }
        let chunk = &mut self.chunk;
        chunk.payload.clear();
        self.source
            .append(&mut chunk.payload, header.payload_bytes, WHAT, offset)?;
        let (stored, computed) = (
            header.checksum,
            header.computed_checksum(self.salt, &chunk.payload),
        );
        if stored != computed {
            return Err(SnapshotFault::Checksum {
                what: WHAT,
                offset,
                stored,
                computed,
            }
            .into());
        }
        self.content.update(&chunk.payload);
        chunk.offset = offset;
        chunk.position = 0;
        chunk.rows_left = header.rows;
        self.found.chunks = number
            .checked_add(1)
            .ok_or_else(|| bad("too many chunks"))?;
        self.found.payload_bytes = self
            .found
            .payload_bytes
            .saturating_add(header.payload_bytes.into());
        Ok(())
    }

    fn read_trailer(&mut self, offset: u64) -> Result<(), Stop> {
        const WHAT: &str = "the trailer";
        let mut rest = [0; TRAILER_BYTES - 4];
        let (counts, checksum) = rest.split_at_mut(TRAILER_BYTES - 8);
        self.source.fill(counts, WHAT, offset)?;
        let computed = self.source.hasher.clone().finalize();
        self.source.fill(checksum, WHAT, offset)?;
        let (declared, stored) = Counts::decode(&rest);
        let found = self.found;
        for (what, declared, found) in [
            ("chunks", declared.chunks.into(), u64::from(found.chunks)),
            ("rows", declared.rows, found.rows),
            ("payload bytes", declared.payload_bytes, found.payload_bytes),
        ] {
            if declared != found {
                return Err(SnapshotFault::Count {
                    what,
                    declared,
                    found,
                }
                .into());
            }
        }
        if stored != computed {
            let what = "the file";
            return Err(SnapshotFault::Checksum {
                what,
                offset: 0,
                stored,
                computed,
            }
            .into());
        }
        let end = self.source.offset;
        if !self.source.is_at_end()? {
            return Err(SnapshotFault::TrailingBytes { offset: end }.into());
        }
        self.totals = Some(Totals {
            checksum: stored,
            bytes: end,
            rows: found.rows,
            content: self.content.clone().finalize(),
        });
        Ok(())
    }
}

impl Chunk {
    fn take_row(&mut self, chunks_found: u32) -> Result<SnapshotRow, SnapshotFault> {
        let bad = |what| SnapshotFault::BadChunk {
            chunk: u64::from(chunks_found).saturating_sub(1),
            offset: self.offset,
            what,
        };
        let rest = self.payload.get(self.position..).unwrap_or_default();
        let Some((header, body)) = rest.split_first_chunk::<ROW_HEADER_BYTES>() else {
            return Err(bad("it ends inside a row's header"));
        };
        let header = RowHeader::decode(header);
        let (key_bytes, value_bytes) = (header.key_bytes as usize, header.value_bytes as usize);
        if key_bytes > Region::KEY_BYTES_MAX {
            return Err(bad("a row's key is too long"));
        }
        if value_bytes > WriteBatch::VALUE_BYTES_MAX {
            return Err(bad("a row's value is too long"));
        }
        let ends_inside = "it ends inside a row";
        let (key, body) = body
            .split_at_checked(key_bytes)
            .ok_or_else(|| bad(ends_inside))?;
        let (value, behind) = body
            .split_at_checked(value_bytes)
            .ok_or_else(|| bad(ends_inside))?;
        if self.rows_left == 1 && !behind.is_empty() {
            return Err(bad("bytes follow its last row"));
        }
        let row = SnapshotRow {
            cf: ColumnFamily::new(header.cf),
            key: Key::from(key),
            value: Value::copy_from(value),
        };
        self.position = self.payload.len().saturating_sub(behind.len());
        self.rows_left = self.rows_left.saturating_sub(1);
        Ok(row)
    }
}

/// A stream whose bytes are counted and checksummed.
#[derive(Debug)]
struct Checksummed<R> {
    inner: R,
    hasher: crc32fast::Hasher,
    offset: u64,
}

impl<R: Read> Checksummed<R> {
    fn fill(&mut self, buffer: &mut [u8], inside: &'static str, offset: u64) -> Result<(), Stop> {
        match self.inner.read_exact(buffer) {
            Ok(()) => {
                self.hasher.update(buffer);
                self.offset = self.offset.saturating_add(buffer.len() as u64);
                Ok(())
            }
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                Err(SnapshotFault::Truncated { offset, inside }.into())
            }
            Err(error) => Err(Stop::Io(error)),
        }
    }

    fn array<const N: usize>(
        &mut self,
        inside: &'static str,
        offset: u64,
    ) -> Result<[u8; N], Stop> {
        let mut buffer = [0; N];
        self.fill(&mut buffer, inside, offset)?;
        Ok(buffer)
    }

    /// Appends exactly `bytes` bytes. Memory grows with what really comes, not with what a header
    /// declares.
    fn append(
        &mut self,
        buffer: &mut Vec<u8>,
        bytes: u32,
        inside: &'static str,
        offset: u64,
    ) -> Result<(), Stop> {
        let limit = u64::from(bytes);
        let read = self
            .inner
            .by_ref()
            .take(limit)
            .read_to_end(buffer)
            .map_err(Stop::Io)? as u64;
        if read < limit {
            return Err(SnapshotFault::Truncated { offset, inside }.into());
        }
        self.hasher.update(buffer);
        self.offset = self.offset.saturating_add(limit);
        Ok(())
    }

    fn is_at_end(&mut self) -> Result<bool, Stop> {
        let mut byte = [0];
        loop {
            match self.inner.read(&mut byte) {
                Ok(read) => return Ok(read == 0),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(Stop::Io(error)),
            }
        }
    }
}
