//! torrens
mod epoch;
mod ids;
mod key_range;
mod region;

pub use epoch::RegionEpoch;
pub use ids::{Incarnation, PeerId, RegionId, StoreId};
pub use key_range::{Key, KeyRange};
pub use region::{Peer, PeerRole, Region, RegionError};
