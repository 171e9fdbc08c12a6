//! What an operator may order of a job: hold and release, suspend and resume.

use std::time::Duration;

use tokio::sync::oneshot;

use crate::domain::{Caller, Job, JobId, Phase};
use crate::ports::{Change, Update};

use super::denied::Denied;
use super::handle::Handle;
use super::message::{Disobeyed, Message, Order, Ordered};
use super::negotiate::too_late;

/// How long an order may take.
const PATIENCE: Duration = Duration::from_secs(90);

impl Handle {
    /// Keeps a job that is PENDING or QUEUED from running: it is HELD when this returns. Doing it twice is success.
    ///
    /// # Errors
    /// [`Denied::WrongPhase`] in any other phase, [`Denied::NoSuchJob`].
    pub async fn hold(&self, caller: &Caller, id: JobId) -> Result<Job, Denied> {
        let job = self.visible(caller, id).await?;
        if job.phase == Phase::Held && job.held_from.is_some() {
            return Ok(job);
        }
        self.order(caller, id, Order::Hold).await
    }

    /// Lets a job go on that an operator holds: to QUEUED, or if it was PENDING before, to where its client may run it.
    ///
    /// # Errors
    /// [`Denied::WrongPhase`] if nobody holds it, [`Denied::NoSuchJob`].
    pub async fn release(&self, caller: &Caller, id: JobId) -> Result<Job, Denied> {
        let why = "only a job that an operator holds can be released";
        let job = self.visible(caller, id).await?;
        let this = self.clone();
        let was = job.held_from.ok_or(Denied::WrongPhase { id, phase: job.phase, why })?;
        self.finish(async move {
            let shared = &this.shared;
            let job = if was == Phase::Queued {
                let release = Change::Release(shared.clock.since_boot());
                let changed = shared.store.change(id, release, shared.clock.now()).await;
                let changed = changed.map_err(|error| too_late(error, why))?;
                this.context.changed(&changed);
                shared.wake.notify_one();
                changed.job
            } else {
                shared.store.update(id, vec![Update::LetGo]).await.map_err(|error| too_late(error, why))?
            };
            tracing::info!(job.id = %id, "an operator released job {id}");
            Ok(job)
        })
        .await
    }

    /// Puts a job that has not started `priority` (0 to 100) before others: first those of its service and owner, with that of its
    /// service the jobs of other services.
    ///
    /// # Errors
    /// [`Denied::WrongPhase`] once it executes, [`Denied::NoSuchJob`].
    pub async fn prioritize(&self, caller: &Caller, id: JobId, priority: u32) -> Result<Job, Denied> {
        let why = "only a job that has not started can be put before others";
        self.visible(caller, id).await?;
        let shared = std::sync::Arc::clone(&self.shared);
        self.finish(async move {
            let job = shared.store.update(id, vec![Update::Priority(priority)]).await;
            let job = job.map_err(|error| too_late(error, why))?;
            tracing::info!(job.id = %id, "an operator gave job {id} a priority of {priority}");
            shared.wake.notify_one();
            Ok(job)
        })
        .await
    }

    /// Halts everything that an EXECUTING job runs: it is SUSPENDED when this returns, and its execution limit stands
    /// still. Doing it twice is success.
    ///
    /// # Errors
    /// [`Denied::WrongPhase`] in any other phase; [`Denied::Backend`] if the backend cannot, [`Denied::Store`] if it cannot
    /// be written down, and then it runs on.
    pub async fn suspend(&self, caller: &Caller, id: JobId) -> Result<Job, Denied> {
        self.order(caller, id, Order::Suspend).await
    }

    /// Lets a SUSPENDED job go on: it is EXECUTING when this returns. Doing it twice is success.
    ///
    /// # Errors
    /// [`Denied::WrongPhase`] in any other phase; [`Denied::Backend`], [`Denied::Store`], and then it stays halted.
    pub async fn resume(&self, caller: &Caller, id: JobId) -> Result<Job, Denied> {
        self.order(caller, id, Order::Resume).await
    }

    async fn order(&self, caller: &Caller, id: JobId, order: Order) -> Result<Job, Denied> {
        self.visible(caller, id).await?;
        let (reply, answer) = oneshot::channel();
        let message = Message::Order { id, ordered: Ordered { order, reply } };
        self.send(message).await?;
        let answer = tokio::time::timeout(PATIENCE, answer).await;
        let job = self.visible(caller, id).await?;
        match answer {
            Ok(Ok(Ok(()))) => Ok(job),
            Ok(Ok(Err(Disobeyed::Backend(why)))) => Err(Denied::Backend { id, why }),
            Ok(Ok(Err(Disobeyed::Store(error)))) => Err(too_late(error, order.refusal())),
            // No word: its driver has ended, and so has the job, or it is about to be started.
            Ok(Ok(Err(Disobeyed::WrongPhase)) | Err(_)) => {
                Err(Denied::WrongPhase { id, phase: job.phase, why: order.refusal() })
            }
            Err(_) => Err(Denied::Backend { id, why: format!("no answer within {} s", PATIENCE.as_secs()) }),
        }
    }
}
