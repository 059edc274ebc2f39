//! bincode, bounded and canonical: little-endian, variable-length integers.
//!
//! A claimed length counts against a limit before anything is allocated. Variable-length integers
//! can be spelled in several ways, so what was decoded is compared with what encoding would write.

use bincode::config::{Configuration, Limit, LittleEndian, Varint};
use bincode::enc::write::Writer;
use bincode::error::EncodeError;
use bincode::{BorrowDecode, Encode};

use super::CodecError;

/// Most bytes that the parts of one value may claim. A record fits in 4 MiB; its parts may take
/// more in memory than on disk.
const CLAIM_BYTES_MAX: usize = 16 * 1024 * 1024;

const CONFIG: Configuration<LittleEndian, Varint, Limit<CLAIM_BYTES_MAX>> =
    bincode::config::standard().with_limit::<CLAIM_BYTES_MAX>();

/// Appends `value`.
pub(super) fn put(bytes: &mut Vec<u8>, value: &impl Encode) {
    let mut encoder = bincode::enc::EncoderImpl::new(Append(bytes), CONFIG);
    value
        .encode(&mut encoder)
        .expect("encoding plain values into memory has nothing to fail at");
}

/// Takes one value from the front; `what` names it in errors.
pub(super) fn take<'a, T: BorrowDecode<'a, ()> + Encode>(
    bytes: &mut &'a [u8],
    what: &'static str,
) -> Result<T, CodecError> {
    let decoded = bincode::borrow_decode_from_slice::<T, _>(bytes, CONFIG);
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
        match self.0.strip_prefix(bytes) {
            Some(rest) => {
                self.0 = rest;
                Ok(())
            }
            None => Err(EncodeError::UnexpectedEnd),
        }
    }
}
