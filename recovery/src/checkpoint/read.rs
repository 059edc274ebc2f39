//! Reading a checkpoint: first verify the whole file, then give its items to a machine.
//!
//! Verification allocates one block buffer and nothing that the file asks for. A machine cannot be
//! emptied again, so no item reaches it before the last checksum was seen to hold.

use std::io;
use std::path::Path;
use std::sync::Arc;

use torrens_journal::disk::{Disk, DiskFile, OpenMode};
use torrens_journal::{Lsn, StoreUuid};

use super::format::{
    BLOCK_BYTES_MAX, BLOCK_HEADER_BYTES, Fields, HEADER_BYTES, ITEM_BYTES_MAX, ITEM_HEADER_BYTES,
    Seed, TRAILER_BODY_BYTES, TRAILER_BYTES, Trailer, decode_header,
};
use super::keep::{file_name, lsn_of_name};
use super::{CheckpointError, CheckpointFault, CheckpointInfo, Meta};
use crate::machine::StateMachine;

/// Verifies every checksum of the checkpoint file at `path`. The inner `Err` says what is wrong with
/// the bytes, together with the header if that much could be trusted.
///
/// # Errors
/// [`CheckpointError::Io`] if the operating system refused a read: nothing is known then.
pub fn examine(
    disk: &dyn Disk,
    path: &Path,
    store: Option<StoreUuid>,
) -> Result<Result<CheckpointInfo, (CheckpointFault, Option<Meta>)>, CheckpointError> {
    let io = |source| CheckpointError::Io {
        operation: "read",
        path: path.to_owned(),
        source,
    };
    let file = disk.open(path, OpenMode::Read).map_err(io)?;
    let mut trusted = None;
    match scan(&file, path, store, &mut trusted, &mut |_| Ok(())) {
        Ok(info) => Ok(Ok(info)),
        Err(Stop::Io(source)) => Err(io(source)),
        Err(Stop::Fault(fault)) => Ok(Err((fault, trusted))),
    }
}

/// Loads the checkpoint at `lsn` in `dir` into the empty `machine`, after verifying all of it.
///
/// # Errors
/// [`CheckpointError::Invalid`] if the bytes do not verify (the machine is untouched),
/// [`CheckpointError::Refused`] if the machine does not take an item (it is part-filled and must be
/// dropped), [`CheckpointError::Io`] if the operating system refused.
pub fn load<M: StateMachine>(
    disk: &dyn Disk,
    dir: &Path,
    store: Option<StoreUuid>,
    lsn: Lsn,
    machine: &mut M,
) -> Result<CheckpointInfo, CheckpointError> {
    let path = dir.join(file_name(lsn));
    if let Err((fault, _)) = examine(disk, &path, store)? {
        return Err(CheckpointError::Invalid { path, fault });
    }
    let mut refused = None;
    let mut item_number = 0u64;
    let read = read_verified(disk, &path, store, &mut |item| {
        let loaded = M::decode_item(item).and_then(|item| machine.load(item));
        item_number += u64::from(loaded.is_ok());
        loaded.map_err(|error| refused = Some(error))
    });
    match refused {
        None => read,
        Some(error) => Err(CheckpointError::Refused {
            path,
            item: item_number,
            source: Box::new(error),
        }),
    }
}

/// Gives the items of a file that [`examine`] accepted a moment ago to `on_item`, until that answers `Err`.
/// The checksums are compared again.
pub(crate) fn read_verified(
    disk: &dyn Disk,
    path: &Path,
    store: Option<StoreUuid>,
    on_item: &mut dyn FnMut(&[u8]) -> Result<(), ()>,
) -> Result<CheckpointInfo, CheckpointError> {
    let io = |source| CheckpointError::Io {
        operation: "read",
        path: path.to_owned(),
        source,
    };
    let file = disk.open(path, OpenMode::Read).map_err(io)?;
    match scan(&file, path, store, &mut None, on_item) {
        Ok(info) => Ok(info),
        Err(Stop::Io(source)) => Err(io(source)),
        Err(Stop::Fault(fault)) => Err(CheckpointError::Invalid {
            path: path.to_owned(),
            fault,
        }),
    }
}

enum Stop {
    Io(io::Error),
    Fault(CheckpointFault),
}

impl From<CheckpointFault> for Stop {
    fn from(fault: CheckpointFault) -> Self {
        Stop::Fault(fault)
    }
}

/// Walks the file once. `on_item` answering `Err` ends the walk (the caller knows why).
fn scan(
    file: &Arc<dyn DiskFile>,
    path: &Path,
    store: Option<StoreUuid>,
    trusted: &mut Option<Meta>,
    on_item: &mut dyn FnMut(&[u8]) -> Result<(), ()>,
) -> Result<CheckpointInfo, Stop> {
    let file_bytes = file.len().map_err(Stop::Io)?;
    let need = |needed_bytes: u64| match needed_bytes <= file_bytes {
        true => Ok(()),
        false => Err(CheckpointFault::Truncated {
            file_bytes,
            needed_bytes,
        }),
    };
    need(HEADER_BYTES as u64)?;
    let mut page = [0u8; HEADER_BYTES];
    file.read_exact_at(0, &mut page).map_err(Stop::Io)?;
    let (meta, salt) = decode_header(&page)?;
    if let Some(expected) = store.filter(|expected| *expected != meta.store) {
        return Err(CheckpointFault::Foreign {
            expected,
            found: meta.store,
        }
        .into());
    }
    if let Some(named) = path
        .file_name()
        .and_then(|name| lsn_of_name(&name.to_string_lossy()))
        && named != meta.lsn
    {
        return Err(CheckpointFault::Misnamed {
            named,
            found: meta.lsn,
        }
        .into());
    }
    *trusted = Some(meta.clone());

    let seed = Seed::new(&meta, salt);
    let mut offset_bytes = HEADER_BYTES as u64;
    let mut found = Trailer::default();
    let mut block_crcs = crc32fast::Hasher::new();
    let mut items = Items::default();
    let mut block = vec![0u8; BLOCK_BYTES_MAX];
    loop {
        let body_offset = offset_bytes.saturating_add(BLOCK_HEADER_BYTES as u64);
        need(body_offset)?;
        let mut head = [0u8; BLOCK_HEADER_BYTES];
        file.read_exact_at(offset_bytes, &mut head)
            .map_err(Stop::Io)?;
        let mut fields = Fields(&head);
        let length = fields.u32().unwrap_or(0);
        let stored = fields.u32().unwrap_or(0);
        let is_trailer = length == 0;
        let body_bytes = if is_trailer {
            TRAILER_BODY_BYTES
        } else {
            length as usize
        };
        let Some(body) = block.get_mut(..body_bytes) else {
            return Err(CheckpointFault::BlockLength {
                offset_bytes,
                declared_bytes: length,
            }
            .into());
        };
        need(body_offset.saturating_add(body_bytes as u64))?;
        file.read_exact_at(body_offset, body).map_err(Stop::Io)?;
        let computed = seed.checksum(offset_bytes, length, body);
        if computed != stored {
            let part = if is_trailer { "trailer" } else { "block" };
            return Err(CheckpointFault::Checksum {
                part,
                offset_bytes,
                stored,
                computed,
            }
            .into());
        }
        if is_trailer {
            found.items = items.finish()?;
            found.blocks_crc = block_crcs.finalize();
            let stated = Trailer::decode(body).unwrap_or_default();
            agree(&stated, &found)?;
            break;
        }
        found.blocks += 1;
        found.stream_bytes += u64::from(length);
        block_crcs.update(&stored.to_le_bytes());
        if !items.push(body, on_item)? {
            break;
        }
        offset_bytes = body_offset + body_bytes as u64;
    }
    let end = offset_bytes.saturating_add(TRAILER_BYTES as u64);
    if end < file_bytes {
        return Err(CheckpointFault::Overlong {
            extra_bytes: file_bytes - end,
        }
        .into());
    }
    Ok(CheckpointInfo {
        meta,
        path: path.to_owned(),
        bytes: file_bytes,
        items: found.items,
        blocks: found.blocks,
    })
}

fn agree(stated: &Trailer, found: &Trailer) -> Result<(), CheckpointFault> {
    for (what, stated, found) in [
        ("the number of blocks", stated.blocks, found.blocks),
        ("the number of items", stated.items, found.items),
        (
            "the number of bytes",
            stated.stream_bytes,
            found.stream_bytes,
        ),
        (
            "the checksum over the blocks",
            u64::from(stated.blocks_crc),
            u64::from(found.blocks_crc),
        ),
    ] {
        if stated != found {
            return Err(CheckpointFault::Trailer {
                what,
                stated,
                found,
            });
        }
    }
    Ok(())
}

/// Puts items together from the stream; memory grows only with bytes that were verified.
#[derive(Default)]
struct Items {
    pending: Vec<u8>,
    count: u64,
}

impl Items {
    /// `Ok(false)` if `on_item` asked to end.
    fn push(
        &mut self,
        mut bytes: &[u8],
        on_item: &mut dyn FnMut(&[u8]) -> Result<(), ()>,
    ) -> Result<bool, CheckpointFault> {
        while !bytes.is_empty() {
            let wanted = match self.declared()? {
                None => ITEM_HEADER_BYTES - self.pending.len(),
                Some(declared) => ITEM_HEADER_BYTES + declared - self.pending.len(),
            };
            let (now, later) = bytes.split_at(wanted.min(bytes.len()));
            self.pending.extend_from_slice(now);
            bytes = later;
            if let Some(declared) = self.declared()?
                && self.pending.len() == ITEM_HEADER_BYTES + declared
            {
                let item = self.pending.get(ITEM_HEADER_BYTES..).unwrap_or(&[]);
                if on_item(item).is_err() {
                    return Ok(false);
                }
                self.count += 1;
                self.pending.clear();
            }
        }
        Ok(true)
    }

    fn declared(&self) -> Result<Option<usize>, CheckpointFault> {
        let Some(length) = Fields(&self.pending).u32() else {
            return Ok(None);
        };
        if length as usize > ITEM_BYTES_MAX {
            return Err(CheckpointFault::Item {
                index: self.count,
                declared_bytes: u64::from(length),
                available_bytes: ITEM_BYTES_MAX as u64,
            });
        }
        Ok(Some(length as usize))
    }

    fn finish(&self) -> Result<u64, CheckpointFault> {
        if self.pending.is_empty() {
            return Ok(self.count);
        }
        Err(CheckpointFault::Item {
            index: self.count,
            declared_bytes: self.declared()?.unwrap_or(0) as u64,
            available_bytes: self.pending.len().saturating_sub(ITEM_HEADER_BYTES) as u64,
        })
    }
}
