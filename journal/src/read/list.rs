//! Which of the names in a journal's directory are whose.

use std::path::Path;

use crate::disk::{Disk, EntryKind};
use crate::error::ReadError;
use crate::format::{MARK_FILE_NAME, UNFINISHED_SUFFIX};
use crate::ids::SegmentId;

/// One segment file in a directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentEntry {
    /// The number in its name.
    pub id: SegmentId,
    /// Its length.
    pub bytes: u64,
}

/// What lies in a journal's directory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listing {
    /// Segments, sorted by number; gaps are not judged.
    pub segments: Vec<SegmentEntry>,
    /// Length of the mark file, if there is one.
    pub mark_bytes: Option<u64>,
    /// Files that a writer did not finish; they hold nothing that was acknowledged. Sorted.
    pub unfinished: Vec<String>,
    /// Names that no journal writes. Sorted.
    pub unknown: Vec<String>,
}

/// Lists a journal's directory.
///
/// # Errors
/// [`ReadError::List`] if the operating system refused.
pub fn list(disk: &dyn Disk, dir: &Path) -> Result<Listing, ReadError> {
    let entries = disk.list(dir).map_err(|source| ReadError::List {
        dir: dir.to_owned(),
        source,
    })?;
    let mut listing = Listing::default();
    for entry in entries {
        let is_file = entry.kind == EntryKind::File;
        let unfinished = entry
            .name
            .strip_suffix(UNFINISHED_SUFFIX)
            .is_some_and(|name| {
                name == MARK_FILE_NAME || SegmentId::from_file_name(name).is_some()
            });
        if !is_file {
            listing.unknown.push(entry.name);
        } else if let Some(id) = SegmentId::from_file_name(&entry.name) {
            listing.segments.push(SegmentEntry {
                id,
                bytes: entry.bytes,
            });
        } else if entry.name == MARK_FILE_NAME {
            listing.mark_bytes = Some(entry.bytes);
        } else if unfinished {
            listing.unfinished.push(entry.name);
        } else {
            listing.unknown.push(entry.name);
        }
    }
    listing.segments.sort_by_key(|segment| segment.id);
    listing.unfinished.sort();
    listing.unknown.sort();
    Ok(listing)
}
