//! One simulated file: what processes read, what the device holds, and what lies between.
//!
//! Between two successful syncs each sector that is written collects its versions. A power cut
//! leaves any one of them, or what was durable before, for each sector by itself; the same holds for
//! the file's length. The kernel may write any of them back before it is asked to, and may fail.
//!
//! Not here: names (see `names`), which version a cut or a write-back takes (see `cut`) and who is
//! told of a failure (see `write_back`).

use std::collections::BTreeMap;
use std::sync::Arc;

use super::image::{Image, SECTOR_BYTES, Sector};
use super::write_back::Failures;

/// A file without its name.
#[derive(Clone, Debug, Default)]
pub(super) struct Inode {
    live: Image,
    durable: Image,
    /// Versions since the last sync, oldest first, none of the lists empty.
    unsynced: BTreeMap<u64, Vec<Arc<Sector>>>,
    /// Lengths since the last sync, oldest first; the last one is the live length.
    unsynced_lengths: Vec<u64>,
    /// A sync failed and left pages clean that the device does not have: `live` is not `durable`
    /// plus `unsynced` any more.
    phantom: bool,
    /// Failed write-backs, and whether anybody was told.
    pub(super) failures: Failures,
    /// Open handles and maps; a file without a name lives as long as one does.
    pub(super) handles: usize,
    /// Live maps; such a file does not shrink.
    pub(super) maps: usize,
}

/// What to write.
#[derive(Clone, Copy, Debug)]
pub(super) enum Source<'a> {
    Bytes(&'a [u8]),
    Zeros(u64),
}

impl Source<'_> {
    pub(super) fn len(&self) -> u64 {
        match self {
            Source::Bytes(bytes) => bytes.len() as u64,
            Source::Zeros(bytes) => *bytes,
        }
    }

    /// The first `bytes` of it, at most all.
    pub(super) fn first(self, bytes: u64) -> Self {
        match self {
            Source::Bytes(all) => {
                let cut = usize::try_from(bytes).unwrap_or(usize::MAX).min(all.len());
                Source::Bytes(all.split_at(cut).0)
            }
            Source::Zeros(all) => Source::Zeros(all.min(bytes)),
        }
    }

    /// Copies what lies at `from` of the source into all of `target`.
    fn copy_to(self, from: u64, target: &mut [u8]) {
        match self {
            Source::Zeros(_) => target.fill(0),
            Source::Bytes(bytes) => {
                let from = usize::try_from(from).unwrap_or(usize::MAX);
                let end = from.saturating_add(target.len());
                if let Some(piece) = bytes.get(from..end) {
                    target.copy_from_slice(piece);
                }
            }
        }
    }
}

impl Inode {
    pub(super) fn live(&self) -> &Image {
        &self.live
    }

    /// A file whose image is durable as it stands.
    pub(super) fn settled(image: Image) -> Inode {
        Inode {
            live: image.clone(),
            durable: image,
            ..Inode::default()
        }
    }

    /// The same file with nobody holding it.
    pub(super) fn without_handles(&self) -> Inode {
        Inode {
            handles: 0,
            maps: 0,
            ..self.clone()
        }
    }

    /// Writes at `offset`, growing the file if needed. The caller has bounded the end.
    pub(super) fn write(&mut self, offset: u64, source: Source<'_>) {
        let end = offset + source.len();
        let sector_bytes = SECTOR_BYTES as u64;
        let mut at = offset;
        while at < end {
            let sector = at / sector_bytes;
            let next = ((sector + 1) * sector_bytes).min(end);
            let mut bytes = self.live.sector(sector);
            // Both are less than a sector apart from its start.
            let start = usize::try_from(at % sector_bytes).unwrap_or(0);
            let stop = start + usize::try_from(next - at).unwrap_or(0);
            if let Some(target) = bytes.get_mut(start..stop) {
                source.copy_to(at - offset, target);
            }
            self.put(sector, &bytes);
            at = next;
        }
        if end > self.live.len() {
            self.change_len(end);
        }
    }

    /// Makes `bytes` the sector's newest version.
    fn put(&mut self, sector: u64, bytes: &Sector) {
        // After a failed sync the device may lack even what reads back the same.
        let reaches_device = self.unsynced.contains_key(&sector) || !self.phantom;
        let same = self.live.is_allocated(sector) && self.live.sector(sector) == *bytes;
        if !(same && reaches_device) {
            self.unsynced
                .entry(sector)
                .or_default()
                .push(Arc::new(*bytes));
            self.live.put_sector(sector, bytes);
        }
    }

    fn change_len(&mut self, bytes: u64) {
        self.live.set_len(bytes);
        self.unsynced_lengths.push(bytes);
    }

    /// Sets the length. What a shorter length cuts off reads as zeros if the old length survives.
    pub(super) fn set_len(&mut self, bytes: u64) {
        if bytes < self.live.len() {
            let old = self.live.len();
            let sector_bytes = SECTOR_BYTES as u64;
            self.live.set_len(bytes);
            for sector in bytes / sector_bytes..old.div_ceil(sector_bytes) {
                let cut = self.live.sector(sector);
                let has_versions = self.unsynced.contains_key(&sector);
                if has_versions || self.durable.sector(sector) != cut {
                    self.unsynced.entry(sector).or_default().push(Arc::new(cut));
                }
            }
            self.unsynced_lengths.push(bytes);
        } else if bytes > self.live.len() {
            self.change_len(bytes);
        }
    }

    /// A successful sync: everything that is not yet durable becomes so.
    pub(super) fn sync(&mut self) {
        if self.phantom {
            // Only what was written since the failed sync reaches the device.
            let unsynced = std::mem::take(&mut self.unsynced);
            self.durable = overlay(&self.durable, self.live.len(), newest(&unsynced));
        } else {
            self.durable = self.live.clone();
            self.unsynced.clear();
        }
        self.unsynced_lengths.clear();
    }

    /// A sync that breaks off in the middle: the first half of the sectors is durable, the length
    /// is not, and the rest is as unsynced as before.
    pub(super) fn sync_half(&mut self) {
        let half = self.unsynced.len() / 2;
        let first: Vec<u64> = self.unsynced.keys().take(half).copied().collect();
        let mut done = BTreeMap::new();
        for sector in first {
            // A sector behind the durable end reaches the device with the length only.
            if sector * SECTOR_BYTES as u64 >= self.durable.len() {
                break;
            }
            if let Some(versions) = self.unsynced.remove(&sector) {
                done.insert(sector, versions);
            }
        }
        self.durable = overlay(&self.durable, self.durable.len(), newest(&done));
    }

    /// The sectors of a durable write, and with them the length, reach the device.
    pub(super) fn settle(&mut self, offset: u64, bytes: u64) {
        let sector_bytes = SECTOR_BYTES as u64;
        let first = offset / sector_bytes;
        let end = offset.saturating_add(bytes).div_ceil(sector_bytes);
        self.write_back(self.unsynced_lengths.len(), |sector| {
            if (first..end).contains(&sector) {
                usize::MAX
            } else {
                0
            }
        });
    }

    /// A write-back without a sync: version `pick(sector)` of each unsynced sector reaches the
    /// device, and version `length` of the length; 0 leaves a piece as it is. `pick` is asked for
    /// every unsynced sector, in order.
    pub(super) fn write_back(&mut self, length: usize, mut pick: impl FnMut(u64) -> usize) {
        let newest = length.checked_sub(1);
        if let Some(bytes) = newest.and_then(|newest| self.unsynced_lengths.get(newest)) {
            self.durable.set_len(*bytes);
            self.unsynced_lengths.drain(..length);
        }
        let (end, grows) = (self.durable.len(), self.durable.len() < self.live.len());
        let mut written = Vec::new();
        self.unsynced.retain(|sector, versions| {
            let picked = pick(*sector).min(versions.len());
            let start = *sector * SECTOR_BYTES as u64;
            // A sector that the device's end cuts short waits for the new length.
            let has_place = start < end && !(grows && end - start < SECTOR_BYTES as u64);
            if picked == 0 || !has_place {
                return true;
            }
            written.extend(
                versions
                    .drain(..picked)
                    .next_back()
                    .map(|bytes| (*sector, bytes)),
            );
            !versions.is_empty()
        });
        let sectors = written.iter().map(|(sector, bytes)| (*sector, &**bytes));
        self.durable = overlay(&self.durable, end, sectors);
    }

    /// A write-back that fails as on Linux file systems: of the unsynced sectors the device has
    /// those that `reaches` names, the kernel holds all of them for clean and will not write them
    /// again, and readers still see them.
    pub(super) fn write_back_fails(&mut self, mut reaches: impl FnMut(u64) -> bool) {
        let mut written = std::mem::take(&mut self.unsynced);
        let all = written.len();
        let end = self.durable.len();
        written.retain(|sector, _| reaches(*sector) && *sector * (SECTOR_BYTES as u64) < end);
        self.phantom |= written.len() < all;
        self.durable = overlay(&self.durable, end, newest(&written));
    }

    /// Forgets clean pages: what a failed write-back left in memory only is gone. The pages of a
    /// mapped file stay.
    pub(super) fn drop_cache(&mut self) {
        if self.phantom && self.maps == 0 {
            self.live = overlay(&self.durable, self.live.len(), newest(&self.unsynced));
            self.phantom = false;
        }
    }

    /// The unsynced sectors and how many versions each has.
    pub(super) fn unsynced(&self) -> impl Iterator<Item = (u64, usize)> + '_ {
        self.unsynced
            .iter()
            .map(|(sector, versions)| (*sector, versions.len()))
    }

    pub(super) fn unsynced_lengths(&self) -> &[u64] {
        &self.unsynced_lengths
    }

    /// What the device holds if version `pick(sector)` of each unsynced sector reached it and
    /// version `length` of the length; 0 is what was durable before.
    pub(super) fn cut(&self, length: usize, mut pick: impl FnMut(u64) -> usize) -> Image {
        let length = length
            .checked_sub(1)
            .and_then(|newer| self.unsynced_lengths.get(newer));
        let bytes = length.copied().unwrap_or(self.durable.len());
        let picked = self.unsynced.iter().filter_map(|(sector, versions)| {
            let version = pick(*sector).checked_sub(1)?;
            Some((*sector, &**versions.get(version)?))
        });
        overlay(&self.durable, bytes, picked)
    }

    /// What a sector holds whose write was torn: the first `bytes` of one version, the rest of
    /// another; 0 is what was durable before.
    pub(super) fn torn(&self, sector: u64, [head, tail]: [usize; 2], bytes: usize) -> Sector {
        let version = |pick: usize| {
            let newer = pick.checked_sub(1);
            let versions = self.unsynced.get(&sector).map(Vec::as_slice);
            match newer.and_then(|newer| versions.unwrap_or_default().get(newer)) {
                Some(version) => **version,
                None => self.durable.sector(sector),
            }
        };
        let (head, mut torn) = (version(head), version(tail));
        for (to, from) in torn.iter_mut().zip(head).take(bytes) {
            *to = from;
        }
        torn
    }

    /// Puts a sector into a settled file, as far as the file goes.
    pub(super) fn replace(&mut self, sector: u64, bytes: &Sector) {
        self.live = overlay(
            &self.live,
            self.live.len(),
            std::iter::once((sector, bytes)),
        );
        self.durable = self.live.clone();
    }

    /// Changes both images at once, as decay of the medium would.
    pub(super) fn corrupt(&mut self, offset: u64, bytes: &[u8]) {
        let unsynced = std::mem::take(&mut self.unsynced);
        let source = Source::Bytes(bytes).first(self.live.len().saturating_sub(offset));
        self.write(offset, source);
        let changed = std::mem::replace(&mut self.unsynced, unsynced);
        self.durable = overlay(&self.durable, self.durable.len(), newest(&changed));
    }
}

/// The newest version of each sector.
fn newest(versions: &BTreeMap<u64, Vec<Arc<Sector>>>) -> impl Iterator<Item = (u64, &Sector)> + '_ {
    versions
        .iter()
        .filter_map(|(sector, versions)| Some((*sector, &**versions.last()?)))
}

/// `base` with the length `bytes` and these sectors put over it; what lies behind the end is left out.
fn overlay<'a>(
    base: &Image,
    bytes: u64,
    sectors: impl Iterator<Item = (u64, &'a Sector)>,
) -> Image {
    let mut image = base.clone();
    image.set_len(bytes);
    let mut past_end = false;
    for (sector, contents) in sectors {
        let start = sector * SECTOR_BYTES as u64;
        if start < bytes {
            image.put_sector(sector, contents);
            past_end |= bytes - start < SECTOR_BYTES as u64;
        }
    }
    if past_end {
        // Zeroes what the last sector brought along behind the end.
        image.set_len(bytes + SECTOR_BYTES as u64);
        image.set_len(bytes);
    }
    image
}
