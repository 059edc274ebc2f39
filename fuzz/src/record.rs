//! The record codec, and the register that records are applied to.

use arbitrary::{Arbitrary, Unstructured};
use torrens::RegisterMachine;
use torrens::codec;
use torrens::lifecycle::Record;
use torrens_journal::{Lsn, RecordKind};
use torrens_recovery::StateMachine;

use crate::Strings;

/// Once as one record, the first two bytes of which are its kind; and once as a list of such records, which
/// are replayed in order.
pub fn record(data: &[u8]) {
    let _ = decoded(data);
    if let Ok(Strings(records)) = Strings::arbitrary(&mut Unstructured::new(data)) {
        replay(&records);
    }
}

/// What decodes must encode to the same bytes: one transition has one encoding.
fn decoded(bytes: &[u8]) -> Option<Record> {
    let (kind, payload) = bytes.split_first_chunk::<2>()?;
    let kind = u16::from_le_bytes(*kind);
    let record = codec::decode(kind, payload).ok()??;
    let (again, bytes) = codec::encode(&record);
    assert_eq!((again, bytes.as_slice()), (kind, payload), "{record:?}");
    let looked_at = RegisterMachine::decode(RecordKind::new(kind), payload);
    assert_eq!(looked_at.ok().flatten().as_ref(), Some(&record));
    Some(record)
}

/// Records in any order: one that cannot follow is refused and changes nothing, and whatever state is
/// reached is saved and loaded as it is.
fn replay(records: &[&[u8]]) {
    let mut machine = RegisterMachine::default();
    for (lsn, record) in (1..).zip(records.iter().filter_map(|bytes| decoded(bytes))) {
        let before = machine.clone();
        if machine.apply(Lsn::new(lsn), &record).is_err() {
            assert_eq!(machine, before, "refused and changed by {record:?}");
        }
    }
    round_trip(&machine);
}

/// What a checkpoint saves, it loads.
pub(crate) fn round_trip(machine: &RegisterMachine) {
    let mut again = RegisterMachine::default();
    machine
        .save(&mut |item| {
            let item = RegisterMachine::decode_item(item).expect("what was saved decodes");
            again.load(item).expect("and loads");
            Ok(())
        })
        .expect("saving into memory does not fail");
    assert_eq!(machine, &again);
}
