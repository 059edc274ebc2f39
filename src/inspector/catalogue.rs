//! What every stable code means, and what to do about it.
//!
//! The same word may be a code in more than one place; then it has an entry for each. A test reads the
//! sources and fails for a code without an entry.
//!
//! * `answers`: refusals, what an entry waits for. * `gate`: what the gate says. * `errors`: verdicts, and errors of the
//!   engine. * `tools`: errors of whoever looks or repairs. * `names`: kinds of records, who asked. * `states`: stages,
//!   states and reasons.

mod answers;
mod errors;
mod gate;
mod names;
mod states;
mod tools;

/// Where a code is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Topic {
    /// What a journal's bytes mean.
    Verdict,
    /// A place where a journal does not go on.
    Gap,
    /// A kind of record.
    Record,
    /// Who asked for a record.
    Cause,
    /// Why a request changed nothing.
    Refusal,
    /// What a committed entry waits for.
    Wait,
    /// What becomes of a message.
    Gate,
    /// Why a store does not open.
    Open,
    /// Why the engine could not do something.
    Engine,
    /// Why a read gave no answer.
    Read,
    /// Why there is no backup.
    Backup,
    /// Why a region is not preloaded.
    Preload,
    /// Why a journal cannot be read from a position.
    Position,
    /// Why a repair is not planned, done or undone.
    Repair,
    /// Why the tool has no answer.
    Tool,
    /// A peer's stage or mode.
    Stage,
    /// The state of a cache.
    Cache,
    /// Why a cache was loaded, or ended.
    CacheReason,
    /// Why a peer's data cannot be trusted, or a snapshot was given up.
    Damage,
    /// Why a peer, or a range of keys, is gone.
    Gone,
    /// The state of an observer's attachment to a region, and why.
    Observer,
}

impl Topic {
    /// What such a code is.
    pub const fn text(self) -> &'static str {
        match self {
            Topic::Verdict => "verdict about a journal",
            Topic::Gap => "place where a journal does not go on",
            Topic::Record => "kind of record",
            Topic::Cause => "who asked for a record",
            Topic::Refusal => "refusal: nothing changed",
            Topic::Wait => "what a committed entry waits for",
            Topic::Gate => "answer of the message gate",
            Topic::Open => "error of opening a store",
            Topic::Engine => "error of the engine",
            Topic::Read => "error of a read",
            Topic::Backup => "error of a backup",
            Topic::Preload => "refusal of a preload",
            Topic::Position => "error of reading a journal from a position",
            Topic::Repair => "error of a repair",
            Topic::Tool => "error of the tool",
            Topic::Stage => "stage or mode of a peer",
            Topic::Cache => "state of a cache",
            Topic::CacheReason => "reason for loading or ending a cache",
            Topic::Damage => "reason of damage",
            Topic::Gone => "reason why a peer or keys are gone",
            Topic::Observer => "state of an observer's attachment, or the reason for it",
        }
    }
}

/// What a code means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The code.
    pub code: &'static str,
    /// Where it is used.
    pub topic: Topic,
    /// What it means.
    pub meaning: &'static str,
    /// What to do about it; empty if there is nothing to do.
    pub advice: &'static str,
}

type Rows = &'static [(&'static str, &'static str, &'static str)];

/// Every entry, topic by topic.
pub fn entries() -> impl Iterator<Item = Entry> {
    let tables = errors::TABLES
        .iter()
        .chain(tools::TABLES)
        .chain(answers::TABLES)
        .chain(gate::TABLES)
        .chain(names::TABLES)
        .chain(states::TABLES);
    tables.flat_map(|(topic, rows)| {
        rows.iter().map(|(code, meaning, advice)| Entry {
            code,
            topic: *topic,
            meaning,
            advice,
        })
    })
}

/// The entries of a code; none if there is no such code.
pub fn explain_code(code: &str) -> Vec<Entry> {
    entries().filter(|entry| entry.code == code).collect()
}

/// Codes that look like `code`, the nearest first, for a person who mistyped it.
pub fn near(code: &str) -> Vec<&'static str> {
    let mut found: Vec<(usize, &'static str)> = entries()
        .map(|entry| (distance(code, entry.code), entry.code))
        .filter(|(distance, other)| *distance <= 2 || (code.len() >= 4 && other.contains(code)))
        .collect();
    found.sort_unstable();
    found.dedup();
    found.into_iter().map(|(_, code)| code).take(5).collect()
}

/// Letters to change, add or leave out.
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (index, letter) in a.bytes().enumerate().take(64) {
        let mut before = index;
        let mut left = index + 1;
        for (cell, other) in row.iter_mut().skip(1).zip(b.bytes()) {
            let here = (before + usize::from(letter != other))
                .min(left + 1)
                .min(*cell + 1);
            before = *cell;
            *cell = here;
            left = here;
        }
        if let Some(first) = row.first_mut() {
            *first = index + 1;
        }
    }
    row.last().copied().unwrap_or(0) + a.len().saturating_sub(64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_unique_in_its_topic_and_ends_like_a_sentence() {
        let mut seen = std::collections::BTreeSet::new();
        for entry in entries() {
            assert!(
                seen.insert((entry.topic, entry.code)),
                "{} twice",
                entry.code
            );
            assert!(
                entry.meaning.ends_with('.'),
                "{}: {}",
                entry.code,
                entry.meaning
            );
            assert!(
                entry.advice.is_empty() || entry.advice.ends_with('.'),
                "{}",
                entry.code
            );
        }
    }

    #[test]
    fn a_slip_finds_the_code_that_was_meant() {
        assert_eq!(near("epoch-stal").first(), Some(&"epoch-stale"));
        assert_eq!(near("torn").first(), Some(&"torn-tail"));
        assert!(near("zzzzzzzz").is_empty());
        assert_eq!(distance("kitten", "sitting"), 3);
    }
}
