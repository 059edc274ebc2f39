//! What survives the parent's own death, and what is refused at the door.

use super::*;
use crate::torture::protocol::RowChange;
use crate::torture::workload;

fn data() -> DataSet {
    DataSet::load(None).unwrap()
}

/// A bootstrap that was acknowledged, a write that was, and one that was not.
fn lived(dir: &Path) -> Model {
    let mut oracle = Oracle::open(dir, data()).unwrap();
    let first = workload::bootstrap(oracle.model());
    let op = oracle.issue(first).unwrap();
    oracle.answered(op, &Said::Accepted(3)).unwrap().unwrap();
    for answered in [true, false] {
        let state = &oracle.model().normal(1).unwrap().state;
        let rows = (0..20)
            .map(|row| RowChange(0, row, Some(u64::from(row) + 1)))
            .collect();
        let write = workload::write(oracle.model(), 1, state, rows);
        let op = oracle.issue(write).unwrap();
        if answered {
            oracle.answered(op, &Said::Applied).unwrap().unwrap();
        }
    }
    // Dropped without ceremony: that is all a kill would do.
    oracle.model().clone()
}

fn refused(dir: &Path, data: DataSet) -> String {
    Oracle::open(dir, data).unwrap_err().to_string()
}

#[test]
fn a_killed_parent_goes_on_where_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("demo");
    let model = lived(&dir);
    assert_eq!(model.flights.len(), 1);
    let again = Oracle::open(&dir, data()).unwrap();
    assert_eq!(*again.model(), model);
    drop(again);
    assert_eq!(
        *Oracle::open(&dir, data()).unwrap().model(),
        model,
        "and once more, compacted"
    );
}

#[test]
fn a_line_that_was_cut_short_was_never_acted_on() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("demo");
    let model = lived(&dir);
    let logs: Vec<PathBuf> = fs::read_dir(folder.path().join("demo.torture"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "log"))
        .collect();
    assert_eq!(logs.len(), 1);
    let mut log = append_to(&logs[0]).unwrap();
    log.write_all(b"{\"issued\":{\"op\":9,\"wh").unwrap();
    assert_eq!(*Oracle::open(&dir, data()).unwrap().model(), model);
}

#[test]
fn a_damaged_line_in_the_middle_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("demo");
    lived(&dir);
    let log = folder.path().join("demo.torture/oracle-1.log");
    let mut text = fs::read(&log).unwrap();
    text[3] = b'#';
    fs::write(&log, text).unwrap();
    assert!(refused(&dir, data()).ends_with("is not a line of an oracle: line 1"));
}

#[test]
fn a_directory_that_torture_did_not_make_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("home");
    fs::create_dir(&dir).unwrap();
    fs::write(dir.join("letter"), "dear").unwrap();
    assert!(refused(&dir, data()).contains("was not made by torture"));
    let left: Vec<_> = fs::read_dir(folder.path()).unwrap().collect();
    assert_eq!(left.len(), 1, "nothing beside it either");
}

#[test]
fn another_data_file_and_a_second_torture_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("demo");
    lived(&dir);
    let mut other = data();
    other.checksum ^= 1;
    assert!(refused(&dir, other).contains("give the same --data"));
    let _first = Oracle::open(&dir, data()).unwrap();
    assert!(refused(&dir, data()).contains("another torture works on this directory"));
}

#[test]
fn a_store_that_is_gone_is_not_made_anew_silently() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("demo");
    lived(&dir);
    let mut oracle = Oracle::open(&dir, data()).unwrap();
    oracle
        .settled(&Settled {
            store: "s".to_owned(),
            ..Settled::default()
        })
        .unwrap();
    drop(oracle);
    assert!(refused(&dir, data()).contains("still remembers it"));
}

#[test]
fn the_folder_beside_is_the_same_with_and_without_a_slash() {
    for dir in ["demo", "demo/", "./demo"] {
        let beside = Beside::of(Path::new(dir));
        assert!(beside.root().ends_with("demo.torture"), "{dir}: {beside:?}");
    }
}
