//! What a client does with the journal, and what it was told when; and a machine that keeps what recovery reads.

use std::path::Path;
use std::sync::Arc;

use torrens_journal::disk::Disk;
use torrens_journal::{Journal, JournalOptions, Lsn, RecordKind, StoreUuid};
use torrens_recovery::StateMachine;
use torrens_recovery::checkpoint::CheckpointError;

use crate::device::Device;

const KIND: RecordKind = RecordKind::new(7);

/// What the client did and was told.
#[derive(Debug, Default)]
pub(crate) struct Played {
    /// Every payload that got an LSN; the first has LSN 1.
    pub(crate) appended: Vec<Vec<u8>>,
    /// At which moment of the device's log it was told that a record is durable.
    told: Vec<(usize, u64)>,
}

impl Played {
    /// The highest record that the client had been told of when the power went.
    pub(crate) fn acknowledged_at(&self, moment: usize) -> u64 {
        let told = self.told.iter().filter(|(at, _)| *at <= moment);
        told.map(|(_, lsn)| *lsn).max().unwrap_or(0)
    }
}

/// Small and large records, several to a sync and one; rotations with and without a sync in between; marks; a close.
pub(crate) fn play(
    disk: Arc<dyn Disk>,
    mount: &Path,
    options: JournalOptions,
    device: &Device,
) -> Played {
    let mut played = Played::default();
    let dir = mount.join("journal");
    let journal = Journal::create(disk, &dir, StoreUuid([0xa5; 16]), options).unwrap();
    let sizes = [40, 700, 3_000, 4_100, 9_000, 60, 18_000, 10];
    for round in 0..24_usize {
        for size in &sizes[round % 5..round % 5 + 1 + round % 4] {
            let number = played.appended.len() as u64 + 1;
            let mut payload = vec![number as u8; (*size).max(8)];
            payload[..8].copy_from_slice(&number.to_le_bytes());
            journal.append(KIND, 1, &payload).unwrap();
            played.appended.push(payload);
        }
        match round % 6 {
            5 => journal.write_mark_synced().unwrap(),
            3 => journal.write_mark().unwrap(),
            _ => {}
        }
        if round % 3 != 2 {
            let durable = journal.sync().unwrap();
            played.told.push((device.moment(), durable.get()));
        }
    }
    journal.close().unwrap();
    played
        .told
        .push((device.moment(), played.appended.len() as u64));
    played
}

/// Positions and payloads, in order.
#[derive(Clone, Debug, Default)]
pub(crate) struct Payloads(pub(crate) Vec<(Lsn, Vec<u8>)>);

impl StateMachine for Payloads {
    type Record = Vec<u8>;
    type Item = ();
    type Error = std::io::Error;

    fn decode(_: RecordKind, payload: &[u8]) -> Result<Option<Vec<u8>>, std::io::Error> {
        Ok(Some(payload.to_vec()))
    }

    fn apply(&mut self, lsn: Lsn, record: &Vec<u8>) -> Result<(), std::io::Error> {
        self.0.push((lsn, record.clone()));
        Ok(())
    }

    fn save(
        &self,
        _: &mut dyn FnMut(&[u8]) -> Result<(), CheckpointError>,
    ) -> Result<(), CheckpointError> {
        Ok(())
    }

    fn decode_item(_: &[u8]) -> Result<(), std::io::Error> {
        Ok(())
    }

    fn load(&mut self, (): ()) -> Result<(), std::io::Error> {
        Ok(())
    }
}
