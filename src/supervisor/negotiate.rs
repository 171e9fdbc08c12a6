//! What a client may change of a job that it has: parameters, limits, and that it is run.

use std::sync::Arc;
use std::time::Duration;

use crate::config::Service;
use crate::domain::{Caller, Job, JobId, RunId, Timestamp, Work};
use crate::ports::{Change, StoreError, Update};

use super::acceptable;
use super::denied::Denied;
use super::files;
use super::handle::{Handle, service_named};
use super::limits;
use super::publish::Waiter;
use super::submit::Asked;
use super::uploads::{Staged, replaced};

/// Why parameters are not changed.
const SETTLED: &str = "parameters can be changed while a job is PENDING";

/// What may stand beside parameters.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Terms {
    /// The client's own name for the job.
    pub run_id: Option<RunId>,
    /// How long it may execute; `None` is without limit.
    pub execution_duration: Asked<Option<Duration>>,
    /// When it is destroyed; `None` is as late as possible.
    pub destruction: Asked<Option<Timestamp>>,
    /// How long it has between TERM and KILL; it goes with the work.
    pub kill_grace: Asked<Duration>,
}

impl Terms {
    fn updates(self, service: &Service, now: Timestamp) -> impl Iterator<Item = Update> {
        let duration = self.execution_duration.value().map(|asked| limits::execution_duration(service, asked));
        let destruction = self.destruction.value().map(|asked| limits::destruction(service, asked, now));
        let run_id = self.run_id.map(Update::RunId);
        run_id.into_iter().chain(duration.map(Update::ExecutionDuration)).chain(destruction.map(Update::Destruction))
    }
}

impl Handle {
    /// Queues a job that is PENDING or HELD: it is QUEUED, and durable, when this returns (UWS 1.1 §2.2.3.5).
    ///
    /// # Errors
    /// [`Denied::WrongPhase`] in any other phase, and while an operator holds it; [`Denied::Unacceptable`] if something
    /// that it needs is missing.
    pub async fn run(&self, caller: &Caller, id: JobId) -> Result<Job, Denied> {
        let job = self.visible(caller, id).await?;
        let this = self.clone();
        let service = self.service(&job)?;
        self.finish(async move {
            let shared = &this.shared;
            let _alone = shared.negotiation.lock().await;
            let now = shared.clock.now();
            let job = shared.store.job(id).await?.ok_or(Denied::NoSuchJob(id))?;
            let why = match job.held_from {
                Some(_) => "an operator holds it, and has to release it first",
                None => "PHASE=RUN is for jobs that are PENDING or HELD",
            };
            if job.is_open() {
                let complete = acceptable::complete(&service, job.work.clone())?;
                if complete != job.work {
                    let update = Update::Work(complete, job.reservation);
                    shared.store.update(id, vec![update]).await.map_err(|error| too_late(error, why))?;
                }
            }
            let run = Change::Run { since_boot: shared.clock.since_boot(), is_exclusive: service.one_at_a_time };
            let changed = shared.store.change(id, run, now).await;
            let changed = changed.map_err(|error| too_late(error, why))?;
            this.context.changed(&changed);
            shared.wake.notify_one();
            Ok(changed.job)
        })
        .await
    }

    /// Changes what a job is asked to do, while it is PENDING or HELD by nobody any more, given its present work (UWS 1.1
    /// §2.1.11), gives it the files that came with the request, and sets what else stood in it: all of it or nothing. Files
    /// that no parameter asks for any more go.
    ///
    /// # Errors
    /// [`Denied::WrongPhase`] in any other phase, and [`Denied::Unacceptable`].
    pub async fn change_work(
        &self,
        caller: &Caller,
        id: JobId,
        (staged, terms): (Option<Staged>, Terms),
        change: impl FnOnce(Work) -> Work + Send + 'static,
    ) -> Result<Job, Denied> {
        let job = self.visible(caller, id).await?;
        let service = self.service(&job)?;
        let this = self.clone();
        self.finish(async move {
            let shared = &this.shared;
            let _alone = shared.negotiation.lock().await;
            let job = open(shared.store.job(id).await?.ok_or(Denied::NoSuchJob(id))?)?;
            let before = job.work.clone();
            let mut work = acceptable::values(&service, change(job.work))?;
            work.kill_grace = terms.kill_grace.value().or(work.kill_grace);
            files::give(&service, &mut work, staged.iter().flat_map(Staged::files));
            let work = acceptable::work(&service, work)?;
            let mut updates = vec![Update::Work(work.clone(), this.check(&service, &work)?)];
            updates.extend(terms.updates(&service, shared.clock.now()));
            if let Some(staged) = &staged
                && let Err(error) = shared.uploads.adopt(id, staged).await
            {
                // Some of them may be the job's by now.
                shared.uploads.discard(id, staged.files().iter()).await;
                return Err(Denied::Upload(error));
            }
            let changed = shared.store.update(id, updates).await;
            let no_longer = if changed.is_ok() { replaced(&before, &work) } else { replaced(&work, &before) };
            shared.uploads.discard(id, no_longer).await;
            // The next destruction may be sooner now.
            shared.swept.notify_one();
            changed.map_err(|error| too_late(error, SETTLED))
        })
        .await
    }

    /// Looks at such a change before the files that it names by URL are fetched.
    ///
    /// # Errors
    /// What refuses it, whatever is in those files.
    pub async fn foresee_change(
        &self,
        caller: &Caller,
        id: JobId,
        change: impl FnOnce(Work) -> Work,
    ) -> Result<(), Denied> {
        let job = open(self.visible(caller, id).await?)?;
        let service = self.service(&job)?;
        let work = acceptable::values(&service, change(job.work))?;
        self.check(&service, &work).map(drop)
    }

    fn service(&self, job: &Job) -> Result<Service, Denied> {
        service_named(&self.shared.config.get(), &job.service).cloned()
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
        let limit = limits::execution_duration(&service, asked);
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
        let at = limits::destruction(&service, asked, self.shared.clock.now());
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
        self.finish(async move { shared.store.update(id, vec![update]).await.map_err(|error| too_late(error, why)) })
            .await
    }
}

/// The job, if its client may still change what it is asked to do.
fn open(job: Job) -> Result<Job, Denied> {
    if job.is_open() { Ok(job) } else { Err(Denied::WrongPhase { id: job.id, phase: job.phase, why: SETTLED }) }
}

/// The refusal for a change that came in the wrong phase.
pub(super) fn too_late(error: StoreError, why: &'static str) -> Denied {
    match error {
        StoreError::PhaseChanged { id, actual, .. } => Denied::WrongPhase { id, phase: actual, why },
        StoreError::NoSuchJob(id) => Denied::NoSuchJob(id),
        error @ (StoreError::Full { .. }
        | StoreError::Unwritable { .. }
        | StoreError::Replaced { .. }
        | StoreError::Failed { .. }
        | StoreError::Closed
        | StoreError::Busy(_)
        | StoreError::KeyReused(_)) => Denied::Store(error),
    }
}
