//! Requests whose answer somebody must hear, even when nobody waits for it any more.
//!
//! A caller may be dropped at any time, and the engine may finish a request after its sender has gone. So whatever brings
//! a container into being runs as a task of the backend's, and what nobody took is removed by one. [`Shared::settle`]
//! waits for those of a job: after that, nothing of an earlier call can appear any more.

use std::collections::HashMap;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bollard::errors::Error;
use bollard::models::ContainerCreateBody;
use bollard::query_parameters::CreateContainerOptions;
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep, timeout, timeout_at};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::backend::Shared;
use super::connect::Client;
use super::error::DOCKER;
use crate::domain::JobId;
use crate::ports::BackendError;

/// How long the answer to a request is listened for, and how long a removal is tried.
const LONGEST: Duration = Duration::from_secs(600);
/// Between attempts at a removal.
const PAUSES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(10));

/// The errands under way.
#[derive(Debug, Default)]
pub(super) struct Errands(Mutex<HashMap<JobId, Underway>>);

/// Those of one job.
#[derive(Debug, Default)]
struct Underway {
    count: usize,
    /// Cancelled when the last one is done.
    done: CancellationToken,
}

impl Errands {
    fn change<T>(&self, change: impl FnOnce(&mut HashMap<JobId, Underway>) -> T) -> T {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// That one errand is under way, as long as this lives.
struct Mark {
    shared: Arc<Shared>,
    job: JobId,
}

impl Mark {
    fn new(shared: &Arc<Shared>, job: JobId) -> Self {
        shared.errands.change(|jobs| jobs.entry(job).or_default().count += 1);
        Self { shared: Arc::clone(shared), job }
    }
}

impl Drop for Mark {
    fn drop(&mut self) {
        self.shared.errands.change(|jobs| {
            if let Some(underway) = jobs.get_mut(&self.job) {
                underway.count -= 1;
                if underway.count == 0 {
                    underway.done.cancel();
                    jobs.remove(&self.job);
                }
            }
        });
    }
}

/// A container that was made just now and goes again if this is dropped.
#[derive(Debug)]
pub(super) struct Fresh {
    shared: Arc<Shared>,
    job: JobId,
    id: Option<String>,
}

impl Fresh {
    /// Its id.
    pub(super) fn id(&self) -> &str {
        self.id.as_deref().unwrap_or_default()
    }

    /// Lets it stay; returns its id.
    pub(super) fn keep(mut self) -> String {
        self.id.take().unwrap_or_default()
    }

    /// Removes it now; if that fails, its removal is tried on after this has returned.
    pub(super) async fn remove(mut self) -> Result<(), BackendError> {
        self.shared.remove_container(self.id()).await?;
        self.id = None;
        Ok(())
    }
}

impl Drop for Fresh {
    fn drop(&mut self) {
        let Some(id) = self.id.take() else { return };
        // Without a runtime the daemon goes down, and what is left is found at the next start.
        if let Ok(runtime) = Handle::try_current() {
            let mark = Mark::new(&self.shared, self.job);
            self.shared.tasks.spawn_on(remove_patiently(mark, id), &runtime);
        }
    }
}

/// Removes a container that nobody wants, as soon as the engine lets it.
async fn remove_patiently(mark: Mark, id: String) {
    let patience = Instant::now() + LONGEST;
    let mut pause = PAUSES.0;
    while let Err(error) = mark.shared.remove_container(&id).await {
        if Instant::now() > patience {
            warn!(backend = DOCKER, "container {id} is left over until the next start of the daemon: {error}");
            return;
        }
        sleep(pause).await;
        pause = (pause * 2).min(PAUSES.1);
    }
}

impl Shared {
    /// Makes a container for `job`. Wherever the returned future or its output is dropped, no container stays.
    pub(super) async fn make(
        self: &Arc<Self>,
        client: &Client,
        job: JobId,
        name: String,
        body: ContainerCreateBody,
    ) -> Result<Fresh, Error> {
        let docker = client.docker.clone();
        let answer = self.errand(job, |shared| async move {
            let options = CreateContainerOptions { name: Some(name), ..CreateContainerOptions::default() };
            let made = timeout(LONGEST, docker.create_container(Some(options), body)).await;
            let made = made.unwrap_or(Err(Error::RequestTimeoutError))?;
            Ok(Fresh { shared, job, id: Some(made.id) })
        });
        self.engine.bounded(async { answer.await.unwrap_or(Err(Error::RequestTimeoutError)) }).await
    }

    /// Does `work` to its end as a task. An output that nobody waits for is dropped before the errand counts as done.
    fn errand<T, F>(self: &Arc<Self>, job: JobId, work: impl FnOnce(Arc<Self>) -> F) -> oneshot::Receiver<T>
    where
        T: Send + 'static,
        F: Future<Output = T> + Send + 'static,
    {
        let (tell, answer) = oneshot::channel();
        let mark = Mark::new(self, job);
        let work = work(Arc::clone(self));
        self.tasks.spawn(async move {
            drop(tell.send(work.await));
            drop(mark);
        });
        answer
    }

    /// Waits until nothing that an earlier call for `job` began is under way.
    pub(super) async fn settle(&self, doing: &'static str, job: JobId) -> Result<(), BackendError> {
        let limit = self.settings.request_timeout;
        let deadline = Instant::now() + limit;
        while let Some(done) = self.errands.change(|jobs| jobs.get(&job).map(|underway| underway.done.clone())) {
            if timeout_at(deadline, done.cancelled()).await.is_err() {
                let why = format!("an earlier request for the job was not done within {}s", limit.as_secs());
                return Err(BackendError::Unreachable { backend: DOCKER, doing, why });
            }
        }
        Ok(())
    }
}
