//! From evidence to steps, as pure functions: each way is tried on the evidence itself, and counts
//! only if the evidence as it would be afterwards is judged *clean*.

use torrens_journal::format::{PAGE_BYTES, SEGMENT_BYTES_MIN, SEGMENT_HEADER_BYTES};
use torrens_journal::{Lsn, SegmentId, StoreUuid};

use super::model::{Choice, Loss, Place, Step};
use crate::checkpoint::file_name;
use crate::facts::{CheckpointFacts, Evidence, LaterGroups, MarkedPlace, SegmentFacts, Stop};
use crate::verdict::{Cause, Verdict, first_breach, judge};

/// The ways that a plan tries by itself, the one that loses least first.
pub(super) const ALL: [Choice; 5] = [
    Choice::DropDamagedHistory,
    Choice::RebuildMark,
    Choice::CutAtDamage,
    Choice::OlderCheckpoint,
    Choice::StartEmpty,
];

/// Length of a new segment where no segment says how long they are here. Small: only the next few
/// records go there, and the writer makes the following ones as long as it was told to.
const FILE_BYTES_DEFAULT: u64 = 1024 * 1024;

/// The steps of one way.
#[derive(Debug)]
pub(super) struct Chosen {
    pub(super) steps: Vec<Step>,
    pub(super) loss: Loss,
}

/// The group that a cut before a record begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct GroupAt {
    pub(super) segment: SegmentId,
    pub(super) offset_bytes: u64,
    pub(super) first_lsn: Lsn,
}

/// What was found, in one line.
pub(super) fn found(verdict: &Verdict) -> String {
    match verdict {
        Verdict::Corrupt(corruption) => format!("{}: {}", corruption.position, corruption.cause),
        Verdict::TornTail(torn) => format!("{}: {}", torn.position, torn.stop),
        Verdict::ImpossibleSequence(impossible) => impossible.reason.clone(),
        Verdict::Clean => "the journal is whole".to_owned(),
        Verdict::NewerFormat(newer) => newer.what.clone(),
        Verdict::Unreadable(failure) => failure.what.clone(),
    }
}

/// The steps of `choice`; `Err` says why it leads nowhere. `group` is where [`Choice::CutBefore`] cuts.
pub(super) fn choose(
    evidence: &Evidence,
    choice: Choice,
    group: Option<GroupAt>,
) -> Result<Chosen, String> {
    let mut draft = Draft::new(evidence);
    match choice {
        Choice::DropDamagedHistory => drop_damaged_history(&mut draft)?,
        Choice::RebuildMark => rebuild_mark(&mut draft)?,
        Choice::OlderCheckpoint => older_checkpoint(&mut draft)?,
        Choice::CutAtDamage => cut_at_damage(&mut draft)?,
        Choice::CutBefore(lsn) => cut_before(&mut draft, lsn, group)?,
        Choice::StartEmpty => draft.start_over(Lsn::ZERO)?,
    }
    draft.finish()
}

/// A repair in the making: the steps so far and the evidence as it would be after them.
struct Draft<'e> {
    before: &'e Evidence,
    after: Evidence,
    steps: Vec<Step>,
    loss: Loss,
}

impl<'e> Draft<'e> {
    fn new(before: &'e Evidence) -> Self {
        Draft {
            before,
            after: before.clone(),
            steps: Vec::new(),
            loss: Loss::default(),
        }
    }

    fn set_aside_segments(&mut self, unwanted: impl Fn(&SegmentFacts) -> bool) {
        for segment in self.before.segments.iter().filter(|facts| unwanted(facts)) {
            if !self.loss.segments.contains(&segment.id) {
                self.loss.segments.push(segment.id);
                self.steps.push(Step::SetAside {
                    place: Place::Journal,
                    name: segment.id.file_name(),
                });
            }
        }
        self.after.segments.retain(|facts| !unwanted(facts));
    }

    fn set_aside_marks(&mut self) {
        if self.after.mark_file {
            self.steps.push(Step::SetAside {
                place: Place::Journal,
                name: torrens_journal::format::MARK_FILE_NAME.to_owned(),
            });
        }
        self.after.mark_file = false;
        self.after.marks.clear();
    }

    fn set_aside_checkpoints(&mut self, unwanted: impl Fn(&CheckpointFacts) -> bool) {
        for file in self.after.checkpoints.iter().filter(|file| unwanted(file)) {
            self.steps.push(Step::SetAside {
                place: Place::Checkpoints,
                name: file_name(file.lsn),
            });
        }
        self.after.checkpoints.retain(|file| !unwanted(file));
        let files = &self.after.checkpoints;
        self.after.newest_valid = files.iter().position(|file| file.state.info().is_some());
        self.after.start = self.after.newest_valid;
    }

    /// Everything of the journal is set aside, and an empty segment goes on behind `base`, which is a
    /// checkpoint's position or the beginning.
    fn start_over(&mut self, base: Lsn) -> Result<(), String> {
        let store = self.store().ok_or("nothing says which store this is")?;
        let seen = self.before.segments.iter().map(|facts| facts.id);
        let seen = seen.chain(self.before.marks.iter().map(|mark| mark.segment));
        let highest = seen.map(SegmentId::get).max().unwrap_or(0);
        let segment = if base == Lsn::ZERO {
            SegmentId::FIRST
        } else {
            // Number 1 stands for a journal that begins at LSN 1.
            SegmentId::new(highest.max(1).saturating_add(1))
        };
        let first_lsn = base.next().ok_or("no LSN is left")?;
        let stated = self.before.segments.iter().map(|facts| facts.stated_bytes);
        let file_bytes = stated.filter(|bytes| *bytes >= SEGMENT_BYTES_MIN).max();
        self.set_aside_segments(|_| true);
        self.set_aside_marks();
        self.set_aside_checkpoints(|file| {
            file.lsn > base || file.state.meta().is_some_and(|meta| meta.lsn > base)
        });
        self.steps.push(Step::NewSegment {
            segment,
            first_lsn,
            file_bytes: file_bytes.unwrap_or(FILE_BYTES_DEFAULT),
            store,
            boot: self.before.boot_max(),
        });
        let fresh = empty_segment(segment, first_lsn, file_bytes.unwrap_or(FILE_BYTES_DEFAULT));
        self.after.segments = vec![fresh];
        self.loses_from(first_lsn);
        Ok(())
    }

    fn store(&self) -> Option<StoreUuid> {
        let checkpoints = self.before.checkpoints.iter();
        let mut named = checkpoints.filter_map(|file| Some(file.state.meta()?.store));
        self.before.store.or(named.next())
    }

    /// Ends the journal in front of `offset_bytes` of the segment with that number, where LSN
    /// `expected` was to come.
    fn cut(&mut self, segment: SegmentId, offset_bytes: u64, expected: Lsn) {
        self.set_aside_segments(|facts| {
            facts.id > segment || (facts.id == segment && offset_bytes < SEGMENT_HEADER_BYTES)
        });
        self.set_aside_marks();
        self.set_aside_checkpoints(|file| {
            file.lsn >= expected || file.state.meta().is_some_and(|meta| meta.lsn >= expected)
        });
        let last = self.after.segments.last_mut();
        if let Some(last) = last.filter(|last| last.id == segment) {
            let to_bytes = last.stated_bytes.max(last.file_bytes);
            let to_bytes = to_bytes - to_bytes % PAGE_BYTES;
            let short = last.file_bytes < last.stated_bytes;
            if offset_bytes < to_bytes || short {
                self.steps.push(Step::Zero {
                    segment,
                    from_bytes: offset_bytes,
                    to_bytes,
                    file_bytes: last.file_bytes,
                });
            }
            *last = SegmentFacts {
                file_bytes: to_bytes,
                end_offset_bytes: offset_bytes,
                expected,
                stop: Stop::Zero,
                scraps_end_bytes: None,
                later: LaterGroups::default(),
                durable: last.durable.filter(|(lsn, _)| *lsn < expected),
                sealed: last.sealed && offset_bytes == last.end_offset_bytes,
                ..last.clone()
            };
        }
        self.loses_from(expected);
    }

    /// Notes that records from `first` on leave the state, as far as anything says that there were any.
    fn loses_from(&mut self, first: Lsn) {
        let witnessed = self.before.witness().map(|witness| witness.lsn);
        let accepted = self.before.segments.iter().map(|facts| {
            let later = facts.later.durable.map_or(Lsn::ZERO, |(lsn, _)| lsn);
            facts.last_lsn().max(later)
        });
        let last = accepted
            .chain(witnessed)
            .max()
            .filter(|last| *last >= first);
        let readable: u64 = self
            .before
            .segments
            .iter()
            .map(|facts| {
                let skipped = facts
                    .first_lsn
                    .map_or(0, |begin| first.distance_from(begin));
                facts.records.saturating_sub(skipped) + facts.later.records
            })
            .fold(0, u64::saturating_add);
        if last.is_some() || readable > 0 {
            self.loss.first = Some(first);
            self.loss.last = last;
            self.loss.records_readable = readable;
        }
    }

    fn finish(self) -> Result<Chosen, String> {
        let verdict = judge(&self.after, false);
        if matches!(verdict, Verdict::Clean | Verdict::TornTail(_)) {
            Ok(Chosen {
                steps: self.steps,
                loss: self.loss,
            })
        } else {
            Err(format!(
                "the directory would then be {}: {}",
                verdict.name(),
                found(&verdict)
            ))
        }
    }
}

fn empty_segment(id: SegmentId, first_lsn: Lsn, file_bytes: u64) -> SegmentFacts {
    SegmentFacts {
        id,
        file_bytes,
        stated_bytes: file_bytes,
        first_lsn: Some(first_lsn),
        predecessor: None,
        groups: 0,
        records: 0,
        end_offset_bytes: SEGMENT_HEADER_BYTES,
        expected: first_lsn,
        chain: 0,
        group_number: 0,
        sealed: false,
        boot: Default::default(),
        durable: None,
        stop: Stop::Zero,
        header_copy_bad: None,
        scraps_end_bytes: None,
        unread_from_bytes: None,
        later: LaterGroups::default(),
    }
}

/// The damage, if the verdict is *corrupt*.
fn damage(evidence: &Evidence) -> Result<crate::verdict::Corruption, String> {
    match judge(evidence, false) {
        Verdict::Corrupt(corruption) => Ok(corruption),
        other => Err(format!("the verdict is {}", other.name())),
    }
}

fn drop_damaged_history(draft: &mut Draft<'_>) -> Result<(), String> {
    damage(draft.before)?;
    let breach = first_breach(draft.before).ok_or("the damage lies in the last segment")?;
    let checkpoint = draft.before.checkpoint_lsn();
    let needed = checkpoint.next().ok_or("no LSN is left")?;
    let behind = draft.before.segments.get(breach.behind..).unwrap_or(&[]);
    let start = behind
        .iter()
        .find(|facts| facts.first_lsn.is_some_and(|first| first <= needed))
        .ok_or("no segment behind the damage joins the newest checkpoint")?;
    if checkpoint == Lsn::ZERO {
        return Err("there is no valid checkpoint".to_owned());
    }
    // The latest segment that still joins the checkpoint has the least in front of it to be wrong.
    let start = behind
        .iter()
        .rfind(|facts| facts.first_lsn.is_some_and(|first| first <= needed))
        .unwrap_or(start)
        .id;
    draft.set_aside_segments(|facts| facts.id < start);
    for mark in &mut draft.after.marks {
        if mark.segment < start {
            mark.place = MarkedPlace::Purged;
        }
    }
    draft.loss.history_up_to = draft
        .after
        .segments
        .first()
        .and_then(|facts| facts.first_lsn)
        .map(|first| Lsn::new(first.get().saturating_sub(1)));
    Ok(())
}

fn rebuild_mark(draft: &mut Draft<'_>) -> Result<(), String> {
    match damage(draft.before)?.cause {
        Cause::MarkDisagrees { .. } => {
            draft.set_aside_marks();
            Ok(())
        }
        _ => Err("no mark disagrees with the journal".to_owned()),
    }
}

fn older_checkpoint(draft: &mut Draft<'_>) -> Result<(), String> {
    let newest = draft.before.checkpoint_lsn();
    if newest == Lsn::ZERO {
        return Err("there is no valid checkpoint".to_owned());
    }
    let end = draft.before.segments.last().map(SegmentFacts::last_lsn);
    if end.is_none_or(|end| end < newest) {
        return Err("the journal ends before the newest checkpoint".to_owned());
    }
    draft.set_aside_checkpoints(|file| file.lsn >= newest);
    if draft.after.newest_valid.is_none() && draft.after.checkpoints.is_empty() {
        let first = draft
            .after
            .segments
            .first()
            .and_then(|facts| facts.first_lsn);
        if first != Some(Lsn::FIRST) {
            return Err("there is no older checkpoint".to_owned());
        }
    }
    Ok(())
}

fn cut_at_damage(draft: &mut Draft<'_>) -> Result<(), String> {
    let corruption = damage(draft.before)?;
    if let Cause::MarkDisagrees { .. } = corruption.cause {
        return Err("the journal is whole, and a mark disagrees with it".to_owned());
    }
    let position = corruption.position;
    let checkpoint = draft.before.checkpoint_lsn();
    // What the checkpoint holds stays part of the state, so the journal goes on behind it.
    if checkpoint >= position.expected {
        return draft.start_over(checkpoint);
    }
    let kept = draft.before.segments.iter().any(|facts| {
        facts.id < position.segment
            || (facts.id == position.segment && position.offset_bytes >= SEGMENT_HEADER_BYTES)
    });
    if !kept || matches!(corruption.cause, Cause::Uncovered { .. }) {
        return draft.start_over(checkpoint);
    }
    draft.cut(position.segment, position.offset_bytes, position.expected);
    Ok(())
}

fn cut_before(draft: &mut Draft<'_>, lsn: Lsn, group: Option<GroupAt>) -> Result<(), String> {
    if lsn <= draft.before.checkpoint_lsn() {
        return Err("the newest checkpoint holds that record".to_owned());
    }
    let group = group.ok_or("no group holds that record")?;
    if group.first_lsn <= draft.before.checkpoint_lsn() {
        let checkpoint = draft.before.checkpoint_lsn();
        return draft.start_over(checkpoint);
    }
    draft.cut(group.segment, group.offset_bytes, group.first_lsn);
    Ok(())
}
