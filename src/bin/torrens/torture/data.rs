//! The data set: rows from a CSV file, and how a row becomes a key and a value of the store.
//!
//! The rows are repeated under prefixes ("0007/JFK"), so a small file gives as much data as a run
//! wants. A key is named by (prefix, row) everywhere in torture, a value by (row, revision); parent
//! and child both hold the data set and turn those names into the same bytes, so neither the pipe
//! nor the oracle carries rows.

use std::io::Read;
use std::path::{Path, PathBuf};

use super::error::TortureError;

/// The airports table that ships with the project; `data/README.md` says where it comes from.
const AIRPORTS: &[u8] = include_bytes!("../../../../data/airports.csv");

/// Longest line that is taken; a longer one is skipped with a warning.
const LINE_BYTES_MAX: usize = 1024 * 1024;
/// Longest key that is taken: keys become bounds of regions.
const KEY_BYTES_MAX: usize = 1024;
/// Most bytes of a data file: rows are held in memory.
const FILE_BYTES_MAX: u64 = 1024 * 1024 * 1024;
/// Prefixes are four digits, so that keys sort like (prefix, key).
pub(super) const PREFIXES_MAX: u32 = 10_000;

/// One row of the file.
#[derive(Clone, Debug, PartialEq, Eq)]
struct DataRow {
    key: Vec<u8>,
    text: Vec<u8>,
}

/// The rows, in the order of their keys, and what identifies them.
#[derive(Clone, Debug)]
pub(super) struct DataSet {
    rows: Vec<DataRow>,
    /// What it is called on the screen.
    pub(super) name: String,
    /// Checksum of the file's bytes: the oracle's rows mean something only with the same file.
    pub(super) checksum: u32,
    /// What was left out or changed on the way in, one sentence each.
    pub(super) warnings: Vec<String>,
}

impl DataSet {
    /// The person's own file, or the airports.
    ///
    /// # Errors
    /// [`TortureError::Data`] if the file cannot be read, is too large, or holds no row.
    pub(super) fn load(file: Option<&Path>) -> Result<DataSet, TortureError> {
        let Some(path) = file else {
            return DataSet::parse("airports".to_owned(), AIRPORTS, b',').ok_or(
                TortureError::DataEmpty {
                    path: PathBuf::from("airports.csv"),
                },
            );
        };
        let unreadable = |source| TortureError::Io {
            doing: "read the data file",
            path: path.to_owned(),
            source,
        };
        let file = std::fs::File::open(path).map_err(unreadable)?;
        let mut bytes = Vec::new();
        file.take(FILE_BYTES_MAX.saturating_add(1))
            .read_to_end(&mut bytes)
            .map_err(unreadable)?;
        if bytes.len() as u64 > FILE_BYTES_MAX {
            let bytes_max = FILE_BYTES_MAX;
            return Err(TortureError::DataTooLarge {
                path: path.to_owned(),
                bytes_max,
            });
        }
        DataSet::parse(path.display().to_string(), &bytes, delimiter(path, &bytes)).ok_or(
            TortureError::DataEmpty {
                path: path.to_owned(),
            },
        )
    }

    fn parse(name: String, bytes: &[u8], delimiter: u8) -> Option<DataSet> {
        let mut reader = csv::ReaderBuilder::new()
            .delimiter(delimiter)
            .has_headers(true)
            .flexible(true)
            .from_reader(bytes);
        let mut rows = Vec::new();
        let (mut too_long, mut no_key, mut broken) = (0u64, 0u64, 0u64);
        for (number, record) in reader.byte_records().enumerate() {
            let Ok(record) = record else {
                broken += 1;
                continue;
            };
            if record.as_slice().len() > LINE_BYTES_MAX
                || record.get(0).is_some_and(|key| key.len() > KEY_BYTES_MAX)
            {
                too_long += 1;
                continue;
            }
            let key = match record.get(0) {
                Some(key) if !key.is_empty() => key.to_vec(),
                _ => {
                    no_key += 1;
                    // The number makes it unique; the sign sorts it before ordinary keys.
                    format!("#{number}").into_bytes()
                }
            };
            let fields: Vec<&[u8]> = record.iter().collect();
            rows.push(DataRow {
                key,
                text: fields.join(&delimiter),
            });
        }
        // Stable: of rows with one key, a later line stays the later update.
        rows.sort_by(|a, b| a.key.cmp(&b.key));
        let mut warnings = Vec::new();
        let mut warn = |count: u64, what: &str| {
            if count > 0 {
                warnings.push(format!("{name}: {count} {what}"));
            }
        };
        warn(
            too_long,
            "lines skipped: longer than 1 MiB, or the key longer than 1 KiB",
        );
        warn(
            no_key,
            "rows without a key were given one from their line number",
        );
        warn(broken, "lines skipped: not CSV");
        let checksum = crc32fast::hash(bytes);
        (!rows.is_empty()).then_some(DataSet {
            rows,
            name,
            checksum,
            warnings,
        })
    }

    /// How many rows one prefix has.
    pub(super) fn len(&self) -> u32 {
        u32::try_from(self.rows.len()).unwrap_or(u32::MAX)
    }

    /// The key of a row under a prefix; none if there is no such row.
    pub(super) fn key(&self, prefix: u32, row: u32) -> Option<Vec<u8>> {
        let row = self.rows.get(usize::try_from(row).ok()?)?;
        let mut key = format!("{prefix:04}/").into_bytes();
        key.extend_from_slice(&row.key);
        Some(key)
    }

    /// Appends the value of a row at a revision; nothing if there is no such row.
    pub(super) fn value_into(&self, row: u32, revision: u64, value: &mut Vec<u8>) {
        let row = usize::try_from(row).ok().and_then(|row| self.rows.get(row));
        if let Some(row) = row {
            value.extend_from_slice(&row.text);
            value.push(b'@');
            value.extend_from_slice(revision.to_string().as_bytes());
        }
    }

    /// The value of a row at a revision; none if there is no such row.
    pub(super) fn value(&self, row: u32, revision: u64) -> Option<Vec<u8>> {
        let mut value = Vec::new();
        self.value_into(row, revision, &mut value);
        (!value.is_empty()).then_some(value)
    }
}

/// By the name if it says so, else by what the first line holds more of.
fn delimiter(path: &Path, bytes: &[u8]) -> u8 {
    match path.extension().and_then(|extension| extension.to_str()) {
        Some("tsv" | "tab") => b'\t',
        Some("csv") => b',',
        _ => {
            let line = bytes
                .split(|byte| *byte == b'\n')
                .next()
                .unwrap_or_default();
            let count = |wanted: u8| line.iter().filter(|byte| **byte == wanted).count();
            [b'\t', b';', b',']
                .into_iter()
                .max_by_key(|wanted| count(*wanted))
                .unwrap_or(b',')
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &[u8]) -> Option<DataSet> {
        DataSet::parse("test".to_owned(), text, b',')
    }

    #[test]
    fn the_airports_are_there_under_any_prefix() {
        let airports = DataSet::load(None).unwrap();
        assert_eq!((airports.len(), airports.warnings.len()), (3376, 0));
        let jfk = (0..airports.len()).find(|row| airports.key(7, *row).unwrap() == b"0007/JFK");
        let value = airports.value(jfk.unwrap(), 12).unwrap();
        assert!(
            value.starts_with(b"JFK,John F Kennedy Intl,New York,NY,USA,"),
            "{value:?}"
        );
        assert!(value.ends_with(b"@12"));
        assert_eq!(airports.key(0, 3376), None);
    }

    #[test]
    fn keys_sort_like_their_names() {
        let airports = DataSet::load(None).unwrap();
        let keys: Vec<_> = [
            (0, 5),
            (0, 6),
            (1, 0),
            (1, 3375),
            (2, 0),
            (999, 1),
            (1000, 0),
        ]
        .map(|(prefix, row)| airports.key(prefix, row).unwrap())
        .into();
        assert!(keys.is_sorted(), "{keys:?}");
    }

    #[test]
    fn rows_without_a_key_get_one_of_their_own_and_are_counted() {
        let data = parse(b"id,name\n,first\n,second\nb,third\n").unwrap();
        let keys: Vec<_> = (0..3).map(|row| data.key(0, row).unwrap()).collect();
        assert_eq!(
            keys,
            [b"0000/#0".to_vec(), b"0000/#1".to_vec(), b"0000/b".to_vec()]
        );
        assert_eq!(data.warnings.len(), 1);
    }

    #[test]
    fn duplicate_keys_and_bytes_that_are_no_text_are_kept_as_they_are() {
        let data = parse(b"id,name\nk,\xff\xfe\nk,later\n").unwrap();
        assert_eq!(data.key(0, 0), data.key(0, 1));
        assert_eq!(data.value(0, 1).unwrap(), b"k,\xff\xfe@1");
        assert_eq!(data.value(1, 1).unwrap(), b"k,later@1");
    }

    #[test]
    fn a_huge_line_is_skipped_and_counted() {
        let mut text = b"id,name\na,small\nb,".to_vec();
        text.resize(text.len() + LINE_BYTES_MAX, b'x');
        let data = parse(&text).unwrap();
        assert_eq!((data.len(), data.warnings.len()), (1, 1));
    }

    #[test]
    fn a_file_without_rows_is_no_data_set() {
        for text in [b"".as_slice(), b"id,name\n", b"\n\n"] {
            assert!(parse(text).is_none(), "{text:?}");
        }
    }

    #[test]
    fn the_delimiter_comes_from_the_name_or_from_the_first_line() {
        let of = |path: &str, text: &[u8]| delimiter(Path::new(path), text);
        assert_eq!(of("a.tsv", b"x,y,z"), b'\t');
        assert_eq!(of("a.csv", b"x\ty"), b',');
        assert_eq!(of("a", b"x\ty\tz,1"), b'\t');
        assert_eq!(of("a.txt", b"x;y;z\n,,,,,"), b';');
        assert_eq!(of("a.txt", b"x"), b',');
    }
}
