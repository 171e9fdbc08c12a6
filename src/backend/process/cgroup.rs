//! Control groups, of both versions, where one can be made.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use nix::unistd::{Pid, geteuid, getpid};
use serde::{Deserialize, Serialize};

use super::plan::Limits;

/// The directory that holds the groups of all runs.
const OURS: &str = "uwsd";
/// The group that the daemon moves itself to, so that others can be made beside it.
const DAEMON: &str = "daemon";
/// The length of a CPU period, in microseconds.
const PERIOD: f64 = 100_000.0;

/// Where groups for runs can be made on this host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Hierarchy {
    /// Nowhere.
    None,
    /// Version 1: a directory for each controller.
    V1 {
        /// Of the memory controller.
        memory: Option<PathBuf>,
        /// Of the pids controller.
        pids: Option<PathBuf>,
        /// Of the cpu controller.
        cpu: Option<PathBuf>,
    },
    /// Version 2: one directory.
    V2 {
        /// It.
        base: PathBuf,
    },
}

impl Hierarchy {
    /// Finds, and makes where needed, the place for groups.
    pub(super) fn find() -> Self {
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
        let own = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
        Self::v1(&mounts).or_else(|| Self::v2(&mounts, &own)).unwrap_or(Self::None)
    }

    fn v1(mounts: &str) -> Option<Self> {
        let place = |controller: &str| {
            let base = mount_of(mounts, "cgroup", Some(controller))?.join(OURS);
            can_make_groups(&base).then_some(base)
        };
        let (memory, pids, cpu) = (place("memory"), place("pids"), place("cpu"));
        (memory.is_some() || pids.is_some() || cpu.is_some()).then_some(Self::V1 { memory, pids, cpu })
    }

    fn v2(mounts: &str, own: &str) -> Option<Self> {
        let root = mount_of(mounts, "cgroup2", None)?;
        // Root keeps its runs outside the service's own group, which systemd needs empty to start the service anew.
        if geteuid().is_root() && delegate(&root) {
            let base = root.join(OURS);
            if can_make_groups(&base) && delegate(&base) {
                return Some(Self::V2 { base });
            }
        }
        let own = own.lines().find_map(|line| line.strip_prefix("0::/"))?;
        let own = root.join(own);
        let base = if own.file_name().is_some_and(|name| name == DAEMON) { own.parent()?.to_owned() } else { own };
        (offers(&base) && make_room(&base) && delegate(&base) && can_make_groups(&base)).then_some(Self::V2 { base })
    }

    /// Whether every limit can be kept in the groups made here.
    pub(super) fn is_whole(&self) -> bool {
        match self {
            Self::None => false,
            Self::V1 { memory, pids, cpu } => memory.is_some() && pids.is_some() && cpu.is_some(),
            Self::V2 { .. } => true,
        }
    }

    /// In a word, for people.
    pub(super) fn describe(&self) -> &'static str {
        match self {
            Self::None => "no cgroup, limits are advisory",
            Self::V1 { memory: Some(_), pids: Some(_), cpu: Some(_) } => "cgroup v1",
            Self::V1 { .. } => "cgroup v1 in part, limits are advisory",
            Self::V2 { .. } => "cgroup v2",
        }
    }
}

/// Where the file system of this type, for v1 with this controller, is mounted.
fn mount_of(mounts: &str, fstype: &str, controller: Option<&str>) -> Option<PathBuf> {
    mounts.lines().find_map(|line| {
        let (head, tail) = line.split_once(" - ")?;
        let (mut head, mut tail) = (head.split(' '), tail.split(' '));
        let is_it = tail.next() == Some(fstype)
            && controller.is_none_or(|wanted| tail.nth(1).is_some_and(|opts| opts.split(',').any(|o| o == wanted)));
        is_it.then(|| head.nth(4).map(PathBuf::from)).flatten()
    })
}

/// Whether a group can be made below `base`, which is made if it is not there.
fn can_make_groups(base: &Path) -> bool {
    let probe = base.join(format!("probe-{}", getpid()));
    let is_made = fs::create_dir_all(base).and_then(|()| fs::create_dir(&probe));
    is_made.and_then(|()| fs::remove_dir(&probe)).is_ok()
}

/// Whether a list of controllers has all that we need.
fn has_all(list: &Path) -> bool {
    let list = fs::read_to_string(list).unwrap_or_default();
    ["memory", "pids", "cpu"].iter().all(|wanted| list.split_whitespace().any(|have| have == *wanted))
}

/// Whether the controllers were handed on to `group` (v2).
fn offers(group: &Path) -> bool {
    has_all(&group.join("cgroup.controllers"))
}

/// Hands the controllers on to the groups below `group` (v2).
fn delegate(group: &Path) -> bool {
    let enabled = group.join("cgroup.subtree_control");
    has_all(&enabled) || (fs::write(&enabled, "+memory +pids +cpu").is_ok() && has_all(&enabled))
}

/// Moves the daemon out of `group` if it is alone there: a v2 group with processes of its own hands no controllers on.
fn make_room(group: &Path) -> bool {
    let Ok(members) = fs::read_to_string(group.join("cgroup.procs")) else { return false };
    if members.trim().is_empty() {
        return true;
    }
    let own = getpid().to_string();
    members.trim() == own
        && (fs::create_dir(group.join(DAEMON)).is_ok() || group.join(DAEMON).is_dir())
        && fs::write(group.join(DAEMON).join("cgroup.procs"), own).is_ok()
}

/// The group of one run.
#[derive(Debug)]
pub(super) struct Cgroup {
    dirs: Vec<PathBuf>,
    memory: Option<PathBuf>,
    /// Whether every limit is kept.
    pub is_whole: bool,
    is_v2: bool,
}

impl Cgroup {
    /// Makes the group of the run `name` with its limits, as far as that is possible.
    pub(super) fn create(hierarchy: &Hierarchy, name: &str, limits: &Limits) -> Self {
        let mut group = Self { dirs: Vec::new(), memory: None, is_whole: true, is_v2: false };
        match hierarchy {
            Hierarchy::None => group.is_whole = false,
            Hierarchy::V1 { memory, pids, cpu } => {
                group.memory = group.add(memory.as_deref(), name, |dir| limit_memory_v1(dir, limits));
                group.add(pids.as_deref(), name, |dir| limit_pids(dir, limits));
                group.add(cpu.as_deref(), name, |dir| limit_cpu_v1(dir, limits));
            }
            Hierarchy::V2 { base } => {
                group.is_v2 = true;
                group.memory = group.add(Some(base), name, |dir| limit_v2(dir, limits));
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
            self.is_whole &= fs::write(dir.join("cgroup.procs"), pid.to_string()).is_ok();
        }
    }

    /// Whether the kernel killed a process of the group for want of memory.
    pub(super) fn has_run_out(&self) -> bool {
        let name = if self.is_v2 { "memory.events" } else { "memory.oom_control" };
        let Some(text) = self.memory.as_ref().and_then(|dir| fs::read_to_string(dir.join(name)).ok()) else {
            return false;
        };
        text.lines().filter_map(|line| line.split_once(' ')).any(|(key, n)| key == "oom_kill" && n.trim() != "0")
    }

    /// The most memory that the group used, in bytes.
    pub(super) fn peak(&self) -> Option<u64> {
        let name = if self.is_v2 { "memory.peak" } else { "memory.max_usage_in_bytes" };
        fs::read_to_string(self.memory.as_ref()?.join(name)).ok()?.trim().parse().ok()
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
    const HYBRID: &str = "35 31 0:31 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory\n\
                          32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n\
                          41 31 0:38 / /sys/fs/cgroup/unified rw,relatime shared:4 - cgroup2 cgroup2 rw\n";

    #[test]
    fn controllers_are_found_where_they_are_mounted() {
        let found = |fstype, controller| mount_of(HYBRID, fstype, controller);
        assert_eq!(found("cgroup", Some("memory")), Some("/sys/fs/cgroup/memory".into()));
        assert_eq!(found("cgroup", Some("cpu")), Some("/sys/fs/cgroup/cpu,cpuacct".into()));
        assert_eq!(found("cgroup", Some("pids")), None);
        assert_eq!(found("cgroup2", None), Some("/sys/fs/cgroup/unified".into()));
    }

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

    #[test]
    fn the_daemon_makes_room_only_where_it_is_alone() {
        let group = tempfile::tempdir().expect("a directory");
        fs::write(group.path().join("cgroup.procs"), "1\n2\n").expect("written");
        assert!(!make_room(group.path()));
        fs::write(group.path().join("cgroup.procs"), format!("{}\n", getpid())).expect("written");
        assert!(make_room(group.path()));
        let moved = fs::read_to_string(group.path().join(DAEMON).join("cgroup.procs")).expect("moved");
        assert_eq!(moved, getpid().to_string());
    }
}
