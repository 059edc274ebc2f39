//! What a consumer gets: items in order, made of the history's records. Pure: no locks, no clock, no I/O.
//!
//! * `item`: the items. * `assembly`: changes out of records that hold parts of them.
//! * `cursor`: how far a subscription is in one region, and what becomes of the next record.
//!
//! Not here: where records come from (`history`), who is attached to what (`lifecycle::observer`), waiting
//! and acknowledging (`engine::feed`).

mod assembly;
mod cursor;
mod item;

pub(crate) use cursor::{Cursor, Fate, Hold};
pub use item::{FeedChange, FeedEntry, FeedEvent, FeedItem, FeedRow};
