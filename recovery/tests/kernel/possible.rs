//! What the simulated disk can leave of a power cut in each operation: names, lengths, and the versions of each sector.
//!
//! The pieces of a cut are independent of each other (`torrens_journal::testing`), so a device is possible if each of
//! its pieces is. A few cuts of the simulated disk show every version of every piece.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use parking_lot::Mutex;
use torrens_journal::testing::{CutChoice, SimDisk, Unsynced};

use crate::device::{Device, SECTOR_BYTES};

type Sector = [u8; SECTOR_BYTES];

/// What a file may be.
#[derive(Clone, Debug, Default)]
struct File {
    lengths: BTreeSet<u64>,
    sectors: BTreeMap<u64, BTreeSet<Sector>>,
}

/// What a device may hold.
#[derive(Clone, Debug, Default)]
pub(crate) struct Possible {
    files: BTreeMap<PathBuf, File>,
    /// Names that no cut takes away.
    always: BTreeSet<PathBuf>,
}

impl Possible {
    /// What a cut of that disk can leave now.
    pub(crate) fn of(disk: &SimDisk) -> Possible {
        let unsynced = disk.unsynced();
        let is_entry = |piece: &&Unsynced| matches!(piece, Unsynced::Entry { .. });
        let entries = unsynced.iter().filter(is_entry).count();
        let versions = unsynced.iter().map(|piece| match piece {
            Unsynced::Sector { versions, .. } => *versions,
            Unsynced::Length { lengths_bytes, .. } => lengths_bytes.len(),
            _ => 1,
        });
        let versions = versions.max().unwrap_or(0);
        let mut possible = Possible::default();
        let mut first = true;
        for version in 0..=versions {
            for kept in 0..=entries {
                let mut pick = vec![version; unsynced.len() - entries];
                pick.extend(std::iter::repeat_n(1, kept));
                let image = disk.power_cut(CutChoice::Versions(pick));
                possible.add(&image, first);
                first = false;
            }
        }
        possible
    }

    fn add(&mut self, image: &SimDisk, first: bool) {
        let names: BTreeSet<PathBuf> = image.files().into_iter().collect();
        if first {
            self.always.clone_from(&names);
        }
        self.always.retain(|name| names.contains(name));
        for name in names {
            let bytes = image.contents(&name).unwrap();
            let file = self.files.entry(name).or_default();
            file.lengths.insert(bytes.len() as u64);
            for (number, sector) in (0..).zip(sectors(&bytes)) {
                file.sectors.entry(number).or_default().insert(sector);
            }
        }
    }

    /// Either of the two.
    fn or(mut self, other: &Possible) -> Possible {
        self.always.retain(|name| other.always.contains(name));
        for (name, theirs) in &other.files {
            let file = self.files.entry(name.clone()).or_default();
            file.lengths.extend(&theirs.lengths);
            for (number, versions) in &theirs.sectors {
                file.sectors.entry(*number).or_default().extend(versions);
            }
        }
        self
    }

    pub(crate) fn always(&self) -> impl Iterator<Item = &PathBuf> {
        self.always.iter()
    }

    /// How many sectors were compared, or why there can be no such file.
    pub(crate) fn holds(&self, name: &Path, bytes: &[u8]) -> Result<usize, String> {
        let file = self
            .files
            .get(name)
            .ok_or("no cut leaves a file of that name")?;
        let length = bytes.len() as u64;
        if !file.lengths.contains(&length) {
            return Err(format!("{length} bytes, and not any of {:?}", file.lengths));
        }
        let mut compared = 0;
        for (number, sector) in (0..).zip(sectors(bytes)) {
            compared += 1;
            let versions = file.sectors.get(&number);
            // A longer file whose sector did not come is zero there.
            let shorter = file
                .lengths
                .iter()
                .any(|length| *length <= number * SECTOR_BYTES as u64);
            let is_zero = sector == [0; SECTOR_BYTES];
            if !(versions.is_some_and(|versions| versions.contains(&sector))
                || (is_zero && shorter))
            {
                return Err(format!(
                    "sector {number} is none of the {} versions that it can have: it begins {:02x?}",
                    versions.map_or(0, BTreeSet::len),
                    &sector[..16]
                ));
            }
        }
        Ok(compared)
    }
}

fn sectors(bytes: &[u8]) -> impl Iterator<Item = Sector> {
    bytes.chunks(SECTOR_BYTES).map(|part| {
        let mut sector = [0; SECTOR_BYTES];
        sector[..part.len()].copy_from_slice(part);
        sector
    })
}

/// Operations in order: up to which moment of the device's log each went, and what was possible after it.
#[derive(Debug)]
pub(crate) struct Trace {
    device: Device,
    done: Mutex<Vec<(usize, Possible)>>,
}

impl Trace {
    pub(crate) fn new(device: Device) -> Trace {
        let done = Mutex::new(vec![(0, Possible::default())]);
        Trace { device, done }
    }

    /// An operation was done on both disks.
    pub(crate) fn done(&self, disk: &SimDisk) {
        let possible = Possible::of(disk);
        self.done.lock().push((self.device.moment(), possible));
    }

    pub(crate) fn operations(&self) -> usize {
        self.done.lock().len() - 1
    }

    /// What is possible if the power goes before event `moment` of the log: what was after the operation before, or is
    /// after the one that was under way.
    pub(crate) fn at(&self, moment: usize) -> Possible {
        let done = self.done.lock();
        let under_way = done.iter().position(|(upto, _)| *upto >= moment);
        let under_way = under_way.unwrap_or(done.len() - 1);
        let before = &done[under_way.saturating_sub(1)].1;
        let mut possible = before.clone().or(&done[under_way].1);
        // Several operations may have had no event of their own.
        for (_, after) in done[under_way..]
            .iter()
            .take_while(|(upto, _)| *upto <= moment)
        {
            possible = possible.or(after);
        }
        possible
    }
}
