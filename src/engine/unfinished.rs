//! What a crash left open, and the rule that ends each:
//!
//! | begun | effect done here | ended by |
//! |---|---|---|
//! | snapshot apply, staged file whole | clear, ingest, flush | *end*: forward |
//! | snapshot apply, staged file missing or damaged | none | *abort*: back to uninitialised if the peer never had data, else damaged |
//! | pending deletion (destroy, skipped child, shrunk range) | clear, flush | *end*: forward |
//! | cache in any state | none: memory is gone | *reset*: forward |
//!
//! Effects first, one flush for all, then the records; a crash in between repeats the effects.

use std::convert::Infallible;
use std::sync::Arc;

use torrens_journal::disk::Disk;
use torrens_recovery::{Direction, Recovered, Resolution, resolve};

use super::core::Layout;
use super::{EngineError, OpenError, append, effects};
use crate::lifecycle::{AbortReason, Cause, Event, Floor, Operation, Register};
use crate::machine::RegisterMachine;
use crate::snapshot::SnapshotReader;
use crate::store::{DataStore, RegionRow, StoreBatch};
use crate::{RaftPosition, Sequence};

/// Ends every open operation. Everything that it decides is durable when it returns.
pub(super) fn resolve_all(
    recovered: &mut Recovered<RegisterMachine>,
    data: &dyn DataStore,
    disk: &Arc<dyn Disk>,
    layout: &Layout,
) -> Result<(), OpenError> {
    let operations: Vec<_> = recovered.machine.register().open_operations();
    if operations.is_empty() {
        return Ok(());
    }
    let touches_data = |operation: &Operation| match operation {
        Operation::Snapshot { .. } | Operation::Deletion { .. } => true,
        Operation::Cache { .. } => false,
    };
    let barrier = match operations.iter().any(touches_data) {
        true => Some(carry_out(recovered, &operations, data, disk, layout)?),
        false => None,
    };
    todo!()
}
