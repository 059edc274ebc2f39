//! Observers as the items of a checkpoint, and back.

use super::{Attachment, Observer, Observers};
use crate::lifecycle::{RegisterItem, RestoreError};
use crate::{Generation, RegionId};

impl Observers {
    /// Most attachments of one item.
    pub(crate) const PER_ITEM_MAX: usize = 1024;

    /// Whether there never was an observer.
    pub(in crate::lifecycle) fn is_untouched(&self) -> bool {
        (self.last_id, self.last_generation) == (0, 0)
    }

    /// The pieces, in the order in which [`Observers::restore`] takes them.
    pub(in crate::lifecycle) fn items(&self) -> impl Iterator<Item = RegisterItem> {
        let head = (!self.is_untouched()).then_some(RegisterItem::Observers {
            last_id: self.last_id,
            last_generation: self.last_generation,
        });
        let each = self.by_id.iter().flat_map(|(id, observer)| {
            let alone = Observer::without_attachments(
                observer.name.clone(),
                observer.ranges.clone(),
                observer.policy,
                observer.paused,
                observer.added,
            );
            let mut rest = observer.attachments.iter();
            let parts = std::iter::from_fn(move || {
                let some = rest.by_ref().take(Self::PER_ITEM_MAX);
                let some: Vec<_> = some.map(|(region, one)| (*region, one.clone())).collect();
                (!some.is_empty()).then_some(RegisterItem::Attachments(some))
            });
            std::iter::once(RegisterItem::Observer(*id, alone)).chain(parts)
        });
        head.into_iter().chain(each)
    }

    /// Takes back one piece.
    ///
    /// # Errors
    /// [`RestoreError::Order`] if it does not follow those before it; the observers are as before.
    pub(in crate::lifecycle) fn restore(&mut self, item: RegisterItem) -> Result<(), RestoreError> {
        let fits = match &item {
            RegisterItem::Observers { last_id, .. } => self.is_untouched() && *last_id > 0,
            RegisterItem::Observer(id, _) => {
                let last = self.by_id.last_key_value();
                last.is_none_or(|(last, _)| last < id) && (1..=self.last_id).contains(&id.0)
            }
            RegisterItem::Attachments(some) => self.may_follow(some),
            RegisterItem::Head(_)
            | RegisterItem::Slot(..)
            | RegisterItem::Deletion(..)
            | RegisterItem::Reservation(..)
            | RegisterItem::Retiring(..) => false,
        };
        if !fits {
            return Err(RestoreError::Order);
        }
        match item {
            RegisterItem::Observers {
                last_id,
                last_generation,
            } => {
                self.last_id = last_id;
                self.last_generation = last_generation;
            }
            RegisterItem::Observer(id, observer) => drop(self.all_mut().insert(id, observer)),
            RegisterItem::Attachments(some) => {
                if let Some(mut last) = self.all_mut().last_entry() {
                    last.get_mut().attachments.extend(some);
                }
            }
            RegisterItem::Head(_)
            | RegisterItem::Slot(..)
            | RegisterItem::Deletion(..)
            | RegisterItem::Reservation(..)
            | RegisterItem::Retiring(..) => {}
        }
        Ok(())
    }

    fn may_follow(&self, some: &[(RegionId, Attachment)]) -> bool {
        let Some((_, observer)) = self.by_id.last_key_value() else {
            return false;
        };
        let last = observer
            .attachments
            .last_key_value()
            .map(|(region, _)| *region);
        let regions = some.iter().map(|(region, _)| Some(*region));
        let are_ascending = std::iter::once(last)
            .chain(regions)
            .is_sorted_by(|a, b| a < b);
        let highest = Generation(self.last_generation);
        !some.is_empty() && are_ascending && some.iter().all(|(_, one)| one.generation <= highest)
    }
}
