//! A failure as a scenario: what the failing region and those that it came from did so far, as commands
//! that `torrens play` plays on a simulated disk.
//!
//! It is an outline: entries keep their places, of an entry's rows only the first few are kept, threads and times
//! are gone, and a kill is a crash between two commands. The answers in the file are those of the engine that
//! it was written by: what is wrong in them is to be seen by whoever reads it. Not here: what scenarios are
//! (`torrens::play`), what is wrong (`model`, `check`).

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use torrens::play::{PlayOptions, Scenario, parse, play};

use super::data::DataSet;
use super::error::TortureError;
use super::protocol::{Do, Key, PeerChangeLine, PeerLine, Position, RowChange};

/// Beyond that the beginning is forgotten, and there is no outline.
const LINES_MAX: usize = 100_000;
/// Rows that are kept of an entry.
const ROWS_MAX: usize = 3;

/// What has happened to a store since it was made.
#[derive(Debug, Default)]
pub(super) struct Outline {
    happened: Vec<Happened>,
    /// The store was there before, or too much has happened since: the beginning is not known.
    is_cut: bool,
}

#[derive(Debug)]
enum Happened {
    Did {
        /// The first is the one whose log it stands in; those behind it take part.
        regions: Vec<u64>,
        commands: Vec<String>,
    },
    Died,
}

impl Outline {
    /// Of a store that begins now, or that was there before.
    pub(super) fn new(is_new: bool) -> Outline {
        Outline {
            happened: Vec::new(),
            is_cut: !is_new,
        }
    }

    fn push(&mut self, happened: Happened) {
        if self.happened.len() >= LINES_MAX {
            self.happened.clear();
            self.is_cut = true;
        }
        if !self.is_cut {
            self.happened.push(happened);
        }
    }

    /// The process died, or ended in order, and was started again.
    pub(super) fn died(&mut self) {
        self.push(Happened::Died);
    }

    /// That happened.
    pub(super) fn did(&mut self, what: &Do, data: &DataSet) {
        let mut commands = Vec::new();
        if let Some(command) = command(what, data, &mut commands) {
            commands.push(command);
        }
        if !commands.is_empty() {
            let regions = what.regions();
            self.push(Happened::Did { regions, commands });
        }
    }

    /// The commands that led to a region as it is now.
    fn lineage(&self, region: u64) -> Vec<String> {
        let mut wanted = BTreeSet::from([region]);
        let mut kept: Vec<&Happened> = Vec::new();
        for happened in self.happened.iter().rev() {
            match happened {
                Happened::Died => kept.push(happened),
                Happened::Did { regions, .. } => {
                    // Behind a split a part has nothing to do with its whole, before it everything.
                    let is_wanted =
                        regions.is_empty() || regions.iter().any(|one| wanted.contains(one));
                    if is_wanted {
                        wanted.extend(regions);
                        kept.push(happened);
                    }
                }
            }
        }
        let mut commands = vec!["open".to_owned()];
        let mut was_death = false;
        for happened in kept.into_iter().rev() {
            match happened {
                // Of deaths with nothing in between the last is enough.
                Happened::Died if was_death => {}
                Happened::Died => commands.extend(["crash kill".to_owned(), "open".to_owned()]),
                Happened::Did { commands: did, .. } => commands.extend(did.iter().cloned()),
            }
            was_death = matches!(happened, Happened::Died);
        }
        commands.extend(["drain", "flush"].map(str::to_owned));
        commands.push(format!("region r{region}"));
        commands.push("check".to_owned());
        commands
    }

    /// Writes the scenario of a region into `folder`; none if the beginning is not known, or if it is too long
    /// for a scenario.
    pub(super) fn write(
        &self,
        folder: &Path,
        region: u64,
        title: &str,
    ) -> Result<Option<PathBuf>, TortureError> {
        if self.is_cut {
            return Ok(None);
        }
        let mut text = String::new();
        for line in title.lines() {
            let _ = writeln!(text, "# {line}");
        }
        for command in self.lineage(region) {
            let _ = write!(text, "{command}\n----\n\n");
        }
        let Some(scenario) = parse(&text)
            .ok()
            .filter(|_| text.len() <= Scenario::BYTES_MAX)
        else {
            return Ok(None);
        };
        let path = folder.join(format!("r{region}.scenario"));
        let put = |text: &str| fs::write(&path, text).map_err(TortureError::io("write", &path));
        // What plays it next may fail as the store did.
        put(&text)?;
        let played = play(&scenario, &PlayOptions::default(), &mut |_| {});
        put(&scenario.rewritten(&played.answers))?;
        Ok(Some(path))
    }
}

/// One operation as a command; what has to come before it goes to `first`. None for what only looks.
fn command(what: &Do, data: &DataSet, first: &mut Vec<String>) -> Option<String> {
    let entry =
        |verb: &str, region: &u64, at: &Position| format!("{verb} r{region} at={}", place(*at));
    Some(match what {
        Do::Bootstrap { description } => {
            format!(
                "bootstrap r{} peers={}",
                description.id,
                peers(&description.peers)
            )
        }
        Do::Write {
            region,
            at,
            rows,
            range,
            ..
        } => {
            let mut line = entry("write", region, at);
            match range {
                Some(range) => {
                    let _ = write!(
                        line,
                        " delete-range={}",
                        bounds(&range.start, range.end.as_ref())?
                    );
                }
                None => line.push_str(&changes(rows, data)),
            }
            line
        }
        Do::Split(split) => {
            let mut line = entry("split", &split.region, &split.at);
            for bound in &split.keys {
                let _ = write!(line, " boundary={}", word(&bound.0));
            }
            for child in &split.children {
                let _ = write!(line, " child=r{}:{}", child.id, peers(&child.peers));
            }
            if split.derive_right {
                line.push_str(" derive=right");
            }
            line
        }
        Do::ChangePeers {
            region, at, change, ..
        } => match change {
            PeerChangeLine::Add(peer) => {
                let peer = peers(std::slice::from_ref(peer));
                format!("add-peer r{region} {peer} at={}", place(*at))
            }
            PeerChangeLine::Remove(id) => format!("remove-peer r{region} p{id} at={}", place(*at)),
            PeerChangeLine::Promote(id) => {
                format!("promote-peer r{region} p{id} at={}", place(*at))
            }
            PeerChangeLine::Demote(id) => format!("demote-peer r{region} p{id} at={}", place(*at)),
        },
        Do::EnterJoint {
            region,
            at,
            changes,
            ..
        } => {
            let mut line = entry("enter-joint", region, at);
            for change in changes {
                let _ = match change {
                    PeerChangeLine::Add(peer) => {
                        write!(line, " add={}", peers(std::slice::from_ref(peer)))
                    }
                    PeerChangeLine::Remove(id) => write!(line, " remove=p{id}"),
                    PeerChangeLine::Promote(id) => write!(line, " promote=p{id}"),
                    PeerChangeLine::Demote(id) => write!(line, " demote=p{id}"),
                };
            }
            line
        }
        Do::LeaveJoint { region, at, .. } => entry("leave-joint", region, at),
        Do::SwitchWitness {
            region,
            at,
            peer,
            witness,
            ..
        } => {
            let way = if *witness { "on" } else { "off" };
            format!("{} {way}=p{peer}", entry("switch-witness", region, at))
        }
        Do::BeginFlashback { region, at, .. } => entry("begin-flashback", region, at),
        Do::EndFlashback { region, at, .. } => entry("end-flashback", region, at),
        Do::PrepareMerge {
            region, at, target, ..
        } => {
            let index = at.index;
            format!(
                "{} into=r{} min-index={index}",
                entry("prepare-merge", region, at),
                target.id
            )
        }
        Do::CommitMerge {
            region,
            at,
            source,
            commit,
            ..
        } => format!(
            "{} source=r{} commit={commit}",
            entry("commit-merge", region, at),
            source.id
        ),
        Do::RollbackMerge {
            region, at, commit, ..
        } => format!("{} commit={commit}", entry("rollback-merge", region, at)),
        Do::CreatePeer {
            region,
            peer,
            from_store,
            epoch,
        } => format!(
            "create-peer r{region} p{peer} from=s{from_store} epoch=c{}.v{}",
            epoch.conf_ver, epoch.version
        ),
        Do::Destroy { region, peer, .. } => format!("destroy r{region} p{peer}"),
        Do::ApplySnapshot(snapshot) => {
            let of = &snapshot.description;
            let name = format!("s{}", snapshot.id);
            // Keys of the dead are cleared in the background there.
            first.push("drain".to_owned());
            first.push(format!(
                "make-snapshot r{} as={name} peers={} at={} range={} epoch=c{}.v{}",
                of.id,
                peers(&of.peers),
                place(snapshot.at),
                bounds(&of.start, of.end.as_ref())?,
                of.epoch.conf_ver,
                of.epoch.version
            ));
            first.push(format!("receive {name}"));
            format!("apply-snapshot r{} {name}", of.id)
        }
        Do::Load { region, .. } => format!("load r{region}"),
        Do::Evict { region } => format!("evict r{region}"),
        Do::Flush => "flush".to_owned(),
        Do::Checkpoint => "checkpoint".to_owned(),
        // They change nothing that is durable.
        Do::TakeSnapshot { .. }
        | Do::Preload { .. }
        | Do::Label(_)
        | Do::Backup { .. }
        | Do::Read { .. }
        | Do::Scan { .. }
        | Do::Digest { .. }
        | Do::Rows { .. }
        | Do::Copy { .. }
        | Do::CopyRows { .. }
        | Do::Hold { .. }
        | Do::CompareCaches
        | Do::Collect
        | Do::Close => return None,
    })
}

fn place(at: Position) -> String {
    format!("i{}.t{}", at.index, at.term)
}

fn peers(peers: &[PeerLine]) -> String {
    let each = peers.iter().map(|peer| {
        let role = match (peer.learner, peer.witness) {
            (false, false) => "",
            (true, false) => ":learner",
            (false, true) => ":witness",
            (true, true) => ":learner-witness",
        };
        format!("p{}@s{}{role}", peer.id, peer.store)
    });
    each.collect::<Vec<_>>().join(",")
}

/// Bytes as one word: whatever is not plain is escaped.
fn word(bytes: &[u8]) -> String {
    let mut text = String::from("\"");
    for byte in bytes {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'-' | b'_' | b'.' => {
                text.push(char::from(*byte));
            }
            _ => {
                let _ = write!(text, "\\x{byte:02x}");
            }
        }
    }
    text.push('"');
    text
}

/// A range, if it can be written as one: a comma in a key would end it.
fn bounds(start: &Key, end: Option<&Key>) -> Option<String> {
    let is_plain = |key: &Key| !key.0.contains(&b',');
    let end = match end {
        Some(end) if !is_plain(end) => return None,
        Some(end) => word(&end.0),
        None => String::new(),
    };
    is_plain(start).then(|| format!("[{},{end})", word(&start.0)))
}

/// The first few rows of an entry.
fn changes(rows: &[RowChange], data: &DataSet) -> String {
    let mut text = String::new();
    let keys = rows.iter().filter_map(|RowChange(prefix, row, revision)| {
        let key = data.key(*prefix, *row)?;
        // A colon would end the key.
        (!key.contains(&b':')).then_some((key, revision))
    });
    for (key, revision) in keys.take(ROWS_MAX) {
        let _ = match revision {
            Some(revision) => write!(text, " put={}:{revision}", word(&key)),
            None => write!(text, " delete={}", word(&key)),
        };
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::torture::protocol::{Description, Epoch, NewChild, STORE, SplitLine};

    fn at(index: u64) -> Position {
        Position { index, term: 6 }
    }

    fn epoch(version: u64) -> Epoch {
        Epoch {
            conf_ver: 1,
            version,
        }
    }

    fn write(region: u64, version: u64, index: u64, row: u32) -> Do {
        Do::Write {
            region,
            epoch: epoch(version),
            at: at(index),
            rows: vec![RowChange(0, row, Some(index)), RowChange(0, row + 1, None)],
            range: None,
        }
    }

    /// A store with one region, split once; each part is written to then.
    fn outline(data: &DataSet) -> Outline {
        let peer = PeerLine::voter(1, STORE);
        let description = Description {
            id: 1,
            start: Key(Vec::new()),
            end: None,
            epoch: epoch(1),
            peers: vec![peer],
        };
        let child = NewChild {
            id: 2,
            peers: vec![PeerLine::voter(2, STORE)],
        };
        let split = SplitLine {
            region: 1,
            epoch: epoch(1),
            at: at(7),
            keys: vec![Key(data.key(0, 50).unwrap())],
            children: vec![child],
            derive_right: false,
        };
        let mut outline = Outline::new(true);
        outline.did(&Do::Bootstrap { description }, data);
        outline.did(&write(1, 1, 6, 3), data);
        outline.did(&Do::Split(split), data);
        outline.did(&write(1, 2, 8, 5), data);
        outline.did(&write(2, 2, 6, 60), data);
        outline.died();
        outline.did(&write(2, 2, 7, 70), data);
        outline
    }

    #[test]
    fn a_part_has_the_commands_of_its_whole_until_the_split_and_none_behind() {
        let data = DataSet::load(None).unwrap();
        let commands = outline(&data).lineage(2);
        let verbs: Vec<_> = commands
            .iter()
            .map(|command| command.split(' ').take(2).collect::<Vec<_>>().join(" "))
            .collect();
        let expected = [
            "open",
            "bootstrap r1",
            "write r1",
            "split r1",
            "write r2",
            "crash kill",
            "open",
            "write r2",
            "drain",
            "flush",
            "region r2",
            "check",
        ];
        assert_eq!(verbs, expected);
    }

    #[test]
    fn what_is_written_is_a_scenario_whose_every_command_is_accepted_and_that_plays_the_same_again()
    {
        let data = DataSet::load(None).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let path = outline(&data).write(folder.path(), 2, "two\nlines");
        let text = fs::read_to_string(path.unwrap().unwrap()).unwrap();
        assert!(text.starts_with("# two\n# lines\n"), "{text}");
        for wrong in ["refused", "error", "wait "] {
            assert!(!text.contains(wrong), "{text}");
        }
        let played = play(&parse(&text).unwrap(), &PlayOptions::default(), &mut |_| {});
        assert!(played.differences.is_empty(), "{:?}", played.differences);
        assert!(played.answers.iter().flatten().count() >= 12, "{text}");
    }

    #[test]
    fn a_store_that_was_there_before_has_no_outline() {
        let folder = tempfile::tempdir().unwrap();
        let outline = Outline::new(false);
        assert!(outline.write(folder.path(), 1, "").unwrap().is_none());
    }
}
