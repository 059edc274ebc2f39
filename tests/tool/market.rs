//! The stores of the operator's guide, side by side in one folder: the committed one, and copies of it that were
//! damaged here. And what the guide shows of a command on them.

use std::fs;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;
use torrens::inspector::Inspector;
use torrens_journal::{Lsn, SegmentId};
use torrens_recovery::Item;

use super::fixture::{Answer, answer};

/// Columns of the screens in the guide.
const COLUMNS: &str = "100";

/// The stores of the guide, side by side in one folder.
pub(crate) struct Stores(TempDir);

impl Stores {
    pub(crate) fn new() -> Stores {
        let stores = Stores(tempfile::tempdir().unwrap());
        for name in ["market", "market-crashed", "market-damaged", "market-lost"] {
            copy(&committed(), &stores.path(name));
        }
        let (end, last_group) = stores.end("market");
        stores.write(
            "market-crashed",
            end.0,
            end.1,
            b"half of a group that was never finished",
        );
        stores.write("market-lost", last_group.0, last_group.1, &[0; 4096]);
        // One bit of the last split.
        let (segment, offset) = stores.find("market", "region.split");
        let byte = stores.read("market-damaged", segment, offset + 60);
        stores.write("market-damaged", segment, offset + 60, &[byte ^ 0x04]);
        fs::create_dir(stores.path("empty")).unwrap();
        fs::create_dir(stores.path("photos")).unwrap();
        fs::write(stores.path("photos").join("holiday.jpg"), b"beach").unwrap();
        stores
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Where the journal ends, and where its last group begins.
    fn end(&self, name: &str) -> ((SegmentId, u64), (SegmentId, u64)) {
        let picture = Inspector::open(self.path(name))
            .unwrap()
            .look(None)
            .unwrap();
        let last = picture.evidence.segments.last().unwrap();
        let group = picture
            .evidence
            .last_groups
            .iter()
            .rfind(|group| group.records > 0)
            .unwrap();
        (
            (last.id, last.end_offset_bytes),
            (last.id, group.offset_bytes),
        )
    }

    /// The last record of a kind.
    fn find(&self, name: &str, kind: &str) -> (SegmentId, u64) {
        let mut found = None;
        Inspector::open(self.path(name))
            .unwrap()
            .records(Lsn::FIRST, &mut |item| {
                if let Item::Record(item) = item {
                    let record = &item.record;
                    let said =
                        torrens::inspector::describe(record.lsn, record.kind, record.payload);
                    if said.kind == kind {
                        found = Some((item.segment, record.offset_bytes));
                    }
                }
                std::ops::ControlFlow::Continue(())
            })
            .unwrap();
        found.unwrap()
    }

    fn segment(&self, name: &str, segment: SegmentId) -> PathBuf {
        self.path(name).join("journal").join(segment.file_name())
    }

    fn read(&self, name: &str, segment: SegmentId, offset: u64) -> u8 {
        fs::read(self.segment(name, segment)).unwrap()[offset as usize]
    }

    fn write(&self, name: &str, segment: SegmentId, offset: u64, bytes: &[u8]) {
        let file = fs::OpenOptions::new()
            .write(true)
            .open(self.segment(name, segment));
        file.unwrap().write_all_at(bytes, offset).unwrap();
    }

    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_torrens"));
        command
            .args(args)
            .current_dir(self.0.path())
            .env("COLUMNS", COLUMNS)
            .env_remove("TORRENS_DIR")
            .env_remove("NO_COLOR")
            .env_remove("CLICOLOR_FORCE")
            .stdin(Stdio::null());
        command
    }

    pub(crate) fn run(&self, args: &[&str]) -> Answer {
        answer(self.command(args).output().unwrap())
    }
}

pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

pub(crate) fn committed() -> PathBuf {
    root().join("tests/golden/stores/market")
}

pub(crate) fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        match entry.file_type().unwrap().is_dir() {
            true => copy(&entry.path(), &to.join(entry.file_name())),
            false => {
                fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
            }
        }
    }
}

/// Words of a command line; quotes hold a word together.
fn words(line: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut quoted = None;
    for letter in line.chars() {
        match (quoted, letter) {
            (Some(quote), letter) if letter == quote => quoted = None,
            (None, '\'' | '"') => quoted = Some(letter),
            (None, ' ') => words.push(String::new()),
            (_, letter) => words.last_mut().unwrap().push(letter),
        }
    }
    words
}

/// What the guide shows for a command: its output, its errors, its exit code.
pub(crate) fn screen(stores: &Stores, line: &str) -> String {
    let (line_of_tool, into) = match line.split_once(" > ") {
        Some((before, file)) => (before, Some(file)),
        None => (line, None),
    };
    let words = words(line_of_tool);
    assert_eq!(words[0], "torrens", "{line}");
    let mut args: Vec<&str> = words[1..].iter().map(String::as_str).collect();
    let has_form = args
        .iter()
        .any(|arg| ["-o", "--output", "--format", "-q", "--raw"].contains(arg));
    // What makes something has no form; what it says is for a person.
    let makes = ["extract", "build", "bundle"].contains(&args[0]);
    if !has_form && !makes {
        args.extend(["-o", "table"]);
    }
    let mut answer = stores.run(&args);
    if let Some(file) = into {
        fs::write(stores.path(file), std::mem::take(&mut answer.out)).unwrap();
    }
    let mut shown = format!("$ {line}\n{}{}", answer.out, answer.err);
    if answer.code != 0 {
        shown.push_str(&format!("# exit {}\n", answer.code));
    }
    ageless(&shown)
}

/// Ages grow; in the guide everything was an hour ago.
pub(crate) fn ageless(text: &str) -> String {
    let mut lines = Vec::new();
    for line in text.lines() {
        let mut line = line.to_owned();
        if let Some(at) = line.find(" ago") {
            let before: Vec<&str> = line[..at].split(", ").collect();
            let kept = before[..before.len() - 1].join(", ");
            line = format!("{kept}, 1 h{}", &line[at..]);
        }
        lines.push(line);
    }
    lines.join("\n") + "\n"
}
