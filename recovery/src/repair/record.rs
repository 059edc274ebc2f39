//! What the journal is told of a repair: one record of an ignorable kind, appended by the next opening
//! for writing. Readers that do not know the kind pass over it.

use torrens_journal::disk::Disk;
use torrens_journal::{Journal, Lsn, RecordKind};

use super::files::{Sign, put};
use super::model::Loss;
use super::{RepairError, RepairInfo, RepairState, list};
use crate::error::RecoveryError;
use crate::evidence::Directories;

/// The kind of a record of a repair. Reserved: no state machine may use it for anything else.
pub const REPAIR_RECORD: RecordKind = RecordKind::new(RecordKind::IGNORABLE | 0x7f01);

const VERSION: u8 = 1;
const PAYLOAD_BYTES: usize = 41;

/// What a record of a repair says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RepairRecord {
    /// The repair's number in this directory.
    pub id: u64,
    /// The first record that was lost; `None` if the state lost nothing.
    pub first: Option<Lsn>,
    /// The last record that is known to have been lost.
    pub last: Option<Lsn>,
    /// How many of them could still be read in what was set aside.
    pub records_readable: u64,
    /// Records up to here left the journal and stayed in a checkpoint.
    pub history_up_to: Option<Lsn>,
}

impl RepairRecord {
    fn of(id: u64, loss: &Loss) -> Self {
        RepairRecord {
            id,
            first: loss.first,
            last: loss.last,
            records_readable: loss.records_readable,
            history_up_to: loss.history_up_to,
        }
    }

    /// The payload; see docs/FORMAT.md.
    pub fn encode(&self) -> Vec<u8> {
        let number = |lsn: Option<Lsn>| lsn.map_or(0, Lsn::get);
        let mut payload = Vec::with_capacity(PAYLOAD_BYTES);
        payload.push(VERSION);
        for field in [
            self.id,
            number(self.first),
            number(self.last),
            self.records_readable,
            number(self.history_up_to),
        ] {
            payload.extend_from_slice(&field.to_le_bytes());
        }
        payload
    }

    /// Reads a payload; `None` if it is not one of this version.
    pub fn decode(payload: &[u8]) -> Option<Self> {
        let (version, fields) = payload.split_first()?;
        let (fields, rest) = fields.as_chunks::<8>();
        let [id, first, last, records_readable, history] = fields else {
            return None;
        };
        if *version != VERSION || !rest.is_empty() {
            return None;
        }
        let lsn = |field: &[u8; 8]| {
            Some(Lsn::new(u64::from_le_bytes(*field))).filter(|lsn| *lsn > Lsn::ZERO)
        };
        Some(RepairRecord {
            id: u64::from_le_bytes(*id),
            first: lsn(first),
            last: lsn(last),
            records_readable: u64::from_le_bytes(*records_readable),
            history_up_to: lsn(history),
        })
    }
}

/// Tells the journal of every repair that it has not been told of, and gives all repairs that stand.
///
/// A crash between the record and the sign that it is there makes the next opening tell once more.
pub(crate) fn tell(
    disk: &dyn Disk,
    directories: &Directories,
    journal: &Journal,
) -> Result<Vec<RepairInfo>, RecoveryError> {
    let mut standing = Vec::new();
    for mut info in list(disk, directories).map_err(RecoveryError::Repairs)? {
        match info.state {
            RepairState::Done => {
                let loss = info.plan.as_ref().map(|plan| plan.loss.clone());
                let record = RepairRecord::of(info.id, &loss.unwrap_or_default());
                let told = |error: Box<dyn std::error::Error + Send + Sync>| {
                    let source = std::io::Error::other(error);
                    RecoveryError::Repairs(RepairError::Io {
                        operation: "record the repair in",
                        path: directories.journal.clone(),
                        source,
                    })
                };
                let lsn = journal
                    .append(REPAIR_RECORD, 0, &record.encode())
                    .map_err(|error| told(error.into()))?;
                journal
                    .wait_durable(lsn)
                    .map_err(|error| told(error.into()))?;
                put(
                    disk,
                    directories,
                    info.id,
                    Sign::Recorded,
                    &format!("lsn {lsn}\n"),
                )
                .map_err(RecoveryError::Repairs)?;
                info.state = RepairState::Recorded(lsn);
                standing.push(info);
            }
            RepairState::Recorded(_) => standing.push(info),
            RepairState::Begun | RepairState::Undoing | RepairState::Undone => {}
        }
    }
    Ok(standing)
}
