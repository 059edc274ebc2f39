//! What is long is applied by another thread than the one that reads and decodes it, and nobody can tell from
//! what comes out.

use std::sync::Arc;

use torrens_journal::testing::SimDisk;
use torrens_journal::{Boot, JournalOptions, Lsn, RecordKind};
use torrens_recovery::checkpoint::{self, CheckpointError, Meta};
use torrens_recovery::{RecoveryError, RecoveryOptions, StateMachine, recover};

use crate::host::{Host, STORE, copy, directories};
use crate::tally::{END, Record, Tally, TallyError};

const SEED: u64 = 91;
/// More than twice what changes hands at once.
const LONG: usize = 2_500;

/// A [`Tally`] that remembers who applied to it, and saves one item that it does not take back.
#[derive(Debug, Default)]
struct Watched {
    tally: Tally,
    applied_by: Vec<Option<String>>,
    spoiled_item: Option<usize>,
}

impl Watched {
    fn note(&mut self) {
        let name = std::thread::current().name().map(str::to_owned);
        if self.applied_by.last() != Some(&name) {
            self.applied_by.push(name);
        }
    }
}

impl StateMachine for Watched {
    type Record = Record;
    type Item = Vec<u8>;
    type Error = TallyError;

    fn decode(kind: RecordKind, payload: &[u8]) -> Result<Option<Record>, TallyError> {
        Tally::decode(kind, payload)
    }

    fn apply(&mut self, lsn: Lsn, record: &Record) -> Result<(), TallyError> {
        self.note();
        self.tally.apply(lsn, record)
    }

    fn save(
        &self,
        sink: &mut dyn FnMut(&[u8]) -> Result<(), CheckpointError>,
    ) -> Result<(), CheckpointError> {
        let mut number = 0;
        self.tally.save(&mut |item| {
            number += 1;
            match self.spoiled_item {
                Some(spoiled) if spoiled == number => sink(b"o?"),
                _ => sink(item),
            }
        })
    }

    fn decode_item(item: &[u8]) -> Result<Vec<u8>, TallyError> {
        Tally::decode_item(item)
    }

    fn load(&mut self, item: Vec<u8>) -> Result<(), TallyError> {
        self.note();
        self.tally.load(item)
    }
}

/// A closed journal of [`LONG`] values after a checkpoint of as many, with an end that has no beginning
/// in the place of the value at `bad`, and the checkpoint's item at `spoiled_item` spoiled.
fn store(bad: Option<usize>, spoiled_item: Option<usize>) -> SimDisk {
    let disk = SimDisk::new(SEED);
    let options = JournalOptions::new().segment_bytes(1024 * 1024);
    let mut host = Host::create_with(&disk, options).expect("nothing fails");
    for _ in 0..LONG {
        host.append(30).expect("nothing fails");
    }
    host.sync().expect("nothing fails");
    let meta = Meta::new(
        STORE,
        Lsn::new(LONG as u64),
        Boot::new(host.journal.boot().get()),
    );
    let saved = Watched {
        tally: host.machine.clone(),
        spoiled_item,
        ..Watched::default()
    };
    checkpoint::write(&disk, &directories().checkpoints, &meta, &saved).expect("nothing fails");
    for at in 0..LONG {
        if bad == Some(at) {
            host.journal.append(END, 0, &[9]).expect("nothing fails");
        } else {
            let value = at.to_le_bytes();
            host.journal
                .append(crate::tally::VALUE, 0, &value)
                .expect("nothing fails");
        }
    }
    host.journal.close().expect("it closes");
    disk
}

/// What recovery says, and who applied.
fn told(disk: &SimDisk, threads: usize) -> (String, Option<Tally>, Vec<Option<String>>) {
    let options = RecoveryOptions::new(JournalOptions::new().segment_bytes(1024 * 1024));
    let outcome = recover(
        Arc::new(copy(disk)),
        &directories(),
        Watched::default(),
        options.with_threads(threads),
    );
    match outcome {
        Ok(recovered) => (
            format!(
                "{:?} {}",
                recovered.report.verdict, recovered.report.records_replayed
            ),
            Some(recovered.machine.tally),
            recovered.machine.applied_by,
        ),
        Err(RecoveryError::Refused { report }) => {
            let text = format!("{:?} {}", report.verdict, report.records_replayed);
            (text, None, Vec::new())
        }
        Err(error) => (format!("{error:?}"), None, Vec::new()),
    }
}

#[test]
fn a_thread_of_its_own_applies_what_is_long_and_the_outcome_is_the_same() {
    println!("seed {SEED}");
    let disk = store(None, None);
    let (text, alone, by) = told(&disk, 0);
    assert!(text.starts_with("Clean"), "{text}");
    assert_eq!(
        alone.as_ref().map(|tally| tally.values.len()),
        Some(2 * LONG)
    );
    let own = std::thread::current().name().map(str::to_owned);
    assert_eq!(by, [own]);
    let (also, together, by) = told(&disk, 2);
    assert_eq!((also, together), (text, alone));
    assert_eq!(by, [Some("torrens-apply".to_owned())]);
}

#[test]
fn what_cannot_be_is_found_at_its_place_by_whichever_thread() {
    println!("seed {SEED}");
    // At the edges of what changes hands at once, in the middle, and at the very end.
    for bad in [0, 1023, 1024, 1500, LONG - 1] {
        let disk = store(Some(bad), None);
        let (text, machine, _) = told(&disk, 0);
        assert!(text.starts_with("ImpossibleSequence"), "{text}");
        assert!(text.ends_with(&format!(" {bad}")), "{bad}: {text}");
        assert!(machine.is_none());
        assert_eq!(told(&disk, 2).0, text);
    }
    // The checkpoint comes first, whatever the records say.
    for spoiled in [2, 1024, 1025, LONG + 1] {
        let disk = store(Some(3), Some(spoiled));
        let (text, machine, _) = told(&disk, 0);
        assert!(text.contains(&format!("item {} of", spoiled - 1)), "{text}");
        assert!(machine.is_none());
        assert_eq!(told(&disk, 2).0, text);
    }
}
