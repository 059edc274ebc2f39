//! Heads: the first eight bytes of a key that tell it from its neighbours, as one number.
//!
//! Sorted keys in one place share a prefix; what follows it decides almost every comparison. Heads
//! lie side by side, so a search compares numbers in a few cache lines instead of following a
//! pointer to each key it looks at.
//!
//! Invariant: for any prefix, `a <= b` implies `head(a) <= head(b)`. Equal heads say nothing; whoever
//! finds a tie compares the keys.

/// The head of `key` behind `prefix`; a key without the prefix gets the lowest or highest head.
#[inline]
pub(super) fn head(prefix: &[u8], key: &[u8]) -> u64 {
    match key.split_at_checked(prefix.len()) {
        Some((start, rest)) if start == prefix => first_eight(rest),
        _ if key < prefix => 0,
        _ => u64::MAX,
    }
}

#[inline]
fn first_eight(bytes: &[u8]) -> u64 {
    if let Some(eight) = bytes.first_chunk() {
        return u64::from_be_bytes(*eight);
    }
    let mut padded = [0; 8];
    for (to, from) in padded.iter_mut().zip(bytes) {
        *to = *from;
    }
    u64::from_be_bytes(padded)
}

/// Length of the longest common prefix.
pub(super) fn shared_bytes(a: &[u8], b: &[u8]) -> usize {
    a.iter().zip(b).take_while(|(a, b)| a == b).count()
}

/// How many of `0..count` sorted keys are below `key`, given their heads: `key_at` is asked only
/// where heads tie.
#[inline]
pub(super) fn lower_bound<'a>(
    heads: &[u64],
    wanted: u64,
    key: &[u8],
    key_at: impl Fn(usize) -> &'a [u8],
) -> usize {
    let (first, end) = ties(heads, wanted);
    first + partition(end - first, |at| key_at(first + at) < key)
}

/// How many of the sorted keys are at or below `key`.
#[inline]
pub(super) fn upper_bound<'a>(
    heads: &[u64],
    wanted: u64,
    key: &[u8],
    key_at: impl Fn(usize) -> &'a [u8],
) -> usize {
    let (first, end) = ties(heads, wanted);
    first + partition(end - first, |at| key_at(first + at) <= key)
}

/// The part of `heads` that equals `wanted`.
#[inline]
pub(super) fn ties(heads: &[u64], wanted: u64) -> (usize, usize) {
    let first = heads.partition_point(|head| *head < wanted);
    let rest = heads.get(first..).unwrap_or_default();
    // Ties are rare and short, so looking at the next one beats another search.
    match rest.first() {
        Some(head) if *head == wanted => {
            let same = rest.partition_point(|head| *head == wanted);
            (first, first + same)
        }
        _ => (first, first),
    }
}

fn partition(count: usize, before: impl Fn(usize) -> bool) -> usize {
    let (mut low, mut high) = (0, count);
    while low < high {
        let middle = low + (high - low) / 2;
        if before(middle) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    low
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_keep_the_order_of_keys_for_every_prefix() {
        let mut keys: Vec<Vec<u8>> = vec![vec![]];
        for a in [0, 1, 0x7f, 0xff] {
            keys.push(vec![a]);
            for b in [0, 1, 0xff] {
                keys.push(vec![a, b]);
                keys.push([vec![a, b], vec![b; 9]].concat());
                keys.push([vec![a, b], vec![b; 7], vec![1]].concat());
            }
        }
        keys.sort();
        for prefix in &keys {
            for (n, a) in keys.iter().enumerate() {
                for b in &keys[n..] {
                    assert!(head(prefix, a) <= head(prefix, b), "{prefix:?} {a:?} {b:?}");
                }
            }
            let heads: Vec<_> = keys.iter().map(|key| head(prefix, key)).collect();
            for (n, key) in keys.iter().enumerate() {
                let wanted = head(prefix, key);
                let key_at = |at: usize| &keys[at][..];
                assert_eq!(lower_bound(&heads, wanted, key, key_at), n);
                assert_eq!(upper_bound(&heads, wanted, key, key_at), n + 1);
            }
        }
    }
}
