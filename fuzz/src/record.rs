//! The record codec: payload bytes of every kind.

use torrens::codec;

/// The first two bytes are the kind. What decodes must encode to the same bytes: one transition has
/// one encoding.
pub fn record(data: &[u8]) {
    let Some((kind, payload)) = data.split_first_chunk::<2>() else {
        return;
    };
    let kind = u16::from_le_bytes(*kind);
    if let Ok(Some(record)) = codec::decode(kind, payload) {
        let (again, bytes) = codec::encode(&record);
        assert_eq!((again, bytes.as_slice()), (kind, payload), "{record:?}");
    }
}
