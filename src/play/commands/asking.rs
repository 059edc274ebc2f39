//! `ask`: what the pure state machine would say of an event, without doing it. It reaches every event
//! in every state, also those that only the engine itself brings about.

use super::transitions::{cause_of, split_of};
use super::{creation_of, epoch_of};
use crate::lifecycle::{
    AbortReason, DamageReason, DeletionId, Event, EvictReason, Floor, FloorUpdate, PeerChange,
    Register, SnapshotRef, step,
};
use crate::play::args::Args;
use crate::play::show;
use crate::play::spec::{CommandSpec, at, command, many, may, maybe_at};
use crate::play::value::Kind;
use crate::play::world::{Lines, Trouble, World};
use crate::{KeyRange, PeerId, Region, RegionEpoch, RegionId, Sequence, StoreId};

const EVENTS: Kind = Kind::Word(&[
    "identify",
    "bootstrap",
    "create-peer",
    "split",
    "add-peer",
    "remove-peer",
    "promote-peer",
    "demote-peer",
    "begin-snapshot",
    "end-snapshot",
    "abort-snapshot",
    "destroy",
    "finish-deletion",
    "damage",
    "barrier",
    "new-data-store",
    "lease-sequences",
    "request-load",
    "begin-load",
    "end-load",
    "cancel-load",
    "evict",
    "begin-evict",
    "end-evict",
    "lose-cache",
    "commit-merge",
]);
const SIDES: Kind = Kind::Word(&["left", "right"]);
const CAUSES: Kind = Kind::Word(&["operator", "removed", "larger-peer"]);
const STATES: Kind = Kind::Word(&["decided", "durable", "empty"]);

pub(super) const COMMANDS: &[CommandSpec] = &[command(
    "ask",
    &[
        at("event", EVENTS),
        maybe_at("region", Kind::Region),
        maybe_at("peer", Kind::Peer),
        may("state", STATES),
        may("store", Kind::Store),
        may("peers", Kind::Peers),
        may("range", Kind::Range),
        may("epoch", Kind::Epoch),
        may("at", Kind::Position),
        may("incarnation", Kind::Incarnation),
        may("of", Kind::Region),
        many("boundary", Kind::Key),
        many("child", Kind::Child),
        may("derive", SIDES),
        may("cause", CAUSES),
        may("newer", Kind::Epoch),
        may("by", Kind::Peer),
        may("index", Kind::Number),
        may("barrier", Kind::Number),
        may("deletion", Kind::Number),
        may("number", Kind::Number),
    ],
    ask,
    "What the state machine would say of an event now; nothing happens.",
)];

fn ask(world: &mut World, args: &Args) -> Result<Lines, Trouble> {
    let event = event_of(world, args)?;
    let engine = world.machine()?.engine()?;
    let register = match args.opt_word("state") {
        Some("empty") => Register::default(),
        Some("durable") => engine.register(),
        _ => engine.appended_register(),
    };
    Ok(show::outcome(&step(&register, &event)))
}

fn event_of(world: &mut World, args: &Args) -> Result<Event, Trouble> {
    let machine = world.machine()?;
    let store = args.opt_store("store").unwrap_or(machine.store);
    let wanted = args.word("event")?;
    let region = || args.region("region");
    let peer = || args.peer("peer");
    let live = |machine: &_| creation_of(machine, region()?, args.opt_ordinal("incarnation"));
    let given = |machine: &super::Machine| {
        let ordinal = args.opt_ordinal("incarnation");
        let creation = ordinal.map(|ordinal| machine.creation(region()?, ordinal));
        creation.transpose()
    };
    let epoch = |machine: &_| epoch_of(machine, region()?, args.opt_epoch("epoch"));
    let index = args.opt_number("index").unwrap_or(0);
    let change = |machine: &_, change: PeerChange| -> Result<Event, Trouble> {
        Ok(Event::ChangePeers {
            region: region()?,
            incarnation: given(machine)?,
            epoch: epoch(machine)?,
            position: args.position("at")?,
            change,
        })
    };
    Ok(match wanted {
        "identify" => Event::Identify { store },
        "bootstrap" => Event::Bootstrap {
            store,
            region: description(region()?, store, RegionEpoch::BOOTSTRAP, args),
        },
        "create-peer" => Event::CreateByMessage {
            region: region()?,
            peer: peer()?,
            from_store: StoreId(2),
            message_epoch: args.opt_epoch("epoch").unwrap_or(RegionEpoch::BOOTSTRAP),
        },
        "split" => Event::Split(split_of(world, args)?),
        "add-peer" => {
            let peers = args.peers("peers")?;
            let missing = Trouble::Argument("peers");
            let peer = *peers.first().ok_or(missing)?;
            change(machine, PeerChange::Add { peer })?
        }
        "remove-peer" => change(machine, PeerChange::Remove { peer: peer()? })?,
        "promote-peer" => change(machine, PeerChange::Promote { peer: peer()? })?,
        "demote-peer" => change(machine, PeerChange::Demote { peer: peer()? })?,
        "begin-snapshot" => {
            let region = region()?;
            let epoch = epoch(machine)?;
            Event::BeginSnapshot {
                region,
                incarnation: live(machine)?,
                description: description(
                    args.opt_region("of").unwrap_or(region),
                    store,
                    epoch,
                    args,
                ),
                snapshot: SnapshotRef {
                    position: args.opt_position("at").unwrap_or_default(),
                    id: 1,
                    checksum: 0,
                    bytes: 0,
                    rows: 0,
                },
                sources: Vec::new(),
            }
        }
        "end-snapshot" => Event::EndSnapshot {
            region: region()?,
            incarnation: live(machine)?,
            floor: Floor {
                index,
                barrier: args.opt_number("barrier").unwrap_or(0),
            },
        },
        "abort-snapshot" => Event::AbortSnapshot {
            region: region()?,
            incarnation: live(machine)?,
            reason: AbortReason::Operator,
        },
        "destroy" => Event::Destroy {
            region: region()?,
            incarnation: given(machine)?,
            peer: peer()?,
            cause: cause_of(args)?,
        },
        "finish-deletion" => {
            let ordinal = args.opt_number("deletion").unwrap_or(0);
            // One that no record began: of the last position that there can be.
            let unknown = DeletionId {
                lsn: torrens_journal::Lsn::new(u64::MAX),
                ordinal: 0,
            };
            Event::FinishDeletion {
                deletion: machine.deletion(ordinal).unwrap_or(unknown),
            }
        }
        "damage" => Event::Damage {
            region: region()?,
            incarnation: live(machine)?,
            reason: DamageReason::RowMissing { floor: index },
        },
        "barrier" => Event::Barrier {
            number: args.opt_number("number").unwrap_or(0),
            floors: match args.opt_region("region") {
                None => Vec::new(),
                Some(region) => vec![FloorUpdate {
                    region,
                    incarnation: live(machine)?,
                    index,
                }],
            },
        },
        "new-data-store" => Event::NewDataStore {
            generation: [7; 16],
        },
        "lease-sequences" => Event::SequenceLease {
            up_to: Sequence::new(args.opt_number("number").unwrap_or(0)),
        },
        "request-load" => Event::LoadRequest {
            region: region()?,
            incarnation: live(machine)?,
            epoch: epoch(machine)?,
        },
        "begin-load" => Event::LoadBegin {
            region: region()?,
            incarnation: live(machine)?,
        },
        "end-load" => Event::LoadEnd {
            region: region()?,
            incarnation: live(machine)?,
        },
        "cancel-load" => Event::LoadCancel {
            region: region()?,
            incarnation: live(machine)?,
            reason: EvictReason::MemoryLimit,
        },
        "evict" => Event::Evict {
            region: region()?,
            reason: EvictReason::MemoryLimit,
        },
        "begin-evict" => Event::EvictBegin { region: region()? },
        "end-evict" => Event::EvictEnd { region: region()? },
        "lose-cache" => Event::CacheLost { region: region()? },
        "commit-merge" => {
            let source = args.opt_region("of").unwrap_or(RegionId(0));
            let register = machine.engine()?.register();
            let here = register
                .peer(source)
                .and_then(|peer| peer.stage.region().cloned());
            let unknown = || Trouble::Script(format!("{source} is not described here"));
            let here = here.ok_or_else(unknown)?;
            Event::CommitMerge {
                region: region()?,
                incarnation: given(machine)?,
                epoch: epoch(machine)?,
                position: args.position("at")?,
                source: (*here).clone(),
                commit: index,
            }
        }
        other => return Err(Trouble::Script(format!("there is no event {other}"))),
    })
}

fn description(id: RegionId, store: StoreId, epoch: RegionEpoch, args: &Args) -> Region {
    let own = crate::Peer {
        id: args.opt_peer("peer").unwrap_or(PeerId(1)),
        store,
        role: crate::PeerRole::Voter,
        is_witness: false,
    };
    Region {
        id,
        range: args.opt_range("range").unwrap_or_else(KeyRange::all),
        epoch: args.opt_epoch("epoch").unwrap_or(epoch),
        peers: args.opt_peers("peers").unwrap_or_else(|| vec![own]),
    }
}
