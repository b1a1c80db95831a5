//! The checks of `/health` that look at the machine: disk and memory.

use std::path::{Path, PathBuf};

use async_trait::async_trait;
use foretell_predict::health::Check;

use crate::config::units::ByteSize;

/// `disk_space`: room for uploads and for the database's log.
pub struct DiskSpace {
    /// The data folder.
    pub folder: PathBuf,
    /// Below this, uploads are about to fail.
    pub min_free_bytes: u64,
}

#[async_trait]
impl Check for DiskSpace {
    fn name(&self) -> &'static str {
        "disk_space"
    }

    async fn look(&self) -> Result<String, String> {
        let free = free_bytes(&self.folder)
            .map_err(|error| format!("the disk cannot be looked at: {error}"))?;
        let seen = format!("{} MiB free", free >> 20);
        if free >= self.min_free_bytes {
            Ok(seen)
        } else {
            Err(format!(
                "{seen}, less than health.min_free_disk ({}); delete versions or enlarge the disk",
                ByteSize(self.min_free_bytes)
            ))
        }
    }
}

/// Free bytes for this user on the disk of a folder.
///
/// # Errors
/// Those of the system.
pub fn free_bytes(folder: &Path) -> std::io::Result<u64> {
    let disk = rustix::fs::statvfs(folder)?;
    Ok(disk.f_bavail.saturating_mul(disk.f_frsize))
}

/// `memory_usage`: resident memory of this process.
pub struct MemoryUsage {
    /// Above this the server is about to be killed; 0 = nine tenths of what there is.
    pub max_bytes: u64,
}

#[async_trait]
impl Check for MemoryUsage {
    fn name(&self) -> &'static str {
        "memory_usage"
    }

    async fn look(&self) -> Result<String, String> {
        let statm = read("/proc/self/statm")?;
        let used = resident(&statm).ok_or("/proc/self/statm is not as expected")?
            * rustix::param::page_size() as u64;
        let max = match self.max_bytes {
            0 => there_is()? / 10 * 9,
            configured => configured,
        };
        let seen = format!("{} MiB of at most {} MiB", used >> 20, max >> 20);
        if used <= max {
            Ok(seen)
        } else {
            Err(format!(
                "{seen}; lower sandbox.instances or sandbox.memory_mib, or give it more memory"
            ))
        }
    }
}

/// Memory of the machine, or of the control group where that has a smaller limit.
fn there_is() -> Result<u64, String> {
    let machine = total(&read("/proc/meminfo")?).ok_or("/proc/meminfo has no MemTotal")?;
    // Both versions of control groups; outside a container neither file says anything.
    let group = [
        "/sys/fs/cgroup/memory.max",
        "/sys/fs/cgroup/memory/memory.limit_in_bytes",
    ]
    .into_iter()
    .find_map(|file| {
        std::fs::read_to_string(file)
            .ok()?
            .trim()
            .parse::<u64>()
            .ok()
    });
    Ok(group.map_or(machine, |group| group.min(machine)))
}

fn read(file: &str) -> Result<String, String> {
    std::fs::read_to_string(file).map_err(|error| format!("{file}: {error}"))
}

/// Resident pages, the second number.
fn resident(statm: &str) -> Option<u64> {
    statm.split_whitespace().nth(1)?.parse().ok()
}

/// `MemTotal`, in bytes.
fn total(meminfo: &str) -> Option<u64> {
    let line = meminfo
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib << 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_full_disk_is_seen_and_says_what_to_do() {
        let folder = tempfile::tempdir().unwrap().keep();
        let disk = |min_free_bytes| DiskSpace {
            folder: folder.clone(),
            min_free_bytes,
        };
        assert!(disk(0).look().await.is_ok());
        let error = disk(u64::MAX).look().await.unwrap_err();
        assert!(error.contains("health.min_free_disk"), "{error}");
        std::fs::remove_dir(&folder).unwrap();
        assert!(disk(0).look().await.is_err(), "a folder that is gone");
    }

    #[tokio::test]
    async fn too_much_memory_is_seen() {
        assert!(MemoryUsage { max_bytes: 0 }.look().await.is_ok());
        assert!(MemoryUsage { max_bytes: 1 }.look().await.is_err());
    }

    #[test]
    fn the_systems_files_are_read_as_they_are_written() {
        assert_eq!(resident("1000 250 30 1 0 99 0\n"), Some(250));
        assert_eq!(resident(""), None);
        assert_eq!(
            total("MemTotal:       16318480 kB\nMemFree: 1 kB\n"),
            Some(16_318_480 << 10)
        );
        assert_eq!(total("MemFree: 1 kB\n"), None);
    }
}
