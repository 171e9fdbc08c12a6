//! Somewhere a job can run.

use std::path::PathBuf;
use std::time::Duration;

use async_trait::async_trait;

use crate::domain::{JobId, Timestamp};

/// The name of one run: one replica of one attempt at a job.
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

/// The image that a run will use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageFacts {
    /// Its digest in the registry, else its local id; `None` for backends without images.
    pub digest: Option<String>,
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
    /// This signal killed it.
    Signaled(i32),
    /// It ran out of its memory limit, itself or a child that brought it down.
    OutOfMemory {
        /// Its exit code, as far as there was one.
        exit_code: Option<i32>,
    },
    /// The engine failed to start it; the text is the engine's.
    NotStarted(String),
    /// The host or the engine was restarted under it.
    HostRestarted,
    /// Nothing is left of it.
    Vanished,
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
    /// The most memory it used, in bytes, if the backend knows.
    pub peak_memory: Option<u64>,
    /// Whether some limit was only advisory.
    pub is_advisory: bool,
}

/// Why a backend could not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum BackendError {
    /// It cannot be reached or does not answer in time: nothing is known, ask again later.
    #[error("{backend} cannot be reached while {doing}: {why}")]
    Unreachable {
        /// Which backend.
        backend: &'static str,
        /// What was being done.
        doing: &'static str,
        /// Its words.
        why: String,
    },
    /// The image is not to be had.
    #[error("image {image} is not to be had: {why}")]
    Image {
        /// The image.
        image: String,
        /// The engine's words.
        why: String,
        /// Whether the network failed, so that a second try may help.
        is_transient: bool,
    },
    /// Fetching the image took longer than allowed.
    #[error("image {image} was not fetched within {}s", .limit.as_secs())]
    PullTimedOut {
        /// The image.
        image: String,
        /// The limit.
        limit: Duration,
    },
    /// It refused or failed to run it.
    #[error("{backend} failed while {doing}: {why}")]
    Refused {
        /// Which backend.
        backend: &'static str,
        /// What was being done.
        doing: &'static str,
        /// Its words.
        why: String,
    },
    /// There is no room.
    #[error("no room left while {doing}: {why}")]
    DiskFull {
        /// What was being done.
        doing: &'static str,
        /// The words of the system.
        why: String,
    },
    /// A file of the daemon's could not be read or written.
    #[error("file operation failed while {doing}")]
    Io {
        /// What was being done.
        doing: &'static str,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

/// Somewhere a job can run.
///
/// One run goes through `fetch_image`, `hand_over`, `create`, `start`, `wait`, `take_back`, `remove`; the supervisor
/// commits EXECUTING between `create` and `start`. A run outlives the daemon: after a restart the supervisor asks
/// `find_runs` and goes on with `wait` where it had stopped. Every method may be called again after it failed or after
/// a crash, and then finishes what the first call began. Dropping a future leaves the run alone.
///
/// # How Kubernetes would meet it
/// A run is a `Job` object with `parallelism: 1`, `backoffLimit: 0`, named [`RunRef::name`], labelled with instance, job,
/// replica and attempt; the job's directories are `subPath`s of a shared volume that the daemon mounts too, so that
/// files need no copying. What a method does there stands with the method.
#[async_trait]
pub trait Backend: Send + Sync {
    /// The word of `backend.kind`.
    fn kind(&self) -> &'static str;

    /// Looks whether the backend answers and can run jobs.
    ///
    /// Kubernetes: `GET /version` and a `SelfSubjectAccessReview` for creating jobs; node facts are unknown.
    ///
    /// # Errors
    /// [`BackendError::Unreachable`] with what to do about it.
    async fn probe(&self) -> Result<EngineFacts, BackendError>;

    /// Every run of this daemon's instance that the backend still has, in any state; never one of another instance.
    ///
    /// Kubernetes: a list by label selector `org.uwsd.instance=…`, whose resource version then begins the watch.
    ///
    /// # Errors
    /// [`BackendError::Unreachable`]: then nothing may be concluded.
    async fn find_runs(&self) -> Result<Vec<FoundRun>, BackendError>;

    /// Makes the image of `spec` available as its pull policy says.
    ///
    /// Kubernetes: nothing; the kubelet pulls, and the pod's events tell of it.
    ///
    /// # Errors
    /// [`BackendError::Image`], [`BackendError::PullTimedOut`].
    async fn fetch_image(&self, spec: &RunSpec) -> Result<ImageFacts, BackendError>;

    /// Makes the job's directories belong to the job's user, once all that the daemon puts there is there.
    ///
    /// Kubernetes: an init container, or `fsGroup` where the volume supports it.
    ///
    /// # Errors
    /// [`BackendError::Refused`] if no way was found.
    async fn hand_over(&self, spec: &RunSpec) -> Result<(), BackendError>;

    /// Makes the run with everything it needs, without starting its command; finds it if it is there already.
    ///
    /// Kubernetes: creates the `Job` with `suspend: true`; `AlreadyExists` is success. A value with `$(` is written `$$(`.
    ///
    /// # Errors
    /// [`BackendError::Refused`] if the engine cannot run it.
    async fn create(&self, spec: &RunSpec) -> Result<(), BackendError>;

    /// Begins to take its logs and starts its command; a run that was started already is left as it is.
    ///
    /// `stdout` and `stderr` in `spec.dirs.log(&spec.run)` receive every byte, from the first on.
    ///
    /// Kubernetes: sets `suspend: false`; logs follow once the watch shows the pod running.
    ///
    /// # Errors
    /// [`BackendError::Refused`] if the command cannot be started: then it never ran.
    async fn start(&self, spec: &RunSpec) -> Result<(), BackendError>;

    /// Waits for the run's end and for the last byte of its logs in the files of `dirs`.
    ///
    /// Works for a run that another process of this daemon started: the logs are then completed from what the backend
    /// kept. A run that is gone ends as [`How::Vanished`]. While the backend cannot be reached it keeps trying.
    ///
    /// Kubernetes: follows the watch to the terminated container status, then reads the log to its end.
    ///
    /// # Errors
    /// [`BackendError::Refused`] if the backend denies knowledge for good; never because it is unreachable.
    async fn wait(&self, run: &RunRef, dirs: &JobDirs) -> Result<Ending, BackendError>;

    /// Asks everything in the run to stop, after `grace` kills it, and returns once it is verified gone or ended.
    ///
    /// Succeeds if it has ended or never was. A run that was created and not started never starts afterwards.
    ///
    /// Kubernetes: deletes the pod with `gracePeriodSeconds`, waits for the watch to show it gone.
    ///
    /// # Errors
    /// [`BackendError::Unreachable`]: whether it runs on is then unknown.
    async fn stop(&self, run: &RunRef, grace: Duration) -> Result<(), BackendError>;

    /// Brings the job's output to `dirs` and makes it readable for the daemon, links untouched.
    ///
    /// Kubernetes: nothing on a shared volume.
    ///
    /// # Errors
    /// [`BackendError::Refused`] if it could not be had.
    async fn take_back(&self, spec: &RunSpec) -> Result<(), BackendError>;

    /// Removes the run, whatever its state; succeeds if there is none.
    ///
    /// Kubernetes: deletes the `Job` with `propagationPolicy: Background`; not found is success.
    ///
    /// # Errors
    /// [`BackendError::Unreachable`], [`BackendError::Refused`].
    async fn remove(&self, run: &RunRef) -> Result<(), BackendError>;

    /// Removes the job's directories with all that is in them, whoever owns it; succeeds if there are none.
    ///
    /// `image` is the image that ran the job, for backends that need a helper to remove what another user owns.
    ///
    /// Kubernetes: removes them on the shared volume, by a helper `Job` where the daemon may not.
    ///
    /// # Errors
    /// [`BackendError::Refused`] if something is left; asking again goes on with the rest.
    async fn remove_files(&self, job: JobId, dirs: &JobDirs, image: Option<&str>) -> Result<(), BackendError>;
}
