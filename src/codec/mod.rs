//! Records and checkpoint items as bytes: the one place that knows how a transition lies on disk.
//!
//! * `record`, `body`: one record's payload.
//! * `item`: one piece of a register, for checkpoints.
//! * `observer`: both, as far as observers are concerned.
//! * `history`: records of the history of changes, and the pieces of its index.
//! * `wire`: the shapes that both share. They are their own types, frozen by golden files; the
//!   domain may change without them and they may change only with the version byte.
//! * `bytes`: bincode itself, bounded.
//!
//! Invariants
//! * Decoding never panics and never allocates more than the input justifies; trailing bytes, counts
//!   and keys out of bounds, and spellings other than the one that encoding writes are errors.
//! * `decode(encode(x)) == x`, and whatever decodes encodes to the very same bytes.
//!
//! Not here: frames and checksums (`torrens-journal`), whether a record fits the state (`lifecycle`).

mod body;
mod bytes;
mod error;
mod history;
mod item;
mod observer;
mod record;
mod wire;

#[cfg(test)]
mod tests;

pub use error::CodecError;
pub use history::{
    HISTORY_VERSION, KIND_CHANGES, KIND_LINEAGE, decode_history, decode_piece, encode_lineage,
    encode_piece, put_batch, put_head, take_change,
};
pub(crate) use item::decode_item;
pub use item::{load_item, save_register};
pub use record::{PAYLOAD_VERSION, decode, decode_header, encode};
