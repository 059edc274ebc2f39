//! Carrying out wishes: remember in the oracle, ask the store, play the other stores.

use std::borrow::Cow;
use std::time::Instant;

use super::life::{Asked, AskedKind, Life};
use crate::torture::error::TortureError;
use crate::torture::model::Wrong;
use crate::torture::protocol::{Do, PeerLine, STORE, SnapshotLine};
use crate::torture::snapshots;
use crate::torture::workload::Wish;

impl Life<'_, '_> {
    /// Carries out a wish.
    pub(super) fn grant(&mut self, wish: Wish) -> Result<(), TortureError> {
        match wish {
            Wish::Track(mut what) => {
                if let Do::TakeSnapshot { to, .. } = &mut what {
                    *to = self.driver.oracle.beside().snapshots();
                }
                self.track(what)
            }
            Wish::Probe(what) => {
                let mut what = what;
                if let Do::Backup { to } = &mut what {
                    *to = self.driver.oracle.beside().backup();
                }
                let op = self.driver.oracle.take_op();
                self.ask(op, what, AskedKind::Probe);
                Ok(())
            }
            Wish::CatchUp { region, unseen } => {
                for what in unseen {
                    self.driver.oracle.commit_unseen(what)?;
                }
                self.send_snapshot(region)
            }
            Wish::Feed { region } => self.send_snapshot(region),
        }
    }

    /// Issues an operation that moves the model.
    pub(super) fn track(&mut self, what: Do) -> Result<(), TortureError> {
        let op = self.driver.oracle.issue(what.clone())?;
        self.ask(op, what, AskedKind::Tracked);
        Ok(())
    }

    /// Another store sends a snapshot: of the rows as they are now, or of the rows as they were when
    /// this store took one itself, with the log to follow.
    pub(super) fn send_snapshot(&mut self, region: u64) -> Result<(), TortureError> {
        let model = self.model();
        let Some(peer) = model.peers.get(&region) else {
            return Ok(());
        };
        let (peer_id, incarnation) = (peer.peer(), peer.incarnation());
        let fed = peer.normal().is_none();
        let state = match peer.normal() {
            Some(peer) => &peer.state,
            None => match model.elsewhere.get(&region) {
                Some(state) => state,
                None => return Ok(()),
            },
        };
        let mut description = state.description.clone();
        if fed {
            let own = PeerLine::voter(peer_id, STORE);
            description.peers.push(own);
            description.epoch.conf_ver += 1;
        }
        let data = self.driver.oracle.data();
        let taken = model.taken.get(&region).filter(|_| fed).cloned();
        let mut at = state.last;
        let mut rows = Cow::Borrowed(&state.rows);
        if let Some(taken) = taken {
            at = taken.at;
            rows = Cow::Owned(state.rows_at(at.index));
            let expected = state.digest_at(at.index, data);
            let found = snapshots::digest(&taken.file)?;
            if found != expected {
                let wrong = Wrong {
                    region: Some(region),
                    what: format!("rows of the snapshot taken at index {}", at.index),
                    expected: format!("{expected:?}"),
                    found: format!("{found:?}"),
                    lost: true,
                };
                self.driver.wrong(wrong);
                return Ok(());
            }
        }
        let id = model.next.op;
        let seat = description
            .peers
            .iter()
            .find(|peer| peer.store == STORE + 1);
        let through = seat.map(|peer| peer.id).filter(|_| !id.is_multiple_of(3));
        let folder = self.driver.oracle.beside().snapshots();
        let file = snapshots::write(&folder, id, &description, at, &rows, data)?;
        self.track(Do::ApplySnapshot(SnapshotLine {
            incarnation,
            description,
            at,
            id,
            file,
            through,
        }))
    }

    pub(super) fn ask(&mut self, op: u64, what: Do, kind: AskedKind) {
        if self.asked.is_empty() {
            self.heard_at = Instant::now();
        }
        let holds = match &kind {
            // A split that happened long ago is no matter of its children's any more.
            AskedKind::Resend { region, .. } => vec![*region],
            _ => what.regions(),
        };
        self.busy.extend(holds.iter().copied());
        self.process.send(op, &what);
        self.asked.insert(op, Asked { what, kind, holds });
    }
}
