//! `Filter`: a condition over what a record says, as a person types it.
//!
//! ```text
//! data.rows > 1000 && (region == 7 || kind ~ snapshot) && !(cause.type == raft)
//! ```
//!
//! The paths are those of the JSON that a dump writes. A path that is not there is `null`. Not here:
//! which records are looked at in the first place (`select`).

use std::str::FromStr;

use torrens_journal::format::RECORD_HEADER_BYTES;
use torrens_recovery::RecordItem;

use super::Description;
use super::clock::timestamp;
use super::fields::{FieldValue, field_at};
use super::keys::KeyForm;

/// How deep conditions may nest.
const DEPTH_MAX: u32 = 32;

/// A condition over what a record says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filter(Condition);

/// Why a text is no condition.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("at {at:?}: {why}")]
pub struct FilterError {
    /// What is left of the text where it cannot be read.
    at: String,
    why: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Condition {
    Compare(String, Operator, Value),
    Not(Box<Condition>),
    And(Vec<Condition>),
    Or(Vec<Condition>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operator {
    Equal,
    Unequal,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    Contains,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Value {
    Null,
    Flag(bool),
    Number(u64),
    Text(String),
}

impl Filter {
    /// Whether it holds of a record.
    pub fn holds(&self, item: &RecordItem<'_>, description: &Description) -> bool {
        self.0.holds(&|path| value_at(item, description, path))
    }
}

/// What stands at a path of the JSON that a dump writes.
fn value_at(item: &RecordItem<'_>, description: &Description, path: &str) -> FieldValue {
    let (name, rest) = path.split_once('.').unwrap_or((path, ""));
    let inside =
        |fields: Vec<super::Field>| field_at(&fields, rest).cloned().unwrap_or(FieldValue::Null);
    let (conf_ver, version) = description.epoch();
    match (name, rest) {
        ("lsn", "") => item.record.lsn.get().into(),
        ("ts", "") => description.written_micros().map(timestamp).into(),
        ("boot", "") => item.boot.get().into(),
        ("seg", "") => item.segment.get().into(),
        ("off", "") => item.record.offset_bytes.into(),
        ("len", "") => ((RECORD_HEADER_BYTES + item.record.payload.len()) as u64).into(),
        ("durable", "") => item.durable.into(),
        ("behind_gap", "") => item.behind_gap.into(),
        ("kind", "") => description.kind.to_string().into(),
        ("region", "") => description.region().map(|region| region.0).into(),
        ("peer", "") => description.peer().map(|peer| peer.0).into(),
        ("incarnation", "") => description
            .incarnation()
            .map(|incarnation| incarnation.lsn().get())
            .into(),
        ("prev_lsn", "") => description.previous().map(|lsn| lsn.get()).into(),
        ("epoch", "conf_ver") => conf_ver.into(),
        ("epoch", "version") => version.into(),
        ("cause", _) => inside(description.cause_fields()),
        ("data", _) => inside(description.fields()),
        _ => FieldValue::Null,
    }
}

impl Condition {
    fn holds(&self, value_at: &dyn Fn(&str) -> FieldValue) -> bool {
        match self {
            Condition::Not(condition) => !condition.holds(value_at),
            Condition::And(conditions) => conditions.iter().all(|one| one.holds(value_at)),
            Condition::Or(conditions) => conditions.iter().any(|one| one.holds(value_at)),
            Condition::Compare(path, operator, wanted) => {
                compare(&value_at(path), *operator, wanted)
            }
        }
    }
}

fn compare(found: &FieldValue, operator: Operator, wanted: &Value) -> bool {
    use std::cmp::Ordering;
    let order = match (found, wanted) {
        (FieldValue::List(values), _) => {
            return values.iter().any(|value| compare(value, operator, wanted));
        }
        (FieldValue::Null, Value::Null) => Some(Ordering::Equal),
        (FieldValue::Flag(found), Value::Flag(wanted)) => Some(found.cmp(wanted)),
        (FieldValue::Number(found), Value::Number(wanted)) => Some(found.cmp(wanted)),
        (FieldValue::Null | FieldValue::Flag(_), _) | (_, Value::Null | Value::Flag(_)) => None,
        (found, wanted) => {
            let found = match found {
                FieldValue::Key(key) => KeyForm::Auto.text(key),
                FieldValue::Number(number) => number.to_string(),
                FieldValue::Text(text) => text.to_string(),
                FieldValue::Bytes(bytes) => super::hex(bytes),
                _ => return operator == Operator::Unequal,
            };
            let wanted = match wanted {
                Value::Number(number) => number.to_string(),
                Value::Text(text) => text.clone(),
                Value::Null | Value::Flag(_) => String::new(),
            };
            if operator == Operator::Contains {
                return found.contains(&wanted);
            }
            Some(found.cmp(&wanted))
        }
    };
    match operator {
        Operator::Equal => order == Some(Ordering::Equal),
        Operator::Unequal => order != Some(Ordering::Equal),
        Operator::Less => order == Some(Ordering::Less),
        Operator::LessOrEqual => order.is_some_and(Ordering::is_le),
        Operator::Greater => order == Some(Ordering::Greater),
        Operator::GreaterOrEqual => order.is_some_and(Ordering::is_ge),
        Operator::Contains => false,
    }
}

impl FromStr for Filter {
    type Err = FilterError;

    fn from_str(text: &str) -> Result<Self, FilterError> {
        let mut parser = Parser { rest: text };
        let condition = parser.alternatives(0)?;
        match parser.rest.trim_start() {
            "" => Ok(Filter(condition)),
            _ => Err(parser.error("expected && or || or the end")),
        }
    }
}

struct Parser<'t> {
    rest: &'t str,
}

impl<'t> Parser<'t> {
    fn error(&self, why: &'static str) -> FilterError {
        FilterError {
            at: self.rest.trim_start().to_owned(),
            why,
        }
    }

    fn take(&mut self, word: &str) -> bool {
        let rest = self.rest.trim_start();
        match rest.strip_prefix(word) {
            Some(behind) => {
                self.rest = behind;
                true
            }
            None => false,
        }
    }

    fn alternatives(&mut self, depth: u32) -> Result<Condition, FilterError> {
        let first = self.all(depth)?;
        let mut conditions = vec![first];
        while self.take("||") {
            conditions.push(self.all(depth)?);
        }
        Ok(single_or(conditions, Condition::Or))
    }

    fn all(&mut self, depth: u32) -> Result<Condition, FilterError> {
        let first = self.one(depth)?;
        let mut conditions = vec![first];
        while self.take("&&") {
            conditions.push(self.one(depth)?);
        }
        Ok(single_or(conditions, Condition::And))
    }

    fn one(&mut self, depth: u32) -> Result<Condition, FilterError> {
        if depth > DEPTH_MAX {
            return Err(self.error("nested too deep"));
        }
        if self.take("!") {
            return Ok(Condition::Not(Box::new(self.one(depth + 1)?)));
        }
        if self.take("(") {
            let condition = self.alternatives(depth + 1)?;
            return match self.take(")") {
                true => Ok(condition),
                false => Err(self.error("expected )")),
            };
        }
        let path = self.word("expected a field, as in data.rows")?.to_owned();
        const OPERATORS: [(&str, Operator); 8] = [
            ("==", Operator::Equal),
            ("!=", Operator::Unequal),
            ("<=", Operator::LessOrEqual),
            (">=", Operator::GreaterOrEqual),
            ("<", Operator::Less),
            (">", Operator::Greater),
            ("~", Operator::Contains),
            ("=", Operator::Equal),
        ];
        let operator = OPERATORS.iter().find(|(word, _)| self.take(word));
        let Some((_, operator)) = operator else {
            return Err(self.error("expected ==, !=, <, <=, >, >= or ~ (contains)"));
        };
        Ok(Condition::Compare(path, *operator, self.value()?))
    }

    fn word(&mut self, why: &'static str) -> Result<&'t str, FilterError> {
        let rest = self.rest.trim_start();
        let is_inside = |c: char| c.is_alphanumeric() || "._-/@:*".contains(c);
        let end = rest.find(|c| !is_inside(c)).unwrap_or(rest.len());
        let (word, behind) = rest.split_at(end);
        if word.is_empty() {
            return Err(self.error(why));
        }
        self.rest = behind;
        Ok(word)
    }

    fn value(&mut self) -> Result<Value, FilterError> {
        let rest = self.rest.trim_start();
        for quote in ['"', '\''] {
            if let Some(inside) = rest.strip_prefix(quote) {
                let Some((text, behind)) = inside.split_once(quote) else {
                    return Err(self.error("the quote is not closed"));
                };
                self.rest = behind;
                return Ok(Value::Text(text.to_owned()));
            }
        }
        let word = self.word("expected a value")?;
        Ok(match word {
            "null" => Value::Null,
            "true" => Value::Flag(true),
            "false" => Value::Flag(false),
            word => match word.replace('_', "").parse() {
                Ok(number) => Value::Number(number),
                Err(_) => Value::Text(word.to_owned()),
            },
        })
    }
}

fn single_or(mut conditions: Vec<Condition>, many: fn(Vec<Condition>) -> Condition) -> Condition {
    match conditions.len() {
        1 => conditions.swap_remove(0),
        _ => many(conditions),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holds(text: &str) -> bool {
        let filter: Filter = text
            .parse()
            .unwrap_or_else(|error| panic!("{text}: {error}"));
        filter.0.holds(&|path| match path {
            "rows" => 1000u64.into(),
            "kind" => "snapshot.begin".into(),
            "durable" => true.into(),
            "stores" => vec![4u64, 5].into(),
            "key" => FieldValue::Key(b"m\xff".as_slice().into()),
            _ => FieldValue::Null,
        })
    }

    #[test]
    fn conditions_bind_as_in_every_language() {
        assert!(holds("rows == 1000 && kind ~ snapshot"));
        assert!(holds(
            "rows<1 || rows >= 1_000 && !(kind == 'snapshot.end')"
        ));
        assert!(!holds("rows == 1 && kind ~ snapshot") && !holds("rows == 1 || kind ~ x"));
        assert!(!holds("rows > 1000") && holds("rows != 7") && holds("rows <= 1000"));
        assert!(holds("durable == true") && holds("absent == null") && !holds("absent > 3"));
        assert!(holds("stores == 5") && !holds("stores == 6") && holds("key == 0x6dff"));
        assert!(holds("kind == \"snapshot.begin\"") && holds("kind != 7"));
    }

    #[test]
    fn what_is_no_condition_is_said_where_it_is_wrong() {
        for wrong in [
            "",
            "rows",
            "rows ==",
            "rows == 1 &&",
            "(rows == 1",
            "rows == 'x",
            "rows == 1 rows",
            "&& rows == 1",
        ] {
            assert!(wrong.parse::<Filter>().is_err(), "{wrong:?}");
        }
        assert!("!".repeat(100_000).parse::<Filter>().is_err());
    }
}
