//! Directories of runs: on a real disk, fresh, with nothing left to write, and cold when asked.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use rustix::fs::{Advice, SeekFrom, fadvise, seek, statfs};
use tempfile::TempDir;

/// The root of all directories of one invocation; removed with everything in it when dropped.
#[derive(Debug)]
pub(crate) struct Place {
    root: TempDir,
}

impl Place {
    /// A new directory in `parent`, or beside this program if none is given.
    ///
    /// # Errors
    /// The directory is on a file system that has no disk below it, where a sync costs nothing.
    pub(crate) fn new(parent: Option<&Path>) -> Result<Place> {
        let parent = match parent {
            Some(parent) => parent.to_owned(),
            None => beside_this_program()?,
        };
        fs::create_dir_all(&parent)
            .with_context(|| format!("cannot create {}", parent.display()))?;
        refuse_memory(&parent)?;
        let root = tempfile::Builder::new()
            .prefix("peers-")
            .tempdir_in(&parent)
            .with_context(|| format!("cannot create a directory in {}", parent.display()))?;
        Ok(Place { root })
    }

    pub(crate) fn path(&self) -> &Path {
        self.root.path()
    }

    /// An empty directory with nothing waiting to be written on the whole machine.
    pub(crate) fn fresh(&self) -> Result<TempDir> {
        let dir = self.empty()?;
        rustix::fs::sync();
        Ok(dir)
    }

    /// A copy of `filled` of which nothing is cached.
    pub(crate) fn cold_copy(&self, filled: &Path) -> Result<TempDir> {
        let dir = self.copy(filled)?;
        drop_cache(dir.path())?;
        Ok(dir)
    }

    /// A copy of `filled`, with nothing waiting to be written.
    pub(crate) fn copy(&self, filled: &Path) -> Result<TempDir> {
        let dir = self.empty()?;
        copy_all(filled, dir.path())
            .with_context(|| format!("cannot copy {}", filled.display()))?;
        rustix::fs::sync();
        Ok(dir)
    }

    /// A copy of `filled`, for somebody who measures nothing.
    pub(crate) fn copy_of(&self, filled: &Path) -> Result<TempDir> {
        let dir = self.empty()?;
        copy_all(filled, dir.path())
            .with_context(|| format!("cannot copy {}", filled.display()))?;
        Ok(dir)
    }

    fn empty(&self) -> Result<TempDir> {
        tempfile::Builder::new()
            .prefix("run-")
            .tempdir_in(self.root.path())
            .with_context(|| format!("cannot create a directory in {}", self.path().display()))
    }
}

fn beside_this_program() -> Result<PathBuf> {
    let program = std::env::current_exe().context("cannot tell where this program is")?;
    match program.parent() {
        Some(parent) => Ok(parent.to_owned()),
        None => bail!("this program has no folder; say where with --dir"),
    }
}

/// Refuses file systems that live in memory.
fn refuse_memory(dir: &Path) -> Result<()> {
    const TMPFS: i64 = 0x0102_1994;
    const RAMFS: i64 = 0x8584_58F6;
    let kind = statfs(dir)
        .with_context(|| format!("cannot look at the file system of {}", dir.display()))?
        .f_type;
    #[allow(
        clippy::unnecessary_cast,
        reason = "the type differs between platforms"
    )]
    if [TMPFS, RAMFS].contains(&(kind as i64)) {
        bail!(
            "{} is in memory (tmpfs), where a sync costs nothing: give a directory on a disk with --dir",
            dir.display()
        );
    }
    Ok(())
}

/// Every file below `dir`.
pub(crate) fn files(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut dirs = vec![dir.to_owned()];
    while let Some(dir) = dirs.pop() {
        for entry in fs::read_dir(dir)? {
            let entry = entry?;
            let kind = entry.file_type()?;
            if kind.is_dir() {
                dirs.push(entry.path());
            } else if kind.is_file() {
                found.push(entry.path());
            }
        }
    }
    Ok(found)
}

/// Bytes of all files below `dir` that the disk really holds.
pub(crate) fn disk_bytes(dir: &Path) -> io::Result<u64> {
    use std::os::unix::fs::MetadataExt;
    let mut bytes = 0;
    for file in files(dir)? {
        bytes += fs::metadata(file)?.blocks() * 512;
    }
    Ok(bytes)
}

fn drop_cache(dir: &Path) -> Result<()> {
    for path in files(dir)? {
        let file = File::open(&path)?;
        fadvise(&file, 0, None, Advice::DontNeed)
            .with_context(|| format!("cannot drop the cache of {}", path.display()))?;
    }
    Ok(())
}

fn copy_all(from: &Path, to: &Path) -> io::Result<()> {
    for path in files(from)? {
        let name = path.strip_prefix(from).map_err(io::Error::other)?;
        let target = to.join(name);
        if let Some(parent) = target.parent() {
            fs::create_dir_all(parent)?;
        }
        copy_file(&path, &target)?;
    }
    Ok(())
}

/// Copies data and leaves holes as holes, since some peers reserve a gigabyte and use a part of it.
fn copy_file(from: &Path, to: &Path) -> io::Result<()> {
    let from = File::open(from)?;
    let to = File::create_new(to)?;
    let end = from.metadata()?.len();
    to.set_len(end)?;
    let mut buffer = vec![0; 1 << 20];
    let mut offset = 0;
    while offset < end {
        let Ok(data) = seek(&from, SeekFrom::Data(offset)) else {
            break; // only a hole is left
        };
        let hole = seek(&from, SeekFrom::Hole(data))?;
        offset = data;
        while offset < hole {
            let wanted = buffer.len().min((hole - offset) as usize);
            let piece = buffer.get_mut(..wanted).unwrap_or_default();
            from.read_exact_at(piece, offset)?;
            to.write_all_at(piece, offset)?;
            offset += wanted as u64;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_refused_with_the_way_out() {
        let shm = Path::new("/dev/shm");
        let mounts = fs::read_to_string("/proc/mounts").unwrap_or_default();
        if !mounts.contains(" /dev/shm tmpfs ") {
            println!("skipped: /dev/shm is not a tmpfs here");
            return;
        }
        let error = Place::new(Some(shm)).unwrap_err().to_string();
        assert!(
            error.contains("tmpfs") && error.contains("--dir"),
            "{error}"
        );
    }

    #[test]
    fn a_copy_has_the_bytes_and_the_holes() {
        let place = Place::new(None).unwrap();
        let from = place.fresh().unwrap();
        let file = File::create_new(from.path().join("a")).unwrap();
        file.set_len(64 << 20).unwrap();
        file.write_all_at(b"start", 0).unwrap();
        file.write_all_at(b"middle", 32 << 20).unwrap();
        fs::create_dir(from.path().join("sub")).unwrap();
        fs::write(from.path().join("sub/b"), b"other").unwrap();

        let to = place.cold_copy(from.path()).unwrap();
        let copy = fs::read(to.path().join("a")).unwrap();
        assert_eq!(copy, fs::read(from.path().join("a")).unwrap());
        assert_eq!(fs::read(to.path().join("sub/b")).unwrap(), b"other");
        assert!(disk_bytes(to.path()).unwrap() < 1 << 20);
    }

    #[test]
    fn everything_is_gone_afterwards() {
        let place = Place::new(None).unwrap();
        let path = place.path().to_owned();
        fs::write(place.fresh().unwrap().path().join("x"), b"x").unwrap();
        drop(place);
        assert!(!path.exists());
    }
}
