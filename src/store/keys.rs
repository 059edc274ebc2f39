//! Layout of raw keys and tagged values. `docs/FORMAT.md` has the page.
//!
//! ```text
//! 'd' cf(1) escaped(user key) !sequence(8, big-endian)   →  tag(1) bytes     a version
//! 'e' cf(1) escaped(first key) !sequence(8, big-endian)  →  end tag(1) end   a range deletion
//! 'm' name                                               →  see `rows`       the store's own rows
//! 'r' region id(8, big-endian)                           →  see `rows`       a region's row
//! 'f' region id(8, big-endian)                           →  see `covered`    where barriers left that row
//! 'a' observer(8) region(8) !sequence(8), big-endian     →  see `acks`       an acknowledgement with a write
//! ```
//!
//! The escape keeps order and lets no key be a prefix of another, so raw order is user order, and
//! among the versions of one key the newest comes first.
//!
//! Invariants
//! * `a < b` as user keys (then older sequence first reversed) iff so as raw keys.
//! * Decoding is total: junk gives a [`KeyError`]; what decodes encodes to the same bytes.
//!
//! Not here: values of rows (`rows`), walking versions (`versions`).

use super::{ColumnFamily, RawRange, StoreBatch, Value};
use crate::{Key, KeyRange, ObserverId, Region, RegionId, Sequence};

const PREFIX_DATA: u8 = b'd';
const PREFIX_META: u8 = b'm';
const PREFIX_REGION: u8 = b'r';
const PREFIX_FLOOR: u8 = b'f';
const PREFIX_ACK: u8 = b'a';
pub(super) const PREFIX_RANGE_DELETION: u8 = b'e';

const TAG_DELETE: u8 = 0;
const TAG_PUT: u8 = 1;

const END_INFINITE: u8 = 0;
const END_FINITE: u8 = 1;

/// Bytes of a key that one group of the escape carries.
const GROUP_BYTES: usize = 8;
const SEQUENCE_BYTES: usize = 8;
/// Where the escape starts in a raw key: behind its kind and the column family.
const ESCAPED_OFFSET: usize = 2;
/// `'d'`, column family, one group at least, sequence.
const DATA_KEY_BYTES_MIN: usize = ESCAPED_OFFSET + (GROUP_BYTES + 1) + SEQUENCE_BYTES;

const ACK_KEY_BYTES: usize = 1 + 3 * 8;

/// What is wrong with a raw key or a tagged value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// Shorter than its kind can be.
    #[error("{bytes} bytes are too few")]
    TooShort {
        /// Length found.
        bytes: usize,
    },
    /// No kind of key starts with this byte.
    #[error("unknown kind of key {prefix:#04x}")]
    UnknownPrefix {
        /// First byte.
        prefix: u8,
    },
    /// A group of the escape ends in a byte that no encoder writes, or pads with other than zeros.
    #[error("malformed group at offset {offset}")]
    BadGroup {
        /// Where in the raw key the group starts.
        offset: usize,
    },
    /// More bytes than its kind has.
    #[error("unexpected bytes from offset {offset} on")]
    TrailingBytes {
        /// Where they start.
        offset: usize,
    },
    /// Longer than a key may be.
    #[error("the key is longer than {max} bytes")]
    KeyTooLong {
        /// Longest allowed.
        max: usize,
    },
    /// The value's first byte is not a tag.
    #[error("unknown tag {tag:#04x} of a value")]
    UnknownTag {
        /// First byte.
        tag: u8,
    },
    /// A stored value without even a tag.
    #[error("a value without a tag")]
    NoTag,
    /// A deletion with bytes behind its tag.
    #[error("a deletion that carries {bytes} bytes")]
    DeleteWithBytes {
        /// How many.
        bytes: usize,
    },
    /// A range deletion that ends where it starts, or before.
    #[error("a deletion of an empty range")]
    EmptyRange,
}

/// Which version of which key: what a raw key of kind `d` says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DataKey {
    /// Column family.
    pub cf: ColumnFamily,
    /// User key.
    pub key: Key,
    /// Version.
    pub sequence: Sequence,
}

/// Any raw key, decoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreKey {
    /// A version of a user key.
    Data(DataKey),
    /// A range deletion, by its column family, first key and sequence; the value has its end.
    RangeDeletion(DataKey),
    /// A region's row.
    RegionRow(RegionId),
    /// Where the last barriers left a region's row.
    FloorRow(RegionId),
    /// An acknowledgement that came with the write of that sequence number.
    Ack {
        /// Whose consumer.
        observer: ObserverId,
        /// The region whose changes it has.
        region: RegionId,
        /// Of the write.
        sequence: Sequence,
    },
    /// One of the store's own rows, by name (not empty).
    Meta(Vec<u8>),
}

impl StoreKey {
    /// Decodes any raw key.
    ///
    /// # Errors
    /// The first thing that is wrong with it.
    pub fn decode(raw: &[u8]) -> Result<StoreKey, KeyError> {
        match raw.split_first() {
            None => Err(KeyError::TooShort { bytes: 0 }),
            Some((&PREFIX_DATA, _)) => DataKey::decode(raw).map(StoreKey::Data),
            Some((&PREFIX_RANGE_DELETION, _)) => {
                DataKey::decode_behind(PREFIX_RANGE_DELETION, raw).map(StoreKey::RangeDeletion)
            }
            Some((&PREFIX_META, [])) => Err(KeyError::TooShort { bytes: raw.len() }),
            Some((&PREFIX_META, name)) => Ok(StoreKey::Meta(name.to_vec())),
            Some((&PREFIX_REGION, id)) => decode_region(id).map(StoreKey::RegionRow),
            Some((&PREFIX_FLOOR, id)) => decode_region(id).map(StoreKey::FloorRow),
            Some((&PREFIX_ACK, _)) => decode_ack(raw),
            Some((&prefix, _)) => Err(KeyError::UnknownPrefix { prefix }),
        }
    }

    /// The raw key.
    pub fn encode(&self) -> Vec<u8> {
        match self {
            StoreKey::Data(key) => key.encode(),
            StoreKey::RangeDeletion(key) => range_deletion_key(key.cf, &key.key, key.sequence),
            StoreKey::RegionRow(region) => region_row_key(*region),
            StoreKey::FloorRow(region) => floor_row_key(*region),
            StoreKey::Ack {
                observer,
                region,
                sequence,
            } => ack_key(*observer, *region, *sequence),
            StoreKey::Meta(name) => meta_key(name),
        }
    }
}

impl DataKey {
    /// The raw key.
    pub fn encode(&self) -> Vec<u8> {
        data_key(self.cf, &self.key, self.sequence)
    }

    /// Decodes a raw key of kind `d`.
    ///
    /// # Errors
    /// The first thing that is wrong with it; [`KeyError::UnknownPrefix`] for another kind.
    pub fn decode(raw: &[u8]) -> Result<DataKey, KeyError> {
        DataKey::decode_behind(PREFIX_DATA, raw)
    }

    /// Decodes a raw key of the kind that starts with `kind`.
    fn decode_behind(kind: u8, raw: &[u8]) -> Result<DataKey, KeyError> {
        let (cf, escaped, sequence) = split(kind, raw)?;
        let mut key = Vec::new();
        unescape(escaped, &mut key)?;
        Ok(DataKey {
            cf,
            key: Key::from(key),
            sequence,
        })
    }
}

/// The escaped key and the sequence of a version's raw key; [`unescape`] gives the key.
pub(super) fn split_data_key(raw: &[u8]) -> Result<(&[u8], Sequence), KeyError> {
    split(PREFIX_DATA, raw).map(|(_, escaped, sequence)| (escaped, sequence))
}

fn split(kind: u8, raw: &[u8]) -> Result<(ColumnFamily, &[u8], Sequence), KeyError> {
    let too_short = KeyError::TooShort { bytes: raw.len() };
    match raw.first() {
        None => return Err(too_short),
        Some(prefix) if *prefix == kind => {}
        Some(&prefix) => return Err(KeyError::UnknownPrefix { prefix }),
    }
    if raw.len() < DATA_KEY_BYTES_MIN {
        return Err(too_short);
    }
    let Some((head, inverted)) = raw.split_last_chunk::<SEQUENCE_BYTES>() else {
        return Err(too_short);
    };
    let Some((&[_, cf], escaped)) = head.split_first_chunk::<ESCAPED_OFFSET>() else {
        return Err(too_short);
    };
    let sequence = Sequence::new(!u64::from_be_bytes(*inverted));
    Ok((ColumnFamily::new(cf), escaped, sequence))
}

pub(super) fn data_key(cf: ColumnFamily, key: &[u8], sequence: Sequence) -> Vec<u8> {
    let mut raw = data_key_prefix(cf, key);
    raw.extend_from_slice(&(!sequence.get()).to_be_bytes());
    raw
}

/// Raw key of the range deletion that starts at `start`.
pub(super) fn range_deletion_key(cf: ColumnFamily, start: &[u8], sequence: Sequence) -> Vec<u8> {
    let mut raw = key_prefix(PREFIX_RANGE_DELETION, cf, start);
    raw.extend_from_slice(&(!sequence.get()).to_be_bytes());
    raw
}

/// Start of the raw keys of all versions of a user key, and of no other user key.
pub(super) fn data_key_prefix(cf: ColumnFamily, key: &[u8]) -> Vec<u8> {
    key_prefix(PREFIX_DATA, cf, key)
}

fn key_prefix(kind: u8, cf: ColumnFamily, key: &[u8]) -> Vec<u8> {
    let groups = key.len() / GROUP_BYTES + 1;
    let mut raw = Vec::with_capacity(2 + groups * (GROUP_BYTES + 1) + SEQUENCE_BYTES);
    raw.push(kind);
    raw.push(cf.number());
    let mut rest = key;
    while let Some((group, tail)) = rest.split_first_chunk::<GROUP_BYTES>() {
        raw.extend_from_slice(group);
        raw.push(0xff);
        rest = tail;
    }
    // The last group is always short (perhaps empty), so that every key ends in one.
    let padding = GROUP_BYTES - rest.len();
    raw.extend_from_slice(rest);
    raw.resize(raw.len() + padding, 0);
    raw.push(0xff - padding as u8);
    raw
}

/// Raw keys of the versions of `key` at or below `sequence`, newest first.
pub(super) fn versions_range(cf: ColumnFamily, key: &[u8], sequence: Sequence) -> RawRange {
    // One byte longer than the oldest version that there can be.
    let mut end = data_key(cf, key, Sequence::ZERO);
    end.push(0);
    RawRange {
        start: data_key(cf, key, sequence),
        end: Some(end),
    }
}

/// Raw keys of all versions of all keys of `range` in one column family.
pub(super) fn data_range(cf: ColumnFamily, range: &KeyRange) -> RawRange {
    let end = match range.end() {
        Some(end) => data_key_prefix(cf, end),
        None => match cf.number().checked_add(1) {
            Some(next) => vec![PREFIX_DATA, next],
            None => vec![PREFIX_DATA + 1],
        },
    };
    RawRange {
        start: data_key_prefix(cf, range.start()),
        end: Some(end),
    }
}

/// Raw keys of all versions of all column families from `cf` on.
pub(super) fn families_from(cf: ColumnFamily) -> RawRange {
    RawRange {
        start: vec![PREFIX_DATA, cf.number()],
        end: Some(vec![PREFIX_DATA + 1]),
    }
}

/// Raw keys of all range deletions.
pub(super) fn range_deletions_range() -> RawRange {
    RawRange {
        start: vec![PREFIX_RANGE_DELETION],
        end: Some(vec![PREFIX_RANGE_DELETION + 1]),
    }
}

/// Value of a range deletion: where it ends.
pub(super) fn encode_range_end(end: Option<&[u8]>) -> Vec<u8> {
    match end {
        None => vec![END_INFINITE],
        Some(end) => [&[END_FINITE], end].concat(),
    }
}

/// The range that a range deletion starting at `start` deletes, from its value.
pub(super) fn decode_range_end(start: Key, value: &[u8]) -> Result<KeyRange, KeyError> {
    let end = match value.split_first() {
        None => return Err(KeyError::NoTag),
        Some((&END_INFINITE, [])) => None,
        Some((&END_INFINITE, bytes)) => {
            return Err(KeyError::DeleteWithBytes { bytes: bytes.len() });
        }
        Some((&END_FINITE, end)) if end.len() > Region::KEY_BYTES_MAX => {
            return Err(KeyError::KeyTooLong {
                max: Region::KEY_BYTES_MAX,
            });
        }
        Some((&END_FINITE, end)) => Some(Key::from(end)),
        Some((&tag, _)) => return Err(KeyError::UnknownTag { tag }),
    };
    KeyRange::new(start, end).ok_or(KeyError::EmptyRange)
}

pub(super) fn region_row_key(region: RegionId) -> Vec<u8> {
    of_region(PREFIX_REGION, region)
}

pub(super) fn floor_row_key(region: RegionId) -> Vec<u8> {
    of_region(PREFIX_FLOOR, region)
}

pub(super) fn ack_key(observer: ObserverId, region: RegionId, sequence: Sequence) -> Vec<u8> {
    let mut raw = Vec::with_capacity(ACK_KEY_BYTES);
    raw.push(PREFIX_ACK);
    for field in [observer.0, region.0, !sequence.get()] {
        raw.extend_from_slice(&field.to_be_bytes());
    }
    raw
}

fn decode_ack(raw: &[u8]) -> Result<StoreKey, KeyError> {
    if raw.len() > ACK_KEY_BYTES {
        return Err(KeyError::TrailingBytes {
            offset: ACK_KEY_BYTES,
        });
    }
    let fields = raw.get(1..).unwrap_or_default();
    let mut fields = fields
        .chunks_exact(8)
        .filter_map(|field| field.first_chunk());
    let mut next = || fields.next().map(|field| u64::from_be_bytes(*field));
    match (next(), next(), next()) {
        (Some(observer), Some(region), Some(inverted)) => Ok(StoreKey::Ack {
            observer: ObserverId(observer),
            region: RegionId(region),
            sequence: Sequence::new(!inverted),
        }),
        _ => Err(KeyError::TooShort { bytes: raw.len() }),
    }
}

/// Raw keys of all acknowledgements.
pub(super) fn ack_rows_range() -> RawRange {
    RawRange {
        start: vec![PREFIX_ACK],
        end: Some(vec![PREFIX_ACK + 1]),
    }
}

fn of_region(prefix: u8, region: RegionId) -> Vec<u8> {
    let mut raw = Vec::with_capacity(9);
    raw.push(prefix);
    raw.extend_from_slice(&region.0.to_be_bytes());
    raw
}

/// The region that a raw key names behind its first byte.
fn decode_region(id: &[u8]) -> Result<RegionId, KeyError> {
    match id.first_chunk::<8>() {
        None => Err(KeyError::TooShort {
            bytes: 1 + id.len(),
        }),
        Some(_) if id.len() > 8 => Err(KeyError::TrailingBytes { offset: 9 }),
        Some(id) => Ok(RegionId(u64::from_be_bytes(*id))),
    }
}

/// The sequence of a raw key of kind `d`, `e` or `a`, without a look at the rest of it; none of the others
/// has one.
pub(super) fn version_sequence(raw: &[u8]) -> Option<Sequence> {
    let (_, inverted) = raw.split_last_chunk::<SEQUENCE_BYTES>()?;
    let is_whole = match raw.first() {
        Some(&(PREFIX_DATA | PREFIX_RANGE_DELETION)) => raw.len() >= DATA_KEY_BYTES_MIN,
        Some(&PREFIX_ACK) => raw.len() == ACK_KEY_BYTES,
        _ => false,
    };
    is_whole.then(|| Sequence::new(!u64::from_be_bytes(*inverted)))
}

pub(super) fn region_rows_range() -> RawRange {
    RawRange {
        start: vec![PREFIX_REGION],
        end: Some(vec![PREFIX_REGION + 1]),
    }
}

pub(super) fn floor_rows_range() -> RawRange {
    RawRange {
        start: vec![PREFIX_FLOOR],
        end: Some(vec![PREFIX_FLOOR + 1]),
    }
}

pub(super) fn meta_key(name: &[u8]) -> Vec<u8> {
    let mut raw = Vec::with_capacity(1 + name.len());
    raw.push(PREFIX_META);
    raw.extend_from_slice(name);
    raw
}

/// Tagged form of a value; `None` is a deletion.
pub(super) fn encode_value(value: Option<&[u8]>) -> Vec<u8> {
    match value {
        None => vec![TAG_DELETE],
        Some(bytes) => {
            let mut tagged = Vec::with_capacity(1 + bytes.len());
            tagged.push(TAG_PUT);
            tagged.extend_from_slice(bytes);
            tagged
        }
    }
}

/// Reads a tagged value; `None` is a deletion.
pub(super) fn decode_value(tagged: &[u8]) -> Result<Option<Value>, KeyError> {
    Ok(value_bytes(tagged)?.map(Value::copy_from))
}

/// As [`decode_value`], without a copy.
pub(super) fn value_bytes(tagged: &[u8]) -> Result<Option<&[u8]>, KeyError> {
    match tagged.split_first() {
        None => Err(KeyError::NoTag),
        Some((&TAG_PUT, bytes)) => Ok(Some(bytes)),
        Some((&TAG_DELETE, [])) => Ok(None),
        Some((&TAG_DELETE, bytes)) => Err(KeyError::DeleteWithBytes { bytes: bytes.len() }),
        Some((&tag, _)) => Err(KeyError::UnknownTag { tag }),
    }
}

impl StoreBatch {
    /// Writes one version of a user key; `None` is a deletion.
    pub fn put_version(
        &mut self,
        cf: ColumnFamily,
        key: &[u8],
        sequence: Sequence,
        value: Option<&[u8]>,
    ) {
        self.put(data_key(cf, key, sequence), encode_value(value));
    }

    /// Deletes every key of `range` as of `sequence`, in one row: versions below that sequence are
    /// hidden, those at it (of the same batch) and above are not.
    pub fn delete_range(&mut self, cf: ColumnFamily, range: &KeyRange, sequence: Sequence) {
        let end = encode_range_end(range.end().map(|end| &**end));
        self.put(range_deletion_key(cf, range.start(), sequence), end);
    }
}

/// Puts the key that an escape carries in place of what is in `key`.
pub(super) fn unescape(escaped: &[u8], key: &mut Vec<u8>) -> Result<(), KeyError> {
    key.clear();
    let mut rest = escaped;
    loop {
        let at = ESCAPED_OFFSET + (escaped.len() - rest.len());
        let Some((group, tail)) = rest.split_first_chunk::<{ GROUP_BYTES + 1 }>() else {
            return Err(KeyError::BadGroup { offset: at });
        };
        rest = tail;
        let [bytes @ .., marker] = group;
        let padding = usize::from(0xff - *marker);
        let Some((kept, pad)) = GROUP_BYTES
            .checked_sub(padding)
            .and_then(|kept| bytes.split_at_checked(kept))
        else {
            return Err(KeyError::BadGroup { offset: at });
        };
        if pad.iter().any(|byte| *byte != 0) {
            return Err(KeyError::BadGroup { offset: at });
        }
        key.extend_from_slice(kept);
        if key.len() > Region::KEY_BYTES_MAX {
            return Err(KeyError::KeyTooLong {
                max: Region::KEY_BYTES_MAX,
            });
        }
        if padding > 0 {
            return match rest.is_empty() {
                true => Ok(()),
                false => Err(KeyError::TrailingBytes {
                    offset: at + GROUP_BYTES + 1,
                }),
            };
        }
    }
}

#[cfg(test)]
mod tests;
