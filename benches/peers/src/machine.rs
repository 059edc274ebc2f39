//! The machine in one line: figures mean nothing without it.

use std::fs;
use std::path::Path;

use crate::gauge::device::Device;

/// Processors, memory, kernel, and the file system and device below `dir`.
pub(crate) fn describe(dir: &Path) -> String {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let mut parts = vec![format!("{cores} cores ({})", processor())];
    parts.extend(memory());
    if let Ok(release) = fs::read_to_string("/proc/sys/kernel/osrelease") {
        parts.push(format!("Linux {}", release.trim()));
    }
    let mounts = fs::read_to_string("/proc/mounts").unwrap_or_default();
    if let Some(kind) = file_system(&mounts, dir) {
        parts.push(kind);
    }
    if let Some(device) = Device::below(dir) {
        let cache = device.about("queue/write_cache");
        let cache = cache.map_or_else(String::new, |cache| format!(", cache {cache}"));
        parts.push(format!("disk {}{cache}", device.name()));
    }
    parts.join(", ")
}

fn processor() -> String {
    let text = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name = text.lines().find_map(|line| {
        let (key, value) = line.split_once(':')?;
        (key.trim() == "model name").then(|| value.trim().to_owned())
    });
    name.unwrap_or_else(|| std::env::consts::ARCH.to_owned())
}

fn memory() -> Option<String> {
    let text = fs::read_to_string("/proc/meminfo").ok()?;
    let kib: u64 = text
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:"))?
        .trim()
        .strip_suffix(" kB")?
        .parse()
        .ok()?;
    Some(format!("{} GiB", (kib + (1 << 19)) >> 20))
}

/// The kind of the file system with the longest mount point above `dir`.
fn file_system(mounts: &str, dir: &Path) -> Option<String> {
    let dir = fs::canonicalize(dir).ok()?;
    let mount = |line: &str| {
        let mut words = line.split(' ').skip(1);
        let point = words.next()?.to_owned();
        dir.starts_with(&point)
            .then_some((point.len(), words.next()?.to_owned()))
    };
    let longest = mounts
        .lines()
        .filter_map(mount)
        .max_by_key(|found| found.0)?;
    Some(longest.1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_mount_counts() {
        let mounts = "/dev/a / ext4 rw 0 0\ntmpfs /usr tmpfs rw 0 0\nproc /proc proc rw 0 0\n";
        let kind = |dir: &str| file_system(mounts, Path::new(dir));
        assert_eq!(kind("/usr/bin").as_deref(), Some("tmpfs"));
        assert_eq!(kind("/").as_deref(), Some("ext4"));
        assert_eq!(file_system("", Path::new("/")), None);
    }

    #[test]
    fn there_is_something_to_say_everywhere() {
        assert!(describe(Path::new(".")).contains("core"));
    }
}
