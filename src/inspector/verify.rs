//! Everything that can be checked without the data: checksums and structure (the verdict), that each
//! record can follow the ones before it, the back links between a region's records, the register's
//! own invariants, and that each checkpoint is exactly the fold of the records up to it.
//!
//! The fold starts at the journal's first record, or at the oldest checkpoint that the journal still
//! goes on from; checkpoints before that have nothing to be compared with.

use std::ops::ControlFlow;
use std::path::PathBuf;

use torrens_journal::Lsn;
use torrens_recovery::checkpoint::{self, CheckpointError};
use torrens_recovery::{GapKind, Item, RecordItem, StateMachine, WalkOptions};

use super::files::checkpoint_error;
use super::{InspectError, Inspector, LOOKS, Picture, chain};
use crate::RegionId;
use crate::lifecycle::Record;
use crate::machine::RegisterMachine;

/// Findings that are listed; more are only counted.
const FINDINGS_MAX: usize = 20;

/// What a check of everything found.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Verification {
    /// The directory as it was seen, with the verdict about its bytes.
    pub picture: Picture,
    /// The checkpoints, newest first.
    pub checkpoints: Vec<CheckpointCheck>,
    /// Records that were folded, one after the other.
    pub records_folded: u64,
    /// Back links that name the region's previous record.
    pub links_right: u64,
    /// Back links that were looked at.
    pub links: u64,
    /// How often the register's invariants were checked.
    pub invariant_checks: u64,
    /// What cannot be, each in a sentence; not more than twenty of them.
    pub findings: Vec<String>,
    /// How many there are in all.
    pub findings_total: u64,
}

/// One checkpoint file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckpointCheck {
    /// The position in its name.
    pub lsn: Lsn,
    /// Where it lies.
    pub path: PathBuf,
    /// Length of the file in bytes.
    pub bytes: u64,
    /// What was found.
    pub outcome: CheckpointOutcome,
}

/// What was found of a checkpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CheckpointOutcome {
    /// It is exactly the fold of the records up to it.
    Equal,
    /// It verifies, and the records before it are not there any more, or not readable.
    Alone,
    /// It verifies, and the fold of the records up to it is another state.
    Differs,
    /// Its bytes do not verify, or it holds what cannot be a register; the reason.
    Invalid(String),
}

impl Verification {
    /// The exit code of the tool: the verdict's, or 6 if the bytes are sound and what they say is not.
    pub fn exit_code(&self) -> u8 {
        match self.picture.report.verdict.exit_code() {
            0 | 3 if self.findings_total > 0 => 6,
            code => code,
        }
    }

    /// The verdict's name, as [`Verification::exit_code`] has it.
    pub fn name(&self) -> &'static str {
        match self.picture.report.verdict.can_open() && self.findings_total > 0 {
            true => "impossible-sequence",
            false => self.picture.report.verdict.name(),
        }
    }
}

/// Whether a writer removed, between two looks, what the second one needed.
struct Moved(bool);

/// The state of a check under way.
struct Fold<'a> {
    machine: RegisterMachine,
    position: Lsn,
    loaded: &'a [(Lsn, RegisterMachine)],
    equal: Vec<(Lsn, bool)>,
    moved: bool,
    records: u64,
    links: u64,
    links_right: u64,
    invariant_checks: u64,
    findings: Vec<String>,
    findings_total: u64,
}

impl Inspector {
    /// Checks everything.
    ///
    /// # Errors
    /// As [`Inspector::look`]. What is wrong with the bytes or with what they say is in the value.
    pub fn verify(&self) -> Result<Verification, InspectError> {
        for _ in 1..LOOKS {
            if let (verification, Moved(false)) = self.verify_once()? {
                return Ok(verification);
            }
        }
        // A writer that removes segments faster than they are read leaves less to compare with.
        Ok(self.verify_once()?.0)
    }

    fn verify_once(&self) -> Result<(Verification, Moved), InspectError> {
        let picture = self.look_as_far_as_known(None)?;
        let (mut checkpoints, loaded) = self.load_checkpoints(&picture)?;
        let first = picture.report.first_lsn;
        // Empty before LSN 1; otherwise the oldest checkpoint that the first record can follow.
        let start = match first {
            Some(first) if first > Lsn::FIRST => loaded
                .iter()
                .rev()
                .find(|(lsn, _)| lsn.next().is_some_and(|next| next >= first))
                .map(|(lsn, machine)| (*lsn, machine.clone())),
            _ => Some((Lsn::ZERO, RegisterMachine::default())),
        };
        let readable = picture.report.verdict.exit_code() < 7;
        let stopped = start.is_none() || !readable;
        let (position, machine) = start.unwrap_or_default();
        let mut fold = Fold {
            machine,
            position,
            loaded: &loaded,
            equal: Vec::new(),
            moved: false,
            records: 0,
            links: 0,
            links_right: 0,
            invariant_checks: 0,
            findings: Vec::new(),
            findings_total: 0,
        };
        if !stopped {
            let options = WalkOptions::new(picture.writer.is_open);
            self.walk(options, &mut |item| fold.item(&item))?;
        }
        if readable {
            fold.check_invariants();
        }
        for check in &mut checkpoints {
            if let Some((_, equal)) = fold.equal.iter().find(|(lsn, _)| *lsn == check.lsn) {
                check.outcome = if *equal {
                    CheckpointOutcome::Equal
                } else {
                    CheckpointOutcome::Differs
                };
            }
        }
        let moved = Moved(fold.moved);
        let verification = Verification {
            picture,
            checkpoints,
            records_folded: fold.records,
            links_right: fold.links_right,
            links: fold.links,
            invariant_checks: fold.invariant_checks,
            findings: fold.findings,
            findings_total: fold.findings_total,
        };
        Ok((verification, moved))
    }

    /// Every checkpoint file and, newest first, those that could be loaded.
    #[expect(
        clippy::type_complexity,
        reason = "two lists that exist only between two functions"
    )]
    fn load_checkpoints(
        &self,
        picture: &Picture,
    ) -> Result<(Vec<CheckpointCheck>, Vec<(Lsn, RegisterMachine)>), InspectError> {
        let dir = &self.directories.checkpoints;
        let listed = checkpoint::list(&*self.disk, dir).map_err(checkpoint_error)?;
        let mut checks = Vec::new();
        let mut loaded = Vec::new();
        for file in listed {
            let mut machine = RegisterMachine::default();
            let store = picture.report.store;
            let outcome = match checkpoint::load(&*self.disk, dir, store, file.lsn, &mut machine) {
                Ok(_) => {
                    loaded.push((file.lsn, machine));
                    CheckpointOutcome::Alone
                }
                Err(CheckpointError::Invalid { fault, .. }) => {
                    CheckpointOutcome::Invalid(fault.to_string())
                }
                Err(CheckpointError::Refused { item, source, .. }) => {
                    CheckpointOutcome::Invalid(format!("item {item}: {source}"))
                }
                // A writer removed it meanwhile.
                Err(CheckpointError::Io { source, .. })
                    if source.kind() == std::io::ErrorKind::NotFound =>
                {
                    continue;
                }
                Err(error) => return Err(checkpoint_error(error)),
            };
            checks.push(CheckpointCheck {
                lsn: file.lsn,
                path: file.path,
                bytes: file.bytes,
                outcome,
            });
        }
        Ok((checks, loaded))
    }
}

impl Fold<'_> {
    fn item(&mut self, item: &Item<'_>) -> ControlFlow<()> {
        match item {
            Item::Record(item) if !item.behind_gap => self.record(item),
            Item::Gap(gap) if gap.kind == GapKind::Reclaimed => {
                self.moved = true;
                ControlFlow::Break(())
            }
            // Behind a gap nothing follows from anything.
            _ => ControlFlow::Break(()),
        }
    }

    fn record(&mut self, item: &RecordItem<'_>) -> ControlFlow<()> {
        let lsn = item.record.lsn;
        if lsn <= self.position {
            return ControlFlow::Continue(());
        }
        if self.position.next() != Some(lsn) {
            // The picture and the walk are two looks; a writer removed segments in between.
            self.moved = true;
            return ControlFlow::Break(());
        }
        match RegisterMachine::decode(item.record.kind, item.record.payload) {
            Ok(Some(record)) => {
                self.check_links(item, &record);
                if let Err(error) = self.machine.apply(lsn, &record) {
                    self.find(format!(
                        "record {lsn} cannot follow the ones before it: {}",
                        chain(&error)
                    ));
                    return ControlFlow::Break(());
                }
            }
            // An unknown kind that must not be ignored is the verdict's to report.
            Ok(None) => {}
            Err(error) => {
                self.find(format!("record {lsn} says nothing: {}", chain(&error)));
                return ControlFlow::Break(());
            }
        }
        self.position = lsn;
        self.records += 1;
        let loaded = self.loaded;
        if let Some((_, checkpoint)) = loaded.iter().find(|(at, _)| *at == lsn) {
            let equal = *checkpoint == self.machine;
            if !equal {
                self.find(format!(
                    "the checkpoint at {lsn} is not the fold of the records up to it"
                ));
            }
            self.equal.push((lsn, equal));
            self.check_invariants();
        }
        ControlFlow::Continue(())
    }

    /// A record knows who wrote it, and links back to its region's previous record.
    fn check_links(&mut self, item: &RecordItem<'_>, record: &Record) {
        let (lsn, header) = (item.record.lsn, &record.header);
        if header.boot != item.boot.get() {
            let (says, group) = (header.boot, item.boot);
            self.find(format!(
                "record {lsn} says boot {says} in a group of boot {group}"
            ));
        }
        let Some(region) = header.region else { return };
        self.links += 1;
        let expected = self.machine.register().last_record(region);
        if header.previous == expected {
            self.links_right += 1;
        } else {
            let show = |lsn: Option<Lsn>| lsn.map_or("none".to_owned(), |lsn| lsn.to_string());
            let (found, expected) = (show(header.previous), show(expected));
            let RegionId(id) = region;
            self.find(format!(
                "record {lsn} links back to {found}; the previous record of r{id} is {expected}"
            ));
        }
    }

    fn check_invariants(&mut self) {
        self.invariant_checks += 1;
        if let Err(violation) = self.machine.register().check_invariants() {
            let position = self.position;
            self.find(format!(
                "the state after record {position} cannot be: {violation}"
            ));
        }
    }

    fn find(&mut self, finding: String) {
        self.findings_total += 1;
        if self.findings.len() < FINDINGS_MAX {
            self.findings.push(finding);
        }
    }
}
