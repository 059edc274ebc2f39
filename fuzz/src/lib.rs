//! Fuzz targets as plain functions. `fuzz_targets/` wraps each in one line for libFuzzer; the test in
//! `tests/corpus.rs` runs the committed corpus through the same functions on a stable compiler.
//!
//! A target promises more than "does not panic": what decodes must encode to the same bytes, what a
//! reader accepts must be dense and in order, what was acknowledged survives, and nothing is read behind
//! the input. Where a format has checksums, which a fuzzer does not guess, the input is read twice: as the
//! bytes of a file, and as a structure (`arbitrary`) of which a file with right checksums is made.

mod checkpoint;
mod group;
mod history;
mod journal;
mod must_fail;
mod record;
mod scenario;
pub mod seeds;
mod segment;
mod snapshot;
// The journal's own tests walk a journal with it.
#[path = "../../journal/tests/promises/support.rs"]
#[allow(
    dead_code,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "fixtures of tests fail the test that calls them"
)]
mod support;
mod tool;

pub use checkpoint::checkpoint;
pub use group::group;
pub use history::history;
pub use journal::journal;
pub use must_fail::must_fail;
pub use record::record;
pub use scenario::scenario;
pub use segment::segment;
pub use snapshot::snapshot;
pub use tool::{Change as ToolChange, tool};

/// A target: its name, which is also its corpus folder, and its function.
pub type Target = (&'static str, fn(&[u8]));

/// Every target that must hold. `must_fail` is not among them: it is there to crash.
pub const TARGETS: [Target; 9] = [
    ("group", group),
    ("segment", segment),
    ("record", record),
    ("checkpoint", checkpoint),
    ("snapshot", snapshot),
    ("journal", journal),
    ("history", history),
    ("scenario", scenario),
    ("tool", tool),
];

/// The rest of the input as byte strings, each behind its length (two bytes, little endian). What a cut
/// length leaves is the last of them. Seeds are written the same way ([`seeds::strings`]).
pub(crate) struct Strings<'a>(pub(crate) Vec<&'a [u8]>);

impl<'a> arbitrary::Arbitrary<'a> for Strings<'a> {
    fn arbitrary(bytes: &mut arbitrary::Unstructured<'a>) -> arbitrary::Result<Self> {
        let mut strings = Vec::new();
        while !bytes.is_empty() {
            let length = usize::from(u16::arbitrary(bytes)?).min(bytes.len());
            strings.push(bytes.bytes(length)?);
        }
        Ok(Strings(strings))
    }
}
