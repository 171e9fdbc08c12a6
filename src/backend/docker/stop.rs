//! Ending a run.

use std::time::Duration;

use bollard::errors::Error;
use bollard::query_parameters::{KillContainerOptions, RemoveContainerOptions, WaitContainerOptions};
use futures_util::StreamExt;
use tokio::time::{sleep, timeout};

use super::backend::Shared;
use super::connect::Client;
use super::ending::standing;
use super::error::{DOCKER, failed, is_not_running, status_of};
use crate::ports::{BackendError, RunRef, RunState};

const STOPPING: &str = "stopping the container";
/// Between looks at a container whose end the engine did not tell.
const LOOKS: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));

impl Shared {
    pub(super) async fn stop(&self, run: &RunRef, grace: Duration) -> Result<(), BackendError> {
        let client = self.engine.client().await?;
        // One that was created may be started in between: then it is stopped like any other.
        for _ in 0..3 {
            let Some(found) = self.inspect(run).await? else { return Ok(()) };
            let name = found.id.unwrap_or_else(|| run.name());
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
                    if self.ends_within(&client, run, grace).await {
                        continue; // and is seen to have ended
                    }
                    self.signal(&client, &name, "SIGKILL").await?;
                    self.ends_within(&client, run, self.settings.request_timeout).await;
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

    /// Whether the container is seen not to run within `limit`.
    async fn ends_within(&self, client: &Client, run: &RunRef, limit: Duration) -> bool {
        let end = async {
            let mut pause = LOOKS.0;
            while !self.is_told_of_the_end(client, run).await {
                // The request broke, which says nothing of the container.
                sleep(pause).await;
                pause = (pause * 2).min(LOOKS.1);
                if let Ok(found) = self.inspect(run).await
                    && found.is_none_or(|found| standing(&found.state.unwrap_or_default()) != Some(RunState::Running))
                {
                    break;
                }
            }
        };
        timeout(limit, end).await.is_ok()
    }

    /// Waits until the engine tells that the container does not run; `false` if the request broke before.
    async fn is_told_of_the_end(&self, client: &Client, run: &RunRef) -> bool {
        let options = WaitContainerOptions { condition: "not-running".to_owned() };
        let mut answer = Box::pin(client.docker.wait_container(&self.handle(run), Some(options)));
        match answer.next().await {
            Some(Ok(_) | Err(Error::DockerContainerWaitError { .. })) => true,
            Some(Err(error)) => Self::is_gone(&error),
            None => false,
        }
    }
}

/// A container that is gone or has ended cannot be told anything, which is as good.
fn heard(answer: Result<(), Error>) -> Result<(), BackendError> {
    match answer {
        Ok(()) => Ok(()),
        Err(error) if is_not_running(&error) => Ok(()),
        Err(error) => Err(failed(STOPPING, &error)),
    }
}
