//! Carrying out the verdict *torn tail*, and making what was accepted durable again.
//!
//! The one repair that opening does unasked. It works on the last segment alone, in this order, and
//! every step is synced before the next begins:
//!
//! 1. copy the tail to `cut/<segment>-<offset>-<boot>.bin`;
//! 2. write zeros from the cut to the last page that is not zero;
//! 3. write every accepted group that nothing proves durable over itself.
//!
//! What is kept in `cut/` is bounded: after a cut the oldest files go, until at most
//! [`KEPT_FILES_MAX`] files of at most [`KEPT_BYTES_MAX`] bytes in all are left. The newest always stays.
//!
//! A crash between any two leaves a directory with the same verdict and the same records: the cut
//! stays invalid while pages behind it turn to zeros, and step 3 changes no byte. Step 3 is there
//! because after an unclean end the page cache may hold what the device does not, and a later sync
//! would not write it (the pages are clean): what the application is about to be told must be on the
//! device.
//!
//! Not here: the decision (`verdict`), and the group that opens the new boot (the journal's resume).

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use torrens_journal::disk::{Disk, DiskFile, EntryKind, OpenMode};
use torrens_journal::{Boot, Found, SegmentReader};

use crate::error::RecoveryError;
use crate::evidence::Directories;
use crate::facts::{Evidence, GroupPlace};
use crate::report::Cut;
use crate::verdict::TornTail;

/// The directory inside the journal's that keeps what was cut.
const CUT_DIRECTORY: &str = "cut";
/// Bytes copied at a time.
const CHUNK_BYTES: usize = 64 * 1024;
/// How many cuts at one place of one boot are kept; each needs a crash inside the recovery before.
const NAMES_MAX: u32 = 4096;

/// How many files `cut/` keeps.
pub(crate) const KEPT_FILES_MAX: usize = 32;
/// How many bytes the files in `cut/` have in all, unless the newest alone has more.
pub(crate) const KEPT_BYTES_MAX: u64 = 256 * 1024 * 1024;

/// What was done.
#[derive(Debug, Default)]
pub(crate) struct Repaired {
    pub(crate) cut: Option<Cut>,
    pub(crate) groups_rewritten: u64,
}

/// Repairs the last segment for opening as `boot`.
pub(crate) fn repair(
    disk: &dyn Disk,
    directories: &Directories,
    evidence: &Evidence,
    torn: Option<&TornTail>,
    boot: Boot,
) -> Result<Repaired, RecoveryError> {
    let Some(last) = evidence.segments.last() else {
        return Ok(Repaired::default());
    };
    let groups = evidence.unwitnessed_groups();
    if torn.is_none() && groups.is_empty() {
        return Ok(Repaired::default());
    }
    let path = directories.journal.join(last.id.file_name());
    let file = disk
        .open(&path, OpenMode::Write)
        .map_err(failed("open", &path))?;
    let cut = match torn {
        Some(torn) => {
            let cut = keep_aside(disk, directories, &file, &path, torn, boot)?;
            file.write_zeros(torn.position.offset_bytes, torn.cut_bytes())
                .map_err(failed("write zeros to", &path))?;
            file.sync_data().map_err(failed("sync", &path))?;
            Some(cut)
        }
        None => None,
    };
    if !groups.is_empty() && !torrens_journal::planted!("accepted-groups-not-rewritten") {
        let mut reader = SegmentReader::open(disk, &directories.journal, last.id, evidence.store)
            .map_err(RecoveryError::Reread)?;
        rewrite(&*file, &mut reader, groups)?;
    }
    Ok(Repaired {
        cut,
        groups_rewritten: groups.len() as u64,
    })
}

fn failed(operation: &'static str, path: &Path) -> impl Fn(io::Error) -> RecoveryError {
    let path = path.to_owned();
    move |source| RecoveryError::Repair {
        operation,
        path: path.clone(),
        source,
    }
}

/// Copies the tail into a file of its own. A file that already has the name is whole (it was renamed
/// after its sync) and may know more than the segment now does, so it is never replaced.
fn keep_aside(
    disk: &dyn Disk,
    directories: &Directories,
    segment: &Arc<dyn DiskFile>,
    segment_path: &Path,
    torn: &TornTail,
    boot: Boot,
) -> Result<Cut, RecoveryError> {
    let dir = directories.journal.join(CUT_DIRECTORY);
    disk.create_dir_all(&dir)
        .map_err(failed("create directory", &dir))?;
    disk.sync_dir(&directories.journal)
        .map_err(failed("sync directory", &directories.journal))?;
    let kept = free_name(disk, &dir, torn, boot)?;
    let aside = kept.with_extension("bin.new");
    match disk.remove(&aside) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(failed("remove", &aside)(error));
        }
        _ => {}
    }
    let copy = disk
        .open(&aside, OpenMode::CreateNew)
        .map_err(failed("create", &aside))?;
    let begin = torn.position.offset_bytes;
    let mut chunk = vec![0u8; CHUNK_BYTES];
    let mut done = 0u64;
    while done < torn.cut_bytes() {
        let bytes = usize::try_from(torn.cut_bytes() - done)
            .unwrap_or(usize::MAX)
            .min(CHUNK_BYTES);
        let chunk = chunk.get_mut(..bytes).unwrap_or(&mut []);
        segment
            .read_exact_at(begin + done, chunk)
            .map_err(failed("read", segment_path))?;
        copy.write_all_at(done, chunk)
            .map_err(failed("write", &aside))?;
        done += bytes as u64;
    }
    copy.sync_data().map_err(failed("sync", &aside))?;
    disk.rename(&aside, &kept)
        .map_err(failed("rename", &aside))?;
    disk.sync_dir(&dir)
        .map_err(failed("sync directory", &dir))?;
    retain(disk, &dir, &kept)?;
    Ok(Cut {
        bytes: torn.cut_bytes(),
        kept,
    })
}

/// Removes the oldest cuts beyond the bounds, never `newest`. Losing a removal to a crash is fine: the
/// next cut removes again.
fn retain(disk: &dyn Disk, dir: &Path, newest: &Path) -> Result<(), RecoveryError> {
    let mut cuts: Vec<_> = disk
        .list(dir)
        .map_err(failed("list", dir))?
        .into_iter()
        .filter(|entry| entry.kind == EntryKind::File)
        .filter_map(|entry| Some((age_of(&entry.name)?, dir.join(&entry.name), entry.bytes)))
        .collect();
    cuts.sort();
    let mut files = cuts.len();
    let mut bytes = cuts
        .iter()
        .map(|(_, _, bytes)| bytes)
        .fold(0u64, |sum, bytes| sum.saturating_add(*bytes));
    for (_, path, its_bytes) in cuts {
        if files <= KEPT_FILES_MAX && bytes <= KEPT_BYTES_MAX {
            break;
        }
        if path != newest {
            disk.remove(&path).map_err(failed("remove", &path))?;
            files -= 1;
            bytes = bytes.saturating_sub(its_bytes);
        }
    }
    Ok(())
}

/// Boot, segment, place and number of a cut, from its name: older ones compare lower.
fn age_of(name: &str) -> Option<(u32, u64, u64, u32)> {
    let mut parts = name.strip_suffix(".bin")?.split('-');
    let segment = parts.next()?.parse().ok()?;
    let offset = u64::from_str_radix(parts.next()?, 16).ok()?;
    let boot = parts.next()?.parse().ok()?;
    let number = parts.next().map_or(Some(1), |text| text.parse().ok())?;
    Some((boot, segment, offset, number))
}

fn free_name(
    disk: &dyn Disk,
    dir: &Path,
    torn: &TornTail,
    boot: Boot,
) -> Result<PathBuf, RecoveryError> {
    let entries = disk.list(dir).map_err(failed("list", dir))?;
    let stem = format!(
        "{:020}-{:016x}-{}",
        torn.position.segment.get(),
        torn.position.offset_bytes,
        boot
    );
    let taken = |name: &str| {
        entries
            .iter()
            .any(|entry| entry.name == name && entry.kind == EntryKind::File)
    };
    let names = std::iter::once(format!("{stem}.bin"))
        .chain((2..NAMES_MAX).map(|number| format!("{stem}-{number}.bin")));
    for name in names {
        if !taken(&name) {
            return Ok(dir.join(name));
        }
    }
    Err(failed("find a free name in", dir)(
        io::ErrorKind::AlreadyExists.into(),
    ))
}

/// Writes each group over itself and syncs. Each is read and verified once more, so that nothing
/// but the very group of the evidence is written.
fn rewrite(
    file: &dyn DiskFile,
    reader: &mut SegmentReader,
    groups: &[GroupPlace],
) -> Result<(), RecoveryError> {
    let path = reader.path().to_owned();
    for place in groups {
        match reader
            .group_at(place.offset_bytes, None)
            .map_err(RecoveryError::Reread)?
        {
            Found::Group(group) if group.header.crc == place.crc => file
                .write_all_at(place.offset_bytes, group.bytes())
                .map_err(failed("write", &path))?,
            _ => {
                return Err(RecoveryError::Changed {
                    path,
                    offset_bytes: place.offset_bytes,
                });
            }
        }
    }
    file.sync_data().map_err(failed("sync", &path))
}
