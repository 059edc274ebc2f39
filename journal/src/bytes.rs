//! Little-endian fields at fixed places of a byte slice.
//!
//! Reading out of bounds is `None`: the slice may come from a damaged file. Writing out of bounds
//! is a broken promise of this crate, because every buffer that we encode into has a fixed size.

/// The `N` bytes at `offset`, if the slice has them.
fn field<const N: usize>(bytes: &[u8], offset: usize) -> Option<[u8; N]> {
    bytes.get(offset..)?.first_chunk::<N>().copied()
}

pub(crate) fn u16_at(bytes: &[u8], offset: usize) -> Option<u16> {
    field(bytes, offset).map(u16::from_le_bytes)
}

pub(crate) fn u32_at(bytes: &[u8], offset: usize) -> Option<u32> {
    field(bytes, offset).map(u32::from_le_bytes)
}

pub(crate) fn u64_at(bytes: &[u8], offset: usize) -> Option<u64> {
    field(bytes, offset).map(u64::from_le_bytes)
}

pub(crate) fn array_at<const N: usize>(bytes: &[u8], offset: usize) -> Option<[u8; N]> {
    field(bytes, offset)
}

/// Copies `value` to `offset`.
pub(crate) fn put(buffer: &mut [u8], offset: usize, value: &[u8]) {
    buffer
        .get_mut(offset..)
        .and_then(|rest| rest.get_mut(..value.len()))
        .expect("a buffer that we encode into holds every field")
        .copy_from_slice(value);
}

/// Whether every byte is zero.
pub(crate) fn is_zero(bytes: &[u8]) -> bool {
    // Sixteen bytes at a time: the tail of a segment is read this way at every opening.
    let (chunks, rest) = bytes.as_chunks::<16>();
    chunks.iter().all(|chunk| u128::from_ne_bytes(*chunk) == 0)
        && rest.iter().all(|byte| *byte == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_past_the_end_is_none() {
        assert_eq!(u32_at(&[1, 0, 0, 0, 9], 0), Some(1));
        assert_eq!(u32_at(&[1, 0, 0, 0, 9], 2), None);
        assert_eq!(u64_at(&[0; 8], usize::MAX), None);
    }

    #[test]
    fn one_set_bit_anywhere_is_not_zero() {
        let mut bytes = [0u8; 35];
        assert!(is_zero(&bytes));
        for position in 0..bytes.len() {
            bytes[position] = 0x10;
            assert!(!is_zero(&bytes), "byte {position}");
            bytes[position] = 0;
        }
    }
}
