//! A file system that turns read-only in the middle, as ext4 does after an error.

use std::path::PathBuf;
use std::process::Command;

use torrens_journal::testing::skip;

use crate::child::{Child, holds};

/// A small ext4 in a file on a loop device.
struct Ext4 {
    folder: tempfile::TempDir,
    device: String,
}

impl Ext4 {
    fn new() -> Result<Ext4, String> {
        let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
        let image = folder.path().join("image");
        let file = std::fs::File::create(&image).map_err(|error| error.to_string())?;
        file.set_len(128 << 20).map_err(|error| error.to_string())?;
        let image = image.to_str().unwrap();
        run("mkfs.ext4", &["-q", "-F", image])?;
        let device = run("losetup", &["-f", "--show", image])?.trim().to_owned();
        let place = Ext4 { folder, device };
        std::fs::create_dir(place.at()).unwrap();
        place.mount()?;
        Ok(place)
    }

    fn at(&self) -> PathBuf {
        self.folder.path().join("mount")
    }

    fn mount(&self) -> Result<(), String> {
        let at = self.at();
        let to = at.to_str().unwrap();
        let options = ["-o", "errors=remount-ro", &self.device, to];
        run("mount", &options).map(drop)
    }

    /// The file system finds itself damaged, and turns read-only.
    fn turn_read_only(&self) -> Result<(), String> {
        let device = self.device.trim_start_matches("/dev/");
        let trigger = format!("/sys/fs/ext4/{device}/trigger_fs_error");
        std::fs::write(&trigger, "1").map_err(|why| format!("{trigger}: {why}"))
    }

    fn unmount(&self) -> Result<(), String> {
        let at = self.at();
        let mut tries = 0;
        loop {
            match run("umount", &[at.to_str().unwrap()]) {
                Ok(_) => return Ok(()),
                Err(why) if tries == 100 => return Err(why),
                // The kernel ends what a killed process had open a moment after it.
                Err(_) => std::thread::sleep(std::time::Duration::from_millis(50)),
            }
            tries += 1;
        }
    }
}

impl Drop for Ext4 {
    fn drop(&mut self) {
        let _ = run("umount", &["-l", self.at().to_str().unwrap()]);
        let _ = run("losetup", &["-d", &self.device]);
    }
}

fn run(program: &str, arguments: &[&str]) -> Result<String, String> {
    let output = Command::new(program).args(arguments).output();
    let output = output.map_err(|error| format!("{program}: {error}"))?;
    match output.status.success() {
        true => Ok(String::from_utf8_lossy(&output.stdout).into_owned()),
        false => Err(format!(
            "{program} {arguments:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        )),
    }
}

#[test]
fn a_file_system_that_turns_read_only_in_the_middle_loses_nothing() {
    const TEST: &str = "a_file_system_that_turns_read_only_in_the_middle";
    let place = match Ext4::new() {
        Ok(place) => place,
        Err(why) => return skip(TEST, why),
    };
    let dir = place.at().join("store");
    let mut child = Child::start(&dir);
    child.must("open");
    let first = child.must("create 100");
    child.must("write 50");
    let rows = child.must("flush");
    if let Err(why) = place.turn_read_only() {
        return skip(TEST, why);
    }
    let stopped = child.ask("create 200");
    assert!(stopped.outcome.starts_with("poisoned"), "{stopped:?}");
    let refused = child.ask("create 1");
    assert_eq!(
        (refused.done, refused.outcome.starts_with("poisoned")),
        (0, true),
        "{refused:?}"
    );
    for command in ["checkpoint", "flush", "close"] {
        let answer = child.ask(command);
        assert!(!answer.is_ok(), "{command}: {answer:?}");
    }
    drop(child);
    // Still read-only: a typed refusal.
    let mut child = Child::start(&dir);
    let refused = child.ask("open").outcome;
    assert!(refused.starts_with("open-"), "{refused}");
    drop(child);
    place.unmount().unwrap();
    place.mount().unwrap();
    holds(&dir, first + stopped.done, rows);
}
