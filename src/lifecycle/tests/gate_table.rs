//! Every kind of message against every state of its region, held to a table that was written by hand.

use std::collections::BTreeSet;

use super::stage_table::{rows, stages};
use super::world::{STORE, World, at, epoch, range, region, split};
use crate::lifecycle::{
    Derive, DestroyCause, Event, GateAnswer, GateReply, MessageHeader, MessageKind,
};
use crate::{PeerId, RegionId, StoreId};

/// The region whose peer goes through the stages; peer 21, keys `m .. z`, epoch c3.v4.
const SUBJECT: RegionId = RegionId(2);

/// The code of the answer to a message for peer 21 from peer 22 on store 2, which knows c3.v4.
const TABLE: &str = "
message          | absent              | tombstone          | uninitialized      | first-apply        | normal             | applying               | damaged            | witness            | waiting               | merging            | flashback
append           | drop-not-initial    | stale-tombstone    | deliver            | deliver            | deliver            | deliver                | drop-damaged       | deliver            | drop-waiting-for-data | deliver            | deliver
append-first     | defer-peer-created  | stale-tombstone    | deliver            | deliver            | deliver            | deliver                | drop-damaged       | deliver            | drop-waiting-for-data | deliver            | deliver
vote             | create              | stale-tombstone    | deliver            | deliver            | deliver            | deliver                | deliver            | deliver            | deliver               | deliver            | deliver
vote-first       | create              | stale-tombstone    | deliver            | deliver            | deliver            | deliver                | deliver            | deliver            | deliver               | deliver            | deliver
pre-vote         | create              | stale-tombstone    | deliver            | deliver            | deliver            | deliver                | deliver            | deliver            | deliver               | deliver            | deliver
heartbeat        | drop-not-initial    | stale-tombstone    | deliver            | deliver            | deliver            | deliver                | deliver            | deliver            | deliver               | deliver            | deliver
heartbeat-zero   | create              | stale-tombstone    | deliver            | deliver            | deliver            | deliver                | deliver            | deliver            | deliver               | deliver            | deliver
snapshot         | drop-not-initial    | stale-tombstone    | deliver            | defer-snapshot-applied | deliver        | defer-snapshot-applied | deliver            | deliver            | deliver               | deliver            | deliver
transfer-leader  | drop-not-initial    | stale-tombstone    | drop-cannot-lead   | drop-cannot-lead   | deliver            | drop-cannot-lead       | drop-cannot-lead   | drop-cannot-lead   | drop-cannot-lead      | deliver            | deliver
response         | drop-peer-absent    | drop-peer-absent   | deliver            | deliver            | deliver            | deliver                | deliver            | deliver            | deliver               | deliver            | deliver
wake-up          | drop-not-initial    | stale-tombstone    | deliver            | deliver            | deliver            | deliver                | deliver            | deliver            | deliver               | deliver            | deliver
check-stale      | drop-not-initial    | stale-tombstone    | drop-uninitialized | reply-peers        | reply-peers        | reply-peers            | reply-peers        | reply-peers        | reply-peers           | reply-peers        | reply-peers
tombstone        | drop-peer-absent    | drop-peer-absent   | destroy-removed    | drop-not-newer     | drop-not-newer     | drop-not-newer         | drop-not-newer     | drop-not-newer     | drop-not-newer        | drop-not-newer     | drop-not-newer
tombstone-newer  | drop-peer-absent    | drop-peer-absent   | destroy-removed    | destroy-removed    | destroy-removed    | destroy-removed        | destroy-removed    | destroy-removed    | destroy-removed       | destroy-removed    | destroy-removed
tombstone-other  | drop-peer-absent    | drop-peer-absent   | drop-other-peer    | drop-other-peer    | drop-other-peer    | drop-other-peer        | drop-other-peer    | drop-other-peer    | drop-other-peer       | drop-other-peer    | drop-other-peer
merged           | drop-peer-absent    | drop-peer-absent   | defer-target-merged | defer-target-merged | defer-target-merged | defer-target-merged  | defer-target-merged | defer-target-merged | defer-target-merged | defer-target-merged | defer-target-merged
merged-past      | drop-peer-absent    | drop-peer-absent   | destroy-merged     | destroy-merged     | destroy-merged     | destroy-merged         | destroy-merged     | destroy-merged     | destroy-merged        | destroy-merged     | destroy-merged
merged-other     | drop-peer-absent    | drop-peer-absent   | drop-other-peer    | drop-other-peer    | drop-other-peer    | drop-other-peer        | drop-other-peer    | drop-other-peer    | drop-other-peer       | drop-other-peer    | drop-other-peer
older-peer       | create              | stale-tombstone    | drop-peer-stale    | drop-peer-stale    | drop-peer-stale    | drop-peer-stale        | drop-peer-stale    | drop-peer-stale    | drop-peer-stale       | drop-peer-stale    | drop-peer-stale
newer-peer       | create              | create             | destroy-larger-peer | destroy-larger-peer | destroy-larger-peer | destroy-larger-peer  | destroy-larger-peer | destroy-larger-peer | destroy-larger-peer | destroy-larger-peer | destroy-larger-peer
newer-behind     | create              | stale-tombstone    | destroy-larger-peer | destroy-larger-peer | destroy-larger-peer | destroy-larger-peer  | destroy-larger-peer | destroy-larger-peer | destroy-larger-peer | destroy-larger-peer | destroy-larger-peer
stranger-behind  | create              | stale-tombstone    | deliver            | reply-gone         | reply-gone         | reply-gone             | reply-gone         | reply-gone         | reply-gone            | reply-gone         | reply-gone
stranger         | create              | stale-tombstone    | deliver            | deliver            | deliver            | deliver                | deliver            | deliver            | deliver               | deliver            | deliver
member-behind    | create              | stale-tombstone    | deliver            | deliver            | deliver            | deliver                | deliver            | deliver            | deliver               | deliver            | deliver
overlapping      | drop-range-overlap  | stale-tombstone    | deliver            | deliver            | deliver            | deliver                | deliver            | deliver            | deliver               | deliver            | deliver
overlapping-first | defer-range-free   | stale-tombstone    | deliver            | deliver            | deliver            | deliver                | deliver            | deliver            | deliver               | deliver            | deliver
no-epoch         | drop-no-epoch       | drop-no-epoch      | drop-no-epoch      | drop-no-epoch      | drop-no-epoch      | drop-no-epoch          | drop-no-epoch      | drop-no-epoch      | drop-no-epoch         | drop-no-epoch      | drop-no-epoch
wrong-store      | drop-wrong-store    | drop-wrong-store   | drop-wrong-store   | drop-wrong-store   | drop-wrong-store   | drop-wrong-store       | drop-wrong-store   | drop-wrong-store   | drop-wrong-store      | drop-wrong-store   | drop-wrong-store
id-zero          | drop-id-zero        | drop-id-zero       | drop-id-zero       | drop-id-zero       | drop-id-zero       | drop-id-zero           | drop-id-zero       | drop-id-zero       | drop-id-zero          | drop-id-zero       | drop-id-zero
";

fn header(kind: MessageKind) -> MessageHeader {
    MessageHeader {
        region: SUBJECT,
        to_store: STORE,
        to_peer: PeerId(21),
        from_store: StoreId(2),
        from_peer: PeerId(22),
        epoch: epoch(3, 4),
        range: Some(range("m", "z")),
        kind,
    }
}

const VOTE: MessageKind = MessageKind::Vote { is_first: false };

fn messages() -> Vec<(&'static str, MessageHeader)> {
    let merged = |target_version| MessageKind::Merged {
        target: RegionId(1),
        target_version,
    };
    let to = |kind, peer| MessageHeader {
        to_peer: PeerId(peer),
        ..header(kind)
    };
    let knowing = |kind, conf_ver, version| MessageHeader {
        epoch: epoch(conf_ver, version),
        ..header(kind)
    };
    let from = |store, header| MessageHeader {
        from_store: StoreId(store),
        ..header
    };
    let over = |kind| MessageHeader {
        range: Some(range("l", "z")),
        ..header(kind)
    };
    let first = MessageKind::Vote { is_first: true };
    vec![
        ("append", header(MessageKind::Append { is_first: false })),
        (
            "append-first",
            header(MessageKind::Append { is_first: true }),
        ),
        ("vote", header(VOTE)),
        ("vote-first", header(first)),
        ("pre-vote", header(MessageKind::PreVote { is_first: false })),
        ("heartbeat", header(MessageKind::Heartbeat { commit: 9 })),
        (
            "heartbeat-zero",
            header(MessageKind::Heartbeat { commit: 0 }),
        ),
        ("snapshot", header(MessageKind::Snapshot)),
        ("transfer-leader", header(MessageKind::TransferLeader)),
        ("response", header(MessageKind::Response)),
        ("wake-up", header(MessageKind::WakeUp)),
        ("check-stale", header(MessageKind::CheckStale)),
        ("tombstone", header(MessageKind::Tombstone)),
        ("tombstone-newer", knowing(MessageKind::Tombstone, 4, 4)),
        ("tombstone-other", to(MessageKind::Tombstone, 22)),
        ("merged", header(merged(1))),
        ("merged-past", header(merged(0))),
        ("merged-other", to(merged(0), 20)),
        ("older-peer", to(VOTE, 20)),
        ("newer-peer", to(VOTE, 30)),
        (
            "newer-behind",
            MessageHeader {
                to_peer: PeerId(30),
                ..knowing(VOTE, 2, 4)
            },
        ),
        ("stranger-behind", from(7, knowing(VOTE, 3, 3))),
        ("stranger", from(7, header(VOTE))),
        ("member-behind", knowing(VOTE, 2, 4)),
        ("overlapping", over(VOTE)),
        ("overlapping-first", over(first)),
        ("no-epoch", knowing(VOTE, 0, 0)),
        (
            "wrong-store",
            MessageHeader {
                to_store: StoreId(9),
                ..header(VOTE)
            },
        ),
        ("id-zero", to(VOTE, 0)),
    ]
}

#[test]
fn every_message_has_the_answer_that_the_table_lists_in_every_state() {
    let expected = rows(TABLE);
    let messages = messages();
    assert_eq!(messages.len(), expected.len());
    let mut wrong = Vec::new();
    let mut columns = BTreeSet::new();
    for (stage, (world, incarnation)) in stages() {
        columns.insert(stage);
        for (name, header) in &messages {
            let answer = world.register.gate(header);
            let code = answer.code();
            if code != expected[name][stage] {
                wrong.push(format!(
                    "{name} on {stage}: {code}, not {}",
                    expected[name][stage]
                ));
            }
            carried_out(&world, header, &answer);
            if let GateAnswer::Deliver { incarnation: live } = answer {
                assert_eq!(live, incarnation, "{name} on {stage}");
            }
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
    let listed: BTreeSet<_> = expected["vote"].keys().copied().collect();
    assert_eq!(columns, listed, "each stage has a column");
}

/// What the gate permits or orders is what the events of that name accept.
fn carried_out(world: &World, header: &MessageHeader, answer: &GateAnswer) {
    let mut world = world.clone();
    match answer {
        GateAnswer::Create(permit) => {
            world.accept(&Event::CreateByMessage {
                region: permit.region,
                peer: permit.peer,
                from_store: permit.from_store,
                message_epoch: permit.epoch,
            });
            let again = world.register.gate(header);
            assert_eq!(
                again.code(),
                "deliver",
                "the message is for the peer that it made"
            );
        }
        GateAnswer::Destroy {
            incarnation,
            peer,
            cause,
        } => {
            world.accept(&Event::Destroy {
                region: header.region,
                incarnation: Some(*incarnation),
                peer: *peer,
                cause: *cause,
            });
        }
        GateAnswer::Deliver { .. }
        | GateAnswer::Drop(_)
        | GateAnswer::Stale(_)
        | GateAnswer::Defer(_)
        | GateAnswer::Reply(_) => {}
    }
}

#[test]
fn a_store_without_an_id_and_a_region_that_is_not_confirmed_take_nothing() {
    let world = World::default();
    assert_eq!(
        world.register.gate(&header(VOTE)).code(),
        "drop-store-unidentified"
    );
    let mut world = World::new();
    world.accept(&Event::PrepareBootstrap {
        store: STORE,
        region: region(2, "", "", (3, 4)),
    });
    assert_eq!(
        world.register.gate(&header(VOTE)).code(),
        "drop-unconfirmed"
    );
}

#[test]
fn whoever_speaks_for_a_merged_region_is_told_the_target() {
    let mut world = World::bootstrapped("", "");
    world.accept(&split(1, epoch(1, 1), 6, "m", 2, Derive::Left));
    world.accept(&Event::PrepareMerge {
        region: SUBJECT,
        incarnation: None,
        epoch: epoch(1, 2),
        position: at(7),
        target: world.description(1),
        min_index: 7,
    });
    // A source that still lives waits as long as the target has not moved on.
    let merged = header(MessageKind::Merged {
        target: RegionId(1),
        target_version: 2,
    });
    assert_eq!(world.register.gate(&merged).code(), "defer-target-merged");
    // A new peer of the target may come where the source still is: the snapshot ends it.
    let for_target = MessageHeader {
        region: RegionId(5),
        ..header(VOTE)
    };
    assert_eq!(
        world.register.gate(&for_target).code(),
        "drop-range-overlap"
    );
    let source = world.description(2);
    world.accept(&Event::CommitMerge {
        region: RegionId(1),
        incarnation: None,
        epoch: epoch(1, 2),
        position: at(8),
        source,
        commit: 7,
    });
    let late = MessageHeader {
        to_peer: PeerId(40),
        epoch: epoch(9, 9),
        ..header(VOTE)
    };
    let GateAnswer::Reply(GateReply::MergeTarget { target }) = world.register.gate(&late) else {
        panic!("{:?}", world.register.gate(&late));
    };
    assert_eq!(target, RegionId(1));
}

#[test]
fn a_left_behind_source_goes_when_its_target_is_not_here() {
    let mut world = World::bootstrapped("", "");
    world.accept(&split(1, epoch(1, 1), 6, "m", 2, Derive::Left));
    world.accept(&Event::Destroy {
        region: RegionId(1),
        incarnation: None,
        peer: PeerId(11),
        cause: DestroyCause::Operator,
    });
    let merged = header(MessageKind::Merged {
        target: RegionId(1),
        target_version: 2,
    });
    assert_eq!(world.register.gate(&merged).code(), "destroy-merged");
    let unknown = header(MessageKind::Merged {
        target: RegionId(9),
        target_version: 2,
    });
    // It may be a part that the source itself has yet to split off, and then nothing else frees the keys.
    assert_eq!(world.register.gate(&unknown).code(), "destroy-merged");
}
