//! What a record says, as named values: the one source of both the human line and the JSON object.
//!
//! Not here: which fields a record has (`describe`), how JSON is written (the tool).

use crate::{Key, KeyRange, Peer};

/// A named value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    /// Stable lower-case name, unique among its siblings.
    pub name: &'static str,
    /// The value.
    pub value: FieldValue,
}

/// A value of a record.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FieldValue {
    /// Nothing is there.
    Null,
    /// Yes or no.
    Flag(bool),
    /// A count, an id, a position.
    Number(u64),
    /// Words, or a stable name.
    Text(String),
    /// Values in order.
    List(Vec<FieldValue>),
    /// Named values in order.
    Object(Vec<Field>),
}

impl From<u64> for FieldValue {
    fn from(number: u64) -> Self {
        FieldValue::Number(number)
    }
}

impl From<u32> for FieldValue {
    fn from(number: u32) -> Self {
        FieldValue::Number(number.into())
    }
}

impl From<bool> for FieldValue {
    fn from(flag: bool) -> Self {
        FieldValue::Flag(flag)
    }
}

impl From<&str> for FieldValue {
    fn from(text: &str) -> Self {
        FieldValue::Text(text.to_owned())
    }
}

impl From<String> for FieldValue {
    fn from(text: String) -> Self {
        FieldValue::Text(text)
    }
}

impl<T: Into<FieldValue>> From<Option<T>> for FieldValue {
    fn from(value: Option<T>) -> Self {
        value.map_or(FieldValue::Null, Into::into)
    }
}

impl<T: Into<FieldValue>> From<Vec<T>> for FieldValue {
    fn from(values: Vec<T>) -> Self {
        FieldValue::List(values.into_iter().map(Into::into).collect())
    }
}

impl From<Vec<Field>> for FieldValue {
    fn from(fields: Vec<Field>) -> Self {
        FieldValue::Object(fields)
    }
}

impl From<&Key> for FieldValue {
    fn from(key: &Key) -> Self {
        FieldValue::Text(key_text(key))
    }
}

impl From<&KeyRange> for FieldValue {
    fn from(range: &KeyRange) -> Self {
        FieldValue::Object(vec![
            field("start", range.start()),
            // A key is never null: null is infinity.
            Field {
                name: "end",
                value: range.end().map_or(FieldValue::Null, FieldValue::from),
            },
        ])
    }
}

impl From<&Peer> for FieldValue {
    fn from(peer: &Peer) -> Self {
        FieldValue::Object(vec![
            field("peer", peer.id.0),
            field("store", peer.store.0),
            field("role", peer.role.as_str()),
        ])
    }
}

/// A field of anything that is a value.
pub(super) fn field(name: &'static str, value: impl Into<FieldValue>) -> Field {
    Field {
        name,
        value: value.into(),
    }
}

/// A key as text: itself if it is printable ASCII, else `0x` and its bytes in hexadecimal. A key
/// that begins with `0x` by itself is given in hexadecimal too, so the form can be read back.
pub fn key_text(key: &[u8]) -> String {
    let is_plain = key.iter().all(|byte| matches!(byte, b' '..=b'~')) && !key.starts_with(b"0x");
    if is_plain {
        return String::from_utf8_lossy(key).into_owned();
    }
    let digits = key.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    let digits = digits.map(|digit| char::from_digit(digit.into(), 16).unwrap_or('?'));
    "0x".chars().chain(digits).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_keys_never_look_alike() {
        assert_eq!(key_text(b""), "");
        assert_eq!(key_text(b"0007/JFK"), "0007/JFK");
        assert_eq!(key_text(b"a\x00\xff"), "0x6100ff");
        assert_eq!(key_text(b"0x61"), "0x30783631");
        assert_eq!(key_text(b"a\n"), "0x610a");
        assert_eq!(key_text("ü".as_bytes()), "0xc3bc");
    }
}
