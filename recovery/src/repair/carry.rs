//! The steps themselves, there and back. Each can be repeated after a crash in its middle.
//!
//! Order, there: copies of what is zeroed, then the changes, then the sign *done*; all copies are
//! durable before the first change. Back: the reverse, and what was kept stays until it is purged,
//! except files that move home.

use std::path::Path;

use torrens_journal::SegmentHeader;
use torrens_journal::disk::{Disk, DiskFile, OpenMode};
use torrens_journal::format::{FORMAT_MINOR, PAGE_BYTES};
use torrens_journal::{Boot, Lsn, Predecessor, SegmentId, StoreUuid};

use super::files::{Sign, beside, directory, exists, files_sign, kept_path, put, remove_if_there};
use super::look::{fingerprint, place_path};
use super::model::{Place, RepairPlan, Step};
use super::{RepairError, refused};
use crate::evidence::Directories;

const CHUNK_BYTES: usize = 256 * 1024;

/// Carries out a plan whose file is durable.
pub(super) fn out(
    disk: &dyn Disk,
    directories: &Directories,
    id: u64,
    plan: &RepairPlan,
) -> Result<(), RepairError> {
    settle(disk, directories, plan)?;
    for (number, step) in numbered(plan) {
        if let Step::Zero {
            segment,
            from_bytes,
            file_bytes,
            ..
        } = step
        {
            let source = directories.journal.join(segment.file_name());
            let kept = kept_path(directories, id, number);
            keep(disk, &source, *from_bytes, *file_bytes, &kept)?;
        }
    }
    let dir = directory(directories);
    disk.sync_dir(&dir)
        .map_err(refused("sync directory", &dir))?;
    for (number, step) in numbered(plan) {
        match step {
            Step::SetAside { place, name } => {
                let from = place_path(directories, *place).join(name);
                move_file(disk, &from, &kept_path(directories, id, number))?;
                sync_both(disk, directories, *place)?;
            }
            Step::Zero {
                segment,
                from_bytes,
                to_bytes,
                ..
            } => {
                let path = directories.journal.join(segment.file_name());
                let file = disk
                    .open(&path, OpenMode::Write)
                    .map_err(refused("open", &path))?;
                file.write_zeros(*from_bytes, to_bytes.saturating_sub(*from_bytes))
                    .and_then(|()| file.sync_data())
                    .map_err(refused("write zeros to", &path))?;
            }
            Step::NewSegment {
                segment,
                first_lsn,
                file_bytes,
                store,
                boot,
            } => new_segment(
                disk,
                &directories.journal,
                &header(disk, *segment, *first_lsn, *file_bytes, *store, *boot),
            )?,
        }
    }
    let after = fingerprint(disk, directories)?;
    put(disk, directories, id, Sign::Done, &files_sign(&after))
}

/// Takes a plan back, however far it got.
pub(super) fn back(
    disk: &dyn Disk,
    directories: &Directories,
    id: u64,
    plan: &RepairPlan,
) -> Result<(), RepairError> {
    let steps: Vec<_> = numbered(plan).collect();
    for (number, step) in steps.into_iter().rev() {
        let kept = kept_path(directories, id, number);
        match step {
            Step::SetAside { place, name } => {
                if exists(disk, &kept)? {
                    let home = place_path(directories, *place).join(name);
                    disk.rename(&kept, &home)
                        .map_err(refused("rename", &kept))?;
                }
                sync_both(disk, directories, *place)?;
            }
            // Without a complete copy nothing was zeroed yet.
            Step::Zero {
                segment,
                from_bytes,
                file_bytes,
                ..
            } => {
                if exists(disk, &kept)? {
                    let path = directories.journal.join(segment.file_name());
                    put_back(disk, &path, *from_bytes, *file_bytes, &kept)?;
                }
            }
            Step::NewSegment { segment, .. } => {
                // The file that had this name before may be there already, if this is repeated.
                let name = segment.file_name();
                let was_there = plan
                    .fingerprint
                    .files
                    .iter()
                    .any(|file| file.place == Place::Journal && file.name == name);
                let path = directories.journal.join(&name);
                remove_if_there(disk, &beside(&path))?;
                if !was_there {
                    remove_if_there(disk, &path)?;
                }
                sync_both(disk, directories, Place::Journal)?;
            }
        }
    }
    Ok(())
}

fn numbered(plan: &RepairPlan) -> impl Iterator<Item = (usize, &Step)> {
    plan.steps
        .iter()
        .enumerate()
        .map(|(index, step)| (index + 1, step))
}

/// Makes the files that are touched durable as they are, so that what is kept is what was found.
fn settle(
    disk: &dyn Disk,
    directories: &Directories,
    plan: &RepairPlan,
) -> Result<(), RepairError> {
    for step in &plan.steps {
        let path = match step {
            Step::SetAside { place, name } => place_path(directories, *place).join(name),
            Step::Zero { segment, .. } => directories.journal.join(segment.file_name()),
            Step::NewSegment { .. } => continue,
        };
        // Moved already, if this is repeated.
        if exists(disk, &path)? {
            let file = disk
                .open(&path, OpenMode::Write)
                .map_err(refused("open", &path))?;
            file.sync_data().map_err(refused("sync", &path))?;
        }
    }
    Ok(())
}

/// Copies a file's bytes from `from_bytes` to its end `end_bytes`. A copy that has its name is whole.
fn keep(
    disk: &dyn Disk,
    source: &Path,
    from_bytes: u64,
    end_bytes: u64,
    kept: &Path,
) -> Result<(), RepairError> {
    if exists(disk, kept)? {
        return Ok(());
    }
    let aside = beside(kept);
    remove_if_there(disk, &aside)?;
    let file = disk
        .open(source, OpenMode::Read)
        .map_err(refused("open", source))?;
    let copy = disk
        .open(&aside, OpenMode::CreateNew)
        .map_err(refused("create", &aside))?;
    transfer(
        &*file,
        source,
        from_bytes,
        &*copy,
        &aside,
        0,
        end_bytes.saturating_sub(from_bytes),
    )?;
    copy.sync_data().map_err(refused("sync", &aside))?;
    disk.rename(&aside, kept).map_err(refused("rename", &aside))
}

fn put_back(
    disk: &dyn Disk,
    path: &Path,
    from_bytes: u64,
    file_bytes: u64,
    kept: &Path,
) -> Result<(), RepairError> {
    let copy = disk
        .open(kept, OpenMode::Read)
        .map_err(refused("open", kept))?;
    let bytes = copy.len().map_err(refused("read", kept))?;
    let file = disk
        .open(path, OpenMode::Write)
        .map_err(refused("open", path))?;
    transfer(&*copy, kept, 0, &*file, path, from_bytes, bytes)?;
    if file.len().map_err(refused("read", path))? != file_bytes {
        file.set_len(file_bytes).map_err(refused("shorten", path))?;
    }
    file.sync_data().map_err(refused("sync", path))
}

fn transfer(
    from: &dyn DiskFile,
    from_path: &Path,
    from_bytes: u64,
    to: &dyn DiskFile,
    to_path: &Path,
    to_bytes: u64,
    bytes: u64,
) -> Result<(), RepairError> {
    let mut chunk = vec![0u8; CHUNK_BYTES];
    let mut done = 0u64;
    while done < bytes {
        let piece = usize::try_from(bytes - done).map_or(CHUNK_BYTES, |left| left.min(CHUNK_BYTES));
        let chunk = chunk.get_mut(..piece).unwrap_or_default();
        from.read_exact_at(from_bytes + done, chunk)
            .map_err(refused("read", from_path))?;
        to.write_all_at(to_bytes + done, chunk)
            .map_err(refused("write", to_path))?;
        done += piece as u64;
    }
    Ok(())
}

/// Moves a file, unless that was done before.
fn move_file(disk: &dyn Disk, from: &Path, to: &Path) -> Result<(), RepairError> {
    let there = exists(disk, from)?;
    if exists(disk, to)? {
        // Both names: a crash kept the new one and not the loss of the old one, or a later step made
        // a file of that name, which it will make again.
        return if there {
            remove_if_there(disk, from)
        } else {
            Ok(())
        };
    }
    disk.rename(from, to).map_err(refused("rename", from))
}

/// Makes the entries durable: what is kept first.
fn sync_both(disk: &dyn Disk, directories: &Directories, place: Place) -> Result<(), RepairError> {
    let (kept, home) = (directory(directories), place_path(directories, place));
    disk.sync_dir(&kept)
        .map_err(refused("sync directory", &kept))?;
    disk.sync_dir(home).map_err(refused("sync directory", home))
}

fn header(
    disk: &dyn Disk,
    segment: SegmentId,
    first_lsn: Lsn,
    file_bytes: u64,
    store: StoreUuid,
    boot: Boot,
) -> SegmentHeader {
    let before = SegmentId::new(segment.get().saturating_sub(1));
    let predecessor = (segment != SegmentId::FIRST).then(|| Predecessor {
        segment: before,
        last_lsn: Lsn::new(first_lsn.get().saturating_sub(1)),
        // Nothing of it is left to compare with.
        end_offset_bytes: 0,
        chain: 0,
    });
    SegmentHeader {
        format_minor: FORMAT_MINOR,
        compat_flags: 0,
        store,
        segment,
        salt: disk.random_u64(),
        first_lsn,
        file_bytes,
        boot,
        predecessor,
        oldest_needed_lsn: first_lsn,
        wall_clock_micros: disk.wall_clock_micros(),
    }
}

/// Makes an empty segment as a writer does: real zeros, both headers, synced, then named.
fn new_segment(disk: &dyn Disk, dir: &Path, header: &SegmentHeader) -> Result<(), RepairError> {
    let path = dir.join(header.segment.file_name());
    let aside = beside(&path);
    remove_if_there(disk, &aside)?;
    remove_if_there(disk, &path)?;
    let file = disk
        .open(&aside, OpenMode::CreateNew)
        .map_err(refused("create", &aside))?;
    let page = header.encode();
    file.write_zeros(0, header.file_bytes)
        .and_then(|()| file.write_all_at(0, &page))
        .and_then(|()| file.write_all_at(PAGE_BYTES, &page))
        .and_then(|()| file.sync_data())
        .map_err(refused("write", &aside))?;
    disk.rename(&aside, &path)
        .map_err(refused("rename", &aside))?;
    disk.sync_dir(dir).map_err(refused("sync directory", dir))
}
