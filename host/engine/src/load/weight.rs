//! What loaded versions hold, and how much of it there may be: versions, bytes, open files, memory mappings.
//!
//! The system ends a process that runs out of mappings or files in ways that nobody can answer for: an allocation fails,
//! a connection is not accepted. So both limits are read once, at the start, and versions are kept well below them.

use std::ops::{AddAssign, SubAssign};

use rustix::process::{Resource, getrlimit};

use crate::config::{EngineConfig, MEMORIES};

/// Mappings that one loaded version has: headers, code, read-only data and what follows it, each with a protection of its
/// own, and one more where the kernel cannot join it with its neighbour.
const MAPS_OF_CODE: u64 = 5;
/// Mappings of one memory in the pool: what lies before its image, the image, what lies behind, and the guard.
const MAPS_OF_MEMORY: u64 = 4;
/// Mappings that the server itself needs, for threads, libraries and its own memory.
const MAPS_OF_SERVER: u64 = 4_096;
/// The default of Linux, where the system does not say.
const MAX_MAPS: u64 = 65_530;

/// What one version holds while it is loaded, or all of them, or at most.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Weight {
    pub(crate) versions: u64,
    pub(crate) bytes: u64,
    pub(crate) files: u64,
    pub(crate) maps: u64,
}

impl Weight {
    /// Of a version with so many bytes of code, and images of so many memories.
    ///
    /// Mapped code is one file with the images in it. Code that was copied counts twice: the images lie in it, and once more
    /// in memory files, where instances map them from. That is the most they can be; a small model is mostly image.
    pub(crate) fn of(code_bytes: usize, memories: u32, is_mapped: bool) -> Self {
        let bytes = code_bytes as u64;
        Self {
            versions: 1,
            bytes: if is_mapped { bytes } else { 2 * bytes },
            files: if is_mapped { 1 } else { memories.into() },
            maps: MAPS_OF_CODE,
        }
    }

    /// Of a version that is not loaded, or not yet: its name.
    pub(crate) const fn of_a_name() -> Self {
        Self {
            versions: 1,
            bytes: 0,
            files: 0,
            maps: 0,
        }
    }

    /// How much there may be: what is configured, and what the system's limits leave.
    pub(crate) fn bound(config: &EngineConfig, system: &SystemLimits) -> Self {
        let memories = u64::from(config.pool.instances) * u64::from(MEMORIES);
        let taken = MAPS_OF_SERVER + memories * MAPS_OF_MEMORY;
        Self {
            versions: config.loaded.max_versions.max(1) as u64,
            bytes: config.loaded.max_bytes,
            // The other half is for connections.
            files: system.max_files / 2,
            // Where a large pool alone could take nearly all of them, an eighth is left all the same: it is seldom full.
            maps: system
                .max_maps
                .saturating_sub(taken)
                .max(system.max_maps / 8),
        }
    }

    pub(crate) const fn fits(&self, bound: &Self) -> bool {
        self.versions <= bound.versions
            && self.bytes <= bound.bytes
            && self.files <= bound.files
            && self.maps <= bound.maps
    }
}

impl AddAssign for Weight {
    fn add_assign(&mut self, other: Self) {
        self.versions += other.versions;
        self.bytes += other.bytes;
        self.files += other.files;
        self.maps += other.maps;
    }
}

/// Down to nothing: what is taken off may have grown since it was counted, from a name to a loaded version.
impl SubAssign for Weight {
    fn sub_assign(&mut self, other: Self) {
        self.versions = self.versions.saturating_sub(other.versions);
        self.bytes = self.bytes.saturating_sub(other.bytes);
        self.files = self.files.saturating_sub(other.files);
        self.maps = self.maps.saturating_sub(other.maps);
    }
}

/// What the system grants this process.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SystemLimits {
    pub(crate) max_maps: u64,
    pub(crate) max_files: u64,
}

impl SystemLimits {
    /// As they are now.
    pub(crate) fn read() -> Self {
        let max_maps = std::fs::read_to_string("/proc/sys/vm/max_map_count");
        Self {
            max_maps: max_maps
                .ok()
                .and_then(|text| text.trim().parse().ok())
                .unwrap_or(MAX_MAPS),
            max_files: getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bound(max_maps: u64, max_files: u64) -> Weight {
        let config = EngineConfig::new(Vec::new(), [0; 32], std::env::temp_dir());
        Weight::bound(
            &config,
            &SystemLimits {
                max_maps,
                max_files,
            },
        )
    }

    #[test]
    fn the_systems_limits_are_known_and_leave_room_for_versions() {
        let system = SystemLimits::read();
        assert!(system.max_maps > 1_000 && system.max_files > 10);
        let bound = bound(system.max_maps, system.max_files);
        assert!(Weight::of(1 << 20, 1, true).fits(&bound), "{bound:?}");
    }

    #[test]
    fn half_of_the_files_and_the_maps_that_instances_leave_are_for_versions() {
        let usual = bound(65_530, 8_192);
        assert_eq!(usual.files, 4_096);
        assert_eq!(usual.maps, 65_530 - 4_096 - 1_024 * 4);
        assert_eq!(bound(5_600, 8_192).maps, 700, "an eighth in any case");
        assert_eq!(bound(u64::MAX, u64::MAX).versions, 1_000);
    }

    #[test]
    fn what_weighs_more_than_was_counted_leaves_nothing() {
        let mut total = Weight::of_a_name();
        total -= Weight::of(1_000, 1, true);
        assert_eq!(total, Weight::default());
    }

    #[test]
    fn each_part_of_the_weight_has_a_bound_of_its_own() {
        let bound = Weight {
            versions: 10,
            bytes: 1_000,
            files: 10,
            maps: 100,
        };
        assert!(bound.fits(&bound));
        let beyond: [fn(&mut Weight); 4] = [
            |weight| weight.versions += 1,
            |weight| weight.bytes += 1,
            |weight| weight.files += 1,
            |weight| weight.maps += 1,
        ];
        for more in beyond {
            let mut weight = bound;
            more(&mut weight);
            assert!(!weight.fits(&bound), "{weight:?}");
        }
    }
}
