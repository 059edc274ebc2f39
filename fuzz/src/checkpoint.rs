//! A checkpoint file, read as recovery reads it: once with the fuzzer's bytes, and once with the fuzzer's
//! items in a file that is sound.

use std::path::{Path, PathBuf};

use arbitrary::{Arbitrary, Unstructured};
use torrens::{MachineError, RegisterMachine};
use torrens_journal::disk::{Disk, OpenMode};
use torrens_journal::testing::SimDisk;
use torrens_journal::{Boot, Lsn, RecordKind, StoreUuid};
use torrens_recovery::StateMachine;
use torrens_recovery::checkpoint::{self, CheckpointError, Meta};

use crate::Strings;
use crate::record::round_trip;

/// The position that the file's name states.
const LSN: u64 = 7;

/// Whatever is accepted must save to the same state again.
pub fn checkpoint(data: &[u8]) {
    let dir = Path::new("checkpoints");
    let disk = SimDisk::new(1);
    disk.create_dir_all(dir)
        .expect("an empty simulated disk takes a directory");
    let file = disk.open(&path(dir), OpenMode::CreateNew);
    let file = file.expect("and a file");
    file.write_all_at(0, data).expect("and its bytes");
    load(&disk, dir);

    let Ok(Strings(items)) = Strings::arbitrary(&mut Unstructured::new(data)) else {
        return;
    };
    let disk = SimDisk::new(1);
    let meta = Meta::new(StoreUuid([7; 16]), Lsn::new(LSN), Boot::FIRST);
    let items = Items(items.iter().map(|item| item.to_vec()).collect());
    checkpoint::write(&disk, dir, &meta, &items).expect("a simulated disk takes a checkpoint");
    load(&disk, dir);
}

fn path(dir: &Path) -> PathBuf {
    dir.join(format!("{LSN:020}.ckpt"))
}

fn load(disk: &SimDisk, dir: &Path) {
    let mut machine = RegisterMachine::default();
    if checkpoint::load(disk, dir, None, Lsn::new(LSN), &mut machine).is_ok() {
        round_trip(&machine);
        let _ = machine.register().check_invariants();
    }
}

/// A machine that saves what it was given, whatever that is.
struct Items(Vec<Vec<u8>>);

impl StateMachine for Items {
    type Record = ();
    type Item = ();
    type Error = MachineError;

    fn decode(_: RecordKind, _: &[u8]) -> Result<Option<()>, MachineError> {
        Ok(None)
    }

    fn apply(&mut self, _: Lsn, (): &()) -> Result<(), MachineError> {
        Ok(())
    }

    fn save(
        &self,
        sink: &mut dyn FnMut(&[u8]) -> Result<(), CheckpointError>,
    ) -> Result<(), CheckpointError> {
        self.0.iter().try_for_each(|item| sink(item))
    }

    fn decode_item(_: &[u8]) -> Result<(), MachineError> {
        Ok(())
    }

    fn load(&mut self, (): ()) -> Result<(), MachineError> {
        Ok(())
    }
}
