//! What the outside may ask of the supervisor: submit, abort, delete, look.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio_util::task::TaskTracker;

use crate::config::{Config, Live, Service};
use crate::domain::{Caller, Job, JobId, Phase, Stage, Standing, Timestamp};
use crate::ports::{Clock, Sources, Store};

use super::context::Context;
use super::denied::Denied;
use super::figures::Noted;
use super::gate::Gate;
use super::message::{Message, StopWhy};
use super::publish::Waiters;
use super::quote::Experience;
use super::trouble::Trouble;
use super::uploads::Uploads;

/// Whether jobs can run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Readiness {
    /// Stored jobs are being held against what the backend still has, or the backend has not answered yet.
    Starting(String),
    /// Jobs run.
    Ready {
        /// The backend, name and version.
        backend: String,
    },
    /// The backend does not answer; the text says why and what to do. Jobs stay QUEUED, running ones are left alone.
    Unreachable(String),
}

/// What became of a deletion.
#[derive(Debug, Clone, PartialEq)]
pub struct Deleted {
    /// The job, as it was or as it is now if it could be ended at once.
    pub job: Job,
}

/// What handlers share with the supervisor.
pub(super) struct Shared {
    pub(super) store: Arc<dyn Store>,
    pub(super) sources: Arc<dyn Sources>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) config: Live,
    /// Jobs that wait, including those that are being accepted right now.
    pub(super) waiting: AtomicU64,
    /// Rung when there may be something to start.
    pub(super) wake: Notify,
    /// Rung when a deleted job's files may go.
    pub(super) swept: Notify,
    /// Rung by whoever waits for the backend in vain: it is to be looked at.
    pub(super) doubt: Notify,
    pub(super) standings: Mutex<HashMap<JobId, Standing>>,
    pub(super) readiness: watch::Sender<Readiness>,
    /// Why new jobs are refused, while there is too little room on a disk.
    pub(super) disk: watch::Sender<Option<String>>,
    /// Since when an operator drains the daemon, while that is so.
    pub(super) drained: watch::Sender<Option<Timestamp>>,
    /// Why nothing can be written down, or not to last, while that is so.
    pub(super) unwritable: watch::Sender<Option<Trouble>>,
    /// Requests that wait for a change of a job's phase.
    pub(super) waiters: Arc<Waiters>,
    /// Set once stored jobs were held against the backend's runs: nothing starts before.
    pub(super) is_reconciled: AtomicBool,
    /// What was begun for a request is finished, also when its client has gone away or the daemon stops.
    pub(super) deeds: TaskTracker,
    /// What is fetched before it is needed. It may take long and can be asked for again: no stop waits for it.
    pub(super) fetches: TaskTracker,
    /// How long jobs take.
    pub(super) experience: Experience,
    /// The files that came with jobs.
    pub(super) uploads: Uploads,
    /// What the supervisor does with files below the directory of jobs goes through it.
    pub(super) gate: Gate,
    /// Held while the parameters of a job are read, changed and written: of two such requests none may be lost.
    pub(super) negotiation: tokio::sync::Mutex<()>,
    /// What the tasks note for whoever looks at the daemon.
    pub(super) noted: Noted,
}

impl Shared {
    pub(super) fn set_stage(&self, id: JobId, stage: Option<Stage>) {
        let mut standings = self.standings.lock().unwrap_or_else(PoisonError::into_inner);
        match stage {
            Some(stage) => standings.insert(id, Standing { stage, detail: String::new() }),
            None => standings.remove(&id),
        };
    }

    /// Tells how the stage that a job is in goes.
    pub(super) fn set_detail(&self, id: JobId, detail: String) {
        let mut standings = self.standings.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(standing) = standings.get_mut(&id) {
            standing.detail = detail;
        }
    }
}

/// The service of that name.
pub(super) fn service_named<'a>(config: &'a Config, name: &str) -> Result<&'a Service, Denied> {
    config.services.get(name).ok_or_else(|| Denied::NoSuchService(name.to_owned()))
}

/// The supervisor's door for request handlers; cheap to clone.
#[derive(Clone)]
pub struct Handle {
    pub(super) shared: Arc<Shared>,
    pub(super) context: Arc<Context>,
    inbox: mpsc::Sender<Message>,
}

impl Handle {
    pub(super) fn new(context: Arc<Context>, inbox: mpsc::Sender<Message>) -> Self {
        Self { shared: Arc::clone(&context.shared), context, inbox }
    }

    /// Where the files of requests are put while they arrive.
    #[must_use]
    pub fn uploads(&self) -> &Uploads {
        &self.shared.uploads
    }

    /// Does `deed` to its end even if the caller stops waiting for it: a client that hangs up must leave nothing half
    /// done, nor must a stop.
    pub(super) async fn finish<T: Send + 'static>(
        &self,
        deed: impl Future<Output = Result<T, Denied>> + Send + 'static,
    ) -> Result<T, Denied> {
        self.shared.deeds.spawn(deed).await.unwrap_or_else(|error| {
            // Otherwise it is the end of the runtime.
            Err(if error.is_panic() { Denied::Panicked(error) } else { Denied::ShuttingDown })
        })
    }

    /// Deletes a job: from now on no list shows it; an active one is aborted first and its files go once it is gone.
    ///
    /// Doing it twice is the same as once, as long as the job is remembered.
    ///
    /// # Errors
    /// [`Denied::NoSuchJob`], also for a job of somebody else's; [`Denied::Store`].
    pub async fn delete(&self, caller: &Caller, id: JobId) -> Result<Deleted, Denied> {
        self.visible(caller, id).await?;
        let this = self.clone();
        self.finish(async move {
            let now = this.shared.clock.now();
            let job = this.shared.store.request_deletion(id, now).await?.ok_or(Denied::NoSuchJob(id))?;
            // Whoever waits for the job learns that it is not there any more.
            this.shared.waiters.ring(id);
            crate::crash::point("wish");
            let job = this.stop(job, StopWhy::Aborted).await?;
            Ok(Deleted { job })
        })
        .await
    }

    /// Aborts a job: it is ABORTED once everything that it started is verified gone.
    ///
    /// # Errors
    /// [`Denied::NoSuchJob`]; [`Denied::AlreadyFinal`] unless it was aborted already, which is success.
    pub async fn abort(&self, caller: &Caller, id: JobId) -> Result<Job, Denied> {
        self.visible(caller, id).await?;
        let this = self.clone();
        self.finish(async move {
            let job = this.shared.store.request_abort(id).await?.ok_or(Denied::NoSuchJob(id))?;
            match job.phase {
                Phase::Aborted => Ok(job),
                phase if phase.is_final() => Err(Denied::AlreadyFinal { id, phase }),
                _ => this.stop(job, StopWhy::Aborted).await,
            }
        })
        .await
    }

    /// Hands the wish to the supervisor; a job that has no run yet has ended when this returns.
    async fn stop(&self, job: Job, why: StopWhy) -> Result<Job, Denied> {
        if job.phase.is_final() {
            self.shared.swept.notify_one();
            return Ok(job);
        }
        let (reply, answer) = oneshot::channel();
        self.send(Message::Stop { id: job.id, why, reply }).await?;
        match answer.await {
            Ok(Some(ended)) => Ok(ended),
            // It has a run: its driver ends it. Or the daemon goes down: the wish is stored and met at the next start.
            Ok(None) | Err(_) => Ok(job),
        }
    }

    pub(super) async fn send(&self, message: Message) -> Result<(), Denied> {
        self.inbox.send(message).await.map_err(|_| Denied::ShuttingDown)
    }

    pub(super) async fn visible(&self, caller: &Caller, id: JobId) -> Result<Job, Denied> {
        let job = self.shared.store.job(id).await?.ok_or(Denied::NoSuchJob(id))?;
        if caller.may_use(job.owner.as_ref()) { Ok(job) } else { Err(Denied::NoSuchJob(id)) }
    }

    /// What a queued job is doing; `None` for a job that is not queued or waits for a slot.
    #[must_use]
    pub fn standing(&self, id: JobId) -> Option<Standing> {
        let mut standing = self.shared.standings.lock().unwrap_or_else(PoisonError::into_inner).get(&id).cloned()?;
        // A call to which no answer came yet tells nothing by itself.
        if standing.detail.is_empty()
            && standing.stage.asks_backend()
            && let Readiness::Unreachable(why) = &*self.shared.readiness.borrow()
        {
            standing.detail = format!("{why}; trying again");
        }
        Some(standing)
    }

    fn lack_of_room(&self) -> Option<Trouble> {
        let lack = self.shared.disk.borrow().clone()?;
        let is_stuck = self.shared.noted.makes_no_room.load(Ordering::Relaxed);
        let why = if is_stuck { format!("{lack}; old outputs cannot be removed, and the log says why") } else { lack };
        Some(Trouble::LackOfRoom { why, is_stuck })
    }

    /// Why no job can be accepted at the moment, if that is so: an operator drains the daemon, or it lacks room, or a
    /// database that can be written.
    #[must_use]
    pub fn trouble(&self) -> Option<Trouble> {
        let unwritable = || self.shared.unwritable.borrow().clone();
        self.drained().map(Trouble::Drained).or_else(|| self.lack_of_room()).or_else(unwritable)
    }

    /// Whether jobs can run.
    #[must_use]
    pub fn readiness(&self) -> Readiness {
        let readiness = self.shared.readiness.borrow().clone();
        match readiness {
            Readiness::Ready { backend } if !self.shared.is_reconciled.load(Ordering::Acquire) => {
                Readiness::Starting(format!("holding stored jobs against the runs that {backend} still has"))
            }
            other => other,
        }
    }
}
