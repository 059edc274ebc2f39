//! The simulated directories: entries that processes see, entries that are durable, and the changes
//! between them.
//!
//! A change of entries is pending until its directory is synced. A power cut keeps or loses each by
//! itself, except that changes of one name are kept in order, a rename inside a directory is one
//! change, and a rename between directories never loses the file: the old name goes only if the new
//! one came.
//!
//! Directories are never removed or renamed, so they are known by their path. The root is the
//! empty path, and durable.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Component, Path, PathBuf};

/// Identifies a file's contents.
pub(super) type Ino = u64;

/// What an entry leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Target {
    File(Ino),
    Directory,
}

type Entries = BTreeMap<String, Target>;

#[derive(Clone, Debug, Default)]
struct Directory {
    live: Entries,
    durable: Entries,
}

/// A change of one directory that is not durable yet.
#[derive(Clone, Debug)]
pub(super) struct Pending {
    id: u64,
    dir: PathBuf,
    /// New targets of names; `None` removes. All of them or none.
    changes: Vec<(String, Option<Target>)>,
    /// Earlier changes without which this one cannot be durable.
    requires: Vec<u64>,
    /// For messages.
    what: String,
}

impl Pending {
    /// The change in words.
    pub(super) fn what(&self) -> &str {
        &self.what
    }
}

/// All directories of a disk.
#[derive(Clone, Debug)]
pub(super) struct Names {
    dirs: BTreeMap<PathBuf, Directory>,
    pending: Vec<Pending>,
    next_id: u64,
}

/// A path taken apart: the directory and the name in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Location {
    pub(super) dir: PathBuf,
    pub(super) name: String,
}

/// The path without its root and its dots.
pub(super) fn normal(path: &Path) -> io::Result<PathBuf> {
    let mut normal = PathBuf::new();
    for component in path.components() {
        match component {
            Component::RootDir | Component::CurDir => {}
            Component::Normal(name) => normal.push(name),
            Component::ParentDir | Component::Prefix(_) => {
                let text = "the simulated disk takes no path with a parent or a drive in it";
                return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
            }
        }
    }
    Ok(normal)
}

impl Names {
    pub(super) fn new() -> Names {
        let dirs = BTreeMap::from([(PathBuf::new(), Directory::default())]);
        Names {
            dirs,
            pending: Vec::new(),
            next_id: 0,
        }
    }

    /// Where `path`'s entry is or would be. The directory exists.
    pub(super) fn locate(&self, path: &Path) -> io::Result<Location> {
        let path = normal(path)?;
        let (Some(dir), Some(name)) = (path.parent(), path.file_name()) else {
            return Err(io::ErrorKind::IsADirectory.into());
        };
        if !self.dirs.contains_key(dir) {
            return Err(self.missing_directory(dir));
        }
        Ok(Location {
            dir: dir.to_path_buf(),
            name: name.to_string_lossy().into_owned(),
        })
    }

    fn missing_directory(&self, dir: &Path) -> io::Error {
        let parent = dir.parent().and_then(|parent| self.dirs.get(parent));
        let name = dir
            .file_name()
            .map(|name| name.to_string_lossy().into_owned());
        match parent
            .zip(name)
            .and_then(|(parent, name)| parent.live.get(&name))
        {
            Some(Target::File(_)) => io::ErrorKind::NotADirectory.into(),
            _ => io::ErrorKind::NotFound.into(),
        }
    }

    pub(super) fn get(&self, location: &Location) -> Option<Target> {
        self.dirs
            .get(&location.dir)?
            .live
            .get(&location.name)
            .copied()
    }

    /// The live entries of a directory.
    pub(super) fn list(&self, dir: &Path) -> io::Result<impl Iterator<Item = (&str, Target)>> {
        let dir = normal(dir)?;
        let found = self
            .dirs
            .get(&dir)
            .ok_or_else(|| self.missing_directory(&dir))?;
        Ok(found
            .live
            .iter()
            .map(|(name, target)| (name.as_str(), *target)))
    }

    /// Whether the (normal) path is a directory.
    pub(super) fn is_dir(&self, dir: &Path) -> bool {
        self.dirs.contains_key(dir)
    }

    /// Every live file: path and contents.
    pub(super) fn files(&self) -> impl Iterator<Item = (PathBuf, Ino)> + '_ {
        self.dirs.iter().flat_map(|(dir, entries)| {
            entries
                .live
                .iter()
                .filter_map(move |(name, target)| match target {
                    Target::File(ino) => Some((Path::new("/").join(dir).join(name), *ino)),
                    Target::Directory => None,
                })
        })
    }

    /// Adds a directory.
    pub(super) fn make_dir(&mut self, location: &Location) {
        self.dirs
            .insert(location.dir.join(&location.name), Directory::default());
        self.set(location, Target::Directory);
    }

    /// Adds or replaces an entry.
    pub(super) fn set(&mut self, location: &Location, target: Target) {
        let what = format!("create /{}", location.dir.join(&location.name).display());
        self.change(
            &location.dir,
            vec![(location.name.clone(), Some(target))],
            Vec::new(),
            what,
        );
    }

    /// Adds an entry that is durable at once.
    pub(super) fn set_durable(&mut self, location: &Location, target: Target) {
        if let Some(dir) = self.dirs.get_mut(&location.dir) {
            dir.live.insert(location.name.clone(), target);
            dir.durable.insert(location.name.clone(), target);
        }
    }

    pub(super) fn remove(&mut self, location: &Location) {
        let what = format!("remove /{}", location.dir.join(&location.name).display());
        self.change(
            &location.dir,
            vec![(location.name.clone(), None)],
            Vec::new(),
            what,
        );
    }

    /// Gives the file at `from` the name `to`.
    pub(super) fn rename(&mut self, from: &Location, to: &Location, file: Ino) {
        let what = format!(
            "rename /{} to /{}",
            from.dir.join(&from.name).display(),
            to.dir.join(&to.name).display()
        );
        let gone = (from.name.clone(), None);
        let come = (to.name.clone(), Some(Target::File(file)));
        if from.dir == to.dir {
            self.change(&from.dir, vec![gone, come], Vec::new(), what);
        } else {
            let arrival = self.change(&to.dir, vec![come], Vec::new(), what.clone());
            self.change(&from.dir, vec![gone], vec![arrival], what);
        }
    }

    fn change(
        &mut self,
        dir: &Path,
        changes: Vec<(String, Option<Target>)>,
        mut requires: Vec<u64>,
        what: String,
    ) -> u64 {
        // The last change of each name carries those before it.
        for (name, _) in &changes {
            let earlier = self.pending.iter().rev().find(|earlier| {
                earlier.dir == dir && earlier.changes.iter().any(|(other, _)| other == name)
            });
            requires.extend(earlier.map(|earlier| earlier.id));
        }
        if let Some(entries) = self.dirs.get_mut(dir) {
            apply(&mut entries.live, &changes);
        }
        let id = self.next_id;
        self.next_id += 1;
        self.pending.push(Pending {
            id,
            dir: dir.to_path_buf(),
            changes,
            requires,
            what,
        });
        id
    }

    /// Makes the directory's entries durable, and what they require elsewhere.
    pub(super) fn sync(&mut self, dir: &Path) {
        let own = self
            .pending
            .iter()
            .filter(|change| change.dir == dir)
            .map(|change| change.id);
        self.persist(own.collect());
    }

    /// Makes the first half of the directory's changes durable.
    pub(super) fn sync_half(&mut self, dir: &Path) {
        let own = self
            .pending
            .iter()
            .filter(|change| change.dir == dir)
            .map(|change| change.id);
        let own: Vec<u64> = own.collect();
        self.persist(own.iter().take(own.len() / 2).copied().collect());
    }

    /// Makes durable what a power cut with this choice would keep.
    pub(super) fn write_back(&mut self, kept: &[bool]) {
        self.persist(self.close(kept));
    }

    fn persist(&mut self, mut wanted: BTreeSet<u64>) {
        // What a change requires stands before it, so one pass from the end finds everything.
        for change in self.pending.iter().rev() {
            if wanted.contains(&change.id) {
                wanted.extend(&change.requires);
            }
        }
        for change in &self.pending {
            if wanted.contains(&change.id)
                && let Some(entries) = self.dirs.get_mut(&change.dir)
            {
                apply(&mut entries.durable, &change.changes);
            }
        }
        self.pending.retain(|change| !wanted.contains(&change.id));
    }

    pub(super) fn pending(&self) -> &[Pending] {
        &self.pending
    }

    /// Of these choices, one for each pending change, whether none keeps a change without what it
    /// requires.
    pub(super) fn is_possible(&self, kept: &[bool]) -> bool {
        let closed = self.close(kept);
        self.pending
            .iter()
            .zip(kept)
            .all(|(change, kept)| closed.contains(&change.id) == *kept)
    }

    /// The changes that are kept and whose requirements are kept.
    fn close(&self, kept: &[bool]) -> BTreeSet<u64> {
        let mut closed = BTreeSet::new();
        // A requirement that is not pending any more is durable.
        let first_pending: BTreeSet<u64> = self.pending.iter().map(|change| change.id).collect();
        for (change, kept) in self.pending.iter().zip(kept) {
            let met = |id: &u64| closed.contains(id) || !first_pending.contains(id);
            if *kept && change.requires.iter().all(met) {
                closed.insert(change.id);
            }
        }
        closed
    }

    /// The names after a power cut that kept these of the pending changes. A change whose
    /// requirements are lost is lost.
    pub(super) fn cut(&self, kept: &[bool]) -> Names {
        let closed = self.close(kept);
        let mut durable: BTreeMap<&Path, Entries> = self
            .dirs
            .iter()
            .map(|(dir, entries)| (&**dir, entries.durable.clone()))
            .collect();
        for change in self
            .pending
            .iter()
            .filter(|change| closed.contains(&change.id))
        {
            if let Some(entries) = durable.get_mut(&*change.dir) {
                apply(entries, &change.changes);
            }
        }
        // Parents sort before their children, so a lost parent is known when its child comes up.
        let mut dirs: BTreeMap<PathBuf, Directory> = BTreeMap::new();
        for (dir, entries) in durable {
            let entry = dir
                .parent()
                .zip(dir.file_name())
                .and_then(|(parent, name)| {
                    dirs.get(parent)?
                        .live
                        .get(&*name.to_string_lossy())
                        .copied()
                });
            if dir.as_os_str().is_empty() || entry == Some(Target::Directory) {
                dirs.insert(
                    dir.to_path_buf(),
                    Directory {
                        live: entries.clone(),
                        durable: entries,
                    },
                );
            }
        }
        Names {
            dirs,
            pending: Vec::new(),
            next_id: self.next_id,
        }
    }

    /// Every file that a live or durable entry or a pending change leads to.
    pub(super) fn reachable(&self) -> BTreeSet<Ino> {
        let entries = self
            .dirs
            .values()
            .flat_map(|dir| dir.live.values().chain(dir.durable.values()));
        let changed = self.pending.iter().flat_map(|change| &change.changes);
        entries
            .copied()
            .chain(changed.filter_map(|(_, target)| *target))
            .filter_map(|target| match target {
                Target::File(ino) => Some(ino),
                Target::Directory => None,
            })
            .collect()
    }
}

fn apply(entries: &mut Entries, changes: &[(String, Option<Target>)]) {
    for (name, target) in changes {
        match target {
            Some(target) => entries.insert(name.clone(), *target),
            None => entries.remove(name),
        };
    }
}
