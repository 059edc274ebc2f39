//! Operations of the journal with crash images: the fuzzer says what clients do, what goes wrong at which
//! operation of the simulated disk, and which unsynced sectors, lengths and names a power cut keeps.
//!
//! The oracle is that of the journal's own crash tests, and the real recovery in addition: it opens every device
//! that a crash left, with the records that were acknowledged and nothing else.

#[path = "../../journal/tests/promises/enumeration/history.rs"]
#[allow(
    dead_code,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "fixtures of tests fail the test that calls them"
)]
mod history;
mod operations;
mod payloads;

use std::io::ErrorKind;
use std::path::PathBuf;
use std::sync::Arc;

use arbitrary::{Arbitrary, Unstructured};
use torrens_journal::disk::{Disk, OpenMode};
use torrens_journal::testing::{CutChoice, SimDisk, SimFault};
use torrens_journal::{Journal, Lsn};
use torrens_recovery::{Directories, Recovered, RecoveryError, RecoveryOptions, recover};

use crate::support::{STORE, clear_behind_in, dir, walk};
use history::{Heard, check, go_on, play};
use operations::{Life, Lives};
use payloads::Payloads;

/// Devices that are looked at of one crash.
const IMAGES_MAX: usize = 6;
/// Lives of one journal.
const LIVES_MAX: usize = 3;

/// Nothing that was acknowledged is lost, nothing that nobody wrote is found, and recovery opens it.
pub fn journal(data: &[u8]) {
    let Ok(Lives { purges, lives }) = Lives::arbitrary(&mut Unstructured::new(data)) else {
        return;
    };
    let mut disk = SimDisk::new(1);
    let mut heard = Heard::nothing();
    for life in lives.iter().take(LIVES_MAX) {
        disk.write_back_in_background(life.writes_back.then_some(u64::from(life.seed)));
        if life.fault_at > 0 {
            let at = disk.ops() + u64::from(life.fault_at);
            disk.fail_at(at, life.fault());
        }
        // What is open stays open until the crash was looked at: closing changes the disk.
        let open = live(&disk, life, purges, &mut heard);
        let image = crash(&disk, life, purges, &heard);
        drop(open);
        disk = image;
    }
}

/// One life of the process, up to where its disk dies or its operations end.
fn live(disk: &SimDisk, life: &Life, purges: bool, heard: &mut Heard) -> Option<Journal> {
    let options = life.options();
    if !has_segments(disk) {
        // Whatever was in it before, if anything, was not acknowledged.
        assert_eq!(heard.acknowledged, Lsn::ZERO);
        *heard = Heard::nothing();
        return play(disk, options, &life.steps, heard);
    }
    let journal = if purges {
        resumed(disk, life, heard)?
    } else {
        let opened = recovered(disk, life);
        assert!(
            opened.is_ok()
                || disk.is_dead()
                || life.fault_at > 0
                || heard.acknowledged == Lsn::ZERO,
            "nothing went wrong: {:?}",
            opened.err()
        );
        let opened = opened.ok()?;
        *heard = heard.recovered(opened.report.last_lsn);
        opened.journal
    };
    go_on(disk, journal, options, &life.steps, heard)
}

/// Opens the journal without recovery, which needs a checkpoint of what was purged; as the journal's tests do.
fn resumed(disk: &SimDisk, life: &Life, heard: &mut Heard) -> Option<Journal> {
    for path in disk.files() {
        let file = disk.open(&path, OpenMode::Write).ok()?;
        file.sync_data().ok()?;
        file.drop_cache().ok()?;
    }
    disk.sync_dir(&dir()).ok()?;
    let tail = walk(disk).tail?;
    clear_behind_in(disk, &dir(), &tail).ok()?;
    let again = Arc::new(disk.clone());
    let journal = Journal::resume(again, &dir(), STORE, tail, life.options()).ok()?;
    *heard = heard.recovered(tail.last_lsn);
    Some(journal)
}

fn has_segments(disk: &SimDisk) -> bool {
    let mut files = disk.files().into_iter();
    files.any(|path| path.extension().is_some_and(|ending| ending == "seg"))
}

/// Looks at some of the devices that are left if the power goes now, and gives the one that the input chose.
fn crash(disk: &SimDisk, life: &Life, purges: bool, heard: &Heard) -> SimDisk {
    let looked_at = |image: &SimDisk, context: &str| {
        check(image, heard, context);
        if !purges {
            opens(image, life, heard);
        }
    };
    for image in disk.cut_images(IMAGES_MAX, u64::from(life.seed)) {
        looked_at(&image, "a power cut");
    }
    let chosen = match life.cut % 4 {
        0 => disk.process_kill(),
        1 => disk.power_cut(CutChoice::Pages(u64::from(life.seed))),
        2 => disk.power_cut(CutChoice::Torn(u64::from(life.seed))),
        _ => disk.power_cut(CutChoice::Seeded(u64::from(life.seed))),
    };
    looked_at(&chosen, "the crash");
    chosen
}

fn directories() -> Directories {
    Directories {
        journal: dir(),
        checkpoints: PathBuf::from("/db/checkpoints"),
    }
}

fn recovered(disk: &SimDisk, life: &Life) -> Result<Recovered<Payloads>, RecoveryError> {
    recover(
        Arc::new(disk.clone()),
        &directories(),
        Payloads::default(),
        RecoveryOptions::new(life.options()),
    )
}

/// Recovers a copy of the device, which must have every record that was acknowledged, each as it was appended.
fn opens(image: &SimDisk, life: &Life, heard: &Heard) {
    let opened = match recovered(&image.process_kill(), life) {
        Ok(opened) => opened,
        // Before the first segment was there in full, nothing was acknowledged.
        Err(error) => {
            assert_eq!(heard.acknowledged, Lsn::ZERO, "{error}: {heard:?}");
            return;
        }
    };
    let last = opened.report.last_lsn;
    assert!(
        last >= heard.acknowledged && last.get() <= heard.appended.len() as u64,
        "{last} was recovered, {} acknowledged, {} appended",
        heard.acknowledged,
        heard.appended.len()
    );
    for (lsn, payload) in &opened.machine.0 {
        let at = usize::try_from(lsn.get() - 1).expect("a small number");
        assert_eq!(Some(payload), heard.appended.get(at), "record {lsn}");
    }
}

impl Life {
    fn fault(&self) -> SimFault {
        match self.fault % 8 {
            0 | 1 => SimFault::Dies,
            2 | 3 => SimFault::DiesMidway,
            4 => SimFault::Error(ErrorKind::Other),
            5 => SimFault::Error(ErrorKind::StorageFull),
            6 => SimFault::ShortThenError,
            _ => SimFault::SyncLosesSome(u64::from(self.seed)),
        }
    }
}
