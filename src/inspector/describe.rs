//! A record, ready to be shown: what it is, whom it concerns, and on demand its line and its fields.
//!
//! What cannot be decoded is shown as it lies, with the reason: a look must not end at a record that it
//! does not understand. Nothing is put into words before it is asked for, since most readers want either
//! the line or the fields, and a filter wants neither.
//!
//! * `text`: the line of each kind of change. * `data`: its fields. Both spell every kind out, so that a
//!   new one cannot be forgotten. * `observers`: both, of who observes what.

use std::borrow::Cow;

use torrens_journal::{Lsn, RecordKind};
use torrens_recovery::repair::{REPAIR_RECORD, RepairRecord};

mod data;
mod observers;
mod text;
mod values;

pub use text::peer_text;

use super::fields::{Field, FieldValue, any_names, field};
use super::keys::KeyForm;
use crate::codec;
use crate::lifecycle::{Cause, Change, Record};
use crate::{Incarnation, PeerId, RegionId};

/// A record, ready to be shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Description {
    /// Its position.
    pub lsn: Lsn,
    /// Stable name of the kind; `unknown(0x0031)` for one that this version does not know.
    pub kind: Cow<'static, str>,
    what: What,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum What {
    Record(Record),
    /// The journal was told of a repair.
    Repair(RepairRecord),
    /// It could not be decoded.
    Unknown {
        why: String,
        payload: Vec<u8>,
    },
}

/// Names of fields that hold a peer's id.
const PEER_FIELDS: [&str; 3] = ["peer", "highest_peer", "larger_peer"];
/// Names of fields that hold a store's id.
const STORE_FIELDS: [&str; 2] = ["store", "from_store"];

/// Describes the record at `lsn`.
pub fn describe(lsn: Lsn, kind: RecordKind, payload: &[u8]) -> Description {
    match codec::decode(kind.get(), payload) {
        Ok(Some(record)) => Description::of(lsn, record),
        Ok(None) if kind == REPAIR_RECORD => match RepairRecord::decode(payload) {
            Some(repair) => Description {
                lsn,
                kind: Cow::Borrowed("store.repair"),
                what: What::Repair(repair),
            },
            None => unknown(
                lsn,
                kind,
                payload,
                "a repair in a form that this version does not know",
            ),
        },
        Ok(None) => unknown(lsn, kind, payload, "a kind that this version does not know"),
        Err(error) => unknown(lsn, kind, payload, &super::chain(&error)),
    }
}

fn unknown(lsn: Lsn, kind: RecordKind, payload: &[u8], why: &str) -> Description {
    Description {
        lsn,
        kind: Cow::Owned(format!("unknown({:#06x})", kind.get())),
        what: What::Unknown {
            why: why.to_owned(),
            payload: payload.to_vec(),
        },
    }
}

impl Description {
    /// Describes a record that is decoded already.
    pub fn of(lsn: Lsn, record: Record) -> Self {
        Description {
            lsn,
            kind: Cow::Borrowed(record.change.kind_name()),
            what: What::Record(record),
        }
    }

    /// The record; none if it could not be decoded, or is the note of a repair.
    pub fn record(&self) -> Option<&Record> {
        match &self.what {
            What::Record(record) => Some(record),
            What::Repair(_) | What::Unknown { .. } => None,
        }
    }

    /// When it was decided, in microseconds since the Unix epoch, if it says so.
    pub fn written_micros(&self) -> Option<u64> {
        self.record().map(|record| record.header.wall_clock_micros)
    }

    /// The region whose history it belongs to.
    pub fn region(&self) -> Option<RegionId> {
        self.record()?.header.region
    }

    /// Every region that it concerns, the children of a split among them.
    pub fn regions(&self) -> Vec<RegionId> {
        let Some(record) = self.record() else {
            return Vec::new();
        };
        let mut regions: Vec<RegionId> = record.header.region.into_iter().collect();
        regions.extend(record.change.also());
        if let Change::BarrierReached { floors, .. } = &record.change {
            regions.extend(floors.iter().map(|floor| floor.region));
        }
        if let Change::Observer(change) = &record.change {
            regions.extend(change.regions());
        }
        regions
    }

    /// Whether it concerns that region.
    pub fn concerns(&self, region: RegionId) -> bool {
        let Some(record) = self.record() else {
            return false;
        };
        record.header.region == Some(region)
            || match &record.change {
                Change::BarrierReached { floors, .. } => {
                    floors.iter().any(|floor| floor.region == region)
                }
                Change::Observer(change) => change.regions().contains(&region),
                change => change.also().contains(&region),
            }
    }

    /// This store's replica, if the record names it.
    pub fn peer(&self) -> Option<PeerId> {
        self.record().and_then(|record| data::peer(&record.change))
    }

    /// The incarnation that it made, or that was live before it.
    pub fn incarnation(&self) -> Option<Incarnation> {
        let record = self.record()?;
        let creates = matches!(
            record.change,
            Change::RegionBootstrapped { .. }
                | Change::BootstrapPrepared { .. }
                | Change::RegionRecovered { .. }
                | Change::PeerCreated { .. }
        );
        match creates {
            true => Some(Incarnation::new(self.lsn)),
            false => record.header.incarnation,
        }
    }

    /// The parts of the region's epoch that it states: `conf_ver`, `version`.
    pub fn epoch(&self) -> (Option<u64>, Option<u64>) {
        self.record()
            .map_or((None, None), |record| data::epoch(&record.change))
    }

    /// The parts of the epoch in one word: `c1.v2`, `v2` or `c1`; none if it states none.
    pub fn epoch_text(&self) -> Option<String> {
        match self.epoch() {
            (Some(conf_ver), Some(version)) => Some(format!("c{conf_ver}.v{version}")),
            (Some(conf_ver), None) => Some(format!("c{conf_ver}")),
            (None, Some(version)) => Some(format!("v{version}")),
            (None, None) => None,
        }
    }

    /// The region's previous record.
    pub fn previous(&self) -> Option<Lsn> {
        self.record()?.header.previous
    }

    /// Who asked.
    pub fn cause(&self) -> Option<Cause> {
        self.record().map(|record| record.header.cause)
    }

    /// Who asked, in a few characters; empty if the record does not say.
    pub fn cause_text(&self) -> String {
        self.cause().map_or(String::new(), text::cause)
    }

    /// The same as fields; `type` comes first.
    pub fn cause_fields(&self) -> Vec<Field> {
        self.cause().map_or(Vec::new(), data::cause)
    }

    /// What happened, on one line.
    pub fn detail(&self, keys: &KeyForm) -> String {
        match &self.what {
            What::Record(record) => text::change(&record.change, keys),
            What::Repair(repair) => text::repair(repair),
            What::Unknown { why, payload } => format!("{} bytes: {why}", payload.len()),
        }
    }

    /// The same as fields, in full.
    pub fn fields(&self) -> Vec<Field> {
        match &self.what {
            What::Record(record) => data::fields(&record.change),
            What::Repair(repair) => data::repair(repair),
            What::Unknown { why, payload } => {
                let bytes = FieldValue::Bytes(payload.clone());
                vec![field("why", why.clone()), field("payload", bytes)]
            }
        }
    }

    /// Whether it names that peer anywhere.
    pub fn names_peer(&self, peer: PeerId) -> bool {
        self.peer() == Some(peer) || any_names(&self.fields(), &PEER_FIELDS, peer.0)
    }

    /// Whether it names that store anywhere.
    pub fn names_store(&self, store: crate::StoreId) -> bool {
        any_names(&self.cause_fields(), &STORE_FIELDS, store.0)
            || any_names(&self.fields(), &STORE_FIELDS, store.0)
    }
}
