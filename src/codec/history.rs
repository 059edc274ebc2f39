//! Records of the history as bytes: a version byte, the head, and behind a head of changes the changes
//! themselves up to the end of the payload. And the pieces of the index for the history's checkpoints.
//!
//! The changes of an entry are one run of bytes that may be cut anywhere into parts; a reader puts the
//! parts together and takes whole changes from the front.

use bincode::{BorrowDecode, Decode, Encode};
use torrens_journal::Lsn;

use super::bytes::List;
use super::wire::{self, WireDerive, WirePosition, WireRange};
use super::{CodecError, bytes};
use crate::RegionId;
use crate::observe::{
    Change, ChangeOp, EntryHead, EntryPart, HistoryRecord, IndexPiece, Lineage, LineageChild,
    LineageEvent, Mark, Sample, Span,
};
use crate::store::{ColumnFamily, Value, WriteBatch};

/// Version of the payloads that this code writes.
pub const HISTORY_VERSION: u8 = 1;
/// Kind of a record of changes, in the history's own numbering.
pub const KIND_CHANGES: u16 = 1;
/// Kind of a lineage record.
pub const KIND_LINEAGE: u16 = 2;
/// Tags of the items in the history's checkpoints.
const TAG_HEAD: u8 = 1;
const TAG_SPAN: u8 = 2;
const TAG_SAMPLE: u8 = 3;
/// Most new regions that one split record may name.
const CHILDREN_MAX: usize = 4096;

#[derive(Encode, Decode)]
struct WireEntry {
    region: u64,
    incarnation: u64,
    version: u64,
    position: WirePosition,
    previous: u64,
    wall_clock_micros: u64,
    part: u32,
    is_last: bool,
}

#[derive(Encode, BorrowDecode)]
enum WireChange<'a> {
    Put {
        cf: u8,
        key: &'a [u8],
        value: &'a [u8],
    },
    Delete {
        cf: u8,
        key: &'a [u8],
    },
    DeleteRange {
        cf: u8,
        range: WireRange<'a>,
    },
}

#[derive(Encode, BorrowDecode)]
struct WireLineage<'a> {
    lsn: u64,
    region: u64,
    incarnation: u64,
    position: WirePosition,
    data_index: u64,
    wall_clock_micros: u64,
    event: WireEvent<'a>,
}

#[derive(Encode, BorrowDecode)]
enum WireEvent<'a> {
    Split {
        version: u64,
        derive: WireDerive,
        boundaries: List<&'a [u8]>,
        children: List<WireChild>,
    },
    Merged {
        version: u64,
        source: u64,
        source_incarnation: u64,
    },
    SnapshotApplied {
        range: WireRange<'a>,
        version: u64,
    },
    Destroyed,
    Absorbed {
        into: u64,
    },
    DataGone,
}

#[derive(Clone, Copy, Encode, Decode)]
struct WireChild {
    region: u64,
    is_here: bool,
}

#[derive(Encode, BorrowDecode)]
struct WireSpan {
    region: u64,
    incarnation: u64,
    base: u64,
    last: WirePosition,
    end_index: u64,
    first_lsn: u64,
    last_lsn: u64,
    stride: u32,
    since_mark: u32,
    is_closed: bool,
    is_joined: bool,
    marks: List<WireMark>,
}

#[derive(Encode, Decode)]
struct WireIndexHead {
    last_lsn: u64,
    meta_lsn: u64,
    bytes: u64,
    sample_stride: u64,
}

#[derive(Encode, Decode)]
struct WireSample {
    lsn: u64,
    bytes: u64,
    wall_clock_micros: u64,
}

#[derive(Clone, Copy, Encode, Decode)]
struct WireMark {
    index: u64,
    lsn: u64,
}

/// Appends a change.
fn put_change(into: &mut Vec<u8>, change: &WireChange<'_>) {
    bytes::put(into, change);
}

/// The changes of a batch in the order in which they take effect, as one run of bytes.
pub fn put_batch(into: &mut Vec<u8>, batch: &WriteBatch) {
    for delete in batch.range_deletes() {
        let (cf, range) = (delete.cf.number(), (&delete.range).into());
        put_change(into, &WireChange::DeleteRange { cf, range });
    }
    for op in batch.ops() {
        let (cf, key) = (op.cf.number(), &*op.key);
        let change = match &op.value {
            Some(value) => WireChange::Put { cf, key, value },
            None => WireChange::Delete { cf, key },
        };
        put_change(into, &change);
    }
}

/// Appends the version and the head of a record of changes; the changes follow.
pub fn put_head(into: &mut Vec<u8>, head: &EntryHead, part: EntryPart) {
    into.push(HISTORY_VERSION);
    let wire = WireEntry {
        region: head.region.0,
        incarnation: wire::from_incarnation(head.incarnation),
        version: head.version,
        position: head.position.into(),
        previous: head.previous,
        wall_clock_micros: head.wall_clock_micros,
        part: part.number,
        is_last: part.is_last,
    };
    bytes::put(into, &wire);
}

/// The whole change at the front of `from`, which then begins behind it.
///
/// # Errors
/// [`CodecError`]; where a part was cut, the rest of the change is in the next one.
pub fn take_change(from: &mut &[u8]) -> Result<Change, CodecError> {
    let wire: WireChange<'_> = bytes::take_large(from, "a change")?;
    let (cf, op) = match wire {
        WireChange::Put { cf, key, value } => {
            let max = WriteBatch::VALUE_BYTES_MAX;
            wire::bounded("bytes in a value", value.len(), max)?;
            let (key, value) = (wire::key(key)?, Value::copy_from(value));
            (cf, ChangeOp::Put { key, value })
        }
        WireChange::Delete { cf, key } => {
            let key = wire::key(key)?;
            (cf, ChangeOp::Delete { key })
        }
        WireChange::DeleteRange { cf, range } => {
            let range = range.try_into()?;
            (cf, ChangeOp::DeleteRange { range })
        }
    };
    let cf = ColumnFamily::new(cf);
    Ok(Change { cf, op })
}

/// The bytes of a lineage record.
pub fn encode_lineage(lineage: &Lineage) -> Vec<u8> {
    let mut payload = Vec::with_capacity(64);
    payload.push(HISTORY_VERSION);
    let event = match &lineage.event {
        LineageEvent::Split {
            version,
            derive,
            boundaries,
            children,
        } => WireEvent::Split {
            version: *version,
            derive: (*derive).into(),
            boundaries: List(boundaries.iter().map(|key| &**key).collect()),
            children: List(children.iter().map(from_child).collect()),
        },
        LineageEvent::Merged {
            version,
            source,
            source_incarnation,
        } => WireEvent::Merged {
            version: *version,
            source: source.0,
            source_incarnation: wire::from_incarnation(*source_incarnation),
        },
        LineageEvent::SnapshotApplied { range, version } => WireEvent::SnapshotApplied {
            range: range.into(),
            version: *version,
        },
        LineageEvent::Destroyed => WireEvent::Destroyed,
        LineageEvent::Absorbed { into } => WireEvent::Absorbed { into: into.0 },
        LineageEvent::DataGone => WireEvent::DataGone,
    };
    let wire = WireLineage {
        lsn: lineage.lsn.get(),
        region: lineage.region.0,
        incarnation: wire::from_incarnation(lineage.incarnation),
        position: lineage.position.into(),
        data_index: lineage.data_index,
        wall_clock_micros: lineage.wall_clock_micros,
        event,
    };
    bytes::put(&mut payload, &wire);
    payload
}

fn from_child(child: &LineageChild) -> WireChild {
    WireChild {
        region: child.region.0,
        is_here: child.is_here,
    }
}

/// The record in a payload of that kind, without its changes, and the bytes of those. `None` if this
/// code knows neither the kind nor a way to read its version.
///
/// # Errors
/// [`CodecError`] if the kind and version are known and the bytes are not what encoding writes.
pub fn decode_history(
    kind: u16,
    payload: &[u8],
) -> Result<Option<(HistoryRecord, &[u8])>, CodecError> {
    if !matches!(kind, KIND_CHANGES | KIND_LINEAGE) {
        return Ok(None);
    }
    let (version, mut rest) = payload.split_first().ok_or(CodecError::Empty)?;
    match *version {
        0 => return Err(CodecError::VersionZero),
        HISTORY_VERSION => {}
        _ => return Ok(None),
    }
    if kind == KIND_CHANGES {
        let wire: WireEntry = bytes::take(&mut rest, "the head of a record of changes")?;
        let head = EntryHead {
            region: RegionId(wire.region),
            incarnation: wire::incarnation(wire.incarnation)?,
            version: wire.version,
            position: wire.position.into(),
            previous: wire.previous,
            wall_clock_micros: wire.wall_clock_micros,
        };
        let part = EntryPart {
            number: wire.part,
            is_last: wire.is_last,
        };
        return Ok(Some((HistoryRecord::Changes { head, part }, rest)));
    }
    let wire: WireLineage<'_> = bytes::take(&mut rest, "a lineage record")?;
    bytes::end(rest, "a lineage record")?;
    let lineage = Lineage {
        lsn: wire::lsn(wire.lsn)?,
        region: RegionId(wire.region),
        incarnation: wire::incarnation(wire.incarnation)?,
        position: wire.position.into(),
        data_index: wire.data_index,
        wall_clock_micros: wire.wall_clock_micros,
        event: lineage_event(wire.event)?,
    };
    Ok(Some((HistoryRecord::Lineage(lineage), &[])))
}

fn lineage_event(wire: WireEvent<'_>) -> Result<LineageEvent, CodecError> {
    Ok(match wire {
        WireEvent::Split {
            version,
            derive,
            boundaries: List(boundaries),
            children: List(children),
        } => {
            wire::bounded("new regions", children.len(), CHILDREN_MAX)?;
            wire::bounded("boundaries", boundaries.len(), CHILDREN_MAX)?;
            let boundaries = boundaries.into_iter().map(wire::key);
            let child = |child: WireChild| LineageChild {
                region: RegionId(child.region),
                is_here: child.is_here,
            };
            LineageEvent::Split {
                version,
                derive: derive.into(),
                boundaries: boundaries.collect::<Result<_, _>>()?,
                children: children.into_iter().map(child).collect(),
            }
        }
        WireEvent::Merged {
            version,
            source,
            source_incarnation,
        } => LineageEvent::Merged {
            version,
            source: RegionId(source),
            source_incarnation: wire::incarnation(source_incarnation)?,
        },
        WireEvent::SnapshotApplied { range, version } => LineageEvent::SnapshotApplied {
            range: range.try_into()?,
            version,
        },
        WireEvent::Destroyed => LineageEvent::Destroyed,
        WireEvent::Absorbed { into } => LineageEvent::Absorbed {
            into: RegionId(into),
        },
        WireEvent::DataGone => LineageEvent::DataGone,
    })
}

/// One piece of the index as an item of the history's checkpoint.
pub fn encode_piece(piece: &IndexPiece) -> Vec<u8> {
    let span = match piece {
        IndexPiece::Head {
            last_lsn,
            meta_lsn,
            bytes,
            sample_stride,
        } => {
            let mut item = vec![TAG_HEAD, HISTORY_VERSION];
            let wire = WireIndexHead {
                last_lsn: last_lsn.get(),
                meta_lsn: meta_lsn.get(),
                bytes: *bytes,
                sample_stride: *sample_stride,
            };
            bytes::put(&mut item, &wire);
            return item;
        }
        IndexPiece::Sample(sample) => {
            let mut item = vec![TAG_SAMPLE, HISTORY_VERSION];
            let wire = WireSample {
                lsn: sample.lsn.get(),
                bytes: sample.bytes,
                wall_clock_micros: sample.wall_clock_micros,
            };
            bytes::put(&mut item, &wire);
            return item;
        }
        IndexPiece::Span(span) => span,
    };
    let mut item = vec![TAG_SPAN, HISTORY_VERSION];
    let mark = |mark: &Mark| WireMark {
        index: mark.index,
        lsn: mark.lsn.get(),
    };
    let wire = WireSpan {
        region: span.region.0,
        incarnation: wire::from_incarnation(span.incarnation),
        base: span.base,
        last: span.last.into(),
        end_index: span.end_index,
        first_lsn: span.first_lsn.get(),
        last_lsn: span.last_lsn.get(),
        stride: span.stride,
        since_mark: span.since_mark,
        is_closed: span.is_closed,
        is_joined: span.is_joined,
        marks: List(span.marks.iter().map(mark).collect()),
    };
    bytes::put(&mut item, &wire);
    item
}

/// The piece in an item.
///
/// # Errors
/// [`CodecError`] if it is not what encoding writes.
pub fn decode_piece(item: &[u8]) -> Result<IndexPiece, CodecError> {
    let (tag, rest) = item.split_first().ok_or(CodecError::Empty)?;
    if !matches!(*tag, TAG_HEAD | TAG_SPAN | TAG_SAMPLE) {
        return Err(CodecError::UnknownItem { found: *tag });
    }
    let (version, mut rest) = rest.split_first().ok_or(CodecError::Empty)?;
    match *version {
        0 => return Err(CodecError::VersionZero),
        HISTORY_VERSION => {}
        found => {
            let known = HISTORY_VERSION;
            return Err(CodecError::NewerVersion { found, known });
        }
    }
    if *tag == TAG_HEAD {
        let wire: WireIndexHead = bytes::take(&mut rest, "the head of an index")?;
        bytes::end(rest, "the head of an index")?;
        return Ok(IndexPiece::Head {
            last_lsn: Lsn::new(wire.last_lsn),
            meta_lsn: Lsn::new(wire.meta_lsn),
            bytes: wire.bytes,
            sample_stride: wire.sample_stride,
        });
    }
    if *tag == TAG_SAMPLE {
        let wire: WireSample = bytes::take(&mut rest, "a sample")?;
        bytes::end(rest, "a sample")?;
        return Ok(IndexPiece::Sample(Sample {
            lsn: wire::lsn(wire.lsn)?,
            bytes: wire.bytes,
            wall_clock_micros: wire.wall_clock_micros,
        }));
    }
    let wire: WireSpan = bytes::take(&mut rest, "a span")?;
    bytes::end(rest, "a span")?;
    wire::bounded("marks", wire.marks.0.len(), Span::MARKS_MAX)?;
    let mark = |mark: &WireMark| {
        let (index, lsn) = (mark.index, wire::lsn(mark.lsn)?);
        Ok(Mark { index, lsn })
    };
    let marks = wire.marks.0.iter().map(mark);
    Ok(IndexPiece::Span(Span {
        region: RegionId(wire.region),
        incarnation: wire::incarnation(wire.incarnation)?,
        base: wire.base,
        last: wire.last.into(),
        end_index: wire.end_index,
        first_lsn: wire::lsn(wire.first_lsn)?,
        last_lsn: wire::lsn(wire.last_lsn)?,
        stride: wire.stride,
        since_mark: wire.since_mark,
        is_closed: wire.is_closed,
        is_joined: wire.is_joined,
        marks: marks.collect::<Result<_, CodecError>>()?,
    }))
}
