//! Makes a store's directory with many records and nothing else, to measure the reading commands on.
//!
//! ```console
//! $ cargo run --release --example make_journal -- /dev/shm/many 1000000 512
//! $ time target/release/torrens dump /dev/shm/many -o ndjson | cat >/dev/null
//! $ time target/release/torrens verify /dev/shm/many
//! ```
//!
//! The third number says how many records are written and made durable at once. With 1 each record has a
//! page of its own, so that checksums are what there is to do.

use std::error::Error;
use std::path::Path;
use std::sync::Arc;

use torrens::codec;
use torrens::lifecycle::{Cause, Event, Outcome, Record, Register, Stamp, apply, step};
use torrens::{PeerId, RegionEpoch, RegionId, StoreId};
use torrens_journal::disk::{Disk, RealDisk};
use torrens_journal::{Journal, JournalOptions, Lsn, RecordKind, StoreUuid};

/// 2026-03-14T09:21:07.114Z.
const CLOCK_MICROS: u64 = 1_773_480_067_114_000;
/// Peers that live at once.
const LIVING: u64 = 10_000;

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [dir, records, at_once] = args.as_slice() else {
        return Err("usage: make_journal DIR RECORDS AT_ONCE".into());
    };
    let (records, at_once): (u64, u64) = (records.parse()?, at_once.parse()?);
    let disk: Arc<dyn Disk> = Arc::new(RealDisk::new());
    let journal_dir = Path::new(dir).join("journal");
    for part in ["journal", "checkpoints", "snapshots"] {
        disk.create_dir_all(&Path::new(dir).join(part))?;
    }
    let options = JournalOptions::new().segment_bytes(64 * 1024 * 1024);
    let journal = Journal::create(disk, &journal_dir, StoreUuid(*b"torrens speed!!!"), options)?;
    let mut register = Register::default();
    let mut last = Lsn::ZERO;
    for number in 0..records {
        let event = event(number);
        let Outcome::Accepted(accepted) = step(&register, &event) else {
            return Err(format!("{event:?} is not legal").into());
        };
        let stamp = Stamp {
            wall_clock_micros: CLOCK_MICROS + number * 150,
            boot: journal.boot().get(),
            cause: Cause::Message {
                from_store: StoreId(5),
            },
        };
        let record = Record::new(&register, accepted.change, stamp);
        let (kind, payload) = codec::encode(&record);
        last = journal.append(RecordKind::new(kind), 0, &payload)?;
        apply(&mut register, last, &record)?;
        if number % at_once == at_once - 1 {
            journal.wait_durable(last)?;
        }
    }
    journal.wait_durable(last)?;
    journal.close()?;
    Ok(())
}

/// A store with an id, then peers that come by messages and go again.
fn event(number: u64) -> Event {
    let peer = |life: u64| (RegionId(1 + life % LIVING), PeerId(1 + life));
    let message_epoch = RegionEpoch {
        conf_ver: 3,
        version: 9,
    };
    match number {
        0 => Event::Identify { store: StoreId(4) },
        number if number <= LIVING || number % 2 == 0 => {
            let life = match number <= LIVING {
                true => number - 1,
                false => LIVING + (number - LIVING) / 2 - 1,
            };
            let (region, peer) = peer(life);
            Event::CreateByMessage {
                region,
                peer,
                from_store: StoreId(5),
                message_epoch,
            }
        }
        number => {
            let (region, peer) = peer((number - LIVING) / 2);
            Event::Destroy {
                region,
                incarnation: None,
                peer,
                cause: torrens::DestroyCause::Operator,
            }
        }
    }
}
