//! Containers that do to a job's files what the daemon's user may not.
//!
//! In production the daemon is an ordinary user who may talk to the engine. A container of the job's image, as root but
//! with only what changing owners and modes needs, without network and with nothing but the job's directory, does it.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bollard::container::LogOutput;
use bollard::errors::Error;
use bollard::query_parameters::{LogsOptions, StartContainerOptions, WaitContainerOptions};
use futures_util::StreamExt;
use uuid::Uuid;

use super::backend::Shared;
use super::connect::Client;
use super::errand::Fresh;
use super::error::{failed, is_name_taken, refused, status_of, words_of};
use super::spec::{helper, utf8};
use crate::domain::JobId;
use crate::ports::BackendError;

/// What tells the helpers of this process from those that an earlier one left over.
#[derive(Debug)]
pub(super) struct Helpers {
    /// The label that they carry.
    maker: String,
    count: AtomicU64,
}

impl Helpers {
    pub(super) fn new() -> Self {
        Self { maker: Uuid::new_v4().to_string(), count: AtomicU64::new(0) }
    }

    /// Whether `label` is that of a helper of this process.
    pub(super) fn is_mine(&self, label: &str) -> bool {
        self.maker == label
    }
}

impl Shared {
    /// Runs `argv` in a helper that sees `root` at [`super::spec::HELPER_ROOT`], to its end.
    ///
    /// If the future is dropped the helper is killed and removed; [`Shared::settle`] waits for that.
    pub(super) async fn help(
        self: &Arc<Self>,
        doing: &'static str,
        job: JobId,
        image: &str,
        root: &Path,
        argv: &[String],
    ) -> Result<(), BackendError> {
        let client = self.engine.client().await?;
        let helper = self.create_helper(&client, doing, job, image, root, argv).await?;
        let done = self.run_helper(&client, doing, helper.id()).await;
        let removed = helper.remove().await;
        done.and(removed)
    }

    async fn create_helper(
        self: &Arc<Self>,
        client: &Client,
        doing: &'static str,
        job: JobId,
        image: &str,
        root: &Path,
        argv: &[String],
    ) -> Result<Fresh, BackendError> {
        let root = utf8(root).map_err(|why| refused(doing, why))?;
        for _ in 0..3 {
            // One that goes may overlap with the next, hence the number.
            let number = self.helpers.count.fetch_add(1, Ordering::Relaxed);
            let name = format!("uwsd-{job}-helper-{number}");
            let body = helper(job, &self.instance, &self.helpers.maker, image, argv, root);
            match self.make(client, job, name.clone(), body).await {
                Ok(helper) => return Ok(helper),
                // Left over by an earlier process: this one gives no number twice.
                Err(error) if is_name_taken(&error) => self.remove_container(&name).await?,
                Err(error) => match status_of(&error) {
                    // Not pulled for this: that may take as long as a pull may, and nobody would know that it came.
                    Some(404) => {
                        let why =
                            "it is needed for the files of another user, and is not on the host any more: pull it";
                        return Err(BackendError::Image {
                            image: image.to_owned(),
                            why: why.to_owned(),
                            is_transient: true,
                        });
                    }
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
