//! What a run needs, checked once and written down for the processes that run it.

use std::collections::HashSet;
use std::path::{Component, Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::backend::cgroup::Hierarchy;
use crate::domain::JobId;
use crate::ports::{JobDirs, Mount, MountKind, Network, RunRef, RunSpec, User};

/// The `PATH` of a run whose environment has none.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// `plan.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Plan {
    /// The job.
    pub job: String,
    /// Which replica.
    pub replica: u32,
    /// Of how many.
    pub replicas: u32,
    /// The bubblewrap program.
    pub bwrap: PathBuf,
    /// The file that holds the boot id.
    pub boot_id_file: PathBuf,
    /// Whether the daemon is root: then it may run a job as anybody.
    pub is_root: bool,
    /// Whether the run shares the host's network.
    pub has_host_network: bool,
    /// The job's directory on the host.
    pub root: PathBuf,
    /// Where the logs go.
    pub log: PathBuf,
    /// How many bytes each may have.
    pub max_log: u64,
    /// What is mounted besides.
    pub mounts: Vec<PlannedMount>,
    /// The secrets.
    pub secrets: Vec<PlannedSecret>,
    /// The limits.
    pub limits: Limits,
    /// Where cgroups can be made.
    pub hierarchy: Hierarchy,
    /// The command.
    pub command: Command,
}

/// One mount.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct PlannedMount {
    /// The path on the host; `None`: memory.
    pub source: Option<PathBuf>,
    /// The size of memory, in bytes; 0: the memory limit.
    pub size: u64,
    /// The path in the run.
    pub target: PathBuf,
    /// Whether the run may only read it.
    pub is_read_only: bool,
}

/// One secret; its content is read when the run starts, and never written to a disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct PlannedSecret {
    /// The file on the host.
    pub file: PathBuf,
    /// The path in the run.
    pub target: PathBuf,
}

/// Limits; 0 is none.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(super) struct Limits {
    /// In CPUs.
    pub cpus: f64,
    /// In bytes.
    pub memory: u64,
    /// In processes and threads.
    pub pids: u32,
}

/// What the sandbox's init is told.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Command {
    /// The program and its arguments.
    pub argv: Vec<String>,
    /// The environment, each name once.
    pub env: Vec<(String, String)>,
    /// The working directory.
    pub cwd: String,
    /// User id.
    pub uid: u32,
    /// Group id.
    pub gid: u32,
    /// Further groups.
    pub groups: Vec<u32>,
    /// Whether init is root and has to become that user.
    pub is_switching: bool,
    /// Limits to be asked of the kernel for each process, where no cgroup holds them.
    pub rlimits: Option<Limits>,
    /// The secrets' paths, to be given to that user.
    pub secrets: Vec<PathBuf>,
}

/// What the backend knows about its host and itself.
#[derive(Debug, Clone)]
pub(super) struct Host {
    /// The bubblewrap program.
    pub bwrap: PathBuf,
    /// How many bytes a log may have.
    pub max_log: u64,
    /// Whether jobs share the host's network by default.
    pub has_network: bool,
    /// The file that holds the boot id.
    pub boot_id_file: PathBuf,
    /// Where cgroups can be made.
    pub hierarchy: Hierarchy,
    /// The daemon's user and groups.
    pub user: User,
    /// The daemon's further groups.
    pub groups: Vec<u32>,
}

impl Host {
    fn is_root(&self) -> bool {
        self.user.uid == 0
    }

    /// Whether the daemon can give files to `user` and run jobs as it.
    pub(super) fn check_user(&self, user: User) -> Result<(), String> {
        if self.is_root() || user == self.user {
            return Ok(());
        }
        Err(format!(
            "the daemon runs as {}:{} and cannot run a job as {}:{}; run it as root, or leave the service's user out",
            self.user.uid, self.user.gid, user.uid, user.gid
        ))
    }
}

impl Plan {
    /// The plan of `spec` on `host`, or why it cannot be run there.
    pub(super) fn new(spec: &RunSpec, host: &Host) -> Result<Self, String> {
        host.check_user(spec.user)?;
        if !host.is_root()
            && let Some(group) = spec.extra_groups.iter().find(|group| !host.groups.contains(group))
        {
            return Err(format!("the daemon is not in group {group} and cannot put a job there; run it as root"));
        }
        if spec.argv.first().is_none_or(String::is_empty) {
            return Err("the command is empty".to_owned());
        }
        let has_host_network = match &spec.network {
            Network::None => false,
            Network::Default => host.has_network,
            Network::Named(name) => {
                return Err(format!("the process backend has no network {name:?}; give \"none\" or \"default\""));
            }
        };
        let mut mounts = spec.mounts.iter().map(plan_mount).collect::<Result<Vec<_>, _>>()?;
        mounts.sort_by_key(|mount| mount.target.components().count()); // what contains others comes first
        let secrets = spec
            .secrets
            .iter()
            .map(|s| Ok(PlannedSecret { file: s.file.clone(), target: checked_target(&s.target)? }))
            .collect::<Result<Vec<_>, String>>()?;
        Ok(Self {
            job: spec.run.job.to_string(),
            replica: spec.run.replica,
            replicas: spec.run.replicas,
            bwrap: host.bwrap.clone(),
            boot_id_file: host.boot_id_file.clone(),
            is_root: host.is_root(),
            has_host_network,
            root: spec.dirs.root.clone(),
            log: spec.dirs.log(&spec.run),
            max_log: host.max_log,
            limits: Limits { cpus: spec.cpus, memory: spec.memory, pids: spec.pids },
            hierarchy: host.hierarchy.clone(),
            command: Command {
                argv: spec.argv.clone(),
                env: environment(&spec.env),
                cwd: format!("{}/home", JobDirs::inside(&spec.run.job)),
                uid: spec.user.uid,
                gid: spec.user.gid,
                groups: spec.extra_groups.clone(),
                is_switching: host.is_root(),
                rlimits: None,
                secrets: secrets.iter().map(|secret| secret.target.clone()).collect(),
            },
            mounts,
            secrets,
        })
    }

    /// The run's name; `None`: the plan was tampered with.
    pub(super) fn run(&self) -> Option<RunRef> {
        let job: JobId = self.job.parse().ok()?;
        Some(RunRef { job, replica: self.replica, replicas: self.replicas })
    }

    /// The job's directory as the run sees it.
    pub(super) fn inside(&self) -> PathBuf {
        Path::new("/uws/jobs").join(&self.job)
    }
}

/// Each name once, with its last value; `PATH` has one in any case, as in a container.
fn environment(given: &[(String, String)]) -> Vec<(String, String)> {
    let mut seen = HashSet::new();
    let mut env: Vec<_> = given.iter().rev().filter(|(name, _)| seen.insert(name.as_str())).cloned().collect();
    env.reverse();
    if !seen.contains("PATH") {
        env.push(("PATH".to_owned(), DEFAULT_PATH.to_owned()));
    }
    env
}

fn plan_mount(mount: &Mount) -> Result<PlannedMount, String> {
    let (source, size) = match &mount.kind {
        MountKind::Bind { source } if source.is_absolute() => (Some(source.clone()), 0),
        MountKind::Bind { source } => return Err(format!("the mount source {} is not absolute", source.display())),
        MountKind::Tmpfs { size } => (None, *size),
        MountKind::Volume { source, .. } => {
            return Err(format!(
                "the process backend has no volumes, so none named {source:?}; mount a directory (bind)"
            ));
        }
    };
    Ok(PlannedMount { source, size, target: checked_target(&mount.target)?, is_read_only: mount.is_read_only })
}

/// A path in the run that something can be put at.
fn checked_target(target: &str) -> Result<PathBuf, String> {
    let path = Path::new(target);
    let mut parts = path.components();
    let is_good = parts.next() == Some(Component::RootDir)
        && path.file_name().is_some()
        && parts.all(|part| matches!(part, Component::Normal(_)))
        && !target.contains('\0');
    if is_good { Ok(path.components().collect()) } else { Err(format!("{target:?} is no absolute path in a job")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(name: &str, value: &str) -> (String, String) {
        (name.to_owned(), value.to_owned())
    }

    #[test]
    fn of_a_repeated_name_the_last_one_stays_in_its_place() {
        let env = environment(&[pair("A", "1"), pair("PATH", "/p"), pair("A", "2"), pair("B", "=")]);
        assert_eq!(env, [pair("PATH", "/p"), pair("A", "2"), pair("B", "=")]);
        assert_eq!(environment(&[]), [pair("PATH", DEFAULT_PATH)]);
    }

    #[test]
    fn a_target_is_absolute_and_goes_nowhere_up() {
        assert_eq!(checked_target("/data//x/").expect("fine"), Path::new("/data/x"));
        for bad in ["", "/", "data", "/data/../etc", "../x", "/a\0b"] {
            assert!(checked_target(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn volumes_are_refused_with_the_way_out() {
        let kind = MountKind::Volume { source: "vol".into(), sub_path: String::new() };
        let why = plan_mount(&Mount { kind, target: "/v".into(), is_read_only: true }).expect_err("refused");
        assert!(why.contains("vol") && why.contains("bind"), "{why}");
    }
}
