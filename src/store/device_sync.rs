//! `DeviceSync`: making the files of a store that does not do so itself durable on the device.
//!
//! Which files there are is read from the directory each time: the store makes and removes them.
//!
//! Not here: whose files these are and when (`sled`).

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

/// A store's directory: a log that is written in place, a directory of files that are written once,
/// and a few others.
#[derive(Debug)]
pub(super) struct DeviceSync {
    dir: PathBuf,
    log_name: &'static str,
    /// Open for as long as the store is, so that no write-back error of its pages goes unseen.
    log_file: File,
    write_once_dir: PathBuf,
    /// Files of `write_once_dir` that are durable already.
    durable: BTreeSet<OsString>,
    syncs: u64,
}

impl DeviceSync {
    pub(super) fn open(
        dir: &Path,
        log_name: &'static str,
        write_once_dir: &'static str,
    ) -> io::Result<DeviceSync> {
        Ok(DeviceSync {
            dir: dir.to_owned(),
            log_name,
            log_file: File::open(dir.join(log_name))?,
            write_once_dir: dir.join(write_once_dir),
            durable: BTreeSet::new(),
            syncs: 0,
        })
    }

    /// Syncs of files and directories so far.
    pub(super) fn syncs(&self) -> u64 {
        self.syncs
    }

    /// Makes every file and every name durable.
    pub(super) fn sync_all(&mut self) -> io::Result<()> {
        let write_once_dir = self.write_once_dir.clone();
        let mut durable = BTreeSet::new();
        for name in file_names(&write_once_dir)? {
            if self.durable.contains(&name) || self.sync(&write_once_dir.join(&name))? {
                durable.insert(name);
            }
        }
        self.sync(&write_once_dir)?;
        let dir = self.dir.clone();
        for name in file_names(&dir)? {
            if name != self.log_name {
                self.sync(&dir.join(name))?;
            }
        }
        self.log_file.sync_all()?;
        self.syncs += 1;
        self.sync(&dir)?;
        self.durable = durable;
        Ok(())
    }

    /// Makes the directory's own name durable.
    pub(super) fn sync_parent(&mut self) -> io::Result<()> {
        sync_parent(&self.dir)?;
        self.syncs += 1;
        Ok(())
    }

    /// Syncs a file or directory; `false` if it is gone.
    fn sync(&mut self, path: &Path) -> io::Result<bool> {
        match File::open(path) {
            Ok(file) => {
                file.sync_all()?;
                self.syncs += 1;
                Ok(true)
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }
}

/// Makes the names in a directory durable. The second call is for XFS, whose sync of a directory hides
/// that the file system was shut down; asking for its metadata does not.
pub(super) fn sync_dir(dir: &Path) -> io::Result<()> {
    let dir = File::open(dir)?;
    dir.sync_all()?;
    dir.metadata().map(drop)
}

/// Makes a directory's own name durable.
pub(super) fn sync_parent(dir: &Path) -> io::Result<()> {
    sync_dir(parent_of(dir))
}

fn parent_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        Some(_) => Path::new("."),
        // The root has no name that could be lost.
        None => path,
    }
}

/// Creates a directory and its missing parents durably, for the owner only.
pub(super) fn create_dir(dir: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    let is_missing = |path: &&Path| !path.as_os_str().is_empty() && !path.exists();
    let missing: Vec<&Path> = dir.ancestors().take_while(is_missing).collect();
    builder.create(dir)?;
    for made in missing {
        sync_parent(made)?;
    }
    Ok(())
}

/// Names of the regular files of a directory; none if it does not exist.
pub(super) fn file_names(dir: &Path) -> io::Result<Vec<OsString>> {
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry?;
        match entry.file_type() {
            Ok(kind) if kind.is_file() => names.push(entry.file_name()),
            Ok(_) => {}
            // A store may remove files in the background.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(names)
}
