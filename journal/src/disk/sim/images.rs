//! Every device that a power cut can leave, one after the other; samples where there are too many.

use super::SimDisk;
use super::cut::{CutChoice, Piece, cut, kept_entries, picks, pieces};
use super::random::Random;
use super::state::State;

/// The devices that a cut can leave, see [`SimDisk::cut_images`].
pub(super) struct CutImages {
    state: State,
    pieces: Vec<Piece>,
    next: Next,
}

enum Next {
    /// Each combination of the units' versions, then samples.
    Every {
        units: Units,
        then: Samples,
    },
    Sampled(Samples),
}

/// How many samples are left, and where they come from.
#[derive(Clone)]
struct Samples {
    drawn: u64,
    left: usize,
    /// Whether nothing and everything was kept already.
    ends_done: bool,
    random: Random,
}

impl Samples {
    fn next(&mut self) -> Option<CutChoice> {
        self.left = self.left.checked_sub(1)?;
        self.drawn += 1;
        Some(match self.drawn {
            1 if !self.ends_done => CutChoice::LoseAll,
            2 if !self.ends_done => CutChoice::KeepAll,
            // Pages in every fourth: what the kernel does, between what a device might.
            drawn if drawn % 4 == 0 => CutChoice::Pages(self.random.next()),
            _ => CutChoice::Seeded(self.random.next()),
        })
    }
}

/// Pieces that are picked together, and how far the counting is.
struct Units {
    /// The unit of each piece.
    of: Vec<usize>,
    /// The highest version of each unit.
    newest: Vec<usize>,
    /// The version of each unit that comes next; `None` after the last.
    at: Option<Vec<usize>>,
}

impl Units {
    /// Each piece by itself, or all sectors of a page together.
    fn new(pieces: &[Piece], by_page: bool) -> Units {
        let (mut of, mut newest, mut last) = (Vec::new(), Vec::new(), None);
        for piece in pieces {
            let page = piece.page().filter(|_| by_page);
            if page.is_none() || page != last {
                // Of a page the newest versions are kept, or none.
                newest.push(if page.is_some() { 1 } else { piece.versions() });
                last = page;
            }
            of.push(newest.len() - 1);
        }
        let at = Some(vec![0; newest.len()]);
        Units { of, newest, at }
    }

    /// How many combinations there are, if at most `max`.
    fn count(&self, max: usize) -> Option<usize> {
        self.newest.iter().try_fold(1_usize, |product, newest| {
            product
                .checked_mul(newest + 1)
                .filter(|product| *product <= max)
        })
    }

    /// The next combination as a version of each piece.
    fn next(&mut self, pieces: &[Piece]) -> Option<Vec<usize>> {
        let at = self.at.take()?;
        let versions = pieces.iter().zip(&self.of).map(|(piece, unit)| {
            let (version, newest) = (at.get(*unit), self.newest.get(*unit));
            match version.zip(newest) {
                Some((version, newest)) if version == newest => piece.versions(),
                Some((version, _)) => *version,
                None => 0,
            }
        });
        let versions = versions.collect();
        self.at = self.after(at);
        Some(versions)
    }

    /// Counts up; `None` after the newest version of everything.
    fn after(&self, mut at: Vec<usize>) -> Option<Vec<usize>> {
        for (version, newest) in at.iter_mut().zip(&self.newest) {
            if *version < *newest {
                *version += 1;
                return Some(at);
            }
            *version = 0;
        }
        None
    }
}

impl CutImages {
    pub(super) fn new(state: State, max: usize, seed: u64) -> CutImages {
        let pieces = pieces(&state);
        let samples = |left, ends_done| Samples {
            drawn: 0,
            left,
            ends_done,
            random: Random::new(seed),
        };
        let (single, paged) = (Units::new(&pieces, false), Units::new(&pieces, true));
        let next = match (single.count(max), paged.count(max / 2)) {
            (Some(_), _) if max > 0 => Next::Every {
                units: single,
                then: samples(0, true),
            },
            (_, Some(count)) if max > 0 => Next::Every {
                units: paged,
                then: samples(max - count, true),
            },
            _ => Next::Sampled(samples(max, false)),
        };
        CutImages {
            state,
            pieces,
            next,
        }
    }
}

impl Iterator for CutImages {
    type Item = SimDisk;

    fn next(&mut self) -> Option<SimDisk> {
        loop {
            let choice = match &mut self.next {
                Next::Every { units, then } => match units.next(&self.pieces) {
                    Some(picks) => {
                        // Two picks that differ only in a change that cannot be kept are one image.
                        let kept = kept_entries(&self.pieces, &picks);
                        if !self.state.names.is_possible(&kept) {
                            continue;
                        }
                        CutChoice::Versions(picks)
                    }
                    None => {
                        self.next = Next::Sampled(then.clone());
                        continue;
                    }
                },
                Next::Sampled(samples) => samples.next()?,
            };
            let picks = picks(&self.pieces, &choice);
            let after = cut(&self.state, &self.pieces, &picks, choice);
            return Some(SimDisk::from_state(after));
        }
    }
}

impl std::fmt::Debug for CutImages {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CutImages")
            .field("pieces", &self.pieces.len())
            .finish_non_exhaustive()
    }
}
