//! Opening for writing: a new journal, or going on after the tail that recovery found.
//!
//! Recovery has judged, repaired and zeroed before `resume` is called; what is checked here only
//! guards against a caller that did not. Opening needs no room on the disk unless the mark file is
//! gone: a sealed or full tail gets its successor at the next append.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64};

use parking_lot::Mutex;

use crate::disk::Disk;
use crate::error::{OpenError, ReadError};
use crate::format::{self, MARK_FILE_NAME, PAGE_BYTES, SEGMENT_HEADER_BYTES};
use crate::group::GroupFlags;
use crate::header::{Predecessor, SegmentHeader};
use crate::ids::{Boot, SegmentId, StoreUuid};
use crate::lsn::Lsn;
use crate::mark::read_marks;
use crate::options::{JournalOptions, WriterPath};
use crate::pin::Pins;
use crate::read::{Listing, SegmentReader, list};
use crate::stats::JournalStats;
use crate::writer::append::is_full;
use crate::writer::batch::Batch;
use crate::writer::cohort::Cohort;
use crate::writer::commit::Lead;
use crate::writer::completion::Completions;
use crate::writer::hooks::Hooks;
use crate::writer::marks::{Effort, MarkFile};
use crate::writer::medium::{self, Burst};
use crate::writer::segment::{PrepareError, Segment, Workshop, remove_if_there};
use crate::writer::state::{Active, End, OpenGroup, Span, State, Unsynced};
use crate::writer::watch::SyncedWatch;
use crate::writer::worker::{Bell, Workers};
use crate::writer::{Inner, Journal, Owner};

/// Where the accepted part of a journal ends, as recovery found it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tail {
    /// The last segment.
    pub segment: SegmentId,
    /// Where its last group ends; 8192 if it has none. Everything behind it is zero.
    pub end_offset_bytes: u64,
    /// LSN of the last record; [`Lsn::ZERO`] in a journal without records.
    pub last_lsn: Lsn,
    /// Header checksum of the last group; in a segment without groups, that of the group before
    /// ([`SegmentHeader::first_chain`]).
    pub chain: u32,
    /// Number of the last group in its segment; 0 if it has none.
    pub group_number: u32,
    /// Whether that group seals the segment.
    pub sealed: bool,
    /// The highest boot seen anywhere. The journal goes on with the next.
    pub boot: Boot,
}

impl Journal {
    /// Makes a new journal in `dir`, which is created if needed. The first record gets LSN 1, the
    /// boot is 1.
    ///
    /// # Durability
    /// When it returns, the empty journal survives a power cut.
    ///
    /// # Errors
    /// [`OpenError::NotEmpty`] if `dir` holds a segment or a mark file; [`OpenError::Full`].
    pub fn create(
        disk: Arc<dyn Disk>,
        dir: &Path,
        store: StoreUuid,
        options: JournalOptions,
    ) -> Result<Journal, OpenError> {
        Journal::create_from(disk, dir, store, options, None)
    }

    /// As [`create`](Self::create), for a store whose state up to `last_lsn` is kept elsewhere (a
    /// checkpoint): the first record gets the next LSN. The first segment is number 2, as if the one
    /// before it had been purged.
    ///
    /// # Durability
    /// As [`create`](Self::create).
    ///
    /// # Errors
    /// As [`create`](Self::create), and [`OpenError::Exhausted`] if no LSN is left.
    pub fn create_after(
        disk: Arc<dyn Disk>,
        dir: &Path,
        store: StoreUuid,
        options: JournalOptions,
        last_lsn: Lsn,
    ) -> Result<Journal, OpenError> {
        let before = Predecessor {
            segment: SegmentId::FIRST,
            last_lsn,
            end_offset_bytes: SEGMENT_HEADER_BYTES + PAGE_BYTES,
            chain: 0,
        };
        Journal::create_from(disk, dir, store, options, Some(before))
    }

    fn create_from(
        disk: Arc<dyn Disk>,
        dir: &Path,
        store: StoreUuid,
        options: JournalOptions,
        predecessor: Option<Predecessor>,
    ) -> Result<Journal, OpenError> {
        let last_lsn = predecessor.map_or(Lsn::ZERO, |before| before.last_lsn);
        let no_segment = OpenError::Exhausted { what: "segment" };
        let id = match predecessor {
            None => SegmentId::FIRST,
            Some(before) => before.segment.next().ok_or(no_segment)?,
        };
        let first_lsn = last_lsn
            .next()
            .ok_or(OpenError::Exhausted { what: "LSN" })?;
        options.validate()?;
        disk.create_dir_all(dir).map_err(|source| OpenError::Io {
            path: dir.to_owned(),
            source,
        })?;
        let listing = list(&*disk, dir)?;
        let segment = listing.segments.first().map(|found| found.id.file_name());
        let mark = listing.mark_bytes.map(|_| MARK_FILE_NAME.to_owned());
        if let Some(found) = segment.or(mark) {
            return Err(OpenError::NotEmpty {
                dir: dir.to_owned(),
                found,
            });
        }
        remove_unfinished(&*disk, dir, &listing)?;

        let file_bytes = options.get_segment_bytes();
        let (workshop, writer_path) = workshop(&disk, dir, store, options);
        let spare = workshop
            .prepare(id, file_bytes, None)
            .map_err(|error| prepare_error(error, file_bytes))?;
        let header = SegmentHeader {
            format_minor: format::FORMAT_MINOR,
            compat_flags: 0,
            store,
            segment: id,
            salt: spare.salt,
            first_lsn,
            file_bytes,
            boot: Boot::FIRST,
            predecessor,
            oldest_needed_lsn: first_lsn,
            wall_clock_micros: disk.wall_clock_micros(),
        };
        workshop
            .sync(&spare.segment, 0, Some(&header), &Burst::default())
            .map_err(|(_, source)| OpenError::Io {
                path: dir.join(id.file_name()),
                source,
            })?;
        // Only now: a mark file without a segment is a sign of loss.
        let marks = open_marks(&*disk, dir, 0)?;
        let tail = Tail {
            segment: id,
            end_offset_bytes: SEGMENT_HEADER_BYTES,
            last_lsn,
            chain: 0,
            group_number: 0,
            sealed: false,
            boot: Boot::FIRST,
        };
        let spans = vec![Span {
            segment: id,
            first_lsn,
        }];
        let state = state_at(&tail, Boot::FIRST, spare.segment, spans, first_lsn);
        let inner = assemble(workshop, writer_path, options, state, marks);
        Ok(started(inner))
    }

    /// Goes on after `tail`, in a directory that recovery has repaired. Segments that exist keep
    /// their size; new ones get that of `options`.
    ///
    /// # Durability
    /// When it returns, a synced mark names the tail as durable; if there is room in the segment,
    /// a synced group without records does so too and starts the new boot.
    ///
    /// # Errors
    /// [`OpenError`]. What the journal holds is untouched, except that the new boot may be in it.
    pub fn resume(
        disk: Arc<dyn Disk>,
        dir: &Path,
        store: StoreUuid,
        tail: Tail,
        options: JournalOptions,
    ) -> Result<Journal, OpenError> {
        let zeros = Zeros::ToBeRead;
        Journal::resume_with(disk, dir, store, tail, options, zeros)
    }

    /// [`Journal::resume`] for a caller that knows that only zeros follow the tail, because it has
    /// just read or written them, or because an orderly close says so: they are not read once more.
    ///
    /// # Durability
    /// As [`Journal::resume`].
    ///
    /// # Errors
    /// As [`Journal::resume`], except [`OpenError::TailNotZero`].
    pub fn resume_before_zeros(
        disk: Arc<dyn Disk>,
        dir: &Path,
        store: StoreUuid,
        tail: Tail,
        options: JournalOptions,
    ) -> Result<Journal, OpenError> {
        Journal::resume_with(disk, dir, store, tail, options, Zeros::Known)
    }

    fn resume_with(
        disk: Arc<dyn Disk>,
        dir: &Path,
        store: StoreUuid,
        tail: Tail,
        options: JournalOptions,
        zeros: Zeros,
    ) -> Result<Journal, OpenError> {
        options.validate()?;
        let boot = tail
            .boot
            .next()
            .ok_or(OpenError::Exhausted { what: "boot" })?;
        if tail.last_lsn.checked_add(2).is_none() {
            return Err(OpenError::Exhausted { what: "LSN" });
        }
        let listing = list(&*disk, dir)?;
        let headers = read_headers(&*disk, dir, store, &listing, &tail)?;
        let Some(header) = headers.last().copied() else {
            return Err(OpenError::Read(ReadError::Open {
                path: dir.join(tail.segment.file_name()),
                source: std::io::ErrorKind::NotFound.into(),
            }));
        };
        check_tail(&header, &tail)?;
        if zeros == Zeros::ToBeRead {
            check_zeros(&*disk, dir, store, &tail)?;
        }
        remove_unfinished(&*disk, dir, &listing)?;

        let last_mark = read_marks(&*disk, dir, Some(store))?.pop();
        let marks = open_marks(&*disk, dir, last_mark.map_or(0, |mark| mark.number))?;
        let (workshop, writer_path) = workshop(&disk, dir, store, options);
        let segment = workshop
            .reopen(&header, tail.end_offset_bytes)
            .map_err(|error| prepare_error(error, header.file_bytes))?;
        let spans = headers
            .iter()
            .map(|header| Span {
                segment: header.segment,
                first_lsn: header.first_lsn,
            })
            .collect();
        let oldest_needed = header.oldest_needed_lsn;
        let mut state = state_at(&tail, boot, Arc::new(segment), spans, oldest_needed);
        if !tail.sealed {
            start_boot(&workshop, &mut state)?;
        }
        let inner = assemble(workshop, writer_path, options, state, marks);
        // Nothing is written if this failed: not even a closing mark.
        inner.put_mark(Effort::Synced).map_err(OpenError::Mark)?;
        Ok(started(inner))
    }
}

/// Stores and syncs the group that says: everything before is accepted, a new boot starts.
fn start_boot(workshop: &Workshop, state: &mut State) -> Result<(), OpenError> {
    let segment = Arc::clone(&state.active.segment);
    // If only the page in reserve is left, this group is also the one that seals the segment.
    let after = state.stored.offset_bytes.saturating_add(PAGE_BYTES);
    let flags = if after >= segment.file_bytes() {
        GroupFlags::RECOVERED.with(GroupFlags::SEAL)
    } else {
        GroupFlags::RECOVERED
    };
    let fail = |source| OpenError::Io {
        path: workshop.dir.join(segment.id().file_name()),
        source,
    };
    if let Err(poison) = state.seal(flags) {
        return Err(OpenError::Poisoned(poison));
    }
    let burst = segment.take();
    workshop
        .sync(&segment, 0, None, &burst)
        .map_err(|(_, source)| fail(source))?;
    state.waiting_bytes = 0;
    state.synced = state.stored;
    Ok(())
}

/// The headers of all segments up to the tail's, oldest first.
fn read_headers(
    disk: &dyn Disk,
    dir: &Path,
    store: StoreUuid,
    listing: &Listing,
    tail: &Tail,
) -> Result<Vec<SegmentHeader>, OpenError> {
    let mut headers = Vec::new();
    for entry in &listing.segments {
        if entry.id > tail.segment {
            return Err(OpenError::BehindTail {
                tail: tail.segment,
                found: entry.id,
            });
        }
        let reader = SegmentReader::open(disk, dir, entry.id, Some(store))?;
        let header = reader.header().map_err(|fault| OpenError::Header {
            segment: entry.id,
            fault: fault.clone(),
        })?;
        headers.push(*header);
    }
    headers.retain(|header| header.segment <= tail.segment);
    if headers
        .last()
        .is_some_and(|header| header.segment != tail.segment)
    {
        headers.clear();
    }
    Ok(headers)
}

/// Whether somebody has made sure that only zeros follow the tail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Zeros {
    Known,
    ToBeRead,
}

/// Refuses a tail at which the segment cannot go on.
fn check_tail(header: &SegmentHeader, tail: &Tail) -> Result<(), OpenError> {
    let end = tail.end_offset_bytes;
    let room_bytes = if tail.sealed { 0 } else { PAGE_BYTES };
    let fits = end >= SEGMENT_HEADER_BYTES
        && end.is_multiple_of(PAGE_BYTES)
        && end
            .checked_add(room_bytes)
            .is_some_and(|needed| needed <= header.file_bytes)
        && tail
            .last_lsn
            .next()
            .is_some_and(|next| next >= header.first_lsn);
    if !fits {
        return Err(OpenError::TailOutOfPlace {
            segment: tail.segment,
            end_offset_bytes: end,
            file_bytes: header.file_bytes,
        });
    }
    Ok(())
}

/// Refuses a tail that bytes other than zero follow.
fn check_zeros(
    disk: &dyn Disk,
    dir: &Path,
    store: StoreUuid,
    tail: &Tail,
) -> Result<(), OpenError> {
    let end = tail.end_offset_bytes;
    let reader = SegmentReader::open(disk, dir, tail.segment, Some(store))?;
    match reader.is_zero_from(end)? {
        Some(offset_bytes) => Err(OpenError::TailNotZero {
            segment: tail.segment,
            offset_bytes,
        }),
        None => Ok(()),
    }
}

/// Removes what an earlier writer did not finish; it holds nothing that was acknowledged.
fn remove_unfinished(disk: &dyn Disk, dir: &Path, listing: &Listing) -> Result<(), OpenError> {
    for name in &listing.unfinished {
        let path = dir.join(name);
        remove_if_there(disk, &path).map_err(|source| OpenError::Io { path, source })?;
    }
    Ok(())
}

fn open_marks(disk: &dyn Disk, dir: &Path, last_number: u64) -> Result<MarkFile, OpenError> {
    MarkFile::open_or_create(disk, dir, last_number)
        .map_err(|error| prepare_error(error, format::MARK_PAGES * PAGE_BYTES))
}

fn prepare_error(error: PrepareError, needed_bytes: u64) -> OpenError {
    let PrepareError { path, source } = error;
    if is_full(&source) {
        OpenError::Full {
            path,
            needed_bytes,
            source,
        }
    } else {
        OpenError::Io { path, source }
    }
}

/// The state of a journal in which everything up to `tail` is durable.
fn state_at(
    tail: &Tail,
    boot: Boot,
    segment: Arc<Segment>,
    spans: Vec<Span>,
    oldest_needed: Lsn,
) -> State {
    let end = End {
        segment: tail.segment,
        lsn: tail.last_lsn,
        offset_bytes: tail.end_offset_bytes,
        chain: tail.chain,
    };
    State {
        boot,
        active: Active {
            segment: Arc::clone(&segment),
            group_number: tail.group_number,
            sealed: tail.sealed,
        },
        open: OpenGroup::default(),
        free_pages: Vec::new(),
        appended: tail.last_lsn,
        stored: end,
        synced: end,
        unsynced: vec![Unsynced {
            segment,
            header: None,
        }],
        spares: VecDeque::new(),
        recycled: Vec::new(),
        waiting_bytes: 0,
        spans,
        oldest_needed,
        lead: Lead::Free,
        flights: VecDeque::new(),
        next_batch: Arc::<Batch>::default(),
        cohort: Cohort::default(),
        poison: None,
        watch: Arc::new(SyncedWatch::new(tail.last_lsn)),
        closed: false,
        stats: JournalStats::default(),
    }
}

/// What all segments of the journal have in common, and the writer that was chosen.
fn workshop(
    disk: &Arc<dyn Disk>,
    dir: &Path,
    store: StoreUuid,
    options: JournalOptions,
) -> (Workshop, WriterPath) {
    let writer_path = medium::choose(&**disk, dir, options.get_writer());
    let workshop = Workshop {
        disk: Arc::clone(disk),
        dir: PathBuf::from(dir),
        store,
        kind: writer_path.kind,
        lanes: options.get_syncs_in_flight(),
    };
    (workshop, writer_path)
}

fn assemble(
    workshop: Workshop,
    writer_path: WriterPath,
    options: JournalOptions,
    state: State,
    marks: MarkFile,
) -> Inner {
    let oldest = state.oldest();
    Inner {
        workshop,
        options,
        writer_path,
        boot: state.boot,
        appended: AtomicU64::new(state.appended.get()),
        watch: Arc::clone(&state.watch),
        witnessed: AtomicU64::new(0),
        is_shut: AtomicBool::new(false),
        pins: Arc::new(Pins::new(oldest)),
        completions: Completions::default(),
        hooks: Hooks::default(),
        is_ahead: AtomicBool::new(false),
        flusher: Bell::default(),
        preparer: Bell::default(),
        state: Mutex::new(state),
        housekeeping: Mutex::new(()),
        closing: Mutex::new(()),
        marks: Mutex::new(marks),
    }
}

/// The first handle, with the threads behind it.
fn started(inner: Inner) -> Journal {
    let inner = Arc::new(inner);
    let workers = Workers::start(&inner);
    Journal {
        owner: Arc::new(Owner {
            inner,
            workers,
            lock: Mutex::new(None),
        }),
    }
}
