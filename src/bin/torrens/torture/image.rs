//! `--power-cut`: the store lies on an ext4 image whose power is taken away.
//!
//! The image is a file beside the store, mounted at the store's directory. A cut shuts the file system
//! down without flushing its own log: what the device did not have is gone, in whatever order it would
//! have gone there. Not here: when it happens (`driver`), what must have survived (`model`).

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::error::TortureError;

/// `EXT4_IOC_SHUTDOWN`: `_IOR('X', 125, __u32)`.
const SHUTDOWN: rustix::ioctl::Opcode = 0x8004_587d;
/// `EXT4_GOING_FLAGS_NOLOGFLUSH`: nothing more reaches the device, not even the file system's log.
const NO_LOG_FLUSH: u32 = 2;
/// What the file system may hold; the file itself takes only what was written.
const BYTES: u64 = 4 << 30;
/// How often unmounting is tried while a process that was just killed holds the file system.
const UNMOUNT_TRIES: usize = 250;
const UNMOUNT_PAUSE: Duration = Duration::from_millis(20);

/// The image, mounted while it is used; unmounted when dropped, and kept.
#[derive(Debug)]
pub(super) struct Image {
    file: PathBuf,
    at: PathBuf,
    is_cut: bool,
}

impl Image {
    /// The image in `file`, made if there is none, mounted at `at`.
    ///
    /// # Errors
    /// [`TortureError::PowerCut`] says why there can be none here: no right to mount, no loop device, no
    /// `mkfs.ext4`, or something else at `at`.
    pub(super) fn open(file: PathBuf, at: &Path) -> Result<Image, TortureError> {
        let is_new = !file.exists();
        fs::create_dir_all(at).map_err(TortureError::io("create", at))?;
        let image = Image {
            file,
            at: at.to_owned(),
            is_cut: false,
        };
        if is_mounted(at) {
            return Err(refused("the directory is a mount point already"));
        }
        if fs::read_dir(at).is_ok_and(|mut entries| entries.next().is_some()) {
            return Err(refused(
                "the directory is not empty: it was made without --power-cut",
            ));
        }
        if is_new {
            let made = File::create(&image.file).and_then(|file| file.set_len(BYTES));
            made.map_err(TortureError::io("create", &image.file))?;
            let made = run(
                "mkfs.ext4",
                &[Path::new("-q"), Path::new("-F"), &image.file],
            );
            if let Err(why) = made {
                let _ = fs::remove_file(&image.file);
                return Err(refused(&why));
            }
        }
        if let Err(why) = image.mount() {
            if is_new {
                let _ = fs::remove_file(&image.file);
            }
            return Err(refused(&why));
        }
        if is_new {
            // Not the store's, and nothing else may be in its directory.
            let lost = at.join("lost+found");
            fs::remove_dir(&lost).map_err(TortureError::io("remove", lost))?;
        }
        Ok(image)
    }

    fn mount(&self) -> Result<(), String> {
        run(
            "mount",
            &[Path::new("-o"), Path::new("loop"), &self.file, &self.at],
        )
    }

    /// From now on nothing reaches the device.
    pub(super) fn cut(&mut self) -> Result<(), TortureError> {
        let directory = File::open(&self.at).map_err(TortureError::io("open", &self.at))?;
        shut_down(&directory).map_err(TortureError::io("cut the power of", &self.at))?;
        self.is_cut = true;
        Ok(())
    }

    /// After a cut, when every process that had files open is gone: mounts it again, which lets the file
    /// system replay its log.
    pub(super) fn come_back(&mut self) -> Result<(), TortureError> {
        if !self.is_cut {
            return Ok(());
        }
        self.unmount();
        self.mount().map_err(|why| refused(&why))?;
        self.is_cut = false;
        Ok(())
    }

    fn unmount(&self) {
        for _ in 0..UNMOUNT_TRIES {
            if !is_mounted(&self.at) || run("umount", &[&self.at]).is_ok() {
                return;
            }
            std::thread::sleep(UNMOUNT_PAUSE);
        }
    }
}

impl Drop for Image {
    fn drop(&mut self) {
        self.unmount();
    }
}

fn refused(why: &str) -> TortureError {
    let why = why.trim().to_owned();
    TortureError::PowerCut { why }
}

#[expect(unsafe_code, reason = "a call that no crate wraps")]
fn shut_down(directory: &File) -> std::io::Result<()> {
    // SAFETY: the call takes one 32-bit number, and reads nothing else.
    unsafe {
        let call = rustix::ioctl::Setter::<SHUTDOWN, u32>::new(NO_LOG_FLUSH);
        rustix::ioctl::ioctl(directory, call)?;
    }
    Ok(())
}

fn is_mounted(at: &Path) -> bool {
    // The table has whole paths, with blanks written as numbers.
    let whole = fs::canonicalize(at).unwrap_or_else(|_| at.to_owned());
    let name = whole.to_string_lossy().replace(' ', "\\040");
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    mounts
        .lines()
        .any(|line| line.split(' ').nth(1) == Some(name.as_str()))
}

fn run(program: &str, arguments: &[&Path]) -> Result<(), String> {
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
