//! Snapshot files on their way between stores: the parent plays the stores at the other end.
//!
//! A file that the tortured store took is read back and compared row by row; one that it is to apply
//! is written with the description that the cluster has by then. Both with the library's own reader
//! and writer, since the format is one.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use torrens::snapshot::{SnapshotError, SnapshotMeta, SnapshotReader, SnapshotWriter};
use torrens::{
    Key, KeyRange, Peer, PeerId, PeerRole, Region, RegionEpoch, RegionId, Sequence, StoreId,
};
use torrens_journal::disk::{Disk, RealDisk};

use super::data::DataSet;
use super::error::TortureError;
use super::model::{Model, Rows};
use super::protocol::{Description, Digest, Digester, Do, Position};

/// The engine's description of a region.
pub(super) fn region_of(description: &Description) -> Region {
    let start = Key::from(description.start.0.as_slice());
    let end = description
        .end
        .as_ref()
        .map(|end| Key::from(end.0.as_slice()));
    // Nothing is described as a whole while it is in joint consensus.
    let role = |learner| match learner {
        true => PeerRole::Learner,
        false => PeerRole::Voter,
    };
    Region {
        id: RegionId(description.id),
        range: KeyRange::new(start, end).expect("the model's ranges are never empty"),
        epoch: RegionEpoch {
            conf_ver: description.epoch.conf_ver,
            version: description.epoch.version,
        },
        peers: description
            .peers
            .iter()
            .map(|peer| Peer {
                id: PeerId(peer.id),
                store: StoreId(peer.store),
                role: role(peer.learner),
                is_witness: peer.witness,
            })
            .collect(),
    }
}

/// Writes the rows as a snapshot file in `dir` and answers where it is.
pub(super) fn write(
    dir: &Path,
    id: u64,
    description: &Description,
    at: Position,
    rows: &Rows,
    data: &DataSet,
) -> Result<PathBuf, TortureError> {
    let disk: Arc<dyn Disk> = Arc::new(RealDisk::new());
    let meta = SnapshotMeta {
        region: region_of(description),
        index: at.index,
        term: at.term,
        sequence: Sequence::default(),
    };
    let path = meta.name(id).path_in(dir);
    let written = || -> Result<(), SnapshotError> {
        let mut writer = SnapshotWriter::create(disk, dir, id, &meta)?;
        for (key, row) in rows {
            writer.push(key, &data.value(row.row, row.revision).unwrap_or_default())?;
        }
        writer.finish().map(drop)
    };
    match written() {
        // Left by a run that was killed in between: the same rows under the same name.
        Err(SnapshotError::Exists { .. }) => Ok(path),
        done => done.map(|()| path).map_err(TortureError::Snapshot),
    }
}

/// The digest of the rows in a snapshot file, which is checked from end to end.
pub(super) fn digest(file: &Path) -> Result<Digest, TortureError> {
    let name = file
        .file_name()
        .and_then(|name| name.to_str())
        .and_then(|name| name.parse().ok());
    let (Some(name), Some(dir)) = (name, file.parent()) else {
        let source = std::io::Error::from(std::io::ErrorKind::InvalidInput);
        return Err(TortureError::io("read the snapshot", file)(source));
    };
    let read = || -> Result<Digest, SnapshotError> {
        let mut digester = Digester::default();
        for row in SnapshotReader::open(&RealDisk::new(), dir, name)?.rows()? {
            let row = row?;
            digester.add(&row.key, &row.value);
        }
        Ok(digester.finish())
    };
    read().map_err(TortureError::Snapshot)
}

/// Removes every file that neither a kept snapshot nor an operation in flight needs.
pub(super) fn collect(dir: &Path, model: &Model) -> Result<(), TortureError> {
    let mut needed: BTreeSet<&Path> = model
        .taken
        .values()
        .map(|taken| taken.file.as_path())
        .collect();
    needed.extend(
        model
            .flights
            .values()
            .filter_map(|flight| match &flight.what {
                Do::ApplySnapshot(snapshot) => Some(snapshot.file.as_path()),
                _ => None,
            }),
    );
    for entry in fs::read_dir(dir).map_err(TortureError::io("list", dir))? {
        let path = entry.map_err(TortureError::io("list", dir))?.path();
        if !needed.contains(path.as_path()) {
            fs::remove_file(&path).map_err(TortureError::io("remove", path))?;
        }
    }
    Ok(())
}
