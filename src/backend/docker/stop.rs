//! Ending a run.

use std::time::Duration;

use bollard::errors::Error;
use bollard::query_parameters::{KillContainerOptions, RemoveContainerOptions, WaitContainerOptions};
use futures_util::StreamExt;

use super::backend::Shared;
use super::connect::Client;
use super::ending::standing;
use super::error::{DOCKER, failed, status_of};
use crate::ports::{BackendError, RunRef, RunState};

const STOPPING: &str = "stopping the container";

impl Shared {
    pub(super) async fn stop(&self, run: &RunRef, grace: Duration) -> Result<(), BackendError> {
        let client = self.engine.client().await?;
        let name = run.name();
        // One that was created may be started in between: then it is stopped like any other.
        for _ in 0..3 {
            let Some(found) = self.inspect(run).await? else { return Ok(()) };
            let state = found.state.unwrap_or_default();
            match standing(&state) {
                None | Some(RunState::Ended) => return Ok(()),
                Some(RunState::Created) => {
                    if self.remove_created(&client, &name).await? {
                        return Ok(());
                    }
                }
                Some(RunState::Running) => {
                    if state.paused == Some(true) {
                        // A paused process hears nothing.
                        heard(self.engine.bounded(client.docker.unpause_container(&name)).await)?;
                    }
                    self.signal(&client, &name, "SIGTERM").await?;
                    if self.ends_within(&client, &name, grace).await {
                        continue; // and is seen to have ended
                    }
                    self.signal(&client, &name, "SIGKILL").await?;
                    self.ends_within(&client, &name, self.settings.request_timeout).await;
                }
            }
        }
        let why = "it was killed and the engine does not tell its end".to_owned();
        Err(BackendError::Unreachable { backend: DOCKER, doing: STOPPING, why })
    }

    /// Removes a container that never started; `false` if it has started.
    async fn remove_created(&self, client: &Client, name: &str) -> Result<bool, BackendError> {
        let options = RemoveContainerOptions { v: true, force: false, link: false };
        match self.engine.bounded(client.docker.remove_container(name, Some(options))).await {
            Ok(()) => Ok(true),
            Err(error) => match status_of(&error) {
                Some(404) => Ok(true),
                Some(409) => Ok(false),
                _ => Err(failed(STOPPING, &error)),
            },
        }
    }

    async fn signal(&self, client: &Client, name: &str, signal: &str) -> Result<(), BackendError> {
        let options = KillContainerOptions { signal: signal.to_owned() };
        heard(self.engine.bounded(client.docker.kill_container(name, Some(options))).await)
    }

    /// Whether the engine tells within `limit` that the container does not run.
    async fn ends_within(&self, client: &Client, name: &str, limit: Duration) -> bool {
        let options = WaitContainerOptions { condition: "not-running".to_owned() };
        let mut answer = Box::pin(client.docker.wait_container(name, Some(options)));
        match tokio::time::timeout(limit, answer.next()).await {
            Ok(Some(Ok(_) | Err(Error::DockerContainerWaitError { .. }))) => true,
            Ok(Some(Err(error))) => Self::is_gone(&error),
            Ok(None) | Err(_) => false,
        }
    }
}

/// A container that is gone or has ended cannot be told anything, which is as good.
fn heard(answer: Result<(), Error>) -> Result<(), BackendError> {
    match answer {
        Ok(()) => Ok(()),
        Err(error) if matches!(status_of(&error), Some(404 | 409)) => Ok(()),
        Err(error) => Err(failed(STOPPING, &error)),
    }
}
