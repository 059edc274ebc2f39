//! What a record says, as named values: the one source of both the human line and the JSON object.
//!
//! Not here: which fields a record has (`describe`), how a key is shown (`keys`), how JSON is written
//! (the tool).

use std::borrow::Cow;

use crate::{Key, KeyRange, Peer, RegionEpoch};

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
    Text(Cow<'static, str>),
    /// A key; how it is shown is up to a [`KeyForm`](super::KeyForm).
    Key(Key),
    /// Bytes that nothing is known about. They may hold keys, so whoever hides keys hides them too; see
    /// [`KeyForm::bytes`](super::KeyForm::bytes).
    Bytes(Vec<u8>),
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

impl From<&'static str> for FieldValue {
    fn from(text: &'static str) -> Self {
        FieldValue::Text(Cow::Borrowed(text))
    }
}

impl From<String> for FieldValue {
    fn from(text: String) -> Self {
        FieldValue::Text(Cow::Owned(text))
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
        FieldValue::Key(Key::clone(key))
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

impl From<RegionEpoch> for FieldValue {
    fn from(epoch: RegionEpoch) -> Self {
        FieldValue::Object(vec![
            field("conf_ver", epoch.conf_ver),
            field("version", epoch.version),
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

impl FieldValue {
    /// The number, if it is one.
    pub fn number(&self) -> Option<u64> {
        match self {
            FieldValue::Number(number) => Some(*number),
            _ => None,
        }
    }

    /// The value at a path of names joined by dots, as in `epoch.version`; none if a part is not
    /// there. A list is entered at its first element that has the rest of the path.
    pub fn at(&self, path: &str) -> Option<&FieldValue> {
        match self {
            FieldValue::Object(fields) => field_at(fields, path),
            FieldValue::List(values) => values.iter().find_map(|value| value.at(path)),
            _ => None,
        }
    }

    /// Whether a field of one of those names, here or further in, is that number.
    pub(super) fn names(&self, names: &[&str], wanted: u64) -> bool {
        match self {
            FieldValue::Object(fields) => any_names(fields, names, wanted),
            FieldValue::List(values) => values.iter().any(|value| value.names(names, wanted)),
            _ => false,
        }
    }
}

/// The value at a path of names joined by dots among `fields`.
pub fn field_at<'a>(fields: &'a [Field], path: &str) -> Option<&'a FieldValue> {
    let (name, rest) = match path.split_once('.') {
        Some((name, rest)) => (name, Some(rest)),
        None => (path, None),
    };
    let found = fields.iter().find(|field| field.name == name)?;
    match rest {
        Some(rest) => found.value.at(rest),
        None => Some(&found.value),
    }
}

/// Whether a field of one of those names, at any depth, is that number.
pub(super) fn any_names(fields: &[Field], names: &[&str], wanted: u64) -> bool {
    fields.iter().any(|field| {
        let here = names.contains(&field.name) && field.value.number() == Some(wanted);
        here || field.value.names(names, wanted)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_leads_through_objects_and_lists() {
        let fields = [
            field(
                "epoch",
                RegionEpoch {
                    conf_ver: 3,
                    version: 9,
                },
            ),
            field(
                "peers",
                vec![vec![field("peer", 5u64)], vec![field("store", 7u64)]],
            ),
        ];
        assert_eq!(
            field_at(&fields, "epoch.version"),
            Some(&FieldValue::Number(9))
        );
        assert_eq!(
            field_at(&fields, "peers.store"),
            Some(&FieldValue::Number(7))
        );
        assert_eq!(field_at(&fields, "epoch.term"), None);
        assert!(any_names(&fields, &["store"], 7) && !any_names(&fields, &["store"], 5));
    }
}
