//! From a run to the body of the request that creates its container; pure.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use bollard::models::{
    ContainerCreateBody, HostConfig, HostConfigLogConfig, Mount as EngineMount, MountTmpfsOptions, MountType,
    MountVolumeOptions, RestartPolicy, RestartPolicyNameEnum,
};

use crate::domain::JobId;
use crate::ports::{JobDirs, Mount, MountKind, Network, RunRef, RunSpec};

/// Which daemon a container belongs to: other daemons on the same engine have others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Instance(pub String);

/// The label with the instance.
pub(super) const INSTANCE: &str = "org.uwsd.instance";
/// The label with the job's id.
pub(super) const JOB: &str = "org.uwsd.job";
/// The label with the replica's number.
pub(super) const REPLICA: &str = "org.uwsd.replica";
/// The label with the number of replicas.
pub(super) const REPLICAS: &str = "org.uwsd.replicas";
/// The label with the number of the attempt: 1, since a job is launched once.
pub(super) const ATTEMPT: &str = "org.uwsd.attempt";
/// The label with the service's name.
pub(super) const SERVICE: &str = "org.uwsd.service";
/// The label of containers that prepare, open or remove files.
pub(super) const HELPER: &str = "org.uwsd.helper";

/// How the engine keeps a container's log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct LogKeeping {
    /// The driver.
    pub(super) driver: String,
    /// How much it keeps, in bytes.
    pub(super) max_size: u64,
}

impl LogKeeping {
    /// Rotating drivers drop a whole file at a time, so a few smaller ones keep more.
    const FILES: u64 = 4;

    pub(super) fn config(&self) -> HostConfigLogConfig {
        let is_rotating = matches!(self.driver.as_str(), "local" | "json-file");
        let config = is_rotating.then(|| {
            let size = (self.max_size / Self::FILES).max(64 * 1024);
            HashMap::from([
                ("max-size".to_owned(), size.to_string()),
                ("max-file".to_owned(), Self::FILES.to_string()),
                ("compress".to_owned(), "false".to_owned()),
            ])
        });
        HostConfigLogConfig { typ: Some(self.driver.clone()), config }
    }
}

/// What is needed besides the run itself.
#[derive(Debug, Clone, Copy)]
pub(super) struct Setting<'a> {
    /// Whose containers they are.
    pub(super) instance: &'a Instance,
    /// Whether the job's directories are mounted; else they are copied.
    pub(super) is_shared: bool,
    /// How the engine keeps the log; `None`: as it likes.
    pub(super) log: Option<&'a LogKeeping>,
    /// The control group that the container's is made in; `None`: where the engine likes.
    pub(super) cgroup_parent: Option<&'a str>,
    /// Whether volumes can be mounted in part (API 1.45).
    pub(super) has_sub_paths: bool,
}

/// The request that creates the container of `spec`.
///
/// # Errors
/// A sentence, if this engine cannot do what is asked.
pub(super) fn container(spec: &RunSpec, setting: Setting<'_>) -> Result<ContainerCreateBody, String> {
    let (entry, arguments) = spec.argv.split_first().ok_or("the command is empty")?;
    let mut mounts = if setting.is_shared { own_directories(&spec.run, &spec.dirs)? } else { Vec::new() };
    for mount in &spec.mounts {
        mounts.push(further(mount, setting.has_sub_paths)?);
    }
    let memory = i64::try_from(spec.memory).unwrap_or(i64::MAX);
    let host_config = HostConfig {
        memory: Some(memory),
        memory_swap: Some(memory), // the sum of memory and swap: no swap
        nano_cpus: Some(nano_cpus(spec.cpus)),
        pids_limit: Some(i64::from(spec.pids)),
        cap_drop: Some(vec!["ALL".to_owned()]),
        security_opt: Some(vec!["no-new-privileges:true".to_owned()]),
        init: Some(true),
        network_mode: Some(network(&spec.network)),
        group_add: Some(spec.extra_groups.iter().map(u32::to_string).collect()),
        restart_policy: Some(RestartPolicy { name: Some(RestartPolicyNameEnum::NO), maximum_retry_count: None }),
        auto_remove: Some(false),
        mounts: Some(mounts),
        log_config: setting.log.map(LogKeeping::config),
        cgroup_parent: setting.cgroup_parent.map(str::to_owned),
        ..HostConfig::default()
    };
    Ok(ContainerCreateBody {
        image: Some(spec.image.clone()),
        // Both, so that neither of the image's own comes into it.
        entrypoint: Some(vec![entry.clone()]),
        cmd: Some(arguments.to_vec()),
        env: Some(environment(&spec.env)),
        user: Some(format!("{}:{}", spec.user.uid, spec.user.gid)),
        working_dir: Some(format!("{}/home", JobDirs::inside(&spec.run.job))),
        labels: Some(labels(spec, setting.instance)),
        attach_stdout: Some(true),
        attach_stderr: Some(true),
        tty: Some(false),
        host_config: Some(host_config),
        ..ContainerCreateBody::default()
    })
}

/// The request that creates a container which works on the files in `root`, seen at [`HELPER_ROOT`], as root there;
/// `maker` tells which process of the daemon made it.
pub(super) fn helper(
    job: JobId,
    instance: &Instance,
    maker: &str,
    image: &str,
    argv: &[String],
    root: &str,
) -> ContainerCreateBody {
    let host_config = HostConfig {
        cap_drop: Some(vec!["ALL".to_owned()]),
        cap_add: Some(["CHOWN", "DAC_OVERRIDE", "FOWNER"].map(str::to_owned).to_vec()),
        security_opt: Some(vec!["no-new-privileges:true".to_owned()]),
        network_mode: Some("none".to_owned()),
        mounts: Some(vec![bind(root, HELPER_ROOT, false)]),
        ..HostConfig::default()
    };
    let labels = [(INSTANCE, instance.0.clone()), (JOB, job.to_string()), (HELPER, maker.to_owned())];
    ContainerCreateBody {
        image: Some(image.to_owned()),
        entrypoint: argv.first().map(|program| vec![program.clone()]),
        cmd: Some(argv.get(1..).unwrap_or_default().to_vec()),
        user: Some("0:0".to_owned()),
        working_dir: Some("/".to_owned()),
        labels: Some(labels.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()),
        host_config: Some(host_config),
        ..ContainerCreateBody::default()
    }
}

/// Where a helper sees the job's directory.
pub(super) const HELPER_ROOT: &str = "/uwsd-job";

/// The run that a container's labels tell of, if they are those of a run.
pub(super) fn run_of(labels: &HashMap<String, String>) -> Option<RunRef> {
    let number = |key: &str| labels.get(key)?.parse::<u32>().ok();
    let job = labels.get(JOB)?.parse().ok()?;
    Some(RunRef { job, replica: number(REPLICA)?, replicas: number(REPLICAS)? })
}

fn labels(spec: &RunSpec, instance: &Instance) -> HashMap<String, String> {
    [
        (INSTANCE, instance.0.clone()),
        (JOB, spec.run.job.to_string()),
        (REPLICA, spec.run.replica.to_string()),
        (REPLICAS, spec.run.replicas.to_string()),
        (ATTEMPT, "1".to_owned()),
        (SERVICE, spec.service.clone()),
    ]
    .map(|(key, value)| (key.to_owned(), value))
    .into()
}

/// Of a repeated name the last value, in the place of the last.
///
/// The init process of Docker is told to pass signals on to the whole process group of the command: a shell in the
/// foreground would otherwise keep a request to stop from its children, and not act on it before they end.
fn environment(env: &[(String, String)]) -> Vec<String> {
    let mut seen = HashSet::new();
    let mut kept: Vec<String> = env
        .iter()
        .rev()
        .filter(|(name, _)| seen.insert(name.as_str()))
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    if seen.insert("TINI_KILL_PROCESS_GROUP") {
        kept.push("TINI_KILL_PROCESS_GROUP=1".to_owned());
    }
    kept.reverse();
    kept
}

fn own_directories(run: &RunRef, dirs: &JobDirs) -> Result<Vec<EngineMount>, String> {
    let inside = JobDirs::inside(&run.job);
    [
        ("in", dirs.input(), true),
        ("src", dirs.source(), false),
        ("out", dirs.output(), false),
        ("home", dirs.home(), false),
    ]
    .into_iter()
    .map(|(name, source, is_read_only)| Ok(bind(utf8(&source)?, &format!("{inside}/{name}"), is_read_only)))
    .collect()
}

fn further(mount: &Mount, has_sub_paths: bool) -> Result<EngineMount, String> {
    let target = mount.target.as_str();
    match &mount.kind {
        MountKind::Bind { source } => Ok(bind(utf8(source)?, target, mount.is_read_only)),
        MountKind::Volume { source, sub_path } => {
            if !sub_path.is_empty() && !has_sub_paths {
                return Err(format!(
                    "a part of volume {source} (sub_path = {sub_path:?}) can be mounted by engines of API 1.45 or later only"
                ));
            }
            let volume_options = (!sub_path.is_empty())
                .then(|| MountVolumeOptions { subpath: Some(sub_path.clone()), ..MountVolumeOptions::default() });
            let mount = of_type(MountType::VOLUME, target, mount.is_read_only);
            Ok(EngineMount { source: Some(source.clone()), volume_options, ..mount })
        }
        MountKind::Tmpfs { size } => {
            let size_bytes = (*size > 0).then(|| i64::try_from(*size).unwrap_or(i64::MAX));
            let tmpfs_options = MountTmpfsOptions { size_bytes, mode: Some(0o1777), ..MountTmpfsOptions::default() };
            let mount = of_type(MountType::TMPFS, target, mount.is_read_only);
            Ok(EngineMount { tmpfs_options: Some(tmpfs_options), ..mount })
        }
    }
}

fn of_type(kind: MountType, target: &str, is_read_only: bool) -> EngineMount {
    EngineMount {
        typ: Some(kind),
        target: Some(target.to_owned()),
        read_only: Some(is_read_only),
        ..EngineMount::default()
    }
}

/// A directory of the host: of this form of mount a missing source is an error, not a new directory of root's.
fn bind(source: &str, target: &str, is_read_only: bool) -> EngineMount {
    EngineMount { source: Some(source.to_owned()), ..of_type(MountType::BIND, target, is_read_only) }
}

pub(super) fn utf8(path: &Path) -> Result<&str, String> {
    path.to_str()
        .ok_or_else(|| format!("the path {} is not UTF-8, which the engine's API cannot carry", path.display()))
}

fn network(network: &Network) -> String {
    match network {
        Network::None => "none".to_owned(),
        Network::Default => "default".to_owned(),
        Network::Named(name) => name.clone(),
    }
}

#[expect(clippy::cast_possible_truncation, reason = "saturates, and nobody has so many CPUs")]
fn nano_cpus(cpus: f64) -> i64 {
    (cpus * 1e9).round() as i64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Timestamp;
    use crate::ports::{Pull, User};

    fn a_run() -> RunSpec {
        let job = JobId::new(Timestamp::from_millis(1_700_000_000_000));
        RunSpec {
            run: RunRef { job, replica: 1, replicas: 3 },
            service: "ocps".into(),
            image: "image:tag".into(),
            pull: Pull::Never,
            argv: ["/bin/bash", "-c", "echo $(x)"].map(str::to_owned).to_vec(),
            env: vec![],
            user: User { uid: 1000, gid: 100 },
            extra_groups: vec![4, 5],
            cpus: 1.5,
            memory: 64 * 1024 * 1024,
            pids: 100,
            network: Network::None,
            mounts: vec![],
            secrets: vec![],
            dirs: JobDirs { root: "/jobs/x".into() },
        }
    }

    fn body(spec: &RunSpec) -> Result<ContainerCreateBody, String> {
        let instance = Instance("one".into());
        let setting =
            Setting { instance: &instance, is_shared: true, log: None, cgroup_parent: None, has_sub_paths: false };
        container(spec, setting)
    }

    #[test]
    fn a_container_has_no_privileges_and_its_limits() {
        let host = body(&a_run()).expect("fine").host_config.expect("there");
        assert_eq!(host.cap_drop, Some(vec!["ALL".to_owned()]));
        assert_eq!(host.cap_add, None);
        assert_eq!(host.privileged, None);
        assert_eq!(host.security_opt, Some(vec!["no-new-privileges:true".to_owned()]));
        assert_eq!((host.memory, host.memory_swap), (Some(67_108_864), Some(67_108_864)));
        assert_eq!((host.nano_cpus, host.pids_limit), (Some(1_500_000_000), Some(100)));
        assert_eq!(host.network_mode.as_deref(), Some("none"));
    }

    #[test]
    fn labels_lead_back_to_the_run() {
        let spec = a_run();
        let labels = body(&spec).expect("fine").labels.expect("there");
        assert_eq!(run_of(&labels), Some(spec.run));
        assert_eq!(labels[INSTANCE], "one");
        let helper = helper(spec.run.job, &Instance("one".into()), "maker", "i", &["true".to_owned()], "/jobs/x");
        assert_eq!(run_of(&helper.labels.expect("there")), None);
    }

    #[test]
    fn neither_entry_point_nor_command_of_the_image_comes_into_it() {
        let body = body(&a_run()).expect("fine");
        assert_eq!(body.entrypoint, Some(vec!["/bin/bash".to_owned()]));
        assert_eq!(body.cmd, Some(vec!["-c".to_owned(), "echo $(x)".to_owned()]));
    }

    #[test]
    fn other_programs_find_it_by_these_labels() {
        let labels = body(&a_run()).expect("fine").labels.expect("there");
        for name in ["org.uwsd.instance", "org.uwsd.job", "org.uwsd.replica", "org.uwsd.attempt"] {
            assert!(labels.contains_key(name), "{name}: {labels:?}");
        }
    }

    #[test]
    fn of_a_repeated_variable_the_last_is_kept() {
        let env = [("A", "1"), ("B", "x=\n"), ("A", "2")].map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(environment(&env), ["TINI_KILL_PROCESS_GROUP=1", "B=x=\n", "A=2"]);
    }

    #[test]
    fn only_the_four_directories_are_mounted_and_the_input_read_only() {
        let mounts = body(&a_run()).expect("fine").host_config.and_then(|host| host.mounts).expect("there");
        let seen: Vec<_> = mounts.iter().map(|m| (m.source.as_deref().unwrap_or(""), m.read_only)).collect();
        let writable = Some(false);
        assert_eq!(
            seen,
            [
                ("/jobs/x/in", Some(true)),
                ("/jobs/x/src", writable),
                ("/jobs/x/out", writable),
                ("/jobs/x/home", writable)
            ]
        );
    }

    #[test]
    fn a_part_of_a_volume_needs_a_newer_engine() {
        let kind = MountKind::Volume { source: "v".into(), sub_path: "a/b".into() };
        let mount = Mount { kind, target: "/v".into(), is_read_only: true };
        assert!(further(&mount, false).expect_err("too old").contains("1.45"));
        let options = further(&mount, true).expect("fine").volume_options.expect("there");
        assert_eq!(options.subpath.as_deref(), Some("a/b"));
    }
}
