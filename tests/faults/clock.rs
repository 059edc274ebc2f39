//! A clock that somebody sets back. The simulated disk has one of its own; nobody can ask that of the machine.

use std::sync::Arc;
use std::time::Duration;

use torrens::inspector::{Inspector, Point};
use torrens::store::{MemoryFactory, MemoryStore};
use torrens::{Background, Engine, PeerId, RegionEpoch, RegionId, StoreId};
use torrens_journal::disk::Disk;
use torrens_journal::testing::{CutChoice, SimDisk};

use crate::child::STORE;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Order is that of positions and never of clocks: nothing is lost, refused or told apart by it, and a question by
/// time has an answer.
#[test]
fn a_clock_that_goes_back_changes_no_order_and_loses_nothing() {
    let mut disk = SimDisk::new(1);
    let data = MemoryStore::new();
    let mut created = 0;
    for life in 0..4 {
        let (engine, report) = Engine::options()
            .store(STORE)
            .segment_bytes(32 * 1024)
            .background(Background::Manual)
            .disk(Arc::new(disk.clone()))
            .data(Arc::new(MemoryFactory::new(data.clone())))
            .open("store")
            .unwrap();
        assert!(report.recovery.verdict.can_open(), "life {life}: {report}");
        for _ in 0..30 {
            let made = engine.create_peer(
                RegionId(100 + created),
                PeerId(1),
                StoreId(5),
                RegionEpoch::BOOTSTRAP,
            );
            assert!(made.unwrap().holds());
            created += 1;
            // A year goes back in the course of it, and now and then an hour goes on.
            match created % 3 {
                0 => disk.advance_clock(DAY / 24),
                _ => disk.set_clock_back(9 * DAY),
            }
        }
        for region in 0..created {
            assert!(
                engine.region(RegionId(100 + region)).is_some(),
                "region {region}"
            );
        }
        match life {
            // In order, killed, power gone: each with the next clock.
            0 => {
                engine.checkpoint().unwrap();
                engine.close().unwrap();
            }
            1 => {
                disk = disk.process_kill();
                std::mem::forget(engine);
            }
            _ => {
                disk = disk.power_cut(CutChoice::LoseAll);
                std::mem::forget(engine);
            }
        }
    }
    let on: Arc<dyn Disk> = Arc::new(disk.clone());
    let inspector = Inspector::on(on, std::path::Path::new("store")).unwrap();
    let verified = inspector.verify().unwrap();
    assert!(
        [0, 3].contains(&verified.exit_code()),
        "{}",
        verified.exit_code()
    );
    for point in ["first", "last", "boot:-1", "@09:21:07", "@00:00:00"] {
        let point: Point = point.parse().unwrap();
        if let Ok(at) = inspector.resolve(point) {
            inspector.look(Some(at)).unwrap();
        }
    }
    let picture = inspector.look(None).unwrap();
    for region in 0..created {
        assert!(
            picture.register.peer(RegionId(100 + region)).is_some(),
            "region {region}"
        );
    }
}
