//! Caches: filled while writes go on, served while active, gone when evicted, shared by a split, and
//! never asked for more than they hold.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use torrens::store::{DataStore, StoreBatch};
use torrens::{
    Answer, CacheDecision, CacheOutcome, CacheReport, CacheSettings, CacheState, CheckOutcome,
    ColumnFamily, Engine, EvictReason, KeyRange, Label, LeadershipAnswer, LeadershipRole,
    LoadReason, PeerId, Preload, PreloadOutcome, Region, RegionEpoch, RegionId, StoreId,
    WriteBatch,
};

use crate::support::*;

const ID: RegionId = RegionId(1);

fn furnished() -> (World, Engine) {
    let world = World::new(2);
    let (engine, _) = world.open().unwrap();
    let peers = vec![peer(10, STORE.0)];
    holds(engine.bootstrap(Region {
        id: ID,
        range: KeyRange::all(),
        epoch: EPOCH,
        peers,
    }))
    .unwrap();
    written(engine.write(ID, EPOCH, at(6), &puts(&["a", "m", "z"], "old"))).unwrap();
    (world, engine)
}

fn state(engine: &Engine) -> CacheState {
    engine.region(ID).unwrap().cache
}

/// What a view of the region reads, and whether from memory.
fn read(engine: &Engine, region: u64) -> (Vec<(String, String)>, bool) {
    let view = engine
        .view(RegionId(region), epoch(engine, region))
        .unwrap();
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let rows = view.scan(..).map(|row| row.unwrap());
    (
        rows.map(|(key, value)| (text(&key), text(&value)))
            .collect(),
        view.is_cached(),
    )
}

#[test]
fn a_loaded_region_serves_what_the_disk_holds_and_what_is_written_later() {
    let (_world, engine) = furnished();
    let before = engine.cache_bytes();
    holds(engine.load(ID, EPOCH)).unwrap();
    assert!(!read(&engine, 1).1, "not before it is filled");
    engine.wait_idle().unwrap();
    assert_eq!(state(&engine), CacheState::Active);
    let mut batch = puts(&["b", "m"], "new");
    batch.delete(key("z"));
    written(engine.write(ID, EPOCH, at(7), &batch)).unwrap();
    let (cached, from_memory) = read(&engine, 1);
    assert!(from_memory);
    holds(engine.evict(ID)).unwrap();
    let (on_disk, from_memory) = read(&engine, 1);
    assert!(!from_memory, "evicting serves less at once");
    assert_eq!(cached, on_disk);
    engine.wait_idle().unwrap();
    assert_eq!(
        (state(&engine), engine.cache_bytes()),
        (CacheState::Absent, before)
    );
}

#[test]
fn an_eviction_waits_for_pins_and_a_load_waits_for_the_eviction() {
    let (_world, engine) = furnished();
    holds(engine.load(ID, EPOCH)).unwrap();
    engine.wait_idle().unwrap();
    let pinned = engine.view(ID, EPOCH).unwrap();
    assert!(pinned.is_cached());
    holds(engine.evict(ID)).unwrap();
    engine.wait_idle().unwrap();
    assert_eq!(state(&engine), CacheState::EvictPending);
    // The request of the first case: a load of a region that is still evicting.
    let queued = engine.load(ID, EPOCH).unwrap();
    assert!(matches!(queued, Answer::Accepted { .. }), "{queued:?}");
    assert_eq!(engine.load(ID, EPOCH).unwrap(), Answer::AlreadyApplied);
    assert_eq!(
        pinned.get(b"a").unwrap().as_deref(),
        Some(b"old".as_slice())
    );
    drop(pinned);
    engine.tick().unwrap();
    engine.wait_idle().unwrap();
    assert_eq!(
        state(&engine),
        CacheState::Active,
        "the queued load ran behind the eviction"
    );
    assert!(read(&engine, 1).1);
}

#[test]
fn a_split_moves_nothing_and_each_part_goes_on_alone() {
    let (_world, engine) = furnished();
    holds(engine.load(ID, EPOCH)).unwrap();
    engine.wait_idle().unwrap();
    let of_whole = engine.view(ID, EPOCH).unwrap();
    split_at_m(&engine).unwrap();
    let version2 = epoch(&engine, 2);
    written(engine.write(RegionId(2), version2, at(6), &puts(&["n"], "child"))).unwrap();
    written(engine.write(ID, version2, at(8), &puts(&["b"], "parent"))).unwrap();
    for (region, expected) in [(1, vec!["a", "b"]), (2, vec!["m", "n", "z"])] {
        let (rows, from_memory) = read(&engine, region);
        let names: Vec<_> = rows.iter().map(|(key, _)| key.as_str()).collect();
        assert_eq!((names, from_memory), (expected, true), "region {region}");
    }
    // The part's memory outlives its eviction as long as a view of the whole still needs it.
    holds(engine.evict(RegionId(2))).unwrap();
    engine.wait_idle().unwrap();
    assert_eq!(
        of_whole.get(b"z").unwrap().as_deref(),
        Some(b"old".as_slice())
    );
    assert_eq!(
        engine.region(RegionId(2)).unwrap().cache,
        CacheState::EvictPending
    );
    drop(of_whole);
    engine.tick().unwrap();
    engine.wait_idle().unwrap();
    assert_eq!(
        engine.region(RegionId(2)).unwrap().cache,
        CacheState::Absent
    );
    assert_eq!(read(&engine, 2).0.len(), 3, "and the disk serves it");
    assert!(read(&engine, 1).1, "the other part is still in memory");
    destroy(&engine, 1, 10).unwrap();
    engine.wait_idle().unwrap();
    assert_eq!(engine.cache_bytes(), 0);
}

#[test]
fn a_load_that_was_asked_for_and_not_begun_is_carried_out_after_a_restart() {
    let (world, engine) = furnished();
    holds(engine.load(ID, EPOCH)).unwrap();
    // The request is durable; the background work never got to it.
    create_somebody(&engine);
    drop(engine);
    let (engine, _) = world.open().unwrap();
    engine.wait_idle().unwrap();
    assert_eq!(state(&engine), CacheState::Active);
    assert!(read(&engine, 1).1);
}

/// Any transition that waits for the journal, and so for everything before it.
fn create_somebody(engine: &Engine) {
    holds(engine.create_peer(RegionId(9), PeerId(90), StoreId(5), EPOCH)).unwrap();
}

#[test]
fn a_restart_ends_every_cache_and_says_so() {
    let (world, engine) = furnished();
    holds(engine.load(ID, EPOCH)).unwrap();
    engine.wait_idle().unwrap();
    assert_eq!(state(&engine), CacheState::Active);
    drop(engine);
    let (engine, report) = world.open().unwrap();
    assert_eq!(
        (state(&engine), engine.cache_bytes()),
        (CacheState::Absent, 0)
    );
    assert_eq!(report.resolved_forward(), 1, "{report}");
}

/// As long as a test waits for what comes at once.
const SOON: Duration = Duration::from_secs(20);

fn settings(change: impl FnOnce(&mut CacheSettings)) -> CacheSettings {
    let mut settings = CacheSettings::default();
    change(&mut settings);
    settings
}

fn loaded() -> (World, Engine) {
    let (world, engine) = furnished();
    holds(engine.load(ID, EPOCH)).unwrap();
    engine.wait_idle().unwrap();
    assert_eq!(state(&engine), CacheState::Active);
    (world, engine)
}

/// Runs what waits for pins again.
fn settle(engine: &Engine) {
    engine.tick().unwrap();
    engine.wait_idle().unwrap();
}

#[test]
fn a_load_has_a_ticket_that_completes_once_however_it_ends() {
    let (_world, engine) = furnished();
    let (_, ticket) = engine.load_tracked(ID, EPOCH).unwrap();
    let ticket = ticket.unwrap();
    assert_eq!(ticket.outcome(), None);
    let told = Arc::new(AtomicUsize::new(0));
    let tell = Arc::clone(&told);
    ticket.on_done(move |_| {
        tell.fetch_add(1, Ordering::SeqCst);
    });
    engine.wait_idle().unwrap();
    assert_eq!(ticket.wait(SOON), Some(CacheOutcome::Done));
    let (again, at_once) = engine.load_tracked(ID, EPOCH).unwrap();
    assert_eq!(again, Answer::AlreadyApplied);
    assert_eq!(at_once.unwrap().outcome(), Some(CacheOutcome::Done));

    let (_, evicted) = engine.evict_tracked(ID, EvictReason::Ingest).unwrap();
    let (_, queued) = engine.load_tracked(ID, EPOCH).unwrap();
    let (_, taken_back) = engine.evict_tracked(ID, EvictReason::Requested).unwrap();
    engine.wait_idle().unwrap();
    assert_eq!(evicted.outcome(), Some(CacheOutcome::Done));
    assert_eq!(taken_back.outcome(), Some(CacheOutcome::Done));
    let cancelled = queued.unwrap().outcome();
    assert!(
        matches!(cancelled, Some(CacheOutcome::Cancelled(_))),
        "{cancelled:?}"
    );

    let (_, of_gone) = engine.load_tracked(ID, EPOCH).unwrap();
    destroy(&engine, 1, 10).unwrap();
    assert_eq!(of_gone.unwrap().wait(SOON), Some(CacheOutcome::PeerGone));
    assert_eq!(told.load(Ordering::SeqCst), 1);

    let (_world, engine) = furnished();
    let (_, ticket) = engine.load_tracked(ID, EPOCH).unwrap();
    let ticket = ticket.unwrap();
    drop(engine);
    assert_eq!(ticket.outcome(), Some(CacheOutcome::Closed));
}

#[test]
fn ranges_are_loaded_and_evicted_region_by_region() {
    let (_world, engine) = furnished();
    split_at_m(&engine).unwrap();
    let some = KeyRange::new(*b"n", Some(*b"o")).unwrap();
    let tickets = engine.load_range(&some).unwrap();
    engine.wait_idle().unwrap();
    let ended: Vec<_> = tickets.iter().map(|t| (t.region(), t.outcome())).collect();
    assert_eq!(ended, [(RegionId(2), Some(CacheOutcome::Done))]);
    assert_eq!(engine.load_range(&KeyRange::all()).unwrap().len(), 2);
    engine.wait_idle().unwrap();
    let reason = EvictReason::DeleteRange;
    let tickets = engine.evict_range(&KeyRange::all(), reason).unwrap();
    engine.wait_idle().unwrap();
    assert!(
        tickets
            .iter()
            .all(|t| t.outcome() == Some(CacheOutcome::Done))
    );
    assert_eq!((tickets.len(), engine.cache_bytes()), (2, 0));
    assert_eq!(engine.cache_report().counters.evictions(reason), 2);
}

#[test]
fn a_report_says_what_waits_how_long_an_eviction_has_lasted_and_how_often_memory_answered() {
    let (_world, engine) = furnished();
    assert_eq!(engine.cache_report().counters.hit_ratio(), None);
    let get_all = |view: &torrens::RegionView| {
        for name in ["a", "m", "z"] {
            assert!(view.get(name.as_bytes()).unwrap().is_some());
        }
    };
    get_all(&engine.view(ID, EPOCH).unwrap());
    assert_eq!(engine.cache_report().counters.hit_ratio(), Some(0.0));
    holds(engine.load(ID, EPOCH)).unwrap();
    let waiting = |report: &CacheReport| (report.loads_queued, report.evictions_queued);
    assert_eq!(waiting(&engine.cache_report()), (1, 0));
    engine.wait_idle().unwrap();
    for _ in 0..3 {
        get_all(&engine.view(ID, EPOCH).unwrap());
    }
    let report = engine.cache_report();
    assert_eq!(waiting(&report), (0, 0));
    assert_eq!(report.counters.hit_ratio(), Some(0.75), "views");
    let region = &report.regions[0];
    assert_eq!((region.reads, region.reads_from_memory), (12, 9));
    assert_eq!(region.hit_ratio(), Some(0.75), "gets");

    let view = engine.view(ID, EPOCH).unwrap();
    holds(engine.evict(ID)).unwrap();
    let begun = Instant::now();
    engine.wait_idle().unwrap();
    let pause = Duration::from_millis(20);
    std::thread::sleep(pause);
    let report = engine.cache_report();
    assert_eq!(waiting(&report), (0, 1), "for the view");
    let age = report.evicting[0].age;
    assert!(age >= pause, "{age:?}");
    std::thread::sleep(pause);
    let later = engine.cache_report().evicting[0].age;
    assert!(later >= age + pause, "{age:?}, then {later:?}");
    assert!(
        later < begun.elapsed() + Duration::from_secs(60),
        "{later:?}"
    );
    drop(view);
    engine.tick().unwrap();
    engine.wait_idle().unwrap();
    let report = engine.cache_report();
    assert_eq!((report.evicting.len(), waiting(&report)), (0, (0, 0)));
}

/// Resident memory does not tell sizes this small, so what is held is the way of the setting into sled's own.
#[test]
fn the_memory_of_sleds_page_cache_is_a_setting_with_a_least_value() {
    for (given, taken) in [(8 << 20, 8 << 20), (1 << 20, 1 << 20), (5, 1 << 20)] {
        let options = format!("{:?}", Engine::options().sled_cache_bytes(given));
        assert!(
            options.contains(&format!("cache_bytes: {taken},")),
            "{options}"
        );
    }
    let place = tempfile::tempdir().unwrap();
    let options = Engine::options().store(STORE).sled_cache_bytes(5);
    let (engine, _) = options.open(place.path()).unwrap();
    bootstrap(&engine).unwrap();
    written(engine.write(ID, EPOCH, at(6), &puts(&["a"], "held"))).unwrap();
    assert!(!read(&engine, 1).0.is_empty());
    engine.close().unwrap();
}

#[test]
fn readers_keep_an_eviction_only_for_so_long_and_read_on() {
    let (_world, engine) = loaded();
    let view = engine.view(ID, EPOCH).unwrap();
    holds(engine.evict(ID)).unwrap();
    settle(&engine);
    let report = engine.cache_report();
    let evicting = &report.evicting[0];
    assert_eq!((evicting.region, evicting.pins), (ID, 1));
    assert_eq!(evicting.reason, Some(EvictReason::Requested));
    engine
        .set_cache_settings(settings(|s| s.pin_timeout = Some(Duration::ZERO)))
        .unwrap();
    settle(&engine);
    assert_eq!(state(&engine), CacheState::Absent, "the eviction ended");
    assert_eq!(engine.cache_report().counters.pins_timed_out, 1);
    assert!(view.is_cached());
    assert_eq!(view.get(b"a").unwrap().as_deref(), Some(b"old".as_slice()));
    let report = engine.cache_report();
    assert!(report.bytes > 0 && report.bytes == report.bytes_held_by_views);
    drop(view);
    assert_eq!(engine.cache_bytes(), 0);
}

#[test]
fn only_the_step_down_of_this_very_peer_evicts() {
    use LeadershipAnswer as A;
    use LeadershipRole::{Candidate, Follower, Leader, PreCandidate};
    let (_world, engine) = loaded();
    let own = incarnation(&engine, 1);
    let report = |term, role| engine.report_leadership(ID, own, term, role).unwrap();
    // Elections of others, and its own that fail, leave its memory alone.
    for role in [Follower, PreCandidate, Candidate, Follower] {
        assert_eq!(report(6, role), A::Noted);
    }
    assert_eq!(report(8, Leader), A::Noted);
    assert_eq!(report(7, Follower), A::Stale { known: 8 });
    assert_eq!(state(&engine), CacheState::Active);
    assert_eq!(report(9, Follower), A::SteppedDown);
    engine.wait_idle().unwrap();
    assert_eq!(state(&engine), CacheState::Absent);
    let counters = engine.cache_report().counters;
    assert_eq!(counters.evictions(EvictReason::LeadershipLost), 1);
    assert_eq!(counters.leadership_reports_stale, 1);
    let other = torrens::Incarnation::new(torrens_journal::Lsn::new(99));
    let of_other = engine.report_leadership(ID, other, 10, Leader).unwrap();
    assert_eq!(of_other, A::PeerGone);
    // With a label it is loaded when it leads, and stays when it does not.
    let label = Label {
        range: KeyRange::all(),
        priority: 0,
    };
    let id = engine.add_cache_label(label);
    engine.wait_idle().unwrap();
    assert_eq!(state(&engine), CacheState::Active, "a label loads at once");
    holds(engine.evict(ID)).unwrap();
    engine.wait_idle().unwrap();
    assert_eq!(report(10, Leader), A::Loading);
    engine.wait_idle().unwrap();
    assert_eq!(report(11, Follower), A::Noted);
    assert_eq!(state(&engine), CacheState::Active);
    assert!(engine.remove_cache_label(id));
    engine.wait_idle().unwrap();
    assert_eq!(state(&engine), CacheState::Absent);
    assert_eq!(engine.cache_report().counters.loads(LoadReason::Label), 2);
}

#[test]
fn a_preload_has_a_typed_answer_and_a_deadline() {
    let (_world, engine) = furnished();
    create_somebody(&engine);
    let code = |engine: &Engine, region, epoch| match engine.preload(region, epoch, SOON).unwrap() {
        Preload::Refused(refusal) => refusal.code(),
        other => panic!("{other:?}"),
    };
    // The fourth case: nothing is known of the peer but its name.
    assert_eq!(code(&engine, RegionId(9), EPOCH), "peer-uninitialized");
    assert_eq!(code(&engine, RegionId(8), EPOCH), "no-peer");
    let stale = RegionEpoch {
        version: 77,
        ..EPOCH
    };
    assert_eq!(code(&engine, ID, stale), "epoch-ahead");
    engine
        .set_cache_settings(settings(|s| s.preload_wait_max = Duration::ZERO))
        .unwrap();
    let Preload::Loading(ticket) = engine.preload(ID, EPOCH, SOON).unwrap() else {
        panic!("it is not there yet")
    };
    assert_eq!(
        ticket.wait(),
        PreloadOutcome::DeadlinePassed,
        "nobody loads it meanwhile"
    );
    engine.wait_idle().unwrap();
    assert_eq!(ticket.wait(), PreloadOutcome::Ready, "the load went on");
    assert!(matches!(
        engine.preload(ID, EPOCH, SOON).unwrap(),
        Preload::Ready
    ));
    engine
        .set_cache_settings(settings(|s| s.enabled = false))
        .unwrap();
    engine.wait_idle().unwrap();
    assert_eq!(state(&engine), CacheState::Absent, "switching off evicts");
    assert_eq!(code(&engine, ID, EPOCH), "cache-disabled");
    let counters = engine.cache_report().counters;
    assert_eq!((counters.preloads, counters.preloads_refused), (6, 4));
    assert_eq!(counters.evictions(EvictReason::Disabled), 1);
}

#[test]
fn what_two_labels_hold_stays_until_both_are_gone() {
    let (_world, engine) = furnished();
    split_at_m(&engine).unwrap();
    let label = |start: &[u8], end: &[u8]| Label {
        range: KeyRange::new(start, Some(end)).unwrap(),
        priority: 1,
    };
    let both = engine.add_cache_label(label(b"a", b"z"));
    let right = engine.add_cache_label(label(b"n", b"z"));
    engine.wait_idle().unwrap();
    assert!(read(&engine, 1).1 && read(&engine, 2).1);
    assert!(engine.remove_cache_label(both) && !engine.remove_cache_label(both));
    engine.wait_idle().unwrap();
    assert!(!read(&engine, 1).1 && read(&engine, 2).1);
    assert!(engine.remove_cache_label(right));
    engine.wait_idle().unwrap();
    let counters = engine.cache_report().counters;
    assert_eq!(counters.evictions(EvictReason::LabelRemoved), 2);
    assert_eq!(engine.cache_bytes(), 0);
}

#[test]
fn rounds_load_what_is_read_much_and_evict_what_is_not() {
    let (_world, engine) = furnished();
    split_at_m(&engine).unwrap();
    engine
        .set_cache_settings(settings(|s| {
            (s.hot_reads, s.cold_reads) = (100, 50);
            s.capacity_bytes = 1 << 20;
            s.expected_region_bytes = 1;
            s.residence_min = Duration::ZERO;
        }))
        .unwrap();
    assert_eq!(engine.balance_caches(), []);
    let read_much = |region: u64| {
        for _ in 0..200 {
            assert!(!read(&engine, region).0.is_empty());
        }
    };
    read_much(2);
    let load = CacheDecision::Load(RegionId(2), LoadReason::Hot);
    assert_eq!(engine.balance_caches(), [load]);
    engine.wait_idle().unwrap();
    assert!(read(&engine, 2).1);
    // Memory gets short: what is read less goes.
    read_much(2);
    holds(engine.load(ID, epoch(&engine, 1))).unwrap();
    engine.wait_idle().unwrap();
    let mut batch = WriteBatch::new();
    batch.put(*b"b", vec![7; 960 * 1024]);
    written(engine.write(ID, epoch(&engine, 1), at(8), &batch)).unwrap();
    engine.wait_idle().unwrap();
    let report = engine.cache_report();
    let cached: Vec<_> = report.regions.iter().map(|region| region.region).collect();
    assert_eq!(cached, [RegionId(2)]);
    assert_eq!(report.counters.evictions(EvictReason::MemoryLimit), 1);
    assert!(report.counters.hit_ratio().unwrap() > 0.0);
    let of_region = &report.regions[0];
    assert!(of_region.hit_ratio().unwrap() > 0.1 && of_region.bytes > 0);
    // Hysteresis: it was just sent away.
    read_much(1);
    read_much(1);
    assert_eq!(engine.balance_caches(), []);
}

#[test]
fn memory_that_is_full_stops_loads_and_evicts_who_writes() {
    let (_world, engine) = furnished();
    engine
        .set_cache_settings(settings(|s| s.capacity_bytes = 1 << 20))
        .unwrap();
    let big = |n: u64| {
        let mut batch = WriteBatch::new();
        batch.put(vec![b'b', n as u8], vec![7; 600 * 1024]);
        written(engine.write(ID, EPOCH, at(6 + n), &batch)).unwrap();
    };
    big(1);
    big(2);
    let (_, ticket) = engine.load_tracked(ID, EPOCH).unwrap();
    engine.wait_idle().unwrap();
    let counters = engine.cache_report().counters;
    assert_eq!(counters.loads_out_of_memory, 1);
    assert!(matches!(
        ticket.unwrap().outcome(),
        Some(CacheOutcome::Cancelled(_))
    ));
    assert_eq!(
        (state(&engine), engine.cache_bytes()),
        (CacheState::Absent, 0)
    );

    let mut batch = WriteBatch::new();
    batch.delete(vec![b'b', 1]).delete(vec![b'b', 2]);
    written(engine.write(ID, EPOCH, at(9), &batch)).unwrap();
    holds(engine.load(ID, EPOCH)).unwrap();
    engine.wait_idle().unwrap();
    assert_eq!(state(&engine), CacheState::Active);
    big(4);
    big(5);
    assert!(
        !read(&engine, 1).1,
        "the write that reached the capacity evicted"
    );
    engine.wait_idle().unwrap();
    assert_eq!(
        (state(&engine), engine.cache_bytes()),
        (CacheState::Absent, 0)
    );
    assert_eq!(read(&engine, 1).0.len(), 5, "and the store has it");
}

#[test]
fn a_write_that_does_not_happen_charges_nothing() {
    let (world, engine) = furnished();
    holds(engine.load(ID, EPOCH)).unwrap();
    engine.wait_idle().unwrap();
    let charged = engine.cache_bytes();
    assert!(charged > 0);
    let row = |key: &str| {
        let mut batch = WriteBatch::new();
        batch.put(key.as_bytes(), vec![7; 100_000]);
        batch
    };
    // Refused: another epoch, and an entry that was applied before.
    let stale = RegionEpoch {
        conf_ver: 1,
        version: 9,
    };
    assert!(!matches!(
        engine.write(ID, stale, at(7), &row("b")).unwrap(),
        torrens::WriteAnswer::Applied { .. }
    ));
    assert!(matches!(
        engine.write(ID, EPOCH, at(6), &row("b")).unwrap(),
        torrens::WriteAnswer::AlreadyApplied { .. }
    ));
    assert_eq!(engine.cache_bytes(), charged);
    // The data store fails: whether the batch is in it nobody knows, and memory has nothing of it.
    world.data.fault_at(
        world.data.calls() + 1,
        torrens::store::StoreFault::Fails(std::io::ErrorKind::StorageFull),
    );
    engine.write(ID, EPOCH, at(7), &row("b")).unwrap_err();
    assert_eq!(engine.cache_bytes(), charged);
    holds(engine.evict(ID)).unwrap();
    engine.wait_idle().unwrap();
    assert_eq!(engine.cache_bytes(), 0);
}

#[test]
fn settings_are_refused_as_a_whole_or_in_force_at_once() {
    let (_world, engine) = furnished();
    let before = engine.cache_settings();
    let wrong = settings(|s| {
        s.capacity_bytes = 2 << 20;
        s.evict_bytes = Some(3 << 20);
    });
    let error = engine.set_cache_settings(wrong).unwrap_err();
    assert_eq!(error.setting, "evict_bytes");
    assert_eq!(engine.cache_settings(), before);
    let right = settings(|s| s.capacity_bytes = 20 << 20);
    let set = engine.set_cache_settings(right).unwrap();
    assert_eq!(set.evict_bytes, Some(18 << 20));
    assert_eq!(engine.cache_settings(), set);
}

#[test]
fn a_difference_between_memory_and_store_is_found_and_healed() {
    let (world, engine) = loaded();
    let checks = engine.check_caches().unwrap();
    assert_eq!((checks.len(), checks[0].rows), (1, 3));
    assert_eq!(checks[0].outcome, CheckOutcome::Same);
    // Behind the engine's back a row is written into the store.
    let mut batch = StoreBatch::new();
    batch.put_version(
        ColumnFamily::WRITE,
        b"k",
        checks[0].sequence,
        Some(b"stray"),
    );
    world.data.apply(&batch).unwrap();
    let checks = engine.check_caches().unwrap();
    let (cf, key) = (ColumnFamily::WRITE, key("k"));
    assert_eq!(checks[0].outcome, CheckOutcome::Different { cf, key });
    assert!(!read(&engine, 1).1, "it is not served any more");
    engine.wait_idle().unwrap();
    assert!(read(&engine, 1).1, "and comes back");
    let checks = engine.check_caches().unwrap();
    assert_eq!(
        (checks[0].rows, &checks[0].outcome),
        (4, &CheckOutcome::Same)
    );
    let counters = engine.cache_report().counters;
    assert_eq!((counters.checks, counters.mismatches), (3, 1));
    assert_eq!(counters.loads(LoadReason::Repair), 1);
    assert_eq!(counters.evictions(EvictReason::Mismatch), 1);
}

#[test]
fn what_was_cached_is_loaded_again_after_a_restart_and_what_was_evicted_is_not() {
    let (world, engine) = furnished();
    split_at_m(&engine).unwrap();
    for region in [1, 2] {
        holds(engine.load(RegionId(region), epoch(&engine, region))).unwrap();
    }
    engine.wait_idle().unwrap();
    holds(engine.evict(RegionId(2))).unwrap();
    engine.wait_idle().unwrap();
    drop(engine);
    let (engine, _) = world.open().unwrap();
    assert!(!read(&engine, 1).1);
    engine.wait_idle().unwrap();
    assert!(read(&engine, 1).1 && !read(&engine, 2).1);
    let counters = engine.cache_report().counters;
    assert_eq!(counters.loads(LoadReason::WarmRestart), 1);
}

#[test]
fn a_load_loses_no_write_that_goes_on_meanwhile() {
    let place = tempfile::tempdir().unwrap();
    let (engine, _) = Engine::options().store(STORE).open(place.path()).unwrap();
    bootstrap(&engine).unwrap();
    let mut batch = WriteBatch::new();
    for row in 0..20_000_u32 {
        batch.put(row.to_be_bytes(), *b"before");
    }
    written(engine.write(ID, EPOCH, at(6), &batch)).unwrap();
    let mut index = 6;
    for round in 0..10_u32 {
        let (_, ticket) = engine.load_tracked(ID, EPOCH).unwrap();
        let ticket = ticket.unwrap();
        let mut row = 0_u32;
        while ticket.outcome().is_none() {
            index += 1;
            row = (row + 7919) % 20_000;
            let mut batch = WriteBatch::new();
            match row % 3 {
                0 => batch.delete(row.to_be_bytes()),
                _ => batch.put(row.to_be_bytes(), format!("{round}/{index}").into_bytes()),
            };
            written(engine.write(ID, EPOCH, at(index), &batch)).unwrap();
        }
        assert_eq!(ticket.outcome(), Some(CacheOutcome::Done));
        let checks = engine.check_caches().unwrap();
        assert_eq!((checks.len(), &checks[0].outcome), (1, &CheckOutcome::Same));
        let (_, gone) = engine.evict_tracked(ID, EvictReason::Requested).unwrap();
        assert_eq!(gone.wait(SOON), Some(CacheOutcome::Done));
        assert_eq!(engine.cache_bytes(), 0);
    }
    engine.close().unwrap();
}
