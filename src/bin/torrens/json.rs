//! JSON of what the library gives as plain values. Keys stay in the order in which they are given.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::ser::{Serialize, SerializeMap, SerializeSeq, Serializer};
use torrens::inspector::{Field, FieldValue, KeyForm};

/// A value as JSON, its keys in a form.
pub(crate) struct Value<'a>(pub(crate) &'a FieldValue, pub(crate) &'a KeyForm);

/// Fields as a JSON object, their keys in a form.
pub(crate) struct Fields<'a>(pub(crate) &'a [Field], pub(crate) &'a KeyForm);

impl Serialize for Value<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            FieldValue::Flag(flag) => serializer.serialize_bool(*flag),
            FieldValue::Number(number) => serializer.serialize_u64(*number),
            FieldValue::Text(text) => serializer.serialize_str(text),
            FieldValue::Key(key) => serializer.serialize_str(&self.1.text(key)),
            FieldValue::Bytes(bytes) => serializer.serialize_str(&self.1.bytes(bytes)),
            FieldValue::List(values) => {
                let mut list = serializer.serialize_seq(Some(values.len()))?;
                for value in values {
                    list.serialize_element(&Value(value, self.1))?;
                }
                list.end()
            }
            FieldValue::Object(fields) => Fields(fields, self.1).serialize(serializer),
            // `Null`, and what a later library may add.
            _ => serializer.serialize_unit(),
        }
    }
}

impl Serialize for Fields<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for field in self.0 {
            map.serialize_entry(field.name, &Value(&field.value, self.1))?;
        }
        map.end()
    }
}

impl JsonSchema for Value<'_> {
    fn schema_name() -> Cow<'static, str> {
        "Value".into()
    }

    /// Any value: what a record says of its kind, a region's range, the peers.
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!(true)
    }
}

impl JsonSchema for Fields<'_> {
    fn schema_name() -> Cow<'static, str> {
        "Fields".into()
    }

    /// Named values; which ones, depends on the kind of the record.
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "object"})
    }
}
