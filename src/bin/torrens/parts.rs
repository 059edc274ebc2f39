//! The parts of a directory as lines of ndjson, and back (`read`): what `dump --raw` writes and `build` reads.
//!
//! The keys are a contract: they are added to, not changed. Numbers that do not fit 53 bits are text.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use torrens::inspector::hex;
use torrens::rebuild::{MarkPart, Part, SegmentPart};
use torrens_journal::{RecordKind, StoreUuid};

use crate::sheet::JSON_VERSION;
pub(crate) use read::{Line, read};

mod read;

/// A record's bytes.
#[derive(Debug, Deserialize, JsonSchema, Serialize)]
pub(crate) struct RawJson {
    /// The number of its kind.
    pub(crate) kind: u16,
    /// Its tag.
    pub(crate) tag: u32,
    /// Its payload in hexadecimal.
    pub(crate) payload: String,
}

/// A line that is no record: one of its keys is there.
#[derive(Debug, Default, Deserialize, JsonSchema, Serialize)]
pub(crate) struct PartJson {
    v: u32,
    /// Whose records follow, where no segment says it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    journal: Option<JournalJson>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    begin_segment: Option<SegmentJson>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    begin_group: Option<GroupJson>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    page: Option<PageJson>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    mark: Option<MarkJson>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    file: Option<FileJson>,
}

/// A line of input: a part, a record, or a gap.
#[derive(Debug, Deserialize)]
pub(crate) struct LineJson {
    v: u32,
    #[serde(default)]
    lsn: Option<u64>,
    #[serde(default)]
    boot: Option<u32>,
    #[serde(default)]
    seg: Option<u64>,
    #[serde(default)]
    group: Option<u32>,
    #[serde(default)]
    raw: Option<RawJson>,
    #[serde(default)]
    gap: Option<serde::de::IgnoredAny>,
    #[serde(default)]
    journal: Option<JournalJson>,
    #[serde(default)]
    begin_segment: Option<SegmentJson>,
    #[serde(default)]
    begin_group: Option<GroupJson>,
    #[serde(default)]
    page: Option<PageJson>,
    #[serde(default)]
    mark: Option<MarkJson>,
    #[serde(default)]
    file: Option<FileJson>,
}

#[derive(Debug, Deserialize, JsonSchema, Serialize)]
struct JournalJson {
    store: String,
}

#[derive(Debug, Deserialize, JsonSchema, Serialize)]
struct SegmentJson {
    seg: u64,
    bytes: u64,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    detached: bool,
    header: Option<HeaderJson>,
}

#[derive(Debug, Deserialize, JsonSchema, Serialize)]
struct HeaderJson {
    store: String,
    /// 16 hexadecimal digits.
    salt: String,
    first_lsn: u64,
    bytes: u64,
    boot: u32,
    #[serde(default)]
    minor: u16,
    #[serde(default)]
    compat: u32,
    /// What the header says of the segment before, if that does not follow from the lines before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    previous: Option<EndJson>,
    oldest_needed_lsn: u64,
    wall_clock_micros: u64,
}

#[derive(Debug, Deserialize, JsonSchema, Serialize)]
struct EndJson {
    seg: u64,
    last_lsn: u64,
    off: u64,
    chain: u32,
}

#[derive(Debug, Deserialize, JsonSchema, Serialize)]
struct GroupJson {
    boot: u32,
    durable_lsn: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    durable_chain: Option<u32>,
    #[serde(default)]
    flags: u16,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    bytes: Option<u32>,
}

#[derive(Debug, Deserialize, JsonSchema, Serialize)]
struct PageJson {
    seg: u64,
    off: u64,
    hex: String,
}

#[derive(Debug, Deserialize, JsonSchema, Serialize)]
struct MarkJson {
    store: String,
    number: u64,
    durable_lsn: u64,
    boot: u32,
    closed: bool,
    wall_clock_micros: u64,
    /// Where the last durable group ends, if no group of the lines before ends so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    end: Option<MarkEndJson>,
}

#[derive(Debug, Deserialize, JsonSchema, Serialize)]
struct MarkEndJson {
    seg: u64,
    off: u64,
    chain: u32,
}

#[derive(Debug, Deserialize, JsonSchema, Serialize)]
struct FileJson {
    name: String,
    bytes: u64,
    off: u64,
    hex: String,
}

/// The first line: whose records follow.
pub(crate) fn journal_line(store: StoreUuid) -> PartJson {
    PartJson {
        v: JSON_VERSION,
        journal: Some(JournalJson {
            store: store.to_string(),
        }),
        ..PartJson::default()
    }
}

/// A part as a line; a record has a line of its own, with [`raw`] in it.
pub(crate) fn line(part: &Part<'_>) -> Option<PartJson> {
    let mut json = PartJson {
        v: JSON_VERSION,
        ..PartJson::default()
    };
    match part {
        Part::Segment(part) => json.begin_segment = Some(segment_json(part)),
        Part::Group(plan) => {
            json.begin_group = Some(GroupJson {
                boot: plan.boot.get(),
                durable_lsn: plan.durable_lsn.get(),
                durable_chain: plan.durable_chain,
                flags: plan.flags.bits(),
                bytes: plan.padded_bytes,
            });
        }
        Part::Page(part) => {
            json.page = Some(PageJson {
                seg: part.segment.get(),
                off: part.offset_bytes,
                hex: hex(part.bytes),
            });
        }
        Part::Mark(MarkPart { mark, is_exact }) => {
            json.mark = Some(MarkJson {
                store: mark.store.to_string(),
                number: mark.number,
                durable_lsn: mark.durable_lsn.get(),
                boot: mark.boot.get(),
                closed: mark.clean_close,
                wall_clock_micros: mark.wall_clock_micros,
                end: is_exact.then(|| MarkEndJson {
                    seg: mark.segment.get(),
                    off: mark.end_offset_bytes,
                    chain: mark.chain,
                }),
            });
        }
        Part::File(part) => {
            json.file = Some(FileJson {
                name: part.name.to_owned(),
                bytes: part.file_bytes,
                off: part.offset_bytes,
                hex: hex(part.bytes),
            });
        }
        _ => return None,
    }
    Some(json)
}

/// A record's bytes.
pub(crate) fn raw(kind: RecordKind, tag: u32, payload: &[u8]) -> RawJson {
    RawJson {
        kind: kind.get(),
        tag,
        payload: hex(payload),
    }
}

fn segment_json(part: &SegmentPart) -> SegmentJson {
    SegmentJson {
        seg: part.id.get(),
        bytes: part.file_bytes,
        detached: part.is_detached,
        header: part.header.map(|header| HeaderJson {
            store: header.store.to_string(),
            salt: format!("{:016x}", header.salt),
            first_lsn: header.first_lsn.get(),
            bytes: header.file_bytes,
            boot: header.boot.get(),
            minor: header.format_minor,
            compat: header.compat_flags,
            previous: header.predecessor.map(|before| EndJson {
                seg: before.segment.get(),
                last_lsn: before.last_lsn.get(),
                off: before.end_offset_bytes,
                chain: before.chain,
            }),
            oldest_needed_lsn: header.oldest_needed_lsn.get(),
            wall_clock_micros: header.wall_clock_micros,
        }),
    }
}

/// The schema of a line that is no record.
pub(crate) fn schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
    generator.subschema_for::<PartJson>()
}
