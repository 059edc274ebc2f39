//! Power cuts: an ext4 in a file is shut down without flushing its log while a store works on it, mounted again, and
//! the store is opened.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::{SAID, Tally, child, read};
use crate::rng::Rng;

/// What a child says, line by line.
pub(super) fn lines(from: impl Read) -> impl Iterator<Item = String> {
    let lines = BufReader::new(from).lines().map_while(Result::ok);
    lines.filter_map(|line| line.split_once(SAID).map(|(_, said)| said.to_owned()))
}

/// A small ext4, mounted while it is used.
struct Image {
    folder: tempfile::TempDir,
}

impl Image {
    fn new() -> Result<Image> {
        let image = Image {
            folder: tempfile::tempdir()?,
        };
        std::fs::create_dir(image.at())?;
        File::create(image.file())?.set_len(512 << 20)?;
        shell("mkfs.ext4", &["-q", "-F", &image.file().to_string_lossy()])?;
        image.mount()?;
        Ok(image)
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("image")
    }

    fn at(&self) -> PathBuf {
        self.folder.path().join("mount")
    }

    fn mount(&self) -> Result<()> {
        let (file, at) = (self.file(), self.at());
        shell(
            "mount",
            &["-o", "loop", &file.to_string_lossy(), &at.to_string_lossy()],
        )
    }

    fn unmount(&self) -> Result<()> {
        let at = self.at();
        for _ in 0..200 {
            if shell("umount", &[&at.to_string_lossy()]).is_ok() {
                return Ok(());
            }
            // The kernel ends what a killed process had open a moment after it.
            std::thread::sleep(Duration::from_millis(20));
        }
        bail!("{} cannot be unmounted", at.display())
    }
}

impl Drop for Image {
    fn drop(&mut self) {
        let _ = shell("umount", &["-l", &self.at().to_string_lossy()]);
    }
}

fn shell(program: &str, arguments: &[&str]) -> Result<()> {
    let output = Command::new(program).args(arguments).output();
    let output = output.with_context(|| program.to_owned())?;
    if !output.status.success() {
        bail!(
            "{program} {arguments:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
    Ok(())
}

/// So many cuts, each of a fresh store at another moment.
pub(super) fn cut(peer: &str, cuts: u64, seed: u64) -> Result<Tally> {
    let mut rng = Rng::new(seed);
    let mut tally = Tally::new();
    for cut in 0..cuts {
        let image = Image::new()?;
        let dir = image.at().join("store");
        std::fs::create_dir(&dir)?;
        shell("sync", &["-f", &image.at().to_string_lossy()])?;
        let mut process = child(peer, "write", &dir, 0)?.spawn()?;
        let said = lines(process.stdout.take().context("it was piped")?);
        let after = 20 + rng.below(400) as u64;
        let mut acknowledged = 0;
        let mut is_cut = false;
        for line in said {
            acknowledged = line.parse()?;
            if acknowledged >= after && !is_cut {
                // What is acknowledged up to here was before the power went.
                shell(
                    "xfs_io",
                    &["-x", "-c", "shutdown", &image.at().to_string_lossy()],
                )?;
                is_cut = true;
                break;
            }
        }
        process.kill()?;
        process.wait()?;
        if !is_cut {
            bail!("{peer} ended by itself after {acknowledged} records");
        }
        image.unmount()?;
        image.mount()?;
        let (outcome, why) = read(peer, &dir, acknowledged)?;
        if outcome > super::Outcome::Exact {
            eprintln!("{peer}, power cut {cut}, {acknowledged} acknowledged: {outcome:?}, {why}");
        }
        *tally.entry(outcome).or_default() += 1;
    }
    Ok(tally)
}
