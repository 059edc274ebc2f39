//! Variable-length numbers inside a segment: seven bits a byte, low bits first.
//!
//! Never leaves the process, so there is no format to keep.

pub(super) fn put(bytes: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}

/// The number at the start of `bytes`, and what follows it.
#[inline]
pub(super) fn take(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let (first, rest) = bytes.split_first()?;
    if *first < 0x80 {
        return Some((u64::from(*first), rest));
    }
    // Most lengths have two bytes.
    let (second, after) = rest.split_first()?;
    let low = u64::from(*first & 0x7f) | u64::from(*second & 0x7f) << 7;
    match *second < 0x80 {
        true => Some((low, after)),
        false => take_more(low, after),
    }
}

fn take_more(low: u64, mut bytes: &[u8]) -> Option<(u64, &[u8])> {
    let (mut number, mut shift) = (low, 14);
    loop {
        let (byte, rest) = bytes.split_first()?;
        bytes = rest;
        number |= u64::from(*byte & 0x7f).checked_shl(shift)?;
        if *byte < 0x80 {
            return Some((number, bytes));
        }
        shift += 7;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_every_length_come_back() {
        for shift in 0..64 {
            for number in [1_u64 << shift, (1 << shift) - 1, u64::MAX >> shift] {
                let mut bytes = Vec::new();
                put(&mut bytes, number);
                bytes.push(7);
                assert_eq!(take(&bytes), Some((number, &[7][..])));
                bytes.truncate(bytes.len() - 2);
                assert_eq!(take(&bytes), None, "cut short");
            }
        }
    }
}
