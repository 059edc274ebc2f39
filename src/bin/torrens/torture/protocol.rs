//! What parent and child say to each other: one JSON value a line, commands down, events up.
//!
//! The types are plain and torture's own. The parent's model is built from them and not from the
//! engine's types, so that model and engine stay two witnesses; only the child translates.

use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The store that is tortured is always this one; the others exist only in the model.
pub(super) const STORE: u64 = 1;
/// Index and term of a region that has just come into being.
pub(super) const FIRST: Position = Position { index: 5, term: 5 };

/// Bytes of a key; hexadecimal on the wire, since a person's own data may be no text.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Key(pub(super) Vec<u8>);

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.0.escape_ascii())
    }
}

impl Serialize for Key {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use fmt::Write as _;
        let mut text = String::with_capacity(self.0.len().saturating_mul(2));
        for byte in &self.0 {
            write!(text, "{byte:02x}").map_err(serde::ser::Error::custom)?;
        }
        serializer.serialize_str(&text)
    }
}

impl<'de> Deserialize<'de> for Key {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let digits: Option<Vec<u32>> = text.chars().map(|c| c.to_digit(16)).collect();
        let digits = digits.filter(|digits| digits.len().is_multiple_of(2));
        let digits = digits.ok_or_else(|| serde::de::Error::custom("not hexadecimal"))?;
        let byte = |pair: &[u32]| pair.iter().fold(0u32, |high, low| high * 16 + low) as u8;
        Ok(Key(digits.chunks(2).map(byte).collect()))
    }
}

/// A place in a region's Raft log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) struct Position {
    pub(super) index: u64,
    pub(super) term: u64,
}

/// How new a description is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) struct Epoch {
    pub(super) conf_ver: u64,
    pub(super) version: u64,
}

/// One replica of a region.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct PeerLine {
    pub(super) id: u64,
    pub(super) store: u64,
    pub(super) learner: bool,
    /// Whether it is on its way, in joint consensus: to be the voter, or the learner, that it is here.
    #[serde(default)]
    pub(super) joint: bool,
    #[serde(default)]
    pub(super) witness: bool,
}

impl PeerLine {
    /// A replica with data that votes.
    pub(super) const fn voter(id: u64, store: u64) -> PeerLine {
        PeerLine {
            id,
            store,
            learner: false,
            joint: false,
            witness: false,
        }
    }
}

/// A region's description.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Description {
    pub(super) id: u64,
    pub(super) start: Key,
    /// None is infinity.
    pub(super) end: Option<Key>,
    pub(super) epoch: Epoch,
    pub(super) peers: Vec<PeerLine>,
}

impl Description {
    pub(super) fn contains(&self, key: &[u8]) -> bool {
        *key >= *self.start.0 && self.end.as_ref().is_none_or(|end| *key < *end.0)
    }

    /// The id of the peer on the tortured store.
    pub(super) fn own_peer(&self) -> Option<u64> {
        self.peers
            .iter()
            .find(|peer| peer.store == STORE)
            .map(|peer| peer.id)
    }
}

/// One change of a row: (prefix, row, revision); no revision deletes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct RowChange(pub(super) u32, pub(super) u32, pub(super) Option<u64>);

/// Keys from one on, up to another or to the end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct KeyBounds {
    pub(super) start: Key,
    /// None is infinity.
    pub(super) end: Option<Key>,
}

/// A region that a split makes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct NewChild {
    pub(super) id: u64,
    pub(super) peers: Vec<PeerLine>,
}

/// A change of one peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum PeerChangeLine {
    Add(PeerLine),
    Remove(u64),
    Promote(u64),
    Demote(u64),
}

/// What the storage process is asked to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Do {
    Bootstrap {
        description: Description,
    },
    Write {
        region: u64,
        epoch: Epoch,
        at: Position,
        rows: Vec<RowChange>,
        /// The rows go by the deletion of that range, which has exactly them.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        range: Option<KeyBounds>,
    },
    Split(SplitLine),
    /// Prepares a region to be merged into its neighbour.
    PrepareMerge {
        region: u64,
        epoch: Epoch,
        at: Position,
        target: Description,
    },
    /// Takes a prepared neighbour in; `commit` is the index at which it was prepared.
    CommitMerge {
        region: u64,
        epoch: Epoch,
        at: Position,
        source: Description,
        commit: u64,
    },
    /// Ends a prepared merge without its taking place.
    RollbackMerge {
        region: u64,
        epoch: Epoch,
        at: Position,
        commit: u64,
    },
    ChangePeers {
        region: u64,
        epoch: Epoch,
        at: Position,
        change: PeerChangeLine,
    },
    /// Several changes of peers at once, through joint consensus.
    EnterJoint {
        region: u64,
        epoch: Epoch,
        at: Position,
        changes: Vec<PeerChangeLine>,
    },
    LeaveJoint {
        region: u64,
        epoch: Epoch,
        at: Position,
    },
    /// A replica on another store becomes a witness, or holds data again.
    SwitchWitness {
        region: u64,
        epoch: Epoch,
        at: Position,
        peer: u64,
        witness: bool,
    },
    /// The region is to be set back: it serves nobody until that has ended.
    BeginFlashback {
        region: u64,
        epoch: Epoch,
        at: Position,
    },
    EndFlashback {
        region: u64,
        epoch: Epoch,
        at: Position,
    },
    /// A message from another store arrives for a peer that may not exist yet.
    CreatePeer {
        region: u64,
        peer: u64,
        from_store: u64,
        epoch: Epoch,
    },
    /// By a message that says that the peer was removed at that epoch, or by an operator.
    Destroy {
        region: u64,
        incarnation: u64,
        peer: u64,
        removed: Option<Epoch>,
    },
    /// Takes a snapshot and leaves a whole copy of its file, under its own name, in the folder `to`.
    TakeSnapshot {
        region: u64,
        epoch: Epoch,
        to: PathBuf,
    },
    ApplySnapshot(SnapshotLine),
    Load {
        region: u64,
        epoch: Epoch,
    },
    Evict {
        region: u64,
    },
    /// As before a transfer of leadership.
    Preload {
        region: u64,
        epoch: Epoch,
    },
    /// A label on these keys comes, and goes again a little later.
    Label(KeyBounds),
    /// A backup into that folder, and a store made of it; both go again.
    Backup {
        to: PathBuf,
    },
    /// Point reads of (prefix, row).
    Read {
        region: u64,
        epoch: Epoch,
        rows: Vec<(u32, u32)>,
    },
    /// A range read; answered with a digest.
    Scan {
        region: u64,
        epoch: Epoch,
        start: Key,
        end: Option<Key>,
        reverse: bool,
    },
    /// Every row of the region; answered with a digest.
    Digest {
        region: u64,
        epoch: Epoch,
    },
    /// Every row with its checksum, to say which differ.
    Rows {
        region: u64,
        epoch: Epoch,
    },
    /// Every row that the consumer has of the region, with checksums for values; answered with a digest.
    Copy {
        region: u64,
    },
    /// The same rows, to say which differ.
    CopyRows {
        region: u64,
    },
    /// A view is held while everything else goes on, and read twice.
    Hold {
        region: u64,
        epoch: Epoch,
    },
    /// Every region in memory against the data store.
    CompareCaches,
    /// Old versions that nobody reads go.
    Collect,
    Flush,
    Checkpoint,
    /// Ends the store in order and then the process.
    Close,
}

/// A split, as it stands in the region's Raft log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct SplitLine {
    pub(super) region: u64,
    pub(super) epoch: Epoch,
    pub(super) at: Position,
    /// Bounds between the parts, ascending; as many as children.
    pub(super) keys: Vec<Key>,
    pub(super) children: Vec<NewChild>,
    /// Whether the region keeps the rightmost part and not the leftmost.
    pub(super) derive_right: bool,
}

/// A snapshot that another store sends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct SnapshotLine {
    pub(super) incarnation: u64,
    pub(super) description: Description,
    pub(super) at: Position,
    /// Tells apart snapshots of one region at one position.
    pub(super) id: u64,
    /// Where its bytes are.
    pub(super) file: PathBuf,
    /// The second store passes it on as this peer, if it can.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) through: Option<u64>,
}

impl Do {
    /// Stable lower-case name for counts and messages.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Do::Bootstrap { .. } => "bootstrap",
            Do::Write { .. } => "write",
            Do::Split(_) => "split",
            Do::ChangePeers { .. } => "change-peers",
            Do::EnterJoint { .. } => "enter-joint",
            Do::LeaveJoint { .. } => "leave-joint",
            Do::SwitchWitness { .. } => "switch-witness",
            Do::BeginFlashback { .. } => "begin-flashback",
            Do::EndFlashback { .. } => "end-flashback",
            Do::Preload { .. } => "preload",
            Do::Label(_) => "label",
            Do::Backup { .. } => "backup",
            Do::CreatePeer { .. } => "create-peer",
            Do::Destroy { .. } => "destroy",
            Do::TakeSnapshot { .. } => "take-snapshot",
            Do::ApplySnapshot(_) => "apply-snapshot",
            Do::Load { .. } => "load",
            Do::Evict { .. } => "evict",
            Do::Read { .. } => "read",
            Do::Scan { .. } => "scan",
            Do::Digest { .. } => "digest",
            Do::Rows { .. } => "rows",
            Do::Copy { .. } => "copy",
            Do::CopyRows { .. } => "copy-rows",
            Do::PrepareMerge { .. } => "prepare-merge",
            Do::CommitMerge { .. } => "commit-merge",
            Do::RollbackMerge { .. } => "rollback-merge",
            Do::Hold { .. } => "hold",
            Do::CompareCaches => "compare-caches",
            Do::Collect => "collect",
            Do::Flush => "flush",
            Do::Checkpoint => "checkpoint",
            Do::Close => "close",
        }
    }

    /// The regions that it concerns; while it is under way, nothing else may touch them.
    pub(super) fn regions(&self) -> Vec<u64> {
        match self {
            Do::Bootstrap { description } => vec![description.id],
            Do::ApplySnapshot(snapshot) => vec![snapshot.description.id],
            Do::Split(split) => {
                let children = split.children.iter().map(|child| child.id);
                std::iter::once(split.region).chain(children).collect()
            }
            Do::PrepareMerge { region, target, .. } => vec![*region, target.id],
            Do::CommitMerge { region, source, .. } => vec![*region, source.id],
            Do::Write { region, .. }
            | Do::RollbackMerge { region, .. }
            | Do::ChangePeers { region, .. }
            | Do::EnterJoint { region, .. }
            | Do::LeaveJoint { region, .. }
            | Do::SwitchWitness { region, .. }
            | Do::BeginFlashback { region, .. }
            | Do::EndFlashback { region, .. }
            | Do::Preload { region, .. }
            | Do::CreatePeer { region, .. }
            | Do::Destroy { region, .. }
            | Do::TakeSnapshot { region, .. }
            | Do::Load { region, .. }
            | Do::Evict { region }
            | Do::Read { region, .. }
            | Do::Scan { region, .. }
            | Do::Digest { region, .. }
            | Do::Rows { region, .. }
            | Do::Copy { region }
            | Do::CopyRows { region } => vec![*region],
            // Whatever is done to the region of a view that is held, it reads what it read.
            Do::Hold { .. }
            | Do::Label(_)
            | Do::Backup { .. }
            | Do::CompareCaches
            | Do::Collect
            | Do::Flush
            | Do::Checkpoint
            | Do::Close => Vec::new(),
        }
    }

    /// Its place in the region's Raft log, if it has one.
    pub(super) fn position(&self) -> Option<Position> {
        match self {
            Do::Write { at, .. }
            | Do::ChangePeers { at, .. }
            | Do::EnterJoint { at, .. }
            | Do::LeaveJoint { at, .. }
            | Do::SwitchWitness { at, .. }
            | Do::BeginFlashback { at, .. }
            | Do::EndFlashback { at, .. }
            | Do::PrepareMerge { at, .. }
            | Do::CommitMerge { at, .. }
            | Do::RollbackMerge { at, .. } => Some(*at),
            Do::Split(split) => Some(split.at),
            _ => None,
        }
    }
}

/// What the storage process answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Said {
    /// The transition happened; its record is at this LSN.
    Accepted(u64),
    AlreadyApplied,
    /// The write is in.
    Applied,
    /// It may not happen: stable code, and words.
    Refused(String, String),
    /// It could not be carried out: stable code, and words.
    Failed(String, String),
    /// The checksum of each value that was asked for, and whether they came from memory.
    Values(Vec<Option<u32>>, bool),
    Digest(Digest),
    Rows(Vec<(Key, u32)>),
    /// That many regions in memory were compared, and none differed.
    Compared(u64),
    /// Whether the view could be read a second time; if so, it read the same.
    Held(bool),
    /// The snapshot that was taken, at this data index; the copy has this name.
    Snapshot {
        name: String,
        index: u64,
        term: u64,
        rows: u64,
        bytes: u64,
    },
    Done,
}

/// A checksum over rows in the order in which they were read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Digest {
    pub(super) rows: u64,
    pub(super) checksum: u32,
    /// Whether the rows came from memory; no part of the comparison.
    #[serde(default)]
    pub(super) cached: bool,
}

/// Builds a [`Digest`].
#[derive(Debug, Default)]
pub(super) struct Digester {
    rows: u64,
    hasher: crc32fast::Hasher,
}

impl Digester {
    /// Adds one row. The lengths are part of it, so bytes cannot wander between key and value.
    pub(super) fn add(&mut self, key: &[u8], value: &[u8]) {
        self.rows += 1;
        for part in [key, value] {
            self.hasher.update(&(part.len() as u64).to_le_bytes());
            self.hasher.update(part);
        }
    }

    pub(super) fn finish(self) -> Digest {
        Digest {
            rows: self.rows,
            checksum: self.hasher.finalize(),
            cached: false,
        }
    }
}

/// A line from parent to child.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Command {
    /// Names the answer.
    pub(super) op: u64,
    #[serde(rename = "do")]
    pub(super) what: Do,
}

/// A line from child to parent.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Event {
    /// The child is about to open the store.
    Recovering,
    /// The store is open.
    Open(Box<Opened>),
    /// The store did not open: stable code, and words.
    NotOpen(String, String),
    Answer {
        op: u64,
        said: Said,
    },
}

/// What the storage process found when it opened the store.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Opened {
    /// The store's own identity, made at its creation.
    pub(super) store: String,
    pub(super) verdict: String,
    pub(super) records_replayed: u64,
    pub(super) resolved_forward: u64,
    pub(super) resolved_back: u64,
    pub(super) took_micros: u64,
    /// Regions whose data opening found untrustworthy, and why.
    pub(super) damaged: Vec<(u64, String)>,
    /// Why the data store had to be replaced, if it had to.
    pub(super) data_lost: Option<String>,
    /// Every region with a peer on the store.
    pub(super) regions: Vec<OpenedRegion>,
    /// (region, highest peer id that is dead).
    pub(super) tombstones: Vec<(u64, u64)>,
}

/// One region as the store has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct OpenedRegion {
    pub(super) id: u64,
    pub(super) peer: u64,
    pub(super) incarnation: u64,
    pub(super) stage: String,
    pub(super) description: Option<Description>,
    pub(super) meta: Option<Position>,
    /// Last entry whose data is there; the host sends again what lies above.
    pub(super) data_index: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_read_back_as_what_was_written() {
        let split = SplitLine {
            region: 1,
            epoch: Epoch {
                conf_ver: 1,
                version: 2,
            },
            at: FIRST,
            keys: vec![Key(b"\xff\x000001/JFK".to_vec())],
            children: vec![NewChild {
                id: 2,
                peers: vec![],
            }],
            derive_right: true,
        };
        let rows = vec![RowChange(7, 12, Some(3)), RowChange(7, 13, None)];
        let write = Do::Write {
            region: 1,
            epoch: Epoch {
                conf_ver: 1,
                version: 1,
            },
            at: FIRST,
            rows,
            range: None,
        };
        for what in [Do::Split(split), write, Do::Flush] {
            let line = serde_json::to_string(&Command {
                op: 9,
                what: what.clone(),
            })
            .unwrap();
            assert!(!line.contains('\n'));
            let back: Command = serde_json::from_str(&line).unwrap();
            assert_eq!((back.op, back.what), (9, what));
        }
    }

    #[test]
    fn keys_that_are_not_hexadecimal_are_refused() {
        for text in ["\"0\"", "\"zz\"", "\"é1\"", "7"] {
            assert!(serde_json::from_str::<Key>(text).is_err(), "{text}");
        }
        assert_eq!(
            serde_json::from_str::<Key>("\"00fF\"").unwrap(),
            Key(vec![0, 255])
        );
    }

    #[test]
    fn a_digest_tells_apart_rows_that_share_their_bytes() {
        let of = |rows: &[(&[u8], &[u8])]| {
            let mut digester = Digester::default();
            rows.iter()
                .for_each(|(key, value)| digester.add(key, value));
            digester.finish()
        };
        assert_ne!(of(&[(b"ab", b"c")]), of(&[(b"a", b"bc")]));
        assert_ne!(
            of(&[(b"a", b"1"), (b"b", b"2")]),
            of(&[(b"b", b"2"), (b"a", b"1")])
        );
        assert_eq!(of(&[]).rows, 0);
    }
}
