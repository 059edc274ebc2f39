//! Writing a checkpoint: aside, synced, renamed into place, directory synced.
//!
//! Not here: when to take one, and copying the state so that transitions go on meanwhile (the caller
//! passes something that does not change under the writer).

use std::io;
use std::path::Path;

use torrens_journal::disk::{Disk, DiskFile, OpenMode};

use super::format::{BLOCK_BYTES_MAX, HEADER_BYTES, ITEM_BYTES_MAX, Seed, Trailer, encode_header};
use super::keep::file_name;
use super::{CheckpointError, CheckpointInfo, Meta};
use crate::machine::StateMachine;

/// Writes the state of `machine` as the checkpoint `meta` into `dir` (which is created if missing).
/// A checkpoint of the same LSN is replaced as a whole.
///
/// # Durability
/// The caller has made every record up to `meta.lsn` durable **before** this call: the file is taken
/// as a witness of that from the moment it has its name. When this returns, the checkpoint and its
/// name are durable.
///
/// # Errors
/// [`CheckpointError::Io`] or [`CheckpointError::ItemTooLong`]; the directory then holds at most an
/// unfinished file with the ending `.new`, which readers ignore and the next call removes.
pub fn write<M: StateMachine>(
    disk: &dyn Disk,
    dir: &Path,
    meta: &Meta,
    machine: &M,
) -> Result<CheckpointInfo, CheckpointError> {
    let path = dir.join(file_name(meta.lsn));
    let aside = dir.join(format!("{}.new", file_name(meta.lsn)));
    let mut meta = meta.clone();
    if meta.wall_clock_micros == 0 {
        meta.wall_clock_micros = disk.wall_clock_micros();
    }

    disk.create_dir_all(dir)
        .map_err(CheckpointError::io("create directory", dir))?;
    remove_if_there(disk, &aside).map_err(CheckpointError::io("remove", &aside))?;
    match fill(disk, &aside, &meta, machine) {
        Ok(written) => {
            disk.rename(&aside, &path)
                .map_err(CheckpointError::io("rename", &aside))?;
            disk.sync_dir(dir)
                .map_err(CheckpointError::io("sync directory", dir))?;
            Ok(CheckpointInfo {
                meta,
                path,
                bytes: written.offset_bytes,
                items: written.trailer.items,
                blocks: written.trailer.blocks,
            })
        }
        Err(error) => {
            // Best effort: a full disk gets its space back; the first error is the one to tell.
            let _ = disk.remove(&aside);
            Err(error)
        }
    }
}

fn remove_if_there(disk: &dyn Disk, path: &Path) -> io::Result<()> {
    match disk.remove(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn fill<M: StateMachine>(
    disk: &dyn Disk,
    aside: &Path,
    meta: &Meta,
    machine: &M,
) -> Result<Written, CheckpointError> {
    let file = disk
        .open(aside, OpenMode::CreateNew)
        .map_err(CheckpointError::io("create", aside))?;
    let salt = disk.random_u64();
    let io = |source| CheckpointError::Io {
        operation: "write",
        path: aside.to_owned(),
        source,
    };

    file.write_all_at(0, &encode_header(meta, salt))
        .map_err(io)?;
    let mut blocks = Blocks {
        file: &*file,
        seed: Seed::new(meta, salt),
        stream: Vec::with_capacity(BLOCK_BYTES_MAX),
        block_crcs: crc32fast::Hasher::new(),
        written: Written {
            offset_bytes: HEADER_BYTES as u64,
            trailer: Trailer::default(),
        },
    };
    machine.save(&mut |item| {
        if item.len() > ITEM_BYTES_MAX {
            return Err(CheckpointError::ItemTooLong {
                bytes: item.len(),
                max: ITEM_BYTES_MAX,
            });
        }
        let length = u32::try_from(item.len()).unwrap_or(u32::MAX);
        blocks.push(&length.to_le_bytes()).map_err(io)?;
        blocks.push(item).map_err(io)?;
        blocks.written.trailer.items += 1;
        Ok(())
    })?;
    let written = blocks.finish().map_err(io)?;
    if !torrens_journal::planted!("checkpoint-not-synced") {
        file.sync_data()
            .map_err(CheckpointError::io("sync", aside))?;
    }
    Ok(written)
}

struct Written {
    offset_bytes: u64,
    trailer: Trailer,
}

/// Cuts the item stream into blocks and writes each when it is full.
struct Blocks<'a> {
    file: &'a dyn DiskFile,
    seed: Seed,
    stream: Vec<u8>,
    block_crcs: crc32fast::Hasher,
    written: Written,
}

impl Blocks<'_> {
    fn push(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let room = BLOCK_BYTES_MAX - self.stream.len();
            let (now, later) = bytes.split_at(room.min(bytes.len()));
            self.stream.extend_from_slice(now);
            bytes = later;
            if self.stream.len() == BLOCK_BYTES_MAX {
                self.write_block()?;
            }
        }
        Ok(())
    }

    fn write_block(&mut self) -> io::Result<()> {
        let offset_bytes = self.written.offset_bytes;
        let length = u32::try_from(self.stream.len()).unwrap_or(u32::MAX);
        let crc = self.seed.checksum(offset_bytes, length, &self.stream);
        let mut bytes = Vec::with_capacity(8 + self.stream.len());
        bytes.extend_from_slice(&length.to_le_bytes());
        bytes.extend_from_slice(&crc.to_le_bytes());
        bytes.extend_from_slice(&self.stream);
        self.file.write_all_at(offset_bytes, &bytes)?;

        self.block_crcs.update(&crc.to_le_bytes());
        self.written.offset_bytes += bytes.len() as u64;
        self.written.trailer.blocks += 1;
        self.written.trailer.stream_bytes += u64::from(length);
        self.stream.clear();
        Ok(())
    }

    fn finish(mut self) -> io::Result<Written> {
        if !self.stream.is_empty() {
            self.write_block()?;
        }
        self.written.trailer.blocks_crc = self.block_crcs.finalize();
        let trailer = self
            .written
            .trailer
            .encode(self.seed, self.written.offset_bytes);
        self.file
            .write_all_at(self.written.offset_bytes, &trailer)?;
        self.written.offset_bytes += trailer.len() as u64;
        Ok(self.written)
    }
}
