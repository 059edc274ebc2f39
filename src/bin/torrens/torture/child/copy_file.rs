//! The file of the consumer's copy: groups of changes, each whole or not there.
//!
//! `length u32, checksum u32, changes`, little-endian. It is not synced: torture kills processes, not
//! machines. Not here: what changes mean (`copy`).

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::Path;

/// One thing that the copy was told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Copied {
    /// A key and the checksum of its value.
    Put(Vec<u8>, u32),
    Delete(Vec<u8>),
    /// From a key to another, or to the end.
    DeleteRange(Vec<u8>, Option<Vec<u8>>),
    /// A region, and the last of its entries that the copy has whole.
    Position(u64, u64),
}

/// The file, open to be appended to.
#[derive(Debug)]
pub(super) struct CopyFile {
    file: File,
}

impl CopyFile {
    /// An empty one.
    pub(super) fn create(path: &Path) -> io::Result<CopyFile> {
        let file = File::create(path)?;
        Ok(CopyFile { file })
    }

    /// Gives every change to `take`, in order; none if there is no file. A part of a group at the end goes.
    ///
    /// # Errors
    /// What the file system says, or a group in the middle that is none.
    pub(super) fn open(path: &Path, mut take: impl FnMut(&Copied)) -> io::Result<Option<CopyFile>> {
        let mut bytes = Vec::new();
        match File::open(path) {
            Ok(mut file) => file.read_to_end(&mut bytes)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let mut rest = bytes.as_slice();
        while let Some((mut group, behind)) = group(rest) {
            while !group.is_empty() {
                take(&decode(&mut group).ok_or_else(malformed)?);
            }
            rest = behind;
        }
        let whole = bytes.len() - rest.len();
        let file = OpenOptions::new().append(true).open(path)?;
        file.set_len(whole as u64)?;
        Ok(Some(CopyFile { file }))
    }

    /// Adds a group.
    pub(super) fn append(&mut self, changes: &[Copied]) -> io::Result<()> {
        let mut payload = Vec::new();
        changes.iter().for_each(|one| encode(one, &mut payload));
        let length = u32::try_from(payload.len()).map_err(|_| malformed())?;
        let mut bytes = Vec::with_capacity(payload.len() + 8);
        bytes.extend(length.to_le_bytes());
        bytes.extend(crc32fast::hash(&payload).to_le_bytes());
        bytes.extend(payload);
        self.file.write_all(&bytes)
    }
}

fn malformed() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "the copy's file is malformed")
}

/// The next group and what follows it; none if it is not whole.
fn group(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk()?;
    let (checksum, rest) = rest.split_first_chunk()?;
    let length = usize::try_from(u32::from_le_bytes(*length)).ok()?;
    let (payload, rest) = rest.split_at_checked(length)?;
    let is_whole = crc32fast::hash(payload) == u32::from_le_bytes(*checksum);
    is_whole.then_some((payload, rest))
}

fn encode(copied: &Copied, into: &mut Vec<u8>) {
    let bytes = |into: &mut Vec<u8>, bytes: &[u8]| {
        into.extend(u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_le_bytes());
        into.extend(bytes);
    };
    match copied {
        Copied::Put(key, checksum) => {
            into.push(1);
            bytes(into, key);
            into.extend(checksum.to_le_bytes());
        }
        Copied::Delete(key) => {
            into.push(2);
            bytes(into, key);
        }
        Copied::DeleteRange(start, end) => {
            into.push(if end.is_some() { 3 } else { 4 });
            bytes(into, start);
            bytes(into, end.as_deref().unwrap_or_default());
        }
        Copied::Position(region, index) => {
            into.push(5);
            into.extend(region.to_le_bytes());
            into.extend(index.to_le_bytes());
        }
    }
}

fn decode(bytes: &mut &[u8]) -> Option<Copied> {
    fn chunk<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
        let (found, rest) = bytes.split_first_chunk()?;
        *bytes = rest;
        Some(*found)
    }
    fn run(bytes: &mut &[u8]) -> Option<Vec<u8>> {
        let length = usize::try_from(u32::from_le_bytes(chunk(bytes)?)).ok()?;
        let (found, rest) = bytes.split_at_checked(length)?;
        *bytes = rest;
        Some(found.to_vec())
    }
    Some(match chunk::<1>(bytes)? {
        [1] => Copied::Put(run(bytes)?, u32::from_le_bytes(chunk(bytes)?)),
        [2] => Copied::Delete(run(bytes)?),
        [3] => Copied::DeleteRange(run(bytes)?, Some(run(bytes)?)),
        [4] => {
            let start = run(bytes)?;
            run(bytes)?;
            Copied::DeleteRange(start, None)
        }
        [5] => Copied::Position(
            u64::from_le_bytes(chunk(bytes)?),
            u64::from_le_bytes(chunk(bytes)?),
        ),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn whole_groups_come_back_and_a_part_of_one_does_not() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("copy");
        let nothing = CopyFile::open(&path, |_| panic!("there is nothing"));
        assert!(nothing.unwrap().is_none());
        let groups = [
            vec![Copied::Put(b"a".to_vec(), 7), Copied::Position(1, 6)],
            vec![Copied::Delete(b"a".to_vec())],
            vec![
                Copied::DeleteRange(b"b".to_vec(), Some(b"c".to_vec())),
                Copied::DeleteRange(b"x".to_vec(), None),
            ],
        ];
        let mut file = CopyFile::create(&path).unwrap();
        let mut ends = vec![0];
        for group in &groups {
            file.append(group).unwrap();
            ends.push(fs::metadata(&path).unwrap().len());
        }
        let whole = fs::read(&path).unwrap();
        for length in (0..=whole.len()).rev() {
            fs::write(&path, &whole[..length]).unwrap();
            let mut found = Vec::new();
            let file = CopyFile::open(&path, |one| found.push(one.clone())).unwrap();
            let count = ends.iter().filter(|end| **end <= length as u64).count() - 1;
            assert_eq!(found, groups[..count].concat(), "{length} bytes");
            file.unwrap().append(&groups[0]).unwrap();
            let mut found = Vec::new();
            CopyFile::open(&path, |one| found.push(one.clone())).unwrap();
            assert_eq!(found, [&groups[..count], &groups[..1]].concat().concat());
        }
    }
}
