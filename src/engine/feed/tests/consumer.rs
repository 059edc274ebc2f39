//! A consumer that copies what it is told, and demands of every item what is promised.
//!
//! Not here: when it dies (`super`).

use std::collections::{BTreeMap, BTreeSet};

use super::Rows;
use crate::RegionId;
use crate::engine::feed::Ack;
use crate::lifecycle::{INITIAL_INDEX, Observers};
use crate::observe::feed::FeedItem;
use crate::observe::{ChangeOp, Generation, LineageEvent, ObserverId};

/// A consumer: what it has durably, and what it has done since.
#[derive(Clone, Debug, Default)]
pub(super) struct Consumer {
    pub(super) rows: Rows,
    /// How far it is in each region.
    pub(super) positions: BTreeMap<RegionId, u64>,
    pub(super) generations: BTreeMap<RegionId, Generation>,
    /// How many entries it was told of a second time under one generation.
    repeats: u64,
    pub(super) events: Vec<&'static str>,
    /// The last whole entry and the last progress of each generation.
    told: BTreeMap<Generation, (u64, u64)>,
    /// Generations of which nothing more may come.
    ended: BTreeSet<Generation>,
}

impl Consumer {
    pub(super) fn take(&mut self, item: &FeedItem) {
        if std::env::var_os("TRACE_FEED").is_some() {
            let text = format!("{item:?}");
            println!("  {}", text.chars().take(150).collect::<String>());
        }
        self.demand(item);
        match item {
            FeedItem::Attached {
                region, generation, ..
            } => {
                self.generations.insert(*region, *generation);
            }
            FeedItem::Entry(entry) => {
                assert_eq!(Some(&entry.generation), self.generations.get(&entry.region));
                let known = self.positions.get(&entry.region).copied().unwrap_or(0);
                if entry.position.index <= known {
                    self.repeats += 1;
                    return;
                }
                for change in &entry.changes {
                    apply(&mut self.rows, &change.change.op, change.change.cf.number());
                }
                if entry.is_last {
                    self.positions.insert(entry.region, entry.position.index);
                }
            }
            FeedItem::Event(event) => {
                let known = self.positions.entry(event.region).or_insert(0);
                let is_new = event.position.index > *known;
                *known = (*known).max(event.position.index);
                self.events.push(event.event.as_str());
                if let LineageEvent::Split { children, .. } = &event.event
                    && is_new
                {
                    for child in children {
                        // Nothing of a part before its whole.
                        let part = self.positions.get(&child.region).copied().unwrap_or(0);
                        assert!(
                            part <= INITIAL_INDEX,
                            "{part} of {}: {event:?}",
                            child.region
                        );
                    }
                }
            }
            FeedItem::Progress { region, index, .. } => {
                let known = self.positions.get(region).copied().unwrap_or(0);
                // What it had not acknowledged durably is told again, and so is its progress.
                self.positions.insert(*region, known.max(*index));
            }
            FeedItem::Reset {
                region,
                range,
                index,
                is_scanned,
                ..
            } => {
                self.rows.retain(|(_, key), _| !range.contains(key));
                match is_scanned {
                    // With the last of its rows.
                    true => self.positions.remove(region),
                    false => self.positions.insert(*region, *index),
                };
            }
            FeedItem::Rows {
                region,
                rows,
                index,
                is_last,
                ..
            } => {
                if *is_last {
                    self.positions.insert(*region, *index);
                }
                for row in rows {
                    let key = (row.cf.number(), row.key.to_vec());
                    self.rows.insert(key, row.value.to_vec());
                }
            }
            FeedItem::Detached { .. } => {}
            FeedItem::SnapshotApplied { .. } => self.events.push("snapshot"),
            FeedItem::Invalidated { .. } => self.events.push("invalidated"),
        }
    }

    /// Within a generation indexes rise, an entry comes before its progress, and an end is the last.
    fn demand(&mut self, item: &FeedItem) {
        let generation = item.generation();
        // A loss is told until the consumer chose.
        let is_loss = matches!(
            item,
            FeedItem::Invalidated { .. } | FeedItem::SnapshotApplied { .. }
        );
        let is_over = self.ended.contains(&generation) && !is_loss;
        assert!(!is_over, "behind its end: {item:?}");
        let (last, progress) = self.told.get(&generation).copied().unwrap_or_default();
        let told = match item {
            FeedItem::Attached { after, .. } => {
                assert!(!self.told.contains_key(&generation), "twice: {item:?}");
                (*after, *after)
            }
            FeedItem::Entry(entry) => {
                let index = entry.position.index;
                assert!(
                    index > last && index > progress,
                    "{last}, {progress}: {item:?}"
                );
                (if entry.is_last { index } else { last }, progress)
            }
            FeedItem::Event(event) => {
                assert!(event.position.index >= last, "{last}: {item:?}");
                (event.position.index, progress)
            }
            FeedItem::Progress { index, .. } => {
                assert!(
                    *index >= last && *index > progress,
                    "{last}, {progress}: {item:?}"
                );
                (last, *index)
            }
            FeedItem::Reset { index, .. } | FeedItem::Rows { index, .. } => (*index, *index),
            FeedItem::Detached { .. }
            | FeedItem::SnapshotApplied { .. }
            | FeedItem::Invalidated { .. } => {
                self.ended.insert(generation);
                (last, progress)
            }
        };
        self.told.insert(generation, told);
    }

    pub(super) fn acks(&self, published: &Observers, observer: ObserverId) -> Vec<Ack> {
        let positions = self.positions.iter().filter_map(|(region, index)| {
            let attachment = published.attachment(observer, *region)?;
            let generation = *self.generations.get(region)?;
            // What it has from before a scan is not of this generation until it was told that it begins anew.
            let (last, progress) = self.told.get(&generation).copied().unwrap_or_default();
            let is_current = attachment.is_attached()
                && attachment.generation == generation
                && *index <= last.max(progress);
            (is_current && attachment.acked < *index).then_some(Ack {
                region: *region,
                generation,
                index: *index,
            })
        });
        positions.collect()
    }
}

fn apply(rows: &mut Rows, op: &ChangeOp, cf: u8) {
    match op {
        ChangeOp::Put { key, value } => {
            rows.insert((cf, key.to_vec()), value.to_vec());
        }
        ChangeOp::Delete { key } => {
            rows.remove(&(cf, key.to_vec()));
        }
        ChangeOp::DeleteRange { range } => {
            rows.retain(|(family, key), _| *family != cf || !range.contains(key));
        }
    }
}
