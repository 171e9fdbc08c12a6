//! The group of one run, with its limits.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use nix::unistd::Pid;

use super::plan::Limits;
use crate::backend::cgroup::{Hierarchy, MemoryFiles, Version, move_there};

/// The length of a CPU period, in microseconds.
const PERIOD: f64 = 100_000.0;

/// The group of one run.
#[derive(Debug)]
pub(super) struct Cgroup {
    dirs: Vec<PathBuf>,
    memory: Option<MemoryFiles>,
    /// Whether every limit is kept.
    pub is_whole: bool,
}

impl Cgroup {
    /// Makes the group of the run `name` with its limits, as far as that is possible.
    pub(super) fn create(hierarchy: &Hierarchy, name: &str, limits: &Limits) -> Self {
        let mut group = Self { dirs: Vec::new(), memory: None, is_whole: true };
        match hierarchy {
            Hierarchy::None => group.is_whole = false,
            Hierarchy::V1 { memory, pids, cpu } => {
                let memory = group.add(memory.as_deref(), name, |dir| limit_memory_v1(dir, limits));
                group.memory = memory.map(|dir| MemoryFiles::new(dir, Version::V1));
                group.add(pids.as_deref(), name, |dir| limit_pids(dir, limits));
                group.add(cpu.as_deref(), name, |dir| limit_cpu_v1(dir, limits));
            }
            Hierarchy::V2 { base } => {
                let memory = group.add(Some(base), name, |dir| limit_v2(dir, limits));
                group.memory = memory.map(|dir| MemoryFiles::new(dir, Version::V2));
            }
        }
        group
    }

    fn add(&mut self, base: Option<&Path>, name: &str, limit: impl FnOnce(&Path) -> io::Result<()>) -> Option<PathBuf> {
        let Some(base) = base else {
            self.is_whole = false;
            return None;
        };
        let dir = base.join(name);
        if !dir.is_dir() && fs::create_dir_all(&dir).is_err() {
            self.is_whole = false;
            return None;
        }
        self.is_whole &= limit(&dir).is_ok();
        self.dirs.push(dir.clone());
        Some(dir)
    }

    /// Puts a process, and all that it will start, into the group.
    pub(super) fn join(&mut self, pid: Pid) {
        for dir in &self.dirs {
            let is_there = fs::write(dir.join("cgroup.procs"), pid.to_string()).is_ok() || move_there(dir, pid);
            self.is_whole &= is_there;
        }
    }

    /// Whether the kernel killed a process of the group because it ran into its memory limit.
    pub(super) fn has_run_out(&self) -> bool {
        self.memory.as_ref().and_then(MemoryFiles::has_run_out).unwrap_or(false)
    }

    /// The most memory that the group used, in bytes.
    pub(super) fn peak(&self) -> Option<u64> {
        self.memory.as_ref()?.peak()
    }
}

/// Removes what there is of the group `name`; what cannot be removed now is tried again when the run is removed.
pub(super) fn remove(hierarchy: &Hierarchy, name: &str) {
    let bases = match hierarchy {
        Hierarchy::None => [None, None, None],
        Hierarchy::V1 { memory, pids, cpu } => [memory.as_ref(), pids.as_ref(), cpu.as_ref()],
        Hierarchy::V2 { base } => [Some(base), None, None],
    };
    for base in bases.into_iter().flatten() {
        let _ = fs::remove_dir(base.join(name));
    }
}

fn limit_memory_v1(dir: &Path, limits: &Limits) -> io::Result<()> {
    if limits.memory == 0 {
        return Ok(());
    }
    let memory = limits.memory.to_string();
    fs::write(dir.join("memory.limit_in_bytes"), &memory)?;
    match fs::write(dir.join("memory.memsw.limit_in_bytes"), &memory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound || error.kind() == io::ErrorKind::PermissionDenied => {
            Ok(()) // the kernel does not count swap
        }
        result => result,
    }
}

fn limit_pids(dir: &Path, limits: &Limits) -> io::Result<()> {
    // Init is a process of the group too.
    if limits.pids == 0 { Ok(()) } else { fs::write(dir.join("pids.max"), (u64::from(limits.pids) + 1).to_string()) }
}

fn limit_cpu_v1(dir: &Path, limits: &Limits) -> io::Result<()> {
    let Some(quota) = quota(limits) else { return Ok(()) };
    fs::write(dir.join("cpu.cfs_period_us"), format!("{PERIOD}"))?;
    fs::write(dir.join("cpu.cfs_quota_us"), quota)
}

fn limit_v2(dir: &Path, limits: &Limits) -> io::Result<()> {
    if limits.memory > 0 {
        fs::write(dir.join("memory.max"), limits.memory.to_string())?;
        if dir.join("memory.swap.max").exists() {
            fs::write(dir.join("memory.swap.max"), "0")?;
        }
    }
    limit_pids(dir, limits)?;
    match quota(limits) {
        Some(quota) => fs::write(dir.join("cpu.max"), format!("{quota} {PERIOD}")),
        None => Ok(()),
    }
}

/// Microseconds of CPU time a period; the kernel takes no less than 1000.
fn quota(limits: &Limits) -> Option<String> {
    (limits.cpus > 0.0).then(|| format!("{:.0}", (limits.cpus * PERIOD).max(1000.0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits { cpus: 1.5, memory: 1 << 30, pids: 64 };

    #[test]
    fn a_group_of_version_2_gets_its_limits_and_tells_its_facts() {
        let base = tempfile::tempdir().expect("a directory");
        let hierarchy = Hierarchy::V2 { base: base.path().to_owned() };
        let group = Cgroup::create(&hierarchy, "run", &LIMITS);
        assert!(group.is_whole);
        let dir = base.path().join("run");
        let read = |name: &str| fs::read_to_string(dir.join(name)).expect(name);
        assert_eq!((read("memory.max").as_str(), read("pids.max").as_str()), ("1073741824", "65"));
        assert_eq!(read("cpu.max"), "150000 100000");
        assert!(!group.has_run_out());
        fs::write(dir.join("memory.events"), "low 0\noom 2\noom_kill 0\noom_group_kill 0\n").expect("written");
        assert!(!group.has_run_out());
        fs::write(dir.join("memory.events"), "oom 2\noom_kill 1\n").expect("written");
        fs::write(dir.join("memory.peak"), "4711\n").expect("written");
        assert!(group.has_run_out());
        assert_eq!(group.peak(), Some(4711));
    }

    #[test]
    fn where_no_group_can_be_made_limits_are_advisory() {
        assert!(!Cgroup::create(&Hierarchy::None, "run", &LIMITS).is_whole);
        let nowhere = Hierarchy::V2 { base: "/proc/nowhere".into() };
        assert!(!Cgroup::create(&nowhere, "run", &LIMITS).is_whole);
    }
}
