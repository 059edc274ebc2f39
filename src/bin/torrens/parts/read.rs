//! Lines of ndjson back as parts of a directory.

use torrens::rebuild::{FilePart, MarkPart, PagePart, Part, RecordPart, SegmentPart};
use torrens_journal::{
    Boot, GroupFlags, GroupPlan, Lsn, Mark, Predecessor, RecordKind, SegmentHeader, SegmentId,
    StoreUuid,
};

use super::{LineJson, MarkJson, SegmentJson};
use crate::sheet::JSON_VERSION;

/// A line that was read.
#[derive(Debug)]
pub(crate) enum Line {
    /// A part of the directory.
    Part(Held),
    /// Whose records follow.
    Store(StoreUuid),
    /// A place where the history did not go on; nothing is made of it.
    Gap,
}

/// A part with its bytes.
#[derive(Debug)]
pub(crate) struct Held {
    part: Kind,
    bytes: Vec<u8>,
    name: String,
}

#[derive(Debug)]
enum Kind {
    Segment(SegmentPart),
    Group(GroupPlan),
    Record(RecordPart<'static>),
    Page {
        segment: SegmentId,
        offset_bytes: u64,
    },
    Mark(MarkPart),
    File {
        file_bytes: u64,
        offset_bytes: u64,
    },
}

impl Held {
    /// The part.
    pub(crate) fn part(&self) -> Part<'_> {
        let bytes = self.bytes.as_slice();
        match &self.part {
            Kind::Segment(part) => Part::Segment(part.clone()),
            Kind::Group(plan) => Part::Group(*plan),
            Kind::Record(part) => Part::Record(RecordPart {
                payload: bytes,
                ..*part
            }),
            Kind::Page {
                segment,
                offset_bytes,
            } => Part::Page(PagePart {
                segment: *segment,
                offset_bytes: *offset_bytes,
                bytes,
            }),
            Kind::Mark(part) => Part::Mark(*part),
            Kind::File {
                file_bytes,
                offset_bytes,
            } => Part::File(FilePart {
                name: &self.name,
                file_bytes: *file_bytes,
                offset_bytes: *offset_bytes,
                bytes,
            }),
        }
    }
}

fn unhex(text: &str) -> Result<Vec<u8>, String> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Ok(byte - b'0'),
        b'a'..=b'f' => Ok(byte - b'a' + 10),
        b'A'..=b'F' => Ok(byte - b'A' + 10),
        other => Err(format!("{:?} is no hexadecimal digit", char::from(other))),
    };
    let pairs = text.as_bytes().chunks_exact(2);
    if !pairs.remainder().is_empty() {
        return Err("bytes in hexadecimal have two digits each".to_owned());
    }
    pairs
        .map(|pair| match pair {
            [high, low] => Ok(digit(*high)? << 4 | digit(*low)?),
            _ => Err("two digits each".to_owned()),
        })
        .collect()
}

/// The id of a store, with or without dashes.
fn store_uuid(text: &str) -> Result<StoreUuid, String> {
    let bytes = unhex(&text.replace('-', ""))?;
    let bytes = <[u8; 16]>::try_from(bytes);
    bytes
        .map(StoreUuid)
        .map_err(|_| format!("{text:?} is no id of a store: it has 16 bytes"))
}

fn segment_part(json: SegmentJson) -> Result<SegmentPart, String> {
    let header = json.header.map(|header| {
        let salt = u64::from_str_radix(&header.salt, 16)
            .map_err(|_| format!("{:?} is no salt", header.salt))?;
        Ok::<_, String>(SegmentHeader {
            format_minor: header.minor,
            compat_flags: header.compat,
            store: store_uuid(&header.store)?,
            segment: SegmentId::new(json.seg),
            salt,
            first_lsn: Lsn::new(header.first_lsn),
            file_bytes: header.bytes,
            boot: Boot::new(header.boot),
            predecessor: header.previous.map(|before| Predecessor {
                segment: SegmentId::new(before.seg),
                last_lsn: Lsn::new(before.last_lsn),
                end_offset_bytes: before.off,
                chain: before.chain,
            }),
            oldest_needed_lsn: Lsn::new(header.oldest_needed_lsn),
            wall_clock_micros: header.wall_clock_micros,
        })
    });
    Ok(SegmentPart {
        id: SegmentId::new(json.seg),
        file_bytes: json.bytes,
        header: header.transpose()?,
        is_detached: json.detached,
    })
}

fn mark_part(json: MarkJson) -> Result<MarkPart, String> {
    let end = json.end.as_ref();
    Ok(MarkPart {
        mark: Mark {
            store: store_uuid(&json.store)?,
            number: json.number,
            segment: SegmentId::new(end.map_or(0, |end| end.seg)),
            durable_lsn: Lsn::new(json.durable_lsn),
            end_offset_bytes: end.map_or(0, |end| end.off),
            chain: end.map_or(0, |end| end.chain),
            boot: Boot::new(json.boot),
            clean_close: json.closed,
            wall_clock_micros: json.wall_clock_micros,
        },
        is_exact: json.end.is_some(),
    })
}

/// Reads a line.
///
/// # Errors
/// What is wrong with it, in words.
pub(crate) fn read(text: &str) -> Result<Line, String> {
    let line: LineJson = serde_json::from_str(text).map_err(|error| error.to_string())?;
    if line.v != JSON_VERSION {
        return Err(format!("version {} is not known here", line.v));
    }
    let held = |part, bytes| {
        Ok(Line::Part(Held {
            part,
            bytes,
            name: String::new(),
        }))
    };
    if let Some(journal) = line.journal {
        return Ok(Line::Store(store_uuid(&journal.store)?));
    }
    if let Some(segment) = line.begin_segment {
        return held(Kind::Segment(segment_part(segment)?), Vec::new());
    }
    if let Some(group) = line.begin_group {
        let plan = GroupPlan {
            boot: Boot::new(group.boot),
            durable_lsn: Lsn::new(group.durable_lsn),
            durable_chain: group.durable_chain,
            flags: GroupFlags::from_bits(group.flags),
            padded_bytes: group.bytes,
        };
        return held(Kind::Group(plan), Vec::new());
    }
    if let Some(page) = line.page {
        let kind = Kind::Page {
            segment: SegmentId::new(page.seg),
            offset_bytes: page.off,
        };
        return held(kind, unhex(&page.hex)?);
    }
    if let Some(mark) = line.mark {
        return held(Kind::Mark(mark_part(mark)?), Vec::new());
    }
    if let Some(file) = line.file {
        let part = Kind::File {
            file_bytes: file.bytes,
            offset_bytes: file.off,
        };
        return Ok(Line::Part(Held {
            part,
            bytes: unhex(&file.hex)?,
            name: file.name,
        }));
    }
    if line.gap.is_some() {
        return Ok(Line::Gap);
    }
    let Some(raw) = line.raw else {
        return Err(match line.lsn {
            Some(_) => "the record has no bytes: dump it with --raw".to_owned(),
            None => "it is no record and no part of a directory".to_owned(),
        });
    };
    let record = RecordPart {
        lsn: line.lsn.map(Lsn::new),
        kind: RecordKind::new(raw.kind),
        tag: raw.tag,
        payload: &[],
        boot: Boot::new(line.boot.unwrap_or(1)),
        group: line
            .seg
            .zip(line.group)
            .map(|(seg, group)| (SegmentId::new(seg), group)),
    };
    held(Kind::Record(record), unhex(&raw.payload)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hexadecimal_is_read_back_and_nothing_else_is_taken_for_it() {
        let all: Vec<u8> = (0..=255).collect();
        assert_eq!(unhex(&torrens::inspector::hex(&all)), Ok(all));
        for wrong in ["0", "0g", "é0", "+1"] {
            assert!(unhex(wrong).is_err(), "{wrong}");
        }
    }
}
