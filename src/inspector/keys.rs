//! Keys on a screen: as text, as digits, or replaced by a token that gives nothing away; and keys as a
//! person types them.
//!
//! Not here: which keys are shown (`describe`), where the secret of a token comes from (the tool).

use std::fmt;
use std::sync::Arc;

use crate::{Key, KeyRange};

/// How keys are shown.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub enum KeyForm {
    /// As [`key_text`].
    #[default]
    Auto,
    /// `0x` and the bytes in hexadecimal.
    Hex,
    /// Printable ASCII as it is, other bytes as `\xHH`.
    Escaped,
    /// Base64 with padding, behind `base64:`.
    Base64,
    /// A token instead of the key: equal keys have equal tokens.
    Redacted(KeyMask),
    /// What a function says of the key, which hides nothing; an empty answer leaves it as [`KeyForm::Auto`].
    Told(KeyMask),
}

/// Turns a key into a token. Without the secret in it, a token says nothing but that two keys are
/// equal.
#[derive(Clone)]
pub struct KeyMask(Arc<Token>);

type Token = dyn Fn(&[u8]) -> String + Send + Sync;

impl KeyMask {
    /// A mask that gives the tokens of `token`, which should be a keyed hash.
    pub fn new(token: impl Fn(&[u8]) -> String + Send + Sync + 'static) -> Self {
        KeyMask(Arc::new(token))
    }
}

impl fmt::Debug for KeyMask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyMask")
    }
}

impl KeyForm {
    /// The key in this form, without quotes.
    pub fn text(&self, key: &[u8]) -> String {
        match self {
            KeyForm::Auto => key_text(key),
            KeyForm::Hex => format!("0x{}", hex(key)),
            KeyForm::Escaped => key.escape_ascii().to_string(),
            KeyForm::Base64 => format!("base64:{}", base64(key)),
            // The empty key is the begin of everything; everybody knows it.
            KeyForm::Redacted(_) if key.is_empty() => String::new(),
            KeyForm::Redacted(mask) => (mask.0)(key),
            KeyForm::Told(_) if key.is_empty() => String::new(),
            KeyForm::Told(mask) => match (mask.0)(key) {
                told if told.is_empty() => key_text(key),
                told => told,
            },
        }
    }

    /// The key in this form; what reads as words is in quotes.
    pub fn quoted(&self, key: &[u8]) -> String {
        let text = self.text(key);
        match self {
            KeyForm::Auto if text.starts_with("0x") => text,
            KeyForm::Auto | KeyForm::Escaped | KeyForm::Told(_) => format!("\"{text}\""),
            _ if text.is_empty() => "\"\"".to_owned(),
            _ => text,
        }
    }

    /// `"a" … "m"`, in this form.
    pub fn range(&self, range: &KeyRange) -> String {
        let end = range.end().map_or("∞".to_owned(), |end| self.quoted(end));
        format!("{} … {end}", self.quoted(range.start()))
    }

    /// Bytes that nothing is known about, in hexadecimal; how many there are if keys are hidden, since they
    /// may be among them.
    pub fn bytes(&self, bytes: &[u8]) -> String {
        match self.hides() {
            true => format!("{} hidden bytes", bytes.len()),
            false => hex(bytes),
        }
    }

    /// Whether keys are hidden: then words of others that may hold keys must not be shown either.
    pub const fn hides(&self) -> bool {
        matches!(self, KeyForm::Redacted(_))
    }
}

/// A key as text: itself if it is printable ASCII, else `0x` and its bytes in hexadecimal. A key
/// that begins with `0x` by itself is given in hexadecimal too, so the form can be read back.
pub fn key_text(key: &[u8]) -> String {
    let is_plain = key.iter().all(|byte| matches!(byte, b' '..=b'~')) && !key.starts_with(b"0x");
    if is_plain {
        return String::from_utf8_lossy(key).into_owned();
    }
    format!("0x{}", hex(key))
}

/// `"a" … "m"`; a bound that is not printable is given in hexadecimal, without quotes.
pub fn range_text(range: &KeyRange) -> String {
    KeyForm::Auto.range(range)
}

/// The key that a person means: `0x` and an even number of hexadecimal digits, or the bytes as they
/// are. Reads back what [`key_text`] wrote.
///
/// # Errors
/// A sentence: it begins with `0x` and goes on with something else than pairs of digits.
pub fn parse_key(text: &str) -> Result<Key, String> {
    let Some(digits) = text.strip_prefix("0x") else {
        return Ok(Key::from(text.as_bytes()));
    };
    let nibbles: Option<Vec<u8>> = digits
        .chars()
        .map(|digit| digit.to_digit(16).map(|value| value as u8))
        .collect();
    let nibbles =
        nibbles.ok_or_else(|| format!("{text:?} has a character that is no hexadecimal digit"))?;
    let (pairs, rest) = nibbles.as_chunks::<2>();
    if !rest.is_empty() {
        return Err(format!("{text:?} has an odd number of hexadecimal digits"));
    }
    Ok(pairs.iter().map(|[high, low]| high << 4 | low).collect())
}

/// Bytes in hexadecimal, two digits each.
pub fn hex(bytes: &[u8]) -> String {
    let digits = bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    let mut text = String::with_capacity(bytes.len() * 2);
    text.extend(digits.map(|digit| char::from_digit(digit.into(), 16).unwrap_or('?')));
    text
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for three in bytes.chunks(3) {
        let bits = three
            .iter()
            .chain(&[0; 2])
            .take(3)
            .fold(0u32, |bits, byte| bits << 8 | u32::from(*byte));
        for place in 0..4 {
            let digit = DIGITS.get((bits >> (18 - 6 * place) & 63) as usize);
            let is_padding = place > three.len();
            text.push(if is_padding {
                '='
            } else {
                digit.map_or('?', |digit| char::from(*digit))
            });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_keys_never_look_alike_and_can_be_typed_again() {
        for (key, text) in [
            (b"".as_slice(), ""),
            (b"0007/JFK", "0007/JFK"),
            (b"a\x00\xff", "0x6100ff"),
            (b"0x61", "0x30783631"),
            (b"a\n", "0x610a"),
            ("ü".as_bytes(), "0xc3bc"),
        ] {
            assert_eq!(key_text(key), text);
            assert_eq!(parse_key(text).unwrap().as_ref(), key);
        }
        assert!(parse_key("0x123").is_err() && parse_key("0xzz").is_err());
    }

    #[test]
    fn every_form_shows_a_key_its_own_way() {
        assert_eq!(KeyForm::Hex.quoted(b"ab"), "0x6162");
        assert_eq!(KeyForm::Escaped.quoted(b"a\xff\""), "\"a\\xff\\\"\"");
        for (key, text) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
        ] {
            assert_eq!(
                KeyForm::Base64.text(key.as_bytes()),
                format!("base64:{text}")
            );
        }
        let mask = KeyForm::Redacted(KeyMask::new(|key| format!("k{}", key.len())));
        assert_eq!(
            mask.range(&KeyRange::new(b"".as_slice(), Some(b"abc".as_slice())).unwrap()),
            "\"\" … k3"
        );
    }
}
