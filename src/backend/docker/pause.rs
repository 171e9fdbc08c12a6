//! Halting a run and letting it go on, by the engine's freezer.

use super::backend::Shared;
use super::ending::standing;
use super::error::{failed, is_not_running};
use crate::ports::{BackendError, RunRef, RunState};

const PAUSING: &str = "pausing the container";
const RESUMING: &str = "resuming the container";

impl Shared {
    pub(super) async fn pause(&self, run: &RunRef) -> Result<(), BackendError> {
        if self.is_paused(run).await? != Some(false) {
            return Ok(());
        }
        let client = self.engine.client().await?;
        match self.engine.bounded(client.docker.pause_container(&self.handle(run))).await {
            Ok(()) => Ok(()),
            Err(error) if is_not_running(&error) => Ok(()), // it has ended meanwhile
            Err(error) => Err(failed(PAUSING, &error)),
        }
    }

    pub(super) async fn resume(&self, run: &RunRef) -> Result<(), BackendError> {
        if self.is_paused(run).await? != Some(true) {
            return Ok(());
        }
        let client = self.engine.client().await?;
        match self.engine.bounded(client.docker.unpause_container(&self.handle(run))).await {
            Ok(()) => Ok(()),
            Err(error) if is_not_running(&error) => Ok(()),
            Err(error) => Err(failed(RESUMING, &error)),
        }
    }

    /// Whether a run that runs is halted; `None`: it does not run.
    async fn is_paused(&self, run: &RunRef) -> Result<Option<bool>, BackendError> {
        let state = self.inspect(run).await?.and_then(|found| found.state).unwrap_or_default();
        let is_running = standing(&state) == Some(RunState::Running);
        Ok(is_running.then_some(state.paused == Some(true)))
    }
}
