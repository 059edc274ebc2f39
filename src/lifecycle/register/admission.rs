//! May this request touch this region's data at this epoch: the one gate of reads and writes.
//!
//! Only the version is compared: a change of peers does not move data.

use std::sync::Arc;

use super::Register;
use crate::lifecycle::step::gate;
use crate::lifecycle::{Floor, Mode, Normal, PeerStage, PeerState, RaftPosition, Refusal};
use crate::{Incarnation, Region, RegionEpoch, RegionId};

/// A region whose data may be touched, as it is at that moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Admitted {
    /// Its description.
    pub region: Arc<Region>,
    /// The peer that serves it.
    pub incarnation: Incarnation,
    /// Last Raft entry that changed its metadata.
    pub meta_index: RaftPosition,
    /// What of its data is durable.
    pub floor: Floor,
}

impl Register {
    /// Whether `region` may be read at `epoch`.
    ///
    /// # Errors
    /// The refusal that the reader gets: no serving peer, or another version.
    pub fn admit_read(&self, region: RegionId, epoch: RegionEpoch) -> Result<Admitted, Refusal> {
        self.admit(region, epoch)
    }

    /// Whether a batch that assumes `epoch` may be written to `region`.
    ///
    /// # Errors
    /// The refusal that the writer gets: no serving peer, or another version.
    pub fn admit_write(&self, region: RegionId, epoch: RegionEpoch) -> Result<Admitted, Refusal> {
        self.admit(region, epoch)
    }

    /// Whether `region` may be read or written at `epoch` by whoever sets it back: only while it is in
    /// flashback.
    ///
    /// # Errors
    /// The refusal that the caller gets: no peer with data, not in flashback, or another version.
    pub fn admit_flashback(
        &self,
        region: RegionId,
        epoch: RegionEpoch,
    ) -> Result<Admitted, Refusal> {
        let peer = gate::live(self, region, None)?;
        let normal = match &peer.stage {
            PeerStage::Normal(normal) if *normal.mode == Mode::Flashback => normal,
            PeerStage::Normal(_)
            | PeerStage::Uninitialized
            | PeerStage::Witness(_)
            | PeerStage::Waiting(_)
            | PeerStage::Applying(_)
            | PeerStage::Damaged(_) => {
                gate::serving(region, peer)?;
                return Err(Refusal::NotInFlashback { region });
            }
        };
        gate::version(self, &normal.region, epoch)?;
        Ok(admitted(peer, normal))
    }

    /// Whether the caller knows a region as it is, both parts of its epoch. A region that is not
    /// here, or a peer without description, has no epoch to know.
    ///
    /// # Errors
    /// The refusal of a caller that is behind or ahead.
    pub fn expect_epoch(&self, region: RegionId, epoch: RegionEpoch) -> Result<(), Refusal> {
        match self.peer(region).and_then(|peer| peer.stage.region()) {
            Some(description) => gate::epoch(self, description, epoch),
            None => Ok(()),
        }
    }

    fn admit(&self, region: RegionId, epoch: RegionEpoch) -> Result<Admitted, Refusal> {
        let peer = gate::live(self, region, None)?;
        let normal = gate::serving(region, peer)?;
        gate::version(self, &normal.region, epoch)?;
        Ok(admitted(peer, normal))
    }
}

fn admitted(peer: &PeerState, normal: &Normal) -> Admitted {
    Admitted {
        region: Arc::clone(&normal.region),
        incarnation: peer.incarnation,
        meta_index: normal.meta_index,
        floor: normal.floor,
    }
}
