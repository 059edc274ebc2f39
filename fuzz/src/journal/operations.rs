//! An input of the target `journal`: lives of a process, each with its operations, its fault and its crash.
//!
//! A life is a head of seven bytes (how it writes, the fault and where, how it crashes, a seed, how many operations)
//! and two bytes for each operation, so that a change of one byte is a change of one thing.

use arbitrary::{Arbitrary, Unstructured};
use torrens_journal::{JournalOptions, WriterChoice};

use super::history::Step;

/// Sizes of payloads: small, some to a page, about a page, over two, most of a segment, and what fits nowhere.
const SIZES_BYTES: [usize; 8] = [10, 60, 700, 3_000, 4_100, 9_000, 18_000, 30_000];
/// Records that stay together.
const TOGETHER: [&[usize]; 4] = [&[10, 10, 10], &[30, 4_100, 30], &[700, 700], &[9_000, 60]];
/// Operations of one life.
const STEPS_MAX: usize = 40;

/// Lives, one after another on the same disk.
pub(super) struct Lives {
    /// Whether records are purged; without checkpoints, so that recovery is left out.
    pub(super) purges: bool,
    pub(super) lives: Vec<Life>,
}

/// One of them.
pub(super) struct Life {
    is_mapped: bool,
    pub(super) writes_back: bool,
    /// Which fault; see `Life::fault`.
    pub(super) fault: u8,
    /// At which operation of the disk, counted from the life's begin; zero for none.
    pub(super) fault_at: u16,
    /// How it ends; see `crash`.
    pub(super) cut: u8,
    pub(super) seed: u8,
    pub(super) steps: Vec<Step>,
}

impl Life {
    /// The smallest segments and groups of at most two pages.
    pub(super) fn options(&self) -> JournalOptions {
        let writer = match self.is_mapped {
            true => WriterChoice::Mapped,
            false => WriterChoice::Direct,
        };
        let options = JournalOptions::new().segment_bytes(32 * 1024);
        options.group_bytes_max(8192).writer(writer)
    }
}

impl<'a> Arbitrary<'a> for Lives {
    fn arbitrary(bytes: &mut Unstructured<'a>) -> arbitrary::Result<Self> {
        let mut lives = Vec::new();
        let mut purges = false;
        while bytes.len() >= 7 {
            let how = u8::arbitrary(bytes)?;
            let fault = u8::arbitrary(bytes)?;
            let fault_at = u16::arbitrary(bytes)?;
            let cut = u8::arbitrary(bytes)?;
            let seed = u8::arbitrary(bytes)?;
            let count = usize::from(u8::arbitrary(bytes)?) % (STEPS_MAX + 1);
            if lives.is_empty() {
                purges = how & 4 == 4;
            }
            let mut steps = Vec::new();
            for _ in 0..count {
                if bytes.is_empty() {
                    break;
                }
                let (what, by) = (u8::arbitrary(bytes)?, u8::arbitrary(bytes)?);
                steps.push(step(what, by, purges));
            }
            lives.push(Life {
                is_mapped: how & 1 == 1,
                writes_back: how & 2 == 2,
                fault,
                fault_at: fault_at % 512,
                cut,
                seed,
                steps,
            });
        }
        Ok(Lives { purges, lives })
    }
}

fn step(what: u8, by: u8, purges: bool) -> Step {
    let client = usize::from(what >> 4) % 3;
    let size = SIZES_BYTES.get(usize::from(by) % SIZES_BYTES.len());
    let together = TOGETHER.get(usize::from(by) % TOGETHER.len());
    match what & 15 {
        0..=4 => Step::Append(client, size.copied().unwrap_or(8)),
        5 => Step::Together(client, together.copied().unwrap_or(&[8])),
        6..=8 => Step::Wait(client),
        9 => Step::Witness(client),
        10 => Step::Sync,
        11 => Step::Mark,
        12 => Step::MarkSynced,
        13 if purges => Step::PurgeAllBut(u64::from(by) % 8),
        13 => Step::Sync,
        14 => Step::Close,
        _ => Step::Reopen,
    }
}
