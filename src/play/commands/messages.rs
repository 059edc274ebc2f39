//! Messages at the gate, and keys that are kept free for a snapshot on its way.

use super::{creation_of, epoch_of};
use crate::lifecycle::{GateAnswer, MessageHeader, MessageKind, Register};
use crate::play::args::Args;
use crate::play::spec::{CommandSpec, at, command, many, may, must};
use crate::play::value::Kind;
use crate::play::world::{Lines, Trouble, World};
use crate::{KeyRange, PeerId, Region, RegionEpoch, StoreId};

const KINDS: Kind = Kind::Word(&[
    "append",
    "vote",
    "pre-vote",
    "heartbeat",
    "snapshot",
    "transfer-leader",
    "response",
    "tombstone",
    "merged",
    "check-stale",
    "wake-up",
]);
const STATES: Kind = Kind::Word(&["durable", "empty"]);
const YES: Kind = Kind::Word(&["yes"]);

#[rustfmt::skip]
pub(super) const COMMANDS: &[CommandSpec] = &[
    command("gate", &[at("kind", KINDS), at("region", Kind::Region), at("peer", Kind::Peer), may("to", Kind::Store), may("from", Kind::Store), may("from-peer", Kind::Peer), may("epoch", Kind::Epoch), may("range", Kind::Range), may("first", YES), may("commit", Kind::Number), may("target", Kind::Region), may("target-version", Kind::Number), may("create", YES), may("state", STATES)], gate,
        "What becomes of a message; with `create=yes` a peer that the gate permits is created. `state=empty` asks a store that knows nothing yet."),
    command("reserve-snapshot", &[at("region", Kind::Region), must("peers", Kind::Peers), must("at", Kind::Position), may("range", Kind::Range), may("epoch", Kind::Epoch), may("incarnation", Kind::Incarnation), many("over", Kind::Region)], reserve,
        "Keeps the keys of a snapshot free that is given to Raft."),
    command("release-snapshot", &[at("region", Kind::Region), may("incarnation", Kind::Incarnation)], release,
        "Raft dropped the snapshot: its keys are nobody's again."),
];

fn kind(args: &Args) -> Result<MessageKind, Trouble> {
    let is_first = args.opt_word("first").is_some();
    Ok(match args.word("kind")? {
        "append" => MessageKind::Append { is_first },
        "vote" => MessageKind::Vote { is_first },
        "pre-vote" => MessageKind::PreVote { is_first },
        "heartbeat" => MessageKind::Heartbeat {
            commit: args.opt_number("commit").unwrap_or(0),
        },
        "snapshot" => MessageKind::Snapshot,
        "transfer-leader" => MessageKind::TransferLeader,
        "tombstone" => MessageKind::Tombstone,
        "merged" => MessageKind::Merged {
            target: args.region("target")?,
            target_version: args.opt_number("target-version").unwrap_or(0),
        },
        "check-stale" => MessageKind::CheckStale,
        "wake-up" => MessageKind::WakeUp,
        _ => MessageKind::Response,
    })
}

fn gate(world: &mut World, args: &Args) -> Result<Lines, Trouble> {
    let machine = world.machine()?;
    let header = MessageHeader {
        region: args.region("region")?,
        to_store: args.opt_store("to").unwrap_or(machine.store),
        to_peer: args.peer("peer")?,
        from_store: args.opt_store("from").unwrap_or(StoreId(2)),
        from_peer: args.opt_peer("from-peer").unwrap_or(PeerId(11)),
        epoch: args.opt_epoch("epoch").unwrap_or(RegionEpoch::BOOTSTRAP),
        range: args.opt_range("range"),
        kind: kind(args)?,
    };
    let engine = machine.engine()?;
    let answer = match args.opt_word("state") {
        Some("empty") => Register::default().gate(&header),
        _ => engine.gate(&header),
    };
    let mut lines = vec![answer.code().to_owned()];
    if let GateAnswer::Create(permit) = answer
        && args.opt_word("create").is_some()
    {
        let created = engine.create_permitted(permit)?;
        lines.extend(world.answered(created)?);
    }
    Ok(lines)
}

fn reserve(world: &mut World, args: &Args) -> Result<Lines, Trouble> {
    let machine = world.machine()?;
    let region = args.region("region")?;
    let incarnation = creation_of(machine, region, args.opt_ordinal("incarnation"))?;
    let description = Region {
        id: region,
        range: args.opt_range("range").unwrap_or_else(KeyRange::all),
        epoch: epoch_of(machine, region, args.opt_epoch("epoch"))?,
        peers: args.peers("peers")?,
    };
    let (position, sources) = (args.position("at")?, args.regions("over"));
    let engine = machine.engine()?;
    let answer = engine.reserve_snapshot(region, incarnation, description, position, &sources)?;
    world.answered(answer)
}

fn release(world: &mut World, args: &Args) -> Result<Lines, Trouble> {
    let machine = world.machine()?;
    let region = args.region("region")?;
    let incarnation = creation_of(machine, region, args.opt_ordinal("incarnation"))?;
    let answer = machine.engine()?.release_snapshot(region, incarnation)?;
    world.answered(answer)
}
