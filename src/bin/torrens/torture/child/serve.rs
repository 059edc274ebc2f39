//! Each command as calls of the engine, and each result as an answer: a translation, no more.

use std::error::Error;
use std::fs::File;
use std::io;
use std::ops::Bound;
use std::path::Path;
use std::time::Duration;

use torrens::snapshot::{SnapshotName, SnapshotReader};
use torrens::{
    Answer, BackupError, CacheCheck, CheckOutcome, DestroyCause, Engine, EngineError,
    Key as KeyBytes, KeyRange, Label, PeerId, RaftPosition, ReadError, RegionEpoch, RegionId,
    RegionView, StoreId, Taken, WitnessSwitch, WriteAnswer, WriteBatch,
};

use super::convert::{
    change_of, description_of, epoch_of, incarnation_of, position_of, raft_position_of, split_of,
};
use super::copy::Copy;
use super::other::Other;
use crate::torture::data::DataSet;
use crate::torture::protocol::{
    Digest, Digester, Do, Epoch, Key, KeyBounds, Opened, OpenedRegion, RowChange, Said,
    SnapshotLine,
};
use crate::torture::snapshots::region_of;

/// The code of a view whose data went.
const VIEW_ENDED: &str = "view-ended";
/// How long a view is held between two readings.
const HOLD: Duration = Duration::from_millis(40);
/// How long a preload is waited for, if anybody waits.
const PATIENCE: Duration = Duration::from_millis(200);
/// A store that no region of the cluster knows.
const RESTORED: StoreId = StoreId(99);

/// The engine with what it takes to serve it.
#[derive(Debug)]
pub(super) struct Server {
    engine: Engine,
    data: DataSet,
    copy: Option<Copy>,
    other: Option<Other>,
}

/// An error with all its causes, on one line.
pub(super) fn words(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text.push_str(": ");
        text.push_str(&error.to_string());
        source = error.source();
    }
    text
}

pub(super) fn failed(error: &EngineError) -> Said {
    Said::Failed(error.code().to_owned(), words(error))
}

fn failed_io(error: &io::Error) -> Said {
    Said::Failed("io".to_owned(), error.to_string())
}

impl Server {
    pub(super) fn new(
        engine: Engine,
        data: DataSet,
        copy: Option<Copy>,
        other: Option<Other>,
    ) -> Server {
        Server {
            engine,
            data,
            copy,
            other,
        }
    }

    pub(super) fn into_parts(self) -> (Engine, Option<Copy>, Option<Other>) {
        (self.engine, self.copy, self.other)
    }

    /// What opening found, and all that the store now says of itself.
    pub(super) fn opened(&self) -> Result<Opened, (String, String)> {
        let report = self.engine.report();
        let fail = |error: EngineError| (error.code().to_owned(), words(&error));
        let mut regions = Vec::new();
        for status in self.engine.regions() {
            let start = self.engine.raft_start(status.id).map_err(fail)?;
            regions.push(OpenedRegion {
                id: status.id.0,
                peer: status.peer.0,
                incarnation: status.incarnation.lsn().get(),
                stage: status.stage.to_owned(),
                description: status.region.as_deref().map(description_of),
                meta: status.meta.map(position_of),
                data_index: start.data.index,
            });
        }
        let tombstones = self.engine.tombstones().into_iter();
        Ok(Opened {
            store: report
                .recovery
                .store
                .map_or_else(String::new, |store| store.to_string()),
            verdict: report.recovery.verdict.name().to_owned(),
            records_replayed: report.recovery.records_replayed,
            resolved_forward: report.resolved_forward(),
            resolved_back: report.resolved_back(),
            took_micros: u64::try_from(report.took.as_micros()).unwrap_or(u64::MAX),
            damaged: report
                .damaged
                .iter()
                .map(|(region, why)| (region.0, why.clone()))
                .collect(),
            data_lost: report.data_store_lost.clone(),
            regions,
            tombstones: tombstones
                .map(|(region, tomb)| (region.0, tomb.highest_peer.0))
                .collect(),
        })
    }

    /// Does what the parent says.
    pub(super) fn carry_out(&self, what: &Do) -> Said {
        self.try_carry_out(what).unwrap_or_else(|said| said)
    }

    fn try_carry_out(&self, what: &Do) -> Result<Said, Said> {
        let engine = &self.engine;
        let answer = |answer: Result<Answer, EngineError>| match answer {
            Ok(Answer::Accepted { lsn }) => Ok(Said::Accepted(lsn.get())),
            Ok(Answer::AlreadyApplied) => Ok(Said::AlreadyApplied),
            Ok(Answer::Wait(reason)) => {
                Ok(Said::Refused(reason.code().to_owned(), reason.to_string()))
            }
            Ok(Answer::Refused(refusal)) => Ok(Said::Refused(
                refusal.code().to_owned(),
                refusal.to_string(),
            )),
            Err(error) => Err(failed(&error)),
        };
        match what {
            Do::Bootstrap { description } => answer(engine.bootstrap(region_of(description))),
            Do::Write {
                region,
                epoch,
                at,
                rows,
                range,
            } => self.write(
                RegionId(*region),
                epoch_of(*epoch),
                raft_position_of(*at),
                rows,
                range.as_ref(),
            ),
            Do::PrepareMerge {
                region,
                epoch,
                at,
                target,
            } => answer(engine.prepare_merge(
                RegionId(*region),
                epoch_of(*epoch),
                raft_position_of(*at),
                region_of(target),
                at.index,
            )),
            Do::CommitMerge {
                region,
                epoch,
                at,
                source,
                commit,
            } => answer(engine.commit_merge(
                RegionId(*region),
                epoch_of(*epoch),
                raft_position_of(*at),
                region_of(source),
                *commit,
            )),
            Do::RollbackMerge {
                region,
                epoch,
                at,
                commit,
            } => answer(engine.rollback_merge(
                RegionId(*region),
                epoch_of(*epoch),
                raft_position_of(*at),
                *commit,
            )),
            Do::Split(split) => answer(engine.split(split_of(split))),
            Do::ChangePeers {
                region,
                epoch,
                at,
                change,
            } => answer(engine.change_peers(
                RegionId(*region),
                epoch_of(*epoch),
                raft_position_of(*at),
                change_of(*change),
            )),
            Do::EnterJoint {
                region,
                epoch,
                at,
                changes,
            } => answer(engine.enter_joint(
                RegionId(*region),
                epoch_of(*epoch),
                raft_position_of(*at),
                changes.iter().copied().map(change_of).collect(),
            )),
            Do::LeaveJoint { region, epoch, at } => answer(engine.leave_joint(
                RegionId(*region),
                epoch_of(*epoch),
                raft_position_of(*at),
            )),
            Do::SwitchWitness {
                region,
                epoch,
                at,
                peer,
                witness,
            } => answer(engine.switch_witness(
                RegionId(*region),
                epoch_of(*epoch),
                raft_position_of(*at),
                vec![WitnessSwitch {
                    peer: PeerId(*peer),
                    witness: *witness,
                }],
            )),
            Do::BeginFlashback { region, epoch, at } => answer(engine.begin_flashback(
                RegionId(*region),
                epoch_of(*epoch),
                raft_position_of(*at),
            )),
            Do::EndFlashback { region, epoch, at } => answer(engine.end_flashback(
                RegionId(*region),
                epoch_of(*epoch),
                raft_position_of(*at),
            )),
            Do::Preload { region, epoch } => {
                let preload = engine.preload(RegionId(*region), epoch_of(*epoch), PATIENCE);
                preload.map(|_| Said::Done).map_err(|error| failed(&error))
            }
            Do::Label(bounds) => Ok(self.label(bounds)),
            Do::Backup { to } => self.back_up(to),
            Do::CreatePeer {
                region,
                peer,
                from_store,
                epoch,
            } => answer(engine.create_peer(
                RegionId(*region),
                PeerId(*peer),
                StoreId(*from_store),
                epoch_of(*epoch),
            )),
            Do::Destroy {
                region,
                incarnation,
                peer,
                removed,
            } => {
                let cause = match removed {
                    Some(epoch) => DestroyCause::Removed {
                        epoch: epoch_of(*epoch),
                    },
                    None => DestroyCause::Operator,
                };
                let incarnation = Some(incarnation_of(*incarnation));
                answer(engine.destroy(
                    RegionId(*region),
                    known_epoch(engine, *region),
                    incarnation,
                    PeerId(*peer),
                    cause,
                ))
            }
            Do::TakeSnapshot { region, epoch, to } => {
                self.take_snapshot(RegionId(*region), epoch_of(*epoch), to)
            }
            Do::ApplySnapshot(snapshot) => self.apply_snapshot(snapshot, answer),
            Do::Load { region, epoch } => answer(engine.load(RegionId(*region), epoch_of(*epoch))),
            Do::Evict { region } => answer(engine.evict(RegionId(*region))),
            Do::Read {
                region,
                epoch,
                rows,
            } => self.read(*region, *epoch, rows),
            Do::Scan {
                region,
                epoch,
                start,
                end,
                reverse,
            } => {
                let bounds = (
                    Bound::Included(start.0.as_slice()),
                    end.as_ref()
                        .map_or(Bound::Unbounded, |end| Bound::Excluded(end.0.as_slice())),
                );
                let view = self.view(*region, *epoch)?;
                match reverse {
                    true => digest(&view, view.scan_reverse(bounds)),
                    false => digest(&view, view.scan(bounds)),
                }
            }
            Do::Digest { region, epoch } => {
                let view = self.view(*region, *epoch)?;
                digest(&view, view.scan(..))
            }
            Do::Rows { region, epoch } => {
                let view = self.view(*region, *epoch)?;
                let rows = view.scan(..).map(|row| {
                    let (key, value) = row.map_err(|error| read_failed(&error))?;
                    Ok((Key(key.to_vec()), crc32fast::hash(&value)))
                });
                Ok(Said::Rows(rows.collect::<Result<_, Said>>()?))
            }
            Do::Copy { region } => {
                let mut digester = Digester::default();
                for (key, checksum) in self.copied(*region)? {
                    digester.add(&key, &checksum.to_le_bytes());
                }
                Ok(Said::Digest(digester.finish()))
            }
            Do::CopyRows { region } => {
                let rows = self.copied(*region)?.into_iter();
                Ok(Said::Rows(rows.map(|(key, sum)| (Key(key), sum)).collect()))
            }
            Do::Hold { region, epoch } => self.hold(*region, *epoch),
            Do::CompareCaches => self.compare_caches(),
            Do::Collect => engine
                .collect_versions()
                .map(|_| Said::Done)
                .map_err(|error| failed(&error)),
            Do::Flush => engine
                .flush()
                .map(|_| Said::Done)
                .map_err(|error| failed(&error)),
            Do::Checkpoint => engine
                .checkpoint()
                .map(|_| Said::Done)
                .map_err(|error| failed(&error)),
            Do::Close => Ok(Said::Done),
        }
    }

    /// The consumer's rows of a region.
    fn copied(&self, region: u64) -> Result<Vec<(Vec<u8>, u32)>, Said> {
        let failed = |text: String| Said::Failed("copy".to_owned(), text);
        let copy = self.copy.as_ref();
        let copy = copy.ok_or_else(|| failed("there is no consumer".to_owned()))?;
        copy.rows(RegionId(region)).map_err(failed)
    }

    fn view(&self, region: u64, epoch: Epoch) -> Result<RegionView, Said> {
        let view = self.engine.view(RegionId(region), epoch_of(epoch));
        view.map_err(|error| read_failed(&error))
    }

    fn write(
        &self,
        region: RegionId,
        epoch: RegionEpoch,
        at: RaftPosition,
        rows: &[RowChange],
        range: Option<&KeyBounds>,
    ) -> Result<Said, Said> {
        let mut batch = WriteBatch::new();
        let end = |bounds: &KeyBounds| {
            bounds
                .end
                .as_ref()
                .map(|end| KeyBytes::from(end.0.as_slice()))
        };
        let deleted =
            range.and_then(|bounds| KeyRange::new(bounds.start.0.as_slice(), end(bounds)));
        // The parent's model has the rows one by one; here they go as a range, or one by one too.
        let one_by_one: &[RowChange] = match deleted {
            Some(range) => {
                batch.delete_range(range);
                &[]
            }
            None => rows,
        };
        for RowChange(prefix, row, revision) in one_by_one {
            let Some(key) = self.data.key(*prefix, *row) else {
                continue;
            };
            match revision.and_then(|revision| self.data.value(*row, revision)) {
                Some(value) => batch.put(key, value.as_slice()),
                None => batch.delete(key),
            };
        }
        match self.engine.write(region, epoch, at, &batch) {
            Ok(WriteAnswer::Applied { .. }) => Ok(Said::Applied),
            Ok(WriteAnswer::AlreadyApplied { .. }) => Ok(Said::AlreadyApplied),
            Ok(WriteAnswer::Refused(refusal)) => Ok(Said::Refused(
                refusal.code().to_owned(),
                refusal.to_string(),
            )),
            Err(error) => Err(failed(&error)),
        }
    }

    /// Asks for some keys to be in memory, and no more a little later.
    fn label(&self, bounds: &KeyBounds) -> Said {
        let end = bounds.end.as_ref();
        let end = end.map(|end| KeyBytes::from(end.0.as_slice()));
        if let Some(range) = KeyRange::new(bounds.start.0.as_slice(), end) {
            let label = Label { range, priority: 1 };
            let id = self.engine.add_cache_label(label);
            std::thread::sleep(HOLD);
            let _removed = self.engine.remove_cache_label(id);
        }
        Said::Done
    }

    /// Makes a backup, and a store of it, and removes both. Of the rows no more is asked than what a store
    /// that is made of a backup verifies itself.
    fn back_up(&self, to: &Path) -> Result<Said, Said> {
        let (backup, restored) = (to.join("backup"), to.join("restored"));
        let code = |error: &BackupError| Said::Failed(error.code().to_owned(), words(error));
        // What the process before left of one.
        match std::fs::remove_dir_all(to) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed_io(&error)),
            _ => {}
        }
        std::fs::create_dir_all(to).map_err(|error| failed_io(&error))?;
        let made = match self.engine.backup(&backup) {
            Ok(made) => made,
            Err(BackupError::Refused(refusal)) => {
                let words = refusal.to_string();
                return Ok(Said::Refused(refusal.code().to_owned(), words));
            }
            Err(error) => return Err(code(&error)),
        };
        let options = Engine::options().store(RESTORED);
        let found = options.restore(&backup, &restored);
        let found = found.map_err(|error| code(&error))?;
        if (made.regions, made.rows) != (found.regions, found.rows) {
            let text = format!("{made:?} backed up, {found:?} restored");
            return Err(Said::Failed("backup-differs".to_owned(), text));
        }
        std::fs::remove_dir_all(to).map_err(|error| failed_io(&error))?;
        Ok(Said::Done)
    }

    /// Reads a whole view, lets everything else go on for a while, and reads it again.
    fn hold(&self, region: u64, epoch: Epoch) -> Result<Said, Said> {
        let read = |view: &RegionView| {
            let rows = digest(view, view.scan(..));
            rows.map(|said| match said {
                Said::Digest(digest) => Some((digest.rows, digest.checksum)),
                _ => None,
            })
        };
        let view = match self.engine.view(RegionId(region), epoch_of(epoch)) {
            Ok(view) => view,
            Err(ReadError::Refused(refusal)) => {
                return Ok(Said::Refused(
                    refusal.code().to_owned(),
                    refusal.to_string(),
                ));
            }
            Err(error) => return Err(read_failed(&error)),
        };
        let before = match read(&view) {
            Ok(before) => before,
            Err(said) => return ended(said),
        };
        std::thread::sleep(HOLD);
        match read(&view) {
            Ok(again) if again == before => Ok(Said::Held(true)),
            Ok(again) => Err(Said::Failed(
                "view-changed".to_owned(),
                format!("{region}: {before:?} at first, {again:?} after {HOLD:?}"),
            )),
            Err(said) => ended(said),
        }
    }

    /// Every region in memory against the data store; what differs is a failure.
    fn compare_caches(&self) -> Result<Said, Said> {
        let checks = self.engine.check_caches().map_err(|error| failed(&error))?;
        let counted = self.engine.cache_report().counters.mismatches;
        let is_different =
            |check: &&CacheCheck| matches!(check.outcome, CheckOutcome::Different { .. });
        let different = checks.iter().find(is_different);
        if different.is_some() || counted > 0 {
            let text = format!("{different:?}, {counted} since the store was opened");
            return Err(Said::Failed("cache-differs".to_owned(), text));
        }
        Ok(Said::Compared(checks.len() as u64))
    }

    /// Takes a snapshot and copies it out, as if it were sent to another store.
    fn take_snapshot(&self, region: RegionId, epoch: RegionEpoch, to: &Path) -> Result<Said, Said> {
        let staged = match self.engine.take_snapshot(region, epoch) {
            Ok(Taken::Snapshot(staged)) => staged,
            Ok(Taken::Refused(refusal)) => {
                return Ok(Said::Refused(
                    refusal.code().to_owned(),
                    refusal.to_string(),
                ));
            }
            Err(error) => return Err(failed(&error)),
        };
        let name = staged.name.to_string();
        let reader = self
            .engine
            .open_snapshot(staged.name)
            .map_err(|error| failed(&error))?;
        File::create(to.join(&name))
            .and_then(|mut copy| io::copy(&mut reader.bytes_stream(), &mut copy))
            .map_err(|error| failed_io(&error))?;
        self.engine
            .remove_snapshot(staged.name)
            .map_err(|error| failed(&error))?;
        let (index, term) = (staged.name.index, staged.name.term);
        Ok(Said::Snapshot {
            name,
            index,
            term,
            rows: staged.rows,
            bytes: staged.bytes,
        })
    }

    /// Takes a snapshot in through a copy, as if another store had sent it, and applies it.
    fn apply_snapshot(
        &self,
        line: &SnapshotLine,
        answer: impl FnOnce(Result<Answer, EngineError>) -> Result<Said, Said>,
    ) -> Result<Said, Said> {
        let SnapshotLine {
            incarnation,
            description,
            at,
            id,
            file,
            through,
        } = line;
        let region = RegionId(description.id);
        let name = SnapshotName {
            region,
            index: at.index,
            term: at.term,
            id: *id,
        };
        // Asked again after a wait or a kill, the copy may be there already.
        self.engine
            .remove_snapshot(name)
            .map_err(|error| failed(&error))?;
        let mut staged = None;
        if let (Some(other), Some(peer)) = (&self.other, through) {
            let take = |reader: &SnapshotReader| {
                let sent = self.engine.receive_snapshot(name, reader.bytes_stream())?;
                staged = Some(sent);
                Ok(())
            };
            let passed = other.pass_on(line, *peer, take);
            // Whether it could take this one now or not, the first store gets what it was to get.
            let _passed: bool = passed
                .map_err(|error| Said::Failed("second-store".to_owned(), error.to_string()))?;
        }
        let staged = match staged {
            Some(staged) => staged,
            None => {
                let from = File::open(file).map_err(|error| failed_io(&error))?;
                let received = self.engine.receive_snapshot(name, from);
                received.map_err(|error| failed(&error))?
            }
        };
        answer(
            self.engine
                .apply_snapshot(region, incarnation_of(*incarnation), &staged),
        )
    }

    fn read(&self, region: u64, epoch: Epoch, rows: &[(u32, u32)]) -> Result<Said, Said> {
        let view = self.view(region, epoch)?;
        let value = |(prefix, row): &(u32, u32)| {
            let key = self.data.key(*prefix, *row).unwrap_or_default();
            let value = view.get(&key).map_err(|error| read_failed(&error))?;
            Ok(value.map(|value| crc32fast::hash(&value)))
        };
        let values = rows.iter().map(value).collect::<Result<_, Said>>()?;
        Ok(Said::Values(values, view.is_cached()))
    }
}

/// A view that cannot be read has ended with its data, or something is wrong.
fn ended(said: Said) -> Result<Said, Said> {
    match &said {
        Said::Failed(code, _) if code == VIEW_ENDED => Ok(Said::Held(false)),
        _ => Err(said),
    }
}

fn read_failed(error: &ReadError) -> Said {
    Said::Failed(error.code().to_owned(), words(error))
}

fn digest(
    view: &RegionView,
    rows: impl Iterator<Item = Result<(KeyBytes, torrens::Value), ReadError>>,
) -> Result<Said, Said> {
    let mut digester = Digester::default();
    for row in rows {
        let (key, value) = row.map_err(|error| read_failed(&error))?;
        digester.add(&key, &value);
    }
    Ok(Said::Digest(Digest {
        cached: view.is_cached(),
        ..digester.finish()
    }))
}

/// The epoch that the host knows a region by: what the store says it is.
fn known_epoch(engine: &Engine, region: u64) -> RegionEpoch {
    let description = engine
        .region(RegionId(region))
        .and_then(|status| status.region);
    description.map_or(RegionEpoch::NONE, |region| region.epoch)
}
