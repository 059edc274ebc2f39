//! Opening a history: what lies there is recovered as a journal of its own.
//!
//! A history that is damaged is set aside and a new one begins: the store opens all the same, and every
//! attachment that needed it is told. Bytes that the operating system refuses to read, or that a newer
//! version wrote, are no damage: then opening fails, and nothing is given up.

use std::path::Path;
use std::sync::Arc;

use torrens_journal::disk::EntryKind;
use torrens_recovery::{Recovered, RecoveryError, RecoveryOptions, Verdict, recover};

use super::index::Index;
use super::log::{History, Place};
use super::machine::HistoryMachine;
use super::settings::HistorySettings;

/// An opened history.
pub(crate) struct OpenedHistory {
    pub(crate) history: History,
    /// Why the one that was there could not be used, if it could not.
    pub(crate) lost: Option<String>,
}

/// Why a history did not open.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HistoryOpenError {
    /// The operating system refused something.
    #[error("cannot {doing} the history")]
    Io {
        /// What was being done.
        doing: &'static str,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// It can neither be used nor be called damaged.
    #[error("the history cannot be recovered")]
    Recovery(#[source] Box<RecoveryError>),
}

/// Moves every file of a history that cannot be used. If a crash stops it half way, what is left does not
/// reach as far as the data does, and shows as a gap.
fn set_aside(place: &Place, aside: &Path) -> std::io::Result<()> {
    let disk = &*place.disk;
    let directories = place.directories();
    for from in [&directories.journal, &directories.checkpoints] {
        let to = aside.join(from.file_name().unwrap_or_default());
        disk.create_dir_all(&to)?;
        for entry in disk.list(from)? {
            if entry.kind == EntryKind::File {
                disk.rename(&from.join(&entry.name), &to.join(&entry.name))?;
            }
        }
        disk.sync_dir(&to)?;
        disk.sync_dir(from)?;
    }
    disk.sync_dir(aside)?;
    aside
        .parent()
        .map_or(Ok(()), |parent| disk.sync_dir(parent))
}

/// Opens what lies at `place`, or nothing yet. `aside` is where a history goes that cannot be used.
pub(crate) fn open(
    place: Place,
    settings: HistorySettings,
    aside: &Path,
) -> Result<OpenedHistory, HistoryOpenError> {
    let io = |doing| move |source| HistoryOpenError::Io { doing, source };
    let is_there = match place.disk.list(&place.dir) {
        Ok(entries) => entries
            .iter()
            .any(|entry| entry.kind == EntryKind::Directory),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => false,
        Err(error) => return Err(io("list")(error)),
    };
    if !is_there {
        let history = History::of(Some(place), None, Index::default(), settings);
        return Ok(OpenedHistory {
            history,
            lost: None,
        });
    }
    let recovered = recover(
        Arc::clone(&place.disk),
        &place.directories(),
        HistoryMachine::default(),
        RecoveryOptions::new(place.options),
    );
    let damage = match recovered {
        Ok(Recovered {
            machine, journal, ..
        }) if journal.store() == place.store => {
            let mut index = machine.into_index();
            index.forget_below(journal.oldest());
            let history = History::of(Some(place), Some(journal), index, settings);
            return Ok(OpenedHistory {
                history,
                lost: None,
            });
        }
        Ok(Recovered { journal, .. }) => {
            let found = journal.store();
            drop(journal);
            format!("it belongs to another store's journal, {found}")
        }
        // Begun, and never acknowledged.
        Err(RecoveryError::NotAJournal { .. }) => {
            let history = History::of(Some(place), None, Index::default(), settings);
            return Ok(OpenedHistory {
                history,
                lost: None,
            });
        }
        Err(RecoveryError::Refused { report })
            if !matches!(
                report.verdict,
                Verdict::Unreadable(_) | Verdict::NewerFormat(_)
            ) =>
        {
            format!("the verdict on it is {}", report.verdict.name())
        }
        Err(RecoveryError::Checkpoint(error)) => error.to_string(),
        Err(error) => return Err(HistoryOpenError::Recovery(Box::new(error))),
    };
    set_aside(&place, aside).map_err(io("set aside"))?;
    let lost = Some(format!("{damage}; it is kept in {}", aside.display()));
    let history = History::of(Some(place), None, Index::default(), settings);
    Ok(OpenedHistory { history, lost })
}
