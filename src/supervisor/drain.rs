//! Draining: no job is accepted and none is started, those that run go on. It is stored, and so outlives restarts.
//!
//! A job that is being prepared then goes back into the queue.

use tracing::info;

use crate::domain::{Job, JobFilter, Page, Phase, Timestamp};
use crate::ports::{StoreError, Totals};

use super::denied::Denied;
use super::handle::{Handle, Readiness};
use super::trouble::Trouble;

/// How many jobs that run are told by name.
const MOST: u32 = 100;

/// How the daemon does.
#[derive(Debug, Clone, PartialEq)]
pub struct Status {
    /// Since when it is drained, if it is.
    pub drained: Option<Timestamp>,
    /// Whether jobs can run.
    pub readiness: Readiness,
    /// Why no job is accepted, if none is.
    pub trouble: Option<Trouble>,
    /// How many jobs wait.
    pub waiting: u64,
    /// How many execute or are suspended; while the daemon is drained also those that have not given their place back.
    pub running_total: u64,
    /// Those that execute or are suspended, the newest first, at most a hundred.
    pub running: Vec<Job>,
}

impl Handle {
    /// Accepts and starts no job any more, until [`Self::undrain`]; twice is the same as once.
    ///
    /// # Errors
    /// [`Denied::Store`]: then it is as before.
    pub async fn drain(&self) -> Result<(), Denied> {
        let this = self.clone();
        self.finish(async move {
            let since = this.shared.store.set_drained(Some(this.shared.clock.now())).await?;
            if this.shared.drained.send_replace(since).is_none() {
                info!("an operator drains this daemon: no job is accepted or started any more");
            }
            Ok(())
        })
        .await
    }

    /// Accepts and starts jobs again.
    ///
    /// # Errors
    /// [`Denied::Store`]: then it is as before.
    pub async fn undrain(&self) -> Result<(), Denied> {
        let this = self.clone();
        self.finish(async move {
            this.shared.store.set_drained(None).await?;
            if this.shared.drained.send_replace(None).is_some() {
                info!("jobs are accepted and started again");
            }
            this.shared.wake.notify_one();
            Ok(())
        })
        .await
    }

    /// Why no job is accepted or started, while an operator drains the daemon.
    #[must_use]
    pub fn drained(&self) -> Option<String> {
        let since = (*self.shared.drained.borrow())?;
        Some(format!("drained by an operator since {}, who ends it with uwsd undrain", since.to_iso()))
    }

    /// How the daemon does.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn status(&self) -> Result<Status, StoreError> {
        let store = &self.shared.store;
        let filter = JobFilter { phases: vec![Phase::Executing, Phase::Suspended], ..JobFilter::default() };
        let running = store.jobs(&filter, Page { after: None, limit: MOST }).await?;
        let drained = *self.shared.drained.borrow();
        // Before the store: what is about to be launched is in the one count or the other.
        let places = self.figures().taken.jobs;
        let Totals { waiting, executing } = store.totals().await?;
        Ok(Status {
            drained,
            waiting,
            running_total: if drained.is_some() { executing.max(places) } else { executing },
            readiness: self.readiness(),
            trouble: self.trouble(),
            running,
        })
    }
}
