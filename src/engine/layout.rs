//! `Layout`: where the files of one store lie. Not here: what is in them.

use std::path::PathBuf;

use torrens_journal::Lsn;
use torrens_journal::disk::Disk;
use torrens_recovery::Directories;

use super::set_aside;

/// Where everything of one store lies.
#[derive(Clone, Debug)]
pub(super) struct Layout {
    pub(super) root: PathBuf,
    pub(super) lock: PathBuf,
    pub(super) journal: PathBuf,
    pub(super) checkpoints: PathBuf,
    pub(super) snapshots: PathBuf,
    pub(super) data: PathBuf,
    pub(super) history: PathBuf,
}

impl Layout {
    /// The names of DESIGN: one folder per kind of file.
    pub(super) fn of(root: PathBuf) -> Self {
        Layout {
            lock: root.join("LOCK"),
            journal: root.join("journal"),
            checkpoints: root.join("checkpoints"),
            snapshots: root.join("snapshots"),
            data: root.join("data"),
            history: root.join("history"),
            root,
        }
    }

    /// Whether a name in the root may be a store's.
    pub(super) fn is_ours(name: &str) -> bool {
        let names = [
            "LOCK",
            "journal",
            "checkpoints",
            "snapshots",
            "data",
            "history",
        ];
        names.contains(&name) || set_aside::is_one(name)
    }

    /// The part that recovery looks at.
    pub(super) fn directories(&self) -> Directories {
        let (journal, checkpoints) = (self.journal.clone(), self.checkpoints.clone());
        Directories {
            journal,
            checkpoints,
        }
    }

    /// Whether the data store has ever been made.
    pub(super) fn has_data(&self, disk: &dyn Disk) -> bool {
        disk.list(&self.data)
            .is_ok_and(|entries| !entries.is_empty())
    }

    /// Where something that cannot be used is kept.
    pub(super) fn aside(&self, kind: set_aside::Kind, last: Lsn, unique: u64) -> PathBuf {
        self.root.join(set_aside::name(kind, last, unique))
    }
}
