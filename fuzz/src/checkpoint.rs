//! A checkpoint file with the fuzzer's bytes, read as recovery reads it.

use std::path::Path;

use torrens::RegisterMachine;
use torrens_journal::Lsn;
use torrens_journal::disk::{Disk, OpenMode};
use torrens_journal::testing::SimDisk;
use torrens_recovery::{StateMachine, checkpoint};

/// The position that the file's name states.
pub const LSN: u64 = 7;

/// Whatever is accepted must save to the same state again.
pub fn checkpoint(data: &[u8]) {
    let disk = SimDisk::new(1);
    let dir = Path::new("checkpoints");
    let path = dir.join(format!("{LSN:020}.ckpt"));
    disk.create_dir_all(dir)
        .expect("an empty simulated disk takes a directory");
    let file = disk.open(&path, OpenMode::CreateNew).expect("and a file");
    file.write_all_at(0, data).expect("and its bytes");
    let mut machine = RegisterMachine::default();
    if checkpoint::load(&disk, dir, None, Lsn::new(LSN), &mut machine).is_ok() {
        let mut again = RegisterMachine::default();
        machine
            .save(&mut |item| {
                let item = RegisterMachine::decode_item(item).expect("what was saved decodes");
                again.load(item).expect("and loads");
                Ok(())
            })
            .expect("saving into memory does not fail");
        assert_eq!(machine, again);
    }
}
