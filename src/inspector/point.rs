//! `Point`: a place in the history as a person names it, and which record that is.

use std::collections::BTreeSet;
use std::fmt;
use std::ops::ControlFlow;
use std::str::FromStr;

use torrens_journal::{Boot, Lsn};
use torrens_recovery::Item;

use super::clock::Moment;
use super::{InspectError, Inspector, Picture};
use crate::RegionId;
use crate::codec;
use crate::lifecycle::Cause;

/// A place in the history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Point {
    /// `8412`: right after that record; `0` is before the first.
    Lsn(Lsn),
    /// `@09:21:07`: right before the first record that was decided later.
    Time(Moment),
    /// `~5`: that many records before the last one.
    BeforeLast(u64),
    /// `boot:7`: right after the last record of that opening of the store; `boot:-1` of the one before
    /// the newest.
    Boot(i64),
    /// `ckpt:last`: the state in the newest valid checkpoint; `ckpt:-1` in the one before.
    Checkpoint(u64),
    /// `first`: the oldest state that can be rebuilt.
    First,
    /// `last`: right after the last record.
    Last,
    /// `durable`: right after the last record that is known to have been durable.
    Durable,
    /// `raft:8/912`, `raft:r102/8/912`: right after the record that the entry with that term and index of a
    /// region's Raft log led to. The same entry is another record in another store.
    Raft {
        /// The region; without it the entry must be of one region only.
        region: Option<RegionId>,
        /// The entry's term.
        term: u64,
        /// The entry's index.
        index: u64,
    },
}

/// Why a text is no point.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is no point: {why}")]
pub struct PointError {
    text: String,
    why: String,
}

impl FromStr for Point {
    type Err = PointError;

    fn from_str(text: &str) -> Result<Self, PointError> {
        let wrong = |why: &str| PointError {
            text: text.to_owned(),
            why: why.to_owned(),
        };
        match text {
            "first" => return Ok(Point::First),
            "last" => return Ok(Point::Last),
            "durable" => return Ok(Point::Durable),
            "ckpt:last" => return Ok(Point::Checkpoint(0)),
            _ => {}
        }
        if let Some(time) = text.strip_prefix('@') {
            return time
                .parse()
                .map(Point::Time)
                .map_err(|why: String| wrong(&why));
        }
        if let Some(back) = text.strip_prefix('~') {
            let back = back
                .parse()
                .map_err(|_| wrong("~ needs a number of records"))?;
            return Ok(Point::BeforeLast(back));
        }
        if let Some(boot) = text.strip_prefix("boot:") {
            let boot = boot
                .parse()
                .map_err(|_| wrong("boot: needs a number, as in boot:7 or boot:-1"))?;
            return Ok(Point::Boot(boot));
        }
        if let Some(back) = text.strip_prefix("ckpt:-") {
            let back = back
                .parse()
                .map_err(|_| wrong("ckpt: needs `last` or a number, as in ckpt:-1"))?;
            return Ok(Point::Checkpoint(back));
        }
        if let Some(entry) = text.strip_prefix("raft:") {
            return raft_entry(entry).ok_or_else(|| {
                wrong("raft: needs term and index, as in raft:8/912 or raft:r102/8/912")
            });
        }
        let number = text.replace(['_', ' '], "").parse().map(Lsn::new);
        number.map(Point::Lsn).map_err(|_| {
            wrong("expected 8412, @09:21:07, ~5, boot:-1, ckpt:last, raft:8/912, first, last or durable")
        })
    }
}

/// `8/912`, `r102/8/912`, `102/8/912`.
fn raft_entry(text: &str) -> Option<Point> {
    let parts: Vec<&str> = text.split('/').collect();
    let number = |text: &str| text.parse().ok();
    let (region, term, index) = match parts.as_slice() {
        [term, index] => (None, *term, *index),
        [region, term, index] => {
            let id = region.strip_prefix('r').unwrap_or(region);
            (Some(RegionId(number(id)?)), *term, *index)
        }
        _ => return None,
    };
    Some(Point::Raft {
        region,
        term: number(term)?,
        index: number(index)?,
    })
}

impl fmt::Display for Point {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Point::Lsn(lsn) => write!(f, "{lsn}"),
            Point::Time(Moment::At(micros)) => write!(f, "@{}", super::clock::timestamp(*micros)),
            Point::Time(Moment::TimeOfDay(micros)) => {
                let text = super::clock::timestamp(*micros);
                write!(f, "@{}", text.get(11..23).unwrap_or(&text))
            }
            Point::Time(Moment::Ago(micros)) => write!(f, "@-{}s", micros / super::clock::SECOND),
            Point::BeforeLast(back) => write!(f, "~{back}"),
            Point::Boot(boot) => write!(f, "boot:{boot}"),
            Point::Checkpoint(0) => f.write_str("ckpt:last"),
            Point::Checkpoint(back) => write!(f, "ckpt:-{back}"),
            Point::First => f.write_str("first"),
            Point::Last => f.write_str("last"),
            Point::Durable => f.write_str("durable"),
            Point::Raft {
                region: Some(region),
                term,
                index,
            } => write!(f, "raft:{region}/{term}/{index}"),
            Point::Raft {
                region: None,
                term,
                index,
            } => write!(f, "raft:{term}/{index}"),
        }
    }
}

impl Inspector {
    /// The record that `point` stands right after; [`Lsn::ZERO`] before the first.
    ///
    /// # Errors
    /// [`InspectError::BeyondEnd`], [`InspectError::NoSuchPoint`]; others as [`Inspector::look`].
    pub fn resolve(&self, point: Point) -> Result<Lsn, InspectError> {
        let picture = self.survey()?;
        let last = picture.report.last_lsn;
        let nowhere = |why: String| InspectError::NoSuchPoint {
            point: point.to_string(),
            why,
        };
        match point {
            Point::Last => Ok(last),
            // Behind damage there may be records; a look says how far it came.
            Point::Lsn(asked) if asked > last && picture.report.verdict.can_open() => {
                Err(InspectError::BeyondEnd { asked, last })
            }
            Point::Lsn(lsn) => Ok(lsn),
            Point::BeforeLast(back) => last
                .get()
                .checked_sub(back)
                .map(Lsn::new)
                .ok_or_else(|| nowhere(format!("there are {last} records"))),
            Point::Durable => match picture.report.witness {
                Some(witness) => Ok(witness.lsn.min(last)),
                None => Err(nowhere("nothing is witnessed as durable".to_owned())),
            },
            Point::First => Ok(self
                .oldest_state(&picture)?
                .map_or(last, |(lsn, _)| lsn.max(Lsn::FIRST).min(last))),
            Point::Checkpoint(back) => {
                let files = self.checkpoints(&picture)?;
                let valid: Vec<Lsn> = files
                    .iter()
                    .filter(|file| file.fault.is_none())
                    .map(|file| file.lsn)
                    .collect();
                let index = usize::try_from(back).unwrap_or(usize::MAX);
                valid.get(index).copied().ok_or_else(|| {
                    nowhere(match valid.len() {
                        0 => "there is no valid checkpoint".to_owned(),
                        1 => "there is 1 valid checkpoint".to_owned(),
                        many => format!("there are {many} valid checkpoints"),
                    })
                })
            }
            Point::Boot(boot) => self.end_of_boot(&picture, boot)?.map_err(nowhere),
            Point::Time(moment) => self.before_time(&picture, moment),
            Point::Raft {
                region,
                term,
                index,
            } => self.of_entry(region, (term, index))?.map_err(nowhere),
        }
    }

    fn end_of_boot(
        &self,
        picture: &Picture,
        boot: i64,
    ) -> Result<Result<Lsn, String>, InspectError> {
        let newest = i64::from(picture.evidence.boot_max().get());
        let wanted = if boot < 0 { newest + boot } else { boot };
        let Ok(wanted) = u32::try_from(wanted) else {
            return Ok(Err(format!("the newest boot is {newest}")));
        };
        let wanted = Boot::new(wanted);
        let mut found = None;
        self.records(Lsn::FIRST, &mut |item| match item {
            Item::Record(item) if item.behind_gap || item.boot > wanted => ControlFlow::Break(()),
            Item::Record(item) => {
                if item.boot == wanted {
                    found = Some(item.record.lsn);
                }
                ControlFlow::Continue(())
            }
            _ => ControlFlow::Continue(()),
        })?;
        Ok(found.ok_or_else(|| {
            format!("boot {wanted} wrote no record that is still in the journal; the newest boot is {newest}")
        }))
    }

    fn of_entry(
        &self,
        wanted: Option<RegionId>,
        (term, index): (u64, u64),
    ) -> Result<Result<Lsn, String>, InspectError> {
        let mut found: Option<(Option<RegionId>, Lsn)> = None;
        let mut others = BTreeSet::new();
        self.records(Lsn::FIRST, &mut |item| match item {
            Item::Record(item) if item.behind_gap => ControlFlow::Break(()),
            Item::Record(item) => {
                let header = codec::decode_header(item.record.kind.get(), item.record.payload);
                let Ok(Some(header)) = header else {
                    return ControlFlow::Continue(());
                };
                let is_entry = match header.cause {
                    Cause::Raft {
                        term: of,
                        index: at,
                    } => of == term && at == index,
                    _ => false,
                };
                if is_entry && wanted.is_none_or(|region| header.region == Some(region)) {
                    others.extend(header.region);
                    // One entry may have led to several records; all of them are before the point.
                    found = Some((header.region, item.record.lsn));
                }
                ControlFlow::Continue(())
            }
            _ => ControlFlow::Continue(()),
        })?;
        if others.len() > 1 {
            let names: Vec<String> = others.iter().take(4).map(RegionId::to_string).collect();
            let names = names.join(", ");
            return Ok(Err(format!(
                "several regions have such an entry ({names}); name one, as in raft:r7/{term}/{index}"
            )));
        }
        Ok(found
            .map(|(_, lsn)| lsn)
            .ok_or_else(|| "no record that is still in the journal came of that entry".to_owned()))
    }

    fn before_time(&self, picture: &Picture, moment: Moment) -> Result<Lsn, InspectError> {
        let micros = moment.micros(self.newest_micros(picture)?, self.now_micros());
        let mut before = picture.report.checkpoint.as_ref().map_or(Lsn::ZERO, |_| {
            picture
                .report
                .first_lsn
                .map_or(Lsn::ZERO, |first| Lsn::new(first.get().saturating_sub(1)))
        });
        self.records(Lsn::FIRST, &mut |item| match item {
            Item::Record(item) if item.behind_gap => ControlFlow::Break(()),
            Item::Record(item) => {
                let header = codec::decode_header(item.record.kind.get(), item.record.payload);
                let is_later = header
                    .ok()
                    .flatten()
                    .is_some_and(|header| header.wall_clock_micros > micros);
                if is_later {
                    return ControlFlow::Break(());
                }
                before = item.record.lsn;
                ControlFlow::Continue(())
            }
            _ => ControlFlow::Continue(()),
        })?;
        Ok(before)
    }

    /// When the newest record that says so was decided, in microseconds since the Unix epoch; 0 if none
    /// does.
    pub(super) fn newest_micros(&self, picture: &Picture) -> Result<u64, InspectError> {
        let mut newest = 0;
        self.records(picture.report.last_lsn, &mut |item| {
            if let Item::Record(item) = item
                && let Ok(Some(header)) =
                    codec::decode_header(item.record.kind.get(), item.record.payload)
            {
                newest = header.wall_clock_micros;
            }
            ControlFlow::Continue(())
        })?;
        Ok(newest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_point_reads_back_what_it_shows() {
        for text in [
            "0",
            "8412",
            "~5",
            "boot:7",
            "boot:-1",
            "ckpt:last",
            "ckpt:-1",
            "first",
            "last",
            "durable",
            "raft:8/912",
            "raft:r102/8/912",
            "@2026-03-14T09:21:07.114Z",
            "@09:21:07.000",
            "@-7200s",
        ] {
            let point: Point = text.parse().unwrap();
            assert_eq!(point.to_string(), text);
        }
        assert_eq!("91_336".parse(), Ok(Point::Lsn(Lsn::new(91_336))));
        for wrong in [
            "",
            "@",
            "~",
            "~x",
            "boot:",
            "ckpt:first",
            "newest",
            "-1",
            "raft:8",
            "raft:8/x",
        ] {
            assert!(wrong.parse::<Point>().is_err(), "{wrong:?}");
        }
    }
}
