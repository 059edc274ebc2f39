//! After a restart: which operations that were in flight have happened, and which have not.
//!
//! A Raft entry is committed, so one that has not happened is sent again. A flush, a taken snapshot,
//! or a snapshot for a peer that can also be fed from the log, is dropped. The rest is asked again.

use serde::{Deserialize, Serialize};

use super::{Model, PeerModel};
use crate::torture::protocol::{Do, Opened, OpenedRegion, PeerChangeLine};

/// What an opening said about the operations in flight.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::torture) struct Settled {
    pub(in crate::torture) store: String,
    /// (operation, incarnation of the peers that it created or 0).
    pub(in crate::torture) happened: Vec<(u64, u64)>,
    pub(in crate::torture) dropped: Vec<u64>,
    /// (region, data index that the store reports).
    pub(in crate::torture) data: Vec<(u64, u64)>,
}

/// One operation's fate.
enum Fate {
    Happened { incarnation: u64 },
    Dropped,
    Kept,
}

impl Model {
    /// Reads the fate of every operation in flight from what the store reports.
    pub(in crate::torture) fn settle(&self, opened: &Opened) -> Settled {
        let mut settled = Settled {
            store: opened.store.clone(),
            ..Settled::default()
        };
        for (op, flight) in &self.flights {
            match self.fate(&flight.what, opened) {
                Fate::Happened { incarnation } => settled.happened.push((*op, incarnation)),
                Fate::Dropped => settled.dropped.push(*op),
                Fate::Kept => {}
            }
        }
        settled.data = opened
            .regions
            .iter()
            .map(|region| (region.id, region.data_index))
            .collect();
        settled
    }

    fn fate(&self, what: &Do, opened: &Opened) -> Fate {
        let find = |id: u64| opened.regions.iter().find(|region| region.id == id);
        let if_so = |happened: bool, incarnation: u64| match happened {
            true => Fate::Happened { incarnation },
            false => Fate::Kept,
        };
        let version = |region: &OpenedRegion| region.description.as_ref().map(|d| d.epoch.version);
        let conf_ver =
            |region: &OpenedRegion| region.description.as_ref().map(|d| d.epoch.conf_ver);
        match what {
            Do::Bootstrap { description } => match find(description.id) {
                Some(region) => if_so(true, region.incarnation),
                None => Fate::Kept,
            },
            Do::Write { region, at, .. } => if_so(
                find(*region).is_some_and(|found| found.data_index >= at.index),
                0,
            ),
            Do::Split(split) => {
                let after = split
                    .epoch
                    .version
                    .saturating_add(split.children.len() as u64);
                let happened = find(split.region).and_then(version) == Some(after);
                let created = split.children.iter().find_map(|child| {
                    let own = child
                        .peers
                        .iter()
                        .find(|peer| peer.store == super::STORE)?
                        .id;
                    find(child.id).filter(|found| found.peer == own)
                });
                if_so(happened, created.map_or(0, |child| child.incarnation))
            }
            Do::ChangePeers {
                region,
                epoch,
                change,
                ..
            } => {
                let own = self.peers.get(region).map(PeerModel::peer);
                match (find(*region), change) {
                    (None, PeerChangeLine::Remove(id)) => if_so(Some(*id) == own, 0),
                    (None, _) => Fate::Kept,
                    (Some(found), _) => {
                        if_so(conf_ver(found) == Some(epoch.conf_ver.saturating_add(1)), 0)
                    }
                }
            }
            Do::EnterJoint {
                region,
                epoch,
                changes,
                ..
            } => {
                let after = epoch.conf_ver.saturating_add(changes.len() as u64);
                if_so(find(*region).and_then(conf_ver) == Some(after), 0)
            }
            Do::LeaveJoint { region, epoch, .. } | Do::SwitchWitness { region, epoch, .. } => {
                let found = find(*region).and_then(conf_ver);
                if_so(found.is_some_and(|found| found > epoch.conf_ver), 0)
            }
            Do::BeginFlashback { region, at, .. } | Do::EndFlashback { region, at, .. } => {
                let found = find(*region).and_then(|found| found.meta);
                if_so(found.is_some_and(|found| found >= *at), 0)
            }
            Do::PrepareMerge { region, epoch, .. } | Do::RollbackMerge { region, epoch, .. } => {
                let after = Some(epoch.version.saturating_add(1));
                if_so(find(*region).and_then(version) == after, 0)
            }
            Do::CommitMerge { source, .. } => if_so(find(source.id).is_none(), 0),
            Do::CreatePeer { region, peer, .. } => match find(*region) {
                Some(found) => if_so(found.peer == *peer, found.incarnation),
                None => Fate::Kept,
            },
            Do::Destroy { region, peer, .. } => {
                if_so(find(*region).is_none_or(|found| found.peer != *peer), 0)
            }
            Do::ApplySnapshot(snapshot) => {
                let region = snapshot.description.id;
                let found = find(region).filter(|found| found.stage == "normal");
                if found.is_some_and(|found| found.meta == Some(snapshot.at)) {
                    return Fate::Happened {
                        incarnation: snapshot.incarnation,
                    };
                }
                match self.peers.get(&region) {
                    Some(PeerModel::Uninitialized(_)) => Fate::Kept,
                    Some(PeerModel::Normal(_)) | None => Fate::Dropped,
                }
            }
            _ => Fate::Dropped,
        }
    }

    /// Moves the model by what an opening said.
    pub(in crate::torture) fn settled(&mut self, settled: &Settled) {
        self.store.get_or_insert_with(|| settled.store.clone());
        for (op, incarnation) in &settled.happened {
            if let Some(flight) = self.flights.remove(op) {
                self.happened(&flight.what, *incarnation);
            }
        }
        for op in &settled.dropped {
            self.flights.remove(op);
        }
        for (region, index) in &settled.data {
            if let Some(peer) = self.normal_mut(*region) {
                peer.acked = *index;
            }
        }
        self.next.term += 1;
    }
}
