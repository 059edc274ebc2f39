//! `Report`: everything that the page says, bounded in size. The names are those that `page.js` reads.
//!
//! Not here: where it comes from (`gather`).

use serde::Serialize;

/// Everything on the page. Times are microseconds since the Unix epoch, 0 if unknown.
#[derive(Serialize)]
pub(crate) struct Report {
    pub(crate) tool: &'static str,
    pub(crate) dir: String,
    pub(crate) made_micros: u64,
    pub(crate) writer: String,
    pub(crate) is_open: bool,
    pub(crate) store: Option<String>,
    pub(crate) uuid: Option<String>,
    pub(crate) verdict: VerdictPart,
    /// The position that the charts begin with; the first record is the one behind it.
    pub(crate) start_lsn: u64,
    pub(crate) start_micros: u64,
    pub(crate) last_lsn: u64,
    pub(crate) last_micros: u64,
    pub(crate) records: u64,
    pub(crate) bytes: u64,
    pub(crate) groups: u64,
    pub(crate) group_max: u64,
    pub(crate) segments: u64,
    pub(crate) journal_bytes: u64,
    /// Records that a restart replays.
    pub(crate) replays: u64,
    /// When the newest valid checkpoint was written.
    pub(crate) checkpoint_micros: u64,
    pub(crate) data_bytes: u64,
    pub(crate) data_store: &'static str,
    pub(crate) stages_now: Vec<(&'static str, u64)>,
    pub(crate) caches_now: Vec<(&'static str, u64)>,
    pub(crate) tombstones: u64,
    pub(crate) deletions: u64,
    /// Boot, LSN, time.
    pub(crate) boots: Vec<(u32, u64, u64)>,
    pub(crate) boots_total: u64,
    pub(crate) lives: Vec<LifePart>,
    pub(crate) lives_left_out: u64,
    pub(crate) spans_left_out: u64,
    pub(crate) lineage: Vec<RegionPart>,
    pub(crate) lineage_left_out: u64,
    pub(crate) edges: Vec<EdgePart>,
    pub(crate) edges_left_out: u64,
    pub(crate) slot_micros: u64,
    /// Records and bytes.
    pub(crate) slots: Vec<(u64, u64)>,
    /// Regions, caches that serve, observed regions, each at the end of a slot.
    pub(crate) samples: Vec<[u64; 3]>,
    /// Largest microseconds of a bucket, groups in it.
    pub(crate) pace: Vec<(u64, u64)>,
    pub(crate) pace_p50: u64,
    pub(crate) pace_p99: u64,
    pub(crate) kinds: Vec<KindPart>,
    pub(crate) observers: Vec<ObserverPart>,
    pub(crate) observers_left_out: u64,
    pub(crate) observer_events: Vec<(String, u64)>,
    pub(crate) files: Vec<FilePart>,
    pub(crate) files_left_out: u64,
    /// The newest first.
    pub(crate) rows: Vec<RowPart>,
    pub(crate) rows_left_out: u64,
}

/// The verdict.
#[derive(Serialize)]
pub(crate) struct VerdictPart {
    pub(crate) name: &'static str,
    pub(crate) exit: u8,
    pub(crate) sentence: String,
    pub(crate) notes: Vec<String>,
}

/// Name, from LSN, from time, to LSN, to time; without an end it lasts.
pub(crate) type SpanPart = (&'static str, u64, u64, Option<u64>, u64);

/// The life of one creation of a peer.
#[derive(Serialize)]
pub(crate) struct LifePart {
    pub(crate) region: u64,
    pub(crate) peer: u64,
    pub(crate) ended: Option<String>,
    pub(crate) stages: Vec<SpanPart>,
    pub(crate) caches: Vec<SpanPart>,
}

/// A region of the graph.
#[derive(Serialize)]
pub(crate) struct RegionPart {
    pub(crate) id: u64,
    pub(crate) origin: &'static str,
    pub(crate) first: u64,
    pub(crate) first_micros: u64,
    pub(crate) last: u64,
    pub(crate) last_micros: u64,
    pub(crate) standing: Option<&'static str>,
    pub(crate) gone: Option<&'static str>,
    pub(crate) range: Option<String>,
    pub(crate) epoch: Option<String>,
}

/// A split or a merge.
#[derive(Serialize)]
pub(crate) struct EdgePart {
    pub(crate) from: u64,
    pub(crate) to: u64,
    pub(crate) lsn: u64,
    pub(crate) micros: u64,
    pub(crate) by: &'static str,
    pub(crate) fate: Option<&'static str>,
}

/// A kind of record.
#[derive(Serialize)]
pub(crate) struct KindPart {
    pub(crate) name: String,
    pub(crate) records: u64,
    pub(crate) bytes: u64,
    pub(crate) p50: u64,
    pub(crate) p99: u64,
}

/// An observer that is there now.
#[derive(Serialize)]
pub(crate) struct ObserverPart {
    pub(crate) name: String,
    pub(crate) added: u64,
    pub(crate) regions: u64,
    pub(crate) paused: bool,
}

/// A segment or a checkpoint.
#[derive(Serialize)]
pub(crate) struct FilePart {
    pub(crate) name: String,
    pub(crate) bytes: u64,
    pub(crate) records: Option<u64>,
    pub(crate) what: String,
}

/// A record.
#[derive(Serialize)]
pub(crate) struct RowPart {
    pub(crate) lsn: u64,
    pub(crate) micros: u64,
    pub(crate) kind: String,
    pub(crate) region: Option<u64>,
    pub(crate) regions: Vec<u64>,
    pub(crate) peer: Option<u64>,
    pub(crate) epoch: String,
    pub(crate) cause: String,
    pub(crate) detail: String,
    pub(crate) behind: bool,
}
