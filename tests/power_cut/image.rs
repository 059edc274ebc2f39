//! An ext4 image on a loop device, and the call that takes its power away.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// `EXT4_IOC_SHUTDOWN`: `_IOR('X', 125, __u32)`.
const SHUTDOWN: rustix::ioctl::Opcode = 0x8004_587d;
/// `EXT4_GOING_FLAGS_NOLOGFLUSH`: nothing more reaches the device, not even the file system's log.
const NO_LOG_FLUSH: u32 = 2;
const BYTES: u64 = 256 << 20;

/// Mounted while it is used; unmounted and removed when dropped.
pub struct Image {
    folder: tempfile::TempDir,
}

impl Image {
    /// A new, empty file system, mounted. An error says why there can be none here.
    pub fn new() -> Result<Image, String> {
        let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
        let image = Image { folder };
        fs::create_dir(image.at()).map_err(|error| error.to_string())?;
        File::create(image.file())
            .and_then(|file| file.set_len(BYTES))
            .map_err(|error| error.to_string())?;
        let file = image.file();
        run("mkfs.ext4", &["-q", "-F", &file.to_string_lossy()])?;
        image.mount()?;
        Ok(image)
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("image")
    }

    fn at(&self) -> PathBuf {
        self.folder.path().join("mount")
    }

    /// Where the engine lives.
    pub fn store(&self) -> PathBuf {
        self.at().join("store")
    }

    /// Mounts it; the file system replays its log.
    pub fn mount(&self) -> Result<(), String> {
        let (file, at) = (self.file(), self.at());
        let arguments = ["-o", "loop", &file.to_string_lossy(), &at.to_string_lossy()];
        run("mount", &arguments)
    }

    /// Unmounts it; fine if it is not mounted.
    pub fn unmount(&self) {
        for _ in 0..100 {
            if !is_mounted(&self.at()) || run("umount", &[&self.at().to_string_lossy()]).is_ok() {
                return;
            }
            // A process that was just killed may hold it a moment longer.
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// From now on nothing reaches the device.
    #[expect(unsafe_code, reason = "a call that no crate wraps")]
    pub fn cut_power(&self) {
        let directory = File::open(self.at()).unwrap();
        // SAFETY: the call takes one 32-bit number, and reads nothing else.
        let cut = unsafe {
            let call = rustix::ioctl::Setter::<SHUTDOWN, u32>::new(NO_LOG_FLUSH);
            rustix::ioctl::ioctl(&directory, call)
        };
        cut.unwrap();
    }
}

impl Drop for Image {
    fn drop(&mut self) {
        self.unmount();
    }
}

fn is_mounted(at: &Path) -> bool {
    let at = at.to_string_lossy();
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    mounts
        .lines()
        .any(|line| line.split(' ').nth(1) == Some(&at))
}

fn run(program: &str, arguments: &[&str]) -> Result<(), String> {
    let output = Command::new(program).args(arguments).output();
    let output = output.map_err(|error| format!("{program}: {error}"))?;
    match output.status.success() {
        true => Ok(()),
        false => Err(format!(
            "{program}: {}",
            String::from_utf8_lossy(&output.stderr)
        )),
    }
}
