//! Where groups can be made on this host.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use nix::unistd::{geteuid, getpid};
use serde::{Deserialize, Serialize};

use super::jobs_unit;

/// The directory that holds the groups of all runs.
pub(in crate::backend) const OURS: &str = "uwsd";
/// What limits a run.
pub(super) const CONTROLLERS: [&str; 3] = ["memory", "pids", "cpu"];
/// The group that the daemon moves itself to, so that others can be made beside it.
const DAEMON: &str = "daemon";

/// Where groups for runs can be made on this host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(in crate::backend) enum Hierarchy {
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
    pub(in crate::backend) fn find() -> Self {
        let mounts = Mounts::read();
        let own = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
        Self::v1(&mounts).or_else(|| Self::v2(&mounts, &own)).unwrap_or(Self::None)
    }

    fn v1(mounts: &Mounts) -> Option<Self> {
        let place = |controller: &str| {
            let base = mounts.of("cgroup", Some(controller))?.point.join(OURS);
            can_make_groups(&base).then_some(base)
        };
        let (memory, pids, cpu) = (place("memory"), place("pids"), place("cpu"));
        (memory.is_some() || pids.is_some() || cpu.is_some()).then_some(Self::V1 { memory, pids, cpu })
    }

    fn v2(mounts: &Mounts, own: &str) -> Option<Self> {
        let root = mounts.of("cgroup2", None)?.point.clone();
        // Root keeps its runs outside the service's own group, which systemd needs empty to start the service anew.
        if geteuid().is_root() && delegate(&root) {
            let base = root.join(OURS);
            if can_make_groups(&base) && delegate(&base) {
                return Some(Self::V2 { base });
            }
        }
        let unit = jobs_unit::group(&root);
        if jobs_unit::lacks().is_none() && delegate(&unit) && can_make_groups(&unit) {
            return Some(Self::V2 { base: unit });
        }
        let base = below_own(&root, own)?;
        (offers(&base) && make_room(&base) && delegate(&base) && can_make_groups(&base)).then_some(Self::V2 { base })
    }

    /// Which limits cannot be kept in the groups made here, for people.
    pub(in crate::backend) fn lacking(&self) -> Vec<&'static str> {
        let has = match self {
            Self::None => [false; 3],
            Self::V1 { memory, pids, cpu } => [memory.is_some(), pids.is_some(), cpu.is_some()],
            Self::V2 { .. } => [true; 3],
        };
        let limits = ["memory", "processes", "CPUs"];
        limits.into_iter().zip(has).filter(|(_, has)| !has).map(|(limit, _)| limit).collect()
    }

    /// In a word, for people.
    pub(in crate::backend) fn describe(&self) -> &'static str {
        match self {
            Self::None => "no cgroup, limits are advisory",
            Self::V1 { memory: Some(_), pids: Some(_), cpu: Some(_) } => "cgroup v1",
            Self::V1 { .. } => "cgroup v1 in part, limits are advisory",
            Self::V2 { .. } => "cgroup v2",
        }
    }
}

/// One file system of control groups.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::backend) struct Mount {
    /// Where it is mounted.
    pub(in crate::backend) point: PathBuf,
    /// The group that is seen there: `/` outside of containers.
    root: String,
    fstype: String,
    options: String,
}

impl Mount {
    fn parse(line: &str) -> Option<Self> {
        let (head, tail) = line.split_once(" - ")?;
        let (mut head, mut tail) = (head.split(' ').skip(3), tail.split(' '));
        let (root, point) = (head.next()?.to_owned(), head.next()?.into());
        let fstype = tail.next().filter(|fstype| matches!(*fstype, "cgroup" | "cgroup2"))?.to_owned();
        Some(Self { point, root, fstype, options: tail.nth(1)?.to_owned() })
    }

    /// Whether it shows all groups of the host, by their paths.
    pub(in crate::backend) fn is_whole(&self) -> bool {
        self.root == "/"
    }

    /// Whether it was mounted with this option (v1: has this controller).
    pub(in crate::backend) fn has(&self, option: &str) -> bool {
        self.options.split(',').any(|has| has == option)
    }
}

/// The file systems of control groups that are mounted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::backend) struct Mounts(Vec<Mount>);

impl Mounts {
    pub(in crate::backend) fn read() -> Self {
        Self::parse(&fs::read_to_string("/proc/self/mountinfo").unwrap_or_default())
    }

    pub(in crate::backend) fn parse(text: &str) -> Self {
        Self(text.lines().filter_map(Mount::parse).collect())
    }

    pub(in crate::backend) fn iter(&self) -> impl Iterator<Item = &Mount> {
        self.0.iter()
    }

    /// The one of this type, for v1 with this controller.
    pub(in crate::backend) fn of(&self, fstype: &str, controller: Option<&str>) -> Option<&Mount> {
        let is_it = |mount: &&Mount| mount.fstype == fstype && controller.is_none_or(|wanted| mount.has(wanted));
        self.0.iter().find(is_it)
    }
}

/// Whether a group can be made below `base`, which is made if it is not there.
pub(in crate::backend) fn can_make_groups(base: &Path) -> bool {
    static PROBES: AtomicU32 = AtomicU32::new(0);
    let probe = base.join(format!("probe-{}-{}", getpid(), PROBES.fetch_add(1, Ordering::Relaxed)));
    let is_made = fs::create_dir_all(base).and_then(|()| fs::create_dir(&probe));
    is_made.and_then(|()| fs::remove_dir(&probe)).is_ok()
}

/// Whether a list of controllers has all that we need.
pub(super) fn has_all(list: &Path) -> bool {
    let list = fs::read_to_string(list).unwrap_or_default();
    CONTROLLERS.iter().all(|wanted| list.split_whitespace().any(|have| have == *wanted))
}

/// The group in which those of runs may be made beside the daemon's own, `own` as in `/proc/self/cgroup`.
///
/// Not that of a service, which systemd could not start again while there is a run; unless the daemon has a group below it.
pub(super) fn below_own(root: &Path, own: &str) -> Option<PathBuf> {
    let own = root.join(own.lines().find_map(|line| line.strip_prefix("0::/"))?);
    if own.file_name().is_some_and(|name| name == DAEMON) {
        return own.parent().map(Path::to_owned);
    }
    (own.extension().is_none_or(|kind| kind != "service")).then_some(own)
}

/// Whether the controllers were handed on to `group` (v2).
fn offers(group: &Path) -> bool {
    has_all(&group.join("cgroup.controllers"))
}

/// Hands the controllers on to the groups below `group` (v2).
pub(in crate::backend) fn delegate(group: &Path) -> bool {
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

#[cfg(test)]
mod tests {
    use super::*;

    const HYBRID: &str = "35 31 0:31 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory\n\
                          32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n\
                          41 31 0:38 / /sys/fs/cgroup/unified rw,relatime shared:4 - cgroup2 cgroup2 rw\n";

    #[test]
    fn controllers_are_found_where_they_are_mounted() {
        let mounts = Mounts::parse(HYBRID);
        let found = |fstype, controller| mounts.of(fstype, controller).map(|mount| mount.point.clone());
        assert_eq!(found("cgroup", Some("memory")), Some("/sys/fs/cgroup/memory".into()));
        assert_eq!(found("cgroup", Some("cpu")), Some("/sys/fs/cgroup/cpu,cpuacct".into()));
        assert_eq!(found("cgroup", Some("pids")), None);
        assert_eq!(found("cgroup2", None), Some("/sys/fs/cgroup/unified".into()));
    }

    #[test]
    fn groups_are_made_where_systemd_can_start_the_daemon_again() {
        let base = |own: &str| below_own(Path::new("/groups"), own);
        assert_eq!(base("0::/user.slice/some.scope\n"), Some("/groups/user.slice/some.scope".into()));
        assert_eq!(base("0::/system.slice/uwsd.service\n"), None);
        assert_eq!(base("0::/system.slice/uwsd.service/daemon\n"), Some("/groups/system.slice/uwsd.service".into()));
        assert_eq!(base("4:memory:/\n"), None);
    }

    #[test]
    fn what_has_no_group_is_told_by_its_name() {
        let some = || Some("/groups".into());
        assert_eq!(Hierarchy::None.lacking(), ["memory", "processes", "CPUs"]);
        assert_eq!(Hierarchy::V1 { memory: None, pids: some(), cpu: None }.lacking(), ["memory", "CPUs"]);
        assert!(Hierarchy::V1 { memory: some(), pids: some(), cpu: some() }.lacking().is_empty());
        assert!(Hierarchy::V2 { base: "/groups".into() }.lacking().is_empty());
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
