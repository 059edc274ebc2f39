//! `JournalStats`: counters of one opening of a journal, for metrics and reports.

/// What a journal did since it was opened. A snapshot: the fields belong together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct JournalStats {
    /// Records that got an LSN.
    pub appended_records: u64,
    /// Their payloads.
    pub appended_payload_bytes: u64,
    /// Groups stored, empty ones included.
    pub groups: u64,
    /// Bytes stored in groups, padding included.
    pub stored_bytes: u64,
    /// The part of them that is padding to the page.
    pub padding_bytes: u64,
    /// Syncs that returned; each may cover many records.
    pub syncs: u64,
    /// How long the last sync took.
    pub last_sync_micros: u64,
    /// How long all syncs took together.
    pub sync_micros: u64,
    /// Switches to a new segment.
    pub rotations: u64,
    /// Marks written.
    pub marks: u64,
    /// Segments removed by purging.
    pub purged_segments: u64,
    /// Segments there are now, the active one included.
    pub segments: u64,
    /// Segments that are prepared and wait for their turn now.
    pub segments_ahead: u64,
    /// Segments that were prepared in the blocks of a purged one.
    pub recycled_segments: u64,
    /// Callbacks of tickets that panicked.
    pub callback_panics: u64,
}
