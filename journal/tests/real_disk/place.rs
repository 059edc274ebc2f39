//! Small file systems in files, mounted through loop devices, and memory that runs full.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use parking_lot::{Mutex, MutexGuard};
use torrens_journal::testing::skip;

/// Loop devices are few, and the tests use little of the time: one file system at a time.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

const MIB: u64 = 1 << 20;

/// A file system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Ext4,
    /// Without its own journal: a device that fails does not make it read-only.
    Ext4Plain,
    Xfs,
}

/// File systems to try, journaling ones.
pub(crate) const KINDS: [Kind; 2] = [Kind::Ext4, Kind::Xfs];

/// A mounted file system in a file. Unmounted, detached and removed when dropped.
pub(crate) struct LoopFs {
    mount: PathBuf,
    image: PathBuf,
    device: String,
    folder: tempfile::TempDir,
    /// Dropped after everything else is undone.
    _turn: MutexGuard<'static, ()>,
}

impl LoopFs {
    /// A new one; `None` says that the test was skipped.
    pub(crate) fn new(test: &str, kind: Kind) -> Option<LoopFs> {
        let turn = ONE_AT_A_TIME.lock();
        let folder = tempfile::tempdir().unwrap();
        let image = folder.path().join("image");
        made(test, LoopFs::make(kind, &image, folder, turn, ""))
    }

    /// A new one whose image lies in memory that runs full: blocks that are not there yet cannot be
    /// written once it is.
    pub(crate) fn on_thin_device(test: &str, kind: Kind) -> Option<(Tmpfs, LoopFs)> {
        let turn = ONE_AT_A_TIME.lock();
        let memory = match Tmpfs::mount() {
            Ok(memory) => memory,
            Err(why) => {
                skip(test, why);
                return None;
            }
        };
        let folder = tempfile::tempdir().unwrap();
        let image = memory.folder.path().join("image");
        let place = made(test, LoopFs::make(kind, &image, folder, turn, ""))?;
        Some((memory, place))
    }

    /// A new one with options for its mount.
    pub(crate) fn with(test: &str, kind: Kind, options: &str) -> Option<LoopFs> {
        let turn = ONE_AT_A_TIME.lock();
        let folder = tempfile::tempdir().unwrap();
        let image = folder.path().join("image");
        made(test, LoopFs::make(kind, &image, folder, turn, options))
    }

    fn make(
        kind: Kind,
        image: &Path,
        folder: tempfile::TempDir,
        turn: MutexGuard<'static, ()>,
        options: &str,
    ) -> Result<LoopFs, String> {
        // XFS is made no smaller; the image is sparse.
        let bytes = if kind == Kind::Xfs {
            300 * MIB
        } else {
            64 * MIB
        };
        let file = std::fs::File::create(image).map_err(|error| error.to_string())?;
        file.set_len(bytes).map_err(|error| error.to_string())?;
        let path = image.to_str().unwrap();
        match kind {
            Kind::Ext4 => run("mkfs.ext4", &["-q", "-F", "-b", "4096", path])?,
            Kind::Ext4Plain => {
                let plain = ["-q", "-F", "-b", "4096", "-O", "^has_journal", path];
                run("mkfs.ext4", &plain)?
            }
            Kind::Xfs => run("mkfs.xfs", &["-q", "-f", path])?,
        };
        let device = run("losetup", &["-f", "--show", path])?.trim().to_owned();
        let mount = folder.path().join("mount");
        std::fs::create_dir(&mount).unwrap();
        let place = LoopFs {
            mount,
            image: image.to_path_buf(),
            device,
            folder,
            _turn: turn,
        };
        place.mount(options)?;
        Ok(place)
    }

    fn mount(&self, options: &str) -> Result<(), String> {
        let mount = self.mount.to_str().unwrap();
        let mut arguments = vec![self.device.as_str(), mount];
        if !options.is_empty() {
            arguments.extend(["-o", options]);
        }
        run("mount", &arguments).map(drop)
    }

    /// Where the file system is.
    pub(crate) fn path(&self) -> &Path {
        &self.mount
    }

    /// The folder of the journal in it.
    pub(crate) fn journal(&self) -> PathBuf {
        self.mount.join("journal")
    }

    pub(crate) fn image(&self) -> &Path {
        &self.image
    }

    /// The device's name under `/sys`.
    pub(crate) fn device_name(&self) -> &str {
        self.device.strip_prefix("/dev/").unwrap()
    }

    /// Takes all space that is left.
    pub(crate) fn fill(&self) {
        fill(&self.mount);
    }

    /// Gives it back.
    pub(crate) fn unfill(&self) {
        for entry in std::fs::read_dir(&self.mount).unwrap() {
            let path = entry.unwrap().path();
            if path.to_string_lossy().contains("ballast") {
                std::fs::remove_file(path).unwrap();
            }
        }
    }

    /// What a power cut does: nothing that is not on the device gets there any more, and every
    /// request fails from now on.
    pub(crate) fn shut_down(&self) {
        let mount = self.mount.to_str().unwrap();
        run("xfs_io", &["-x", "-c", "shutdown", mount]).unwrap();
    }

    /// Unmounts and mounts again: what is read then comes from the device.
    pub(crate) fn remount(&self) {
        let mut again = 0;
        while let Err(why) = run("umount", &[self.mount.to_str().unwrap()]) {
            // The kernel ends the rings of a process that was killed a moment after it.
            again += 1;
            assert!(again < 200, "{why}");
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
        self.mount("").unwrap();
    }
}

impl Drop for LoopFs {
    fn drop(&mut self) {
        let mount = self.mount.to_str().unwrap().to_owned();
        // The device goes when the last user of a lazy unmount does.
        let _ = run("umount", &[&mount]).or_else(|_| run("umount", &["-l", &mount]));
        let _ = run("losetup", &["-d", &self.device]);
        let _ = std::fs::remove_dir(&self.mount);
        let _ = &self.folder;
    }
}

/// Memory as a file system of 24 MiB.
pub(crate) struct Tmpfs {
    folder: tempfile::TempDir,
}

impl Tmpfs {
    fn mount() -> Result<Tmpfs, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().to_str().unwrap();
        run("mount", &["-t", "tmpfs", "-o", "size=24m", "tmpfs", path])?;
        Ok(Tmpfs { folder })
    }

    /// Takes all memory that is left.
    pub(crate) fn fill(&self) {
        fill(self.folder.path());
    }
}

impl Drop for Tmpfs {
    fn drop(&mut self) {
        let _ = run("umount", &["-l", self.folder.path().to_str().unwrap()]);
    }
}

fn made(test: &str, place: Result<LoopFs, String>) -> Option<LoopFs> {
    place.map_err(|why| skip(test, why)).ok()
}

/// Takes space until not one block is left.
fn fill(dir: &Path) {
    let sizes = [64 * MIB, 8 * MIB, MIB, 64 << 10, 4096];
    for (number, bytes) in sizes.into_iter().enumerate() {
        for again in 0.. {
            let path = dir.join(format!("ballast-{number}-{again}"));
            let Ok(file) = std::fs::File::create(path) else {
                break;
            };
            let mode = rustix::fs::FallocateFlags::empty();
            if rustix::fs::fallocate(&file, mode, 0, bytes).is_err() {
                // What it got before it failed goes back, for the next size to take.
                file.set_len(0).unwrap();
                break;
            }
        }
    }
    // An allocation wants some blocks in reserve; a write takes those too, and gives back at a sync
    // what it had reserved for itself.
    if let Ok(mut file) = std::fs::File::create(dir.join("ballast")) {
        let mut written = true;
        while written {
            written = false;
            while file.write_all(&[7; 4096]).is_ok() {
                written = true;
            }
            let _ = file.sync_data();
        }
    }
}

/// Runs a program to its end and gives what it printed.
pub(crate) fn run(program: &str, arguments: &[&str]) -> Result<String, String> {
    let output = Command::new(program).args(arguments).output();
    let output = output.map_err(|error| format!("{program}: {error}"))?;
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    } else {
        let said = String::from_utf8_lossy(&output.stderr);
        Err(format!("{program} {arguments:?}: {said}"))
    }
}
