use super::*;
use crate::store::contract::Seeded;

fn open(dir: &Path) -> Result<RedbStore, StoreOpenError> {
    RedbStore::open(dir, &RedbOptions::default())
}

fn put(store: &dyn DataStore, key: u32) -> Result<(), StoreError> {
    let mut batch = StoreBatch::new();
    batch.put(key.to_be_bytes().to_vec(), vec![key as u8; 500]);
    store.apply(&batch)
}

fn count(store: &dyn DataStore) -> usize {
    store.scan(&RawRange::all(), Direction::Forward).count()
}

#[test]
fn a_flush_makes_every_batch_before_it_part_of_the_file_and_none_after_it() {
    let place = tempfile::tempdir().unwrap();
    let (dir, copy) = (place.path().join("data"), place.path().join("copy"));
    let store = open(&dir).unwrap();
    (0..50).for_each(|key| put(&store, key).unwrap());
    store.flush().unwrap();
    (50..80).for_each(|key| put(&store, key).unwrap());
    // What a power cut would leave: the file as it lies, the commit that was synced last.
    fs::create_dir(&copy).unwrap();
    fs::copy(dir.join(FILE), copy.join(FILE)).unwrap();
    assert_eq!(count(&open(&copy).unwrap()), 50);
    assert_eq!(count(&store), 80);
}

#[test]
fn a_store_open_for_reading_is_read_and_not_changed() {
    let place = tempfile::tempdir().unwrap();
    let dir = place.path().join("data");
    let factory = RedbFactory::default();
    {
        let store = open(&dir).unwrap();
        put(&store, 1).unwrap();
        store.flush().unwrap();
    }
    let before = fs::read(dir.join(FILE)).unwrap();
    let store = factory.open(&dir, StoreOpenMode::ReadOnly).unwrap();
    assert_eq!(count(&*store), 1);
    assert!(matches!(put(&*store, 2), Err(StoreError::ReadOnly)));
    assert!(matches!(store.flush(), Err(StoreError::ReadOnly)));
    drop(store);
    assert!(fs::read(dir.join(FILE)).unwrap() == before);
}

#[test]
fn no_damage_to_its_file_gets_past_the_guard() {
    const ROWS: u32 = 400;
    let place = tempfile::tempdir().unwrap();
    let good = place.path().join("good");
    {
        let store = open(&good).unwrap();
        for key in 0..ROWS {
            put(&store, key).unwrap();
        }
        store.flush().unwrap();
    }
    let whole = fs::read(good.join(FILE)).unwrap();
    let seed = 0x5eed_0021;
    let mut random = Seeded(seed);
    let mut met = std::collections::BTreeMap::new();
    for round in 0..30 {
        let dir = place.path().join(format!("bad{round}"));
        fs::create_dir(&dir).unwrap();
        let mut bad = whole.clone();
        let at = random.below(whole.len() as u64) as usize;
        match round % 5 {
            0 => bad.truncate(at),
            1 => bad[at] ^= 1 << random.below(8),
            2 => bad.chunks_mut(4096).nth(at / 4096).unwrap().fill(0),
            3 => bad[..at.min(8192)]
                .iter_mut()
                .for_each(|byte| *byte = random.next() as u8),
            _ => bad[random.below(320) as usize] ^= 0xff,
        }
        fs::write(dir.join(FILE), bad).unwrap();
        let outcome = match open(&dir) {
            Ok(store) => {
                let read = store.scan(&RawRange::all(), Direction::Forward);
                let rows = read.take_while(Result::is_ok).count();
                let wrote = put(&store, ROWS).and_then(|()| store.flush());
                let is_whole = rows == ROWS as usize && wrote.is_ok();
                if is_whole {
                    "opens, whole"
                } else {
                    "opens, less"
                }
                .to_owned()
            }
            Err(error) => format!("{error:?}")
                .split(' ')
                .next()
                .unwrap_or_default()
                .to_owned(),
        };
        *met.entry(outcome).or_insert(0) += 1;
    }
    println!("seed {seed:#x}: {met:?}");
    assert_eq!(met.values().sum::<i32>(), 30, "every round came back");
}

/// Flushes three times; run on its own under `strace` by the test below.
#[test]
#[ignore = "the child of flush_is_seen_to_reach_the_device"]
fn flush_child() {
    let dir = std::env::var_os("TORRENS_TEST_STORE").expect("set by the parent");
    let store = open(Path::new(&dir)).unwrap();
    for key in 0..3 {
        put(&store, key).unwrap();
        println!("flush");
        store.flush().unwrap();
    }
    // What redb does while it closes is not what is asked about.
    std::process::exit(0);
}

#[test]
fn flush_is_seen_to_reach_the_device() {
    let place = tempfile::tempdir().unwrap();
    let trace = place.path().join("trace");
    const NAME: &str = "flush_is_seen_to_reach_the_device (redb)";
    let child = std::process::Command::new("strace")
        .args(["-f", "-y", "-e", "trace=fsync,fdatasync,write", "-o"])
        .arg(&trace)
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "store::redb::tests::flush_child"])
        .args(["--ignored", "--nocapture"])
        .env("TORRENS_TEST_STORE", place.path().join("data"))
        .output();
    match child {
        Ok(child) if child.status.success() => {}
        Ok(child) => {
            let text = String::from_utf8_lossy(&child.stderr).into_owned();
            assert!(text.contains("ptrace") || text.contains("PTRACE"), "{text}");
            torrens_journal::testing::skip(NAME, "strace is not allowed here");
            return;
        }
        Err(error) => {
            torrens_journal::testing::skip(NAME, format!("no strace here ({error})"));
            return;
        }
    };
    let trace = fs::read_to_string(&trace).unwrap();
    let flushes: Vec<&str> = trace
        .split("write(1")
        .filter(|part| part.contains("flush"))
        .collect();
    assert_eq!(flushes.len(), 3, "{trace}");
    for flush in flushes {
        let synced = |line: &str| line.contains("sync(") && line.contains("data.redb>");
        assert!(flush.lines().any(synced), "no sync in\n{flush}");
        assert!(!flush.contains("= -1"), "{flush}");
    }
}
