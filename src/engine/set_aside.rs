//! Data stores and histories that could not be used: under which names they are kept, and how many.
//!
//! What is left in one may be worth a look, so it is not removed with the trouble that it made. It is
//! not kept for ever either: the oldest go when there are more than [`Options::set_aside_max`].
//!
//! Not here: what cannot be used, and why (`open`).
//!
//! [`Options::set_aside_max`]: super::Options::set_aside_max

use std::io;
use std::path::{Path, PathBuf};

use torrens_journal::disk::{Disk, EntryKind};
use torrens_journal::{Lsn, planted};

/// What was set aside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A data store.
    Data,
    /// A history of observed regions.
    History,
}

impl Kind {
    const ALL: [Kind; 2] = [Kind::Data, Kind::History];

    fn prefix(self) -> &'static str {
        match self {
            Kind::Data => "data.unusable-",
            Kind::History => "history.unusable-",
        }
    }
}

/// Whether a name in a store's directory is one of something that was set aside.
pub(super) fn is_one(name: &str) -> bool {
    Kind::ALL.iter().any(|kind| name.starts_with(kind.prefix()))
}

/// The name for what is set aside now: the journal's position first, so that names sort by age.
pub(super) fn name(kind: Kind, last: Lsn, unique: u64) -> String {
    format!("{}{:016x}-{unique:016x}", kind.prefix(), last.get())
}

/// Removes all but the newest `max` of each kind from `root`; what is left, oldest first.
///
/// # Errors
/// `root` cannot be listed. What cannot be removed stays, and is tried again at the next opening.
pub(super) fn prune(disk: &dyn Disk, root: &Path, max: usize) -> io::Result<Vec<PathBuf>> {
    let entries = disk.list(root)?;
    let mut left = Vec::new();
    for kind in Kind::ALL {
        let of_kind = entries.iter().filter(|entry| {
            entry.kind == EntryKind::Directory && entry.name.starts_with(kind.prefix())
        });
        let mut names: Vec<&str> = of_kind.map(|entry| entry.name.as_str()).collect();
        names.sort_unstable();
        let surplus = names.len().saturating_sub(max);
        for (number, name) in names.into_iter().enumerate() {
            let path = root.join(name);
            if number >= surplus
                || planted!("set-aside-without-a-bound")
                || remove_all(disk, &path).is_err()
            {
                left.push(path);
            }
        }
    }
    Ok(left)
}

/// Removes a directory and everything in it.
fn remove_all(disk: &dyn Disk, dir: &Path) -> io::Result<()> {
    for entry in disk.list(dir)? {
        let path = dir.join(&entry.name);
        match entry.kind {
            EntryKind::Directory => remove_all(disk, &path)?,
            EntryKind::File | EntryKind::Other => disk.remove(&path)?,
        }
    }
    disk.remove_dir(dir)
}

#[cfg(test)]
mod tests {
    use torrens_journal::disk::RealDisk;

    use super::*;

    #[test]
    fn the_oldest_go_first_and_nothing_else_goes() {
        let place = tempfile::tempdir().unwrap();
        let root = place.path();
        let disk = RealDisk::new();
        let made = |kind, last: u64, unique| {
            let path = root.join(name(kind, Lsn::new(last), unique));
            std::fs::create_dir_all(path.join("blobs")).unwrap();
            std::fs::write(path.join("db"), "rows").unwrap();
            std::fs::write(path.join("blobs/1"), "long").unwrap();
            path
        };
        let (second, first) = (made(Kind::Data, 300, 1), made(Kind::Data, 20, 9));
        let third = made(Kind::Data, 4000, 0);
        let history = made(Kind::History, 7, 7);
        for other in ["data", "journal"] {
            std::fs::create_dir(root.join(other)).unwrap();
        }
        std::fs::write(root.join("data.unusable-note"), "a file").unwrap();
        let all = [&first, &second, &third, &history].map(PathBuf::clone);
        assert_eq!(prune(&disk, root, 3).unwrap(), all);
        assert!(first.exists());
        assert_eq!(prune(&disk, root, 1).unwrap(), all[2..]);
        assert!(!first.exists() && !second.exists());
        assert_eq!(prune(&disk, root, 0).unwrap(), Vec::<PathBuf>::new());
        let mut left: Vec<_> = disk.list(root).unwrap();
        left.sort_by(|a, b| a.name.cmp(&b.name));
        let left: Vec<_> = left.into_iter().map(|entry| entry.name).collect();
        assert_eq!(left, ["data", "data.unusable-note", "journal"]);
    }
}
