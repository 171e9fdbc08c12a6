//! One run of a job: its name, what it needs, how it ends.

use std::path::{Path, PathBuf};

use crate::domain::{JobId, LogBytes, PeakMemory, Timestamp};

/// The name of one run: one replica of a job, which is launched once.
///
/// All adapters derive the outer name from it in the same way, so that a crash between intent and effect leaves a name
/// to ask for: asking twice finds the first run instead of making a second one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct RunRef {
    /// The job.
    pub job: JobId,
    /// Which replica, from 0.
    pub replica: u32,
    /// How many replicas the job has.
    pub replicas: u32,
}

impl RunRef {
    /// `uwsd-{job-id}` of a job with one replica, else `uwsd-{job-id}-{n}`.
    #[must_use]
    pub fn name(&self) -> String {
        if self.replicas == 1 { format!("uwsd-{}", self.job) } else { format!("uwsd-{}-{}", self.job, self.replica) }
    }
}

/// Who a job runs as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct User {
    /// User id.
    pub uid: u32,
    /// Group id.
    pub gid: u32,
}

/// When an image is fetched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pull {
    /// Never: it must be there.
    Never,
    /// If it is not there.
    Missing,
    /// Before every run.
    Always,
}

/// The network of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Network {
    /// None but its own loopback.
    None,
    /// What the backend gives by default.
    Default,
    /// The backend's network of this name.
    Named(String),
}

/// What a mount is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MountKind {
    /// A directory or file of the host.
    Bind {
        /// Its path on the host.
        source: PathBuf,
    },
    /// A named volume of the backend, or a path below it.
    Volume {
        /// The volume's name.
        source: String,
        /// A path inside the volume; empty: all of it.
        sub_path: String,
    },
    /// Memory.
    Tmpfs {
        /// The size in bytes; 0: the backend's default.
        size: u64,
    },
}

/// One mount of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mount {
    /// What is mounted.
    pub kind: MountKind,
    /// Where, an absolute path in the run.
    pub target: String,
    /// Whether the run may only read it.
    pub is_read_only: bool,
}

/// A secret that a run finds as a file of mode 0600 owned by its user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Secret {
    /// The variable that is set to `target`.
    pub name: String,
    /// The file on the daemon's host.
    pub file: PathBuf,
    /// Where the run finds it, an absolute path.
    pub target: String,
}

/// A job's directories on the daemon's host.
///
/// The run sees `in`, `src`, `out` and `home` below `/uws/jobs/{job-id}`, `in` read-only; `log` is the daemon's own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobDirs {
    /// `{jobs_dir}/{job-id}`.
    pub root: PathBuf,
}

impl JobDirs {
    /// Uploads and `parameters.json`.
    #[must_use]
    pub fn input(&self) -> PathBuf {
        self.root.join("in")
    }
    /// The source (`JOB_SOURCE_DIR`).
    #[must_use]
    pub fn source(&self) -> PathBuf {
        self.root.join("src")
    }
    /// The results (`JOB_OUTPUT_DIR`).
    #[must_use]
    pub fn output(&self) -> PathBuf {
        self.root.join("out")
    }
    /// `HOME`.
    #[must_use]
    pub fn home(&self) -> PathBuf {
        self.root.join("home")
    }
    /// The logs of `replica`: `log/` for a single one, else `log/{n}/`.
    #[must_use]
    pub fn log(&self, run: &RunRef) -> PathBuf {
        let log = self.root.join("log");
        if run.replicas == 1 { log } else { log.join(run.replica.to_string()) }
    }
    /// Where the end of a long log at `path` is until the run has ended and it is put behind the beginning.
    #[must_use]
    pub fn rest_of(path: &Path) -> PathBuf {
        path.with_extension("end")
    }
    /// The directory as the run sees it: `/uws/jobs/{job-id}`.
    #[must_use]
    pub fn inside(job: &JobId) -> String {
        format!("/uws/jobs/{job}")
    }
}

/// All that a backend needs to make one run.
#[derive(Debug, Clone, PartialEq)]
pub struct RunSpec {
    /// Its name.
    pub run: RunRef,
    /// The service (job list) of its job, for labels.
    pub service: String,
    /// The image, as configured; backends without images ignore it.
    pub image: String,
    /// When the image is fetched.
    pub pull: Pull,
    /// The command, not interpreted by any shell of the backend's.
    pub argv: Vec<String>,
    /// The environment, complete and in order; of a repeated name the last one wins.
    pub env: Vec<(String, String)>,
    /// Who it runs as.
    pub user: User,
    /// Further groups.
    pub extra_groups: Vec<u32>,
    /// The CPU limit, in CPUs.
    pub cpus: f64,
    /// The memory limit, in bytes, swap included.
    pub memory: u64,
    /// How many processes and threads it may have.
    pub pids: u32,
    /// Its network.
    pub network: Network,
    /// What is mounted besides the job's own directories.
    pub mounts: Vec<Mount>,
    /// Its secrets.
    pub secrets: Vec<Secret>,
    /// The job's directories.
    pub dirs: JobDirs,
}

/// What a backend says of itself when it is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EngineFacts {
    /// Name and version, for people.
    pub description: String,
    /// The boot id of the host that runs the jobs, if the backend can tell.
    pub boot_id: Option<String>,
    /// Something that changes when the engine is started anew, if a run would not live through that.
    pub engine_start: Option<String>,
}

/// How an image came to be there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Arrival {
    /// It was there.
    #[default]
    Found,
    /// It was pulled just now, and another, or an older one of the name, was there before.
    Replaced,
    /// It was pulled just now, and there was none of that name.
    Pulled,
}

/// The image that a run will use.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ImageFacts {
    /// What the engine calls it; `None` for backends without images.
    pub id: Option<String>,
    /// Its digest in the registry, else its local id; `None` for backends without images.
    pub digest: Option<String>,
    /// The name that it was pulled under just now, where that is another: a mirror's.
    pub source: Option<String>,
    /// How it came to be there.
    pub arrival: Arrival,
}

/// Where a run stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RunState {
    /// Made, its command never started.
    Created,
    /// Its command runs.
    Running,
    /// Its command ended.
    Ended,
}

/// A run that a backend still has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FoundRun {
    /// Its name.
    pub run: RunRef,
    /// Where it stands.
    pub state: RunState,
}

/// How a run's command ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum How {
    /// It exited with this code.
    Exited(i32),
    /// A signal killed it.
    Signaled {
        /// The signal.
        signal: i32,
        /// The exit code that was told in its place. Some backends know no more than that code, and a command that
        /// exits with it by itself is then taken for killed; `None`: the kernel told the signal.
        exit_code: Option<i32>,
    },
    /// It ran out of its memory limit, itself or a child that brought it down.
    OutOfMemory {
        /// Its exit code, as far as there was one.
        exit_code: Option<i32>,
    },
    /// The engine failed to start it; the text is the engine's.
    NotStarted(String),
    /// The disk was too full to start it; the text says what there was no room for.
    NoRoom(String),
    /// The host or the engine was restarted under it.
    HostRestarted,
    /// It ended, but the engine does not know how; the text says why, as a sentence's fragment.
    Unknown(String),
    /// Nothing is left of it.
    Vanished,
}

/// Why something is missing in the logs of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogLoss {
    /// A sentence's fragment, e.g. "no room left while writing stdout".
    pub why: String,
    /// Whether the disk was full.
    pub is_full: bool,
}

/// The end of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ending {
    /// How its command ended.
    pub how: How,
    /// When the command started, if the backend knows.
    pub started_at: Option<Timestamp>,
    /// When it ended, if the backend knows.
    pub ended_at: Option<Timestamp>,
    /// The most memory it used, if the backend knows.
    pub peak_memory: Option<PeakMemory>,
    /// How long its logs are, `stdout` and `stderr`, if the backend knows.
    pub logs: Option<[LogBytes; 2]>,
    /// Whether some limit was only advisory.
    pub is_advisory: bool,
    /// Why something is missing in the logs, if so.
    pub log_error: Option<LogLoss>,
    /// Why something may be missing in the logs, though nobody knows whether it is.
    pub log_gap: Option<String>,
}
