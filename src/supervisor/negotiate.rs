//! What a client may change of a job that it has: parameters, limits, and that it is run.

use std::sync::Arc;
use std::time::Duration;

use crate::config::Service;
use crate::domain::{Caller, Job, JobId, Phase, RunId, Timestamp, Work};
use crate::ports::{Change, StoreError, Update};

use super::acceptable;
use super::denied::Denied;
use super::handle::Handle;
use super::limits;
use super::publish::Waiter;
use super::uploads::{Staged, replaced};

impl Handle {
    /// Queues a job that is PENDING or HELD: it is QUEUED, and durable, when this returns (UWS 1.1 §2.2.3.5).
    ///
    /// # Errors
    /// [`Denied::WrongPhase`] in any other phase, and while an operator holds it; [`Denied::Unacceptable`] if something
    /// that it needs is missing.
    pub async fn run(&self, caller: &Caller, id: JobId) -> Result<Job, Denied> {
        let job = self.visible(caller, id).await?;
        let shared = Arc::clone(&self.shared);
        let service = self.service(&job)?.clone();
        self.finish(async move {
            let _alone = shared.negotiation.lock().await;
            let now = shared.clock.now();
            let job = shared.store.job(id).await?.ok_or(Denied::NoSuchJob(id))?;
            let why = match job.held_from {
                Some(_) => "an operator holds it, and has to release it first",
                None => "PHASE=RUN is for jobs that are PENDING or HELD",
            };
            if matches!(job.phase, Phase::Pending | Phase::Held) && job.held_from.is_none() {
                let complete = acceptable::complete(&service, job.work.clone())?;
                if complete != job.work && job.phase == Phase::Pending {
                    let update = Update::Work(complete, job.reservation);
                    shared.store.update(id, update).await.map_err(|error| too_late(error, why))?;
                }
            }
            let changed = shared.store.change(id, Change::Run, now).await;
            let changed = changed.map_err(|error| too_late(error, why))?;
            shared.waiters.ring(id);
            shared.wake.notify_one();
            Ok(changed.job)
        })
        .await
    }

    /// Changes what a PENDING job is asked to do, given its present work (UWS 1.1 §2.1.11), and gives it the files that
    /// came with the request.
    ///
    /// # Errors
    /// [`Denied::WrongPhase`] in any other phase, [`Denied::Unacceptable`], and what `change` refuses.
    pub async fn change_work<E>(
        &self,
        caller: &Caller,
        id: JobId,
        staged: Option<Staged>,
        change: impl FnOnce(Work) -> Result<Work, E> + Send + 'static,
    ) -> Result<Job, E>
    where
        E: From<Denied> + Send + 'static,
    {
        let job = self.visible(caller, id).await?;
        let service = self.service(&job)?.clone();
        let this = self.clone();
        let changed = self.shared.deeds.spawn(async move {
            let shared = &this.shared;
            let _alone = shared.negotiation.lock().await;
            let job = shared.store.job(id).await.map_err(Denied::Store)?.ok_or(Denied::NoSuchJob(id))?;
            let why = "parameters can be changed while a job is PENDING";
            if job.phase != Phase::Pending {
                return Err(Denied::WrongPhase { id, phase: job.phase, why }.into());
            }
            let before = job.work.clone();
            let mut work = change(job.work)?;
            for upload in staged.iter().flat_map(Staged::files) {
                work.uploads.retain(|old| old.name != upload.name);
                work.uploads.push(upload.clone());
            }
            let work = acceptable::work(&service, work)?;
            let reservation = this.check(&service, &work)?;
            if let Some(staged) = &staged {
                shared.uploads.adopt(id, staged).await.map_err(Denied::Upload)?;
            }
            let changed = shared.store.update(id, Update::Work(work.clone(), reservation)).await;
            let no_longer = if changed.is_ok() { replaced(&before, &work) } else { replaced(&work, &before) };
            shared.uploads.discard(id, no_longer).await;
            changed.map_err(|error| too_late(error, why).into())
        });
        changed.await.unwrap_or_else(|_| Err(Denied::ShuttingDown.into()))
    }

    fn service(&self, job: &Job) -> Result<&Service, Denied> {
        self.shared.services.get(&job.service).ok_or_else(|| Denied::NoSuchService(job.service.clone()))
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
        let service = self.service(&job)?;
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
        let service = self.service(&job)?;
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
pub(super) fn too_late(error: StoreError, why: &'static str) -> Denied {
    match error {
        StoreError::PhaseChanged { id, actual, .. } => Denied::WrongPhase { id, phase: actual, why },
        StoreError::NoSuchJob(id) => Denied::NoSuchJob(id),
        error @ (StoreError::Full { .. }
        | StoreError::Failed { .. }
        | StoreError::Closed
        | StoreError::KeyReused(_)) => Denied::Store(error),
    }
}
