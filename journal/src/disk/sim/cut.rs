//! What a device may hold after the power went: one image for each choice among the unsynced pieces.
//!
//! A piece is a sector, a file's length or a change of directory entries. Each has versions: 0 is
//! what was durable, the last is what processes saw. A *pick* names one version for each piece, in
//! the order of [`SimDisk::unsynced`]; the other choices are ways to make picks.

use std::path::PathBuf;

use super::names::Ino;
use super::random::Random;
use super::{SimDisk, State};

/// Which of the unsynced pieces reached the device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CutChoice {
    /// None.
    LoseAll,
    /// All, in their newest version.
    KeepAll,
    /// Each piece by itself, in any of its versions; how many are kept varies by seed from nearly
    /// none to nearly all.
    Seeded(u64),
    /// `true` keeps a piece's newest version. Pieces without a bit are lost.
    Subset(Vec<bool>),
    /// The version of each piece; too large a number is the newest. Pieces without one are lost.
    Versions(Vec<usize>),
}

/// One piece that is not durable yet.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Unsynced {
    /// 512 bytes of a file.
    Sector {
        /// The file (its newest name, if it has one).
        path: PathBuf,
        /// Where the sector begins.
        offset_bytes: u64,
        /// How many versions were written since the last sync.
        versions: usize,
    },
    /// A file's length.
    Length {
        /// The file.
        path: PathBuf,
        /// The lengths since the last sync, oldest first.
        lengths_bytes: Vec<u64>,
    },
    /// A change of directory entries, in words.
    Entry {
        /// For example `rename /db/a.new to /db/a`.
        change: String,
    },
}

/// A piece, as the cut needs it: no names, no allocation.
#[derive(Clone, Copy, Debug)]
enum Piece {
    Sector {
        ino: Ino,
        sector: u64,
        versions: usize,
    },
    Length {
        ino: Ino,
        versions: usize,
    },
    Entry,
}

impl Piece {
    fn versions(self) -> usize {
        match self {
            Piece::Sector { versions, .. } | Piece::Length { versions, .. } => versions,
            Piece::Entry => 1,
        }
    }
}

/// The pieces of a state: files by number, sectors by offset, the length after them; then the
/// changes of entries, oldest first.
fn pieces(state: &State) -> Vec<Piece> {
    let mut pieces = Vec::new();
    // A file that only a handle still holds is gone after a cut, whatever was written to it.
    let reachable = state.names.reachable();
    for (ino, inode) in &state.inodes {
        let ino = *ino;
        if !reachable.contains(&ino) {
            continue;
        }
        pieces.extend(inode.unsynced().map(|(sector, versions)| Piece::Sector {
            ino,
            sector,
            versions,
        }));
        let versions = inode.unsynced_lengths().len();
        if versions > 0 {
            pieces.push(Piece::Length { ino, versions });
        }
    }
    pieces.extend(state.names.pending().iter().map(|_| Piece::Entry));
    pieces
}

/// The pieces in words.
pub(super) fn describe(state: &State) -> Vec<Unsynced> {
    let paths: std::collections::BTreeMap<Ino, PathBuf> =
        state.names.files().map(|(path, ino)| (ino, path)).collect();
    let path = |ino| {
        paths
            .get(&ino)
            .cloned()
            .unwrap_or_else(|| PathBuf::from("(removed file)"))
    };
    let mut entries = state.names.pending().iter();
    pieces(state)
        .into_iter()
        .map(|piece| match piece {
            Piece::Sector {
                ino,
                sector,
                versions,
            } => Unsynced::Sector {
                path: path(ino),
                offset_bytes: sector * super::image::SECTOR_BYTES as u64,
                versions,
            },
            Piece::Length { ino, .. } => Unsynced::Length {
                path: path(ino),
                lengths_bytes: state
                    .inodes
                    .get(&ino)
                    .map(|inode| inode.unsynced_lengths().to_vec())
                    .unwrap_or_default(),
            },
            Piece::Entry => Unsynced::Entry {
                change: entries
                    .next()
                    .map(|entry| entry.what().to_owned())
                    .unwrap_or_default(),
            },
        })
        .collect()
}

/// The device after a cut.
pub(super) fn power_cut(state: &State, choice: &CutChoice) -> State {
    let pieces = pieces(state);
    let picks = picks(&pieces, choice);
    cut(state, &pieces, &picks, choice.clone())
}

fn picks(pieces: &[Piece], choice: &CutChoice) -> Vec<usize> {
    let versions = pieces.iter().map(|piece| piece.versions());
    match choice {
        CutChoice::LoseAll => versions.map(|_| 0).collect(),
        CutChoice::KeepAll => versions.collect(),
        CutChoice::Subset(bits) => {
            let bits = bits.iter().copied().chain(std::iter::repeat(false));
            versions
                .zip(bits)
                .map(|(newest, kept)| if kept { newest } else { 0 })
                .collect()
        }
        CutChoice::Versions(wanted) => {
            let wanted = wanted.iter().copied().chain(std::iter::repeat(0));
            versions
                .zip(wanted)
                .map(|(newest, wanted)| wanted.min(newest))
                .collect()
        }
        CutChoice::Seeded(seed) => {
            let mut random = Random::new(*seed);
            // Of `out_of` pieces about `touched` take any version and the others a fixed one: all
            // independent, everything kept but one, everything lost but one, and between.
            let many = pieces.len().max(2);
            let (out_of, touched, else_newest) = match random.below(6) {
                0 | 1 => (1, 1, false),
                2 => (8, 1, true),
                3 => (8, 1, false),
                4 => (many, 1, true),
                _ => (many, 1, false),
            };
            versions
                .map(|newest| {
                    let any = random.below(newest + 1);
                    match random.below(out_of) < touched {
                        true => any,
                        false if else_newest => newest,
                        false => 0,
                    }
                })
                .collect()
        }
    }
}

/// Builds the device. `picks` has a version for each piece.
fn cut(state: &State, pieces: &[Piece], picks: &[usize], choice: CutChoice) -> State {
    let kept: Vec<bool> = pieces
        .iter()
        .zip(picks)
        .filter(|(piece, _)| matches!(piece, Piece::Entry))
        .map(|(_, pick)| *pick > 0)
        .collect();
    let names = state.names.cut(&kept);
    let reachable = names.reachable();
    let mut after = state.rebooted(names, Some(choice));
    let mut rest = pieces.iter().zip(picks).peekable();
    for (ino, inode) in &state.inodes {
        let mut sectors = Vec::new();
        let mut length = 0;
        while let Some((piece, pick)) = rest.peek() {
            match piece {
                Piece::Sector { ino: of, .. } if of == ino => sectors.push(**pick),
                Piece::Length { ino: of, .. } if of == ino => length = **pick,
                _ => break,
            }
            rest.next();
        }
        if reachable.contains(ino) {
            let mut sectors = sectors.into_iter();
            let image = inode.cut(length, |_| sectors.next().unwrap_or(0));
            after
                .inodes
                .insert(*ino, super::inode::Inode::settled(image));
        }
    }
    after
}

/// The devices that a cut can leave, see [`SimDisk::cut_images`].
pub(super) struct CutImages {
    state: State,
    pieces: Vec<Piece>,
    next: Next,
}

enum Next {
    /// Every pick; the next one, or `None` after the last.
    Every(Option<Vec<usize>>),
    /// `left` samples.
    Sampled {
        drawn: usize,
        left: usize,
        random: Random,
    },
}

impl CutImages {
    pub(super) fn new(state: State, max: usize, seed: u64) -> CutImages {
        let pieces = pieces(&state);
        let product = pieces.iter().try_fold(1_usize, |product, piece| {
            product
                .checked_mul(piece.versions() + 1)
                .filter(|product| *product <= max)
        });
        let next = match product {
            Some(_) if max > 0 => Next::Every(Some(vec![0; pieces.len()])),
            _ => Next::Sampled {
                drawn: 0,
                left: max,
                random: Random::new(seed),
            },
        };
        CutImages {
            state,
            pieces,
            next,
        }
    }

    /// Counts up; `None` after the newest version of everything.
    fn after(&self, mut picks: Vec<usize>) -> Option<Vec<usize>> {
        for (pick, piece) in picks.iter_mut().zip(&self.pieces) {
            if *pick < piece.versions() {
                *pick += 1;
                return Some(picks);
            }
            *pick = 0;
        }
        None
    }

    /// Two picks that differ only in a change that cannot be kept are one image.
    fn is_possible(&self, picks: &[usize]) -> bool {
        let entries = self.pieces.iter().zip(picks);
        let kept: Vec<bool> = entries
            .filter(|(piece, _)| matches!(piece, Piece::Entry))
            .map(|(_, pick)| *pick > 0)
            .collect();
        self.state.names.is_possible(&kept)
    }
}

impl Iterator for CutImages {
    type Item = SimDisk;

    fn next(&mut self) -> Option<SimDisk> {
        loop {
            let choice = match &mut self.next {
                Next::Every(at) => {
                    let picks = at.take()?;
                    let after = self.after(picks.clone());
                    self.next = Next::Every(after);
                    if !self.is_possible(&picks) {
                        continue;
                    }
                    CutChoice::Versions(picks)
                }
                Next::Sampled { left: 0, .. } => return None,
                Next::Sampled {
                    drawn,
                    left,
                    random,
                } => {
                    *drawn += 1;
                    *left -= 1;
                    match drawn {
                        1 => CutChoice::LoseAll,
                        2 => CutChoice::KeepAll,
                        _ => CutChoice::Seeded(random.next()),
                    }
                }
            };
            let picks = picks(&self.pieces, &choice);
            return Some(SimDisk::from_state(cut(
                &self.state,
                &self.pieces,
                &picks,
                choice,
            )));
        }
    }
}

/// How many pieces are sectors.
pub(super) fn sectors(state: &State) -> usize {
    state
        .inodes
        .values()
        .map(|inode| inode.unsynced().count())
        .sum()
}

impl std::fmt::Debug for CutImages {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CutImages")
            .field("pieces", &self.pieces.len())
            .finish_non_exhaustive()
    }
}
