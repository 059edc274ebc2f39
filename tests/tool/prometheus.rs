//! A strict reader of the text format of Prometheus, version 0.0.4, as far as the tool writes it.
//!
//! <https://prometheus.io/docs/instrumenting/exposition_formats/>

use std::collections::BTreeSet;

/// One sample.
#[derive(Clone, Debug)]
pub(crate) struct Series {
    pub(crate) name: String,
    pub(crate) labels: Vec<(String, String)>,
    pub(crate) value: f64,
}

/// Every sample of `text`, which must keep to the format and to its conventions.
pub(crate) fn parse(text: &str) -> Vec<Series> {
    assert!(text.ends_with('\n'), "the last line ends");
    let (mut found, mut families, mut seen) = (Vec::new(), BTreeSet::new(), BTreeSet::new());
    let mut family: Option<(String, String)> = None;
    let mut helped = None;
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, help) = rest.split_once(' ').unwrap();
            assert!(
                is_name(name) && help.ends_with('.') && !help.contains('\\'),
                "{line}"
            );
            helped = Some(name.to_owned());
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').unwrap();
            assert_eq!(helped.as_deref(), Some(name), "help first: {line}");
            assert!(["gauge", "counter"].contains(&kind), "{line}");
            assert!(families.insert(name.to_owned()), "twice: {line}");
            assert_eq!(kind == "counter", name.ends_with("_total"), "{line}");
            family = Some((name.to_owned(), kind.to_owned()));
        } else {
            assert!(!line.is_empty() && !line.starts_with('#'), "{line:?}");
            let one = sample(line);
            let (name, kind) = family.as_ref().unwrap();
            assert_eq!(*name, one.name, "a sample outside its family: {line}");
            assert!(kind != "counter" || one.value >= 0.0, "{line}");
            assert!(
                seen.insert((one.name.clone(), one.labels.clone())),
                "twice: {line}"
            );
            found.push(one);
        }
    }
    found
}

fn sample(line: &str) -> Series {
    let end = line.find(['{', ' ']).unwrap();
    let (name, mut rest) = line.split_at(end);
    assert!(is_name(name), "{line}");
    let mut labels = Vec::new();
    if let Some(inner) = rest.strip_prefix('{') {
        rest = inner;
        loop {
            let (label, after) = rest.split_once("=\"").unwrap();
            assert!(is_name(label) && !label.contains(':'), "{line}");
            let mut value = String::new();
            let mut letters = after.char_indices();
            let end = loop {
                match letters.next().unwrap() {
                    (at, '"') => break at + 1,
                    (_, '\\') => match letters.next().unwrap().1 {
                        'n' => value.push('\n'),
                        letter @ ('"' | '\\') => value.push(letter),
                        letter => panic!("\\{letter}: {line}"),
                    },
                    (_, letter) => value.push(letter),
                }
            };
            labels.push((label.to_owned(), value));
            rest = &after[end..];
            match rest.strip_prefix(',') {
                Some(more) => rest = more,
                None => break,
            }
        }
        rest = rest.strip_prefix('}').unwrap();
    }
    let value = rest.strip_prefix(' ').unwrap();
    Series {
        name: name.to_owned(),
        labels,
        value: value.parse().unwrap_or_else(|_| panic!("{line}")),
    }
}

fn is_name(name: &str) -> bool {
    let first = name.bytes().next().unwrap_or(b'0');
    let is_letter = |byte: u8| byte.is_ascii_alphabetic() || byte == b'_' || byte == b':';
    is_letter(first)
        && name
            .bytes()
            .all(|byte| is_letter(byte) || byte.is_ascii_digit())
}
