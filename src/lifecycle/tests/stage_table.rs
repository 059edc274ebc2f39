//! Every stage of a peer against every event, held to a table that was written by hand.

use std::collections::{BTreeMap, BTreeSet};

use torrens_journal::Lsn;

use super::world::{STORE, World, at, epoch, key, region, snapshot, split, voter, word};
use crate::lifecycle::{
    AbortReason, DamageReason, DeletionId, Derive, DestroyCause, Event, EvictReason, Floor,
    FloorUpdate, ObserverEvent, PeerChange, WitnessSwitch, step,
};
use crate::{Incarnation, ObserverId, PeerId, RegionId, Sequence, StoreId};

/// The region whose peer goes through the stages; peer 21, keys `m .. z`. Region 1 lives beside it.
const SUBJECT: RegionId = RegionId(2);

/// What the machine must say. `-` is "already applied", a dotted word is an accepted kind, any other
/// is a refusal's code.
const TABLE: &str = "
event            | absent             | tombstone          | uninitialized      | first-apply       | normal             | applying           | damaged
identify         | -                  | -                  | -                  | -                 | -                  | -                  | -
identify-other   | store-mismatch     | store-mismatch     | store-mismatch     | store-mismatch    | store-mismatch     | store-mismatch     | store-mismatch
bootstrap        | store-not-empty    | store-not-empty    | store-not-empty    | store-not-empty   | store-not-empty    | store-not-empty    | store-not-empty
create-same      | peer.create        | peer-tombstoned    | -                  | -                 | -                  | -                  | -
create-older     | peer.create        | peer-tombstoned    | peer-stale         | peer-stale        | peer-stale         | peer-stale         | peer-stale
create-newer     | peer.create        | peer.create        | peer-older-lives   | peer-older-lives  | peer-older-lives   | peer-older-lives   | peer-older-lives
split            | region-not-found   | peer-tombstoned    | peer-uninitialized | snapshot-applying | region.split       | snapshot-applying  | region-damaged
split-again      | region-not-found   | peer-tombstoned    | peer-uninitialized | -                 | -                  | -                  | -
split-stale      | region-not-found   | peer-tombstoned    | peer-uninitialized | snapshot-applying | epoch-stale        | snapshot-applying  | region-damaged
split-ahead      | region-not-found   | peer-tombstoned    | peer-uninitialized | snapshot-applying | epoch-ahead        | snapshot-applying  | region-damaged
split-outside    | region-not-found   | peer-tombstoned    | peer-uninitialized | snapshot-applying | split-invalid      | snapshot-applying  | region-damaged
add              | region-not-found   | peer-tombstoned    | peer-uninitialized | snapshot-applying | region.change-peers | snapshot-applying | region-damaged
add-stale        | region-not-found   | peer-tombstoned    | peer-uninitialized | snapshot-applying | epoch-stale        | snapshot-applying  | region-damaged
add-listed       | region-not-found   | peer-tombstoned    | peer-uninitialized | snapshot-applying | description-invalid | snapshot-applying | region-damaged
remove-other     | region-not-found   | peer-tombstoned    | peer-uninitialized | snapshot-applying | region.change-peers | snapshot-applying | region-damaged
remove-unknown   | region-not-found   | peer-tombstoned    | peer-uninitialized | snapshot-applying | peer-unknown       | snapshot-applying  | region-damaged
remove-self      | region-not-found   | peer-tombstoned    | peer-uninitialized | snapshot-applying | region.remove-self | snapshot-applying  | region-damaged
promote-voter    | region-not-found   | peer-tombstoned    | peer-uninitialized | snapshot-applying | role-unchanged     | snapshot-applying  | region-damaged
demote           | region-not-found   | peer-tombstoned    | peer-uninitialized | snapshot-applying | region.change-peers | snapshot-applying | region-damaged
change-gone      | region-not-found   | incarnation-gone   | incarnation-gone   | incarnation-gone  | incarnation-gone   | incarnation-gone   | incarnation-gone
joint            | region-not-found   | peer-tombstoned    | peer-uninitialized | snapshot-applying | region.enter-joint | snapshot-applying  | region-damaged
joint-one        | region-not-found   | peer-tombstoned    | peer-uninitialized | snapshot-applying | peer-change-invalid | snapshot-applying | region-damaged
joint-no-voter   | region-not-found   | peer-tombstoned    | peer-uninitialized | snapshot-applying | description-invalid | snapshot-applying | region-damaged
leave-joint      | region-not-found   | peer-tombstoned    | peer-uninitialized | snapshot-applying | peer-change-invalid | snapshot-applying | region-damaged
witness-self     | region-not-found   | peer-tombstoned    | peer-uninitialized | snapshot-applying | region.switch-witness | snapshot-applying | region-damaged
witness-other    | region-not-found   | peer-tombstoned    | peer-uninitialized | snapshot-applying | region.switch-witness | snapshot-applying | region-damaged
data-self        | region-not-found   | peer-tombstoned    | peer-uninitialized | snapshot-applying | role-unchanged     | snapshot-applying  | region-damaged
witness-none     | region-not-found   | peer-tombstoned    | peer-uninitialized | snapshot-applying | peer-change-invalid | snapshot-applying | region-damaged
split-witness    | region-not-found   | peer-tombstoned    | peer-uninitialized | snapshot-applying | split-invalid      | snapshot-applying  | region-damaged
install          | region-not-found   | incarnation-gone   | snapshot.witness   | snapshot-applying | snapshot.witness   | snapshot-applying  | snapshot.witness
install-again    | region-not-found   | incarnation-gone   | snapshot.witness   | snapshot-applying | snapshot-stale     | snapshot-applying  | snapshot.witness
install-data     | region-not-found   | incarnation-gone   | witness-mismatch   | witness-mismatch  | witness-mismatch   | witness-mismatch   | witness-mismatch
begin-witness    | region-not-found   | incarnation-gone   | witness-mismatch   | witness-mismatch  | witness-mismatch   | witness-mismatch   | witness-mismatch
prepare          | region-not-found   | peer-tombstoned    | peer-uninitialized | snapshot-applying | region.merge-prepare | snapshot-applying  | region-damaged
prepare-far      | region-not-found   | peer-tombstoned    | peer-uninitialized | snapshot-applying | merge-invalid      | snapshot-applying  | region-damaged
prepare-stale    | region-not-found   | peer-tombstoned    | peer-uninitialized | snapshot-applying | epoch-stale        | snapshot-applying  | region-damaged
rollback         | region-not-found   | peer-tombstoned    | peer-uninitialized | snapshot-applying | merge-none         | snapshot-applying  | region-damaged
rollback-other   | region-not-found   | peer-tombstoned    | peer-uninitialized | snapshot-applying | merge-none         | snapshot-applying  | region-damaged
commit           | region-not-found   | peer-tombstoned    | peer-uninitialized | snapshot-applying | merge-source-behind | snapshot-applying  | region-damaged
commit-lost      | region-not-found   | peer-tombstoned    | peer-uninitialized | snapshot-applying | peer.damage        | snapshot-applying  | region-damaged
flashback        | region-not-found   | peer-tombstoned    | peer-uninitialized | snapshot-applying | region.flashback-begin | snapshot-applying  | region-damaged
flashback-end    | region-not-found   | peer-tombstoned    | peer-uninitialized | snapshot-applying | region.flashback-end | snapshot-applying  | region-damaged
prepare-bootstrap | store-not-empty    | store-not-empty    | store-not-empty    | store-not-empty   | store-not-empty    | store-not-empty    | store-not-empty
confirm          | region-not-found   | peer-tombstoned    | peer-uninitialized | snapshot-applying | -                  | snapshot-applying  | region-damaged
abandon          | -                  | bootstrap-confirmed | bootstrap-confirmed | bootstrap-confirmed | bootstrap-confirmed | bootstrap-confirmed | bootstrap-confirmed
recover          | region.recover     | peer-tombstoned    | region-lives       | region-lives      | -                  | region-lives       | region-lives
recover-overlap  | range-overlap      | peer-tombstoned    | region-lives       | region-lives      | region-lives       | region-lives       | region-lives
force            | region-not-found   | peer-tombstoned    | peer-uninitialized | snapshot-applying | region.force-voters | snapshot-applying  | region-damaged
force-own        | region-not-found   | peer-tombstoned    | peer-uninitialized | snapshot-applying | peer-change-invalid | snapshot-applying  | region-damaged
force-none       | region-not-found   | peer-tombstoned    | peer-uninitialized | snapshot-applying | -                  | snapshot-applying  | region-damaged
place            | peer.tombstone     | -                  | region-lives       | region-lives      | region-lives       | region-lives       | region-lives
collect          | -                  | peer.collect       | region-lives       | region-lives      | region-lives       | region-lives       | region-lives
collect-low      | -                  | peer-tombstoned    | region-lives       | region-lives      | region-lives       | region-lives       | region-lives
reserve          | region-not-found   | incarnation-gone   | snapshot.reserve   | snapshot-applying | snapshot.reserve   | snapshot-applying  | snapshot.reserve
reserve-overlap  | region-not-found   | incarnation-gone   | range-overlap      | snapshot-applying | range-overlap      | snapshot-applying  | range-overlap
reserve-gone     | region-not-found   | incarnation-gone   | incarnation-gone   | incarnation-gone  | incarnation-gone   | incarnation-gone   | incarnation-gone
release          | region-not-found   | incarnation-gone   | -                  | -                 | -                  | -                  | -
begin-newer      | region-not-found   | incarnation-gone   | snapshot.begin     | snapshot-applying | snapshot.begin     | snapshot-applying  | snapshot.begin
begin-again      | region-not-found   | incarnation-gone   | snapshot.begin     | -                 | snapshot-stale     | snapshot-applying  | snapshot.begin
begin-older      | region-not-found   | incarnation-gone   | snapshot.begin     | snapshot-applying | snapshot-stale     | snapshot-applying  | snapshot-stale
begin-old-epoch  | region-not-found   | incarnation-gone   | snapshot.begin     | snapshot-applying | epoch-stale        | snapshot-applying  | epoch-stale
begin-overlap    | region-not-found   | incarnation-gone   | range-overlap      | snapshot-applying | range-overlap      | snapshot-applying  | range-overlap
begin-unlisted   | region-not-found   | incarnation-gone   | peer-not-listed    | peer-not-listed   | peer-not-listed    | peer-not-listed    | peer-not-listed
begin-invalid    | region-not-found   | incarnation-gone   | description-invalid | description-invalid | description-invalid | description-invalid | description-invalid
begin-other      | region-not-found   | incarnation-gone   | snapshot-other-region | snapshot-other-region | snapshot-other-region | snapshot-other-region | snapshot-other-region
begin-gone       | region-not-found   | incarnation-gone   | incarnation-gone   | incarnation-gone  | incarnation-gone   | incarnation-gone   | incarnation-gone
end              | region-not-found   | incarnation-gone   | peer-uninitialized | snapshot.end      | -                  | floor-mismatch     | region-damaged
end-above        | region-not-found   | incarnation-gone   | peer-uninitialized | floor-mismatch    | snapshot-none      | floor-mismatch     | region-damaged
end-no-barrier   | region-not-found   | incarnation-gone   | peer-uninitialized | floor-mismatch    | -                  | floor-mismatch     | region-damaged
abort            | region-not-found   | incarnation-gone   | snapshot-none      | snapshot.abort    | snapshot-none      | snapshot.abort     | snapshot-none
destroy          | region-not-found   | -                  | peer.destroy-begin | peer.destroy-begin | peer.destroy-begin | peer.destroy-begin | peer.destroy-begin
destroy-gone     | region-not-found   | -                  | incarnation-gone   | incarnation-gone  | incarnation-gone   | incarnation-gone   | incarnation-gone
destroy-older    | region-not-found   | -                  | peer-stale         | peer-stale        | peer-stale         | peer-stale         | peer-stale
destroy-newer    | region-not-found   | peer-tombstoned    | peer-older-lives   | peer-older-lives  | peer-older-lives   | peer-older-lives   | peer-older-lives
destroy-removed  | region-not-found   | -                  | peer.destroy-begin | peer.destroy-begin | peer.destroy-begin | peer.destroy-begin | peer.destroy-begin
destroy-stale    | region-not-found   | -                  | peer.destroy-begin | epoch-not-newer   | epoch-not-newer    | epoch-not-newer    | epoch-not-newer
destroy-larger   | region-not-found   | -                  | peer.destroy-begin | peer.destroy-begin | peer.destroy-begin | peer.destroy-begin | peer.destroy-begin
finish-done      | -                  | -                  | -                  | -                 | -                  | -                  | -
finish-unknown   | deletion-unknown   | deletion-unknown   | deletion-unknown   | deletion-unknown  | deletion-unknown   | deletion-unknown   | deletion-unknown
damage           | region-not-found   | incarnation-gone   | peer-uninitialized | snapshot-applying | peer.damage        | snapshot-applying  | -
barrier          | store.barrier      | store.barrier      | store.barrier      | store.barrier     | store.barrier      | store.barrier      | store.barrier
barrier-again    | -                  | -                  | -                  | -                 | -                  | -                  | -
new-data-store   | store.new-data     | store.new-data     | store.new-data     | store.new-data    | data-store-in-use  | store.new-data     | store.new-data
lease            | store.lease        | store.lease        | store.lease        | store.lease       | store.lease        | store.lease        | store.lease
lease-again      | -                  | -                  | -                  | -                 | -                  | -                  | -
load             | region-not-found   | incarnation-gone   | peer-uninitialized | snapshot-applying | cache.request      | snapshot-applying  | region-damaged
load-stale       | region-not-found   | incarnation-gone   | peer-uninitialized | snapshot-applying | epoch-stale        | snapshot-applying  | region-damaged
load-gone        | region-not-found   | incarnation-gone   | incarnation-gone   | incarnation-gone  | incarnation-gone   | incarnation-gone   | incarnation-gone
load-begin       | region-not-found   | incarnation-gone   | cache-state        | cache-state       | cache-state        | cache-state        | cache-state
load-end         | region-not-found   | incarnation-gone   | cache-state        | cache-state       | cache-state        | cache-state        | cache-state
load-cancel      | region-not-found   | incarnation-gone   | -                  | -                 | -                  | -                  | -
evict            | -                  | -                  | -                  | -                 | -                  | -                  | -
evict-begin      | -                  | -                  | -                  | -                 | -                  | -                  | -
evict-end        | -                  | -                  | -                  | -                 | -                  | -                  | -
cache-lost       | -                  | -                  | -                  | -                 | -                  | -                  | -
observers-restart | -                 | -                  | -                  | -                 | -                  | -                  | -
observer-pause   | observer-unknown   | observer-unknown   | observer-unknown   | observer-unknown  | observer-unknown   | observer-unknown   | observer-unknown
";

/// The same rows for the stages that a region's log leads to.
const MORE_STAGES: &str = "
event            | witness                | waiting                | merging                | flashback
identify         | -                      | -                      | -                      | -
identify-other   | store-mismatch         | store-mismatch         | store-mismatch         | store-mismatch
bootstrap        | store-not-empty        | store-not-empty        | store-not-empty        | store-not-empty
create-same      | -                      | -                      | -                      | -
create-older     | peer-stale             | peer-stale             | peer-stale             | peer-stale
create-newer     | peer-older-lives       | peer-older-lives       | peer-older-lives       | peer-older-lives
split            | split-invalid          | waiting-for-data       | region-merging         | region-in-flashback
split-again      | -                      | -                      | -                      | -
split-stale      | epoch-stale            | waiting-for-data       | region-merging         | region-in-flashback
split-ahead      | epoch-ahead            | waiting-for-data       | region-merging         | region-in-flashback
split-outside    | split-invalid          | waiting-for-data       | region-merging         | region-in-flashback
add              | region.change-peers    | waiting-for-data       | region-merging         | region-in-flashback
add-stale        | epoch-stale            | waiting-for-data       | region-merging         | region-in-flashback
add-listed       | description-invalid    | waiting-for-data       | region-merging         | region-in-flashback
remove-other     | region.change-peers    | waiting-for-data       | region-merging         | region-in-flashback
remove-unknown   | peer-unknown           | waiting-for-data       | region-merging         | region-in-flashback
remove-self      | region.remove-self     | waiting-for-data       | region-merging         | region-in-flashback
promote-voter    | role-unchanged         | waiting-for-data       | region-merging         | region-in-flashback
demote           | region.change-peers    | waiting-for-data       | region-merging         | region-in-flashback
change-gone      | incarnation-gone       | incarnation-gone       | incarnation-gone       | incarnation-gone
joint            | region.enter-joint     | waiting-for-data       | region-merging         | region-in-flashback
joint-one        | peer-change-invalid    | waiting-for-data       | region-merging         | region-in-flashback
joint-no-voter   | description-invalid    | waiting-for-data       | region-merging         | region-in-flashback
leave-joint      | peer-change-invalid    | waiting-for-data       | region-merging         | region-in-flashback
witness-self     | role-unchanged         | waiting-for-data       | region-merging         | region-in-flashback
witness-other    | region.switch-witness  | waiting-for-data       | region-merging         | region-in-flashback
data-self        | region.switch-witness  | waiting-for-data       | region-merging         | region-in-flashback
witness-none     | peer-change-invalid    | waiting-for-data       | region-merging         | region-in-flashback
split-witness    | region.split           | waiting-for-data       | region-merging         | region-in-flashback
install          | snapshot.witness       | snapshot.witness       | snapshot.witness       | snapshot.witness
install-again    | -                      | snapshot.witness       | snapshot-stale         | snapshot-stale
install-data     | witness-mismatch       | witness-mismatch       | witness-mismatch       | witness-mismatch
begin-witness    | witness-mismatch       | witness-mismatch       | witness-mismatch       | witness-mismatch
prepare          | merge-invalid          | waiting-for-data       | region-merging         | region-in-flashback
prepare-far      | merge-invalid          | waiting-for-data       | region-merging         | region-in-flashback
prepare-stale    | epoch-stale            | waiting-for-data       | region-merging         | region-in-flashback
rollback         | merge-none             | waiting-for-data       | region.merge-rollback  | merge-none
rollback-other   | merge-none             | waiting-for-data       | merge-other            | merge-none
commit           | merge-invalid          | waiting-for-data       | region-merging         | region-in-flashback
commit-lost      | merge-invalid          | waiting-for-data       | region-merging         | region-in-flashback
flashback        | region.flashback-begin | waiting-for-data       | region-merging         | region.flashback-begin
flashback-end    | region.flashback-end   | waiting-for-data       | region-merging         | region.flashback-end
prepare-bootstrap | store-not-empty        | store-not-empty        | store-not-empty        | store-not-empty
confirm          | -                      | waiting-for-data       | -                      | -
abandon          | bootstrap-confirmed    | bootstrap-confirmed    | bootstrap-confirmed    | bootstrap-confirmed
recover          | region-lives           | region-lives           | -                      | -
recover-overlap  | region-lives           | region-lives           | region-lives           | region-lives
force            | region.force-voters    | waiting-for-data       | region-merging         | region-in-flashback
force-own        | peer-change-invalid    | waiting-for-data       | region-merging         | region-in-flashback
force-none       | -                      | waiting-for-data       | region-merging         | region-in-flashback
place            | region-lives           | region-lives           | region-lives           | region-lives
collect          | region-lives           | region-lives           | region-lives           | region-lives
collect-low      | region-lives           | region-lives           | region-lives           | region-lives
reserve          | snapshot.reserve       | snapshot.reserve       | snapshot.reserve       | snapshot.reserve
reserve-overlap  | range-overlap          | range-overlap          | range-overlap          | range-overlap
reserve-gone     | incarnation-gone       | incarnation-gone       | incarnation-gone       | incarnation-gone
release          | -                      | -                      | -                      | -
begin-newer      | snapshot.begin         | snapshot.begin         | snapshot.begin         | snapshot.begin
begin-again      | snapshot.begin         | snapshot.begin         | snapshot-stale         | snapshot-stale
begin-older      | snapshot-stale         | snapshot-stale         | snapshot-stale         | snapshot-stale
begin-old-epoch  | epoch-stale            | epoch-stale            | epoch-stale            | epoch-stale
begin-overlap    | range-overlap          | range-overlap          | range-overlap          | range-overlap
begin-unlisted   | peer-not-listed        | peer-not-listed        | peer-not-listed        | peer-not-listed
begin-invalid    | description-invalid    | description-invalid    | description-invalid    | description-invalid
begin-other      | snapshot-other-region  | snapshot-other-region  | snapshot-other-region  | snapshot-other-region
begin-gone       | incarnation-gone       | incarnation-gone       | incarnation-gone       | incarnation-gone
end              | snapshot-none          | waiting-for-data       | snapshot-none          | snapshot-none
end-above        | snapshot-none          | waiting-for-data       | snapshot-none          | snapshot-none
end-no-barrier   | snapshot-none          | waiting-for-data       | snapshot-none          | snapshot-none
abort            | snapshot-none          | snapshot-none          | snapshot-none          | snapshot-none
destroy          | peer.destroy-begin     | peer.destroy-begin     | peer.destroy-begin     | peer.destroy-begin
destroy-gone     | incarnation-gone       | incarnation-gone       | incarnation-gone       | incarnation-gone
destroy-older    | peer-stale             | peer-stale             | peer-stale             | peer-stale
destroy-newer    | peer-older-lives       | peer-older-lives       | peer-older-lives       | peer-older-lives
destroy-removed  | peer.destroy-begin     | peer.destroy-begin     | peer.destroy-begin     | peer.destroy-begin
destroy-stale    | epoch-not-newer        | epoch-not-newer        | epoch-not-newer        | epoch-not-newer
destroy-larger   | peer.destroy-begin     | peer.destroy-begin     | peer.destroy-begin     | peer.destroy-begin
finish-done      | -                      | -                      | -                      | -
finish-unknown   | deletion-unknown       | deletion-unknown       | deletion-unknown       | deletion-unknown
damage           | peer-is-witness        | waiting-for-data       | peer.damage            | peer.damage
barrier          | store.barrier          | store.barrier          | store.barrier          | store.barrier
barrier-again    | -                      | -                      | -                      | -
new-data-store   | store.new-data         | store.new-data         | data-store-in-use      | data-store-in-use
lease            | store.lease            | store.lease            | store.lease            | store.lease
lease-again      | -                      | -                      | -                      | -
load             | peer-is-witness        | waiting-for-data       | region-merging         | region-in-flashback
load-stale       | peer-is-witness        | waiting-for-data       | region-merging         | region-in-flashback
load-gone        | incarnation-gone       | incarnation-gone       | incarnation-gone       | incarnation-gone
load-begin       | cache-state            | cache-state            | cache-state            | cache-state
load-end         | cache-state            | cache-state            | cache-state            | cache-state
load-cancel      | -                      | -                      | -                      | -
evict            | -                      | -                      | -                      | -
evict-begin      | -                      | -                      | -                      | -
evict-end        | -                      | -                      | -                      | -
cache-lost       | -                      | -                      | -                      | -
observers-restart | -                     | -                      | -                      | -
observer-pause   | observer-unknown       | observer-unknown       | observer-unknown       | observer-unknown
";

/// The store in each stage of the subject, with the incarnation that a caller would name.
pub(super) fn stages() -> BTreeMap<&'static str, (World, Incarnation)> {
    // A bit of history first, so that "already finished" deletions and barriers exist.
    let mut absent = World::bootstrapped("", "m");
    absent.barrier();
    absent.accept(&Event::SequenceLease {
        up_to: Sequence::new(100),
    });
    let mut uninitialized = absent.clone();
    let incarnation = uninitialized.create(2);
    let mut first = uninitialized.clone();
    first.accept(&first.begin(region(2, "m", "z", (3, 4)), 20));
    let mut normal = first.clone();
    normal.end(2, 20);
    let mut applying = normal.clone();
    applying.accept(&applying.begin(region(2, "m", "z", (3, 4)), 25));
    let mut damaged = normal.clone();
    damaged.accept(&Event::Damage {
        region: SUBJECT,
        incarnation,
        reason: DamageReason::StoreReplaced,
    });
    let as_witness = |conf_ver| {
        let mut description = region(2, "m", "z", (conf_ver, 4));
        description.peers[0].is_witness = true;
        description
    };
    let install = |conf_ver, index| Event::InstallWitness {
        region: SUBJECT,
        incarnation,
        description: as_witness(conf_ver),
        position: at(index),
        sources: Vec::new(),
    };
    let mut witness = uninitialized.clone();
    witness.accept(&install(3, 20));
    let mut waiting = uninitialized.clone();
    waiting.accept(&install(2, 19));
    waiting.accept(&Event::SwitchWitness {
        region: SUBJECT,
        incarnation: Some(incarnation),
        epoch: epoch(2, 4),
        position: at(20),
        switches: vec![switch(21, false)],
    });
    let served = |conf_ver, version| {
        let mut served = uninitialized.clone();
        served.accept(&served.begin(region(2, "m", "z", (conf_ver, version)), 19));
        served.end(2, 19);
        served
    };
    let mut merging = served(2, 3);
    merging.accept(&Event::PrepareMerge {
        region: SUBJECT,
        incarnation: None,
        epoch: epoch(2, 3),
        position: at(20),
        target: region(1, "", "m", (1, 1)),
        min_index: 15,
    });
    let mut flashback = served(3, 4);
    flashback.accept(&Event::BeginFlashback {
        region: SUBJECT,
        incarnation: None,
        epoch: epoch(3, 4),
        position: at(20),
    });
    let mut tombstone = normal.clone();
    tombstone.accept(&destroy(PeerId(21), None, DestroyCause::Operator));
    tombstone.finish_deletions();
    [
        ("absent", absent),
        ("tombstone", tombstone),
        ("uninitialized", uninitialized),
        ("first-apply", first),
        ("normal", normal),
        ("applying", applying),
        ("damaged", damaged),
        ("witness", witness),
        ("waiting", waiting),
        ("merging", merging),
        ("flashback", flashback),
    ]
    .into_iter()
    .map(|(name, world)| (name, (world, incarnation)))
    .collect()
}

fn switch(peer: u64, witness: bool) -> WitnessSwitch {
    let peer = PeerId(peer);
    WitnessSwitch { peer, witness }
}

fn destroy(peer: PeerId, incarnation: Option<Incarnation>, cause: DestroyCause) -> Event {
    Event::Destroy {
        region: SUBJECT,
        incarnation,
        peer,
        cause,
    }
}

/// Every event of the table, for a caller that means `incarnation`.
fn events(world: &World, incarnation: Incarnation) -> Vec<(&'static str, Event)> {
    let region_id = SUBJECT;
    let gone = Incarnation::new(Lsn::new(1));
    let other = StoreId(9);
    let change = |index, epoch, change| Event::ChangePeers {
        region: region_id,
        incarnation: None,
        epoch,
        position: at(index),
        change,
    };
    let begin = |incarnation, id, index, description| Event::BeginSnapshot {
        region: RegionId(id),
        incarnation,
        description,
        snapshot: snapshot(index),
        sources: Vec::new(),
    };
    let create = |peer| Event::CreateByMessage {
        region: region_id,
        peer: PeerId(peer),
        from_store: StoreId(2),
        message_epoch: epoch(1, 1),
    };
    let end = |index, barrier| Event::EndSnapshot {
        region: region_id,
        incarnation,
        floor: Floor { index, barrier },
    };
    let good = || region(2, "m", "z", (3, 4));
    let mut unlisted = good();
    unlisted.peers = vec![voter(29, 1)];
    let mut invalid = good();
    invalid.peers.clear();
    let barrier = world.register.barrier();
    let floors = vec![FloorUpdate {
        region: region_id,
        incarnation,
        index: 30,
    }];
    let current = epoch(3, 4);
    let removed = |epoch| DestroyCause::Removed { epoch };
    let incarnation_of_caller = incarnation;
    let joint = |changes| Event::EnterJoint {
        region: region_id,
        incarnation: None,
        epoch: current,
        position: at(30),
        changes,
    };
    let switches = |switches| Event::SwitchWitness {
        region: region_id,
        incarnation: None,
        epoch: current,
        position: at(30),
        switches,
    };
    let install = |index, description| Event::InstallWitness {
        region: region_id,
        incarnation: incarnation_of_caller,
        description,
        position: at(index),
        sources: Vec::new(),
    };
    let mut as_witness = good();
    as_witness.peers[0].is_witness = true;
    let Event::Split(mut split_witness) = split(2, current, 30, "p", 3, Derive::Right) else {
        unreachable!()
    };
    split_witness.children[0].peers[0].is_witness = true;
    let (add, demote) = (PeerChange::Add { peer: voter(23, 3) }, |peer| {
        PeerChange::Demote { peer: PeerId(peer) }
    });
    let prepare = |epoch, target| Event::PrepareMerge {
        region: region_id,
        incarnation: None,
        epoch,
        position: at(30),
        target,
        min_index: 15,
    };
    let rollback = |commit| Event::RollbackMerge {
        region: region_id,
        incarnation: None,
        epoch: current,
        position: at(30),
        commit,
    };
    let commit = |source| Event::CommitMerge {
        region: region_id,
        incarnation: None,
        epoch: current,
        position: at(30),
        source,
        commit: 8,
    };
    let reserve = |incarnation, description| Event::ReserveSnapshot {
        region: region_id,
        incarnation,
        description,
        position: at(31),
        sources: Vec::new(),
    };
    let force = |store| Event::ForceVoters {
        region: region_id,
        incarnation: None,
        epoch: current,
        failed: vec![StoreId(store)],
    };
    let collect = |peer| Event::CollectTombstone {
        region: region_id,
        highest_peer: PeerId(peer),
    };
    let larger = DestroyCause::LargerPeer { peer: PeerId(30) };
    let reason = EvictReason::Requested;
    let done = DeletionId {
        lsn: Lsn::new(1),
        ordinal: 0,
    };
    let unknown = DeletionId {
        lsn: Lsn::new(1000),
        ordinal: 0,
    };
    vec![
        ("identify", Event::Identify { store: STORE }),
        ("identify-other", Event::Identify { store: other }),
        (
            "bootstrap",
            Event::Bootstrap {
                store: STORE,
                region: good(),
            },
        ),
        ("create-same", create(21)),
        ("create-older", create(19)),
        ("create-newer", create(30)),
        ("split", split(2, current, 30, "p", 3, Derive::Right)),
        ("split-again", split(2, current, 20, "p", 3, Derive::Right)),
        (
            "split-stale",
            split(2, epoch(3, 3), 30, "p", 3, Derive::Right),
        ),
        (
            "split-ahead",
            split(2, epoch(3, 5), 30, "p", 3, Derive::Right),
        ),
        (
            "split-outside",
            split(2, current, 30, "m", 3, Derive::Right),
        ),
        (
            "add",
            change(30, current, PeerChange::Add { peer: voter(23, 3) }),
        ),
        (
            "add-stale",
            change(30, epoch(2, 9), PeerChange::Add { peer: voter(23, 3) }),
        ),
        (
            "add-listed",
            change(30, current, PeerChange::Add { peer: voter(23, 2) }),
        ),
        (
            "remove-other",
            change(30, current, PeerChange::Remove { peer: PeerId(22) }),
        ),
        (
            "remove-unknown",
            change(30, current, PeerChange::Remove { peer: PeerId(99) }),
        ),
        (
            "remove-self",
            change(30, current, PeerChange::Remove { peer: PeerId(21) }),
        ),
        (
            "promote-voter",
            change(30, current, PeerChange::Promote { peer: PeerId(22) }),
        ),
        (
            "demote",
            change(30, current, PeerChange::Demote { peer: PeerId(22) }),
        ),
        (
            "change-gone",
            Event::ChangePeers {
                region: region_id,
                incarnation: Some(gone),
                epoch: current,
                position: at(30),
                change: PeerChange::Remove { peer: PeerId(22) },
            },
        ),
        ("joint", joint(vec![add, demote(22)])),
        ("joint-one", joint(vec![demote(22)])),
        ("joint-no-voter", joint(vec![demote(21), demote(22)])),
        (
            "leave-joint",
            Event::LeaveJoint {
                region: region_id,
                incarnation: None,
                epoch: current,
                position: at(30),
            },
        ),
        ("witness-self", switches(vec![switch(21, true)])),
        ("witness-other", switches(vec![switch(22, true)])),
        ("data-self", switches(vec![switch(21, false)])),
        ("witness-none", switches(vec![])),
        ("split-witness", Event::Split(split_witness)),
        ("install", install(31, as_witness.clone())),
        ("install-again", install(20, as_witness.clone())),
        ("install-data", install(31, good())),
        ("begin-witness", begin(incarnation, 2, 31, as_witness)),
        ("prepare", prepare(current, region(1, "", "m", (1, 1)))),
        ("prepare-far", prepare(current, region(5, "", "f", (1, 1)))),
        (
            "prepare-stale",
            prepare(epoch(3, 3), region(1, "", "m", (1, 1))),
        ),
        ("rollback", rollback(20)),
        ("rollback-other", rollback(7)),
        ("commit", commit(region(1, "", "m", (2, 2)))),
        ("commit-lost", commit(region(9, "z", "", (2, 2)))),
        (
            "flashback",
            Event::BeginFlashback {
                region: region_id,
                incarnation: None,
                epoch: current,
                position: at(30),
            },
        ),
        (
            "flashback-end",
            Event::EndFlashback {
                region: region_id,
                incarnation: None,
                epoch: current,
                position: at(30),
            },
        ),
        (
            "prepare-bootstrap",
            Event::PrepareBootstrap {
                store: STORE,
                region: good(),
            },
        ),
        ("confirm", Event::ConfirmBootstrap { region: region_id }),
        ("abandon", Event::AbandonBootstrap { region: region_id }),
        ("recover", Event::RecoverRegion { region: good() }),
        (
            "recover-overlap",
            Event::RecoverRegion {
                region: region(2, "l", "z", (3, 4)),
            },
        ),
        ("force", force(2)),
        ("force-own", force(1)),
        ("force-none", force(9)),
        (
            "place",
            Event::PlaceTombstone {
                region: region_id,
                peer: PeerId(21),
                epoch: current,
            },
        ),
        ("collect", collect(21)),
        ("collect-low", collect(20)),
        ("reserve", reserve(incarnation, good())),
        (
            "reserve-overlap",
            reserve(incarnation, region(2, "l", "z", (3, 4))),
        ),
        ("reserve-gone", reserve(gone, good())),
        (
            "release",
            Event::ReleaseSnapshot {
                region: region_id,
                incarnation,
            },
        ),
        ("begin-newer", begin(incarnation, 2, 31, good())),
        ("begin-again", begin(incarnation, 2, 20, good())),
        ("begin-older", begin(incarnation, 2, 19, good())),
        (
            "begin-old-epoch",
            begin(incarnation, 2, 31, region(2, "m", "z", (2, 4))),
        ),
        (
            "begin-overlap",
            begin(incarnation, 2, 31, region(2, "l", "z", (3, 4))),
        ),
        ("begin-unlisted", begin(incarnation, 2, 31, unlisted)),
        ("begin-invalid", begin(incarnation, 2, 31, invalid)),
        (
            "begin-other",
            begin(incarnation, 2, 31, region(7, "m", "z", (3, 4))),
        ),
        ("begin-gone", begin(gone, 2, 31, good())),
        ("end", end(20, barrier)),
        ("end-above", end(21, barrier)),
        ("end-no-barrier", end(20, barrier + 1)),
        (
            "abort",
            Event::AbortSnapshot {
                region: region_id,
                incarnation,
                reason: AbortReason::StagedFileLost,
            },
        ),
        (
            "destroy",
            destroy(PeerId(21), Some(incarnation), DestroyCause::Operator),
        ),
        (
            "destroy-gone",
            destroy(PeerId(21), Some(gone), DestroyCause::Operator),
        ),
        (
            "destroy-older",
            destroy(PeerId(20), None, DestroyCause::Operator),
        ),
        (
            "destroy-newer",
            destroy(PeerId(22), None, DestroyCause::Operator),
        ),
        (
            "destroy-removed",
            destroy(PeerId(21), None, removed(epoch(4, 4))),
        ),
        (
            "destroy-stale",
            destroy(PeerId(21), None, removed(epoch(3, 4))),
        ),
        ("destroy-larger", destroy(PeerId(21), None, larger)),
        ("finish-done", Event::FinishDeletion { deletion: done }),
        (
            "finish-unknown",
            Event::FinishDeletion { deletion: unknown },
        ),
        (
            "damage",
            Event::Damage {
                region: region_id,
                incarnation,
                reason: DamageReason::RowMissing { floor: 20 },
            },
        ),
        (
            "barrier",
            Event::Barrier {
                number: barrier + 1,
                floors: floors.clone(),
            },
        ),
        (
            "barrier-again",
            Event::Barrier {
                number: barrier,
                floors,
            },
        ),
        (
            "new-data-store",
            Event::NewDataStore {
                generation: [7; 16],
            },
        ),
        (
            "lease",
            Event::SequenceLease {
                up_to: Sequence::new(200),
            },
        ),
        (
            "lease-again",
            Event::SequenceLease {
                up_to: Sequence::new(100),
            },
        ),
        (
            "load",
            Event::LoadRequest {
                region: region_id,
                incarnation,
                epoch: current,
            },
        ),
        (
            "load-stale",
            Event::LoadRequest {
                region: region_id,
                incarnation,
                epoch: epoch(3, 3),
            },
        ),
        (
            "load-gone",
            Event::LoadRequest {
                region: region_id,
                incarnation: gone,
                epoch: current,
            },
        ),
        (
            "load-begin",
            Event::LoadBegin {
                region: region_id,
                incarnation,
            },
        ),
        (
            "load-end",
            Event::LoadEnd {
                region: region_id,
                incarnation,
            },
        ),
        (
            "load-cancel",
            Event::LoadCancel {
                region: region_id,
                incarnation,
                reason,
            },
        ),
        (
            "evict",
            Event::Evict {
                region: region_id,
                reason,
            },
        ),
        ("evict-begin", Event::EvictBegin { region: region_id }),
        ("evict-end", Event::EvictEnd { region: region_id }),
        ("cache-lost", Event::CacheLost { region: region_id }),
        ("observers-restart", Event::Observer(ObserverEvent::Restart)),
        (
            "observer-pause",
            Event::Observer(ObserverEvent::Pause {
                observer: ObserverId(1),
            }),
        ),
    ]
}

/// One name for each variant: a new variant does not compile until it has one, and the test fails
/// until the table has a row of it.
fn variant(event: &Event) -> &'static str {
    match event {
        Event::Identify { .. } => "identify",
        Event::Bootstrap { .. } => "bootstrap",
        Event::CreateByMessage { .. } => "create-same",
        Event::Split(_) => "split",
        Event::ChangePeers { .. } => "add",
        Event::EnterJoint { .. } => "joint",
        Event::LeaveJoint { .. } => "leave-joint",
        Event::SwitchWitness { .. } => "witness-self",
        Event::InstallWitness { .. } => "install",
        Event::ReserveSnapshot { .. } => "reserve",
        Event::ReleaseSnapshot { .. } => "release",
        Event::PrepareMerge { .. } => "prepare",
        Event::CommitMerge { .. } => "commit",
        Event::RollbackMerge { .. } => "rollback",
        Event::BeginFlashback { .. } => "flashback",
        Event::EndFlashback { .. } => "flashback-end",
        Event::PrepareBootstrap { .. } => "prepare-bootstrap",
        Event::ConfirmBootstrap { .. } => "confirm",
        Event::AbandonBootstrap { .. } => "abandon",
        Event::RecoverRegion { .. } => "recover",
        Event::ForceVoters { .. } => "force",
        Event::PlaceTombstone { .. } => "place",
        Event::CollectTombstone { .. } => "collect",
        Event::BeginSnapshot { .. } => "begin-newer",
        Event::EndSnapshot { .. } => "end",
        Event::AbortSnapshot { .. } => "abort",
        Event::Destroy { .. } => "destroy",
        Event::FinishDeletion { .. } => "finish-done",
        Event::Damage { .. } => "damage",
        Event::Barrier { .. } => "barrier",
        Event::NewDataStore { .. } => "new-data-store",
        Event::SequenceLease { .. } => "lease",
        Event::LoadRequest { .. } => "load",
        Event::LoadBegin { .. } => "load-begin",
        Event::LoadEnd { .. } => "load-end",
        Event::LoadCancel { .. } => "load-cancel",
        Event::Evict { .. } => "evict",
        Event::EvictBegin { .. } => "evict-begin",
        Event::EvictEnd { .. } => "evict-end",
        Event::CacheLost { .. } => "cache-lost",
        Event::Observer(_) => "observers-restart",
    }
}

/// A table's rows: first cell, then the others by the name of their column.
pub(super) fn rows(table: &str) -> BTreeMap<&str, BTreeMap<&str, &str>> {
    let mut lines = table.lines().filter(|line| !line.is_empty());
    let cells = |line| -> Vec<&str> { str::split(line, '|').map(str::trim).collect() };
    let head = cells(lines.next().unwrap());
    lines
        .map(cells)
        .map(|row| {
            assert_eq!(row.len(), head.len(), "row {}", row[0]);
            let named = head[1..].iter().copied().zip(row[1..].iter().copied());
            (row[0], named.collect())
        })
        .collect()
}

#[test]
fn every_stage_and_event_has_the_outcome_that_the_table_lists() {
    let mut expected = rows(TABLE);
    for (event, row) in rows(MORE_STAGES) {
        let known = expected.get_mut(event);
        known
            .unwrap_or_else(|| panic!("{event} stands in one table only"))
            .extend(row);
    }
    let mut seen = BTreeSet::new();
    let mut wrong = Vec::new();
    for (stage, (world, incarnation)) in stages() {
        let events = events(&world, incarnation);
        assert_eq!(
            events.len(),
            expected.len(),
            "the table has a row for each event"
        );
        for (name, event) in events {
            seen.insert(variant(&event));
            let found = word(&step(&world.register, &event));
            let found = if found == "already" { "-" } else { found };
            if found != expected[name][stage] {
                wrong.push(format!(
                    "{name} on {stage}: {found}, not {}",
                    expected[name][stage]
                ));
            }
            // Carrying it out keeps every invariant; being refused changes nothing.
            let mut after = world.clone();
            let is_accepted = after.ask(&event) != step(&world.register, &event)
                || after.register != world.register;
            assert_eq!(is_accepted, found.contains('.'), "{name} on {stage}");
            // Asked twice, nothing is ever done twice.
            let once = after.register.clone();
            let again = word(&after.ask(&event));
            if is_accepted {
                assert!(
                    after.register == once || again.contains('.'),
                    "{name} on {stage}"
                );
            } else {
                assert_eq!(after.register, once, "{name} on {stage}");
            }
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
    let variants: BTreeSet<_> = expected.keys().copied().collect();
    assert!(
        seen.is_subset(&variants),
        "each variant has a row of its own"
    );
}

#[test]
fn boundaries_have_to_increase_and_lie_inside() {
    let world = World::bootstrapped("b", "y");
    let ask = |boundaries: &[&str], ids: &[u64]| {
        let Event::Split(mut event) = split(1, epoch(1, 1), 6, "m", 2, Derive::Left) else {
            unreachable!()
        };
        event.boundaries = boundaries.iter().map(|k| key(k)).collect();
        event.children = ids
            .iter()
            .map(|id| crate::lifecycle::NewRegion {
                id: RegionId(*id),
                peers: region(*id, "", "", (1, 1)).peers,
            })
            .collect();
        word(&step(&world.register, &Event::Split(event)))
    };
    assert_eq!(ask(&["m"], &[2]), "region.split");
    assert_eq!(ask(&["d", "m"], &[2, 3]), "region.split");
    for (boundaries, ids) in [
        (&[][..], &[][..]),
        (&["m"], &[2, 3]),
        (&["m", "d"], &[2, 3]),
        (&["m", "m"], &[2, 3]),
        (&["b"], &[2]),
        (&["a"], &[2]),
        (&["y"], &[2]),
        (&[""], &[2]),
        (&["m"], &[1]),
        (&["d", "m"], &[2, 2]),
        (&["m"], &[0]),
    ] {
        assert_eq!(
            ask(boundaries, ids),
            "split-invalid",
            "{boundaries:?} {ids:?}"
        );
    }
}

#[test]
fn a_new_region_has_one_peer_for_each_peer_of_the_region_on_its_store_and_in_its_role() {
    let world = World::bootstrapped("b", "y");
    let ask = |peers: &[crate::Peer]| {
        let Event::Split(mut event) = split(1, epoch(1, 1), 6, "m", 2, Derive::Left) else {
            unreachable!()
        };
        event.children[0].peers = peers.to_vec();
        word(&step(&world.register, &Event::Split(event)))
    };
    let learner = crate::Peer {
        role: crate::PeerRole::Learner,
        ..voter(22, 2)
    };
    assert_eq!(ask(&[voter(21, 1), voter(22, 2)]), "region.split");
    assert_eq!(ask(&[voter(22, 2), voter(21, 1)]), "region.split");
    for peers in [
        &[][..],
        &[voter(21, 1)],
        &[voter(22, 2)],
        &[voter(21, 1), learner],
        &[voter(21, 1), voter(22, 3)],
        &[voter(21, 1), voter(22, 2), voter(23, 3)],
        &[voter(21, 1), voter(21, 2)],
        &[voter(21, 1), voter(0, 2)],
    ] {
        assert_eq!(ask(peers), "split-invalid", "{peers:?}");
    }
}
