//! What a device may hold after the power went: one image for each choice among the unsynced pieces.
//!
//! A piece is a sector, a file's length or a change of directory entries. Each has versions: 0 is
//! what was durable, the last is what processes saw. A *pick* names one version for each piece, in
//! the order of [`SimDisk::unsynced`]; the other choices are ways to make picks. What the kernel
//! writes back by itself is chosen in the same way: it is what a power cut would have kept.
//!
//! Not here: going through all picks (see `images`).

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::image::{PAGE_BYTES, SECTOR_BYTES};
use super::inode::Inode;
use super::names::Ino;
use super::random::Random;
use super::state::State;

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
    /// The sectors of a page are kept together or lost together, as the kernel writes them back: most
    /// pages, some, or nearly none, in their newest version. Lengths and entries as by
    /// [`CutChoice::Seeded`].
    Pages(u64),
    /// As [`CutChoice::Seeded`], and some of the sectors are torn: their first bytes, a multiple of
    /// 8, are of one version and the others of another. Devices do not do this; memory that is
    /// addressed as a device does.
    Torn(u64),
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
pub(super) enum Piece {
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

/// Sectors of a page.
const PAGE_SECTORS: u64 = (PAGE_BYTES / SECTOR_BYTES) as u64;

impl Piece {
    /// The page that a sector belongs to.
    pub(super) fn page(self) -> Option<(Ino, u64)> {
        match self {
            Piece::Sector { ino, sector, .. } => Some((ino, sector / PAGE_SECTORS)),
            Piece::Length { .. } | Piece::Entry => None,
        }
    }

    pub(super) fn versions(self) -> usize {
        match self {
            Piece::Sector { versions, .. } | Piece::Length { versions, .. } => versions,
            Piece::Entry => 1,
        }
    }
}

/// The pieces of a state: files by number, sectors by offset, the length after them; then the
/// changes of entries, oldest first.
pub(super) fn pieces(state: &State) -> Vec<Piece> {
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
    let paths: BTreeMap<Ino, PathBuf> =
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
                offset_bytes: sector * SECTOR_BYTES as u64,
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

/// A version for each piece.
pub(super) fn picks(pieces: &[Piece], choice: &CutChoice) -> Vec<usize> {
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
        CutChoice::Pages(seed) => pages(pieces, &mut Random::new(*seed)),
        CutChoice::Seeded(seed) | CutChoice::Torn(seed) => {
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

/// Picks that treat the sectors of a page alike.
fn pages(pieces: &[Piece], random: &mut Random) -> Vec<usize> {
    let out_of = [2, 2, 8, 8, pieces.len().max(2)];
    let out_of = out_of.get(random.below(out_of.len())).copied();
    let (out_of, else_kept) = (out_of.unwrap_or(2), random.below(2) == 0);
    let mut last = None;
    let mut kept = false;
    pieces
        .iter()
        .map(|piece| {
            let page = piece.page();
            if page.is_none() || page != last {
                kept = (random.below(out_of) == 0) != else_kept;
                last = page;
            }
            match piece {
                Piece::Length { versions, .. } if kept => random.below(*versions) + 1,
                _ if kept => piece.versions(),
                _ => 0,
            }
        })
        .collect()
}

/// Which changes of entries the picks keep, oldest first.
pub(super) fn kept_entries(pieces: &[Piece], picks: &[usize]) -> Vec<bool> {
    let entries = pieces.iter().zip(picks);
    entries
        .filter(|(piece, _)| matches!(piece, Piece::Entry))
        .map(|(_, pick)| *pick > 0)
        .collect()
}

/// In how many ways a version of each piece can be picked.
pub(super) fn count(state: &State) -> u64 {
    let versions = pieces(state)
        .into_iter()
        .map(|piece| piece.versions() as u64 + 1);
    versions.fold(1, u64::saturating_mul)
}

/// Makes durable what a power cut with this choice would keep. The process goes on.
pub(super) fn write_back(state: &mut State, choice: &CutChoice) {
    let pieces = pieces(state);
    let picks = picks(&pieces, choice);
    state.names.write_back(&kept_entries(&pieces, &picks));
    let mut files: BTreeMap<Ino, (BTreeMap<u64, usize>, usize)> = BTreeMap::new();
    for (piece, pick) in pieces.iter().zip(picks) {
        match piece {
            Piece::Sector { ino, sector, .. } => {
                files.entry(*ino).or_default().0.insert(*sector, pick);
            }
            Piece::Length { ino, .. } => files.entry(*ino).or_default().1 = pick,
            Piece::Entry => {}
        }
    }
    for (ino, (sectors, length)) in files {
        if let Some(inode) = state.inodes.get_mut(&ino) {
            inode.write_back(length, |sector| {
                sectors.get(&sector).copied().unwrap_or_default()
            });
        }
    }
}

/// A write-back of one file fails; what reaches the device all the same is drawn by the seed, page by
/// page or sector by sector.
pub(super) fn fail_write_back(inode: &mut Inode, some_reaches: Option<u64>) {
    let Some(seed) = some_reaches else {
        return inode.write_back_fails(|_| false);
    };
    let mut random = Random::new(seed);
    let by_page = random.below(2) == 0;
    let (mut last, mut reaches) = (None, false);
    inode.write_back_fails(|sector| {
        let page = sector / PAGE_SECTORS;
        if !by_page || last != Some(page) {
            last = Some(page);
            reaches = random.below(2) == 0;
        }
        reaches
    });
}

/// A durable write fails; gives the sectors of it that reach the device all the same.
pub(super) fn reach_in_part(
    bytes: &[u8],
    some_reaches: Option<u64>,
    mut reach: impl FnMut(u64, &[u8]),
) {
    let Some(mut random) = some_reaches.map(Random::new) else {
        return;
    };
    for (at, sector) in (0..).step_by(SECTOR_BYTES).zip(bytes.chunks(SECTOR_BYTES)) {
        if random.below(2) == 0 {
            reach(at, sector);
        }
    }
}

/// Builds the device. `picks` has a version for each piece.
pub(super) fn cut(state: &State, pieces: &[Piece], picks: &[usize], choice: CutChoice) -> State {
    let names = state.names.cut(&kept_entries(pieces, picks));
    let reachable = names.reachable();
    let tears = match choice {
        CutChoice::Torn(seed) => Some(Random::new(seed.rotate_left(32))),
        _ => None,
    };
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
            after.inodes.insert(*ino, Inode::settled(image));
        }
    }
    if let Some(mut random) = tears {
        tear(state, &mut after, pieces, &mut random);
    }
    after
}

/// Tears one in three of the sectors that the device might have been writing.
fn tear(state: &State, after: &mut State, pieces: &[Piece], random: &mut Random) {
    for piece in pieces {
        let Piece::Sector {
            ino,
            sector,
            versions,
        } = *piece
        else {
            continue;
        };
        let (drawn, between) = (
            random.below(3),
            [(); 2].map(|()| random.below(versions + 1)),
        );
        let bytes = 8 * (1 + random.below(SECTOR_BYTES / 8 - 1));
        let files = (state.inodes.get(&ino), after.inodes.get_mut(&ino));
        if let ((Some(before), Some(file)), 0) = (files, drawn) {
            file.replace(sector, &before.torn(sector, between, bytes));
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
