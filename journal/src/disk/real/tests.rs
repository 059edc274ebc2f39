//! What only the real disk has: links, permissions, other processes, the hook, io_uring refused.

use std::fs;
use std::io::{BufRead, BufReader, ErrorKind};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Instant;

use parking_lot::Mutex;

use super::super::{Disk, DiskRefusal, EntryKind, LockError, OpenMode, SyncMethod};
use super::*;

fn is_refused<T: fmt::Debug>(result: io::Result<T>) {
    let error = result.unwrap_err();
    let refusal = error
        .get_ref()
        .and_then(|inner| inner.downcast_ref::<DiskRefusal>());
    assert!(
        matches!(refusal, Some(DiskRefusal::NotRegular { .. })),
        "{error:?}"
    );
}

#[test]
fn links_and_pipes_are_not_opened() {
    let dir = tempfile::tempdir().unwrap();
    let disk = RealDisk::new();
    let path = |name: &str| dir.path().join(name);
    fs::write(path("outside"), b"precious").unwrap();
    symlink(path("outside"), path("link")).unwrap();
    symlink(path("nowhere"), path("dangling")).unwrap();
    symlink(dir.path(), path("dirlink")).unwrap();
    let pipe = (rustix::fs::FileType::Fifo, Mode::RUSR | Mode::WUSR);
    rustix::fs::mknodat(rustix::fs::CWD, path("pipe"), pipe.0, pipe.1, 0).unwrap();
    for name in ["link", "dangling", "dirlink", "pipe"] {
        is_refused(disk.open(&path(name), OpenMode::Read));
        is_refused(disk.open(&path(name), OpenMode::Write));
        is_refused(disk.lock_holder(&path(name)));
        match disk.lock(&path(name)) {
            Err(LockError::Io(error)) => is_refused::<()>(Err(error)),
            other => panic!("locked: {other:?}"),
        }
        let created = disk.open(&path(name), OpenMode::CreateNew).unwrap_err();
        assert_eq!(created.kind(), ErrorKind::AlreadyExists);
    }
    assert!(!path("nowhere").exists());
    assert_eq!(fs::read(path("outside")).unwrap(), b"precious");
    let kinds = disk.list(dir.path()).unwrap();
    let other = kinds
        .iter()
        .filter(|entry| entry.kind == EntryKind::Other && entry.bytes == 0);
    assert_eq!((kinds.len(), other.count()), (5, 4));
    // A link in the list goes by its own name; removing it leaves what it leads to.
    disk.remove(&path("link")).unwrap();
    assert!(path("outside").exists());
}

#[test]
fn what_is_created_is_for_its_owner_only() {
    let dir = tempfile::tempdir().unwrap();
    let disk = RealDisk::new();
    let inner = dir.path().join("x/y");
    disk.create_dir_all(&inner).unwrap();
    disk.open(&inner.join("file"), OpenMode::CreateNew).unwrap();
    let _held = disk.lock(&inner.join("lock")).unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o7777;
    assert_eq!((mode(&dir.path().join("x")), mode(&inner)), (0o700, 0o700));
    assert_eq!(
        (mode(&inner.join("file")), mode(&inner.join("lock"))),
        (0o600, 0o600)
    );
}

#[test]
fn a_relative_directory_is_made_in_the_working_directory() {
    let disk = RealDisk::new();
    assert_eq!(parent_of(Path::new("demo")), Some(Path::new(".")));
    assert_eq!(parent_of(Path::new("/")), None);
    disk.create_dir_all(Path::new(".")).unwrap();
    disk.create_dir_all(Path::new("/")).unwrap();
}

#[test]
fn the_hook_hears_of_each_change_before_it_happens_and_of_no_read() {
    let dir = tempfile::tempdir().unwrap();
    let heard: Arc<Mutex<Vec<(&'static str, u64)>>> = Arc::default();
    let file_path = dir.path().join("d/a");
    let hook: OpHook = {
        let (heard, file_path) = (Arc::clone(&heard), file_path.clone());
        Arc::new(move |op, number| {
            assert!(
                op != op::CREATE || !file_path.exists(),
                "told after the fact"
            );
            heard.lock().push((op, number));
        })
    };
    let disk = RealDisk::with(RealDiskOptions {
        op_hook: Some(hook),
        ..Default::default()
    })
    .unwrap();
    disk.create_dir_all(&dir.path().join("d")).unwrap();
    let file = disk.open(&file_path, OpenMode::CreateNew).unwrap();
    file.write_all_at(0, b"x").unwrap();
    file.write_zeros(0, 100_000).unwrap();
    file.set_len(8_192).unwrap();
    file.sync_data().unwrap();
    file.drop_cache().unwrap();
    let map = file.map(4_096).unwrap();
    map.store(0, b"x").unwrap();
    map.store(9_999, b"x").unwrap_err();
    file.read_exact_at(0, &mut [0]).unwrap();
    disk.list(dir.path()).unwrap();
    disk.open(&file_path, OpenMode::Read)
        .unwrap()
        .len()
        .unwrap();
    disk.rename(&file_path, &dir.path().join("b")).unwrap();
    disk.remove(&dir.path().join("b")).unwrap();
    disk.sync_dir(dir.path()).unwrap();
    drop(disk.lock(&dir.path().join("lock")).unwrap());
    disk.lock_holder(&dir.path().join("lock")).unwrap();
    let (names, numbers): (Vec<_>, Vec<_>) = heard.lock().iter().copied().unzip();
    assert_eq!(
        names,
        [
            // The parent that exists, then the new directory.
            op::SYNC_DIR,
            op::CREATE_DIR,
            op::SYNC_DIR,
            op::CREATE,
            op::WRITE,
            op::WRITE_ZEROS,
            op::SET_LEN,
            op::SYNC,
            op::STORE,
            op::RENAME,
            op::REMOVE,
            op::SYNC_DIR,
            op::LOCK,
        ]
    );
    assert_eq!(numbers, (1..=13).collect::<Vec<u64>>());
}

#[test]
fn a_sync_that_the_kernel_refuses_is_an_error_each_time() {
    // A pipe has nothing to sync.
    let (reader, _writer) = io::pipe().unwrap();
    let pipe = fs::File::from(std::os::fd::OwnedFd::from(reader));
    let temporary = tempfile::tempfile().unwrap();
    for choice in [SyncChoice::Fdatasync, SyncChoice::Auto] {
        let syncer = Syncer::choose(choice).unwrap();
        for _ in 0..3 {
            let error = syncer.sync_data(&pipe).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidInput, "{choice:?}");
            // And the error of one is not the error of another.
            syncer.sync_data(&temporary).unwrap();
        }
    }
}

/// Runs one test of this file in a process of its own, with `TORRENS_TEST_PATH` set.
fn other_process(test: &str, path: &Path) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            &format!("disk::real::tests::{test}"),
            "--nocapture",
        ])
        .env("TORRENS_TEST_PATH", path)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

/// The path for a test that another one runs in a process of its own.
fn as_other_process() -> Option<PathBuf> {
    std::env::var_os("TORRENS_TEST_PATH").map(PathBuf::from)
}

fn wait_for_line(child: &mut Child, wanted: &str) {
    let mut lines = BufReader::new(child.stdout.as_mut().unwrap()).lines();
    assert!(
        lines.any(|line| line.unwrap().contains(wanted)),
        "the other process never said it"
    );
}

#[test]
fn other_process_holds_the_lock() {
    let Some(path) = as_other_process() else {
        return;
    };
    let _held = RealDisk::new().lock(&path).unwrap();
    println!("the lock is held");
    // Until it is killed, or the parent has gone.
    let _ = io::stdin().read_line(&mut String::new());
}

#[test]
fn a_lock_of_another_process_is_busy_and_free_when_it_is_killed() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("lock");
    let disk = RealDisk::new();
    let mut child = other_process("other_process_holds_the_lock", &path);
    wait_for_line(&mut child, "the lock is held");
    assert_eq!(disk.lock_holder(&path).unwrap(), Some(child.id()));
    let begun = Instant::now();
    match disk.lock(&path) {
        Err(LockError::Busy { holder_pid }) => assert_eq!(holder_pid, Some(child.id())),
        other => panic!("not busy: {other:?}"),
    }
    assert!(
        begun.elapsed().as_millis() >= 250,
        "gave up after {:?}",
        begun.elapsed()
    );
    assert_eq!(
        disk.lock_holder(&path).unwrap(),
        Some(child.id()),
        "asking changes nothing"
    );
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(disk.lock_holder(&path).unwrap(), None);
    let held = disk.lock(&path).unwrap();
    assert_eq!(disk.lock_holder(&path).unwrap(), Some(std::process::id()));
    drop(held);
}

#[test]
fn a_lock_of_this_process_is_busy_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("lock");
    let held = RealDisk::new().lock(&path).unwrap();
    // Through another path and another disk it is still the same file.
    let link = dir.path().join("again");
    symlink(dir.path(), &link).unwrap();
    for path in [path, link.join("lock")] {
        let begun = Instant::now();
        let busy = RealDisk::new().lock(&path);
        assert!(
            begun.elapsed().as_millis() < 200,
            "waited for {:?}",
            begun.elapsed()
        );
        match busy {
            Err(LockError::Busy { holder_pid }) => {
                assert_eq!(holder_pid, Some(std::process::id()));
            }
            other => panic!("not busy: {other:?}"),
        }
    }
    drop(held);
}

#[test]
fn a_longer_id_of_an_earlier_holder_leaves_no_trace() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("lock");
    fs::write(&path, "99999999999999999999999999\njunk").unwrap();
    let disk = RealDisk::new();
    let _held = disk.lock(&path).unwrap();
    assert_eq!(
        fs::read_to_string(&path).unwrap(),
        format!("{}\n", std::process::id())
    );
}

#[test]
fn a_held_lock_without_an_id_is_an_error_and_not_free() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("lock");
    let disk = RealDisk::new();
    // Held by something that is not one of our locks.
    let held = fs::File::create_new(&path).unwrap();
    held.lock().unwrap();
    for contents in ["", "junk\n", "123"] {
        fs::write(&path, contents).unwrap();
        assert_eq!(
            disk.lock_holder(&path).unwrap_err().kind(),
            ErrorKind::InvalidData
        );
    }
}

/// Leaves no descriptor, so that no ring can be set up.
#[test]
fn other_process_has_no_ring() {
    let Some(path) = as_other_process() else {
        return;
    };
    let file = fs::File::create_new(&path).unwrap();
    let mut limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    limit.current = Some(u64::try_from(std::os::fd::AsRawFd::as_raw_fd(&file)).unwrap() + 1);
    rustix::process::setrlimit(rustix::process::Resource::Nofile, limit).unwrap();

    let forced = RealDiskOptions {
        sync: SyncChoice::IoUring,
        ..RealDiskOptions::default()
    };
    assert_eq!(
        RealDisk::with(forced).unwrap_err().kind(),
        ErrorKind::Unsupported
    );
    let disk = RealDisk::new();
    let sync_path = disk.sync_path();
    assert_eq!(sync_path.method, SyncMethod::Fdatasync);
    let reason = sync_path.fallback_reason.unwrap();
    assert!(
        reason.starts_with("io_uring is not available: cannot set up a ring"),
        "{reason}"
    );
    disk.shared.syncer.sync_data(&file).unwrap();
    println!("fell back");
}

#[test]
#[cfg(target_os = "linux")]
fn without_a_ring_the_plain_sync_is_used_and_the_reason_kept() {
    let dir = tempfile::tempdir().unwrap();
    let mut child = other_process("other_process_has_no_ring", &dir.path().join("a"));
    wait_for_line(&mut child, "fell back");
    assert!(child.wait().unwrap().success());
}
