//! Containers that do to a job's files what the daemon's user may not.
//!
//! In production the daemon is an ordinary user who may talk to the engine. A container of the job's image, as root but
//! with only what changing owners and modes needs, without network and with nothing but the job's directory, does it.

use std::collections::HashSet;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use bollard::container::LogOutput;
use bollard::errors::Error;
use bollard::query_parameters::{CreateContainerOptions, LogsOptions, StartContainerOptions, WaitContainerOptions};
use futures_util::StreamExt;

use super::backend::Shared;
use super::connect::Client;
use super::error::{failed, refused, status_of, words_of};
use super::spec::{helper, utf8};
use crate::domain::JobId;
use crate::ports::{BackendError, Pull};

/// The helpers of this process; others with our label were left over by an earlier one.
#[derive(Debug, Default)]
pub(super) struct Helpers {
    ids: Mutex<HashSet<String>>,
    count: AtomicU64,
}

impl Helpers {
    pub(super) fn is_mine(&self, id: &str) -> bool {
        self.ids.lock().unwrap_or_else(PoisonError::into_inner).contains(id)
    }

    fn add(&self, id: &str) {
        self.ids.lock().unwrap_or_else(PoisonError::into_inner).insert(id.to_owned());
    }

    fn forget(&self, id: &str) {
        self.ids.lock().unwrap_or_else(PoisonError::into_inner).remove(id);
    }
}

impl Shared {
    /// Runs `argv` in a helper that sees `root` at [`super::spec::HELPER_ROOT`], to its end.
    pub(super) async fn help(
        &self,
        doing: &'static str,
        job: JobId,
        image: &str,
        root: &Path,
        argv: &[String],
    ) -> Result<(), BackendError> {
        let client = self.engine.client().await?;
        let id = self.create_helper(&client, doing, job, image, root, argv).await?;
        let done = self.run_helper(&client, doing, &id).await;
        let removed = self.remove_container(&id).await;
        self.helpers.forget(&id);
        done.and(removed)
    }

    async fn create_helper(
        &self,
        client: &Client,
        doing: &'static str,
        job: JobId,
        image: &str,
        root: &Path,
        argv: &[String],
    ) -> Result<String, BackendError> {
        let root = utf8(root).map_err(|why| refused(doing, why))?;
        for _ in 0..3 {
            // Replicas may each have one at a time, hence the number.
            let number = self.helpers.count.fetch_add(1, Ordering::Relaxed);
            let name = format!("uwsd-{job}-helper-{number}");
            let body = helper(job, &self.instance, image, argv, root);
            let options = CreateContainerOptions { name: Some(name.clone()), ..CreateContainerOptions::default() };
            match self.engine.bounded(client.docker.create_container(Some(options), body)).await {
                Ok(created) => {
                    self.helpers.add(&created.id);
                    return Ok(created.id);
                }
                Err(error) => match status_of(&error) {
                    // Left over by an earlier process: this one gives no number twice.
                    Some(409) => self.remove_container(&name).await?,
                    Some(404) => drop(self.fetch_image(image, Pull::Missing).await?),
                    _ => return Err(failed(doing, &error)),
                },
            }
        }
        Err(refused(doing, "no helper container could be created"))
    }

    async fn run_helper(&self, client: &Client, doing: &'static str, id: &str) -> Result<(), BackendError> {
        let started = self.engine.bounded(client.docker.start_container(id, None::<StartContainerOptions>)).await;
        started.map_err(|error| failed(doing, &error))?;
        let options = WaitContainerOptions { condition: "not-running".to_owned() };
        let mut answer = Box::pin(client.docker.wait_container(id, Some(options)));
        // It works through as many files as the job has: as long as a pull may take.
        let limit = self.settings.pull_timeout;
        match tokio::time::timeout(limit, answer.next()).await {
            Ok(Some(Ok(_))) => Ok(()),
            Ok(Some(Err(Error::DockerContainerWaitError { code, .. }))) => {
                let said = self.last_words(client, id).await;
                Err(refused(doing, format!("the helper container ended with {code}: {said}")))
            }
            Ok(Some(Err(error))) => Err(failed(doing, &error)),
            Ok(None) => Err(failed(doing, &Error::RequestTimeoutError)),
            Err(_) => Err(refused(doing, format!("the helper container did not end within {}s", limit.as_secs()))),
        }
    }

    /// The last of what a helper said, on one line.
    async fn last_words(&self, client: &Client, id: &str) -> String {
        let options = LogsOptions { stdout: true, stderr: true, tail: "3".to_owned(), ..LogsOptions::default() };
        let read = self
            .engine
            .bounded(async {
                let mut said = Vec::new();
                let mut output = Box::pin(client.docker.logs(id, Some(options)));
                while let Some(part) = output.next().await {
                    said.extend_from_slice(part.map(LogOutput::into_bytes)?.as_ref());
                }
                Ok(said)
            })
            .await;
        match read {
            Ok(said) => String::from_utf8_lossy(&said).trim().replace('\n', "; "),
            Err(error) => words_of(&error),
        }
    }
}
