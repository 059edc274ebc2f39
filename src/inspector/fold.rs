//! The history folded record by record, with the register before and after each: what every question
//! about the past is answered with. The reducer is the very one that recovery and the engine use.
//!
//! The fold starts at the journal's first record, or at the oldest checkpoint that the journal still
//! goes on from. It ends where the history does: at damage, or at a record that cannot follow; what lies
//! behind is given too, without a register.

use std::ops::ControlFlow;

use torrens_journal::Lsn;
use torrens_recovery::checkpoint::{self, CheckpointError};
use torrens_recovery::{Gap, GapKind, Item, RecordItem, RecoveryReport, StateMachine, WalkOptions};

use super::files::checkpoint_error;
use super::{InspectError, Inspector, LOOKS, Picture, Writer, chain};
use crate::lifecycle::{Record, Register};
use crate::machine::RegisterMachine;

/// One record of the history.
#[derive(Clone, Copy, Debug)]
pub struct Step<'a> {
    /// Where it lies.
    pub item: RecordItem<'a>,
    /// The record; none if its kind may be ignored and is.
    pub record: Option<&'a Record>,
}

/// Is led through the history.
pub trait HistoryReader {
    /// The register as it is right before the record.
    fn before(&mut self, register: &Register, step: &Step<'_>) {
        let _ = (register, step);
    }

    /// The register as the record left it. A break ends the fold.
    fn after(&mut self, register: &Register, step: &Step<'_>) -> ControlFlow<()>;

    /// A place where the history does not go on.
    fn gap(&mut self, gap: &Gap) -> ControlFlow<()> {
        let _ = gap;
        ControlFlow::Continue(())
    }

    /// A record that is not part of the history: it lies behind a gap, or behind a record that cannot be.
    fn behind(&mut self, item: &RecordItem<'_>) -> ControlFlow<()> {
        let _ = item;
        ControlFlow::Continue(())
    }
}

/// How a fold ended.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Folded {
    /// Who had the directory open.
    pub writer: Writer,
    /// The position that the fold started from: 0, or that of a checkpoint.
    pub start: Lsn,
    /// The last record that was folded.
    pub position: Lsn,
    /// The register there.
    pub register: Register,
    /// Why the fold ended before the records did: the record that cannot follow, or the missing begin.
    pub stopped: Option<String>,
    /// The verdict about the whole directory.
    pub report: RecoveryReport,
}

struct Fold<'r, R> {
    machine: RegisterMachine,
    position: Lsn,
    until: Lsn,
    moved: bool,
    stopped: Option<String>,
    reader: &'r mut R,
}

impl Inspector {
    /// Leads a reader through the history up to `until`. `make` gets the position and the register that
    /// the fold starts from, and is called again if a writer moved the begin away meanwhile.
    ///
    /// # Errors
    /// As [`Inspector::look`]. Damage is a gap on the way and a verdict in the answer.
    pub fn fold<R: HistoryReader>(
        &self,
        until: Option<Lsn>,
        make: impl Fn(Lsn, &Register) -> R,
    ) -> Result<(R, Folded), InspectError> {
        for look in 1.. {
            let (reader, folded, moved) = self.fold_once(until, &make)?;
            // A writer that purges faster than segments are read leaves less to be led through.
            if !moved || look >= LOOKS {
                return Ok((reader, folded));
            }
        }
        Err(InspectError::Stopped)
    }

    fn fold_once<R: HistoryReader>(
        &self,
        until: Option<Lsn>,
        make: &impl Fn(Lsn, &Register) -> R,
    ) -> Result<(R, Folded, bool), InspectError> {
        let picture = self.survey()?;
        if let Some(first_lsn) = self.late_begin(&picture) {
            return Err(InspectError::OnlyAPart {
                path: self.path.clone(),
                first_lsn,
            });
        }
        let start = self.oldest_state(&picture)?;
        let stopped = start.is_none().then(|| {
            "no checkpoint that can be read covers what is before the journal's first record"
                .to_owned()
        });
        let (start, machine) = start.unwrap_or_default();
        let mut reader = make(start, machine.register());
        let mut fold = Fold {
            machine,
            position: start,
            until: until.unwrap_or(Lsn::new(u64::MAX)),
            moved: false,
            stopped,
            reader: &mut reader,
        };
        let live = picture.writer.is_open;
        let report = self.walk(WalkOptions::new(live), &mut |item| fold.item(&item))?;
        let moved = fold.moved;
        let folded = Folded {
            writer: picture.writer,
            start,
            position: fold.position,
            stopped: fold.stopped.take(),
            register: fold.machine.into_register(),
            report,
        };
        Ok((reader, folded, moved))
    }

    /// The oldest state that the journal still goes on from, and its position: empty before LSN 1, else
    /// that of the oldest checkpoint that the first record can follow. None if there is neither.
    pub(super) fn oldest_state(
        &self,
        picture: &Picture,
    ) -> Result<Option<(Lsn, RegisterMachine)>, InspectError> {
        let first = match picture.report.first_lsn {
            Some(first) => first,
            // Without a record the newest checkpoint is all that there is.
            None => picture.report.last_lsn.next().unwrap_or(Lsn::FIRST),
        };
        if first <= Lsn::FIRST {
            return Ok(Some((Lsn::ZERO, RegisterMachine::default())));
        }
        let dir = &self.directories.checkpoints;
        let listed = checkpoint::list(&*self.disk, dir).map_err(checkpoint_error)?;
        for file in listed.iter().rev() {
            if file.lsn.next().is_none_or(|next| next < first) {
                continue;
            }
            let mut machine = RegisterMachine::default();
            let store = picture.report.store;
            match checkpoint::load(&*self.disk, dir, store, file.lsn, &mut machine) {
                Ok(_) => return Ok(Some((file.lsn, machine))),
                Err(CheckpointError::Invalid { .. } | CheckpointError::Refused { .. }) => {}
                // A writer removed it meanwhile.
                Err(CheckpointError::Io { source, .. })
                    if source.kind() == std::io::ErrorKind::NotFound => {}
                Err(error) => return Err(checkpoint_error(error)),
            }
        }
        Ok(None)
    }
}

impl<R: HistoryReader> Fold<'_, R> {
    fn item(&mut self, item: &Item<'_>) -> ControlFlow<()> {
        match item {
            Item::Gap(gap) if gap.kind == GapKind::Reclaimed => ControlFlow::Continue(()),
            Item::Gap(gap) => self.reader.gap(gap),
            Item::Record(item) if item.behind_gap || self.stopped.is_some() => {
                self.reader.behind(item)
            }
            Item::Record(item) => self.record(item),
            // What a later library may meet on the way.
            _ => ControlFlow::Continue(()),
        }
    }

    fn record(&mut self, item: &RecordItem<'_>) -> ControlFlow<()> {
        let lsn = item.record.lsn;
        if lsn <= self.position {
            return ControlFlow::Continue(());
        }
        if lsn > self.until {
            return ControlFlow::Break(());
        }
        if self.position.next() != Some(lsn) {
            // The begin and the walk are two looks; a writer removed segments in between.
            self.moved = true;
            return ControlFlow::Break(());
        }
        let record = match RegisterMachine::decode(item.record.kind, item.record.payload) {
            Ok(record) => record,
            Err(error) => return self.stop(item, &error),
        };
        let step = Step {
            item: *item,
            record: record.as_ref(),
        };
        if let Some(record) = &record {
            self.reader.before(self.machine.register(), &step);
            if let Err(error) = self.machine.apply(lsn, record) {
                return self.stop(item, &error);
            }
        }
        self.position = lsn;
        self.reader.after(self.machine.register(), &step)
    }

    fn stop(&mut self, item: &RecordItem<'_>, error: &dyn std::error::Error) -> ControlFlow<()> {
        self.stopped = Some(format!(
            "record {} cannot follow the ones before it: {}",
            item.record.lsn,
            chain(error)
        ));
        self.reader.behind(item)
    }
}
