//! One line per segment: which records it holds and when they were written.

use std::ops::ControlFlow;

use torrens_journal::{Lsn, RecordKind, SegmentId};
use torrens_recovery::{Item, WalkOptions};

use super::{InspectError, Inspector, Picture};
use crate::codec;

/// What one segment holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SegmentSpan {
    /// Its number.
    pub id: SegmentId,
    /// Length of its file.
    pub file_bytes: u64,
    /// Bytes up to the end of its last group, header included.
    pub used_bytes: u64,
    /// Records in it.
    pub records: u64,
    /// The first of them; none in a segment without records.
    pub first_lsn: Option<Lsn>,
    /// The last of them.
    pub last_lsn: Option<Lsn>,
    /// When the first was written, in microseconds since the Unix epoch, if it says so.
    pub first_micros: Option<u64>,
    /// When the last was written.
    pub last_micros: Option<u64>,
}

/// The last record seen, kept until it is known whether another follows in its segment.
#[derive(Debug)]
struct Held {
    segment: SegmentId,
    kind: RecordKind,
    payload: Vec<u8>,
}

impl Inspector {
    /// One line per segment of `picture`, in order, with the times from the records themselves.
    ///
    /// # Errors
    /// As [`Inspector::records`].
    pub fn segments(&self, picture: &Picture) -> Result<Vec<SegmentSpan>, InspectError> {
        let mut spans: Vec<SegmentSpan> = picture
            .evidence
            .segments
            .iter()
            .map(|facts| {
                let first_lsn = facts.first_lsn.filter(|_| facts.records > 0);
                SegmentSpan {
                    id: facts.id,
                    file_bytes: facts.file_bytes,
                    used_bytes: facts.end_offset_bytes,
                    records: facts.records,
                    first_lsn,
                    last_lsn: first_lsn.map(|_| facts.last_lsn()),
                    first_micros: None,
                    last_micros: None,
                }
            })
            .collect();
        let mut held: Option<Held> = None;
        let end = |held: &Option<Held>, spans: &mut Vec<SegmentSpan>| {
            let Some(last) = held else { return };
            if let Some(span) = spans.iter_mut().find(|span| span.id == last.segment) {
                span.last_micros = written_at(last.kind, &last.payload);
            }
        };
        self.walk(WalkOptions::new(picture.writer.is_open), &mut |item| {
            let Item::Record(item) = item else {
                return ControlFlow::Continue(());
            };
            match &mut held {
                Some(last) if last.segment == item.segment => {
                    last.kind = item.record.kind;
                    last.payload.clear();
                    last.payload.extend_from_slice(item.record.payload);
                }
                _ => {
                    end(&held, &mut spans);
                    if let Some(span) = spans.iter_mut().find(|span| span.id == item.segment) {
                        span.first_micros = written_at(item.record.kind, item.record.payload);
                    }
                    held = Some(Held {
                        segment: item.segment,
                        kind: item.record.kind,
                        payload: item.record.payload.to_vec(),
                    });
                }
            }
            ControlFlow::Continue(())
        })?;
        end(&held, &mut spans);
        Ok(spans)
    }
}

/// The wall clock in a record, if it can be decoded.
fn written_at(kind: RecordKind, payload: &[u8]) -> Option<u64> {
    let header = codec::decode_header(kind.get(), payload).ok()??;
    Some(header.wall_clock_micros)
}
