//! Short scripts of what clients do with a journal, and what they got to hear.

use std::sync::Arc;

use torrens_journal::disk::{Disk, OpenMode};
use torrens_journal::testing::SimDisk;
use torrens_journal::{Journal, JournalOptions, Lsn, NewRecord};

use crate::support::{KIND, STORE, clear_behind_in, dir, payload, walk};

/// One thing that happens. Clients are logical: each remembers the LSN it waits for.
#[derive(Clone, Copy, Debug)]
pub(super) enum Step {
    /// A client appends a record with a payload of so many bytes.
    Append(usize, usize),
    /// A client appends several records that stay together.
    Together(usize, &'static [usize]),
    /// A client waits until its last record is durable.
    Wait(usize),
    /// As [`Step::Wait`], and until a mark says so.
    Witness(usize),
    /// Somebody makes everything durable.
    Sync,
    /// The position goes to the mark file, unsynced or synced.
    Mark,
    MarkSynced,
    /// All but the last so many records are needed no more.
    PurgeAllBut(u64),
    /// The journal ends in order.
    Close,
    /// It is opened again, by a plain recovery.
    Reopen,
}

/// A script and its name.
pub(super) struct History {
    pub(super) name: &'static str,
    pub(super) steps: &'static [Step],
}

use Step::{Append, Close, Mark, MarkSynced, PurgeAllBut, Reopen, Sync, Together, Wait, Witness};

/// Segments have six pages for groups, one of which stays free for a seal.
pub(super) const HISTORIES: &[History] = &[
    History {
        name: "two clients share a sync, a third comes later",
        steps: &[
            Append(0, 40),
            Append(1, 60),
            Wait(1),
            Wait(0),
            Append(2, 100),
            Append(0, 700),
            Wait(2),
            Append(1, 20),
            Close,
        ],
    },
    History {
        name: "groups of several pages",
        steps: &[
            Append(0, 5_000),
            Wait(0),
            Together(1, &[30, 4_100, 30]),
            Append(0, 10),
            Wait(1),
            Append(0, 1_200),
        ],
    },
    History {
        name: "rotation right after a sync",
        steps: &[
            Append(0, 11_000),
            Wait(0),
            Append(1, 4_000),
            Wait(1),
            Append(0, 4_100),
            Append(1, 50),
            Wait(1),
            Append(0, 60),
            Sync,
        ],
    },
    History {
        name: "rotations with nothing synced between",
        steps: &[
            Append(0, 18_000),
            Append(1, 9_000),
            Append(2, 9_000),
            Append(0, 100),
            Wait(1),
            Append(0, 18_000),
            Append(2, 100),
            Wait(2),
        ],
    },
    History {
        name: "marks",
        steps: &[
            Append(0, 40),
            Wait(0),
            Mark,
            Append(0, 40),
            MarkSynced,
            Wait(0),
            MarkSynced,
            Append(1, 3_000),
            Wait(1),
            Mark,
            Close,
        ],
    },
    History {
        name: "purges of what nobody needs",
        steps: &[
            Append(0, 18_000),
            Append(0, 18_000),
            Append(0, 18_000),
            Wait(0),
            PurgeAllBut(1),
            Append(1, 18_000),
            Append(1, 50),
            Wait(1),
            MarkSynced,
            PurgeAllBut(2),
            Append(0, 70),
            Wait(0),
            Append(1, 18_000),
            Wait(1),
            PurgeAllBut(1),
            Append(0, 18_000),
            Wait(0),
            Close,
        ],
    },
    History {
        name: "witnessed records",
        steps: &[
            Append(0, 40),
            Append(1, 40),
            Witness(0),
            Append(1, 3_000),
            Append(2, 50),
            Wait(1),
            Witness(2),
            Append(0, 18_000),
            Witness(0),
            Append(1, 30),
            Close,
        ],
    },
    History {
        name: "segments used again and again",
        steps: &[
            Append(0, 18_000),
            Append(1, 18_000),
            Append(0, 18_000),
            Wait(0),
            PurgeAllBut(1),
            Append(1, 9_000),
            Append(2, 100),
            Wait(2),
            Append(1, 18_000),
            Append(0, 30),
            Wait(0),
            PurgeAllBut(1),
            Append(0, 50),
            Append(1, 18_000),
            Append(2, 40),
            Wait(2),
            Reopen,
            Append(0, 18_000),
            Append(1, 20),
            Wait(1),
        ],
    },
    History {
        name: "closed and opened again",
        steps: &[
            Append(0, 40),
            Append(1, 4_500),
            Close,
            Reopen,
            Append(0, 50),
            Wait(0),
            Reopen,
            Append(1, 18_000),
            Wait(1),
            Close,
        ],
    },
    History {
        name: "everything, with clients that wait late",
        steps: &[
            Append(0, 40),
            Append(1, 3_000),
            Append(2, 9_000),
            Wait(0),
            Append(0, 18_000),
            Together(1, &[10, 10, 10]),
            Mark,
            Wait(1),
            Append(2, 18_000),
            Append(2, 300),
            Wait(2),
            PurgeAllBut(3),
            MarkSynced,
            Append(0, 9_000),
            Append(1, 9_000),
            Wait(0),
            Close,
            Reopen,
            Append(2, 10),
            Wait(2),
        ],
    },
];

/// What the clients got to hear.
#[derive(Clone, Debug, Default)]
pub(super) struct Heard {
    /// Every payload that got an LSN; the first has LSN 1.
    pub(super) appended: Vec<Vec<u8>>,
    /// The highest LSN that somebody was told is durable.
    pub(super) acknowledged: Lsn,
    /// The highest LSN that somebody was told is witnessed.
    pub(super) witnessed: Lsn,
    /// Records below may be gone.
    pub(super) needed_from: Lsn,
}

impl Heard {
    pub(super) fn nothing() -> Heard {
        Heard {
            needed_from: Lsn::FIRST,
            ..Heard::default()
        }
    }

    /// After a crash, what a next life builds on: the first `last` of the records.
    pub(super) fn recovered(&self, last: Lsn) -> Heard {
        let kept = usize::try_from(last.get()).unwrap();
        Heard {
            appended: self.appended[..kept].to_vec(),
            acknowledged: last,
            witnessed: self.witnessed,
            needed_from: self.needed_from,
        }
    }
}

/// Plays a script to its end, through all refusals: what fails after a failure must not be
/// acknowledged either. Gives the journal that nobody closed: dropping it would change the disk, so a
/// crash is looked at before, or it is forgotten.
#[must_use = "dropping it changes the disk"]
pub(super) fn play(
    disk: &SimDisk,
    options: JournalOptions,
    steps: &[Step],
    heard: &mut Heard,
) -> Option<Journal> {
    let made = Journal::create(Arc::new(disk.clone()), &dir(), STORE, options);
    go_on(disk, made.ok()?, options, steps, heard)
}

/// Plays a script on an open journal, as [`play`] does.
#[must_use = "dropping it changes the disk"]
pub(super) fn go_on(
    disk: &SimDisk,
    journal: Journal,
    options: JournalOptions,
    steps: &[Step],
    heard: &mut Heard,
) -> Option<Journal> {
    let mut clients = [Lsn::ZERO; 3];
    let mut journal = Some(journal);
    for step in steps {
        let open = journal.as_ref()?;
        match *step {
            Append(client, bytes) => {
                if let Some(lsn) = append(open, &[bytes], heard) {
                    clients[client] = lsn;
                }
            }
            Together(client, sizes) => {
                if let Some(lsn) = append(open, sizes, heard) {
                    clients[client] = lsn;
                }
            }
            Wait(client) => {
                if open.wait_durable(clients[client]).is_ok() {
                    heard.acknowledged = heard.acknowledged.max(clients[client]);
                }
            }
            Witness(client) => {
                if open.wait_witnessed(clients[client]).is_ok() {
                    heard.acknowledged = heard.acknowledged.max(clients[client]);
                    heard.witnessed = heard.witnessed.max(clients[client]);
                }
            }
            Sync => {
                if let Ok(lsn) = open.sync() {
                    heard.acknowledged = heard.acknowledged.max(lsn);
                }
            }
            Mark => drop(open.write_mark()),
            MarkSynced => drop(open.write_mark_synced()),
            PurgeAllBut(kept) => {
                let below = Lsn::new((open.appended().get() + 1).saturating_sub(kept));
                // What is allowed to go may go, whatever the answer.
                heard.needed_from = heard.needed_from.max(below);
                drop(open.purge_below(below));
            }
            Close => {
                let appended = open.appended();
                if open.close().is_ok() {
                    heard.acknowledged = heard.acknowledged.max(appended);
                }
            }
            Reopen => {
                drop(journal.take());
                if disk.is_dead() || settle(disk).is_err() {
                    return None;
                }
                let tail = walk(disk).tail?;
                assert!(tail.last_lsn >= heard.acknowledged, "{heard:?}");
                *heard = heard.recovered(tail.last_lsn);
                clear_behind_in(disk, &dir(), &tail).ok()?;
                let disk = Arc::new(disk.clone());
                journal = Journal::resume(disk, &dir(), STORE, tail, options).ok();
            }
        }
        // Acknowledged is a prefix: whoever is told of a later record has been told of all before.
        if let Some(open) = &journal {
            assert!(open.synced() <= open.appended());
            assert!(heard.acknowledged <= open.synced());
        }
    }
    journal
}

/// What must hold of any device that a crash left.
pub(super) fn check(image: &SimDisk, heard: &Heard, context: &str) {
    let found = walk(image);
    let context = format!("{context}, cut {:?}", image.cut_choice());
    let last = found.last_lsn();
    assert!(
        last >= heard.acknowledged,
        "{context}: {last} is the last, {} was acknowledged",
        heard.acknowledged
    );
    assert!(
        found.first_lsn <= heard.needed_from,
        "{context}: starts with {}, {} is needed",
        found.first_lsn,
        heard.needed_from
    );
    assert!(
        found.witnessed <= last,
        "{context}: {} witnessed, {last} found",
        found.witnessed
    );
    assert!(
        found.witnessed >= heard.witnessed,
        "{context}: {} witnessed, {} was told",
        found.witnessed,
        heard.witnessed
    );
    let first = found.first_lsn.get() as usize;
    for (lsn, read) in (first..).zip(&found.payloads) {
        assert_eq!(
            Some(read),
            heard.appended.get(lsn - 1),
            "{context}: record {lsn}"
        );
    }
}

/// Makes durable what can be read, and forgets what only looks as if it were there, as recovery does
/// before it reads anything.
fn settle(disk: &SimDisk) -> std::io::Result<()> {
    for path in disk.files() {
        let file = disk.open(&path, OpenMode::Write)?;
        // The error of a write-back that nobody was told of yet; the pages are gone either way.
        let _ = file.sync_data();
        file.drop_cache()?;
        file.sync_data()?;
    }
    disk.sync_dir(&dir())
}

/// Appends records with payloads of these sizes, and notes them.
fn append(journal: &Journal, sizes: &[usize], heard: &mut Heard) -> Option<Lsn> {
    let first = heard.appended.len() as u64 + 1;
    let payloads: Vec<Vec<u8>> = (first..)
        .zip(sizes)
        .map(|(n, size)| payload(n, *size))
        .collect();
    let records: Vec<NewRecord<'_>> = payloads
        .iter()
        .map(|payload| NewRecord {
            kind: KIND,
            tag: 3,
            payload,
        })
        .collect();
    let last = journal.append_all(&records).ok()?;
    heard.appended.extend(payloads);
    assert_eq!(last, Lsn::new(heard.appended.len() as u64));
    Some(last)
}
