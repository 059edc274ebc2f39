//! When two states are the same: positions in the journal count by their order only, since nothing in
//! the lifecycle does more with them than compare. Without that every path would be a state of its own.

use std::hash::{Hash, Hasher};

use super::store::Store;

impl Hash for Store {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        let changes: Vec<_> = self.tail.iter().map(|record| &record.change).collect();
        // The decided state is the published one and the tail.
        let text = format!(
            "{:?} {changes:?} {:?} {:?} {} {:?}",
            self.published, self.ghosts, self.memory, self.crashes, self.broken
        );
        canonical(&text).hash(hasher);
    }
}

/// Where a region's history stands and when something began is told for people; no decision rests on it.
const TOLD: [&str; 4] = [
    "last_lsn: Lsn(",
    "last_record: Lsn(",
    "last_transition: Lsn(",
    "begun: Lsn(",
];

/// The text with each position replaced by its rank among those in it.
fn canonical(text: &str) -> String {
    let mut parts: Vec<(&str, Option<u64>)> = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find("Lsn(") {
        let (before, after) = rest.split_at(at + "Lsn(".len());
        let end = after.find(')').unwrap_or(after.len());
        let (number, tail) = after.split_at(end);
        let is_told = TOLD.iter().any(|told| before.ends_with(told));
        let number = number.parse().ok().filter(|_| !is_told);
        parts.push((before, number));
        rest = tail;
    }
    let mut ranks: Vec<u64> = parts.iter().filter_map(|(_, number)| *number).collect();
    ranks.sort_unstable();
    ranks.dedup();
    let mut canonical = String::with_capacity(text.len());
    for (before, number) in parts {
        canonical.push_str(before);
        if let Some(number) = number {
            let rank = ranks.binary_search(&number).unwrap_or_default();
            canonical.push_str(&rank.to_string());
        }
    }
    canonical.push_str(rest);
    canonical
}

#[test]
fn positions_count_by_their_order() {
    assert_eq!(
        canonical("a: Lsn(7), last_lsn: Lsn(9), b: Lsn(3), c: Lsn(7)"),
        canonical("a: Lsn(70), last_lsn: Lsn(71), b: Lsn(4), c: Lsn(70)")
    );
    assert_ne!(canonical("Lsn(1) Lsn(2)"), canonical("Lsn(2) Lsn(1)"));
}
