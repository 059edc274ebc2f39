//! Repair: everything that changes journal bytes behind a writer's back.
//!
//! `tail` cuts a torn tail, the only repair that opening does by itself. Everything else is asked for:
//! [`plan`] says what would be done and what would be lost, [`apply`] does it, [`undo`] takes it back,
//! [`list()`] and [`purge`] look after what was kept.
//!
//! | room | what lives there |
//! |---|---|
//! | `model` | plans, steps and losses as values |
//! | `choose` | from evidence to steps, pure |
//! | `text` | a plan as text and back |
//! | `files` | what lies in `repair/` |
//! | `look` | all files that a plan rests on |
//! | `carry` | the steps themselves, there and back |
//! | `record` | what the journal is told |
//!
//! A repair never throws anything away: whole files are moved into the journal's `repair/`, bytes that
//! are zeroed are copied there first, and the plan that says so is durable before anything changes.
//! From then until the last step is durable the directory does not open
//! ([`RecoveryError::RepairUnfinished`](crate::RecoveryError::RepairUnfinished)): [`resume`] goes on,
//! [`undo`] goes back, and either may be repeated after a crash in its middle.
//!
//! The caller holds the exclusive lock of the store during every call but [`plan`] and [`list()`].

use std::io;
use std::path::{Path, PathBuf};

use torrens_journal::disk::Disk;

use crate::evidence::{Directories, Look, NoFeed, collect};
use crate::facts::Evidence;
use crate::verdict::judge;

mod carry;
mod choose;
mod files;
mod look;
mod model;
pub(crate) mod record;
mod tail;
#[cfg(test)]
mod tests;
mod text;

pub use files::{RepairInfo, RepairState};
pub use model::{Choice, FileState, Fingerprint, Loss, Place, RepairPlan, Step};
pub use record::{REPAIR_RECORD, RepairRecord};
pub(crate) use tail::repair as cut_tail;
pub use text::PlanFault;

/// Why a repair was not planned, done or undone.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RepairError {
    /// The verdict is one that no repair answers: nothing is wrong, or nothing could be read, or a
    /// newer version wrote it.
    #[error("nothing to repair here: the verdict is {verdict}")]
    NotRepairable {
        /// Its stable name.
        verdict: &'static str,
    },
    /// This way does not lead to a directory that opens.
    #[error("{choice} does not help here: {why}")]
    NoWay {
        /// The way that was asked for.
        choice: Choice,
        /// Why not.
        why: String,
    },
    /// The directory is not the one that the plan was made for.
    #[error("{what} is not as it was when the repair was planned")]
    Changed {
        /// The first file that differs.
        what: String,
    },
    /// The plan is not the one that this directory calls for: it was edited, or made by a version that
    /// would do something else. Nothing was done.
    #[error("the plan's {what} is not what this version would plan here")]
    NotThePlan {
        /// The first part of it that differs.
        what: &'static str,
    },
    /// Something was written since the repair, which undoing it would destroy.
    #[error("{what} has changed since repair {id}: it can no longer be undone")]
    ChangedSince {
        /// The repair.
        id: u64,
        /// The first file that differs.
        what: String,
    },
    /// Another repair was begun and not ended. It must be resumed or undone first.
    #[error("repair {id} was begun and not ended")]
    Unfinished {
        /// The repair.
        id: u64,
    },
    /// There is no such repair, or not in a state that allows what was asked.
    #[error("repair {id} is {state}")]
    WrongState {
        /// The repair.
        id: u64,
        /// Its state in words.
        state: &'static str,
    },
    /// A file in `repair/` is not what was written there.
    #[error("{} is not a repair's plan or sign", path.display())]
    BadFile {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        fault: PlanFault,
    },
    /// The operating system refused.
    #[error("cannot {operation} {}", path.display())]
    Io {
        /// What was tried.
        operation: &'static str,
        /// On what.
        path: PathBuf,
        /// Its answer.
        #[source]
        source: io::Error,
    },
}

impl RepairError {
    /// Stable name for machine-readable output.
    pub const fn code(&self) -> &'static str {
        match self {
            RepairError::NotRepairable { .. } => "not-repairable",
            RepairError::NoWay { .. } => "no-way",
            RepairError::Changed { .. } => "changed",
            RepairError::NotThePlan { .. } => "not-the-plan",
            RepairError::ChangedSince { .. } => "changed-since",
            RepairError::Unfinished { .. } => "unfinished",
            RepairError::WrongState { .. } => "wrong-state",
            RepairError::BadFile { .. } => "bad-file",
            RepairError::Io { .. } => "io",
        }
    }
}

fn refused(operation: &'static str, path: &Path) -> impl FnOnce(io::Error) -> RepairError {
    let path = path.to_owned();
    move |source| RepairError::Io {
        operation,
        path,
        source,
    }
}

/// The ways that lead from here to a directory that opens, the one that loses least first.
///
/// # Errors
/// [`RepairError::NotRepairable`], [`RepairError::Io`].
pub fn choices(disk: &dyn Disk, directories: &Directories) -> Result<Vec<Choice>, RepairError> {
    let evidence = evidence(disk, directories)?;
    let ways = choose::ALL.iter().copied();
    Ok(ways
        .filter(|choice| choose::choose(&evidence, *choice, None).is_ok())
        .collect())
}

/// Plans a repair: `choice`, or the way that loses least. Reads, and changes nothing.
///
/// # Errors
/// [`RepairError::NotRepairable`] if the verdict asks for none (a torn tail is cut by opening), and
/// [`RepairError::NoWay`] if the choice does not lead to a directory that opens.
pub fn plan(
    disk: &dyn Disk,
    directories: &Directories,
    choice: Option<Choice>,
) -> Result<RepairPlan, RepairError> {
    let before = look::fingerprint(disk, directories)?;
    let evidence = evidence(disk, directories)?;
    let verdict = judge(&evidence, false);
    let given = choice.is_some();
    let ways: Vec<Choice> = choice.map_or_else(|| choose::ALL.to_vec(), |choice| vec![choice]);
    if !given && verdict.can_open() {
        return Err(RepairError::NotRepairable {
            verdict: verdict.name(),
        });
    }
    let mut no_way = None;
    for choice in ways {
        let group = match choice {
            Choice::CutBefore(lsn) => look::group_of(disk, directories, &evidence, lsn)?,
            _ => None,
        };
        match choose::choose(&evidence, choice, group) {
            Ok(chosen) => {
                let after = look::fingerprint(disk, directories)?;
                if let Some(what) = before.differs_from(&after) {
                    return Err(RepairError::Changed { what });
                }
                return Ok(RepairPlan {
                    fingerprint: before,
                    choice,
                    verdict: verdict.name().to_owned(),
                    found: choose::found(&verdict),
                    steps: chosen.steps,
                    loss: chosen.loss,
                });
            }
            Err(why) => no_way = no_way.or(Some(RepairError::NoWay { choice, why })),
        }
    }
    Err(no_way.unwrap_or(RepairError::NotRepairable {
        verdict: verdict.name(),
    }))
}

fn evidence(disk: &dyn Disk, directories: &Directories) -> Result<Evidence, RepairError> {
    let mut look = Look {
        disk,
        directories,
        live: false,
        until: None,
        threads: None,
        trust_close: false,
        is_part: false,
        progress: &mut |_, _| std::ops::ControlFlow::Continue(()),
    };
    // Nobody asks to stop.
    let (evidence, _) = collect(&mut look, &mut NoFeed).unwrap_or_default();
    let verdict = judge(&evidence, false);
    if evidence.read_failure.is_some()
        || evidence.newer_format.is_some()
        || evidence.is_no_journal()
    {
        return Err(RepairError::NotRepairable {
            verdict: if evidence.is_no_journal() {
                "no-journal"
            } else {
                verdict.name()
            },
        });
    }
    Ok(evidence)
}

/// Whether `plan` can be applied here now, changing nothing: `Some` is the number of the interrupted
/// repair that applying it would go on with.
///
/// A plan comes from outside and may say anything. So it is made once more from the directory, and only
/// one that says the same is ever carried out.
///
/// # Errors
/// As [`apply`].
pub fn check(
    disk: &dyn Disk,
    directories: &Directories,
    plan: &RepairPlan,
) -> Result<Option<u64>, RepairError> {
    let known = list(disk, directories)?;
    if let Some(open) = known.iter().find(|info| info.state.is_unfinished()) {
        if open.state == RepairState::Begun && open.plan.as_ref() == Some(plan) {
            return Ok(Some(open.id));
        }
        return Err(RepairError::Unfinished { id: open.id });
    }
    let now = look::fingerprint(disk, directories)?;
    if let Some(what) = plan.fingerprint.differs_from(&now) {
        return Err(RepairError::Changed { what });
    }
    let own = self::plan(disk, directories, Some(plan.choice))?;
    match own.first_difference(plan) {
        Some(what) => Err(RepairError::NotThePlan { what }),
        None => Ok(None),
    }
}

/// Carries out `plan` and gives the repair's number.
///
/// A plan whose repair was begun here and interrupted goes on where it was.
///
/// # Durability
/// Every backup is durable before anything changes, and everything is durable when this returns.
///
/// # Errors
/// [`RepairError::Changed`] if anything in the directories is not as the plan found it (nothing was
/// done then), [`RepairError::NotThePlan`] if the plan is not one that [`plan`] makes of them,
/// [`RepairError::Unfinished`], [`RepairError::Io`] (to be resumed or undone).
pub fn apply(
    disk: &dyn Disk,
    directories: &Directories,
    plan: &RepairPlan,
) -> Result<u64, RepairError> {
    if let Some(id) = check(disk, directories, plan)? {
        return resume(disk, directories, id).map(|()| id);
    }
    let id = files::next_id(disk, directories)?;
    files::put(disk, directories, id, files::Sign::Plan, &plan.to_text())?;
    carry::out(disk, directories, id, plan)?;
    Ok(id)
}

/// Goes on with a repair that was begun and interrupted.
///
/// # Durability
/// As [`apply`].
///
/// # Errors
/// [`RepairError::WrongState`], [`RepairError::Io`].
pub fn resume(disk: &dyn Disk, directories: &Directories, id: u64) -> Result<(), RepairError> {
    let (state, plan) = files::find(disk, directories, id)?;
    if state != RepairState::Begun {
        return Err(RepairError::WrongState {
            id,
            state: state.as_str(),
        });
    }
    carry::out(disk, directories, id, &plan)
}

/// Whether a repair can be taken back now, changing nothing.
///
/// # Errors
/// As [`undo`].
pub fn check_undo(disk: &dyn Disk, directories: &Directories, id: u64) -> Result<(), RepairError> {
    undoable(disk, directories, id).map(drop)
}

/// The plan of a repair that can be taken back.
fn undoable(
    disk: &dyn Disk,
    directories: &Directories,
    id: u64,
) -> Result<RepairPlan, RepairError> {
    if let Some(open) = list(disk, directories)?
        .iter()
        .find(|info| info.state.is_unfinished() && info.id != id)
    {
        return Err(RepairError::Unfinished { id: open.id });
    }
    let (state, plan) = files::find(disk, directories, id)?;
    match state {
        RepairState::Done => {
            let after = files::after(disk, directories, id)?;
            let now = look::fingerprint(disk, directories)?;
            if let Some(what) = after.differs_from(&now) {
                return Err(RepairError::ChangedSince { id, what });
            }
        }
        RepairState::Begun | RepairState::Undoing => {}
        RepairState::Recorded(_) => {
            let what = "the journal".to_owned();
            return Err(RepairError::ChangedSince { id, what });
        }
        RepairState::Undone => {
            return Err(RepairError::WrongState {
                id,
                state: state.as_str(),
            });
        }
    }
    Ok(plan)
}

/// Takes a repair back: every byte is again what it was. Also ends one that was begun and
/// interrupted, and an undoing that was interrupted.
///
/// # Durability
/// Everything is durable when this returns.
///
/// # Errors
/// [`RepairError::ChangedSince`] if the store was opened for writing, or anything else changed a file
/// since; nothing is done then. [`RepairError::WrongState`], [`RepairError::Io`] (to be repeated).
pub fn undo(disk: &dyn Disk, directories: &Directories, id: u64) -> Result<(), RepairError> {
    let plan = undoable(disk, directories, id)?;
    files::put(disk, directories, id, files::Sign::Undoing, "")?;
    carry::back(disk, directories, id, &plan)?;
    let now = look::fingerprint(disk, directories)?;
    if let Some(what) = plan.fingerprint.differs_from(&now) {
        return Err(RepairError::Changed { what });
    }
    files::put(disk, directories, id, files::Sign::Undone, "")
}

/// Every repair that something is kept of, oldest first.
///
/// # Errors
/// [`RepairError::BadFile`], [`RepairError::Io`].
pub fn list(disk: &dyn Disk, directories: &Directories) -> Result<Vec<RepairInfo>, RepairError> {
    files::list(disk, directories)
}

/// Removes what is kept of a repair that is done or undone. What it set aside is gone then; its number
/// is never given out again.
///
/// # Errors
/// [`RepairError::WrongState`] if it is neither, [`RepairError::Io`].
pub fn purge(disk: &dyn Disk, directories: &Directories, id: u64) -> Result<(), RepairError> {
    let (state, _) = files::find(disk, directories, id)?;
    if state.is_unfinished() {
        return Err(RepairError::WrongState {
            id,
            state: state.as_str(),
        });
    }
    files::purge(disk, directories, id)
}

/// The repair that keeps the directory from opening, if there is one.
pub(crate) fn unfinished(
    disk: &dyn Disk,
    directories: &Directories,
) -> Result<Option<RepairInfo>, RepairError> {
    let known = list(disk, directories)?;
    Ok(known.into_iter().find(|info| info.state.is_unfinished()))
}
