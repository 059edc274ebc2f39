//! The records and gaps that a selection wants, in order: what a dump is made of.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use torrens_recovery::{Gap, Item, RecordItem, RecoveryReport};

use super::fold::{HistoryReader, Step};
use super::select::Resolved;
use super::{Description, InspectError, Inspector, Selection, describe};
use crate::RegionId;
use crate::lifecycle::Register;

/// One thing that was wanted.
#[derive(Debug)]
#[non_exhaustive]
pub enum Selected<'a> {
    /// A record.
    Record {
        /// Where it lies and what is known of it.
        item: RecordItem<'a>,
        /// What it says.
        description: &'a Description,
    },
    /// A place where the history does not go on.
    Gap(Gap),
}

type Visit<'v> = &'v mut dyn FnMut(Selected<'_>) -> ControlFlow<()>;

impl Inspector {
    /// Gives the records that `selection` wants to `visit`, in order, with the gaps between them. Memory
    /// does not grow with the number of records.
    ///
    /// # Errors
    /// As [`Inspector::look`], and for what the selection names. Damage is a gap on the way and a verdict
    /// in the report.
    pub fn select(
        &self,
        selection: &Selection,
        visit: Visit<'_>,
    ) -> Result<RecoveryReport, InspectError> {
        let resolved = self.resolve_selection(selection)?;
        if resolved.wants_keys() {
            return self.select_by_key(&resolved, visit);
        }
        self.records(resolved.lsns.first, &mut |item| match item {
            Item::Record(item) => pass(&resolved, item, visit),
            Item::Gap(gap) => visit(Selected::Gap(gap)),
            // What a later library may meet on the way.
            _ => ControlFlow::Continue(()),
        })
    }

    /// Whose keys a record touches is known only when the history is folded.
    fn select_by_key(
        &self,
        resolved: &Resolved,
        visit: Visit<'_>,
    ) -> Result<RecoveryReport, InspectError> {
        let visit = std::cell::RefCell::new(visit);
        let (_, folded) = self.fold(None, |_, _| ByKey {
            resolved,
            owners: BTreeSet::new(),
            visit: &visit,
        })?;
        Ok(folded.report)
    }
}

/// Gives a record on if it is wanted; behind the last one that can be, the walk is over.
fn pass(resolved: &Resolved, item: RecordItem<'_>, visit: Visit<'_>) -> ControlFlow<()> {
    if resolved.is_past(&item) {
        return ControlFlow::Break(());
    }
    if !resolved.may_want(&item) {
        return ControlFlow::Continue(());
    }
    let record = &item.record;
    let description = describe(record.lsn, record.kind, record.payload);
    match resolved.wants(&item, &description) {
        true => visit(Selected::Record {
            item,
            description: &description,
        }),
        false => ControlFlow::Continue(()),
    }
}

struct ByKey<'s, 'v> {
    resolved: &'s Resolved,
    /// The regions that own one of the keys right before the record, and right after it.
    owners: BTreeSet<RegionId>,
    visit: &'s std::cell::RefCell<Visit<'v>>,
}

impl ByKey<'_, '_> {
    fn give(&mut self, item: &RecordItem<'_>) -> ControlFlow<()> {
        if self.resolved.is_past(item) {
            return ControlFlow::Break(());
        }
        if !self.resolved.may_want(item) {
            return ControlFlow::Continue(());
        }
        let record = &item.record;
        let description = describe(record.lsn, record.kind, record.payload);
        let owns = description
            .regions()
            .iter()
            .any(|region| self.owners.contains(region));
        if !owns || !self.resolved.wants(item, &description) {
            return ControlFlow::Continue(());
        }
        let item = *item;
        (self.visit.borrow_mut())(Selected::Record {
            item,
            description: &description,
        })
    }
}

impl HistoryReader for ByKey<'_, '_> {
    fn before(&mut self, register: &Register, _: &Step<'_>) {
        self.owners.clear();
        self.resolved.owners(register, &mut self.owners);
    }

    fn after(&mut self, register: &Register, step: &Step<'_>) -> ControlFlow<()> {
        self.resolved.owners(register, &mut self.owners);
        self.give(&step.item)
    }

    fn gap(&mut self, gap: &Gap) -> ControlFlow<()> {
        (self.visit.borrow_mut())(Selected::Gap(gap.clone()))
    }

    /// Behind a gap the last owners that are known stand.
    fn behind(&mut self, item: &RecordItem<'_>) -> ControlFlow<()> {
        self.give(item)
    }
}
