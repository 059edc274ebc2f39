//! What lies in the journal's `repair/`: plans, signs of how far each repair is, and what was set
//! aside.
//!
//! ```text
//! 000001.plan        what is to be done; from here on the repair is begun
//! 000001.done        what all files were afterwards
//! 000001.recorded    the LSN of the record that tells the journal
//! 000001.undoing     it is being taken back      000001.undone   it was
//! 000001-2.kept      what step 2 took away
//! 000001.purged      nothing is kept of it; its number stays taken
//! ```
//!
//! Every file gets its name when it is whole and durable.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use torrens_journal::Lsn;
use torrens_journal::disk::{Disk, OpenMode};

use super::look::files_in;
use super::model::{Fingerprint, RepairPlan};
use super::{RepairError, refused, text};
use crate::evidence::Directories;

/// The directory inside the journal's.
pub(super) const REPAIR_DIRECTORY: &str = "repair";

/// How far a repair is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RepairState {
    /// The plan is durable; some steps may be done. The directory does not open.
    Begun,
    /// Every step is durable.
    Done,
    /// The journal holds a record of it, at this LSN.
    Recorded(Lsn),
    /// It is being taken back. The directory does not open.
    Undoing,
    /// It was taken back.
    Undone,
}

impl RepairState {
    /// Whether it keeps the directory from opening.
    pub const fn is_unfinished(self) -> bool {
        matches!(self, RepairState::Begun | RepairState::Undoing)
    }

    /// Stable name.
    pub const fn as_str(self) -> &'static str {
        match self {
            RepairState::Begun => "begun",
            RepairState::Done => "done",
            RepairState::Recorded(_) => "recorded",
            RepairState::Undoing => "undoing",
            RepairState::Undone => "undone",
        }
    }
}

/// A repair that something is kept of.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RepairInfo {
    /// Its number.
    pub id: u64,
    /// How far it is.
    pub state: RepairState,
    /// What it was to do; `None` if the plan cannot be read.
    pub plan: Option<RepairPlan>,
    /// Bytes that are kept of it.
    pub kept_bytes: u64,
}

/// The signs beside a plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sign {
    Plan,
    Done,
    Recorded,
    Undoing,
    Undone,
    Purged,
}

impl Sign {
    const fn ending(self) -> &'static str {
        match self {
            Sign::Plan => "plan",
            Sign::Done => "done",
            Sign::Recorded => "recorded",
            Sign::Undoing => "undoing",
            Sign::Undone => "undone",
            Sign::Purged => "purged",
        }
    }
}

pub(super) fn directory(directories: &Directories) -> PathBuf {
    directories.journal.join(REPAIR_DIRECTORY)
}

fn sign_path(directories: &Directories, id: u64, sign: Sign) -> PathBuf {
    directory(directories).join(format!("{id:06}.{}", sign.ending()))
}

/// Where what step `number` (from 1) takes away is kept.
pub(super) fn kept_path(directories: &Directories, id: u64, number: usize) -> PathBuf {
    directory(directories).join(format!("{id:06}-{number}.kept"))
}

/// Writes a sign (or the plan, which is sealed already) and makes it durable.
pub(super) fn put(
    disk: &dyn Disk,
    directories: &Directories,
    id: u64,
    sign: Sign,
    body: &str,
) -> Result<(), RepairError> {
    let dir = directory(directories);
    disk.create_dir_all(&dir)
        .map_err(refused("create directory", &dir))?;
    disk.sync_dir(&directories.journal)
        .map_err(refused("sync directory", &directories.journal))?;
    let path = sign_path(directories, id, sign);
    let body = match sign {
        Sign::Plan | Sign::Done => body.to_owned(),
        Sign::Recorded | Sign::Undoing | Sign::Undone | Sign::Purged => text::sealed(body),
    };
    let aside = beside(&path);
    remove_if_there(disk, &aside)?;
    let file = disk
        .open(&aside, OpenMode::CreateNew)
        .map_err(refused("create", &aside))?;
    file.write_all_at(0, body.as_bytes())
        .and_then(|()| file.sync_data())
        .map_err(refused("write", &aside))?;
    disk.rename(&aside, &path)
        .map_err(refused("rename", &aside))?;
    disk.sync_dir(&dir).map_err(refused("sync directory", &dir))
}

/// The sign that says what all files were afterwards.
pub(super) fn files_sign(fingerprint: &Fingerprint) -> String {
    text::files_to_text(fingerprint)
}

/// The unfinished name of a file in `repair/`.
pub(super) fn beside(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".new");
    PathBuf::from(name)
}

pub(super) fn remove_if_there(disk: &dyn Disk, path: &Path) -> Result<(), RepairError> {
    match disk.remove(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(refused("remove", path)(error))
        }
        _ => Ok(()),
    }
}

pub(super) fn exists(disk: &dyn Disk, path: &Path) -> Result<bool, RepairError> {
    match disk.open(path, OpenMode::Read) {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(refused("open", path)(error)),
    }
}

fn read_text(disk: &dyn Disk, path: &Path) -> Result<String, RepairError> {
    let file = disk
        .open(path, OpenMode::Read)
        .map_err(refused("open", path))?;
    let bytes = file.len().map_err(refused("read", path))?;
    if bytes > text::TEXT_BYTES_MAX {
        return Err(bad(path, text::PlanFault::Title));
    }
    let mut buffer = vec![0u8; usize::try_from(bytes).unwrap_or(0)];
    file.read_exact_at(0, &mut buffer)
        .map_err(refused("read", path))?;
    String::from_utf8(buffer).map_err(|_| bad(path, text::PlanFault::Title))
}

fn bad(path: &Path, fault: text::PlanFault) -> RepairError {
    RepairError::BadFile {
        path: path.to_owned(),
        fault,
    }
}

/// The number and the rest of a name in `repair/`.
fn taken_apart(name: &str) -> Option<(u64, &str)> {
    let digits = name.split(['.', '-']).next()?;
    if digits.len() < 6 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    Some((digits.parse().ok()?, name.get(digits.len()..)?))
}

/// A number that no repair had here, purged ones included.
pub(super) fn next_id(disk: &dyn Disk, directories: &Directories) -> Result<u64, RepairError> {
    let files = files_in(disk, &directory(directories))?;
    let highest = files
        .iter()
        .filter_map(|(name, _)| Some(taken_apart(name)?.0))
        .max()
        .unwrap_or(0);
    highest.checked_add(1).ok_or(RepairError::WrongState {
        id: highest,
        state: "the last that can be numbered",
    })
}

pub(super) fn list(
    disk: &dyn Disk,
    directories: &Directories,
) -> Result<Vec<RepairInfo>, RepairError> {
    let mut found: BTreeMap<u64, (Vec<String>, u64)> = BTreeMap::new();
    for (name, bytes) in files_in(disk, &directory(directories))? {
        if let Some((id, rest)) = taken_apart(&name) {
            let (rests, kept) = found.entry(id).or_default();
            rests.push(rest.to_owned());
            *kept = kept.saturating_add(bytes);
        }
    }
    let mut infos = Vec::new();
    for (id, (rests, kept_bytes)) in found {
        let has = |sign: Sign| {
            rests
                .iter()
                .any(|rest| rest.strip_prefix('.') == Some(sign.ending()))
        };
        // Without a plan nothing was changed, or a purge was interrupted.
        if !has(Sign::Plan) {
            continue;
        }
        let state = if has(Sign::Undone) {
            RepairState::Undone
        } else if has(Sign::Undoing) {
            RepairState::Undoing
        } else if has(Sign::Recorded) {
            RepairState::Recorded(recorded_at(disk, directories, id)?)
        } else if has(Sign::Done) {
            RepairState::Done
        } else {
            RepairState::Begun
        };
        infos.push(RepairInfo {
            id,
            state,
            plan: plan_of(disk, directories, id).ok(),
            kept_bytes,
        });
    }
    Ok(infos)
}

fn recorded_at(disk: &dyn Disk, directories: &Directories, id: u64) -> Result<Lsn, RepairError> {
    let path = sign_path(directories, id, Sign::Recorded);
    let text = read_text(disk, &path)?;
    let line = text::line_of(&text).map_err(|fault| bad(&path, fault))?;
    let lsn = line.strip_prefix("lsn ").and_then(|lsn| lsn.parse().ok());
    lsn.map(Lsn::new)
        .ok_or_else(|| bad(&path, text::PlanFault::Line { line: 2 }))
}

fn plan_of(disk: &dyn Disk, directories: &Directories, id: u64) -> Result<RepairPlan, RepairError> {
    let path = sign_path(directories, id, Sign::Plan);
    let text = read_text(disk, &path)?;
    RepairPlan::from_text(&text).map_err(|fault| bad(&path, fault))
}

/// A repair's state and plan.
pub(super) fn find(
    disk: &dyn Disk,
    directories: &Directories,
    id: u64,
) -> Result<(RepairState, RepairPlan), RepairError> {
    let info = list(disk, directories)?
        .into_iter()
        .find(|info| info.id == id);
    let Some(info) = info else {
        let state = "unknown";
        return Err(RepairError::WrongState { id, state });
    };
    match info.plan {
        Some(plan) => Ok((info.state, plan)),
        None => Ok((info.state, plan_of(disk, directories, id)?)),
    }
}

/// What all files were when the repair was done.
pub(super) fn after(
    disk: &dyn Disk,
    directories: &Directories,
    id: u64,
) -> Result<Fingerprint, RepairError> {
    let path = sign_path(directories, id, Sign::Done);
    let text = read_text(disk, &path)?;
    text::files_from_text(&text).map_err(|fault| bad(&path, fault))
}

/// Removes everything of a repair, the plan first: without it the rest means nothing. A sign stays, so
/// that its number is not given out again; only the one of the highest number is needed.
pub(super) fn purge(
    disk: &dyn Disk,
    directories: &Directories,
    id: u64,
) -> Result<(), RepairError> {
    let dir = directory(directories);
    let sync = || disk.sync_dir(&dir).map_err(refused("sync directory", &dir));
    put(disk, directories, id, Sign::Purged, "")?;
    remove_if_there(disk, &sign_path(directories, id, Sign::Plan))?;
    sync()?;
    let is_purged = |rest: &str| rest.strip_prefix('.') == Some(Sign::Purged.ending());
    for (name, _) in files_in(disk, &dir)? {
        let superfluous = taken_apart(&name).is_some_and(|(found, rest)| match is_purged(rest) {
            true => found < id,
            false => found == id,
        });
        if superfluous {
            remove_if_there(disk, &dir.join(&name))?;
        }
    }
    sync()
}
