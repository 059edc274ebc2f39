//! The generations of checkpoints in a directory: their names, listing them, removing old ones.

use std::io;
use std::path::{Path, PathBuf};

use torrens_journal::disk::{Disk, EntryKind};
use torrens_journal::{Lsn, StoreUuid};

use super::read::examine;
use super::{CheckpointError, CheckpointInfo};

/// Ending of a finished checkpoint; before it stand 20 decimal digits.
const ENDING: &str = ".ckpt";
const DIGITS: usize = 20;

pub(crate) fn file_name(lsn: Lsn) -> String {
    format!("{:020}{ENDING}", lsn.get())
}

/// The LSN in a finished checkpoint's name; `None` for any other name.
pub fn lsn_of_name(name: &str) -> Option<Lsn> {
    let digits = name.strip_suffix(ENDING)?;
    if digits.len() != DIGITS || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    digits.parse().ok().map(Lsn::new)
}

/// A file that has a checkpoint's name. Nothing is known about its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// The LSN in its name.
    pub lsn: Lsn,
    /// Where it lies.
    pub path: PathBuf,
    /// File length in bytes.
    pub bytes: u64,
}

/// The finished checkpoints in `dir`, newest first. A missing directory has none.
///
/// # Errors
/// [`CheckpointError::Io`] if the directory cannot be read.
pub fn list(disk: &dyn Disk, dir: &Path) -> Result<Vec<Listed>, CheckpointError> {
    let entries = match disk.list(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(source) => return Err(CheckpointError::io("list", dir)(source)),
    };
    let mut listed: Vec<Listed> = entries
        .into_iter()
        .filter(|entry| entry.kind == EntryKind::File)
        .filter_map(|entry| {
            let lsn = lsn_of_name(&entry.name)?;
            Some(Listed {
                lsn,
                path: dir.join(&entry.name),
                bytes: entry.bytes,
            })
        })
        .collect();
    listed.sort_by_key(|file| std::cmp::Reverse(file.lsn));
    Ok(listed)
}

/// What [`prune`] kept and removed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Pruned {
    /// The valid checkpoints that stay, newest first.
    pub kept: Vec<CheckpointInfo>,
    /// What was removed.
    pub removed: Vec<PathBuf>,
    /// Records below this position are in every kept checkpoint, so that segments below it may go.
    /// [`Lsn::ZERO`] (nothing may go) while fewer than the wanted number of checkpoints are valid.
    pub purge_below: Lsn,
}

/// Keeps the newest `keep` **valid** checkpoints of `store` (each is verified as a whole) and removes
/// every older file and every unfinished one, so it must not run while one is being written. With
/// fewer valid ones nothing is removed.
///
/// # Durability
/// The removals are durable when this returns, so that a purge of the journal that follows can never
/// outlive them and leave an old checkpoint without the records after it.
///
/// # Errors
/// [`CheckpointError::Io`]; some files may be gone then, always older than those to keep.
pub fn prune(
    disk: &dyn Disk,
    dir: &Path,
    store: Option<StoreUuid>,
    keep: usize,
) -> Result<Pruned, CheckpointError> {
    let listed = list(disk, dir)?;
    let mut kept = Vec::new();
    let mut removed = Vec::new();
    for file in &listed {
        if kept.len() < keep.max(1) {
            if let Ok(info) = examine(disk, &file.path, store)? {
                kept.push(info);
            }
        } else {
            removed.push(file.path.clone());
        }
    }
    if kept.len() < keep.max(1) {
        return Ok(Pruned {
            kept,
            removed: Vec::new(),
            purge_below: Lsn::ZERO,
        });
    }
    removed.extend(unfinished(disk, dir)?);
    for path in &removed {
        disk.remove(path)
            .map_err(CheckpointError::io("remove", path))?;
    }
    if !removed.is_empty() {
        disk.sync_dir(dir)
            .map_err(CheckpointError::io("sync directory", dir))?;
    }
    let purge_below = kept
        .iter()
        .map(|info| {
            info.meta
                .first_needed
                .min(info.meta.lsn.next().unwrap_or(info.meta.lsn))
        })
        .min()
        .unwrap_or(Lsn::ZERO);
    Ok(Pruned {
        kept,
        removed,
        purge_below,
    })
}

fn unfinished(disk: &dyn Disk, dir: &Path) -> Result<Vec<PathBuf>, CheckpointError> {
    let entries = disk.list(dir).map_err(CheckpointError::io("list", dir))?;
    Ok(entries
        .into_iter()
        .filter(|entry| entry.kind == EntryKind::File)
        .filter(|entry| {
            entry
                .name
                .strip_suffix(".new")
                .and_then(lsn_of_name)
                .is_some()
        })
        .map(|entry| dir.join(&entry.name))
        .collect())
}
