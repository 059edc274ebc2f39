//! Files whose every write reaches the device before the call returns, whoever writes them.
//!
//! A store that takes `pwrite` for durable, and reuses space on that belief, loses what it flushed
//! long ago: it moves what still counts to a new place, believes that it is there, and writes over the
//! old one; a power cut then takes the new place and leaves the overwritten one. No sync of ours helps
//! against that, since it comes in between. What helps is to make the belief true: the kernel's
//! "synchronous" attribute of a file (`FS_SYNC_FL`, `chattr +S`) turns each of its writes into one that
//! waits for the device. A directory hands it on to the files that are made in it.
//!
//! Where the file system has no such attribute, the end of the machine is what has to be told from the
//! end of a process, whose writes the kernel keeps: [`Incumbent`] remembers the boot and the mount.
//!
//! Not here: who asks (`sled`).

use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

/// Marks a file or directory; `false` if its file system has no such mark.
pub(super) fn mark(path: &Path) -> io::Result<bool> {
    let file = File::open(path)?;
    #[cfg(target_os = "linux")]
    {
        use rustix::fs::{IFlags, ioctl_getflags, ioctl_setflags};
        let Ok(flags) = ioctl_getflags(&file) else {
            return Ok(false);
        };
        if flags.contains(IFlags::SYNC) {
            return Ok(true);
        }
        if ioctl_setflags(&file, flags | IFlags::SYNC).is_err() {
            return Ok(false);
        }
        // Some file systems accept what they do not keep.
        let is_kept = ioctl_getflags(&file).is_ok_and(|flags| flags.contains(IFlags::SYNC));
        file.sync_all()?;
        Ok(is_kept)
    }
    #[cfg(not(target_os = "linux"))]
    {
        // There sled syncs what it writes by itself.
        drop(file);
        Ok(true)
    }
}

/// Makes a file if it is missing, and marks it.
pub(super) fn mark_file(path: &Path) -> io::Result<bool> {
    OpenOptions::new()
        .create(true)
        .append(true)
        .open(path)?
        .sync_all()?;
    mark(path)
}

/// Which boot of the machine, and which mount, wrote to a directory last.
#[derive(Debug)]
pub(super) struct Incumbent {
    path: PathBuf,
    now: Option<String>,
}

impl Incumbent {
    /// Of `dir`, remembered in the file `name` in it.
    pub(super) fn of(dir: &Path, name: &str) -> Incumbent {
        Incumbent {
            path: dir.join(name),
            now: identity(dir),
        }
    }

    /// Whether the last one to say so was this very boot and mount: what it wrote is in the kernel's
    /// memory or on the device, whatever became of its process.
    pub(super) fn is_same(&self) -> bool {
        let last = fs::read_to_string(&self.path).ok();
        self.now.is_some() && last == self.now
    }

    /// Remembers this boot and mount. Need not be durable: after a power cut either is another one.
    pub(super) fn remember(&self) -> io::Result<()> {
        fs::write(&self.path, self.now.as_deref().unwrap_or_default())
    }
}

#[cfg(target_os = "linux")]
fn identity(dir: &Path) -> Option<String> {
    use rustix::fs::{AtFlags, CWD, StatxFlags, statx};
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    let of_dir = statx(CWD, dir, AtFlags::empty(), StatxFlags::MNT_ID).ok()?;
    let has_mount = of_dir.stx_mask & StatxFlags::MNT_ID.bits() != 0;
    has_mount.then(|| {
        let (major, minor, mount) = (
            of_dir.stx_dev_major,
            of_dir.stx_dev_minor,
            of_dir.stx_mnt_id,
        );
        format!("{} {major}:{minor} {mount}", boot.trim())
    })
}

#[cfg(not(target_os = "linux"))]
fn identity(_: &Path) -> Option<String> {
    None
}
