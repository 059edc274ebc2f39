//! Journals that do not lie in a store's directory as a writer left them: packed by zstd, a copy of some
//! segments, or a stream of them. An [`Inspector`] of them has the same powers as far as the bytes go.
//!
//! * `packed`: a directory with `NAME.zst` for `NAME`. * `pieces`: segments one behind the other.
//! * `read_only`: what both refuse. * `unpack`, `slice`: the bytes.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use torrens_journal::SegmentId;
use torrens_journal::disk::{RealDisk, RealDiskOptions, SyncChoice};
use torrens_recovery::Directories;

use super::{InspectError, Inspector, Watch, io_error};
use packed::PackedDisk;
use pieces::PiecesDisk;
use read_only::ReadOnly;
use slice::Slice;

mod packed;
mod pieces;
mod read_only;
mod slice;
mod unpack;

/// More than that is not taken from a stream: it is kept in a nameless file while it is looked at.
const STREAM_BYTES_MAX: u64 = 1024 * 1024 * 1024 * 1024;

fn disk(path: &Path) -> Result<RealDisk, InspectError> {
    let options = RealDiskOptions {
        sync: SyncChoice::Fdatasync,
        ..RealDiskOptions::default()
    };
    RealDisk::with(options).map_err(io_error("look at", path))
}

impl Inspector {
    /// [`Inspector::open`] of whatever holds a journal: a store's directory, also one whose segments and
    /// checkpoints are packed by zstd (`NAME.zst`); a directory of nothing but segments; or a file of one or
    /// more segments, packed or not.
    ///
    /// Segments without a store begin anywhere: that earlier ones are not there is no damage, and states
    /// that rest on them cannot be rebuilt.
    ///
    /// # Errors
    /// As [`Inspector::open`]; [`InspectError::NoSegment`] for a file that holds something else.
    pub fn open_packed(path: impl AsRef<Path>) -> Result<Inspector, InspectError> {
        let path = path.as_ref();
        let found = fs::metadata(path);
        if found.as_ref().is_ok_and(|found| !found.is_dir()) {
            let mut file = File::open(path).map_err(io_error("open", path))?;
            return Inspector::of_file(&mut file, path.to_owned());
        }
        let on_disk = ReadOnly(PackedDisk::new(disk(path)?));
        let has_no_journal = !path.join("journal").exists();
        if has_no_journal && holds_segments(path) {
            let directories = Directories {
                journal: path.to_owned(),
                checkpoints: path.join("checkpoints"),
            };
            return Ok(Inspector::of_part(on_disk, path.to_owned(), directories));
        }
        Inspector::on(Arc::new(on_disk), path)
    }

    /// An inspector of the segments that come out of a stream, one behind the other, packed by zstd or not.
    /// It is read to its end first, into a nameless file.
    ///
    /// # Errors
    /// As [`Inspector::open_packed`].
    pub fn read(stream: &mut dyn Read) -> Result<Inspector, InspectError> {
        let path = PathBuf::from("-");
        let bytes = unpack::spool(stream, STREAM_BYTES_MAX);
        Inspector::of_bytes(&bytes.map_err(of_stream(&path))?, path)
    }

    fn of_file(file: &mut File, path: PathBuf) -> Result<Inspector, InspectError> {
        let found = file.metadata().map_err(io_error("look at", &path))?;
        let mut first = [0; 4];
        let whole = match found.is_file() {
            true => Some(Slice::new(
                file.try_clone().map_err(io_error("open", &path))?,
                found.len(),
            )),
            false => None,
        };
        if let Some(whole) = whole {
            let read = whole.page(0, &mut first).map_err(io_error("read", &path))?;
            if !unpack::is_packed(first.get(..read).unwrap_or_default()) {
                return Inspector::of_bytes(&whole, path);
            }
        }
        let bytes = unpack::spool(file, STREAM_BYTES_MAX).map_err(of_stream(&path))?;
        Inspector::of_bytes(&bytes, path)
    }

    fn of_bytes(bytes: &Slice, path: PathBuf) -> Result<Inspector, InspectError> {
        let directories = Directories {
            journal: path.join("journal"),
            checkpoints: path.join("checkpoints"),
        };
        let disk = PiecesDisk::new(disk(&path)?, directories.journal.clone(), bytes);
        let disk = ReadOnly(disk.map_err(of_stream(&path))?);
        Ok(Inspector::of_part(disk, path, directories))
    }

    fn of_part(
        disk: impl torrens_journal::disk::Disk,
        path: PathBuf,
        directories: Directories,
    ) -> Inspector {
        Inspector {
            disk: Arc::new(disk),
            path,
            directories,
            watch: Watch::default(),
            threads: None,
            is_part: true,
        }
    }
}

/// What was wrong with bytes that should have been segments.
fn of_stream(path: &Path) -> impl FnOnce(io::Error) -> InspectError {
    move |error| match error.kind() {
        io::ErrorKind::InvalidData => InspectError::NoSegment {
            path: path.to_owned(),
            why: error.to_string(),
        },
        _ => io_error("read", path)(error),
    }
}

fn holds_segments(dir: &Path) -> bool {
    let names = fs::read_dir(dir).into_iter().flatten().flatten();
    names
        .filter_map(|entry| entry.file_name().into_string().ok())
        .any(|name| {
            let name = name.strip_suffix(".zst").unwrap_or(&name);
            SegmentId::from_file_name(name).is_some()
        })
}
