//! Which records a command shows, as options: they become a `Selection`.

use clap::Args;
use torrens::inspector::clock::Moment;
use torrens::inspector::{Filter, KindPattern, LsnRange, Selection, parse_key};
use torrens::{Key, KeyRange, PeerId, RegionId, StoreId};

/// Options that choose records. Between two of them *and*, within one *or*.
#[derive(Debug, Args)]
#[command(next_help_heading = "Which records (all of the options, any of the values of one)")]
pub(crate) struct Wanted {
    /// Positions: A..B, A.., ..B, A+N or N; both ends are inside
    #[arg(
        long,
        value_name = "RANGE",
        default_value = "..",
        hide_default_value = true
    )]
    lsn: LsnRange,
    /// Decided at this time or later: 2026-03-14T09:21, 09:21:07 (on the newest record's day), -2h; UTC
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    since: Option<Moment>,
    /// Decided between these times, both inside: 09:21..09:25, -2h.., ..2026-03-14T10:00
    #[arg(long, value_name = "A..B", allow_hyphen_values = true, value_parser = between, conflicts_with_all = ["since", "until"])]
    time: Option<Between>,
    /// Decided at this time or earlier
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    until: Option<Moment>,
    /// Written by these openings of the store; -1 is the one before the newest
    #[arg(
        long,
        value_name = "N,...",
        value_delimiter = ',',
        allow_hyphen_values = true
    )]
    boot: Vec<i64>,
    /// Concerning these regions: 7 or r7
    #[arg(long, value_name = "ID,...", value_delimiter = ',', value_parser = region)]
    region: Vec<RegionId>,
    /// Concerning these regions, those that they came of, and those that came of them
    #[arg(long, value_name = "ID,...", value_delimiter = ',', value_parser = region)]
    lineage_of: Vec<RegionId>,
    /// Naming these peers: 211 or p211
    #[arg(long, value_name = "ID,...", value_delimiter = ',', value_parser = peer)]
    peer: Vec<PeerId>,
    /// Naming these stores: 4 or s4
    #[arg(long, value_name = "ID,...", value_delimiter = ',', value_parser = store)]
    store: Vec<StoreId>,
    /// Of these kinds; * and ? stand for any characters
    #[arg(long, value_name = "PATTERN,...", value_delimiter = ',')]
    kind: Vec<KindPattern>,
    /// Asked for by: raft, message, operator, recovery, collector, host, keeper
    #[arg(long, value_name = "WHO,...", value_delimiter = ',', value_parser = [
        "raft", "message", "operator", "recovery", "collector", "host", "keeper",
    ])]
    cause: Vec<String>,
    /// Concerning whoever owned this key right before or after; 0x… is hexadecimal
    #[arg(long, value_name = "KEY", value_parser = parse_key)]
    key: Vec<Key>,
    /// Concerning whoever owned keys from A up to B (not inside); an empty B is infinity
    #[arg(long, value_name = "A..B", value_parser = key_range)]
    key_range: Vec<KeyRange>,
    /// Of which this holds, as in: data.rows > 1000 && kind ~ snapshot
    #[arg(long = "where", value_name = "CONDITION")]
    filter: Option<Filter>,
}

impl Wanted {
    /// The selection.
    pub(crate) fn selection(&self) -> Selection {
        Selection {
            lsns: self.lsn,
            since: self.time.map_or(self.since, |time| time.since),
            until: self.time.map_or(self.until, |time| time.until),
            boots: self.boot.clone(),
            regions: self.region.clone(),
            lineage_of: self.lineage_of.clone(),
            peers: self.peer.clone(),
            stores: self.store.clone(),
            kinds: self.kind.clone(),
            causes: self.cause.clone(),
            keys: self.key.clone(),
            key_ranges: self.key_range.clone(),
            filter: self.filter.clone(),
        }
    }
}

/// The two ends of `--time`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Between {
    since: Option<Moment>,
    until: Option<Moment>,
}

/// `09:21..09:25`, of which one end may be left out.
fn between(text: &str) -> Result<Between, String> {
    let end = |end: &str| match end {
        "" => Ok(None),
        end => end.parse().map(Some),
    };
    match text.split_once("..") {
        Some((since, until)) if !(since.is_empty() && until.is_empty()) => Ok(Between {
            since: end(since)?,
            until: end(until)?,
        }),
        _ => Err(format!(
            "{text:?} is no span of time; expected A..B, A.. or ..B"
        )),
    }
}

fn id(text: &str, letter: char) -> Result<u64, String> {
    let digits = text.strip_prefix(letter).unwrap_or(text);
    digits
        .parse()
        .map_err(|_| format!("{text:?} is no id; expected a number, or {letter} and a number"))
}

/// `7` or `r7`.
pub(crate) fn region(text: &str) -> Result<RegionId, String> {
    id(text, 'r').map(RegionId)
}

/// `211` or `p211`.
pub(crate) fn peer(text: &str) -> Result<PeerId, String> {
    id(text, 'p').map(PeerId)
}

/// `4` or `s4`.
pub(crate) fn store(text: &str) -> Result<StoreId, String> {
    id(text, 's').map(StoreId)
}

/// `a..m`.
pub(crate) fn key_range(text: &str) -> Result<KeyRange, String> {
    let Some((start, end)) = text.split_once("..") else {
        return Err(format!(
            "{text:?} is no range of keys; expected A..B, A.. or ..B"
        ));
    };
    let (start, end) = (parse_key(start)?, parse_key(end)?);
    KeyRange::new(start, (!end.is_empty()).then_some(end))
        .ok_or_else(|| format!("the range {text:?} is empty"))
}
