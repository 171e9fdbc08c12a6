//! What a client may change of a job that it has: parameters, limits, and that it is run.

use std::sync::Arc;
use std::time::Duration;

use crate::domain::{Caller, Job, JobId, Phase, RunId, Timestamp, Work};
use crate::ports::{Change, StoreError, Update};

use super::handle::{Denied, Handle, no_command};
use super::limits;
use super::publish::Waiter;

impl Handle {
    /// Queues a job that is PENDING or HELD: it is QUEUED, and durable, when this returns (UWS 1.1 §2.2.3.5).
    ///
    /// # Errors
    /// [`Denied::WrongPhase`] in any other phase, [`Denied::Unacceptable`] if it has no command yet.
    pub async fn run(&self, caller: &Caller, id: JobId) -> Result<Job, Denied> {
        let job = self.visible(caller, id).await?;
        if job.phase == Phase::Pending && job.work.command.trim().is_empty() {
            return Err(no_command());
        }
        let shared = Arc::clone(&self.shared);
        self.finish(async move {
            let now = shared.clock.now();
            let why = "PHASE=RUN is for jobs that are PENDING or HELD";
            let changed = shared.store.change(id, Change::Move(Phase::Queued), now).await;
            let changed = changed.map_err(|error| too_late(error, why))?;
            shared.waiters.ring(id);
            shared.wake.notify_one();
            Ok(changed.job)
        })
        .await
    }

    /// Changes what a PENDING job is asked to do, given its present work (UWS 1.1 §2.1.11).
    ///
    /// # Errors
    /// [`Denied::WrongPhase`] in any other phase, [`Denied::Unacceptable`], and what `change` refuses.
    pub async fn change_work<E: From<Denied>>(
        &self,
        caller: &Caller,
        id: JobId,
        change: impl FnOnce(Work) -> Result<Work, E>,
    ) -> Result<Job, E> {
        let job = self.visible(caller, id).await?;
        let why = "parameters can be changed while a job is PENDING";
        if job.phase != Phase::Pending {
            return Err(Denied::WrongPhase { id, phase: job.phase, why }.into());
        }
        let Some(service) = self.shared.services.get(&job.service) else {
            return Err(Denied::NoSuchService(job.service).into());
        };
        let work = change(job.work)?;
        let reservation = self.check(service, &work)?;
        Ok(self.update(id, Update::Work(work, reservation), why).await?)
    }

    /// Names a PENDING job (UWS 1.1 §2.1.9).
    ///
    /// # Errors
    /// [`Denied::WrongPhase`] in any other phase.
    pub async fn set_run_id(&self, caller: &Caller, id: JobId, run_id: RunId) -> Result<Job, Denied> {
        self.visible(caller, id).await?;
        self.update(id, Update::RunId(run_id), "its run id can be changed while it is PENDING").await
    }

    /// Sets how long a job may execute, clamped to what the service allows; `None` is without limit (UWS 1.1 §2.2.3.4).
    ///
    /// # Errors
    /// [`Denied::WrongPhase`] once it executes.
    pub async fn set_execution_duration(
        &self,
        caller: &Caller,
        id: JobId,
        asked: Option<Duration>,
    ) -> Result<Job, Denied> {
        let job = self.visible(caller, id).await?;
        let service = self.shared.services.get(&job.service).ok_or(Denied::NoSuchService(job.service))?;
        let limit = limits::execution_duration(service, asked);
        self.update(id, Update::ExecutionDuration(limit), "its execution duration is settled").await
    }

    /// Sets when a job is destroyed, clamped to what the service allows; `None` is as late as possible (UWS 1.1
    /// §2.2.3.3).
    ///
    /// # Errors
    /// [`Denied::WrongPhase`] once it is ARCHIVED.
    pub async fn set_destruction(&self, caller: &Caller, id: JobId, asked: Option<Timestamp>) -> Result<Job, Denied> {
        let job = self.visible(caller, id).await?;
        let service = self.shared.services.get(&job.service).ok_or(Denied::NoSuchService(job.service))?;
        let at = limits::destruction(service, asked, self.shared.clock.now());
        let job = self.update(id, Update::Destruction(at), "it is destroyed already").await?;
        // The next destruction may be sooner now.
        self.shared.swept.notify_one();
        Ok(job)
    }

    /// Subscribes to the changes of a job's phase. To miss none: subscribe, read the job, then wait.
    #[must_use]
    pub fn subscribe(&self, id: JobId) -> Waiter {
        self.shared.waiters.subscribe(id)
    }

    async fn update(&self, id: JobId, update: Update, why: &'static str) -> Result<Job, Denied> {
        let shared = Arc::clone(&self.shared);
        self.finish(async move { shared.store.update(id, update).await.map_err(|error| too_late(error, why)) }).await
    }
}

/// The refusal for a change that came in the wrong phase.
fn too_late(error: StoreError, why: &'static str) -> Denied {
    match error {
        StoreError::PhaseChanged { id, actual, .. } => Denied::WrongPhase { id, phase: actual, why },
        StoreError::NoSuchJob(id) => Denied::NoSuchJob(id),
        error @ (StoreError::Full { .. } | StoreError::Failed { .. } | StoreError::Closed) => Denied::Store(error),
    }
}
