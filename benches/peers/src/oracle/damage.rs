//! Damage of a directory: a bit, a sector of zeros, a file cut short, two sectors exchanged; at places where something
//! was written.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::place;
use crate::rng::Rng;

const SECTOR_BYTES: u64 = 512;

/// What is done.
pub(super) const KINDS: [&str; 4] = [
    "one bit flipped",
    "512 bytes zeroed",
    "two 512-byte blocks swapped",
    "a file cut short",
];

/// The files of a directory, by where something was written.
pub(super) struct Files {
    /// File below the directory, and sector.
    sectors: Vec<(PathBuf, u64)>,
}

impl Files {
    pub(super) fn of(dir: &Path) -> Result<Files> {
        let mut sectors = Vec::new();
        let mut files = place::files(dir)?;
        files.sort();
        for file in files {
            let name = file.strip_prefix(dir)?.to_owned();
            // A file that only says who has the directory open holds no data.
            if name.to_string_lossy().to_lowercase().contains("lock") {
                continue;
            }
            let bytes = fs::read(&file)?;
            for (number, sector) in (0..).zip(bytes.chunks(SECTOR_BYTES as usize)) {
                if sector.iter().any(|byte| *byte != 0) {
                    sectors.push((name.clone(), number));
                }
            }
        }
        Ok(Files { sectors })
    }

    /// Does it to a copy of the directory, and says what was done.
    pub(super) fn damage(&self, kind: &str, rng: &mut Rng, copy: &Path) -> Result<String> {
        let (name, sector) = self.pick(rng)?;
        let path = copy.join(name);
        let file = File::options().read(true).write(true).open(&path)?;
        let length = file.metadata()?.len();
        let at = sector * SECTOR_BYTES;
        let bytes = SECTOR_BYTES.min(length - at) as usize;
        let mut part = vec![0; bytes];
        match kind {
            "one bit flipped" => {
                let place = rng.below(bytes);
                file.read_exact_at(&mut part, at)?;
                if let Some(byte) = part.get_mut(place) {
                    *byte ^= 1 << rng.below(8);
                }
                file.write_all_at(&part, at)?;
            }
            "512 bytes zeroed" => file.write_all_at(&part, at)?,
            "a file cut short" => file.set_len(at + rng.below(bytes) as u64)?,
            _ => {
                let (other, with) = self.pick(rng)?;
                let other = File::options()
                    .read(true)
                    .write(true)
                    .open(copy.join(other))?;
                let to = with * SECTOR_BYTES;
                let bytes = bytes.min((other.metadata()?.len() - to) as usize);
                let mut theirs = vec![0; bytes];
                part.truncate(bytes);
                file.read_exact_at(&mut part, at)?;
                other.read_exact_at(&mut theirs, to)?;
                file.write_all_at(&theirs, at)?;
                other.write_all_at(&part, to)?;
            }
        }
        Ok(format!("{} at {at}", name.display()))
    }

    fn pick(&self, rng: &mut Rng) -> Result<(&Path, u64)> {
        let at = rng.below(self.sectors.len().max(1));
        let (name, sector) = self.sectors.get(at).context("an empty directory")?;
        Ok((name, *sector))
    }
}
