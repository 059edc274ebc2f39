//! Collecting the evidence: walks the directory once and writes down what is there.
//!
//! * `survey`: what the small files and the segment headers say. * `scan`: one segment's groups.
//! * `ahead`: reading and verifying them on other threads before the walk comes to them.
//!
//! Plain reads only, no map; nothing is ever written, judged or cut here. A read that the operating
//! system refuses ends the walk and is itself a fact.
//!
//! On a live directory a writer is at work meanwhile. So the witnesses are read *before* the groups
//! that they speak of, every segment is held open before the first is walked (a purge may remove it
//! meanwhile), and a survey that does not hold together is made again. A writer that purges even the
//! last segment that was listed has outrun the look, which then shows less than was durable when it
//! began: whoever asked looks again.

use std::num::NonZero;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::Arc;

use torrens_journal::disk::{Disk, OpenMode};
use torrens_journal::{Lsn, RecordRef, SegmentId, SegmentReader};

use crate::checkpoint::CheckpointInfo;
use crate::facts::{Evidence, MarkedPlace, ReadFailure, SegmentFacts, Stop};
use crate::verdict::{flaw, joins};

mod ahead;
mod scan;
mod survey;

use ahead::{Ahead, StopOnDrop};
pub(crate) use scan::refused as refused_segment;
use scan::{Scanned, Surroundings, facts_of_header, scan};
use survey::{Survey, survey};

/// Where a store keeps its journal and its checkpoints.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Directories {
    /// The segments and the mark file; `cut/` in it keeps what repair cut.
    pub journal: PathBuf,
    /// The checkpoints; may be missing.
    pub checkpoints: PathBuf,
}

/// What a feed may need to look up.
pub(crate) struct FeedContext<'a> {
    pub(crate) disk: &'a dyn Disk,
}

/// Gets the accepted records as the walk goes. Breaking ends the feeding, not the walk.
pub(crate) trait Feed {
    /// The checkpoint that replay starts from; called once per attempt, before any record.
    fn start(
        &mut self,
        context: &FeedContext<'_>,
        checkpoint: Option<&CheckpointInfo>,
    ) -> ControlFlow<()>;
    /// The next accepted record, in LSN order without gaps, from the journal's first on.
    fn record(&mut self, segment: SegmentId, record: &RecordRef<'_>) -> ControlFlow<()>;
}

/// Feeds nobody.
pub(crate) struct NoFeed;

impl Feed for NoFeed {
    fn start(&mut self, _: &FeedContext<'_>, _: Option<&CheckpointInfo>) -> ControlFlow<()> {
        ControlFlow::Break(())
    }
    fn record(&mut self, _: SegmentId, _: &RecordRef<'_>) -> ControlFlow<()> {
        ControlFlow::Break(())
    }
}

/// How to look.
pub(crate) struct Look<'a> {
    pub(crate) disk: &'a dyn Disk,
    pub(crate) directories: &'a Directories,
    /// A writer may be at work.
    pub(crate) live: bool,
    /// Choose a checkpoint that is not behind this position.
    pub(crate) until: Option<Lsn>,
    /// Threads that verify beside the one that reads and the caller's; `None` for what suits the
    /// machine and the journal, `Some(0)` for none at all.
    pub(crate) threads: Option<usize>,
    /// Behind a journal that was closed in order, look at the beginning of the rest only.
    pub(crate) trust_close: bool,
    /// Only a part of a journal is there: that nothing covers what was before it is no damage.
    pub(crate) is_part: bool,
    /// Told the bytes of segments walked so far and in all; breaking aborts.
    pub(crate) progress: &'a mut dyn FnMut(u64, u64) -> ControlFlow<()>,
}

/// Why there is no evidence.
#[derive(Debug)]
pub(crate) enum NoEvidence {
    /// The progress function asked to stop.
    Aborted,
}

/// A journal of fewer bytes is walked by the calling thread alone.
const AHEAD_BYTES_MIN: u64 = 4 * 1024 * 1024;
/// More threads than these find nothing to do: the device is slower than they are.
const THREADS_MAX: usize = 6;

/// How often the survey of a live directory is repeated before what it shows is believed.
const ATTEMPTS: u32 = 16;
/// The same while each survey shows another state: the writer is ahead, and nothing is wrong yet.
const ATTEMPTS_WHILE_MOVING: u32 = 256;

/// Collects the evidence and hands the accepted records to `feed` on the way. Gives the segments'
/// readers back, one for each segment in the evidence.
pub(crate) fn collect(
    look: &mut Look<'_>,
    feed: &mut dyn Feed,
) -> Result<(Evidence, Vec<SegmentReader>), NoEvidence> {
    let mut seen = survey(look);
    for attempt in 1..ATTEMPTS_WHILE_MOVING {
        if !look.live || (seen.evidence.read_failure.is_none() && !seen.is_moving()) {
            break;
        }
        let next = survey(look);
        let has_moved = next.place() != seen.place();
        seen = next;
        if attempt >= ATTEMPTS && !has_moved {
            break;
        }
    }
    walk(look, seen, feed)
}

impl Evidence {
    /// Whether the directory begins elsewhere by now, or has another checkpoint.
    pub(crate) fn is_outdated(&self, look: &Look<'_>) -> bool {
        let first = self.segments.first().and_then(|first| first.first_lsn);
        survey(look).place() != (first, self.checkpoint_lsn())
    }
}

fn walk(
    look: &mut Look<'_>,
    survey: Survey,
    feed: &mut dyn Feed,
) -> Result<(Evidence, Vec<SegmentReader>), NoEvidence> {
    let Survey { evidence, readers } = survey;
    if evidence.read_failure.is_some() || evidence.newer_format.is_some() {
        return Ok((evidence, readers));
    }
    let bytes_total = readers
        .iter()
        .map(SegmentReader::file_bytes)
        .fold(0, u64::saturating_add);
    let threads = threads(look, bytes_total);
    if threads == 0 {
        return walk_segments(look, evidence, readers, feed, bytes_total, None);
    }
    let segments = readers.iter().map(SegmentReader::ahead).collect();
    let ahead = Ahead::new(threads);
    std::thread::scope(|scope| {
        let _stop = StopOnDrop(&ahead);
        let mut started = Vec::with_capacity(threads + 1);
        started.push(named().spawn_scoped(scope, || ahead.read(segments)));
        for _ in 0..threads {
            started.push(named().spawn_scoped(scope, || ahead.verify()));
        }
        // Without a reader there is nothing to wait for; missing verifiers are only missed.
        let reads = started.first().is_some_and(Result::is_ok);
        let ahead = reads.then_some(&ahead);
        walk_segments(look, evidence, readers, feed, bytes_total, ahead)
    })
}

fn named() -> std::thread::Builder {
    std::thread::Builder::new().name("torrens-replay".to_owned())
}

/// How many threads verify. A live writer's groups are in flight, so that a place must be looked at
/// when its turn comes; and a short journal is walked before a thread has started.
fn threads(look: &Look<'_>, bytes_total: u64) -> usize {
    match look.threads {
        _ if look.live => 0,
        Some(threads) => threads.min(THREADS_MAX),
        None if bytes_total < AHEAD_BYTES_MIN => 0,
        None => std::thread::available_parallelism()
            .map_or(1, NonZero::get)
            .saturating_sub(1)
            .clamp(1, THREADS_MAX),
    }
}

fn walk_segments(
    look: &mut Look<'_>,
    mut evidence: Evidence,
    mut readers: Vec<SegmentReader>,
    feed: &mut dyn Feed,
    bytes_total: u64,
    ahead: Option<&Ahead>,
) -> Result<(Evidence, Vec<SegmentReader>), NoEvidence> {
    let context = FeedContext { disk: look.disk };
    let mut feeding = evidence.purged.is_none()
        && feed
            .start(&context, evidence.start_checkpoint())
            .is_continue();
    let count = readers.len();
    let trust_close = look.trust_close && !look.live && evidence.marks_whole;
    for (index, reader) in readers.iter_mut().enumerate() {
        if (look.progress)(evidence.bytes_read, bytes_total).is_break() {
            return Err(NoEvidence::Aborted);
        }
        // A record goes to the feed only if everything before it is whole: within a segment the scan
        // sees to that, across segments their stitches do.
        let next = facts_of_header(reader, evidence.store);
        let is_last = index + 1 == count;
        if matches!(next.stop, Stop::Header(_)) && !is_last && is_purged(look, reader) {
            evidence.segments.clear();
            continue;
        }
        if flaw(&next, Lsn::ZERO).is_some() || !follows(&evidence, &next) {
            feeding = false;
        }
        let id = reader.id();
        let mut around = Surroundings {
            disk: look.disk,
            store: evidence.store,
            is_last,
            live: look.live,
            trust_close,
            marks: &mut evidence.marks,
            ahead: ahead.map(|ahead| (ahead, index)),
        };
        let scanned = scan(reader, &mut around, &mut |record| {
            if feeding && feed.record(id, record).is_break() {
                feeding = false;
            }
        });
        match scanned {
            Ok(Scanned {
                facts,
                groups,
                bytes_read,
            }) => {
                if !facts.sealed && !is_last && is_purged(look, reader) {
                    evidence.segments.clear();
                    continue;
                }
                evidence.bytes_read = evidence.bytes_read.saturating_add(bytes_read);
                evidence.segments.push(facts);
                evidence.last_groups = groups;
            }
            Err(failure) => {
                evidence.read_failure = Some(failure);
                return Ok((evidence, readers));
            }
        }
    }
    // Only while it has its name, what was not read in it was not there.
    evidence.outrun = readers.last().is_some_and(|reader| is_purged(look, reader));
    place_remaining_marks(&mut evidence);
    if (look.progress)(evidence.bytes_read, bytes_total).is_break() {
        return Err(NoEvidence::Aborted);
    }
    Ok((evidence, readers))
}

/// Whether a segment, and so all before it, was purged since it was listed. A live writer may then
/// use its blocks again, so that what lies in it means nothing any more; a checkpoint covers it. Names
/// are never used again.
fn is_purged(look: &Look<'_>, reader: &SegmentReader) -> bool {
    look.live
        && look
            .disk
            .open(reader.path(), OpenMode::Read)
            .is_err_and(|error| error.kind() == std::io::ErrorKind::NotFound)
}

/// Whether a segment goes on where everything before it ended.
fn follows(evidence: &Evidence, next: &SegmentFacts) -> bool {
    match evidence.segments.last() {
        Some(before) => joins(before, next).is_ok(),
        None => {
            let needed = evidence
                .start_checkpoint()
                .map_or(Lsn::ZERO, |info| info.meta.lsn)
                .next();
            next.first_lsn
                .is_some_and(|first| needed.is_some_and(|needed| first <= needed))
        }
    }
}

/// Marks of segments that were not walked: purged if older than all, missing otherwise.
fn place_remaining_marks(evidence: &mut Evidence) {
    let Some(first) = evidence.segments.first().map(|segment| segment.id) else {
        return;
    };
    for mark in &mut evidence.marks {
        if evidence
            .segments
            .iter()
            .all(|segment| segment.id != mark.segment)
        {
            let purged = mark.segment.get() < first.get();
            mark.place = if purged {
                MarkedPlace::Purged
            } else {
                MarkedPlace::Missing
            };
        }
    }
}

pub(crate) fn failure(
    what: String,
    source: impl std::error::Error + Send + Sync + 'static,
) -> ReadFailure {
    ReadFailure {
        what,
        source: Arc::new(source),
    }
}
