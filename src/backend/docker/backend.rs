//! The adapter: what is asked of it, in the words of the port.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio_util::task::TaskTracker;

use super::connect::Engine;
use super::errand::Errands;
use super::error::DOCKER;
use super::helper::Helpers;
use super::parents::Parents;
use super::pull::Pulls;
use super::run::Runs;
use super::spec::{Instance, LogKeeping};
use crate::config::{self, Live};
use crate::domain::JobId;
use crate::ports::{
    Backend, BackendError, Ending, EngineFacts, FoundRun, ImageFacts, ImageRemoval, JobDirs, Progress, Pull, RunRef,
    RunSpec,
};

/// Runs as containers of a Docker engine.
///
/// Containers outlive the daemon. Their logs are carried into the job's files by tasks of the given tracker; when they
/// die with the daemon, the next one goes on from what the engine kept.
#[derive(Debug, Clone)]
pub struct DockerBackend(Arc<Shared>);

/// What all requests have in common.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) engine: Engine,
    pub(super) settings: config::Docker,
    pub(super) instance: Instance,
    pub(super) log: LogKeeping,
    pub(super) tasks: TaskTracker,
    pub(super) runs: Runs,
    pub(super) parents: Parents,
    pub(super) helpers: Helpers,
    pub(super) errands: Errands,
    pub(super) pulls: Pulls,
}

impl DockerBackend {
    /// The adapter for the engine of `settings`, which is not contacted before it is needed.
    ///
    /// `instance` is what tells this daemon's containers from those of others on the same engine; `tasks` owns the tasks
    /// that carry the logs, and those that clean up after calls that were dropped.
    ///
    /// # Errors
    /// [`BackendError::Refused`] if the settings cannot be used.
    pub fn new(settings: config::Docker, instance: Instance, tasks: TaskTracker) -> Result<Self, BackendError> {
        let engine = Engine::new(&settings)?;
        let log = LogKeeping { driver: settings.log_driver.clone(), max_size: settings.log_max_size };
        let parents = Parents::new(&instance.0);
        let (runs, helpers, errands) = (Runs::default(), Helpers::new(), Errands::default());
        Ok(Self(Arc::new(Shared {
            engine,
            settings,
            instance,
            log,
            tasks,
            runs,
            parents,
            helpers,
            errands,
            pulls: Pulls::default(),
        })))
    }

    /// Takes the images of the services of `config` where the image of a job does not do to get at its files.
    #[must_use]
    pub fn with_services_of(self, config: Live) -> Self {
        // The first one stays, if it is said twice.
        drop(self.0.helpers.config.set(config));
        self
    }
}

#[async_trait]
impl Backend for DockerBackend {
    fn kind(&self) -> &'static str {
        DOCKER
    }

    fn shares_files(&self) -> bool {
        self.0.settings.shared_state
    }

    fn advisory_limits(&self) -> Option<String> {
        self.0.engine.advisory_limits()
    }

    async fn probe(&self) -> Result<EngineFacts, BackendError> {
        self.0.engine.facts().await
    }

    async fn identify(&self) -> Result<EngineFacts, BackendError> {
        self.0.engine.identify().await
    }

    async fn find_runs(&self) -> Result<Vec<FoundRun>, BackendError> {
        self.0.find_runs().await
    }

    async fn fetch_image(&self, image: &str, pull: Pull, progress: Progress<'_>) -> Result<ImageFacts, BackendError> {
        Box::pin(self.0.fetch_image(image, pull, progress)).await
    }

    async fn find_image(&self, name: &str) -> Result<Option<String>, BackendError> {
        self.0.find_image(name).await
    }

    async fn remove_image(&self, name: &str, id: &str) -> Result<ImageRemoval, BackendError> {
        self.0.remove_image(name, id).await
    }

    async fn hand_over(&self, spec: &RunSpec) -> Result<(), BackendError> {
        self.0.hand_over(spec).await
    }

    async fn create(&self, spec: &RunSpec) -> Result<(), BackendError> {
        self.0.create(spec).await
    }

    async fn start(&self, spec: &RunSpec) -> Result<(), BackendError> {
        self.0.start(spec).await
    }

    async fn wait(&self, run: &RunRef, dirs: &JobDirs) -> Result<Ending, BackendError> {
        let ending = Box::pin(self.0.wait(run, dirs)).await?;
        Ok(Ending { is_advisory: self.advisory_limits().is_some(), ..ending })
    }

    async fn pause(&self, run: &RunRef) -> Result<(), BackendError> {
        self.0.pause(run).await
    }

    async fn resume(&self, run: &RunRef) -> Result<(), BackendError> {
        self.0.resume(run).await
    }

    async fn layer_size(&self, run: &RunRef) -> Result<Option<u64>, BackendError> {
        self.0.layer_size(run).await
    }

    async fn stop(&self, run: &RunRef, grace: Duration) -> Result<(), BackendError> {
        self.0.stop(run, grace).await
    }

    async fn take_back(&self, spec: &RunSpec) -> Result<(), BackendError> {
        self.0.take_back(spec).await
    }

    async fn remove(&self, run: &RunRef) -> Result<(), BackendError> {
        Box::pin(self.0.remove(run)).await
    }

    async fn remove_files(&self, job: JobId, dirs: &JobDirs, image: Option<&str>) -> Result<(), BackendError> {
        self.0.remove_files(job, dirs, image).await
    }
}
