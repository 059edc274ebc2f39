//! A command line as words: split at spaces, with quotes and escapes, each with its column.
//!
//! Not here: what a word means (`value`, `spec`).

use super::ParseFault;

/// One word of a command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Word {
    /// Where it starts, in bytes, from 1.
    pub(super) column: usize,
    /// What stands before the first `=`, if there is one outside of quotes.
    pub(super) name: Option<String>,
    /// The rest, with quotes and escapes resolved.
    pub(super) value: Vec<u8>,
}

/// A fault and its column.
pub(super) type Misplaced = (usize, ParseFault);

/// Splits a line. Keys may hold any bytes, so a word's value is bytes.
pub(super) fn words(line: &str) -> Result<Vec<Word>, Misplaced> {
    let mut words = Vec::new();
    let mut bytes = line.bytes().enumerate().peekable();
    while let Some((at, byte)) = bytes.next() {
        if byte == b' ' || byte == b'\t' {
            continue;
        }
        let column = at + 1;
        let (mut name, mut value) = (None, Vec::new());
        let mut quoted = false;
        let mut has_quotes = false;
        let mut current = Some((at, byte));
        while let Some((at, byte)) = current {
            match byte {
                b'"' => (quoted, has_quotes) = (!quoted, true),
                b'\\' => value.push(escape(at, &mut bytes)?),
                b'=' if !quoted && !has_quotes && name.is_none() && is_name(&value) => {
                    name = String::from_utf8(std::mem::take(&mut value)).ok();
                }
                other => value.push(other),
            }
            current = bytes.next_if(|(_, byte)| quoted || !matches!(byte, b' ' | b'\t'));
        }
        if quoted {
            return Err((column, ParseFault::OpenQuote));
        }
        words.push(Word {
            column,
            name,
            value,
        });
    }
    Ok(words)
}

/// Names of arguments are lower-case words with hyphens.
fn is_name(value: &[u8]) -> bool {
    let is_letter = |byte: &u8| byte.is_ascii_lowercase() || *byte == b'-';
    !value.is_empty() && value.iter().all(is_letter)
}

fn escape(at: usize, bytes: &mut impl Iterator<Item = (usize, u8)>) -> Result<u8, Misplaced> {
    let bad = (at + 1, ParseFault::BadEscape);
    let mut next = || bytes.next().map(|(_, byte)| byte);
    let digit = |byte: Option<u8>| char::from(byte?).to_digit(16);
    match next() {
        Some(b'\\') => Ok(b'\\'),
        Some(b'"') => Ok(b'"'),
        Some(b'n') => Ok(b'\n'),
        Some(b't') => Ok(b'\t'),
        Some(b'x') => match (digit(next()), digit(next())) {
            (Some(high), Some(low)) => u8::try_from(high * 16 + low).map_err(|_| bad),
            _ => Err(bad),
        },
        _ => Err(bad),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(line: &str) -> Vec<(usize, Option<&'static str>, Vec<u8>)> {
        let word = |word: Word| {
            let name = word.name.map(|name| &*Box::leak(name.into_boxed_str()));
            (word.column, name, word.value)
        };
        words(line).unwrap().into_iter().map(word).collect()
    }

    #[test]
    fn spaces_separate_and_quotes_hold_together() {
        assert_eq!(
            split("  get r1 \"a b\" at=\"x=y\" put=a\\x00:\"1 2\""),
            vec![
                (3, None, b"get".to_vec()),
                (7, None, b"r1".to_vec()),
                (10, None, b"a b".to_vec()),
                (16, Some("at"), b"x=y".to_vec()),
                (25, Some("put"), b"a\0:1 2".to_vec()),
            ]
        );
        assert_eq!(split(""), vec![]);
        // Not a name before it, so no argument.
        assert_eq!(split("7=8"), vec![(1, None, b"7=8".to_vec())]);
        assert_eq!(split("\"a\"=8"), vec![(1, None, b"a=8".to_vec())]);
    }

    #[test]
    fn what_does_not_end_is_a_fault_with_its_column() {
        assert_eq!(words("get \"a"), Err((5, ParseFault::OpenQuote)));
        for bad in ["\\", "\\q", "\\x", "\\x1", "\\xzz"] {
            assert_eq!(words(bad), Err((1, ParseFault::BadEscape)), "{bad}");
        }
    }
}
