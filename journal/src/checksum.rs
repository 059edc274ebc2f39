//! The seed that binds every checksum of a segment to its store, file, lap and place.
//!
//! A checksum here is the CRC-32 of `store ‖ segment id ‖ salt ‖ file offset ‖ bytes`. Bytes that
//! were copied from another store, another segment, an earlier use of the same file or another
//! offset therefore do not verify, although each of them is intact.

use crc32fast::Hasher;

use crate::ids::{SegmentId, StoreUuid};

/// The part of the seed that is the same for a whole segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Seed(u32);

impl Seed {
    pub(crate) fn new(store: StoreUuid, segment: SegmentId, salt: u64) -> Self {
        let mut hasher = Hasher::new();
        hasher.update(&store.0);
        hasher.update(&segment.get().to_le_bytes());
        hasher.update(&salt.to_le_bytes());
        Seed(hasher.finalize())
    }

    /// Starts a checksum of bytes that lie at `offset_bytes` of the file.
    pub(crate) fn at(self, offset_bytes: u64) -> Hasher {
        let mut hasher = Hasher::new_with_initial(self.0);
        hasher.update(&offset_bytes.to_le_bytes());
        hasher
    }

    /// The checksum of `bytes` that lie at `offset_bytes` of the file.
    pub(crate) fn sum(self, offset_bytes: u64, bytes: &[u8]) -> u32 {
        let mut hasher = self.at(offset_bytes);
        hasher.update(bytes);
        hasher.finalize()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checksum_is_the_crc_of_the_seed_fields_and_the_bytes() {
        let store = StoreUuid([7; 16]);
        let mut whole = vec![7; 16];
        whole.extend(3u64.to_le_bytes());
        whole.extend(99u64.to_le_bytes());
        whole.extend(8192u64.to_le_bytes());
        whole.extend(b"payload");
        let seed = Seed::new(store, SegmentId::new(3), 99);
        assert_eq!(seed.sum(8192, b"payload"), crc32fast::hash(&whole));
    }

    #[test]
    fn store_segment_salt_and_offset_each_change_the_checksum() {
        let sum = |store: u8, segment, salt, offset| {
            Seed::new(StoreUuid([store; 16]), SegmentId::new(segment), salt).sum(offset, b"bytes")
        };
        let base = sum(1, 2, 3, 4096);
        for other in [
            sum(2, 2, 3, 4096),
            sum(1, 3, 3, 4096),
            sum(1, 2, 4, 4096),
            sum(1, 2, 3, 8192),
        ] {
            assert_ne!(base, other);
        }
    }
}
