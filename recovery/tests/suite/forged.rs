//! Bytes whose every checksum holds and that are not the history all the same: put back from another
//! copy, or made by a forger (or a writer with a bug).

use torrens_journal::disk::Disk;
use torrens_journal::format::{group_at, header_at};
use torrens_journal::testing::SimDisk;
use torrens_recovery::checkpoint::{self, CheckpointFault};
use torrens_recovery::facts::Stop;
use torrens_recovery::{Cause, Verdict};

use crate::host::{Host, STORE, copy, directories, look, segment, try_recover};

/// Three acknowledged values of one page each, in boot 1.
fn three_values() -> SimDisk {
    let disk = SimDisk::new(51);
    let mut host = Host::create(&disk).expect("nothing fails");
    for _ in 0..3 {
        host.put(100).expect("nothing fails");
    }
    host.vanish();
    copy(&disk)
}

/// Changes the header of the one-page group at `offset` of segment 1 and makes its checksum hold.
fn forge_group(disk: &SimDisk, offset: usize, change: impl Fn(&mut [u8])) {
    let path = segment(1);
    let bytes = disk.contents(&path).expect("there");
    let mut group = bytes[offset..offset + group_at::TABLE + 4].to_vec();
    change(&mut group);
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&STORE.0);
    hasher.update(&1u64.to_le_bytes());
    hasher.update(&bytes[header_at::SALT..header_at::SALT + 8]);
    hasher.update(&(offset as u64).to_le_bytes());
    hasher.update(&group[group_at::CRC_FROM..]);
    let crc = hasher.finalize();
    group[group_at::CRC..group_at::CRC + 4].copy_from_slice(&crc.to_le_bytes());
    disk.corrupt(&path, offset as u64, &group).expect("there");
}

fn set_u32(at: usize, value: u32) -> impl Fn(&mut [u8]) {
    move |bytes| bytes[at..at + 4].copy_from_slice(&value.to_le_bytes())
}

#[test]
fn a_group_whose_boot_does_not_follow_is_not_the_next_one() {
    const LAST: usize = 8192 + 2 * 4096;
    for (boot, accepted) in [(0, 2), (1, 3), (2, 2)] {
        let disk = three_values();
        forge_group(&disk, LAST, set_u32(group_at::BOOT, boot));
        let found = look(&disk);
        assert_eq!(
            found.position.get(),
            accepted,
            "boot {boot}: {}",
            found.report
        );
        // Group 3 says that 2 was durable, so that 3 itself has no witness: cut, not damage.
        if accepted == 2 {
            let Verdict::TornTail(torn) = &found.report.verdict else {
                panic!("{}", found.report)
            };
            assert!(
                matches!(&torn.stop, Stop::Invalid(why) if why.contains("boot")),
                "{torn:?}"
            );
        }
    }
}

#[test]
fn a_boot_that_only_a_cut_group_carried_is_never_used_again() {
    let disk = three_values();
    forge_group(&disk, 8192 + 2 * 4096, set_u32(group_at::BOOT, 40));
    let recovered = try_recover(&disk).expect("a torn tail opens");
    assert_eq!(recovered.report.boot.map(|boot| boot.get()), Some(41));
}

#[test]
fn a_segment_put_back_from_another_copy_of_the_store_is_noticed() {
    let base = three_values();
    let branch = |letter: usize| {
        let disk = copy(&base);
        let mut host = Host::open(&disk).expect("it opens");
        host.put(100 + letter).expect("nothing fails");
        host.journal.close().expect("it closes");
        host.vanish();
        disk
    };
    let (one, other) = (branch(1), branch(2));
    let bytes = other.contents(&segment(1)).expect("there");
    one.corrupt(&segment(1), 0, &bytes).expect("there");
    let Verdict::Corrupt(corruption) = look(&one).report.verdict else {
        panic!("noticed")
    };
    assert!(
        matches!(corruption.cause, Cause::MarkDisagrees { .. }),
        "{corruption:?}"
    );
}

#[test]
fn a_trailer_that_counts_other_blocks_than_there_are_is_not_valid() {
    let disk = SimDisk::new(52);
    let mut host = Host::create(&disk).expect("nothing fails");
    host.put(100).expect("nothing fails");
    host.checkpoint(2).expect("nothing fails");
    let listed = checkpoint::list(&disk, &directories().checkpoints).expect("listed");
    let path = &listed[0].path;
    let bytes = disk.contents(path).expect("there");
    let trailer = bytes.len() - 40;
    for field in 0..3 {
        let mut forged = bytes[trailer..].to_vec();
        forged[8 + 8 * field] ^= 1;
        let mut hasher = crc32fast::Hasher::new();
        hasher.update(&STORE.0);
        hasher.update(&1u64.to_le_bytes());
        hasher.update(&bytes[64..72]);
        hasher.update(&(trailer as u64).to_le_bytes());
        hasher.update(&0u32.to_le_bytes());
        hasher.update(&forged[8..]);
        let crc = hasher.finalize();
        forged[4..8].copy_from_slice(&crc.to_le_bytes());
        let disk = copy(&disk);
        disk.corrupt(path, trailer as u64, &forged).expect("there");
        let examined = checkpoint::examine(&disk, path, Some(STORE)).expect("it can be read");
        assert!(
            matches!(examined, Err((CheckpointFault::Trailer { .. }, _))),
            "{examined:?}"
        );
    }
}

#[test]
fn nothing_behind_a_break_reaches_the_state() {
    let disk = SimDisk::new(53);
    let mut host = Host::create(&disk).expect("nothing fails");
    for _ in 0..10 {
        host.put(100).expect("nothing fails");
    }
    let values = host.appended.clone();
    host.vanish();
    let position_after = |damage: &dyn Fn(&SimDisk)| {
        let disk = copy(&disk);
        damage(&disk);
        let found = look(&disk);
        assert!(found.report.verdict.is_corruption(), "{}", found.report);
        assert_eq!(
            found.machine.values,
            values[..found.position.get() as usize]
        );
        assert_eq!(found.report.last_lsn, found.position, "{}", found.report);
        found.position.get()
    };
    let zeros = |page: u64| {
        move |disk: &SimDisk| {
            disk.corrupt(&segment(1), 8192 + page * 4096, &[0; 4096])
                .expect("there");
        }
    };
    assert_eq!(position_after(&zeros(2)), 2);
    let headers = |disk: &SimDisk| disk.corrupt(&segment(1), 0, &[1; 8192]).expect("there");
    assert_eq!(position_after(&headers), 0);
    let headers = |disk: &SimDisk| disk.corrupt(&segment(2), 0, &[1; 8192]).expect("there");
    assert_eq!(position_after(&headers), 5);
    assert_eq!(
        position_after(&|disk| disk.remove(&segment(1)).expect("there")),
        0
    );
}
