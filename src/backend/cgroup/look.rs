//! What is there, seen without making any group.

use std::fs;
use std::path::{Path, PathBuf};

use super::hierarchy::{CONTROLLERS, Mounts, OURS, below_own, has_all};
use super::jobs_unit;
use super::memory::Version;

/// The first kernel that keeps the peak of a group of version 2.
const KEEPS_PEAK: (u32, u32) = (5, 19);

/// The control groups of this host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct GroupsSeen {
    /// The version that limits jobs; `None`: there are no groups.
    pub(crate) version: Option<Version>,
    /// Controllers of ours that are not there.
    pub(crate) missing: Vec<&'static str>,
    /// Directories in which root makes the groups of runs.
    pub(crate) places: Vec<PathBuf>,
    /// Whether all groups of the host are seen by their paths, as they are outside of containers.
    pub(crate) is_whole: bool,
    /// Whether the kernel keeps the most memory that a group used.
    pub(crate) keeps_peak: bool,
}

impl GroupsSeen {
    /// Looks at the mounts and the kernel.
    pub(crate) fn look() -> Self {
        let release = nix::sys::utsname::uname().map(|names| names.release().to_string_lossy().into_owned());
        Self::of(&Mounts::read(), &release.unwrap_or_default())
    }

    fn of(mounts: &Mounts, release: &str) -> Self {
        // With both, the memory controller is where it counts.
        if let Some(memory) = mounts.of("cgroup", Some("memory")) {
            let found = |controller: &str| mounts.of("cgroup", Some(controller)).map(|mount| below(&mount.point));
            return Self {
                version: Some(Version::V1),
                missing: CONTROLLERS.into_iter().filter(|controller| found(controller).is_none()).collect(),
                places: CONTROLLERS.into_iter().filter_map(found).collect(),
                is_whole: memory.is_whole(),
                keeps_peak: true,
            };
        }
        let Some(mount) = mounts.of("cgroup2", None) else {
            let (missing, places) = (CONTROLLERS.to_vec(), Vec::new());
            return Self { version: None, missing, places, is_whole: false, keeps_peak: false };
        };
        let offered = fs::read_to_string(mount.point.join("cgroup.controllers")).unwrap_or_default();
        let is_offered = |controller: &&str| offered.split_whitespace().any(|have| have == *controller);
        Self {
            version: Some(Version::V2),
            missing: CONTROLLERS.into_iter().filter(|controller| !is_offered(controller)).collect(),
            places: vec![below(&mount.point)],
            is_whole: mount.is_whole(),
            keeps_peak: numbers(release) >= Some(KEEPS_PEAK),
        }
    }

    /// Whether our controllers were handed on to the group of `own`, a process's `/proc/PID/cgroup` (version 2).
    pub(crate) fn is_delegated(own: &str) -> bool {
        let mounts = Mounts::read();
        let group = mounts.of("cgroup2", None).and_then(|mount| below_own(&mount.point, own));
        group.is_some_and(|group| has_all(&group.join("cgroup.controllers")))
    }

    /// The group of `uwsd-jobs.service`, if that is started, and what is missing for moving processes there.
    pub(crate) fn of_jobs_unit() -> Option<(PathBuf, Option<&'static str>)> {
        let mounts = Mounts::read();
        let group = jobs_unit::group(&mounts.of("cgroup2", None)?.point);
        has_all(&group.join("cgroup.controllers")).then(|| (group, jobs_unit::lacks()))
    }
}

/// The directory of all runs if it is there, else that in which it would be made.
fn below(point: &Path) -> PathBuf {
    let ours = point.join(OURS);
    if ours.is_dir() { ours } else { point.to_owned() }
}

fn numbers(release: &str) -> Option<(u32, u32)> {
    let mut parts = release.split(|c: char| !c.is_ascii_digit()).map(|part| part.parse().ok());
    Some((parts.next()??, parts.next()??))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_version_1_controllers_are_mounts() {
        let mounts = Mounts::parse(
            "35 31 0:31 / /nowhere/memory rw - cgroup cgroup rw,memory\n\
             32 31 0:29 / /nowhere/cpu rw - cgroup cgroup rw,cpu,cpuacct\n\
             41 31 0:38 / /nowhere/unified rw - cgroup2 cgroup2 rw\n",
        );
        let seen = GroupsSeen::of(&mounts, "4.0");
        assert_eq!((seen.version, seen.missing.as_slice()), (Some(Version::V1), ["pids"].as_slice()));
        assert_eq!(seen.places, [PathBuf::from("/nowhere/memory"), "/nowhere/cpu".into()]);
        assert!(seen.keeps_peak && seen.is_whole);
    }

    #[test]
    fn of_version_2_they_are_in_a_file_and_the_kernel_decides_about_the_peak() {
        let root = tempfile::tempdir().expect("a directory");
        fs::write(root.path().join("cgroup.controllers"), "cpuset cpu io memory\n").expect("written");
        let mounts = Mounts::parse(&format!("41 31 0:38 / {} rw - cgroup2 cgroup2 rw\n", root.path().display()));
        for (release, keeps_peak) in [("5.10.0-30-amd64", false), ("5.19", true), ("6.1.0", true), ("", false)] {
            let seen = GroupsSeen::of(&mounts, release);
            assert_eq!((seen.version, seen.missing.as_slice()), (Some(Version::V2), ["pids"].as_slice()));
            assert_eq!(seen.keeps_peak, keeps_peak, "{release}");
        }
        let nothing = GroupsSeen::of(&Mounts::parse(""), "6.1");
        assert_eq!((nothing.version, nothing.missing.len()), (None, 3));
    }
}
