//! Fuzz targets as plain functions. `fuzz_targets/` wraps each in one line for libFuzzer; the test in
//! `tests/corpus.rs` runs the committed corpus through the same functions on a stable compiler.
//!
//! A target promises more than "does not panic": what decodes must encode to the same bytes, what a
//! reader accepts must be dense and in order, and nothing is read behind the input.

mod checkpoint;
mod group;
mod record;
mod segment;
mod snapshot;
mod tool;

pub use checkpoint::{LSN as CHECKPOINT_LSN, checkpoint};
pub use group::group;
pub use record::record;
pub use segment::segment;
pub use snapshot::snapshot;
pub use tool::{Change as ToolChange, STORE as TOOL_STORE, StoreFile, tool};

/// A target: its name, which is also its corpus folder, and its function.
pub type Target = (&'static str, fn(&[u8]));

/// Every target.
pub const TARGETS: [Target; 6] = [
    ("group", group),
    ("segment", segment),
    ("record", record),
    ("checkpoint", checkpoint),
    ("snapshot", snapshot),
    ("tool", tool),
];
