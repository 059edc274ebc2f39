//! The kinds of damage, each a numbered list of cases.

use std::path::PathBuf;
use std::sync::Arc;

use torrens_journal::testing::SimDisk;

use crate::damage::{Floor, Kind, Store};
use crate::flat::Changes;
use crate::host::{Host, contents, copy, directories};

const BLOCK: usize = 512;

/// Every kind.
pub(crate) fn all(store: &Store) -> Vec<Kind<'_>> {
    vec![
        flipped_bits(store),
        zeroed_blocks(store),
        duplicated_blocks(store),
        swapped_blocks(store),
        truncations(store),
        removed_files(store),
        exchanged_files(store),
        foreign_files(store),
        older_files(store),
    ]
}

/// All blocks of all files.
fn blocks(store: &Store) -> Vec<(PathBuf, usize)> {
    let mut blocks = Vec::new();
    for (path, bytes) in store.files.iter() {
        for at in (0..bytes.len()).step_by(BLOCK) {
            blocks.push((path.clone(), at));
        }
    }
    blocks
}

fn block(store: &Store, (path, at): &(PathBuf, usize)) -> Vec<u8> {
    let bytes = store.bytes(path);
    bytes[*at..(*at + BLOCK).min(bytes.len())].to_vec()
}

fn patch(path: &std::path::Path, at: usize, bytes: Vec<u8>) -> Changes {
    Changes {
        bytes: vec![(path.to_owned(), at, bytes)],
        ..Changes::default()
    }
}

fn replace(path: &std::path::Path, file: Option<Vec<u8>>) -> Changes {
    Changes {
        files: vec![(path.to_owned(), file.map(Arc::new))],
        ..Changes::default()
    }
}

fn flipped_bits(store: &Store) -> Kind<'_> {
    let mut starts = Vec::new();
    let mut cases = 0;
    for (path, bytes) in store.files.iter() {
        starts.push((cases, path));
        cases += bytes.len() * 8;
    }
    Kind {
        name: "one bit flipped",
        cases,
        large: true,
        floor: Floor::Places(1),
        case: Box::new(move |index| {
            let (start, path) = starts[starts.partition_point(|(start, _)| *start <= index) - 1];
            let bit = index - start;
            let byte = store.bytes(path)[bit / 8] ^ (1 << (bit % 8));
            (
                format!("{} bit {bit}", path.display()),
                patch(path, bit / 8, vec![byte]),
            )
        }),
    }
}

fn zeroed_blocks(store: &Store) -> Kind<'_> {
    let blocks = blocks(store);
    Kind {
        name: "512 bytes zeroed",
        cases: blocks.len(),
        large: false,
        floor: Floor::Places(1),
        case: Box::new(move |index| {
            let (path, at) = &blocks[index];
            let zeros = vec![0; block(store, &blocks[index]).len()];
            (
                format!("{} at {at:#x}", path.display()),
                patch(path, *at, zeros),
            )
        }),
    }
}

fn duplicated_blocks(store: &Store) -> Kind<'_> {
    let blocks = blocks(store);
    let count = blocks.len();
    Kind {
        name: "512 bytes copied over others",
        cases: count * count,
        large: true,
        floor: Floor::Places(1),
        case: Box::new(move |index| {
            let (from, to) = (&blocks[index / count], &blocks[index % count]);
            let mut bytes = block(store, from);
            bytes.truncate(block(store, to).len());
            (format!("{from:?} over {to:?}"), patch(&to.0, to.1, bytes))
        }),
    }
}

fn swapped_blocks(store: &Store) -> Kind<'_> {
    let blocks = blocks(store);
    let count = blocks.len();
    Kind {
        name: "512 bytes swapped with others",
        cases: count * count,
        large: true,
        floor: Floor::Places(2),
        case: Box::new(move |index| {
            // Each pair twice; that is simpler than to number the pairs.
            let (a, b) = (&blocks[index / count], &blocks[index % count]);
            let (mut from_a, mut from_b) = (block(store, a), block(store, b));
            from_a.truncate(from_b.len());
            from_b.truncate(from_a.len());
            let changes = Changes {
                bytes: vec![(a.0.clone(), a.1, from_b), (b.0.clone(), b.1, from_a)],
                ..Changes::default()
            };
            (format!("{a:?} with {b:?}"), changes)
        }),
    }
}

fn truncations(store: &Store) -> Kind<'_> {
    let mut lengths = Vec::new();
    for (path, bytes) in store.files.iter() {
        for at in (0..bytes.len()).step_by(BLOCK) {
            for length in at.saturating_sub(2)..=at + 2 {
                if length < bytes.len() {
                    lengths.push((path.clone(), length));
                }
            }
        }
        // The headers of every file, and of every group and block behind them, byte by byte.
        lengths.extend((0..128.min(bytes.len())).map(|length| (path.clone(), length)));
        for page in (4096..bytes.len()).step_by(4096) {
            let near = page..(page + 160).min(bytes.len());
            lengths.extend(near.map(|length| (path.clone(), length)));
        }
    }
    lengths.sort();
    lengths.dedup();
    Kind {
        name: "a file cut short",
        cases: lengths.len(),
        large: true,
        floor: Floor::Places(1),
        case: Box::new(move |index| {
            let (path, length) = &lengths[index];
            let bytes = store.bytes(path)[..*length].to_vec();
            (
                format!("{} to {length}", path.display()),
                replace(path, Some(bytes)),
            )
        }),
    }
}

fn removed_files(store: &Store) -> Kind<'_> {
    let paths: Vec<PathBuf> = store.files.keys().cloned().collect();
    Kind {
        name: "a file removed",
        cases: paths.len(),
        large: false,
        floor: Floor::Lsn(vouched_elsewhere(store)),
        case: Box::new(move |index| {
            (
                paths[index].display().to_string(),
                replace(&paths[index], None),
            )
        }),
    }
}

/// What the files beside the last segment vouch for.
fn vouched_elsewhere(store: &Store) -> u64 {
    match store.name {
        // The mark that was written behind the seventh record.
        "crashed" => 7,
        _ => store.floors[1],
    }
}

fn exchanged_files(store: &Store) -> Kind<'_> {
    let paths: Vec<PathBuf> = store.files.keys().cloned().collect();
    let mut pairs = Vec::new();
    for a in &paths {
        for b in &paths {
            if a < b && a.extension() == b.extension() {
                pairs.push((a.clone(), b.clone()));
            }
        }
    }
    Kind {
        name: "two files exchanged",
        cases: pairs.len(),
        large: false,
        floor: Floor::Lsn(vouched_elsewhere(store)),
        case: Box::new(move |index| {
            let (a, b) = &pairs[index];
            let changes = Changes {
                files: vec![
                    (a.clone(), Some(Arc::clone(&store.files[b]))),
                    (b.clone(), Some(Arc::clone(&store.files[a]))),
                ],
                ..Changes::default()
            };
            (format!("{} and {}", a.display(), b.display()), changes)
        }),
    }
}

/// Files of the same names from a store that led the same life.
fn foreign_files(store: &Store) -> Kind<'_> {
    let disk = SimDisk::new(99);
    let mut host = Host::create_as(&disk, torrens_journal::StoreUuid(*b"some other store"));
    for number in 0..10 {
        host.put(if number % 3 == 0 { 5000 } else { 3000 })
            .expect("nothing fails");
    }
    host.journal.close().expect("it closes");
    drop(host);
    let foreign: Vec<(PathBuf, Vec<u8>)> = contents(&copy(&disk))
        .into_iter()
        .filter(|(path, _)| path.parent() == Some(directories().journal.as_path()))
        .filter(|(path, _)| store.files.contains_key(path))
        .collect();
    Kind {
        name: "a file of another store",
        cases: foreign.len(),
        large: false,
        floor: Floor::Lsn(vouched_elsewhere(store)),
        case: Box::new(move |index| {
            let (path, bytes) = &foreign[index];
            (
                path.display().to_string(),
                replace(path, Some(bytes.clone())),
            )
        }),
    }
}

/// Each file as it was after each earlier step.
fn older_files(store: &Store) -> Kind<'_> {
    let mut older = Vec::new();
    for earlier in &store.earlier {
        for (path, bytes) in earlier {
            let now = store.files.get(path);
            if now.is_some_and(|now| now != bytes)
                && !older.contains(&(path.clone(), bytes.clone()))
            {
                older.push((path.clone(), Arc::clone(bytes)));
            }
        }
    }
    Kind {
        name: "an older version of a file",
        cases: older.len(),
        large: false,
        floor: Floor::Lsn(vouched_elsewhere(store)),
        case: Box::new(move |index| {
            let (path, bytes) = &older[index];
            let changes = Changes {
                files: vec![(path.clone(), Some(Arc::clone(bytes)))],
                ..Changes::default()
            };
            (format!("{}, number {index}", path.display()), changes)
        }),
    }
}
