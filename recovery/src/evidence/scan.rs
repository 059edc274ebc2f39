//! One segment: its groups in order up to the first place that is not the next one, then whatever
//! verifies by itself behind that place.

use std::path::Path;
use std::sync::Arc;

use torrens_journal::disk::{Disk, OpenMode};
use torrens_journal::format::{PAGE_BYTES, SEGMENT_HEADER_BYTES};
use torrens_journal::{
    Boot, Expectation, Found, Group, Lsn, ReadError, RecordRef, SegmentHeader, SegmentReader,
    StoreUuid,
};

use super::ahead::Ahead;
use crate::facts::{
    GroupPlace, LaterGroups, MarkFacts, MarkedPlace, ReadFailure, SegmentFacts, Stop,
};

/// Bytes looked at at a time when searching for the last one that is not zero.
const CHUNK_BYTES: u64 = 256 * 1024;
/// Bytes that are read behind the end of a journal that was closed in order.
const CLOSED_LOOK_BYTES: u64 = 1024 * 1024;

/// What a scan gives.
#[derive(Debug)]
pub(super) struct Scanned {
    pub(super) facts: SegmentFacts,
    /// The accepted groups, if this is the last segment.
    pub(super) groups: Vec<GroupPlace>,
    pub(super) bytes_read: u64,
}

/// What is to be known beside the segment itself.
pub(super) struct Surroundings<'a> {
    pub(super) disk: &'a dyn Disk,
    pub(super) store: Option<StoreUuid>,
    pub(super) is_last: bool,
    /// A writer may be at work.
    pub(super) live: bool,
    /// Whether an orderly close at the very end says that only zeros follow.
    pub(super) trust_close: bool,
    /// The marks; those of this segment are placed.
    pub(super) marks: &'a mut [MarkFacts],
    /// Where batches come from that were read ahead, and the index of this segment there.
    pub(super) ahead: Option<(&'a Ahead, usize)>,
}

/// The facts that need only the header.
pub(super) fn facts_of_header(reader: &SegmentReader, store: Option<StoreUuid>) -> SegmentFacts {
    let header = usable_header(reader, store);
    let mut facts = SegmentFacts {
        id: reader.id(),
        file_bytes: reader.file_bytes(),
        stated_bytes: 0,
        first_lsn: None,
        predecessor: None,
        groups: 0,
        records: 0,
        end_offset_bytes: 0,
        expected: Lsn::ZERO,
        chain: 0,
        group_number: 0,
        sealed: false,
        boot: Boot::default(),
        durable: None,
        stop: Stop::Zero,
        header_copy_bad: None,
        scraps_end_bytes: None,
        unread_from_bytes: None,
        later: LaterGroups::default(),
    };
    match header {
        Err(why) => facts.stop = Stop::Header(why),
        Ok(header) => {
            let expected = Expectation::first_of(header);
            facts.stated_bytes = header.file_bytes;
            facts.first_lsn = Some(header.first_lsn);
            facts.predecessor = header.predecessor;
            facts.end_offset_bytes = SEGMENT_HEADER_BYTES;
            facts.expected = expected.lsn;
            facts.chain = expected.chain;
            facts.boot = header.boot;
            facts.header_copy_bad = reader
                .header_copies()
                .iter()
                .find_map(|copy| Some(copy.as_ref().err()?.to_string()));
        }
    }
    facts
}

fn usable_header(
    reader: &SegmentReader,
    store: Option<StoreUuid>,
) -> Result<&SegmentHeader, String> {
    let header = reader.header().map_err(ToString::to_string)?;
    match store {
        Some(store) if store != header.store => Err(format!(
            "it belongs to store {}, not to {store}",
            header.store
        )),
        _ => Ok(header),
    }
}

/// Scans. `on_record` gets every accepted record in order.
pub(super) fn scan(
    reader: &mut SegmentReader,
    around: &mut Surroundings<'_>,
    on_record: &mut dyn FnMut(&RecordRef<'_>),
) -> Result<Scanned, ReadFailure> {
    let mut facts = facts_of_header(reader, around.store);
    let mut groups = Vec::new();
    if !matches!(facts.stop, Stop::Header(_)) {
        accept_ahead(&mut facts, around, &mut groups, on_record);
        loop {
            let accepted = facts.groups;
            accept_groups(reader, &mut facts, around, &mut groups, on_record).map_err(refused)?;
            if is_closed_here(&facts, around) && zero_is_next(reader, &mut facts)? {
                break;
            }
            // A live writer may have stored the group that was missing a moment ago, and more behind
            // it. Groups are stored in order, so whoever sees a later one sees the earlier ones too
            // when looking again: what is still missing then is missing.
            let looked_again = facts.later.groups > 0 && facts.groups == accepted;
            facts.later = LaterGroups::default();
            let used_end_bytes = look_behind(reader, &mut facts).map_err(refused)?;
            // With a writer at work they are in flight, and a purge may have taken the file's name
            // away.
            if around.is_last && !around.live {
                let seen_bytes = reader.file_bytes().min(facts.stated_bytes);
                let seen_bytes = seen_bytes - seen_bytes % PAGE_BYTES;
                let from_bytes = facts.end_offset_bytes.max(seen_bytes);
                facts.scraps_end_bytes =
                    scraps_end(around.disk, reader.path(), from_bytes)?.or(used_end_bytes);
            }
            if !around.live || facts.later.groups == 0 || looked_again {
                break;
            }
        }
    } else if let Some((ahead, index)) = around.ahead {
        ahead.skip(index);
    }
    for mark in around
        .marks
        .iter_mut()
        .filter(|mark| mark.segment == facts.id)
    {
        mark.place = match mark.place {
            MarkedPlace::Missing if mark.end_offset_bytes > facts.end_offset_bytes => {
                MarkedPlace::Beyond
            }
            MarkedPlace::Missing if mark.end_offset_bytes <= SEGMENT_HEADER_BYTES => {
                MarkedPlace::Agrees
            }
            MarkedPlace::Missing => MarkedPlace::Differs,
            placed => placed,
        };
    }
    let bytes_read = match facts.unread_from_bytes {
        Some(unread) => unread,
        None if around.is_last => reader.file_bytes(),
        None => facts.end_offset_bytes,
    };
    Ok(Scanned {
        facts,
        groups,
        bytes_read,
    })
}

pub(crate) fn refused(error: ReadError) -> ReadFailure {
    ReadFailure {
        what: "cannot look at a segment".to_owned(),
        source: Arc::new(error),
    }
}

/// Whether the newest mark is that of an orderly close exactly where the accepted groups end, with
/// no sign of a mark that came later.
fn is_closed_here(facts: &SegmentFacts, around: &Surroundings<'_>) -> bool {
    let newest = around.marks.iter().max_by_key(|mark| mark.number);
    around.trust_close
        && around.is_last
        && facts.stop == Stop::Zero
        && newest.is_some_and(|mark| {
            mark.clean_close
                && mark.segment == facts.id
                && mark.end_offset_bytes == facts.end_offset_bytes
                && mark.place == MarkedPlace::Agrees
        })
}

/// Looks at the beginning of the rest; notes where it stopped looking if that is all zero.
fn zero_is_next(reader: &SegmentReader, facts: &mut SegmentFacts) -> Result<bool, ReadFailure> {
    let from_bytes = facts.end_offset_bytes;
    let to_bytes = from_bytes.saturating_add(CLOSED_LOOK_BYTES);
    if to_bytes >= reader.file_bytes() {
        return Ok(false);
    }
    let zero = reader.is_zero_in(from_bytes..to_bytes).map_err(refused)?;
    if zero {
        facts.unread_from_bytes = Some(to_bytes);
    }
    Ok(zero)
}

/// Takes the groups that were read ahead, up to the first that does not follow. Whatever that is, and
/// whatever comes behind it, is looked at by the reader.
fn accept_ahead(
    facts: &mut SegmentFacts,
    around: &mut Surroundings<'_>,
    groups: &mut Vec<GroupPlace>,
    on_record: &mut dyn FnMut(&RecordRef<'_>),
) {
    let Some((ahead, index)) = around.ahead else {
        return;
    };
    while let Some(batch) = ahead.next() {
        let mut follows = true;
        for group in batch.groups() {
            follows = !facts.sealed
                && expectation(facts).check(&group.header).is_ok()
                && match accept(group, facts, on_record) {
                    Ok(place) => {
                        note(place, facts, around, groups);
                        true
                    }
                    Err(_) => false,
                };
            if !follows {
                break;
            }
        }
        let follows = follows && batch.is_whole();
        ahead.done(batch);
        if !follows {
            ahead.skip(index);
            return;
        }
    }
}

fn expectation(facts: &SegmentFacts) -> Expectation {
    Expectation {
        lsn: facts.expected,
        chain: facts.chain,
        group_number: facts.group_number.saturating_add(1),
        boot: facts.boot,
    }
}

/// What else an accepted group tells.
fn note(
    place: GroupPlace,
    facts: &SegmentFacts,
    around: &mut Surroundings<'_>,
    groups: &mut Vec<GroupPlace>,
) {
    place_marks(around.marks, facts);
    if around.is_last {
        groups.push(place);
    }
}

fn accept_groups(
    reader: &mut SegmentReader,
    facts: &mut SegmentFacts,
    around: &mut Surroundings<'_>,
    groups: &mut Vec<GroupPlace>,
    on_record: &mut dyn FnMut(&RecordRef<'_>),
) -> Result<(), ReadError> {
    loop {
        // Nothing follows a seal in its segment; whatever lies there is looked at as scraps.
        let expectation = expectation(facts);
        let stop = match reader.group_at(facts.end_offset_bytes, Some(&expectation))? {
            Found::Group(group) if facts.sealed => Some(Stop::Invalid(format!(
                "group {} after the last one",
                group.header.number
            ))),
            Found::Group(group) => match accept(group, facts, on_record) {
                Ok(place) => {
                    note(place, facts, around, groups);
                    None
                }
                Err(why) => Some(Stop::Invalid(why)),
            },
            Found::Zero => Some(Stop::Zero),
            Found::Invalid { why, .. } => Some(Stop::Invalid(why.to_string())),
            Found::EndOfFile if facts.end_offset_bytes >= facts.stated_bytes => Some(Stop::Full),
            Found::EndOfFile => Some(Stop::EndOfFile),
        };
        if let Some(stop) = stop {
            facts.stop = stop;
            return Ok(());
        }
    }
}

/// Takes one group into the facts, if all of its records verify and its boot may follow.
fn accept(
    group: Group<'_>,
    facts: &mut SegmentFacts,
    on_record: &mut dyn FnMut(&RecordRef<'_>),
) -> Result<GroupPlace, String> {
    let header = &group.header;
    if header.boot > facts.boot && !header.is_recovered() {
        return Err(format!(
            "boot {} follows boot {} without a group that opens it",
            header.boot, facts.boot
        ));
    }
    let Some(expected) = header.last_lsn().next() else {
        return Err("the last LSN of the 64-bit space".to_owned());
    };
    // All of them verify, or nobody gets to see one.
    let group = group.verify_records().map_err(|fault| fault.to_string())?;
    for record in group.records().map_while(Result::ok) {
        on_record(&record);
    }
    let place = GroupPlace {
        offset_bytes: group.offset_bytes,
        end_offset_bytes: group.end_offset_bytes(),
        first_lsn: header.first_lsn,
        records: u64::from(header.record_count),
        crc: header.crc,
    };
    facts.groups += 1;
    facts.records = facts.records.saturating_add(place.records);
    facts.end_offset_bytes = place.end_offset_bytes;
    facts.expected = expected;
    facts.chain = header.crc;
    facts.group_number = header.number;
    facts.sealed = header.is_seal();
    facts.boot = header.boot;
    if header.durable_lsn > facts.durable.map_or(Lsn::ZERO, |(lsn, _)| lsn) {
        facts.durable = Some((header.durable_lsn, group.offset_bytes));
    }
    Ok(place)
}

fn place_marks(marks: &mut [MarkFacts], facts: &SegmentFacts) {
    let here = |mark: &&mut MarkFacts| {
        mark.segment == facts.id && mark.end_offset_bytes == facts.end_offset_bytes
    };
    for mark in marks.iter_mut().filter(here) {
        let agrees = mark.chain == facts.chain && mark.durable == facts.last_lsn();
        mark.place = if agrees {
            MarkedPlace::Agrees
        } else {
            MarkedPlace::Differs
        };
    }
}

/// Collects what verifies by itself behind the accepted groups. Gives where the last page ends that
/// is not all zero, if there is one.
fn look_behind(
    reader: &mut SegmentReader,
    facts: &mut SegmentFacts,
) -> Result<Option<u64>, ReadError> {
    let mut scan = reader.tail_scan(facts.end_offset_bytes);
    for group in scan.by_ref() {
        let group = group?;
        let later = &mut facts.later;
        later.groups += 1;
        later.records = later
            .records
            .saturating_add(u64::from(group.header.record_count));
        later.first_offset_bytes.get_or_insert(group.offset_bytes);
        later.boot_max = later.boot_max.max(group.header.boot.get());
        if group.header.durable_lsn > later.durable.map_or(Lsn::ZERO, |(lsn, _)| lsn) {
            later.durable = Some((group.header.durable_lsn, group.offset_bytes));
        }
    }
    Ok(scan.used_end_bytes())
}

/// Where the last page with a byte other than zero ends, if one lies at or behind `from_bytes`.
/// Searched from the end of the file.
fn scraps_end(disk: &dyn Disk, path: &Path, from_bytes: u64) -> Result<Option<u64>, ReadFailure> {
    let refused =
        |source: std::io::Error| super::failure(format!("cannot read {}", path.display()), source);
    let file = disk.open(path, OpenMode::Read).map_err(refused)?;
    let file_bytes = file.len().map_err(refused)?;
    let mut end = file_bytes;
    let mut buffer = Vec::new();
    while end > from_bytes {
        let begin = end.saturating_sub(CHUNK_BYTES).max(from_bytes);
        buffer.resize(usize::try_from(end - begin).unwrap_or(0), 0);
        file.read_exact_at(begin, &mut buffer).map_err(refused)?;
        if let Some(index) = buffer.iter().rposition(|byte| *byte != 0) {
            let scraps_end = (begin + index as u64 + 1).next_multiple_of(PAGE_BYTES);
            return Ok(Some(scraps_end.min(file_bytes)));
        }
        end = begin;
    }
    Ok(None)
}
