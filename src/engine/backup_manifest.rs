//! The manifest of a backup: what belongs to it, in one checksummed file that is written last.
//!
//! ```text
//! manifest = "TORRBACK" version:u16 0:u16 store:u64 uuid:16 lsn:u64 files:u64 file* crc:u32
//! file     = region:u64 index:u64 term:u64 id:u64 checksum:u32 bytes:u64 rows:u64
//! ```
//!
//! Little-endian; the checksum covers everything before it. Not here: what the files hold (`snapshot`).

use std::io;
use std::path::Path;

use torrens_journal::disk::{Disk, OpenMode};
use torrens_journal::{Lsn, StoreUuid};

use super::backup::BackupReport;
use crate::snapshot::{SnapshotName, StagedSnapshot};
use crate::{RegionId, StoreId};

/// Name of the manifest in a backup.
pub(super) const MANIFEST: &str = "MANIFEST";
const MAGIC: [u8; 8] = *b"TORRBACK";
const VERSION: u16 = 1;
const HEAD_BYTES: usize = 8 + 2 + 2 + 8 + 16 + 8 + 8;
const FILE_BYTES: usize = 8 * 4 + 4 + 8 * 2;
/// Most regions of a backup; bounds what a reader allocates.
const FILES_MAX: u64 = 16 * 1024 * 1024;

/// What is wrong with a manifest.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ManifestFault {
    /// There is none, or it could not be read.
    #[error("it cannot be read")]
    Io(#[source] io::Error),
    /// Not a manifest.
    #[error("it does not start with the magic of a manifest")]
    Magic,
    /// Written by a newer version.
    #[error("its version is {found}, newer than {VERSION}")]
    Unsupported {
        /// The version found.
        found: u16,
    },
    /// Not the length that it says.
    #[error("it has {bytes} bytes, which is not what it says")]
    Length {
        /// Its length.
        bytes: u64,
    },
    /// The checksum does not match.
    #[error("its checksum does not match")]
    Checksum,
}

/// One file of rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FileEntry {
    pub(super) region: RegionId,
    pub(super) staged: StagedSnapshot,
}

/// What belongs to a backup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Manifest {
    pub(super) store: StoreId,
    pub(super) uuid: StoreUuid,
    pub(super) lsn: Lsn,
    pub(super) files: Vec<FileEntry>,
}

impl Manifest {
    pub(super) fn report(&self) -> BackupReport {
        let sum =
            |of: fn(&StagedSnapshot) -> u64| self.files.iter().map(|file| of(&file.staged)).sum();
        BackupReport {
            store: self.store,
            lsn: self.lsn,
            regions: self.files.len() as u64,
            rows: sum(|staged| staged.rows),
            bytes: sum(|staged| staged.bytes),
        }
    }

    /// Writes it aside, syncs it, gives it its name and syncs the folder.
    pub(super) fn write(&self, disk: &dyn Disk, backup: &Path) -> io::Result<()> {
        let (aside, path) = (backup.join("MANIFEST.new"), backup.join(MANIFEST));
        let file = disk.open(&aside, OpenMode::CreateNew)?;
        file.write_all_at(0, &self.encode())?;
        file.sync_data()?;
        disk.rename(&aside, &path)?;
        disk.sync_dir(backup)
    }

    pub(super) fn read(disk: &dyn Disk, backup: &Path) -> Result<Manifest, ManifestFault> {
        let file = disk
            .open(&backup.join(MANIFEST), OpenMode::Read)
            .map_err(ManifestFault::Io)?;
        let bytes = file.len().map_err(ManifestFault::Io)?;
        let most = HEAD_BYTES as u64 + FILES_MAX * FILE_BYTES as u64 + 4;
        if bytes > most {
            return Err(ManifestFault::Length { bytes });
        }
        let mut buffer = vec![0; bytes as usize];
        file.read_exact_at(0, &mut buffer)
            .map_err(ManifestFault::Io)?;
        Manifest::decode(&buffer)
    }

    fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(HEAD_BYTES + self.files.len() * FILE_BYTES + 4);
        bytes.extend_from_slice(&MAGIC);
        bytes.extend_from_slice(&VERSION.to_le_bytes());
        bytes.extend_from_slice(&[0; 2]);
        bytes.extend_from_slice(&self.store.0.to_le_bytes());
        bytes.extend_from_slice(&self.uuid.0);
        bytes.extend_from_slice(&self.lsn.get().to_le_bytes());
        bytes.extend_from_slice(&(self.files.len() as u64).to_le_bytes());
        for FileEntry { region, staged } in &self.files {
            for number in [
                region.0,
                staged.name.index,
                staged.name.term,
                staged.name.id,
            ] {
                bytes.extend_from_slice(&number.to_le_bytes());
            }
            bytes.extend_from_slice(&staged.checksum.to_le_bytes());
            bytes.extend_from_slice(&staged.bytes.to_le_bytes());
            bytes.extend_from_slice(&staged.rows.to_le_bytes());
        }
        let checksum = crc32fast::hash(&bytes);
        bytes.extend_from_slice(&checksum.to_le_bytes());
        bytes
    }

    fn decode(bytes: &[u8]) -> Result<Manifest, ManifestFault> {
        let wrong_length = ManifestFault::Length {
            bytes: bytes.len() as u64,
        };
        let mut fields = Fields { rest: bytes };
        if fields.take::<8>() != Some(MAGIC) {
            return Err(ManifestFault::Magic);
        }
        match fields.take::<2>().map(u16::from_le_bytes) {
            Some(VERSION) => {}
            Some(found) => return Err(ManifestFault::Unsupported { found }),
            None => return Err(wrong_length),
        }
        let Some((sealed, stored)) = bytes.split_last_chunk::<4>() else {
            return Err(wrong_length);
        };
        if crc32fast::hash(sealed) != u32::from_le_bytes(*stored) {
            return Err(ManifestFault::Checksum);
        }
        let mut read = || -> Option<Manifest> {
            let _reserved = fields.take::<2>()?;
            let store = StoreId(fields.u64()?);
            let uuid = StoreUuid(fields.take::<16>()?);
            let lsn = Lsn::new(fields.u64()?);
            let count = fields.u64()?;
            let left = fields.rest.len().checked_sub(4)?;
            if usize::try_from(count).ok()?.checked_mul(FILE_BYTES)? != left {
                return None;
            }
            let files = (0..count).map(|_| fields.file()).collect::<Option<_>>()?;
            Some(Manifest {
                store,
                uuid,
                lsn,
                files,
            })
        };
        read().ok_or(wrong_length)
    }
}

/// Fields from the front of what is left.
struct Fields<'a> {
    rest: &'a [u8],
}

impl Fields<'_> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.rest.split_first_chunk::<N>()?;
        self.rest = rest;
        Some(*taken)
    }

    fn u64(&mut self) -> Option<u64> {
        self.take().map(u64::from_le_bytes)
    }

    fn file(&mut self) -> Option<FileEntry> {
        let region = RegionId(self.u64()?);
        let (index, term, id) = (self.u64()?, self.u64()?, self.u64()?);
        let checksum = u32::from_le_bytes(self.take()?);
        let (bytes, rows) = (self.u64()?, self.u64()?);
        let name = SnapshotName {
            region,
            index,
            term,
            id,
        };
        let staged = StagedSnapshot {
            name,
            checksum,
            bytes,
            rows,
        };
        Some(FileEntry { region, staged })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest() -> Manifest {
        let entry = |region| FileEntry {
            region: RegionId(region),
            staged: StagedSnapshot {
                name: SnapshotName {
                    region: RegionId(region),
                    index: 7,
                    term: 6,
                    id: 0,
                },
                checksum: 0xabcd,
                bytes: 900,
                rows: 12,
            },
        };
        Manifest {
            store: StoreId(4),
            uuid: StoreUuid([7; 16]),
            lsn: Lsn::new(99),
            files: vec![entry(1), entry(2)],
        }
    }

    #[test]
    fn what_is_written_comes_back_and_no_byte_of_it_can_change() {
        let bytes = manifest().encode();
        assert_eq!(Manifest::decode(&bytes).unwrap(), manifest());
        assert_eq!(manifest().report().rows, 24);
        for at in 0..bytes.len() {
            let mut bad = bytes.clone();
            bad[at] ^= 0x10;
            assert!(Manifest::decode(&bad).is_err(), "byte {at}");
            assert!(Manifest::decode(&bytes[..at]).is_err(), "cut at {at}");
        }
        let longer = [&bytes[..], &[0]].concat();
        assert!(Manifest::decode(&longer).is_err());
    }

    #[test]
    fn a_count_that_lies_allocates_nothing() {
        let mut bytes = manifest().encode();
        bytes.truncate(bytes.len() - 4);
        bytes[HEAD_BYTES - 8..HEAD_BYTES].copy_from_slice(&u64::MAX.to_le_bytes());
        let checksum = crc32fast::hash(&bytes);
        bytes.extend_from_slice(&checksum.to_le_bytes());
        let refused = Manifest::decode(&bytes).unwrap_err();
        assert!(matches!(refused, ManifestFault::Length { .. }), "{refused}");
    }
}
