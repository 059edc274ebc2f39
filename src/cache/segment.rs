//! `Segment`: some hundred sorted keys with their versions, packed and never changed.
//!
//! ```text
//! entry    key length, key, version, version …                       lengths are varints
//! version  length ×8 + is below floor ×4 + is deletion ×2 + more follow, [sequence], value
//! ```
//!
//! Entries lie one behind the other. Over them lie groups of sixteen keys: their heads and where
//! their entries start, in three cache lines; over the groups the head of each group's first key.
//! A lookup searches the group heads (hot: four bytes of them per key of the region lie in the
//! processor's cache), then one group, then touches one entry. Keys are stored whole: sharing
//! prefixes would save a tenth of the memory at 100-byte values, and cost every scan a copy of
//! each key. So rows are handed out as slices, without a copy.
//!
//! A version at or below the *floor*, the oldest sequence that may be read, is seen by every reader;
//! its own sequence is not kept.
//!
//! Invariants
//! * Keys ascend; the versions of a key descend; a segment has at least one key.
//! * What it takes is charged to the meter from its making to its end.

use std::fmt;
use std::sync::Arc;

use super::head::{self, head};
use super::meter::{CacheMeter, Charge};
use super::varint;
use crate::Sequence;

/// Keys in a group.
const GROUP_KEYS: usize = 16;
/// Keys in a segment, at most.
pub(super) const SEGMENT_KEYS_MAX: usize = 1024;
/// A segment that has that many bytes of entries takes no further key.
pub(super) const SEGMENT_BYTES_FULL: usize = 256 * 1024;

const MORE: u64 = 1;
const DELETION: u64 = 2;
const BELOW_FLOOR: u64 = 4;
const FLAG_BITS: u32 = 3;

/// A segment is read back as it was built; anything else is a fault of this file.
const PACKED: &str = "a segment is read as it was packed";

/// Sixteen keys: what a search needs of them lies together.
#[derive(Debug)]
#[repr(align(64))]
struct Group {
    heads: [u64; GROUP_KEYS],
    offsets: [u32; GROUP_KEYS],
}

/// Sorted keys with their versions, packed.
pub(super) struct Segment {
    bytes: Box<[u8]>,
    groups: Box<[Group]>,
    group_heads: Box<[u64]>,
    /// Bytes that all keys share.
    prefix: Box<[u8]>,
    keys: usize,
    versions: usize,
    /// Whether a rise of the floor would let something go.
    collectable: bool,
    charge: Charge,
}

/// One version: its sequence ([`Sequence::ZERO`] if every reader sees it) and value; a value of
/// `None` is a deletion.
pub(super) type PackedVersion<'a> = (Sequence, Option<&'a [u8]>);

impl Segment {
    /// How many keys it has.
    pub(super) fn keys(&self) -> usize {
        self.keys
    }

    /// How many versions.
    pub(super) fn versions(&self) -> usize {
        self.versions
    }

    /// Bytes of memory.
    pub(super) fn bytes(&self) -> u64 {
        self.charge.bytes()
    }

    /// Whether it holds versions that a higher floor makes unreadable.
    pub(super) fn is_collectable(&self) -> bool {
        self.collectable
    }

    /// The `at`th key, in order; `at` is below [`keys`](Self::keys).
    #[inline]
    pub(super) fn key(&self, at: usize) -> &[u8] {
        self.entry(at).0
    }

    pub(super) fn first_key(&self) -> &[u8] {
        self.key(0)
    }

    pub(super) fn last_key(&self) -> &[u8] {
        self.key(self.keys - 1)
    }

    /// The `at`th key and its packed versions (with what follows them).
    #[inline]
    fn entry(&self, at: usize) -> (&[u8], &[u8]) {
        let group = self.groups.get(at / GROUP_KEYS).expect(PACKED);
        let offset = *group.offsets.get(at % GROUP_KEYS).expect(PACKED);
        let entry = self.bytes.get(offset as usize..).expect(PACKED);
        let (key_bytes, rest) = varint::take(entry).expect(PACKED);
        rest.split_at_checked(key_bytes as usize).expect(PACKED)
    }

    /// The `at`th key with its newest version at or below `sequence`, if it has one.
    #[inline]
    pub(super) fn row(&self, at: usize, sequence: Sequence) -> (&[u8], Option<PackedVersion<'_>>) {
        let (key, packed) = self.entry(at);
        let mut versions = Versions::new(packed);
        // The first is almost always the one.
        (key, versions.find(|(found, _)| *found <= sequence))
    }

    /// The `at`th key with all its versions, newest first.
    pub(super) fn all(&self, at: usize) -> (&[u8], Versions<'_>) {
        let (key, packed) = self.entry(at);
        (key, Versions::new(packed))
    }

    /// The newest version of `key` at or below `sequence`.
    #[inline]
    pub(super) fn get(&self, key: &[u8], sequence: Sequence) -> Option<PackedVersion<'_>> {
        let wanted = head(&self.prefix, key);
        let first_key_of = |group: usize| self.key(group * GROUP_KEYS);
        let at = head::upper_bound(&self.group_heads, wanted, key, first_key_of).checked_sub(1)?;
        let (start, heads) = self.group(at)?;
        let (first, end) = head::ties(heads, wanted);
        for tie in first..end {
            let (found, packed) = self.entry(start + tie);
            if found == key {
                return Versions::new(packed).find(|(found, _)| *found <= sequence);
            }
        }
        None
    }

    /// How many keys are below `key`.
    pub(super) fn lower_bound(&self, key: &[u8]) -> usize {
        let wanted = head(&self.prefix, key);
        let first_key_of = |group: usize| self.key(group * GROUP_KEYS);
        let groups = head::lower_bound(&self.group_heads, wanted, key, first_key_of);
        // The groups before the last of these lie below as a whole.
        let Some((start, heads)) = groups.checked_sub(1).and_then(|last| self.group(last)) else {
            return 0;
        };
        start + head::lower_bound(heads, wanted, key, |at| self.key(start + at))
    }

    /// Number of a group's first key, and the heads of its keys.
    #[inline]
    fn group(&self, at: usize) -> Option<(usize, &[u64])> {
        let start = at * GROUP_KEYS;
        let keys = self.keys.checked_sub(start)?.min(GROUP_KEYS);
        Some((start, self.groups.get(at)?.heads.get(..keys)?))
    }
}

impl fmt::Debug for Segment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Segment")
            .field("keys", &self.keys)
            .field("versions", &self.versions)
            .field("bytes", &self.bytes())
            .finish_non_exhaustive()
    }
}

/// The versions of one key, newest first.
pub(super) struct Versions<'a> {
    /// `None` behind the last.
    packed: Option<&'a [u8]>,
}

impl<'a> Versions<'a> {
    #[inline]
    fn new(packed: &'a [u8]) -> Self {
        Versions {
            packed: Some(packed),
        }
    }
}

impl<'a> Iterator for Versions<'a> {
    type Item = PackedVersion<'a>;

    #[inline]
    fn next(&mut self) -> Option<PackedVersion<'a>> {
        let (tag, mut rest) = varint::take(self.packed?).expect(PACKED);
        let mut sequence = Sequence::ZERO;
        if tag & BELOW_FLOOR == 0 {
            let (number, after) = varint::take(rest).expect(PACKED);
            (sequence, rest) = (Sequence::new(number), after);
        }
        let value_bytes = (tag >> FLAG_BITS) as usize;
        let (value, rest) = rest.split_at_checked(value_bytes).expect(PACKED);
        self.packed = (tag & MORE != 0).then_some(rest);
        Some((sequence, (tag & DELETION == 0).then_some(value)))
    }
}

/// Packs one segment, key by key.
#[derive(Debug)]
pub(super) struct SegmentBuilder {
    floor: Sequence,
    bytes: Vec<u8>,
    offsets: Vec<u32>,
    versions: usize,
    collectable: bool,
}

impl SegmentBuilder {
    /// For readers at or above `floor`.
    pub(super) fn new(floor: Sequence) -> Self {
        SegmentBuilder {
            floor,
            bytes: Vec::new(),
            offsets: Vec::new(),
            versions: 0,
            collectable: false,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.offsets.is_empty()
    }

    /// Whether it takes no further key.
    pub(super) fn is_full(&self) -> bool {
        self.offsets.len() >= SEGMENT_KEYS_MAX || self.bytes.len() >= SEGMENT_BYTES_FULL
    }

    /// Whether it is too small to stand alone beside neighbours.
    pub(super) fn is_small(&self) -> bool {
        self.offsets.len() < SEGMENT_KEYS_MAX / 4 && self.bytes.len() < SEGMENT_BYTES_FULL / 4
    }

    /// Adds the next key with its versions, newest first; those that no reader at or above the floor
    /// can see are left out, and so is a key of which nothing is left.
    pub(super) fn push<'a>(
        &mut self,
        key: &[u8],
        versions: impl Iterator<Item = PackedVersion<'a>>,
    ) {
        let start = self.bytes.len();
        let mut last_tag = None;
        let mut kept = 0;
        for (sequence, value) in versions {
            let below = sequence <= self.floor;
            // Nothing lies under it that it would have to hide.
            if below && value.is_none() {
                break;
            }
            if kept == 0 {
                varint::put(&mut self.bytes, key.len() as u64);
                self.bytes.extend_from_slice(key);
            } else if let Some(tag) = last_tag.and_then(|tag: usize| self.bytes.get_mut(tag)) {
                *tag |= MORE as u8;
            }
            last_tag = Some(self.bytes.len());
            let bytes = value.unwrap_or_default();
            let mut tag = (bytes.len() as u64) << FLAG_BITS;
            tag |= if value.is_none() { DELETION } else { 0 };
            tag |= if below { BELOW_FLOOR } else { 0 };
            varint::put(&mut self.bytes, tag);
            if !below {
                varint::put(&mut self.bytes, sequence.get());
                self.collectable |= value.is_none();
            }
            self.bytes.extend_from_slice(bytes);
            kept += 1;
            if below {
                break;
            }
        }
        if kept > 0 {
            // A segment is full long before that.
            let offset = u32::try_from(start).expect("a full segment takes no further key");
            self.offsets.push(offset);
            self.versions += kept;
            self.collectable |= kept > 1;
        }
    }

    /// The segment, charged to the meter; none if it has no key. The builder is empty afterwards.
    pub(super) fn finish(&mut self, meter: &CacheMeter) -> Option<Arc<Segment>> {
        let keys = self.offsets.len();
        if keys == 0 {
            return None;
        }
        let bytes: Box<[u8]> = self.bytes.as_slice().into();
        let key_at = |offset: &u32| -> &[u8] {
            let entry = bytes.get(*offset as usize..).expect(PACKED);
            let (key_bytes, rest) = varint::take(entry).expect(PACKED);
            rest.get(..key_bytes as usize).expect(PACKED)
        };
        let (first, last) = (self.offsets.first()?, self.offsets.last()?);
        let (first, last) = (key_at(first), key_at(last));
        let (prefix, _) = first.split_at(head::shared_bytes(first, last));
        let groups: Box<[Group]> = self
            .offsets
            .chunks(GROUP_KEYS)
            .map(|chunk| {
                let mut group = Group {
                    heads: [u64::MAX; GROUP_KEYS],
                    offsets: [0; GROUP_KEYS],
                };
                let places = group.heads.iter_mut().zip(&mut group.offsets);
                for ((to_head, to_offset), offset) in places.zip(chunk) {
                    (*to_head, *to_offset) = (head(prefix, key_at(offset)), *offset);
                }
                group
            })
            .collect();
        let group_heads: Box<[u64]> = groups.iter().map(|group| group.heads[0]).collect();
        let prefix: Box<[u8]> = prefix.into();
        // Two counts before the segment in its `Arc`, and its place in a list.
        let fixed = size_of::<Segment>() + 2 * size_of::<usize>() + 2 * size_of::<u64>();
        let taken =
            fixed + bytes.len() + prefix.len() + size_of_val(&*groups) + size_of_val(&*group_heads);
        let segment = Segment {
            groups,
            group_heads,
            prefix,
            keys,
            versions: std::mem::take(&mut self.versions),
            collectable: std::mem::take(&mut self.collectable),
            charge: meter.charge(taken as u64),
            bytes,
        };
        self.bytes.clear();
        self.offsets.clear();
        Some(Arc::new(segment))
    }
}
