//! torrens
pub mod cache;
pub mod codec;
mod epoch;
mod ids;
mod key_range;
pub mod lifecycle;
mod region;
mod sequence;
pub mod snapshot;
pub mod store;

pub use epoch::RegionEpoch;
pub use ids::{Incarnation, PeerId, RegionId, StoreId};
pub use key_range::{Key, KeyRange};
pub use lifecycle::{RaftPosition, Refusal};
pub use region::{Peer, PeerRole, Region, RegionError};
pub use sequence::{LeaseNeeded, Sequence, SequenceGuard, Sequencer};
pub use store::{BatchError, ColumnFamily, Value, WriteBatch, WriteOp};
