//! Why a recovery stopped, or would: the verdict with its evidence, what each region loses by it, and
//! the ways on.
//!
//! Nothing here judges: the verdict is recovery's. This collects what makes it believable: who says that
//! the lost record was durable, what lies in its place, whether one flipped bit explains it, and what the
//! back links between a region's records say about regions on the far side of the damage.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use torrens_journal::Lsn;
use torrens_recovery::facts::Position;
use torrens_recovery::repair::{self, Choice, Loss};
use torrens_recovery::{Cause, GapKind, Item, Verdict};

use super::{InspectError, Inspector, KeyForm, Picture, describe};
use crate::RegionId;
use crate::lifecycle::OpenOperation;
pub use damage::FlippedBit;

mod damage;

/// Regions whose impact is listed one by one.
const IMPACTS_MAX: usize = 100;

/// What damage means for one region.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegionImpact {
    /// Which region.
    pub region: RegionId,
    /// Its last record before the damage.
    pub known: Option<Lsn>,
    /// Its first record behind the damage.
    pub next: Lsn,
    /// What that record says was the one before it.
    pub links_to: Option<Lsn>,
}

impl RegionImpact {
    /// Whether a record of the region is lost: the first one behind the damage follows another one than
    /// the last one before it.
    pub fn is_hit(&self) -> bool {
        self.links_to != self.known
    }
}

/// A way on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WayOn {
    /// What a repair would be asked to do.
    pub choice: Choice,
    /// What it would lose.
    pub loss: Loss,
}

/// Everything that is known about why recovery stops, or that it does not.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Explanation {
    /// The directory as it was seen, with the verdict.
    pub picture: Picture,
    /// Where the history stops, if it stops anywhere but at its end.
    pub stop: Option<Position>,
    /// What was found there.
    pub found: Option<String>,
    /// What makes the verdict believable, each a sentence.
    pub evidence: Vec<String>,
    /// The bit that explains the damage, if one does.
    pub flipped: Option<FlippedBit>,
    /// The first record on the far side of the damage, if there is one.
    pub far_side: Option<Lsn>,
    /// What it means for each region that has a record on the far side; not more than a hundred, those
    /// that are hit first.
    pub impact: Vec<RegionImpact>,
    /// Regions that are hit.
    pub regions_hit: u64,
    /// Regions that have a record on the far side and lost nothing.
    pub regions_whole: u64,
    /// Regions of which nothing on the far side speaks.
    pub regions_silent: u64,
    /// What the next opening ends, each in words.
    pub open_operations: Vec<OpenOperation>,
    /// The ways on, the one that loses least first; none if opening goes on by itself.
    pub ways: Vec<WayOn>,
}

impl Inspector {
    /// Explains the verdict about the whole directory. Sentences of the evidence that quote keys show
    /// them in the form `keys`.
    ///
    /// # Errors
    /// As [`Inspector::look`].
    pub fn explain(&self, keys: &KeyForm) -> Result<Explanation, InspectError> {
        let picture = self.look(None)?;
        let mut explanation = Explanation {
            stop: None,
            found: None,
            evidence: Vec::new(),
            flipped: None,
            far_side: None,
            impact: Vec::new(),
            regions_hit: 0,
            regions_whole: 0,
            regions_silent: 0,
            open_operations: picture.register.open_operations(),
            ways: Vec::new(),
            picture,
        };
        match explanation.picture.report.verdict.clone() {
            Verdict::Clean => explanation.clean(),
            Verdict::TornTail(torn) => {
                explanation.stop = Some(torn.position);
                explanation.found = Some(torn.stop.to_string());
                let (cut, later) = (torn.cut_bytes(), torn.later_groups);
                explanation.evidence.push(format!(
                    "{cut} bytes up to the last one that is not zero lie behind the last whole group; \
                     whole groups among them: {later}"
                ));
                explanation.witnessed("which is before the stop, so nothing says that what is missing was ever acknowledged");
                explanation.evidence.push(if explanation.picture.report.decided {
                    "the store was closed in order at the last record".to_owned()
                } else {
                    "nothing can tell an unfinished last write from an acknowledged one that the device lost \
                     since: only a device that lies about syncs does the latter"
                        .to_owned()
                });
            }
            Verdict::Corrupt(corruption) => {
                explanation.stop = Some(corruption.position);
                explanation.found = Some(corruption.cause.to_string());
                match corruption.witness {
                    Some(witness) => explanation.evidence.push(format!(
                        "{}: the record expected at the stop had been acknowledged",
                        witness
                    )),
                    None => explanation.witnessed("which covers the stop"),
                }
                explanation.evidence.push(match corruption.records_after {
                    0 => "nothing behind the stop verifies".to_owned(),
                    records => format!(
                        "{records} records behind the stop verify by themselves: no unfinished write looks like that"
                    ),
                });
                if let Cause::Group(_) = corruption.cause {
                    self.look_at_damage(&mut explanation)?;
                }
                self.far_side(&mut explanation)?;
            }
            Verdict::ImpossibleSequence(impossible) => {
                explanation.stop = Some(Position {
                    segment: impossible.segment,
                    offset_bytes: impossible.offset_bytes,
                    expected: impossible.lsn,
                });
                explanation.found = Some(impossible.reason.clone());
                explanation.evidence.push(
                    "every checksum up to the end holds: the bytes are those that were written"
                        .to_owned(),
                );
                self.impossible(&mut explanation, impossible.lsn, keys)?;
            }
            Verdict::NewerFormat(newer) => {
                explanation.found = Some(format!("{}: {}", newer.place, newer.what));
                explanation.evidence.push(
                    "nothing is guessed about bytes that a newer version may mean differently"
                        .to_owned(),
                );
            }
            Verdict::Unreadable(failure) => {
                explanation.found = Some(failure.to_string());
                explanation.evidence.push(
                    "a read that the operating system refused is never taken for the end of the journal".to_owned(),
                );
            }
            _ => {}
        }
        explanation
            .evidence
            .extend(explanation.picture.report.notes.clone());
        explanation.ways = self.ways(&explanation.picture)?;
        Ok(explanation)
    }

    /// What repairs would do, if opening does not go on by itself.
    fn ways(&self, picture: &Picture) -> Result<Vec<WayOn>, InspectError> {
        let verdict = &picture.report.verdict;
        if verdict.can_open() || picture.writer.is_open {
            return Ok(Vec::new());
        }
        let mut choices = match repair::choices(&*self.disk, &self.directories) {
            Ok(choices) => choices,
            // Nothing could be read, or it is in a newer format: no repair answers that.
            Err(_) => return Ok(Vec::new()),
        };
        if let Verdict::ImpossibleSequence(impossible) = verdict {
            choices.retain(|choice| matches!(choice, Choice::StartEmpty));
            choices.insert(0, Choice::CutBefore(impossible.lsn));
        }
        let plan = |choice| {
            let plan = repair::plan(&*self.disk, &self.directories, Some(choice)).ok()?;
            Some(WayOn {
                choice,
                loss: plan.loss,
            })
        };
        Ok(choices.into_iter().filter_map(plan).collect())
    }

    /// What the records behind the damage say of the ones that are lost.
    fn far_side(&self, explanation: &mut Explanation) -> Result<(), InspectError> {
        let register = explanation.picture.register.clone();
        let mut impact: BTreeMap<RegionId, RegionImpact> = BTreeMap::new();
        let mut first = None;
        self.records(explanation.picture.position, &mut |item| {
            let Item::Record(item) = item else {
                return match item {
                    Item::Gap(gap) if gap.kind == GapKind::Torn => ControlFlow::Break(()),
                    _ => ControlFlow::Continue(()),
                };
            };
            if !item.behind_gap {
                return ControlFlow::Continue(());
            }
            first.get_or_insert(item.record.lsn);
            let header = crate::codec::decode_header(item.record.kind.get(), item.record.payload);
            if let Ok(Some(header)) = header
                && let Some(region) = header.region
            {
                impact.entry(region).or_insert(RegionImpact {
                    region,
                    known: register.last_record(region),
                    next: item.record.lsn,
                    links_to: header.previous,
                });
            }
            ControlFlow::Continue(())
        })?;
        explanation.far_side = first;
        explanation.regions_hit = impact.values().filter(|one| one.is_hit()).count() as u64;
        explanation.regions_whole = impact.len() as u64 - explanation.regions_hit;
        let silent = register
            .slots()
            .filter(|(region, _)| !impact.contains_key(region));
        explanation.regions_silent = silent.count() as u64;
        let mut impact: Vec<RegionImpact> = impact.into_values().collect();
        impact.sort_by_key(|one| (!one.is_hit(), one.region));
        impact.truncate(IMPACTS_MAX);
        explanation.impact = impact;
        Ok(())
    }

    /// The record that cannot follow, and the state that it met.
    fn impossible(
        &self,
        explanation: &mut Explanation,
        lsn: Lsn,
        keys: &KeyForm,
    ) -> Result<(), InspectError> {
        let mut said = None;
        self.records(lsn, &mut |item| {
            if let Item::Record(item) = item
                && item.record.lsn == lsn
                && said.is_none()
            {
                said = Some((
                    describe(lsn, item.record.kind, item.record.payload),
                    item.boot,
                ));
            }
            ControlFlow::Continue(())
        })?;
        let Some((description, boot)) = said else {
            return Ok(());
        };
        let region = description.region();
        explanation.evidence.push(format!(
            "record {lsn} is {}{}, written by boot {boot}: {}",
            description.kind,
            region.map_or(String::new(), |region| format!(" of {region}")),
            description.detail(keys)
        ));
        if let Some(region) = region {
            let facets = super::diff::region_facets(&explanation.picture.register, region);
            let shown: Vec<String> = facets
                .iter()
                .map(|(name, facet)| format!("{name} {}", facet.text(keys)))
                .collect();
            explanation.evidence.push(match shown.is_empty() {
                true => format!("nothing is known of {region} right before it"),
                false => format!("{region} right before it: {}", shown.join(", ")),
            });
        }
        Ok(())
    }
}

impl Explanation {
    fn clean(&mut self) {
        self.witnessed("");
        let report = &self.picture.report;
        self.evidence.push(match (report.decided, report.window.records) {
            (true, _) => "the store was closed in order at the last record".to_owned(),
            (false, 0) => "no record lies behind that".to_owned(),
            (false, records) => format!(
                "{records} records behind that are whole and not witnessed yet; opening makes them durable"
            ),
        });
        if self.picture.writer.is_open {
            self.evidence
                .push("a writer is at work: what it has not finished is no damage".to_owned());
        }
    }

    fn witnessed(&mut self, so: &str) {
        self.evidence.push(match &self.picture.report.witness {
            Some(witness) if so.is_empty() => witness.to_string(),
            Some(witness) => format!("{witness}, {so}"),
            None => "nothing says that any record was ever acknowledged".to_owned(),
        });
    }
}
