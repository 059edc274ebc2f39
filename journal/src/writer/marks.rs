//! Writing marks, and closing: the last mark says that nothing follows.
//!
//! A failed mark does not poison the journal. Marks are witnesses of what is durable already;
//! without the newest one the older ones and the groups still stand.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::disk::{Disk, DiskFile, OpenMode};
use crate::error::{CloseError, MarkError};
use crate::format::{MARK_FILE_NAME, MARK_PAGES, PAGE_BYTES};
use crate::mark::Mark;
use crate::options::WriterKind;
use crate::writer::Inner;
use crate::writer::segment::{PrepareError, create_zeroed, remove_if_there, unfinished};
use crate::writer::state::End;
use crate::writer::watch::Ended;

/// How far a mark is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Effort {
    /// Written, left to the operating system.
    Written,
    /// Durable when the call returns.
    Synced,
    /// Durable, and says that the journal was closed in order.
    Closing,
}

/// The open mark file.
#[derive(Debug)]
pub(super) struct MarkFile {
    file: Arc<dyn DiskFile>,
    path: PathBuf,
    last_number: u64,
    /// What the last mark of this boot said, and whether it is durable.
    last: Option<(End, bool)>,
}

impl MarkFile {
    /// Opens the mark file; makes a new one if there is none or it is too short to use.
    ///
    /// `last_number` is the largest number of the marks that were read.
    pub(super) fn open_or_create(
        disk: &dyn Disk,
        dir: &Path,
        last_number: u64,
    ) -> Result<MarkFile, PrepareError> {
        let path = dir.join(MARK_FILE_NAME);
        let file_bytes = MARK_PAGES * PAGE_BYTES;
        let fail = |source| PrepareError {
            path: path.clone(),
            source,
        };
        let existing = match disk.open(&path, OpenMode::Write) {
            Ok(file) if file.len().map_err(fail)? >= file_bytes => Some(file),
            Ok(_) => None,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
            Err(error) => return Err(fail(error)),
        };
        let file = match existing {
            Some(file) => file,
            None => {
                let file = create_zeroed(disk, &path, file_bytes, WriterKind::Mapped)?;
                disk.rename(&unfinished(&path), &path)
                    .and_then(|()| disk.sync_dir(dir))
                    .map_err(fail)?;
                file
            }
        };
        Ok(MarkFile {
            file,
            path,
            last_number,
            last: None,
        })
    }

    fn put(&mut self, end: End, mark: &Mark, effort: Effort) -> Result<(), MarkError> {
        let sync = effort != Effort::Written;
        let offset_bytes = mark.page() * PAGE_BYTES;
        // The number is used up even if the write fails: the page may hold anything then, and the
        // next mark goes to another one.
        self.last_number = mark.number;
        self.last = None;
        self.file
            .write_all_at(offset_bytes, &mark.encode())
            .and_then(|()| if sync { self.file.sync_data() } else { Ok(()) })
            .map_err(|source| MarkError::Io {
                path: self.path.clone(),
                number: mark.number,
                source,
            })?;
        self.last = Some((end, sync));
        Ok(())
    }
}

impl Inner {
    /// See [`Journal::write_mark`](super::Journal::write_mark).
    pub(super) fn put_mark(&self, effort: Effort) -> Result<(), MarkError> {
        let mut marks = self.marks.lock();
        let end = {
            let state = self.state.lock();
            if let Some(poison) = &state.poison {
                return Err(MarkError::Poisoned(Arc::clone(poison)));
            }
            if state.closed && effort != Effort::Closing {
                return Err(MarkError::Closed);
            }
            state.synced
        };
        let said = match effort {
            Effort::Written => matches!(marks.last, Some((last, _)) if last == end),
            Effort::Synced => marks.last == Some((end, true)),
            Effort::Closing => false,
        };
        if said {
            return Ok(());
        }
        let mark = Mark {
            store: self.workshop.store,
            number: marks.last_number.saturating_add(1),
            segment: end.segment,
            durable_lsn: end.lsn,
            end_offset_bytes: end.offset_bytes,
            chain: end.chain,
            boot: self.boot,
            clean_close: effort == Effort::Closing,
            wall_clock_micros: self.workshop.disk.wall_clock_micros(),
        };
        marks.put(end, &mark, effort)?;
        if effort != Effort::Written {
            self.witnessed.fetch_max(end.lsn.get(), Ordering::SeqCst);
        }
        self.state.lock().stats.marks += 1;
        Ok(())
    }

    /// See [`Journal::close`](super::Journal::close).
    pub(super) fn shut(&self) -> Result<(), CloseError> {
        // Whoever closes too returns when all is done.
        let _closing = self.closing.lock();
        let left_over: Vec<_> = {
            // A thread that prepares the next segment must not do so in a closed directory. Not held during
            // the sync: whoever prepares one may hold the lock that the owner's hooks take.
            let _housekeeping = self.housekeeping.lock();
            let mut state = self.state.lock();
            if state.closed {
                drop(state);
                // Whatever the first close was told, this answer must be true by itself.
                return self.commit(self.appended()).map_err(CloseError::Sync);
            }
            state.closed = true;
            match state.poison {
                None => {
                    let spares: Vec<_> = state.spares.drain(..).collect();
                    let dir = &self.workshop.dir;
                    let names = spares.iter().map(|spare| spare.segment.id().file_name());
                    let paths = names.map(|name| unfinished(&dir.join(name)));
                    paths.chain(std::mem::take(&mut state.recycled)).collect()
                }
                // A poisoned journal touches nothing more.
                Some(_) => Vec::new(),
            }
        };
        let synced = self.commit(self.appended()).map_err(CloseError::Sync);
        // Followers read what is durable now, and then hear that nothing more will come.
        self.watch.end(Ended::Closed);
        let closed = synced.and_then(|()| {
            for path in left_over {
                // Only tidiness: the next writer removes what is left.
                let _ = remove_if_there(&*self.workshop.disk, &path);
            }
            self.put_mark(Effort::Closing).map_err(CloseError::Mark)
        });
        self.is_shut.store(true, Ordering::SeqCst);
        closed
    }
}
