//! The library's answers to questions about a history, on directories with a known one.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use torrens::inspector::diff::{Subject, difference};
use torrens::inspector::gate::{MessageDetails, message_kind};
use torrens::inspector::lineage::{Descent, Origin};
use torrens::inspector::timeline::TimelineOptions;
use torrens::inspector::why::Question;
use torrens::inspector::{Inspector, Point, Selected, Selection, parse_key};
use torrens::lifecycle::{
    Cause, Event, GateAnswer, MessageHeader, NewRegion, PeerChange, RaftPosition, Split,
};
use torrens::{Key, PeerId, RegionEpoch, RegionId, StoreId};
use torrens_journal::Lsn;

use super::fixture::{Closed, Store, voter};

pub(crate) fn inspector(store: &Closed) -> Inspector {
    Inspector::open(store.path()).unwrap()
}

fn lsns(inspector: &Inspector, selection: &Selection) -> Vec<u64> {
    let mut lsns = Vec::new();
    inspector
        .select(selection, &mut |selected| {
            if let Selected::Record { item, .. } = selected {
                lsns.push(item.record.lsn.get());
            }
            ControlFlow::Continue(())
        })
        .unwrap();
    lsns
}

fn point(inspector: &Inspector, text: &str) -> Result<u64, &'static str> {
    let point: Point = text.parse().unwrap();
    let resolved = inspector.resolve(point);
    resolved.map(|lsn| lsn.get()).map_err(|error| error.code())
}

/// The history, a checkpoint, a second boot with two records more.
pub(crate) fn two_boots() -> Closed {
    let store = Store::with_history();
    store.checkpoint();
    let closed = store.close();
    let mut store = Store::reopen(closed);
    store.commit(
        Event::ChangePeers {
            region: RegionId(1),
            incarnation: None,
            epoch: RegionEpoch {
                conf_ver: 1,
                version: 2,
            },
            position: RaftPosition { index: 9, term: 7 },
            change: PeerChange::Add { peer: voter(14, 9) },
        },
        Cause::Raft { term: 7, index: 9 },
    );
    store.commit(
        Event::Split(Split {
            region: RegionId(1),
            incarnation: None,
            epoch: RegionEpoch {
                conf_ver: 2,
                version: 2,
            },
            position: RaftPosition { index: 10, term: 7 },
            boundaries: vec![Key::from(b"f".as_slice())],
            children: vec![NewRegion {
                id: RegionId(103),
                peers: vec![voter(311, 4), voter(312, 5), voter(313, 6), voter(314, 9)],
            }],
            derive: torrens::Derive::Left,
        }),
        Cause::Raft { term: 7, index: 10 },
    );
    store.close()
}

#[test]
fn points_name_places_in_the_history() {
    let store = two_boots();
    let inspector = inspector(&store);
    for (text, expected) in [
        ("first", Ok(1)),
        ("last", Ok(11)),
        ("durable", Ok(11)),
        ("~0", Ok(11)),
        ("~3", Ok(8)),
        ("~11", Ok(0)),
        ("~12", Err("no-such-point")),
        ("boot:1", Ok(9)),
        ("boot:-1", Ok(9)),
        ("boot:2", Ok(11)),
        ("boot:0", Err("no-such-point")),
        ("boot:7", Err("no-such-point")),
        ("boot:-9", Err("no-such-point")),
        ("ckpt:last", Ok(9)),
        ("ckpt:-1", Err("no-such-point")),
        ("7", Ok(7)),
        ("12", Err("beyond-end")),
        ("@2026-03-14T09:21:07.114Z", Ok(1)),
        ("@09:21:07.116", Ok(3)),
        ("@2026-03-14", Ok(0)),
        ("@2030-01-01", Ok(11)),
    ] {
        assert_eq!(point(&inspector, text), expected, "{text}");
    }
}

#[test]
fn a_history_whose_begin_was_purged_goes_on_from_the_checkpoint() {
    let mut store = Store::with_segments_of(64 * 1024);
    store.history();
    for number in 0..60 {
        let (region, peer, from_store) = (RegionId(500 + number), PeerId(900 + number), StoreId(5));
        let message_epoch = RegionEpoch {
            conf_ver: 1,
            version: 1,
        };
        store.commit(
            Event::CreateByMessage {
                region,
                peer,
                from_store,
                message_epoch,
            },
            Cause::Message { from_store },
        );
        if number % 20 == 10 {
            store.checkpoint();
            store.purge();
        }
    }
    let store = store.close();
    let inspector = inspector(&store);
    let picture = inspector.look(None).unwrap();
    let first = picture.report.first_lsn.unwrap();
    assert!(first > Lsn::new(10), "nothing was purged");
    let oldest = point(&inspector, "first").unwrap();
    assert!(oldest + 1 >= first.get());
    let lineage = inspector.lineage(None).unwrap();
    assert_eq!(lineage.regions[&RegionId(1)].origin, Origin::Before);
    assert_eq!(lineage.start.get(), oldest);
    let (timeline, folded) = inspector.timeline(&TimelineOptions::default()).unwrap();
    assert_eq!(folded.register, picture.register);
    assert!(timeline.lives.iter().any(|life| life.began_before));
    let early = inspector.look(Some(Lsn::new(3)));
    assert_eq!(early.unwrap_err().code(), "purged");
}

#[test]
fn selections_reach_every_part_of_a_record() {
    let store = two_boots();
    let inspector = inspector(&store);
    let all = Selection::default;
    let select = |selection: &Selection| lsns(&inspector, selection);
    assert_eq!(select(&all()).len(), 11);
    assert_eq!(
        select(&Selection {
            boots: vec![2],
            ..all()
        }),
        [10, 11]
    );
    assert_eq!(
        select(&Selection {
            boots: vec![-1],
            ..all()
        }),
        (1..=9).collect::<Vec<_>>()
    );
    assert_eq!(
        select(&Selection {
            peers: vec![PeerId(213)],
            ..all()
        }),
        [3, 4]
    );
    assert_eq!(
        select(&Selection {
            stores: vec![StoreId(9)],
            ..all()
        }),
        [10, 11]
    );
    assert_eq!(
        select(&Selection {
            causes: vec!["message".to_owned()],
            ..all()
        }),
        [8]
    );
    assert_eq!(
        select(&Selection {
            lineage_of: vec![RegionId(102)],
            ..all()
        }),
        [2, 3, 4, 5, 6, 7, 9, 10, 11]
    );
    let since = "2026-03-14T09:21:07.120Z".parse().ok();
    let until = "09:21:07.121".parse().ok();
    assert_eq!(
        select(&Selection {
            since,
            until,
            ..all()
        }),
        [7, 8]
    );
    // Key z is region 1's before the split at m, then region 102's, and nobody's at the end.
    let keys = vec![parse_key("z").unwrap()];
    assert_eq!(select(&Selection { keys, ..all() }), [2, 3, 4, 9]);
    let filter = "data.children.region == 103 || cause.index == 9"
        .parse()
        .ok();
    assert_eq!(select(&Selection { filter, ..all() }), [10, 11]);
}

#[test]
fn timelines_have_a_life_for_every_creation_of_a_peer() {
    let store = two_boots();
    let options = TimelineOptions {
        occurrences: true,
        ..TimelineOptions::default()
    };
    let (timeline, folded) = inspector(&store).timeline(&options).unwrap();
    assert_eq!(folded.position, Lsn::new(11));
    let shown: Vec<String> = timeline
        .lives
        .iter()
        .map(|life| {
            let stages: Vec<String> = life
                .stages
                .iter()
                .map(|span| format!("{} {}", span.name, span.from.lsn))
                .collect();
            format!(
                "{} {}{}: {} {:?}",
                life.region,
                life.peer,
                life.incarnation,
                stages.join(", "),
                life.ended_by
            )
        })
        .collect();
    assert_eq!(
        shown,
        [
            "r1 p10#2: normal 2 None",
            "r7 p70#8: uninitialized 8 None",
            "r102 p211#3: normal 3 Some(\"peer.destroy-begin\")",
            "r103 p311#11: normal 11 None",
        ]
    );
    let r1 = &timeline.lives[0];
    let caches: Vec<&str> = r1.caches.iter().map(|span| span.name).collect();
    assert_eq!(caches, ["load-requested", "loading", "active"]);
    let kinds: Vec<&str> = r1.occurrences.iter().map(|one| &*one.kind).collect();
    assert_eq!(kinds.first(), Some(&"region.bootstrap"));
    assert_eq!(
        kinds.iter().filter(|kind| **kind == "region.split").count(),
        2
    );
    let gone = &timeline.lives[2];
    assert_eq!(gone.occurrences.last().unwrap().kind, "peer.destroy-begin");
    assert_eq!(timeline.boots.len(), 2);
    let options = TimelineOptions {
        until: Some(Lsn::new(5)),
        regions: BTreeSet::from([RegionId(102)]),
        ..TimelineOptions::default()
    };
    let (timeline, _) = inspector(&store).timeline(&options).unwrap();
    assert_eq!(timeline.lives.len(), 1);
    assert_eq!(timeline.lives[0].ended_by, None);
}

#[test]
fn lineage_owner_and_why_tell_one_story() {
    let store = two_boots();
    let inspector = inspector(&store);
    let lineage = inspector.lineage(None).unwrap();
    let edges: Vec<String> = lineage
        .edges
        .iter()
        .map(|edge| {
            format!(
                "{} {}→{} {}",
                edge.at.lsn,
                edge.from,
                edge.to,
                edge.descent.as_str()
            )
        })
        .collect();
    assert_eq!(edges, ["3 r1→r102 split", "11 r1→r103 split"]);
    assert!(
        matches!(&lineage.edges[0].descent, Descent::Split { boundary, fate: "created" } if **boundary == *b"m")
    );
    let related = lineage.related(RegionId(102));
    assert_eq!(related, BTreeSet::from([RegionId(1), RegionId(102)]));
    assert_eq!(lineage.regions[&RegionId(102)].gone, Some("operator"));
    assert_eq!(lineage.clone().only(&related).edges.len(), 1);

    let (owners, _) = inspector.owners(b"z", None).unwrap();
    let story: Vec<String> = owners
        .iter()
        .map(|one| {
            format!(
                "{}..{} {}",
                one.from.lsn,
                one.to.map_or("now".to_owned(), |to| to.to_string()),
                one.text
            )
        })
        .collect();
    assert_eq!(
        story,
        [
            "0..1 nobody",
            "2..2 r1 p10#2",
            "3..8 r102 p211#3",
            "9..now pending deletion d9.0 of r102"
        ]
    );

    let chain = |question: Question| {
        let (reason, _) = inspector.why(&question, None, false).unwrap();
        let links: Vec<u64> = reason
            .links
            .iter()
            .map(|link| link.description.lsn.get())
            .collect();
        (reason.region, links)
    };
    assert_eq!(
        chain(Question::Region(RegionId(102))),
        (Some(RegionId(102)), vec![3, 4, 9])
    );
    assert_eq!(
        chain(Question::Peer(PeerId(211))),
        (Some(RegionId(102)), vec![3, 4, 9])
    );
    assert_eq!(
        chain(Question::Key(Key::from(b"z".as_slice()))),
        (Some(RegionId(102)), vec![3, 4, 9])
    );
    assert_eq!(chain(Question::Region(RegionId(555))), (None, vec![]));
    assert_eq!(chain(Question::Peer(PeerId(99_999))), (None, vec![]));
    let (reason, _) = inspector
        .why(&Question::Region(RegionId(1)), None, true)
        .unwrap();
    assert_eq!(reason.links.len(), 7, "with the records of its cache");
    let gone = reason
        .links
        .iter()
        .find(|link| link.description.lsn == Lsn::new(3))
        .unwrap();
    let facets: Vec<&str> = gone.changed.iter().map(|changed| changed.facet).collect();
    assert_eq!(facets, ["range", "epoch", "meta"]);
}

#[test]
fn differences_name_what_changed_and_nothing_else() {
    let store = two_boots();
    let inspector = inspector(&store);
    let at = |lsn| inspector.look(Some(Lsn::new(lsn))).unwrap().register;
    assert!(difference(&at(5), &at(5)).is_empty());
    let changed = difference(&at(8), &at(9));
    let shown: Vec<String> = changed
        .iter()
        .map(|one| format!("{} {}", one.subject, one.facet))
        .collect();
    assert_eq!(
        shown,
        [
            "r102 peer",
            "r102 stage",
            "r102 range",
            "r102 epoch",
            "r102 peers",
            "r102 meta",
            "r102 floor",
            "r102 tombstone",
            "deletion d9.0 range",
            "deletion d9.0 of"
        ]
    );
    assert_eq!(
        changed.last().unwrap().subject,
        Subject::Deletion("d9.0".to_owned())
    );
}

#[test]
fn the_gate_answers_as_it_would_have_then() {
    let store = two_boots();
    let header = MessageHeader {
        region: RegionId(102),
        to_store: StoreId(0),
        to_peer: PeerId(211),
        from_store: StoreId(5),
        from_peer: PeerId(212),
        epoch: RegionEpoch {
            conf_ver: 2,
            version: 2,
        },
        range: None,
        kind: message_kind("append", MessageDetails::default()).unwrap(),
    };
    let gate = |at| inspector(&store).gate(at, &header).unwrap();
    assert!(matches!(
        gate(Some(Lsn::new(8))).answer,
        GateAnswer::Deliver { .. }
    ));
    let now = gate(None);
    assert_eq!(
        (now.answer.code(), now.decided_by),
        ("stale-tombstone", Some(Lsn::new(9)))
    );
    assert_eq!(
        gate(Some(Lsn::ZERO)).answer.code(),
        "drop-store-unidentified"
    );
    assert_eq!(message_kind("merged", MessageDetails::default()), None);
    assert_eq!(message_kind("nonsense", MessageDetails::default()), None);
}
