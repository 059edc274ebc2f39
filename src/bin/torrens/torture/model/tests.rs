//! The model against a store that is played by a second model: whatever the workload does, and
//! wherever a crash falls, a store that keeps its word must look right.

use std::collections::BTreeSet;

use super::*;
use crate::torture::check;
use crate::torture::protocol::{Opened, OpenedRegion, PeerLine, RowChange, Said};
use crate::torture::random::Random;
use crate::torture::workload::{self, Scene, Wish, Workload};

/// What a store would report that holds exactly what `model` says.
pub(in crate::torture) fn opened_of(model: &Model) -> Opened {
    let region = |(id, peer): (&u64, &PeerModel)| OpenedRegion {
        id: *id,
        peer: peer.peer(),
        incarnation: peer.incarnation(),
        stage: if peer.normal().is_some() {
            "normal"
        } else {
            "uninitialized"
        }
        .to_owned(),
        description: peer.normal().map(|peer| peer.state.description.clone()),
        meta: peer.normal().map(|peer| peer.meta),
        data_index: peer.normal().map_or(0, |peer| peer.acked),
    };
    Opened {
        store: "test".to_owned(),
        verdict: "clean".to_owned(),
        regions: model.peers.iter().map(region).collect(),
        tombstones: model
            .tombstones
            .iter()
            .map(|(region, peer)| (*region, *peer))
            .collect(),
        ..Opened::default()
    }
}

/// A model of a few rows, two regions, one dead replica and one that a message made.
pub(in crate::torture) fn small(data: &DataSet) -> Model {
    let mut host = Host::new(data.clone());
    let first = workload::bootstrap(&host.model);
    host.done(first);
    host.write(1, 0..60);
    host.split(1, true);
    host.write(1, 40..50);
    host.split(1, false);
    let peer = host.model.normal(2).unwrap();
    let (incarnation, peer) = (peer.incarnation, peer.peer);
    host.done(Do::Destroy {
        region: 2,
        incarnation,
        peer,
        removed: None,
    });
    let epoch = host.model.normal(1).unwrap().state.description.epoch;
    host.done(Do::CreatePeer {
        region: 9,
        peer: 77,
        from_store: 2,
        epoch,
    });
    host.model.store = Some("test".to_owned());
    host.model
}

/// A host whose every wish comes true at once.
struct Host {
    model: Model,
    data: DataSet,
    lsn: u64,
}

impl Host {
    fn new(data: DataSet) -> Host {
        Host {
            model: Model::default(),
            data,
            lsn: 0,
        }
    }

    fn scene<'a>(&'a self, busy: &'a BTreeSet<u64>) -> Scene<'a> {
        Scene {
            model: &self.model,
            data: &self.data,
            busy,
        }
    }

    fn answer_to(&mut self, what: &Do) -> Said {
        self.lsn += 1;
        match what {
            Do::Write { .. } => Said::Applied,
            Do::Flush | Do::Checkpoint => Said::Done,
            Do::TakeSnapshot { region, .. } => {
                let peer = self.model.normal(*region).unwrap();
                let rows = peer.state.rows.len() as u64;
                let index = peer.acked.max(peer.meta.index);
                Said::Snapshot {
                    name: "x".to_owned(),
                    index,
                    term: 6,
                    rows,
                    bytes: 0,
                }
            }
            _ => Said::Accepted(self.lsn),
        }
    }

    fn done(&mut self, what: Do) {
        let op = self.model.next.op;
        self.model.issue(op, what.clone(), &self.data);
        let said = self.answer_to(&what);
        assert!(
            self.model.answered(op, &said, &self.data).is_ok(),
            "{what:?}"
        );
    }

    fn write(&mut self, region: u64, rows: std::ops::Range<u32>) {
        let peer = self.model.normal(region).unwrap();
        let rows = rows.map(|row| RowChange(0, row, Some(u64::from(row) + 1)));
        let rows = rows.filter(|change| {
            peer.state
                .description
                .contains(&self.data.key(0, change.1).unwrap())
        });
        let rows = rows.collect();
        let what = workload::write(&self.model, region, &peer.state, rows);
        self.done(what);
    }

    fn split(&mut self, region: u64, derive_right: bool) {
        let busy = BTreeSet::new();
        let what = workload::split(self.scene(&busy), region, 2, derive_right).unwrap();
        self.done(what);
    }
}

/// The store that is played: the same transitions, and data that a crash may take back to any index
/// between what is promised and what was acknowledged.
struct Store {
    host: Host,
}

impl Store {
    /// A crash, after which the store reports itself.
    fn crash(&mut self, random: &mut Random) -> Opened {
        let model = &mut self.host.model;
        for region in model.peers.keys().copied().collect::<Vec<_>>() {
            if let Some(peer) = model.normal_mut(region) {
                let index = random.between(peer.floor, peer.acked.max(peer.floor));
                // The data index is always that of a write, or where the region started.
                let mut writes = peer
                    .state
                    .log
                    .iter()
                    .filter(|entry| entry.at.index <= index);
                let write = writes.rfind(|entry| matches!(entry.what, Do::Write { .. }));
                peer.acked = write
                    .map_or(peer.floor, |entry| entry.at.index)
                    .max(peer.floor);
            }
        }
        opened_of(model)
    }
}

/// Compares, settles, and sends again, like the driver.
fn restart(host: &mut Host, store: &mut Store, random: &mut Random) {
    let opened = store.crash(random);
    let settled = host.model.settle(&opened);
    host.model.settled(&settled);
    assert_eq!(check::compare(&host.model, &opened), vec![]);
    let regions: Vec<u64> = host.model.normals().map(|(id, _)| id).collect();
    for region in regions {
        // A merge that was in flight may have taken it in since.
        let Some(peer) = host.model.normal(region) else {
            continue;
        };
        let theirs = &store.host.model.normal(region).unwrap().state;
        assert_eq!(
            peer.state.rows_at(peer.acked),
            theirs.rows_at(peer.acked),
            "r{region}"
        );
        let missing: Vec<Entry> = peer.state.entries_above(peer.acked).cloned().collect();
        for entry in missing {
            match host.model.flight_at(region, entry.at.index) {
                Some(op) => deliver(host, store, op, &entry.what),
                None => {
                    host.model.acknowledge(region, entry.at.index);
                    store.host.model.acknowledge(region, entry.at.index);
                }
            }
        }
    }
    let flights: Vec<(u64, Do)> = host
        .model
        .flights
        .iter()
        .map(|(op, flight)| (*op, flight.what.clone()))
        .collect();
    for (op, what) in flights {
        deliver(host, store, op, &what);
    }
}

/// The store does it and the host hears of it.
fn deliver(host: &mut Host, store: &mut Store, op: u64, what: &Do) {
    let said = in_store(store, op, what);
    let meaning = host.model.answered(op, &said, &host.data);
    assert_eq!(meaning, Ok(Meaning::Happened), "{what:?} {said:?}");
}

fn in_store(store: &mut Store, op: u64, what: &Do) -> Said {
    let data = store.host.data.clone();
    store.host.model.issue(op, what.clone(), &data);
    let said = store.host.answer_to(what);
    assert!(store.host.model.answered(op, &said, &data).is_ok());
    said
}

#[test]
fn whatever_happens_a_store_that_keeps_its_word_looks_right() {
    let data = DataSet::load(None).unwrap();
    for seed in 0..6 {
        let mut random = Random::new(seed);
        let mut workload = Workload::new(seed);
        let mut host = Host::new(data.clone());
        let mut store = Store {
            host: Host::new(data.clone()),
        };
        let busy = BTreeSet::new();
        let mut kinds = BTreeSet::new();
        for _ in 0..700 {
            let Some(Wish::Track(what)) = workload.next(host.scene(&busy)) else {
                continue;
            };
            kinds.insert(what.kind());
            let op = host.model.next.op;
            host.model.issue(op, what.clone(), &data);
            match random.below(12) {
                // Killed before it, or after it and before its answer.
                0 => restart(&mut host, &mut store, &mut random),
                1 => {
                    in_store(&mut store, op, &what);
                    restart(&mut host, &mut store, &mut random);
                }
                _ => deliver(&mut host, &mut store, op, &what),
            }
            assert!(
                host.model.flights.is_empty(),
                "seed {seed}: {:?}",
                host.model.flights
            );
        }
        for kind in [
            "bootstrap",
            "write",
            "split",
            "change-peers",
            "create-peer",
            "flush",
        ] {
            assert!(kinds.contains(kind), "seed {seed} never came to {kind}");
        }
    }
}

#[test]
fn rows_can_be_told_for_every_index_that_the_log_reaches() {
    let data = DataSet::load(None).unwrap();
    let mut host = Host::new(data);
    let first = workload::bootstrap(&host.model);
    host.done(first);
    let mut pictures = vec![(5, Rows::new())];
    for rows in [0..10, 5..20, 0..3] {
        host.write(1, rows);
        let state = &host.model.normal(1).unwrap().state;
        pictures.push((state.last.index, state.rows.clone()));
    }
    let state = &host.model.normal(1).unwrap().state;
    let at = state.next_position(7);
    let deletes = vec![
        RowChange(0, 1, None),
        RowChange(0, 1, Some(9)),
        RowChange(0, 2, None),
    ];
    let epoch = state.description.epoch;
    host.done(Do::Write {
        region: 1,
        epoch,
        at,
        rows: deletes,
        range: None,
    });
    for (index, rows) in pictures {
        assert_eq!(
            host.model.normal(1).unwrap().state.rows_at(index),
            rows,
            "index {index}"
        );
    }
}

#[test]
fn a_split_moves_each_row_to_the_part_that_holds_its_key() {
    let data = DataSet::load(None).unwrap();
    for derive_right in [false, true] {
        let mut host = Host::new(data.clone());
        let first = workload::bootstrap(&host.model);
        host.done(first);
        host.write(1, 0..90);
        let before = host.model.normal(1).unwrap().state.rows.clone();
        let busy = BTreeSet::new();
        let what = workload::split(host.scene(&busy), 1, 3, derive_right).unwrap();
        host.done(what);
        let mut after = Rows::new();
        for (id, peer) in host.model.normals() {
            let Replicated {
                description, rows, ..
            } = &peer.state;
            assert!(rows.keys().all(|key| description.contains(key)), "r{id}");
            assert_eq!(description.epoch.version, 3);
            after.extend(rows.clone());
        }
        assert_eq!(after, before);
        let own = &host.model.normal(1).unwrap().state.description;
        assert_eq!(
            (own.end.is_none(), own.start.0.is_empty()),
            (derive_right, !derive_right)
        );
    }
}

#[test]
fn a_model_reads_back_from_json() {
    let data = DataSet::load(None).unwrap();
    let model = small(&data);
    let text = serde_json::to_string(&model).unwrap();
    assert_eq!(serde_json::from_str::<Model>(&text).unwrap(), model);
}

#[test]
fn an_answer_that_may_not_come_is_wrong() {
    let data = DataSet::load(None).unwrap();
    let model = small(&data);
    let epoch = model.normal(1).unwrap().state.description.epoch;
    let (&dead_region, &dead_peer) = model.tombstones.first_key_value().unwrap();
    let late = Do::CreatePeer {
        region: dead_region,
        peer: dead_peer,
        from_store: 2,
        epoch,
    };
    let refused = Said::Refused("peer-tombstoned".to_owned(), String::new());
    assert_eq!(model.judge(&late, &refused, &data), Ok(Meaning::Nothing));
    assert!(model.judge(&late, &Said::Accepted(9), &data).is_err());

    let key = model.normal(1).unwrap().state.rows.values().next().unwrap();
    let read = Do::Read {
        region: 1,
        epoch,
        rows: vec![(key.prefix, key.row)],
    };
    let right = crc32fast::hash(&data.value(key.row, key.revision).unwrap());
    assert_eq!(
        model.judge(&read, &Said::Values(vec![Some(right)], false), &data),
        Ok(Meaning::Nothing)
    );
    for values in [vec![None], vec![Some(right ^ 1)], vec![]] {
        assert!(
            model
                .judge(&read, &Said::Values(values, true), &data)
                .unwrap_err()
                .lost
        );
    }
    let promote = Do::ChangePeers {
        region: 1,
        epoch,
        at: FIRST_OWN,
        change: crate::torture::protocol::PeerChangeLine::Add(PeerLine {
            learner: true,
            ..PeerLine::voter(50, 2)
        }),
    };
    for said in [refused, Said::AlreadyApplied, Said::Done] {
        assert!(model.judge(&promote, &said, &data).is_err(), "{said:?}");
    }
}

const FIRST_OWN: Position = Position { index: 6, term: 6 };

#[test]
fn data_of_before_a_split_must_survive_and_later_data_need_not() {
    let mut host = Host::new(DataSet::load(None).unwrap());
    let first = workload::bootstrap(&host.model);
    host.done(first);
    host.write(1, 0..60);
    assert_eq!(
        host.model.normal(1).unwrap().floor,
        5,
        "nothing was flushed"
    );
    host.split(1, false);
    host.write(1, 0..5);
    let peer = host.model.normal(1).unwrap();
    assert_eq!((peer.floor, peer.acked, peer.meta.index), (6, 8, 7));
}

#[test]
fn a_merge_joins_rows_and_keys_and_one_that_is_called_off_leaves_both() {
    let data = DataSet::load(None).unwrap();
    for (derive_right, takes_place) in [(false, true), (true, true), (false, false), (true, false)]
    {
        let mut host = Host::new(data.clone());
        let first = workload::bootstrap(&host.model);
        host.done(first);
        host.write(1, 0..60);
        let whole = host.model.normal(1).unwrap().state.clone();
        host.split(1, derive_right);
        let target = host.model.normal(1).unwrap().state.description.clone();
        let (part, peer) = host.model.normals().find(|(id, _)| *id != 1).unwrap();
        let (own_peer, before) = (peer.peer, peer.state.clone());
        let what = workload::prepare_merge(&host.model, part, &before, &target);
        host.done(what);
        assert!(host.model.is_in_merge(1) && host.model.is_in_merge(part));
        assert_eq!(host.model.serving().count(), 1);
        let merging = host.model.normal(part).unwrap().merging.unwrap();
        let what = workload::end_merge(&host.model, part, merging, takes_place).unwrap();
        host.done(what);
        assert!(!host.model.is_in_merge(1) && !host.model.is_in_merge(part));
        if takes_place {
            let state = &host.model.normal(1).unwrap().state;
            assert_eq!(state.rows, whole.rows);
            let bounds =
                |one: &Replicated| (one.description.start.clone(), one.description.end.clone());
            assert_eq!(bounds(state), bounds(&whole));
            // Split to 2, prepared to 3, and one more than the newer of both.
            assert_eq!(state.description.epoch.version, 4);
            assert_eq!(host.model.tombstones.get(&part), Some(&own_peer));
            assert!(host.model.normal(part).is_none() && host.model.merged.contains(&part));
        } else {
            let state = &host.model.normal(part).unwrap().state;
            assert_eq!(state.rows, before.rows);
            let epoch = state.description.epoch;
            assert_eq!((epoch.version, epoch.conf_ver), (4, 2));
        }
    }
}

#[test]
fn the_log_reaches_down_to_a_snapshot_that_is_kept() {
    let mut host = Host::new(DataSet::load(None).unwrap());
    let first = workload::bootstrap(&host.model);
    host.done(first);
    host.write(1, 0..20);
    let then = host.model.normal(1).unwrap().state.rows.clone();
    let epoch = host.model.normal(1).unwrap().state.description.epoch;
    host.done(Do::TakeSnapshot {
        region: 1,
        epoch,
        to: "x".into(),
    });
    host.write(1, 10..30);
    host.done(Do::Flush);
    let peer = host.model.normal(1).unwrap();
    assert_eq!((peer.floor, host.model.taken[&1].at.index), (7, 6));
    assert_eq!(peer.state.rows_at(6), then);
    assert_eq!(peer.state.entries_above(6).count(), 1);

    host.split(1, true);
    let peer = host.model.normal(1).unwrap();
    assert!(host.model.taken.is_empty(), "it is of another range now");
    assert_eq!(
        peer.state.entries_above(6).count(),
        1,
        "and only the split is left"
    );
}
