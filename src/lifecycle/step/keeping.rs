//! Events of the store as a whole: its id, its data store, leases and barriers.

use std::collections::BTreeMap;

use crate::lifecycle::{Change, FloorUpdate, Outcome, Refusal, Register};
use crate::{Sequence, StoreId};

/// The store's id is given once.
pub(super) fn identify(register: &Register, given: StoreId) -> Result<Outcome, Refusal> {
    if given.0 == 0 {
        return Err(Refusal::IdZero { id: "store" });
    }
    match register.store() {
        None => Ok(Outcome::accept(Change::StoreIdentified { store: given })),
        Some(current) if current == given => Ok(Outcome::AlreadyApplied),
        Some(current) => Err(Refusal::StoreMismatch { given, current }),
    }
}

/// A new data store holds nothing, so nobody may rely on the old one any more.
pub(super) fn new_data_store(
    register: &Register,
    generation: [u8; 16],
) -> Result<Outcome, Refusal> {
    if register.generation() == Some(generation) {
        return Ok(Outcome::AlreadyApplied);
    }
    let relying = register
        .normal_peers()
        .find(|(_, _, normal)| normal.floor.barrier > 0);
    if let Some((region, _, normal)) = relying {
        return Err(Refusal::DataStoreInUse {
            region,
            barrier: normal.floor.barrier,
        });
    }
    Ok(Outcome::accept(Change::DataStoreReplaced { generation }))
}

/// Ceilings only grow.
pub(super) fn lease(register: &Register, up_to: Sequence) -> Result<Outcome, Refusal> {
    if up_to <= register.sequence_ceiling() {
        return Ok(Outcome::AlreadyApplied);
    }
    Ok(Outcome::accept(Change::SequencesLeased { up_to }))
}

/// A barrier is a fact. Of its floors only those are recorded that raise one: data of a peer that is
/// gone or does not serve is nobody's to rely on.
pub(super) fn barrier(
    register: &Register,
    number: u64,
    floors: &[FloorUpdate],
) -> Result<Outcome, Refusal> {
    if number <= register.barrier() {
        return Ok(Outcome::AlreadyApplied);
    }
    let mut raised = BTreeMap::new();
    for floor in floors {
        let serving = register.normal(floor.region, floor.incarnation);
        if serving.is_none_or(|normal| floor.index <= normal.floor.index) {
            continue;
        }
        let best: &mut FloorUpdate = raised.entry(floor.region).or_insert(*floor);
        best.index = best.index.max(floor.index);
    }
    Ok(Outcome::accept(Change::BarrierReached {
        number,
        floors: raised
            .into_values()
            .take(FloorUpdate::PER_BARRIER_MAX)
            .collect(),
    }))
}
