//! Making, starting, finding and removing a run's container.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bollard::errors::Error;
use bollard::models::{ContainerInspectResponse, ContainerSummaryStateEnum as Status};
use bollard::query_parameters::{
    InspectContainerOptions, ListContainersOptions, RemoveContainerOptions, StartContainerOptions,
};
use tracing::warn;

use super::backend::Shared;
use super::connect::Client;
use super::ending::standing;
use super::error::{DOCKER, failed, is_name_taken, is_unreachable, refused, status_of, words_of};
use super::logs::{Pump, Spools};
use super::spec::{HELPER, INSTANCE, JOB, Setting, container, run_of};
use crate::backend::system::io_failed;
use crate::domain::chain;
use crate::ports::{BackendError, FoundRun, MountKind, RunRef, RunSpec, RunState};

const CREATING: &str = "creating the container";
const STARTING: &str = "starting the container";
const LISTING: &str = "listing the containers";
const INSPECTING: &str = "looking at the container";
const REMOVING: &str = "removing the container";

/// What this process knows of runs; to be without it costs a question to the engine and nothing else.
#[derive(Debug, Default)]
pub(super) struct Runs(Mutex<HashMap<RunRef, Known>>);

/// What this process knows of one run.
#[derive(Debug, Clone, Default)]
struct Known {
    /// The container's id.
    id: Option<String>,
    /// Whether it was created here and not started since.
    is_fresh: bool,
    /// What carries its logs.
    pump: Option<Arc<Pump>>,
}

impl Runs {
    fn with<T>(&self, run: &RunRef, change: impl FnOnce(&mut Known) -> T) -> T {
        change(self.0.lock().unwrap_or_else(PoisonError::into_inner).entry(*run).or_default())
    }

    fn created(&self, run: &RunRef, id: String) {
        self.with(run, |known| *known = Known { id: Some(id), is_fresh: true, pump: None });
    }

    fn take_fresh(&self, run: &RunRef) -> bool {
        self.with(run, |known| std::mem::take(&mut known.is_fresh))
    }

    pub(super) fn id(&self, run: &RunRef) -> Option<String> {
        self.with(run, |known| known.id.clone())
    }

    pub(super) fn set_id(&self, run: &RunRef, id: Option<String>) {
        self.with(run, |known| known.id = id);
    }

    pub(super) fn pump(&self, run: &RunRef) -> Option<Arc<Pump>> {
        self.with(run, |known| known.pump.clone())
    }

    pub(super) fn set_pump(&self, run: &RunRef, pump: Option<Arc<Pump>>) {
        self.with(run, |known| known.pump = pump);
    }

    pub(super) fn forget(&self, run: &RunRef) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(run);
    }
}

impl Shared {
    pub(super) async fn create(self: &Arc<Self>, spec: &RunSpec) -> Result<(), BackendError> {
        self.settle(CREATING, spec.run.job).await?;
        let client = self.engine.client().await?;
        let log = (!client.is_podman).then_some(&self.log);
        let parent = self.parents.make(&client, self.engine.is_local(), &spec.run).await;
        let setting = Setting {
            instance: &self.instance,
            is_shared: self.settings.shared_state,
            log,
            cgroup_parent: parent.as_deref(),
            has_sub_paths: client.has_api(45),
        };
        let body = container(spec, setting).map_err(|why| refused(CREATING, why))?;
        if client.is_podman && self.engine.is_local() {
            sources_are_there(spec).await?;
        }
        match self.make(&client, spec.run.job, spec.run.name(), body).await {
            // From here on its name leads to it.
            Ok(made) => self.runs.created(&spec.run, made.keep()),
            Err(error) if is_name_taken(&error) => {
                let found = self.inspect(&spec.run).await?;
                let found = found.ok_or_else(|| refused(CREATING, words_of(&error)))?;
                let state = found.state.unwrap_or_default();
                if standing(&state) != Some(RunState::Created) {
                    return Ok(());
                }
                // Nobody has asked for its start: that comes after this.
                self.runs.created(&spec.run, found.id.unwrap_or_else(|| spec.run.name()));
            }
            // "No such image"; a mount that is missing is told by 400.
            Err(error) if status_of(&error) == Some(404) => {
                let image = spec.image.clone();
                return Err(BackendError::Image { image, why: words_of(&error), is_transient: false });
            }
            Err(error) => return Err(failed(CREATING, &error)),
        }
        // Also for a container that was found: its maker may have been killed in between.
        if !self.settings.shared_state {
            self.send_directories(&client, spec).await?;
        }
        self.send_secrets(&client, spec).await
    }

    pub(super) async fn start(&self, spec: &RunSpec) -> Result<(), BackendError> {
        let run = &spec.run;
        if !self.runs.take_fresh(run) {
            let found = self.inspect(run).await?.ok_or_else(|| refused(STARTING, "there is no such container"))?;
            if found.state.as_ref().is_none_or(|state| standing(state) != Some(RunState::Created)) {
                return Ok(());
            }
            let client = self.engine.client().await?;
            if self.has_lost_memory(&client, run, &found).await? {
                let why = "the engine went down when it was asked to, and does not know whether the command began";
                return Err(refused(STARTING, why));
            }
            // An earlier request may be carried out at this very moment. What is attached now may come too late for the first
            // words: they are read from what the engine keeps.
            let name = self.handle(run);
            let started = client.docker.start_container(&name, None::<StartContainerOptions>);
            return match self.engine.bounded(started).await {
                Err(error) if status_of(&error) != Some(304) => Err(failed(STARTING, &error)),
                Ok(()) | Err(_) => Ok(()),
            };
        }
        let client = self.engine.client().await?;
        let name = self.handle(run);
        let spools = Spools::empty(&spec.dirs.log(run), self.settings.max_log).await;
        let spools = spools.map_err(|error| io_failed("opening the logs", error))?;
        let pump = self.engine.bounded(Pump::attach(&client, &name, spools, &self.tasks)).await;
        let pump = pump.map_err(|error| failed("attaching to the container", &error))?;
        let started = self.engine.bounded(client.docker.start_container(&name, None::<StartContainerOptions>)).await;
        match started {
            Ok(()) => {
                self.runs.set_pump(run, Some(Arc::new(pump)));
                Ok(())
            }
            Err(error) => {
                // If it did start, its logs are read from the engine.
                pump.give_up().await;
                Err(failed(STARTING, &error))
            }
        }
    }

    pub(super) async fn find_runs(&self) -> Result<Vec<FoundRun>, BackendError> {
        let client = self.engine.client().await?;
        let label = format!("{INSTANCE}={}", self.instance.0);
        let filters = HashMap::from([("label".to_owned(), vec![label])]);
        let options = ListContainersOptions { all: true, filters: Some(filters), ..ListContainersOptions::default() };
        let listed = self.settled(&client, || client.docker.list_containers(Some(options.clone())));
        let mut found = Vec::new();
        for summary in listed.await.map_err(|error| failed(LISTING, &error))? {
            let labels = summary.labels.unwrap_or_default();
            let id = summary.id.unwrap_or_default();
            if let Some(maker) = labels.get(HELPER) {
                if !self.helpers.is_mine(maker)
                    && let Err(error) = self.remove_container(&id).await
                {
                    // It keeps nothing else from being found.
                    warn!(backend = DOCKER, "a helper container of an earlier daemon is left over: {}", chain(&error));
                }
            } else if let Some(run) = run_of(&labels) {
                let state = match summary.state {
                    Some(Status::CREATED) => RunState::Created,
                    Some(Status::EXITED | Status::DEAD | Status::REMOVING) => RunState::Ended,
                    _ => RunState::Running,
                };
                found.push(FoundRun { run, state });
            }
        }
        self.parents.sweep(found.iter().map(|found| found.run)).await;
        Ok(found)
    }

    /// The answer to `request`, which tells of containers: asked again while Podman tells of one that it is "stopped", which
    /// Docker's API does not know. It is about to be "exited".
    async fn settled<T, R>(&self, client: &Client, request: impl Fn() -> R) -> Result<T, Error>
    where
        R: Future<Output = Result<T, Error>>,
    {
        self.engine
            .bounded(async {
                let mut pause = Duration::from_millis(20);
                loop {
                    match request().await {
                        Err(Error::JsonDataError { .. }) if client.is_podman => tokio::time::sleep(pause).await,
                        answer => return answer,
                    }
                    pause = (pause * 2).min(Duration::from_secs(1));
                }
            })
            .await
    }

    /// By what the engine is asked for the container of a run: by its id once that is known, since anybody may give it another name.
    pub(super) fn handle(&self, run: &RunRef) -> String {
        self.runs.id(run).unwrap_or_else(|| run.name())
    }

    /// The container of a run, whatever it is called by now.
    pub(super) async fn inspect(&self, run: &RunRef) -> Result<Option<ContainerInspectResponse>, BackendError> {
        self.inspect_with(run, None).await
    }

    /// The same, with what is told only on request.
    pub(super) async fn inspect_with(
        &self,
        run: &RunRef,
        options: Option<InspectContainerOptions>,
    ) -> Result<Option<ContainerInspectResponse>, BackendError> {
        let client = self.engine.client().await?;
        if let Some(found) = self.inspect_as(&client, &self.handle(run), run, options.clone()).await? {
            return Ok(Some(found));
        }
        let Some(id) = self.find_by_labels(&client, run).await? else { return Ok(None) };
        let found = self.inspect_as(&client, &id, run, options).await?;
        if found.is_some() {
            self.runs.set_id(run, Some(id));
        }
        Ok(found)
    }

    /// The container of that name or id, if it is that of the run.
    async fn inspect_as(
        &self,
        client: &Client,
        container: &str,
        run: &RunRef,
        options: Option<InspectContainerOptions>,
    ) -> Result<Option<ContainerInspectResponse>, BackendError> {
        let look = || client.docker.inspect_container(container, options.clone());
        match Box::pin(self.settled(client, look)).await {
            Ok(found) => {
                let labels = found.config.as_ref().and_then(|config| config.labels.as_ref());
                let is_ours = labels.is_some_and(|labels| {
                    labels.get(INSTANCE) == Some(&self.instance.0) && run_of(labels).as_ref() == Some(run)
                });
                Ok(is_ours.then_some(found))
            }
            Err(error) if status_of(&error) == Some(404) => Ok(None),
            Err(error) => Err(failed(INSPECTING, &error)),
        }
    }

    async fn find_by_labels(&self, client: &Client, run: &RunRef) -> Result<Option<String>, BackendError> {
        let labels = vec![format!("{INSTANCE}={}", self.instance.0), format!("{JOB}={}", run.job)];
        let filters = Some(HashMap::from([("label".to_owned(), labels)]));
        let options = ListContainersOptions { all: true, filters, ..ListContainersOptions::default() };
        let listed = self.settled(client, || client.docker.list_containers(Some(options.clone()))).await;
        let mut listed = listed.map_err(|error| failed(LISTING, &error))?.into_iter();
        let is_its = |labels: HashMap<String, String>| !labels.contains_key(HELPER) && run_of(&labels) == Some(*run);
        Ok(listed.find(|found| found.labels.clone().is_some_and(is_its)).and_then(|found| found.id))
    }

    pub(super) async fn remove(&self, run: &RunRef) -> Result<(), BackendError> {
        // What is still being made would not be found.
        self.settle(REMOVING, run.job).await?;
        if let Some(found) = self.inspect(run).await? {
            self.remove_container(found.id.as_deref().unwrap_or(&run.name())).await?;
        }
        if let Some(pump) = self.runs.pump(run) {
            pump.give_up().await;
        }
        self.parents.remove(run).await;
        self.runs.forget(run);
        Ok(())
    }

    /// Removes a container, whatever its state, and sees it gone.
    pub(super) async fn remove_container(&self, container: &str) -> Result<(), BackendError> {
        let client = self.engine.client().await?;
        let deadline = tokio::time::Instant::now() + self.settings.request_timeout;
        let mut pause = Duration::from_millis(20);
        loop {
            let options = RemoveContainerOptions { v: true, force: true, link: false };
            match self.engine.bounded(client.docker.remove_container(container, Some(options))).await {
                Ok(()) => return Ok(()),
                Err(error) => match status_of(&error) {
                    Some(404) => return Ok(()),
                    // Another removal is under way, and nothing tells of its end.
                    Some(409) if tokio::time::Instant::now() < deadline => {}
                    _ => return Err(failed(REMOVING, &error)),
                },
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(Duration::from_secs(1));
        }
    }

    /// Whether `error` says that the container is there no more.
    pub(super) fn is_gone(error: &bollard::errors::Error) -> bool {
        !is_unreachable(error) && status_of(error) == Some(404)
    }
}

/// Docker refuses to mount what is not there; Podman makes a directory of root's.
async fn sources_are_there(spec: &RunSpec) -> Result<(), BackendError> {
    for mount in &spec.mounts {
        if let MountKind::Bind { source } = &mount.kind
            && matches!(tokio::fs::try_exists(source).await, Ok(false))
        {
            return Err(refused(
                CREATING,
                format!("{}, to be mounted at {}, does not exist", source.display(), mount.target),
            ));
        }
    }
    Ok(())
}
