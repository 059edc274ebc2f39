//! The look at all files that a plan rests on: names, lengths and checksums, and where a record's group lies.

use std::io;
use std::path::Path;

use torrens_journal::disk::{Disk, EntryKind, OpenMode};
use torrens_journal::format::{MARK_FILE_NAME, SEGMENT_HEADER_BYTES};
use torrens_journal::{Found, Lsn, SegmentId, SegmentReader};

use super::choose::GroupAt;
use super::model::{FileState, Fingerprint, Place};
use super::{RepairError, refused};
use crate::checkpoint::lsn_of_name;
use crate::evidence::Directories;
use crate::facts::Evidence;

const CHUNK_BYTES: usize = 256 * 1024;

pub(super) fn place_path(directories: &Directories, place: Place) -> &Path {
    match place {
        Place::Journal => &directories.journal,
        Place::Checkpoints => &directories.checkpoints,
    }
}

/// Reads every file of the journal and the checkpoints.
pub(super) fn fingerprint(
    disk: &dyn Disk,
    directories: &Directories,
) -> Result<Fingerprint, RepairError> {
    let mut files = Vec::new();
    for place in [Place::Journal, Place::Checkpoints] {
        let dir = place_path(directories, place);
        for (name, _) in files_in(disk, dir)? {
            let ours = match place {
                Place::Journal => {
                    SegmentId::from_file_name(&name).is_some() || name == MARK_FILE_NAME
                }
                Place::Checkpoints => lsn_of_name(&name).is_some(),
            };
            if ours {
                let (bytes, crc) = sum(disk, &dir.join(&name))?;
                files.push(FileState {
                    place,
                    name,
                    bytes,
                    crc,
                });
            }
        }
    }
    files.sort_by(|a, b| (a.place, &a.name).cmp(&(b.place, &b.name)));
    Ok(Fingerprint { files })
}

/// The names and lengths of the files in a directory; a missing one has none.
pub(super) fn files_in(disk: &dyn Disk, dir: &Path) -> Result<Vec<(String, u64)>, RepairError> {
    let entries = match disk.list(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(refused("list", dir)(error)),
    };
    let files = entries
        .into_iter()
        .filter(|entry| entry.kind == EntryKind::File);
    Ok(files.map(|entry| (entry.name, entry.bytes)).collect())
}

fn sum(disk: &dyn Disk, path: &Path) -> Result<(u64, u32), RepairError> {
    let file = disk
        .open(path, OpenMode::Read)
        .map_err(refused("open", path))?;
    let bytes = file.len().map_err(refused("read", path))?;
    let mut hasher = crc32fast::Hasher::new();
    let mut chunk = vec![0u8; CHUNK_BYTES];
    let mut at = 0u64;
    while at < bytes {
        let piece = usize::try_from(bytes - at).map_or(CHUNK_BYTES, |left| left.min(CHUNK_BYTES));
        let chunk = chunk.get_mut(..piece).unwrap_or_default();
        file.read_exact_at(at, chunk)
            .map_err(refused("read", path))?;
        hasher.update(chunk);
        at += piece as u64;
    }
    Ok((bytes, hasher.finalize()))
}

/// The group that holds the record at `lsn`.
pub(super) fn group_of(
    disk: &dyn Disk,
    directories: &Directories,
    evidence: &Evidence,
    lsn: Lsn,
) -> Result<Option<GroupAt>, RepairError> {
    let holds = |first: Lsn, end: Lsn| first <= lsn && lsn < end;
    let Some(facts) = evidence.segments.iter().find(|facts| {
        facts
            .first_lsn
            .is_some_and(|first| holds(first, facts.expected))
    }) else {
        return Ok(None);
    };
    let dir = &directories.journal;
    let unreadable = |error: torrens_journal::ReadError| {
        let path = dir.join(facts.id.file_name());
        refused("read", &path)(io::Error::other(error))
    };
    let mut reader =
        SegmentReader::open(disk, dir, facts.id, evidence.store).map_err(unreadable)?;
    let mut offset_bytes = SEGMENT_HEADER_BYTES;
    while offset_bytes < facts.end_offset_bytes {
        let Found::Group(group) = reader.group_at(offset_bytes, None).map_err(unreadable)? else {
            return Ok(None);
        };
        let first_lsn = group.header.first_lsn;
        if first_lsn <= lsn && lsn <= group.header.last_lsn() {
            return Ok(Some(GroupAt {
                segment: facts.id,
                offset_bytes,
                first_lsn,
            }));
        }
        offset_bytes = group.end_offset_bytes();
    }
    Ok(None)
}
