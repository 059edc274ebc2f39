//! `PiecesDisk`: segments that lie in no directory, one behind the other in a file or a stream. For reading
//! only, like everything here.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use torrens_journal::disk::{DiskFile, Entry, EntryKind, RealDisk};
use torrens_journal::format::{PAGE_BYTES, SEGMENT_MAGIC};
use torrens_journal::header::decode;
use torrens_journal::{HeaderFault, SegmentHeader, SegmentId};

use super::read_only::Readable;
use super::slice::Slice;

/// A journal's directory that is none.
#[derive(Debug)]
pub(super) struct PiecesDisk {
    disk: RealDisk,
    journal: PathBuf,
    segments: BTreeMap<SegmentId, Slice>,
}

/// What a place begins with.
enum Begin {
    /// A segment's header.
    Segment(SegmentHeader),
    /// A header that is damaged, or newer than this version.
    Unclear,
    /// Something else.
    Other,
}

fn begin(bytes: &Slice, at_bytes: u64) -> io::Result<Begin> {
    let mut unclear = false;
    // Either copy of the header is enough.
    for copy in 0..2 {
        let mut page = vec![0; PAGE_BYTES as usize];
        let read = bytes.page(at_bytes + copy * PAGE_BYTES, &mut page)?;
        let page = page.get(..read).unwrap_or_default();
        match decode(page, None, None) {
            Ok(header) => return Ok(Begin::Segment(header)),
            Err(HeaderFault::Magic { .. } | HeaderFault::Zero | HeaderFault::Short { .. }) => {
                unclear |= page.starts_with(&SEGMENT_MAGIC.to_le_bytes());
            }
            Err(_) => unclear = true,
        }
    }
    Ok(match unclear {
        true => Begin::Unclear,
        false => Begin::Other,
    })
}

impl PiecesDisk {
    /// The segments in `bytes`; an error says why there are none, as `InvalidData`.
    pub(super) fn new(disk: RealDisk, journal: PathBuf, bytes: &Slice) -> io::Result<PiecesDisk> {
        let invalid = |why: String| io::Error::new(io::ErrorKind::InvalidData, why);
        let mut segments = BTreeMap::new();
        let mut at = 0;
        while at < bytes.bytes() {
            let (id, stated_bytes) = match begin(bytes, at)? {
                Begin::Segment(header) => (header.segment, header.file_bytes),
                // Its number is not known, and does not matter: the header is looked at again.
                Begin::Unclear if at == 0 => (SegmentId::FIRST, u64::MAX),
                Begin::Unclear | Begin::Other => {
                    return Err(invalid("it does not begin with a segment".to_owned()));
                }
            };
            let next = at.saturating_add(stated_bytes);
            // What follows a segment and is none belongs to it, as in its file.
            let end = match next < bytes.bytes() && !matches!(begin(bytes, next)?, Begin::Other) {
                true => next,
                false => bytes.bytes(),
            };
            if segments.insert(id, bytes.part(at, end - at)).is_some() {
                return Err(invalid(format!("segment {id} is there twice")));
            }
            at = end;
        }
        match segments.is_empty() {
            true => Err(invalid("it is empty".to_owned())),
            false => Ok(PiecesDisk {
                disk,
                journal,
                segments,
            }),
        }
    }
}

impl Readable for PiecesDisk {
    fn real(&self) -> &RealDisk {
        &self.disk
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<Entry>> {
        if dir != self.journal {
            return Err(io::ErrorKind::NotFound.into());
        }
        let entry = |(id, slice): (&SegmentId, &Slice)| Entry {
            name: id.file_name(),
            kind: EntryKind::File,
            bytes: slice.bytes(),
        };
        Ok(self.segments.iter().map(entry).collect())
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        let name = path.file_name().and_then(|name| name.to_str());
        let id = name.and_then(SegmentId::from_file_name);
        match id.and_then(|id| self.segments.get(&id)) {
            Some(slice) if path.parent() == Some(&self.journal) => Ok(Arc::new(slice.clone())),
            _ => Err(io::ErrorKind::NotFound.into()),
        }
    }

    /// Nobody has a stream open.
    fn lock_holder(&self, _: &Path) -> io::Result<Option<u32>> {
        Ok(None)
    }
}
