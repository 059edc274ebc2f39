//! What an inspection or a recovery found and did, as a value with plain fields and a readable form.
//!
//! The form is for people (several short lines); machines read the fields. Not here: advice that
//! depends on the tool at hand.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use torrens_journal::disk::SyncPath;
use torrens_journal::{Boot, Lsn, StoreUuid, WriterPath};

use crate::facts::{Evidence, Stop, Witness};
use crate::repair::RepairInfo;
use crate::verdict::Verdict;

/// The report. Counts are of what was done so far; a refused recovery has replayed at most the
/// records before the damage, into a state that nobody sees.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct RecoveryReport {
    /// The judgement.
    pub verdict: Verdict,
    /// The store in the segment headers, if one could be read.
    pub store: Option<StoreUuid>,
    /// How syncs reach the device.
    pub sync_path: SyncPath,
    /// Which of its two writers the journal goes on with; `None` after an inspection or a refusal.
    pub writer_path: Option<WriterPath>,
    /// The boot number that writes from now on; `None` after an inspection or a refusal.
    pub boot: Option<Boot>,
    /// The first record in the journal; `None` if it holds none.
    pub first_lsn: Option<Lsn>,
    /// The last record that was accepted; [`Lsn::ZERO`] if there is none.
    pub last_lsn: Lsn,
    /// The checkpoint that replay started from, if any.
    pub checkpoint: Option<CheckpointUsed>,
    /// Records applied to the state machine.
    pub records_replayed: u64,
    /// Records of unknown, ignorable kinds that were skipped.
    pub records_skipped: u64,
    /// Segments read.
    pub segments_read: u64,
    /// Bytes of segments read and judged.
    pub bytes_read: u64,
    /// What was cut from the tail and where it is kept; `None` if nothing was.
    pub cut: Option<Cut>,
    /// The best proof of what was durable.
    pub witness: Option<Witness>,
    /// Accepted records that no witness covers.
    pub window: Window,
    /// Whether it is certain that no acknowledged record is missing at the end. Without an orderly
    /// close nothing can tell a last record that was lost in the crash from one that was
    /// acknowledged and lost since; then this is `false`.
    pub decided: bool,
    /// Accepted groups that were written again so that they are durable whatever the page cache held.
    pub groups_rewritten: u64,
    /// Repairs of this directory that stand and of which something is kept, oldest first: what each
    /// lost, and the record that tells the journal of it. Empty after an inspection.
    pub repairs: Vec<RepairInfo>,
    /// Open operations that were finished.
    pub resolved_forward: Vec<Resolved>,
    /// Open operations that were undone.
    pub resolved_back: Vec<Resolved>,
    /// How long it took.
    pub duration: Duration,
    /// Remarks, each a sentence.
    pub notes: Vec<String>,
}

/// The checkpoint that replay started from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckpointUsed {
    /// The state in it is the fold up to here.
    pub lsn: Lsn,
    /// 0 for the newest file, 1 for the one before it, and so on.
    pub generation: usize,
    /// Items in it.
    pub items: u64,
    /// Where it lies.
    pub path: PathBuf,
}

/// What was cut from the tail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cut {
    /// Bytes, in whole pages.
    pub bytes: u64,
    /// The file that keeps them.
    pub kept: PathBuf,
}

/// Accepted records that no witness covers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Window {
    /// How many.
    pub records: u64,
    /// Bytes of the groups that hold them.
    pub bytes: u64,
}

/// One open operation that was brought to an end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolved {
    /// The operation, in words.
    pub what: String,
    /// The record that began it.
    pub begin: Lsn,
    /// The first record of the resolution.
    pub resolution: Lsn,
    /// The rule that decided.
    pub rule: String,
}

impl RecoveryReport {
    /// The part of the report that the evidence gives.
    pub(crate) fn of(evidence: &Evidence, verdict: Verdict, sync_path: SyncPath) -> Self {
        let last_lsn = accepted_end(evidence);
        let witness = evidence.witness();
        let covered = witness
            .map_or(Lsn::ZERO, |witness| witness.lsn)
            .max(evidence.checkpoint_lsn());
        let newest_mark = evidence.marks.iter().max_by_key(|mark| mark.number);
        let decided = verdict.can_open()
            && newest_mark.is_some_and(|mark| mark.clean_close && mark.durable == last_lsn);
        let mut notes = evidence.notes.clone();
        for segment in &evidence.segments {
            if let Some(why) = &segment.header_copy_bad {
                notes.push(format!(
                    "one of the two header copies of segment {} is damaged ({why}); the other one was used",
                    segment.id
                ));
            }
        }
        RecoveryReport {
            store: evidence.store,
            sync_path,
            writer_path: None,
            boot: None,
            first_lsn: evidence
                .segments
                .iter()
                .find(|segment| segment.records > 0)
                .and_then(|segment| segment.first_lsn),
            last_lsn,
            checkpoint: evidence.start_checkpoint().map(|info| CheckpointUsed {
                lsn: info.meta.lsn,
                generation: evidence.start.unwrap_or(0),
                items: info.items,
                path: info.path.clone(),
            }),
            records_replayed: 0,
            records_skipped: 0,
            segments_read: evidence.segments.len() as u64,
            bytes_read: evidence.bytes_read,
            cut: None,
            witness,
            window: window(evidence, last_lsn, covered),
            decided,
            groups_rewritten: 0,
            repairs: Vec::new(),
            resolved_forward: Vec::new(),
            resolved_back: Vec::new(),
            duration: Duration::ZERO,
            notes,
            verdict,
        }
    }
}

fn accepted_end(evidence: &Evidence) -> Lsn {
    let breach = crate::verdict::first_breach(evidence);
    let whole = breach.map_or(evidence.segments.len(), |breach| breach.behind);
    evidence
        .segments
        .get(..whole)
        .and_then(|segments| {
            segments
                .iter()
                .rev()
                .find(|segment| segment.first_lsn.is_some())
        })
        .map_or(evidence.checkpoint_lsn(), |segment| segment.last_lsn())
}

fn window(evidence: &Evidence, last_lsn: Lsn, covered: Lsn) -> Window {
    let records = last_lsn.distance_from(covered);
    let groups = evidence
        .unwitnessed_groups()
        .iter()
        .filter(|group| group.records > 0);
    let bytes = groups
        .map(|group| group.end_offset_bytes - group.offset_bytes)
        .sum();
    if records == 0 {
        Window::default()
    } else {
        Window { records, bytes }
    }
}

impl fmt::Display for RecoveryReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        verdict_lines(self, f)?;
        match self.first_lsn {
            Some(first) => write!(f, "journal   LSN {first} to {}", self.last_lsn)?,
            None => write!(f, "journal   no records, the last LSN is {}", self.last_lsn)?,
        }
        writeln!(
            f,
            "; {} segments, {} bytes read in {} ms",
            self.segments_read,
            self.bytes_read,
            self.duration.as_millis()
        )?;
        match &self.checkpoint {
            Some(used) if used.generation == 0 => writeln!(f, "checkpoint LSN {}", used.lsn)?,
            Some(used) => writeln!(
                f,
                "checkpoint LSN {}, an older one: {} newer is not valid",
                used.lsn, used.generation
            )?,
            None => writeln!(f, "checkpoint none")?,
        }
        write!(f, "replay    {} records", self.records_replayed)?;
        if self.records_skipped > 0 {
            write!(f, ", {} of unknown kinds skipped", self.records_skipped)?;
        }
        writeln!(f)?;
        match &self.witness {
            Some(witness) => writeln!(f, "witness   {witness}")?,
            None => writeln!(f, "witness   none")?,
        }
        if self.verdict.can_open() {
            match (self.decided, self.window.records) {
                (true, _) => writeln!(f, "window    none: the journal was closed in order")?,
                (false, 0) => writeln!(
                    f,
                    "window    every record is witnessed; a later one that was lost with every \
                     trace cannot be excluded"
                )?,
                (false, records) => writeln!(
                    f,
                    "window    {records} records ({} bytes) are there and not yet witnessed",
                    self.window.bytes
                )?,
            }
        }
        if let Some(cut) = &self.cut {
            writeln!(
                f,
                "cut       {} bytes, kept in {}",
                cut.bytes,
                cut.kept.display()
            )?;
        }
        if self.groups_rewritten > 0 {
            writeln!(
                f,
                "rewritten {} groups, to make them durable again",
                self.groups_rewritten
            )?;
        }
        for repair in &self.repairs {
            write!(f, "repaired  repair {}", repair.id)?;
            match &repair.plan {
                Some(plan) => writeln!(f, ", {}: {}", plan.choice, plan.loss)?,
                None => writeln!(f, ": its plan cannot be read")?,
            }
        }
        for (direction, list) in [
            ("forward", &self.resolved_forward),
            ("back", &self.resolved_back),
        ] {
            for Resolved {
                what, begin, rule, ..
            } in list
            {
                writeln!(
                    f,
                    "resolved  {direction}: {what}, begun at LSN {begin} ({rule})"
                )?;
            }
        }
        write!(f, "sync      {}", self.sync_path.method)?;
        if let Some(reason) = &self.sync_path.fallback_reason {
            write!(f, " ({reason})")?;
        }
        if let Some(writer) = &self.writer_path {
            write!(f, "; writer {}", writer.kind)?;
            if let Some(reason) = &writer.fallback_reason {
                write!(f, " ({reason})")?;
            }
        }
        if let Some(boot) = self.boot {
            write!(f, "; boot {boot}")?;
        }
        for note in &self.notes {
            write!(f, "\nnote      {note}")?;
        }
        Ok(())
    }
}

fn verdict_lines(report: &RecoveryReport, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    match &report.verdict {
        Verdict::Clean => writeln!(f, "verdict   clean: every record up to the end is there"),
        Verdict::TornTail(torn) => {
            writeln!(
                f,
                "verdict   torn-tail: the usual trace of a crash; no record that was witnessed as \
                 acknowledged is lost"
            )?;
            writeln!(f, "stop      {}", torn.position)?;
            writeln!(f, "found     {}", stop_line(&torn.stop))?;
            writeln!(
                f,
                "tail      {} bytes up to the last that is not zero, {} whole groups in it",
                torn.cut_bytes(),
                torn.later_groups
            )
        }
        Verdict::Corrupt(corruption) => {
            writeln!(
                f,
                "verdict   {}: an acknowledged record is unreadable or missing; {} valid records \
                 come after it; nothing was changed",
                report.verdict.name(),
                corruption.records_after
            )?;
            writeln!(f, "stop      {}", corruption.position)?;
            writeln!(f, "found     {}", corruption.cause)
        }
        Verdict::ImpossibleSequence(impossible) => {
            writeln!(
                f,
                "verdict   impossible-sequence: every byte verifies, and record {} cannot be",
                impossible.lsn
            )?;
            writeln!(
                f,
                "stop      segment {}, record at offset {:#x}, kind {}",
                impossible.segment, impossible.offset_bytes, impossible.kind
            )?;
            writeln!(f, "found     {}", impossible.reason)
        }
        Verdict::NewerFormat(newer) => {
            writeln!(
                f,
                "verdict   newer-format: written by a newer version; nothing was changed"
            )?;
            writeln!(f, "found     {}: {}", newer.place, newer.what)
        }
        Verdict::Unreadable(failure) => {
            writeln!(
                f,
                "verdict   unreadable: the operating system refused; nothing was changed"
            )?;
            writeln!(f, "found     {failure}")
        }
    }
}

fn stop_line(stop: &Stop) -> String {
    match stop {
        Stop::Invalid(why) => format!("bytes that are not the next group: {why}"),
        other => other.to_string(),
    }
}
