//! bincode, bounded and canonical: little-endian, variable-length integers.
//!
//! Nothing is allocated for a claimed count: a list grows with the items that are really there, and
//! keys are borrowed. Variable-length integers can be spelled in several ways, so what was decoded is
//! compared with what encoding would write.

use bincode::config::{Configuration, Limit, LittleEndian, Varint};
use bincode::de::BorrowDecoder;
use bincode::enc::Encoder;
use bincode::enc::write::Writer;
use bincode::error::{DecodeError, EncodeError};
use bincode::{BorrowDecode, Encode};

use super::CodecError;

/// Most bytes that one value may claim to have: what a journal record holds.
const CLAIM_BYTES_MAX: usize = 4 * 1024 * 1024;

const CONFIG: Configuration<LittleEndian, Varint, Limit<CLAIM_BYTES_MAX>> =
    bincode::config::standard().with_limit::<CLAIM_BYTES_MAX>();

/// Appends `value`.
pub(super) fn put(bytes: &mut Vec<u8>, value: &impl Encode) {
    let mut encoder = bincode::enc::EncoderImpl::new(Append(bytes), CONFIG);
    value
        .encode(&mut encoder)
        .expect("encoding plain values into memory has nothing to fail at");
}

/// Most bytes that a change in the history may claim to have: it may be cut over several records.
const LARGE_CLAIM_BYTES_MAX: usize = 16 * 1024 * 1024;

const LARGE: Configuration<LittleEndian, Varint, Limit<LARGE_CLAIM_BYTES_MAX>> =
    bincode::config::standard().with_limit::<LARGE_CLAIM_BYTES_MAX>();

/// Takes one value from the front; `what` names it in errors.
pub(super) fn take<'a, T: BorrowDecode<'a, ()> + Encode>(
    bytes: &mut &'a [u8],
    what: &'static str,
) -> Result<T, CodecError> {
    let decoded = bincode::borrow_decode_from_slice::<T, _>(bytes, CONFIG);
    checked(bytes, decoded, what)
}

/// As [`take`], of a value that may be larger than a record.
pub(super) fn take_large<'a, T: BorrowDecode<'a, ()> + Encode>(
    bytes: &mut &'a [u8],
    what: &'static str,
) -> Result<T, CodecError> {
    let decoded = bincode::borrow_decode_from_slice::<T, _>(bytes, LARGE);
    checked(bytes, decoded, what)
}

/// The value, if its bytes are spelled as encoding spells them.
fn checked<T: Encode>(
    bytes: &mut &[u8],
    decoded: Result<(T, usize), DecodeError>,
    what: &'static str,
) -> Result<T, CodecError> {
    let (value, length) = decoded.map_err(|error| CodecError::Malformed {
        what,
        source: Box::new(error),
    })?;
    let Some((spelled, rest)) = bytes.split_at_checked(length) else {
        return Err(CodecError::NotCanonical { what });
    };
    let mut encoder = bincode::enc::EncoderImpl::new(Compare(spelled), CONFIG);
    let is_same = value.encode(&mut encoder).is_ok() && encoder.into_writer().0.is_empty();
    if !is_same {
        return Err(CodecError::NotCanonical { what });
    }
    *bytes = rest;
    Ok(value)
}

/// A list, as bincode writes a vector: the count, then the items.
pub(super) struct List<T>(pub(super) Vec<T>);

/// Items that a list makes room for before it has seen them.
const LIST_ROOM: usize = 8;

impl<T: Encode> Encode for List<T> {
    fn encode<E: Encoder>(&self, encoder: &mut E) -> Result<(), EncodeError> {
        self.0.as_slice().encode(encoder)
    }
}

impl<'de, C, T: BorrowDecode<'de, C>> BorrowDecode<'de, C> for List<T> {
    fn borrow_decode<D: BorrowDecoder<'de, Context = C>>(
        decoder: &mut D,
    ) -> Result<Self, DecodeError> {
        let count = <u64 as BorrowDecode<'de, C>>::borrow_decode(decoder)?;
        let room = usize::try_from(count).map_or(LIST_ROOM, |count| count.min(LIST_ROOM));
        let mut items = Vec::with_capacity(room);
        // No item is empty, so this ends with the input at the latest.
        for _ in 0..count {
            items.push(T::borrow_decode(decoder)?);
        }
        Ok(List(items))
    }
}

/// Nothing may follow.
pub(super) fn end(bytes: &[u8], what: &'static str) -> Result<(), CodecError> {
    match bytes.len() {
        0 => Ok(()),
        trailing => Err(CodecError::Trailing { what, trailing }),
    }
}

struct Append<'a>(&'a mut Vec<u8>);

impl Writer for Append<'_> {
    fn write(&mut self, bytes: &[u8]) -> Result<(), EncodeError> {
        self.0.extend_from_slice(bytes);
        Ok(())
    }
}

/// Accepts exactly the bytes that it expects.
struct Compare<'a>(&'a [u8]);

impl Writer for Compare<'_> {
    fn write(&mut self, bytes: &[u8]) -> Result<(), EncodeError> {
        let rest = match (bytes, self.0) {
            // Most of what is written is one byte.
            ([expected], [found, rest @ ..]) if expected == found => Some(rest),
            ([_], _) => None,
            _ => self.0.strip_prefix(bytes),
        };
        self.0 = rest.ok_or(EncodeError::UnexpectedEnd)?;
        Ok(())
    }
}
