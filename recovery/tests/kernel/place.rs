//! File systems: empty ones as sectors, one that is alive on the logging device, and those that a power cut left.

use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use fuser::{BackgroundSession, MountOption};

use crate::device::{Device, SECTOR_BYTES, Sectors};

/// A file system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Ext4,
    Xfs,
}

impl Kind {
    /// How large its device is. XFS is made no smaller.
    pub(crate) fn bytes(self) -> u64 {
        match self {
            Kind::Ext4 => 64 << 20,
            Kind::Xfs => 300 << 20,
        }
    }
}

/// The sectors of an empty file system.
pub(crate) fn make(kind: Kind) -> Result<Sectors, String> {
    let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
    let path = folder.path().join("image");
    let image = File::create_new(&path).map_err(|error| error.to_string())?;
    image
        .set_len(kind.bytes())
        .map_err(|error| error.to_string())?;
    let name = path.to_str().unwrap();
    match kind {
        Kind::Ext4 => run(
            "mkfs.ext4",
            &[
                "-q",
                "-F",
                "-b",
                "4096",
                "-E",
                "lazy_itable_init=0,lazy_journal_init=0",
                name,
            ],
        )?,
        Kind::Xfs => run("mkfs.xfs", &["-q", "-f", name])?,
    };
    let image = File::open(&path).map_err(|error| error.to_string())?;
    let mut sectors = Sectors::new();
    let mut part = vec![0; 1 << 20];
    for at in (0..kind.bytes()).step_by(part.len()) {
        let length = part.len().min((kind.bytes() - at) as usize);
        image
            .read_exact_at(&mut part[..length], at)
            .map_err(|error| error.to_string())?;
        let first = at / SECTOR_BYTES as u64;
        for (number, sector) in (first..).zip(part[..length].chunks_exact(SECTOR_BYTES)) {
            if sector.iter().any(|byte| *byte != 0) {
                sectors.insert(number, sector.try_into().unwrap());
            }
        }
    }
    Ok(sectors)
}

/// A file system on the logging device.
pub(crate) struct Live {
    mount: PathBuf,
    device: Option<String>,
    session: Option<BackgroundSession>,
    folder: tempfile::TempDir,
}

impl Live {
    pub(crate) fn mount(device: &Device, kind: Kind) -> Result<Live, String> {
        let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
        let (fuse, mount) = (folder.path().join("fuse"), folder.path().join("mount"));
        for dir in [&fuse, &mount] {
            std::fs::create_dir(dir).map_err(|error| error.to_string())?;
        }
        let options = [MountOption::FSName("torrens-device".to_owned())];
        let session = fuser::spawn_mount2(device.clone(), &fuse, &options);
        let session = session.map_err(|error| format!("FUSE: {error}"))?;
        let mut live = Live {
            mount,
            device: None,
            session: Some(session),
            folder,
        };
        let file = fuse.join("device");
        let device = run("losetup", &["-f", "--show", file.to_str().unwrap()])?;
        live.device = Some(device.trim().to_owned());
        // Nothing but what the journal asks for: no times of access, no writing of the rest of the tables later.
        let options = match kind {
            Kind::Ext4 => "noatime,noinit_itable",
            Kind::Xfs => "noatime",
        };
        let mount = live.mount.to_str().unwrap();
        run("mount", &["-o", options, device.trim(), mount])?;
        Ok(live)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.mount
    }

    pub(crate) fn unmount(self) {}
}

impl Drop for Live {
    fn drop(&mut self) {
        let mount = self.mount.to_str().unwrap();
        let _ = run("umount", &[mount]).or_else(|_| run("umount", &["-l", mount]));
        if let Some(device) = &self.device {
            let _ = run("losetup", &["-d", device]);
        }
        // The loop device lets go of the file a moment later; without it there is nobody to serve.
        std::thread::sleep(Duration::from_millis(100));
        drop(self.session.take());
        let _ = &self.folder;
    }
}

/// A device that a power cut left, mounted: the file system has replayed its own log.
pub(crate) struct Replayed {
    folder: tempfile::TempDir,
    /// Where the file system was when it lived.
    before: PathBuf,
}

impl Replayed {
    pub(crate) fn mount(sectors: &Sectors, kind: Kind, before: &Path) -> Result<Replayed, String> {
        let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
        let path = folder.path().join("image");
        let image = File::create_new(&path).map_err(|error| error.to_string())?;
        image
            .set_len(kind.bytes())
            .map_err(|error| error.to_string())?;
        for (number, sector) in sectors {
            let at = number * SECTOR_BYTES as u64;
            image
                .write_all_at(sector, at)
                .map_err(|error| error.to_string())?;
        }
        let before = before.to_path_buf();
        let replayed = Replayed { folder, before };
        std::fs::create_dir(replayed.path()).map_err(|error| error.to_string())?;
        let mount = replayed.path();
        run(
            "mount",
            &[
                "-o",
                "loop",
                path.to_str().unwrap(),
                mount.to_str().unwrap(),
            ],
        )?;
        Ok(replayed)
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.folder.path().join("mount")
    }

    /// Every file that is the journal's, by the name that it had when the file system lived.
    pub(crate) fn files(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let mut found = BTreeMap::new();
        let Ok(entries) = std::fs::read_dir(self.path().join("journal")) else {
            return found;
        };
        for entry in entries {
            let path = entry.unwrap().path();
            let name = path.strip_prefix(self.path()).unwrap();
            found.insert(self.before.join(name), std::fs::read(&path).unwrap());
        }
        found
    }
}

impl Drop for Replayed {
    fn drop(&mut self) {
        let mount = self.path();
        let mount = mount.to_str().unwrap();
        let _ = run("umount", &[mount]).or_else(|_| run("umount", &["-l", mount]));
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
