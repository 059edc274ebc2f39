//! The oracle: the model on disk, beside the store and never inside it.
//!
//! `DIR.torture/` holds `model.json`, the model at the start of a run, and `oracle-N.log`, one JSON
//! line for everything that moved it since: written before an operation is issued and before its
//! answer counts. So killing the parent at any moment loses nothing: the next run replays the lines
//! into the same model. A last line without its end was never acted on. The lines are not synced:
//! torture kills processes, not machines.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::data::DataSet;
use super::error::TortureError;
use super::model::{Meaning, Model, Settled, Wrong};
use super::outline::Outline;
use super::protocol::{Do, Said};

/// Changed whenever a model or a line no longer means what it meant.
const FORMAT: u32 = 1;

/// Where torture keeps what is not the store's.
#[derive(Clone, Debug)]
pub(super) struct Beside {
    root: PathBuf,
}

impl Beside {
    /// The folder beside `dir`.
    pub(super) fn of(dir: &Path) -> Beside {
        // `demo/` and `demo` are one directory; a path like `..` has a name only once resolved.
        let named = match dir.file_name() {
            Some(_) => dir.to_owned(),
            None => fs::canonicalize(dir).unwrap_or_else(|_| dir.to_owned()),
        };
        let mut name = named.file_name().map(OsString::from).unwrap_or_default();
        name.push(".torture");
        Beside {
            root: named.with_file_name(name),
        }
    }

    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    fn model(&self) -> PathBuf {
        self.root.join("model.json")
    }

    fn log(&self, generation: u64) -> PathBuf {
        self.root.join(format!("oracle-{generation}.log"))
    }

    fn lock(&self) -> PathBuf {
        self.root.join("LOCK")
    }

    /// Snapshot files on their way from one peer to another.
    pub(super) fn snapshots(&self) -> PathBuf {
        self.root.join("snapshots")
    }

    /// Where a backup goes, and the store that is made of it.
    pub(super) fn backup(&self) -> PathBuf {
        self.root.join("backup")
    }

    /// The copy of a consumer in the storage process.
    pub(super) fn copy(&self) -> PathBuf {
        self.root.join("copy")
    }

    /// The second store; what it has is in a file beside it.
    pub(super) fn other(&self) -> PathBuf {
        self.root.join("store-2")
    }

    /// How many snapshots the second store took in, in all runs.
    pub(super) fn passed_on(&self) -> u64 {
        let text = fs::read_to_string(self.other().with_extension("log")).unwrap_or_default();
        text.lines().filter(|line| line.starts_with("has ")).count() as u64
    }

    /// The file system whose power is cut.
    pub(super) fn image(&self) -> PathBuf {
        self.root.join("image")
    }

    /// What the storage process wrote to its standard error.
    pub(super) fn child_log(&self) -> PathBuf {
        self.root.join("child.log")
    }

    /// Where `--every-step` runs its short histories.
    pub(super) fn steps(&self) -> PathBuf {
        self.root.join("step")
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct ModelFile {
    format: u32,
    generation: u64,
    data: String,
    data_checksum: u32,
    model: Model,
}

/// One thing that moved the model.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Line {
    Issued { op: u64, what: Do },
    Unseen { what: Do },
    Answered { op: u64, said: Said },
    Settled(Settled),
    Resent { region: u64, index: u64 },
}

/// The model, and the file that remembers how it came about.
#[derive(Debug)]
pub(super) struct Oracle {
    beside: Beside,
    data: DataSet,
    model: Model,
    generation: u64,
    log: File,
    /// What this run saw happen.
    outline: Outline,
    /// Held as long as the oracle is open; the operating system lets it go with the process.
    _lock: File,
}

impl Oracle {
    /// Opens the oracle of `dir`, or starts one if neither it nor the store exists.
    ///
    /// # Errors
    /// A directory that torture did not make, another data file, a damaged oracle, another torture
    /// at work. Nothing was changed then, but that the folder beside may have come into being.
    pub(super) fn open(dir: &Path, data: DataSet) -> Result<Oracle, TortureError> {
        let beside = Beside::of(dir);
        let known = beside.model().exists();
        let empty = is_empty(dir)?;
        if !known && !empty {
            let oracle = beside.model();
            return Err(TortureError::ForeignDirectory {
                dir: dir.to_owned(),
                oracle,
            });
        }
        fs::create_dir_all(beside.snapshots())
            .map_err(TortureError::io("create", beside.snapshots()))?;
        let lock = lock(&beside.lock())?;
        let (model, generation) = match known {
            true => load(&beside, dir, &data)?,
            false => (Model::default(), 0),
        };
        if empty && model.store.is_some() {
            let oracle = beside.root().to_owned();
            return Err(TortureError::StoreGone {
                dir: dir.to_owned(),
                oracle,
            });
        }
        let log_path = beside.log(generation);
        let log = File::create_new(&log_path).or_else(|_| append_to(&log_path));
        let log = log.map_err(TortureError::io("open", &log_path))?;
        let mut oracle = Oracle {
            beside,
            data,
            model,
            generation,
            log,
            outline: Outline::new(!known),
            _lock: lock,
        };
        oracle.compact()?;
        Ok(oracle)
    }

    pub(super) fn model(&self) -> &Model {
        &self.model
    }

    pub(super) fn data(&self) -> &DataSet {
        &self.data
    }

    pub(super) fn beside(&self) -> &Beside {
        &self.beside
    }

    /// Writes that an operation is about to be issued, and answers its number.
    pub(super) fn issue(&mut self, what: Do) -> Result<u64, TortureError> {
        let op = self.take_op();
        self.write(&Line::Issued {
            op,
            what: what.clone(),
        })?;
        self.model.issue(op, what, &self.data);
        Ok(op)
    }

    /// Something happened that the model does not know of.
    pub(super) fn noted(&mut self, what: &Do) {
        self.outline.did(what, &self.data);
    }

    /// Leaves what led to a region as it is as a scenario, if that can be done.
    pub(super) fn outline(
        &self,
        region: u64,
        title: &str,
    ) -> Result<Option<PathBuf>, TortureError> {
        self.outline.write(self.beside.root(), region, title)
    }

    /// A number for a question that moves nothing.
    pub(super) fn take_op(&mut self) -> u64 {
        let op = self.model.next.op;
        self.model.next.op += 1;
        op
    }

    /// Commits an entry that the store learns of by a snapshot.
    pub(super) fn commit_unseen(&mut self, what: Do) -> Result<(), TortureError> {
        self.write(&Line::Unseen { what: what.clone() })?;
        self.model.commit_unseen(what, &self.data);
        Ok(())
    }

    /// Judges an answer; what it says is remembered before it counts.
    pub(super) fn answered(
        &mut self,
        op: u64,
        said: &Said,
    ) -> Result<Result<Meaning, Wrong>, TortureError> {
        self.write(&Line::Answered {
            op,
            said: said.clone(),
        })?;
        let flight = self
            .model
            .flights
            .get(&op)
            .map(|flight| flight.what.clone());
        let meaning = self.model.answered(op, said, &self.data);
        if let (Some(what), Ok(Meaning::Happened)) = (flight, &meaning) {
            self.outline.did(&what, &self.data);
        }
        Ok(meaning)
    }

    /// Takes in what an opening said.
    pub(super) fn settled(&mut self, settled: &Settled) -> Result<(), TortureError> {
        self.write(&Line::Settled(settled.clone()))?;
        self.outline.died();
        for (op, _) in &settled.happened {
            if let Some(flight) = self.model.flights.get(op) {
                self.outline.did(&flight.what, &self.data);
            }
        }
        self.model.settled(settled);
        Ok(())
    }

    /// The store took an entry that was sent again.
    pub(super) fn resent(&mut self, region: u64, index: u64) -> Result<(), TortureError> {
        self.write(&Line::Resent { region, index })?;
        let peer = self.model.normal(region);
        let entry =
            peer.and_then(|peer| peer.state.log.iter().find(|entry| entry.at.index == index));
        if let Some(entry) = entry {
            self.outline.did(&entry.what, &self.data);
        }
        self.model.acknowledge(region, index);
        Ok(())
    }

    fn write(&mut self, line: &Line) -> Result<(), TortureError> {
        let path = self.beside.log(self.generation);
        let mut text = serde_json::to_vec(line).map_err(|source| TortureError::OracleModel {
            path: path.clone(),
            source,
        })?;
        text.push(b'\n');
        // One call: a kill of this process leaves the whole line or a part of it, never a mixture.
        self.log
            .write_all(&text)
            .map_err(TortureError::io("write", path))
    }

    /// Writes the model as it is and starts a new log.
    pub(super) fn compact(&mut self) -> Result<(), TortureError> {
        let generation = self.generation.saturating_add(1);
        let log_path = self.beside.log(generation);
        let log = File::create(&log_path).map_err(TortureError::io("create", &log_path))?;
        save(&self.beside, &self.model, generation, &self.data)?;
        let old = self.beside.log(self.generation);
        (self.log, self.generation) = (log, generation);
        match fs::remove_file(&old) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(TortureError::io("remove", old)(error))
            }
            _ => Ok(()),
        }
    }
}

/// Whether there is nothing in `dir`, or no `dir`.
fn is_empty(dir: &Path) -> Result<bool, TortureError> {
    match fs::read_dir(dir) {
        Ok(mut entries) => Ok(entries.next().is_none()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(true),
        Err(error) => Err(TortureError::io("list", dir)(error)),
    }
}

fn lock(path: &Path) -> Result<File, TortureError> {
    let file = append_to(path).map_err(TortureError::io("open", path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(fs::TryLockError::WouldBlock) => Err(TortureError::Busy {
            path: path.to_owned(),
        }),
        Err(fs::TryLockError::Error(source)) => Err(TortureError::io("lock", path)(source)),
    }
}

fn append_to(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).open(path)
}

fn save(
    beside: &Beside,
    model: &Model,
    generation: u64,
    data: &DataSet,
) -> Result<(), TortureError> {
    let (path, unfinished) = (beside.model(), beside.root().join("model.json.new"));
    let file = File::create(&unfinished).map_err(TortureError::io("create", &unfinished))?;
    let mut out = BufWriter::new(file);
    let saved = ModelRef {
        format: FORMAT,
        generation,
        data: &data.name,
        data_checksum: data.checksum,
        model,
    };
    serde_json::to_writer(&mut out, &saved).map_err(|source| TortureError::OracleModel {
        path: unfinished.clone(),
        source,
    })?;
    out.into_inner()
        .map_err(|error| error.into_error())
        .and_then(|file| file.sync_all())
        .map_err(TortureError::io("write", &unfinished))?;
    fs::rename(&unfinished, &path).map_err(TortureError::io("write", path))
}

/// [`ModelFile`] without a copy of the model.
#[derive(Serialize)]
struct ModelRef<'a> {
    format: u32,
    generation: u64,
    data: &'a str,
    data_checksum: u32,
    model: &'a Model,
}

fn load(beside: &Beside, dir: &Path, data: &DataSet) -> Result<(Model, u64), TortureError> {
    let path = beside.model();
    let file = File::open(&path).map_err(TortureError::io("open", &path))?;
    let saved: ModelFile = serde_json::from_reader(BufReader::new(file)).map_err(|source| {
        TortureError::OracleModel {
            path: path.clone(),
            source,
        }
    })?;
    if saved.format != FORMAT {
        return Err(TortureError::OracleFormat {
            path,
            expected: FORMAT,
            found: saved.format,
        });
    }
    if saved.data_checksum != data.checksum {
        return Err(TortureError::OtherData {
            dir: dir.to_owned(),
            expected: saved.data,
            expected_checksum: saved.data_checksum,
            found: data.name.clone(),
            found_checksum: data.checksum,
        });
    }
    let mut model = saved.model;
    replay(&beside.log(saved.generation), &mut model, data)?;
    Ok((model, saved.generation))
}

fn replay(path: &Path, model: &mut Model, data: &DataSet) -> Result<(), TortureError> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(TortureError::io("open", path)(error)),
    };
    let mut lines = BufReader::new(file);
    let mut text = Vec::new();
    for number in 1.. {
        text.clear();
        lines
            .read_until(b'\n', &mut text)
            .map_err(TortureError::io("read", path))?;
        if text.last() != Some(&b'\n') {
            break;
        }
        let line = serde_json::from_slice(&text).map_err(|source| TortureError::OracleLine {
            path: path.to_owned(),
            line: number,
            source,
        })?;
        match line {
            Line::Issued { op, what } => model.issue(op, what, data),
            Line::Unseen { what } => model.commit_unseen(what, data),
            Line::Answered { op, said } => {
                // A wrong answer ended the run that got it, and was reported there.
                let _ = model.answered(op, &said, data);
            }
            Line::Settled(settled) => model.settled(&settled),
            Line::Resent { region, index } => model.acknowledge(region, index),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
