//! Somewhere a job can run.

use std::time::Duration;

use async_trait::async_trait;

use super::run::{Ending, EngineFacts, FoundRun, ImageFacts, JobDirs, Pull, RunRef, RunSpec};
use crate::domain::JobId;

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
    #[error("image {image} was not fetched within {} s{}{why}", .limit.as_secs(), if .why.is_empty() { "" } else { ": " })]
    PullTimedOut {
        /// The image.
        image: String,
        /// The limit.
        limit: Duration,
        /// The engine's words about the last attempt that failed, if one did.
        why: String,
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

/// Hears how the fetching of an image goes; a closure that takes a line is one.
#[async_trait]
pub trait Fetching: Send + Sync {
    /// Told, in a line for people, how it goes.
    fn tell(&self, line: String);

    /// Told which names, none of which the engine has, a pull may bring; it does not begin before this has returned.
    async fn will_bring(&self, names: Vec<String>) {
        drop(names);
    }
}

impl<F: Fn(String) + Send + Sync> Fetching for F {
    fn tell(&self, line: String) {
        self(line);
    }
}

/// Who hears how the fetching of an image goes.
pub type Progress<'a> = &'a dyn Fetching;

/// What became of an image that was to be removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ImageRemoval {
    /// The engine has it no more under this name, and not at all if it has no other.
    Removed,
    /// A container needs it.
    InUse,
    /// The engine has nothing under this name, or something else.
    Gone,
}

/// Somewhere a job can run.
///
/// One run goes through `fetch_image`, `hand_over`, `create`, `start`, `wait`, `take_back`, `remove`; the supervisor
/// commits EXECUTING between `create` and `start`. A run outlives the daemon: after a restart the supervisor asks
/// `find_runs` and goes on with `wait` where it had stopped. Every method may be called again after it failed or after
/// a crash, and then finishes what the first call began. Dropping a future leaves the run alone.
///
/// # How Kubernetes would meet it
/// A run is a `Job` object with `parallelism: 1`, `backoffLimit: 0`, named [`RunRef::name`], labelled with instance, job
/// and replica; the job's directories are `subPath`s of a shared volume that the daemon mounts too, so that
/// files need no copying. What a method does there stands with the method.
#[async_trait]
pub trait Backend: Send + Sync {
    /// The word of `backend.kind`.
    fn kind(&self) -> &'static str;

    /// Whether its runs are made from images; else the image that is configured plays no part and is told to nobody.
    fn uses_images(&self) -> bool {
        true
    }

    /// Which limits of the runs made now can only be asked for and not enforced, and why, in a sentence; `None` if all
    /// are kept. Known before they run, and from then on of each of them. An ending may tell so of a single run all
    /// the same.
    fn advisory_limits(&self) -> Option<String> {
        None
    }

    /// Whether what a run writes is in the job's directories while it runs; else only once it is taken back.
    fn shares_files(&self) -> bool {
        true
    }

    /// Looks whether the backend answers and can run jobs.
    ///
    /// Kubernetes: `GET /version` and a `SelfSubjectAccessReview` for creating jobs; node facts are unknown.
    ///
    /// # Errors
    /// [`BackendError::Unreachable`] with what to do about it.
    async fn probe(&self) -> Result<EngineFacts, BackendError>;

    /// On which boot of which host and which start of which engine runs are made now. Asked twice for every job, so as
    /// cheap as can be.
    ///
    /// Kubernetes: nothing is told of either; a pod says itself that its node went away.
    ///
    /// # Errors
    /// [`BackendError::Unreachable`].
    async fn identify(&self) -> Result<EngineFacts, BackendError> {
        self.probe().await
    }

    /// Every run of this daemon's instance that the backend still has, in any state; never one of another instance.
    ///
    /// Kubernetes: a list by label selector `org.uwsd.instance=…`, whose resource version then begins the watch.
    ///
    /// # Errors
    /// [`BackendError::Unreachable`]: then nothing may be concluded.
    async fn find_runs(&self) -> Result<Vec<FoundRun>, BackendError>;

    /// Makes an image available as its pull policy says; tells `progress` how that goes. A failure of the network
    /// is tried again within the time for pulling, and an image that is being pulled already is not pulled twice.
    ///
    /// Kubernetes: nothing; the kubelet pulls, and the pod's events tell of it.
    ///
    /// # Errors
    /// [`BackendError::Image`], [`BackendError::PullTimedOut`].
    async fn fetch_image(&self, image: &str, pull: Pull, progress: Progress<'_>) -> Result<ImageFacts, BackendError>;

    /// What the engine calls the image of that name; `None` if it has none.
    ///
    /// # Errors
    /// [`BackendError::Unreachable`], [`BackendError::Refused`].
    async fn find_image(&self, name: &str) -> Result<Option<String>, BackendError> {
        let _ = name;
        Ok(None)
    }

    /// Takes `name` away from the image `id`, and removes the image with its last name. Never an image of which there is a
    /// container, in any state and whosoever it is, and never another image that has the name now. With the id as `name` it is
    /// one whose name another image has got, and stays if it has been given one again.
    ///
    /// Kubernetes: nothing; the kubelet removes unused images by itself.
    ///
    /// # Errors
    /// [`BackendError::Unreachable`], [`BackendError::Refused`].
    async fn remove_image(&self, name: &str, id: &str) -> Result<ImageRemoval, BackendError> {
        let _ = (name, id);
        Ok(ImageRemoval::Gone)
    }

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
    /// kept. A run that is gone ends as [`How::Vanished`](super::How::Vanished). While the backend cannot be reached it keeps trying.
    ///
    /// Kubernetes: follows the watch to the terminated container status, then reads the log to its end.
    ///
    /// # Errors
    /// [`BackendError::Refused`] if the backend denies knowledge for good; never because it is unreachable.
    async fn wait(&self, run: &RunRef, dirs: &JobDirs) -> Result<Ending, BackendError>;

    /// Halts everything in the run where it is, until `resume`. A run that is halted stays so; one that has ended, or never
    /// was, is left alone. A halted run can be stopped as any other.
    ///
    /// Kubernetes: there is no such thing, and this refuses.
    ///
    /// # Errors
    /// [`BackendError::Unreachable`], [`BackendError::Refused`]: whether it is halted is then unknown.
    async fn pause(&self, run: &RunRef) -> Result<(), BackendError>;

    /// Lets a halted run go on. A run that is not halted, has ended, or never was, is left alone.
    ///
    /// # Errors
    /// [`BackendError::Unreachable`], [`BackendError::Refused`].
    async fn resume(&self, run: &RunRef) -> Result<(), BackendError>;

    /// How many bytes the backend's own disk holds of what the run has written beside the job's directories, whether it runs or has
    /// ended; `None`: of such files it keeps none, or there is no such run. An answer may cost a walk through all of them.
    ///
    /// Kubernetes: `ephemeral-storage` of the pod in the kubelet's summary; an `emptyDir` with a size bounds it as well.
    ///
    /// # Errors
    /// [`BackendError::Unreachable`], [`BackendError::Refused`]: how much it is, is then unknown.
    async fn layer_size(&self, run: &RunRef) -> Result<Option<u64>, BackendError> {
        let _ = run;
        Ok(None)
    }

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
    /// [`BackendError::Refused`] if it could not be had; [`BackendError::Image`] if it may be once the image is fetched again.
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
    /// [`BackendError::Refused`] if something is left; asking again goes on with the rest. [`BackendError::Image`] if that may
    /// work once `image` is fetched again.
    async fn remove_files(&self, job: JobId, dirs: &JobDirs, image: Option<&str>) -> Result<(), BackendError>;
}
