//! A second store in the storage process: some snapshots for the first one go through it.
//!
//! It takes a region's snapshot in, as a store of its own under its own id, and the first store gets the one
//! that it takes of that. It dies with the process. What it was acknowledged stands in a file beside it, one
//! line each, and is there after every opening. Not here: the first store (`serve`).

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use parking_lot::Mutex;
use torrens::snapshot::{SnapshotName, SnapshotReader};
use torrens::{
    Answer, DestroyCause, Engine, EngineError, KeyRange, PeerId, RegionEpoch, RegionId, StoreId,
    Taken,
};

use super::convert::epoch_of;
use super::serve::words;
use crate::torture::protocol::{Digester, STORE, SnapshotLine};
use crate::torture::snapshots::region_of;

/// What it has of a region: the peer, the index, the rows and their checksum.
type Known = (u64, u64, u64, u32);

/// The second store.
#[derive(Debug)]
pub(super) struct Other {
    engine: Engine,
    /// One snapshot at a time.
    log: Mutex<File>,
}

impl Other {
    /// Its id, in whose place the model has peers.
    pub(super) const STORE: u64 = STORE + 1;

    /// Opens it, and compares it with what it had acknowledged.
    pub(super) fn open(dir: &Path) -> Result<Other, Box<dyn std::error::Error>> {
        let (engine, report) = Engine::options().store(StoreId(Self::STORE)).open(dir)?;
        let path = log_path(dir);
        let known = read(&path)?;
        if let (Some(lost), false) = (&report.data_store_lost, known.is_empty()) {
            return Err(format!("the second store lost its data: {lost}").into());
        }
        for (region, (peer, index, rows, checksum)) in &known {
            let found = engine.region(RegionId(*region));
            let is_same = |status: &torrens::RegionStatus| {
                status.peer == PeerId(*peer) && status.stage == "normal"
            };
            let Some(status) = found.as_ref().filter(|status| is_same(status)) else {
                return Err(format!("the second store lacks r{region} p{peer}: {found:?}").into());
            };
            let has = engine.raft_start(RegionId(*region))?.data.index;
            let epoch = status
                .region
                .as_ref()
                .map_or(RegionEpoch::NONE, |one| one.epoch);
            // One that came after the last line may be there already.
            let digest = digest(&engine, RegionId(*region), epoch)?;
            if has < *index || (has == *index && digest != (*rows, *checksum)) {
                let expected = (index, rows, checksum);
                let text =
                    format!("r{region} of the second store: {expected:?}, {has}, {digest:?}");
                return Err(text.into());
            }
        }
        let log = OpenOptions::new().create(true).append(true).open(path)?;
        Ok(Other {
            engine,
            log: Mutex::new(log),
        })
    }

    /// Takes a snapshot in and gives one of its own in its place, as `take` wants it; false if it cannot take
    /// this one now.
    pub(super) fn pass_on(
        &self,
        line: &SnapshotLine,
        peer: u64,
        take: impl FnOnce(&SnapshotReader) -> Result<(), EngineError>,
    ) -> Result<bool, Box<dyn std::error::Error>> {
        let mut log = self.log.lock();
        let (engine, region) = (&self.engine, RegionId(line.description.id));
        let description = region_of(&line.description);
        if !self.make_room(&mut log, region, PeerId(peer), &description.range)? {
            return Ok(false);
        }
        let epoch = epoch_of(line.description.epoch);
        if engine.region(region).is_none() {
            let made = engine.create_peer(region, PeerId(peer), StoreId(STORE), epoch)?;
            if !made.holds() {
                return Ok(false);
            }
        }
        let Some(status) = engine.region(region) else {
            return Ok(false);
        };
        let name = SnapshotName {
            region,
            index: line.at.index,
            term: line.at.term,
            id: line.id,
        };
        engine.remove_snapshot(name)?;
        let from = File::open(&line.file)?;
        let staged = engine.receive_snapshot(name, from)?;
        match engine.apply_snapshot(region, status.incarnation, &staged)? {
            Answer::Accepted { .. } | Answer::AlreadyApplied => {}
            // Its range is still being cleared of somebody else's keys, or it has this one already.
            Answer::Wait(_) | Answer::Refused(_) => {
                engine.remove_snapshot(name)?;
                return Ok(false);
            }
        }
        let (rows, checksum) = digest(engine, region, epoch)?;
        let index = line.at.index;
        let line = format!("has {} {peer} {index} {rows} {checksum}\n", region.0);
        log.write_all(line.as_bytes())?;
        match engine.take_snapshot(region, epoch)? {
            Taken::Snapshot(staged) => {
                take(&engine.open_snapshot(staged.name)?)?;
                engine.remove_snapshot(staged.name)?;
                Ok(true)
            }
            Taken::Refused(_) => Ok(false),
        }
    }

    /// Destroys whatever else has keys of that range, and an earlier peer of the region itself.
    fn make_room(
        &self,
        log: &mut File,
        region: RegionId,
        peer: PeerId,
        range: &KeyRange,
    ) -> Result<bool, Box<dyn std::error::Error>> {
        for status in self.engine.regions() {
            let own = status.region.as_ref().map(|one| &one.range);
            let is_there = own.is_some_and(|own| own.overlaps(range));
            let is_other = status.id != region && is_there;
            let is_earlier = status.id == region && status.peer != peer;
            if !is_other && !is_earlier {
                continue;
            }
            let epoch = status
                .region
                .as_ref()
                .map_or(RegionEpoch::NONE, |one| one.epoch);
            // Said before it happens: a kill in between leaves more than is asked for.
            log.write_all(format!("gone {}\n", status.id.0).as_bytes())?;
            let incarnation = Some(status.incarnation);
            let cause = DestroyCause::Operator;
            let gone = self
                .engine
                .destroy(status.id, epoch, incarnation, status.peer, cause)?;
            if !gone.holds() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// An orderly end.
    pub(super) fn close(self) -> Result<(), String> {
        self.engine.close().map_err(|error| words(&error))
    }
}

fn log_path(dir: &Path) -> PathBuf {
    dir.with_extension("log")
}

/// What it has by its log; a line without an end was not acted on.
fn read(path: &Path) -> io::Result<BTreeMap<u64, Known>> {
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(BTreeMap::new()),
        Err(error) => return Err(error),
    };
    let mut known = BTreeMap::new();
    for line in text
        .split_inclusive('\n')
        .filter(|line| line.ends_with('\n'))
    {
        let mut words = line.split_whitespace();
        let verb = words.next();
        let numbers: Vec<u64> = words.filter_map(|word| word.parse().ok()).collect();
        match (verb, numbers.as_slice()) {
            (Some("has"), [region, peer, index, rows, checksum]) => {
                let checksum = u32::try_from(*checksum).unwrap_or_default();
                known.insert(*region, (*peer, *index, *rows, checksum));
            }
            (Some("gone"), [region]) => drop(known.remove(region)),
            _ => return Err(io::Error::other(format!("{}: {line}", path.display()))),
        }
    }
    Ok(known)
}

fn digest(
    engine: &Engine,
    region: RegionId,
    epoch: RegionEpoch,
) -> Result<(u64, u32), Box<dyn std::error::Error>> {
    let view = engine.view(region, epoch)?;
    let mut digester = Digester::default();
    for row in view.scan(..) {
        let (key, value) = row?;
        digester.add(&key, &value);
    }
    let digest = digester.finish();
    Ok((digest.rows, digest.checksum))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_tells_what_is_there_and_leaves_out_a_line_without_an_end() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        assert_eq!(read(&path).unwrap(), BTreeMap::new());
        fs::write(
            &path,
            "has 7 70 9 3 12\nhas 8 80 5 0 0\ngone 8\nhas 7 70 11 4 13\nhas 9 9",
        )
        .unwrap();
        assert_eq!(read(&path).unwrap(), BTreeMap::from([(7, (70, 11, 4, 13))]));
        fs::write(&path, "has 7\n").unwrap();
        assert!(read(&path).is_err());
    }
}
