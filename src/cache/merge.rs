//! Merging: a new base out of an old one and what was written since.
//!
//! Segments that nothing was written to are shared, not copied. What no reader at or above the floor
//! can see is left out: older readers hold the layers that they took.

use std::cmp::Reverse;

use super::base::{Base, BaseBuilder};
use super::layers::{Families, Layers};
use super::meter::CacheMeter;
use super::run::RunEntry;
use super::segment::Segment;
use crate::store::ColumnFamily;
use crate::{KeyRange, Sequence};

/// The packed versions of `layers` that lie in `range`, with those of its frozen runs.
pub(super) fn merge(
    layers: &Layers,
    range: &KeyRange,
    floor: Sequence,
    meter: &CacheMeter,
) -> Families {
    let frozen = layers.frozen.iter().flat_map(|run| run.entries());
    let mut written: Vec<&RunEntry> = frozen.filter(|entry| range.contains(&entry.key)).collect();
    written.sort_by_key(|entry| (entry.cf, &*entry.key, Reverse(entry.sequence)));
    let mut families: Vec<ColumnFamily> = layers.families.iter().map(|(cf, _)| *cf).collect();
    families.extend(written.iter().map(|entry| entry.cf));
    families.sort_unstable();
    families.dedup();
    let merged = families.into_iter().map(|cf| {
        let first = written.partition_point(|entry| entry.cf < cf);
        let end = written.partition_point(|entry| entry.cf <= cf);
        let written = written.get(first..end).unwrap_or_default();
        let mut builder = BaseBuilder::new(floor, meter);
        merge_family(layers.base(cf), range, written, &mut builder);
        (cf, builder.finish())
    });
    merged
        .filter(|(_, base)| !base.segments().is_empty())
        .collect()
}

fn merge_family(
    base: Option<&Base>,
    range: &KeyRange,
    mut written: &[&RunEntry],
    builder: &mut BaseBuilder,
) {
    let segments: Vec<_> = base
        .into_iter()
        .flat_map(|base| base.within(range))
        .collect();
    for (at, (segment, keys)) in segments.iter().enumerate() {
        let next_first = segments.get(at + 1).map(|(next, _)| next.first_key());
        let here =
            written.partition_point(|entry| next_first.is_none_or(|next| *entry.key < *next));
        let (of_segment, rest) = written.split_at(here);
        written = rest;
        if of_segment.is_empty() {
            let whole = *keys == segment.keys();
            if !(whole && builder.share(segment)) {
                builder.repack(segment, range);
            }
        } else {
            merge_segment(segment, range, of_segment, builder);
        }
    }
    push_written(written, builder);
}

fn merge_segment(
    segment: &Segment,
    range: &KeyRange,
    mut written: &[&RunEntry],
    builder: &mut BaseBuilder,
) {
    let from = segment.lower_bound(range.start());
    let to = range
        .end()
        .map_or(segment.keys(), |end| segment.lower_bound(end));
    for at in from..to {
        let (key, packed) = segment.all(at);
        let before = written.partition_point(|entry| *entry.key < *key);
        let (new_keys, rest) = written.split_at(before);
        push_written(new_keys, builder);
        let same = rest.iter().take_while(|entry| *entry.key == *key).count();
        let (same, rest) = rest.split_at(same);
        written = rest;
        builder.push(key, versions(same).chain(packed));
    }
    push_written(written, builder);
}

/// Adds keys that the base does not have.
fn push_written(written: &[&RunEntry], builder: &mut BaseBuilder) {
    for of_key in written.chunk_by(|a, b| a.key == b.key) {
        if let Some(first) = of_key.first() {
            builder.push(&first.key, versions(of_key));
        }
    }
}

fn versions<'a>(
    entries: &'a [&'a RunEntry],
) -> impl Iterator<Item = super::segment::PackedVersion<'a>> {
    entries.iter().map(|entry| (entry.sequence, entry.value()))
}
