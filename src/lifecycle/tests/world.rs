//! A register that is driven by events alone, as the engine drives it: step, encode, decode, apply.

use torrens_journal::Lsn;

use crate::codec;
use crate::lifecycle::{
    Accepted, Cause, Change, Derive, Effect, Event, Floor, NewRegion, Outcome, RaftPosition,
    Record, Register, SnapshotRef, Split, Stamp, apply, step,
};
use crate::{Incarnation, KeyRange, Peer, PeerId, Region, RegionEpoch, RegionId, StoreId};

/// The store that every test plays.
pub(crate) const STORE: StoreId = StoreId(1);

#[derive(Clone, Debug, Default)]
pub(crate) struct World {
    pub(crate) register: Register,
    pub(crate) records: Vec<(Lsn, Record)>,
    /// Effects of all accepted events, in order.
    pub(crate) effects: Vec<Effect>,
}

/// What an answer says, in one word.
pub(crate) fn word(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::Accepted(accepted) => accepted.change.kind_name(),
        Outcome::AlreadyApplied => "already",
        Outcome::Wait(reason) => reason.code(),
        Outcome::Refused(refusal) => refusal.code(),
    }
}

pub(crate) fn key(key: &str) -> crate::Key {
    key.as_bytes().into()
}

/// `start .. end`; an empty `end` is infinity.
pub(crate) fn range(start: &str, end: &str) -> KeyRange {
    KeyRange::new(
        start.as_bytes(),
        (!end.is_empty()).then_some(end.as_bytes()),
    )
    .unwrap()
}

pub(crate) fn voter(id: u64, store: u64) -> Peer {
    Peer::voter(PeerId(id), StoreId(store))
}

/// A region with peer `10 × id + store` on each of the stores 1 and 2.
pub(crate) fn region(id: u64, start: &str, end: &str, (conf_ver, version): (u64, u64)) -> Region {
    Region {
        id: RegionId(id),
        range: range(start, end),
        epoch: RegionEpoch { conf_ver, version },
        peers: vec![voter(10 * id + 1, 1), voter(10 * id + 2, 2)],
    }
}

pub(crate) fn at(index: u64) -> RaftPosition {
    RaftPosition { index, term: 6 }
}

pub(crate) fn snapshot(index: u64) -> SnapshotRef {
    SnapshotRef {
        position: at(index),
        id: index * 7,
        checksum: 0xfeed_0000 + u32::try_from(index).unwrap(),
        bytes: 4096,
        rows: 12,
    }
}

pub(crate) fn epoch(conf_ver: u64, version: u64) -> RegionEpoch {
    RegionEpoch { conf_ver, version }
}

/// Splits `id` into itself and one child with peers as [`region`] gives them.
pub(crate) fn split(
    id: u64,
    epoch: RegionEpoch,
    index: u64,
    boundary: &str,
    child: u64,
    derive: Derive,
) -> Event {
    Event::Split(Split {
        region: RegionId(id),
        incarnation: None,
        epoch,
        position: at(index),
        boundaries: vec![key(boundary)],
        children: vec![NewRegion {
            id: RegionId(child),
            peers: region(child, "", "", (1, 1)).peers,
        }],
        derive,
    })
}

impl World {
    /// A store that has only its id.
    pub(crate) fn new() -> Self {
        let mut world = World::default();
        world.accept(&Event::Identify { store: STORE });
        world
    }

    /// A store with region 1 over `start .. end`.
    pub(crate) fn bootstrapped(start: &str, end: &str) -> Self {
        let mut world = World::new();
        let region = region(1, start, end, (1, 1));
        world.accept(&Event::Bootstrap {
            store: STORE,
            region,
        });
        world
    }

    /// Asks, and carries out what is accepted. The record goes through the codec on the way, and
    /// whatever happens the invariants hold afterwards.
    pub(crate) fn ask(&mut self, event: &Event) -> Outcome {
        let outcome = step(&self.register, event);
        let Outcome::Accepted(Accepted { change, effects }) = &outcome else {
            return outcome;
        };
        let lsn = self.register.last_lsn().next().unwrap();
        let stamp = Stamp {
            wall_clock_micros: 1_700_000_000_000_000 + lsn.get(),
            boot: 3,
            cause: Cause::Host,
        };
        let record = Record::new(&self.register, change.clone(), stamp);
        let (kind, payload) = codec::encode(&record);
        let decoded = codec::decode(kind, &payload).unwrap().unwrap();
        assert_eq!(decoded, record);
        apply(&mut self.register, lsn, &decoded)
            .unwrap_or_else(|error| panic!("{event:?} was accepted and does not apply: {error}"));
        self.register
            .check_invariants()
            .unwrap_or_else(|violation| panic!("after {event:?}: {violation}"));
        self.records.push((lsn, record));
        self.effects.extend(effects.clone().at(lsn));
        outcome
    }

    /// An event that must be accepted.
    pub(crate) fn accept(&mut self, event: &Event) -> Lsn {
        let outcome = self.ask(event);
        assert!(
            matches!(outcome, Outcome::Accepted(_)),
            "{event:?}: {outcome:?}"
        );
        self.register.last_lsn()
    }

    pub(crate) fn incarnation(&self, id: u64) -> Incarnation {
        self.register.incarnation(RegionId(id)).unwrap()
    }

    pub(crate) fn description(&self, id: u64) -> Region {
        let peer = self.register.peer(RegionId(id)).unwrap();
        Region::clone(peer.stage.region().unwrap())
    }

    pub(crate) fn last_change(&self) -> &Change {
        &self.records.last().unwrap().1.change
    }

    pub(crate) fn create(&mut self, id: u64) -> Incarnation {
        let created = self.accept(&Event::CreateByMessage {
            region: RegionId(id),
            peer: PeerId(10 * id + 1),
            from_store: StoreId(2),
            message_epoch: epoch(1, 1),
        });
        Incarnation::new(created)
    }

    /// The begin of a snapshot that brings `description` to its region's live peer.
    pub(crate) fn begin(&self, description: Region, index: u64) -> Event {
        Event::BeginSnapshot {
            region: description.id,
            incarnation: self.incarnation(description.id.0),
            description,
            snapshot: snapshot(index),
            sources: Vec::new(),
        }
    }

    pub(crate) fn barrier(&mut self) -> u64 {
        let number = self.register.barrier() + 1;
        let floors = Vec::new();
        self.accept(&Event::Barrier { number, floors });
        number
    }

    /// The end of the snapshot that region `id` applies, after a barrier.
    pub(crate) fn end(&mut self, id: u64, index: u64) {
        let barrier = self.barrier();
        let event = Event::EndSnapshot {
            region: RegionId(id),
            incarnation: self.incarnation(id),
            floor: Floor { index, barrier },
        };
        self.accept(&event);
    }

    pub(crate) fn finish_deletions(&mut self) {
        let pending: Vec<_> = self.register.deletions().map(|(id, _)| id).collect();
        for deletion in pending {
            self.accept(&Event::FinishDeletion { deletion });
        }
    }
}
