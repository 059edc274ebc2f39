//! The first look: marks, checkpoints, the list of segments and their headers.
//!
//! In this order, so that on a live directory a witness never speaks of a segment that the list
//! came too early for.

use std::io;
use std::sync::Arc;

use torrens_journal::format::MARK_PAGES;
use torrens_journal::{
    HeaderFault, Lsn, Mark, MarkFault, ReadError, SegmentHeader, SegmentReader, StoreUuid, list,
    read_mark_pages,
};

use super::Look;
use crate::checkpoint::{self, CheckpointError, CheckpointFault};
use crate::facts::{
    CheckpointFacts, CheckpointState, Evidence, MarkFacts, MarkedPlace, NewerFormat, ReadFailure,
};

/// The evidence so far, and the segments to walk, held open.
#[derive(Debug, Default)]
pub(super) struct Survey {
    pub(super) evidence: Evidence,
    pub(super) readers: Vec<SegmentReader>,
}

impl Survey {
    /// Whether what was seen does not hold together, as when a purge runs at the same time.
    pub(super) fn is_moving(&self) -> bool {
        let first = self.readers.first().and_then(|reader| reader.header().ok());
        let uncovered = first.is_some_and(|header| {
            self.evidence
                .checkpoint_lsn()
                .next()
                .is_none_or(|needed| header.first_lsn > needed)
        });
        uncovered || has_gap(&self.readers)
    }

    /// Where the journal begins and what its checkpoint covers: what a writer moves on.
    pub(super) fn place(&self) -> (Option<Lsn>, Lsn) {
        let first = self.readers.first().and_then(|reader| reader.header().ok());
        let begins = first.map(|header| header.first_lsn);
        (begins, self.evidence.checkpoint_lsn())
    }
}

/// Looks. A refused read ends it, with the refusal in the evidence.
pub(super) fn survey(look: &Look<'_>) -> Survey {
    let mut survey = Survey::default();
    if let Err(failure) = fill(look, &mut survey) {
        survey.evidence.read_failure = Some(failure);
    }
    survey
}

fn fill(look: &Look<'_>, survey: &mut Survey) -> Result<(), ReadFailure> {
    let Look {
        disk, directories, ..
    } = *look;
    let Survey { evidence, readers } = survey;
    evidence.is_part = look.is_part;
    let mark_pages = read_mark_pages(disk, &directories.journal).map_err(refused)?;
    look_at_checkpoints(look, evidence)?;
    let listing = match list(disk, &directories.journal) {
        Ok(listing) => listing,
        Err(ReadError::List { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
            Default::default()
        }
        Err(error) => return Err(refused(error)),
    };
    evidence.mark_file = listing.mark_bytes.is_some();
    if !listing.unfinished.is_empty() {
        let names = listing.unfinished.join(", ");
        evidence.notes.push(format!(
            "unfinished files that hold nothing acknowledged: {names}"
        ));
    }
    for segment in &listing.segments {
        let reader = SegmentReader::open(disk, &directories.journal, segment.id, None);
        readers.push(reader.map_err(refused)?);
    }
    evidence.store = readers
        .iter()
        .rev()
        .find_map(|reader| Some(reader.header().ok()?.store));
    evidence.newer_format = readers
        .iter()
        .find_map(newer_segment)
        .or(evidence.newer_format.take());
    if let Some(store) = evidence.store {
        refuse_foreign_checkpoints(evidence, store);
    }
    evidence.newest_valid = evidence
        .checkpoints
        .iter()
        .position(|file| file.state.info().is_some());
    choose_start(look, evidence, readers)?;
    evidence.marks_whole = are_whole(&mark_pages, evidence.store);
    let mut marks: Vec<Mark> = mark_pages.into_iter().flatten().collect();
    marks.sort_by_key(|mark| mark.number);
    evidence.marks = marks
        .iter()
        .filter(|mark| is_ours(mark, evidence.store))
        .map(facts)
        .collect();
    // With no header left the marks still say whose journal this was.
    evidence.store = evidence.store.or(marks.last().map(|mark| mark.store));
    Ok(())
}

/// Whether the pages are those of the newest four marks, or of all if there are fewer. A mark behind
/// the newest would lie where the oldest of them still is.
fn are_whole(pages: &[Result<Mark, MarkFault>], store: Option<StoreUuid>) -> bool {
    let newest = pages.iter().flatten().map(|mark| mark.number).max();
    let Some(newest) = newest.filter(|_| pages.len() as u64 == MARK_PAGES) else {
        return false;
    };
    pages.iter().enumerate().all(|(page, found)| {
        // How many marks ago this page was written, or would have been.
        let age = (newest + MARK_PAGES - page as u64) % MARK_PAGES;
        match (newest.checked_sub(age), found) {
            (Some(number), Ok(mark)) if number > 0 => mark.number == number && is_ours(mark, store),
            (None | Some(0), Err(MarkFault::Zero)) => true,
            _ => false,
        }
    })
}

fn is_ours(mark: &Mark, store: Option<StoreUuid>) -> bool {
    store.is_none_or(|store| store == mark.store)
}

fn facts(mark: &Mark) -> MarkFacts {
    MarkFacts {
        number: mark.number,
        durable: mark.durable_lsn,
        segment: mark.segment,
        end_offset_bytes: mark.end_offset_bytes,
        chain: mark.chain,
        boot: mark.boot,
        clean_close: mark.clean_close,
        place: MarkedPlace::Missing,
    }
}

fn refused(error: ReadError) -> ReadFailure {
    ReadFailure {
        what: "cannot look at the journal".to_owned(),
        source: Arc::new(error),
    }
}

fn newer_segment(reader: &SegmentReader) -> Option<NewerFormat> {
    match reader.header() {
        Err(fault @ HeaderFault::NewerFormat { .. }) => Some(NewerFormat {
            place: reader.path().display().to_string(),
            what: fault.to_string(),
        }),
        Ok(_) | Err(_) => None,
    }
}

/// Looks at the checkpoints, newest first, until one is valid.
fn look_at_checkpoints(look: &Look<'_>, evidence: &mut Evidence) -> Result<(), ReadFailure> {
    let listed = checkpoint::list(look.disk, &look.directories.checkpoints).map_err(lost)?;
    let mut found = false;
    for file in listed {
        let state = if found {
            Some(CheckpointState::NotRead)
        } else {
            examine(look, &file)?
        };
        let Some(state) = state else { continue };
        found |= state.info().is_some();
        if let CheckpointState::Invalid(fault, _) = &state {
            let path = file.path.display().to_string();
            if let CheckpointFault::NewerFormat { .. } = fault {
                let what = fault.to_string();
                evidence
                    .newer_format
                    .get_or_insert(NewerFormat { place: path, what });
            } else {
                evidence
                    .notes
                    .push(format!("{path} is not a valid checkpoint: {fault}"));
            }
        }
        evidence.checkpoints.push(CheckpointFacts {
            lsn: file.lsn,
            path: file.path,
            state,
        });
    }
    Ok(())
}

/// `None` if a writer removed the file meanwhile.
fn examine(
    look: &Look<'_>,
    file: &checkpoint::Listed,
) -> Result<Option<CheckpointState>, ReadFailure> {
    match checkpoint::examine(look.disk, &file.path, None) {
        Ok(Ok(info)) => Ok(Some(CheckpointState::Valid(info))),
        Ok(Err((fault, meta))) => Ok(Some(CheckpointState::Invalid(fault, meta))),
        Err(CheckpointError::Io { source, .. })
            if look.live && source.kind() == io::ErrorKind::NotFound =>
        {
            Ok(None)
        }
        Err(error) => Err(lost(error)),
    }
}

fn lost(error: CheckpointError) -> ReadFailure {
    ReadFailure {
        what: "cannot look at the checkpoints".to_owned(),
        source: Arc::new(error),
    }
}

fn refuse_foreign_checkpoints(evidence: &mut Evidence, store: StoreUuid) {
    for file in &mut evidence.checkpoints {
        let Some(found) = file
            .state
            .meta()
            .map(|meta| meta.store)
            .filter(|found| *found != store)
        else {
            continue;
        };
        let fault = CheckpointFault::Foreign {
            expected: store,
            found,
        };
        let path = file.path.display();
        evidence
            .notes
            .push(format!("{path} is not a valid checkpoint: {fault}"));
        file.state = CheckpointState::Invalid(fault, None);
    }
}

/// Whether the numbers of the segments are not consecutive.
fn has_gap(readers: &[SegmentReader]) -> bool {
    readers.windows(2).any(|pair| match pair {
        [before, after] => before.id().next() != Some(after.id()),
        _ => false,
    })
}

/// Looks at the checkpoints that nobody looked at because a newer one is valid.
fn look_at_all(look: &Look<'_>, evidence: &mut Evidence) -> Result<(), ReadFailure> {
    let store = evidence.store;
    for file in &mut evidence.checkpoints {
        if file.state == CheckpointState::NotRead {
            let listed = checkpoint::Listed {
                lsn: file.lsn,
                path: file.path.clone(),
                bytes: 0,
            };
            let Some(state) = examine(look, &listed)? else {
                continue;
            };
            let foreign = state
                .meta()
                .is_some_and(|meta| store.is_some_and(|s| s != meta.store));
            if !foreign {
                file.state = state;
            }
        }
    }
    Ok(())
}

/// The newest valid checkpoint, or the newest that is not behind the position asked for.
fn choose_start(
    look: &Look<'_>,
    evidence: &mut Evidence,
    readers: &[SegmentReader],
) -> Result<(), ReadFailure> {
    let newest = evidence.checkpoint_lsn();
    let Some(until) = look.until.filter(|until| *until < newest) else {
        evidence.start = evidence.newest_valid;
        return Ok(());
    };
    look_at_all(look, evidence)?;
    // Without a header the verdict says what is wrong; here it only must not look like a start.
    let first = readers
        .first()
        .and_then(|reader| reader.header().ok())
        .map(first_of);
    let first = first.unwrap_or(Lsn::new(u64::MAX));
    let covered = |lsn: Lsn| lsn.next().is_some_and(|needed| first <= needed);
    let valid = |file: &CheckpointFacts| Some(file.state.info()?.meta.lsn);
    evidence.start = evidence
        .checkpoints
        .iter()
        .position(|file| valid(file).is_some_and(|lsn| lsn <= until && covered(lsn)));
    if evidence.start.is_none() && !covered(Lsn::ZERO) {
        let oldest = evidence
            .checkpoints
            .iter()
            .filter_map(valid)
            .filter(|lsn| covered(*lsn));
        evidence.purged = Some(oldest.min().unwrap_or(newest));
    }
    Ok(())
}

fn first_of(header: &SegmentHeader) -> Lsn {
    header.first_lsn
}
