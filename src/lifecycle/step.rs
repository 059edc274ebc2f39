//! The machine: what an event does to a register, decided and not yet done.
//!
//! Total and pure: every pair of state and event has an answer, there is no clock, no I/O and no
//! panic. Each family of events has a file; `gate` holds the checks that they share.
//!
//! Not here: carrying a decision out (`apply`).

mod caching;
mod conf_change;
mod creation;
mod destroying;
mod flashback;
pub(super) mod gate;
mod keeping;
mod merging;
mod ordered;
mod snapshots;
mod splitting;

pub(super) use self::caching::waits_for;
pub(super) use self::conf_change::{changed, changed_jointly, joint_left, switched};
pub(super) use self::destroying::later;
pub(super) use self::ordered::forced;
pub(super) use self::snapshots::given_up;
pub(super) use self::splitting::{SplitPlan, split_parts};

use self::conf_change::Entry;
use super::{Event, Outcome, RaftPosition, Refusal, Register, observer};
use crate::{Incarnation, RegionEpoch, RegionId};

/// What `event` does to `register`.
pub fn step(register: &Register, event: &Event) -> Outcome {
    let decided = match event {
        Event::Identify { store } => keeping::identify(register, *store),
        Event::Bootstrap { store, region } => creation::bootstrap(register, *store, region, false),
        Event::PrepareBootstrap { store, region } => {
            creation::bootstrap(register, *store, region, true)
        }
        Event::ConfirmBootstrap { region } => ordered::confirm_bootstrap(register, *region),
        Event::AbandonBootstrap { region } => ordered::abandon_bootstrap(register, *region),
        Event::RecoverRegion { region } => ordered::recover(register, region),
        Event::ForceVoters {
            region,
            incarnation,
            epoch,
            failed,
        } => {
            let live = gate::live(register, *region, *incarnation);
            live.and_then(|live| ordered::force_voters(register, *region, live, *epoch, failed))
        }
        Event::PlaceTombstone {
            region,
            peer,
            epoch,
        } => ordered::place_tombstone(register, *region, *peer, *epoch),
        Event::CollectTombstone {
            region,
            highest_peer,
        } => ordered::collect_tombstone(register, *region, *highest_peer),
        Event::PrepareMerge {
            region,
            incarnation,
            epoch,
            position,
            target,
            min_index,
        } => {
            let entry = entry(register, *region, *incarnation, *epoch, *position);
            entry.and_then(|entry| merging::prepare(register, entry, target, *min_index))
        }
        Event::CommitMerge {
            region,
            incarnation,
            epoch,
            position,
            source,
            commit,
        } => {
            let entry = entry(register, *region, *incarnation, *epoch, *position);
            entry.and_then(|entry| merging::commit(register, entry, source, *commit))
        }
        Event::RollbackMerge {
            region,
            incarnation,
            epoch,
            position,
            commit,
        } => {
            let entry = entry(register, *region, *incarnation, *epoch, *position);
            entry.and_then(|entry| merging::rollback(register, entry, *commit))
        }
        Event::BeginFlashback {
            region,
            incarnation,
            epoch,
            position,
        } => {
            let entry = entry(register, *region, *incarnation, *epoch, *position);
            entry.and_then(|entry| flashback::begin(register, entry))
        }
        Event::EndFlashback {
            region,
            incarnation,
            epoch,
            position,
        } => {
            let entry = entry(register, *region, *incarnation, *epoch, *position);
            entry.and_then(|entry| flashback::end(register, entry))
        }
        Event::CreateByMessage {
            region,
            peer,
            from_store: _,
            message_epoch,
        } => creation::create_by_message(register, *region, *peer, *message_epoch),
        Event::Split(split) => splitting::split(register, split),
        Event::ChangePeers {
            region,
            incarnation,
            epoch,
            position,
            change,
        } => {
            let changes = std::slice::from_ref(change);
            if conf_change::has_removed_own(register, *region, *incarnation, *epoch, changes) {
                return Outcome::AlreadyApplied;
            }
            let entry = entry(register, *region, *incarnation, *epoch, *position);
            entry.and_then(|entry| conf_change::change_peers(register, entry, *change))
        }
        Event::EnterJoint {
            region,
            incarnation,
            epoch,
            position,
            changes,
        } => {
            if conf_change::has_removed_own(register, *region, *incarnation, *epoch, changes) {
                return Outcome::AlreadyApplied;
            }
            let entry = entry(register, *region, *incarnation, *epoch, *position);
            entry.and_then(|entry| conf_change::enter_joint(register, entry, changes))
        }
        Event::LeaveJoint {
            region,
            incarnation,
            epoch,
            position,
        } => {
            let entry = entry(register, *region, *incarnation, *epoch, *position);
            entry.and_then(|entry| conf_change::leave_joint(register, entry))
        }
        Event::SwitchWitness {
            region,
            incarnation,
            epoch,
            position,
            switches,
        } => {
            let entry = entry(register, *region, *incarnation, *epoch, *position);
            entry.and_then(|entry| conf_change::switch_witness(register, entry, switches))
        }
        Event::ReserveSnapshot {
            region,
            incarnation,
            description,
            position,
            sources,
        } => {
            let whole = (description, sources.as_slice());
            snapshots::reserve(register, *region, *incarnation, whole, *position)
        }
        Event::ReleaseSnapshot {
            region,
            incarnation,
        } => snapshots::release(register, *region, *incarnation),
        Event::InstallWitness {
            region,
            incarnation,
            description,
            position,
            sources,
        } => {
            let whole = (description, sources.as_slice());
            snapshots::install_witness(register, *region, *incarnation, whole, *position)
        }
        Event::BeginSnapshot {
            region,
            incarnation,
            description,
            snapshot,
            sources,
        } => {
            let whole = (description, sources.as_slice());
            snapshots::begin(register, *region, *incarnation, whole, *snapshot)
        }
        Event::EndSnapshot {
            region,
            incarnation,
            floor,
        } => snapshots::end(register, *region, *incarnation, *floor),
        Event::AbortSnapshot {
            region,
            incarnation,
            reason,
        } => snapshots::abort(register, *region, *incarnation, *reason),
        Event::Destroy {
            region,
            incarnation,
            peer,
            cause,
        } => destroying::destroy(register, *region, *incarnation, *peer, *cause),
        Event::FinishDeletion { deletion } => destroying::finish_deletion(register, *deletion),
        Event::Damage {
            region,
            incarnation,
            reason,
        } => destroying::damage(register, *region, *incarnation, *reason),
        Event::Barrier { number, floors } => keeping::barrier(register, *number, floors),
        Event::NewDataStore { generation } => keeping::new_data_store(register, *generation),
        Event::SequenceLease { up_to } => keeping::lease(register, *up_to),
        Event::LoadRequest {
            region,
            incarnation,
            epoch,
        } => caching::request(register, *region, *incarnation, *epoch),
        Event::LoadBegin {
            region,
            incarnation,
        } => caching::begin(register, *region, *incarnation),
        Event::LoadEnd {
            region,
            incarnation,
        } => caching::end(register, *region, *incarnation),
        Event::LoadCancel {
            region,
            incarnation,
            reason,
        } => caching::cancel(register, *region, *incarnation, *reason),
        Event::Evict { region, reason } => caching::evict(register, *region, *reason),
        Event::EvictBegin { region } => caching::evict_begin(register, *region),
        Event::EvictEnd { region } => caching::evict_end(register, *region),
        Event::CacheLost { region } => caching::lost(register, *region),
        Event::Observer(event) => Ok(observer::step(register, event)),
    };
    decided.unwrap_or_else(Outcome::Refused)
}

/// An event that has to be decided and recorded before `event`, which [`step`] accepts: what `event` takes
/// the sense from does not go without a record of its own. The answer to `event` is the same afterwards.
pub fn preceding(register: &Register, event: &Event) -> Option<Event> {
    match event {
        Event::Split(split) => caching::dropped_by_split(register, split.region),
        Event::Identify { .. }
        | Event::Bootstrap { .. }
        | Event::PrepareBootstrap { .. }
        | Event::ConfirmBootstrap { .. }
        | Event::AbandonBootstrap { .. }
        | Event::RecoverRegion { .. }
        | Event::ForceVoters { .. }
        | Event::PlaceTombstone { .. }
        | Event::CollectTombstone { .. }
        | Event::CreateByMessage { .. }
        | Event::ChangePeers { .. }
        | Event::PrepareMerge { .. }
        | Event::CommitMerge { .. }
        | Event::RollbackMerge { .. }
        | Event::BeginFlashback { .. }
        | Event::EndFlashback { .. }
        | Event::EnterJoint { .. }
        | Event::LeaveJoint { .. }
        | Event::SwitchWitness { .. }
        | Event::ReserveSnapshot { .. }
        | Event::ReleaseSnapshot { .. }
        | Event::InstallWitness { .. }
        | Event::BeginSnapshot { .. }
        | Event::EndSnapshot { .. }
        | Event::AbortSnapshot { .. }
        | Event::Destroy { .. }
        | Event::FinishDeletion { .. }
        | Event::Damage { .. }
        | Event::Barrier { .. }
        | Event::NewDataStore { .. }
        | Event::SequenceLease { .. }
        | Event::LoadRequest { .. }
        | Event::LoadBegin { .. }
        | Event::LoadEnd { .. }
        | Event::LoadCancel { .. }
        | Event::Evict { .. }
        | Event::EvictBegin { .. }
        | Event::EvictEnd { .. }
        | Event::CacheLost { .. }
        | Event::Observer(_) => None,
    }
}

/// The entry that an event is about, for the live peer that its caller means.
fn entry(
    register: &Register,
    region: RegionId,
    incarnation: Option<Incarnation>,
    epoch: RegionEpoch,
    position: RaftPosition,
) -> Result<Entry<'_>, Refusal> {
    let peer = gate::live(register, region, incarnation)?;
    Ok(Entry {
        region,
        peer,
        epoch,
        position,
    })
}
