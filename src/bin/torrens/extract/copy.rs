//! The parts of a store beside its journal, copied as they are.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::fresh;
use crate::progress::{Meter, ProgressWhen};

/// Folders that are copied one behind the other.
#[derive(Debug)]
pub(super) struct Copying {
    meter: Meter,
    /// Bytes of all of them.
    of: u64,
    done: u64,
}

impl Copying {
    /// Of `bytes` in all.
    pub(super) fn new(when: ProgressWhen, bytes: u64) -> Self {
        Copying {
            meter: Meter::new(when),
            of: bytes,
            done: 0,
        }
    }

    /// Copies a folder of plain files, never through a link; `false` if somebody pressed Ctrl-C. Only the
    /// user who makes the copy can read it.
    ///
    /// # Errors
    /// What the operating system said, and of which path.
    pub(super) fn folder(&mut self, from: &Path, to: &Path) -> Result<bool, (PathBuf, io::Error)> {
        let of = |path: &Path| {
            let path = path.to_owned();
            move |error| (path, error)
        };
        if !to.is_dir() {
            fresh::create_dir(to).map_err(of(to))?;
        }
        for entry in fs::read_dir(from).map_err(of(from))? {
            if self.meter.bytes(self.done, Some(self.of)).is_break() {
                return Ok(false);
            }
            let entry = entry.map_err(of(from))?;
            let (source, target) = (entry.path(), to.join(entry.file_name()));
            let kind = entry.file_type().map_err(of(&source))?;
            if kind.is_dir() {
                if !self.folder(&source, &target)? {
                    return Ok(false);
                }
            } else if kind.is_file() && !self.file(&source, &target)? {
                return Ok(false);
            }
        }
        let synced = fs::File::open(to).and_then(|dir| dir.sync_all());
        synced.map_err(of(to))?;
        Ok(true)
    }

    /// Copies one file, durably; `false` if somebody pressed Ctrl-C.
    fn file(&mut self, from: &Path, to: &Path) -> Result<bool, (PathBuf, io::Error)> {
        let of = |path: &Path| {
            let path = path.to_owned();
            move |error| (path, error)
        };
        let mut source = fresh::open_plain(from).map_err(of(from))?;
        let mut target = fresh::create_file(to).map_err(of(to))?;
        loop {
            // In pieces, so that a large file shows how far it is.
            let mut piece = io::Read::take(&mut source, PIECE_BYTES);
            let copied = io::copy(&mut piece, &mut target).map_err(of(to))?;
            self.done = self.done.saturating_add(copied);
            if copied < PIECE_BYTES {
                break;
            }
            if self.meter.bytes(self.done, Some(self.of)).is_break() {
                return Ok(false);
            }
        }
        target.sync_all().map_err(of(to))?;
        Ok(true)
    }
}

/// Bytes between two looks at the clock.
const PIECE_BYTES: u64 = 8 * 1024 * 1024;
