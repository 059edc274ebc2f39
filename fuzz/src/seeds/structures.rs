//! Seeds that are structures: lists of byte strings, lives of a journal, choices of a history.

/// A list of byte strings, each behind its length, as the targets read it.
///
/// # Panics
/// If a string has 65 536 bytes or more.
pub fn strings<'a>(strings: impl IntoIterator<Item = &'a [u8]>) -> Vec<u8> {
    let mut bytes = Vec::new();
    for string in strings {
        let length = u16::try_from(string.len()).expect("a short string");
        bytes.extend(length.to_le_bytes());
        bytes.extend(string);
    }
    bytes
}

/// One life of the target `journal`: how it writes, the fault and where, how it crashes, a seed, operations.
struct Life(u8, u8, u16, u8, u8, &'static [[u8; 2]]);

const DIRECT: u8 = 0;
const MAPPED: u8 = 1;
const WRITES_BACK: u8 = 2;
const PURGES: u8 = 4;

/// Lives of journals.
pub(super) fn journals() -> Vec<(&'static str, Vec<u8>)> {
    /// Appends of several sizes by three clients, who wait late, with a mark and a close.
    const MIXED: &[[u8; 2]] = &[
        [0x00, 0],
        [0x10, 3],
        [0x20, 5],
        [0x06, 0],
        [0x01, 6],
        [0x15, 0],
        [0x0b, 0],
        [0x16, 0],
        [0x20, 6],
        [0x26, 0],
        [0x0c, 0],
        [0x09, 0],
        [0x00, 5],
        [0x06, 0],
        [0x0e, 0],
        [0x0f, 0],
        [0x20, 0],
        [0x26, 0],
    ];
    /// Rotations with nothing synced in between.
    const LONG: &[[u8; 2]] = &[
        [0x00, 6],
        [0x10, 5],
        [0x20, 5],
        [0x00, 1],
        [0x16, 0],
        [0x00, 6],
        [0x20, 1],
        [0x26, 0],
        [0x09, 0],
        [0x15, 3],
        [0x0a, 0],
    ];
    /// Records that are needed no more, and segments that are used again.
    const PURGED: &[[u8; 2]] = &[
        [0x00, 6],
        [0x10, 6],
        [0x00, 6],
        [0x06, 0],
        [0x0d, 1],
        [0x10, 5],
        [0x20, 1],
        [0x26, 0],
        [0x10, 6],
        [0x06, 0],
        [0x0d, 1],
        [0x0f, 0],
        [0x00, 6],
        [0x06, 0],
    ];
    let lives = [
        ("nothing_goes_wrong", vec![Life(DIRECT, 0, 0, 3, 1, MIXED)]),
        (
            "mapped",
            vec![
                Life(MAPPED, 0, 0, 1, 2, MIXED),
                Life(MAPPED, 0, 0, 2, 9, LONG),
            ],
        ),
        (
            "dies_midway",
            vec![
                Life(DIRECT, 2, 60, 3, 3, LONG),
                Life(MAPPED, 2, 30, 3, 4, MIXED),
            ],
        ),
        (
            "dies_while_it_opens",
            vec![
                Life(MAPPED, 0, 90, 2, 5, LONG),
                Life(DIRECT, 2, 5, 1, 6, LONG),
                Life(DIRECT, 0, 0, 0, 7, MIXED),
            ],
        ),
        (
            "killed_and_written_back",
            vec![
                Life(MAPPED | WRITES_BACK, 0, 70, 0, 8, MIXED),
                Life(DIRECT | WRITES_BACK, 0, 40, 3, 9, LONG),
            ],
        ),
        (
            "a_sync_fails",
            vec![
                Life(DIRECT, 7, 50, 1, 10, MIXED),
                Life(MAPPED, 7, 50, 3, 11, LONG),
            ],
        ),
        (
            "the_disk_is_full",
            vec![
                Life(DIRECT, 5, 45, 2, 12, LONG),
                Life(MAPPED, 5, 45, 2, 13, LONG),
            ],
        ),
        (
            "purged",
            vec![
                Life(DIRECT | PURGES, 2, 120, 3, 14, PURGED),
                Life(MAPPED, 0, 60, 1, 15, PURGED),
            ],
        ),
    ];
    let encoded = |lives: Vec<Life>| {
        let mut bytes = Vec::new();
        for Life(how, fault, at, cut, seed, steps) in lives {
            let [low, high] = at.to_le_bytes();
            bytes.extend([how, fault, low, high, cut, seed, steps.len() as u8]);
            bytes.extend(steps.concat());
        }
        bytes
    };
    lives
        .into_iter()
        .map(|(name, lives)| (name, encoded(lives)))
        .collect()
}

/// Choices of histories: bytes by chance, each of which is a history.
pub(super) fn histories() -> Vec<(String, Vec<u8>)> {
    let mut state: u64 = 20_261_127;
    let mut next = || {
        // SplitMix64
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) as u8
    };
    [30, 60, 120, 240, 480]
        .map(|length| {
            (
                format!("choices_{length}"),
                (0..length).map(|_| next()).collect(),
            )
        })
        .into()
}
