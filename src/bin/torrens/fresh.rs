//! Where a command may put what it makes: at a new name, outside the store that it reads, complete or not at
//! all, and for the eyes of whoever made it alone, as the store itself.
//!
//! Not here: what is made.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use crate::exit::{Exit, Failure, chain};
use crate::render::printable;

/// Ending of what is not complete yet.
const UNFINISHED: &str = ".unfinished";

/// A file or a directory that gets its name when it is complete. Until then it is beside that name, and
/// it goes away again if nothing comes of it.
#[derive(Debug)]
pub(crate) struct Fresh {
    path: PathBuf,
    aside: PathBuf,
    /// Whether a file of that name may be there.
    replaces: bool,
    is_done: bool,
}

/// A new file, mode 0600. Never one that is there, and never through a link.
///
/// # Errors
/// What the operating system said.
pub(crate) fn create_file(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true).mode(0o600).open(path)
}

/// A new directory, mode 0700.
///
/// # Errors
/// What the operating system said.
pub(crate) fn create_dir(path: &Path) -> io::Result<()> {
    DirBuilder::new().mode(0o700).create(path)
}

/// An ordinary file for reading, never through a link.
///
/// # Errors
/// What the operating system said.
pub(crate) fn open_plain(path: &Path) -> io::Result<File> {
    let flags = rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK;
    let mut options = OpenOptions::new();
    options.read(true).custom_flags(flags.bits().cast_signed());
    options.open(path)
}

impl Fresh {
    /// A name for something new.
    ///
    /// # Errors
    /// If something has that name, if it lies inside `store`, or if the operating system refused.
    pub(crate) fn at(path: &Path, store: Option<&Path>) -> Result<Fresh, Failure> {
        if let Some(store) = store {
            outside(path, store)?;
        }
        match fs::symlink_metadata(path) {
            Ok(_) => return Err(exists(path)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(refused("look at", path, &error)),
        }
        let mut aside = path.as_os_str().to_owned();
        aside.push(UNFINISHED);
        Ok(Fresh {
            path: path.to_owned(),
            aside: aside.into(),
            replaces: false,
            is_done: false,
        })
    }

    /// A name for a file that takes the place of one that may be there.
    ///
    /// # Errors
    /// If something else than an ordinary file has that name, a link say, if it lies inside `store`, or if the operating
    /// system refused.
    pub(crate) fn over(path: &Path, store: &Path) -> Result<Fresh, Failure> {
        outside(path, store)?;
        match fs::symlink_metadata(path) {
            Ok(found) if found.is_file() => {}
            Ok(_) => return Err(no_file(path)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(refused("look at", path, &error)),
        }
        // Of two that make the same one wins; and what a killed one left keeps nobody out.
        let mut aside = path.as_os_str().to_owned();
        aside.push(format!(".{}{UNFINISHED}", std::process::id()));
        Ok(Fresh {
            path: path.to_owned(),
            aside: aside.into(),
            replaces: true,
            is_done: false,
        })
    }

    /// Where it is being made.
    pub(crate) fn aside(&self) -> &Path {
        &self.aside
    }

    /// The file, empty.
    ///
    /// # Errors
    /// If the operating system refused, or somebody makes the same.
    pub(crate) fn file(&self) -> Result<File, Failure> {
        create_file(&self.aside).map_err(|error| self.not_made(&error))
    }

    /// The directory, empty.
    ///
    /// # Errors
    /// As [`Fresh::file`].
    pub(crate) fn directory(&self) -> Result<(), Failure> {
        create_dir(&self.aside).map_err(|error| self.not_made(&error))
    }

    fn not_made(&self, error: &io::Error) -> Failure {
        match error.kind() {
            io::ErrorKind::AlreadyExists => exists(&self.aside),
            _ => refused("create", &self.aside, error),
        }
    }

    /// Gives it its name, unless somebody else took it meanwhile.
    ///
    /// # Errors
    /// If the operating system refused.
    pub(crate) fn finish(mut self) -> Result<(), Failure> {
        // Checked again, since a rename replaces a file or an empty directory.
        if !self.replaces && fs::symlink_metadata(&self.path).is_ok() {
            return Err(exists(&self.path));
        }
        fs::rename(&self.aside, &self.path)
            .map_err(|error| refused("rename", &self.aside, &error))?;
        self.is_done = true;
        Ok(())
    }
}

impl Drop for Fresh {
    fn drop(&mut self) {
        if self.is_done {
            return;
        }
        // What could not be made leaves nothing behind; that this fails too changes nothing.
        let _ = match self.aside.is_dir() {
            true => fs::remove_dir_all(&self.aside),
            false => fs::remove_file(&self.aside),
        };
    }
}

/// Refuses a path inside a store: a store's directory holds what the store put there.
///
/// # Errors
/// If it lies inside.
pub(crate) fn outside(path: &Path, store: &Path) -> Result<(), Failure> {
    let parent = path
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty());
    let parent = fs::canonicalize(parent.unwrap_or(".".as_ref()));
    if let (Ok(parent), Ok(store)) = (parent, fs::canonicalize(store))
        && parent.starts_with(&store)
    {
        return Err(Failure {
            code: "inside-the-store",
            message: format!(
                "{} would lie inside the store's directory, which is only read",
                shown(path)
            ),
            hint: Some("name a place elsewhere".to_owned()),
            exit: Exit::USAGE,
        });
    }
    Ok(())
}

fn exists(path: &Path) -> Failure {
    Failure {
        code: "exists",
        message: format!("{} is there already", shown(path)),
        hint: Some("nothing is written over; name a new place, or move that away".to_owned()),
        exit: Exit::STATE,
    }
}

fn no_file(path: &Path) -> Failure {
    Failure {
        code: "exists",
        message: format!("{} is there already, and is no ordinary file", shown(path)),
        hint: Some("name a file; - is standard output".to_owned()),
        exit: Exit::STATE,
    }
}

/// What the operating system said.
pub(crate) fn refused(doing: &str, path: &Path, error: &dyn std::error::Error) -> Failure {
    Failure {
        code: "output",
        message: format!("cannot {doing} {}: {}", shown(path), chain(error)),
        hint: None,
        exit: Exit::UNREADABLE,
    }
}

fn shown(path: &Path) -> String {
    printable(&path.display().to_string())
}
