//! Who owned a key, through time.

use std::ops::ControlFlow;

use torrens_journal::Lsn;

use super::diff::owner_text;
use super::fold::{Folded, HistoryReader, Step};
use super::timeline::Instant;
use super::{InspectError, Inspector};
use crate::KeyRange;
use crate::lifecycle::{Owner, Register};

/// A time in which a key had one owner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ownership {
    /// The record that gave it the key; where the history that is left begins for the first.
    pub from: Instant,
    /// The kind of that record; empty for the first.
    pub kind: &'static str,
    /// The last record while it had the key; none if it has it still.
    pub to: Option<Lsn>,
    /// The owner; none if nobody did.
    pub owner: Option<Owner>,
    /// The owner in words.
    pub text: String,
    /// The range that the owner had when it got the key; none if nobody did.
    pub range: Option<KeyRange>,
}

struct Reader<'k> {
    key: &'k [u8],
    ownerships: Vec<Ownership>,
}

impl Inspector {
    /// Who owned `key`, from the begin of the history that is left up to `until`.
    ///
    /// # Errors
    /// As [`Inspector::look`].
    pub fn owners(
        &self,
        key: &[u8],
        until: Option<Lsn>,
    ) -> Result<(Vec<Ownership>, Folded), InspectError> {
        let (reader, folded) = self.fold(until, |start, register| {
            let mut reader = Reader {
                key,
                ownerships: Vec::new(),
            };
            let from = Instant {
                lsn: start,
                micros: 0,
            };
            reader.see(register, from, "");
            reader
        })?;
        Ok((reader.ownerships, folded))
    }
}

impl Reader<'_> {
    fn see(&mut self, register: &Register, from: Instant, kind: &'static str) {
        let owner = register.owner_at(self.key);
        if self
            .ownerships
            .last()
            .is_some_and(|last| last.owner == owner)
        {
            return;
        }
        if let Some(last) = self.ownerships.last_mut() {
            last.to = Some(Lsn::new(from.lsn.get().saturating_sub(1)));
        }
        let range = owner.and_then(|_| {
            let mut owned = register.owners();
            owned.find_map(|(range, _)| range.contains(self.key).then_some(range))
        });
        self.ownerships.push(Ownership {
            from,
            kind,
            to: None,
            owner,
            text: owner.map_or("nobody".to_owned(), |owner| owner_text(register, owner)),
            range,
        });
    }
}

impl HistoryReader for Reader<'_> {
    fn after(&mut self, register: &Register, step: &Step<'_>) -> ControlFlow<()> {
        if let Some(record) = step.record {
            let from = Instant {
                lsn: step.item.record.lsn,
                micros: record.header.wall_clock_micros,
            };
            self.see(register, from, record.change.kind_name());
        }
        ControlFlow::Continue(())
    }
}
