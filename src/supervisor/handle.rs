//! What the outside may ask of the supervisor: submit, abort, delete, look.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio_util::task::TaskTracker;

use crate::config;
use crate::domain::{Caller, IdempotencyKey, Job, JobId, NewJob, Phase, Reservation, RunId, Stage, Timestamp, Work};
use crate::ports::{Clock, Sources, Store};

use super::acceptable;
use super::denied::Denied;
use super::idempotency::fingerprint;
use super::limits;
use super::message::{Message, StopWhy};
use super::publish::Waiters;
use super::quote::Experience;
use super::uploads::{Staged, Uploads};

/// A limit that a client may leave to the service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Asked<T> {
    /// The service's default.
    #[default]
    Default,
    /// This value; it is clamped to what the service allows.
    For(T),
}

/// What a client hands in.
#[derive(Debug, Clone, PartialEq)]
pub struct Submission {
    /// The service (job list) that it is for.
    pub service: String,
    /// The client's own name for it.
    pub run_id: Option<RunId>,
    /// What is to be done.
    pub work: Work,
    /// Whether it is queued at once; else it is PENDING until it is run (UWS 1.1 §2.2.3.1).
    pub is_run: bool,
    /// How long it may execute; `None` is without limit.
    pub execution_duration: Asked<Option<Duration>>,
    /// When it is destroyed; `None` is as late as possible.
    pub destruction: Asked<Option<Timestamp>>,
    /// The client's key for this request: sent again with it, it makes no second job.
    pub idempotency_key: Option<String>,
}

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
    pub(super) services: BTreeMap<String, config::Service>,
    pub(super) queue: config::Queue,
    /// Jobs that wait, including those that are being accepted right now.
    pub(super) waiting: AtomicU64,
    /// Rung when there may be something to start.
    pub(super) wake: Notify,
    /// Rung when a deleted job's files may go.
    pub(super) swept: Notify,
    pub(super) stages: Mutex<HashMap<JobId, Stage>>,
    pub(super) readiness: watch::Sender<Readiness>,
    /// Requests that wait for a change of a job's phase.
    pub(super) waiters: Arc<Waiters>,
    /// Set once stored jobs were held against the backend's runs: nothing starts before.
    pub(super) is_reconciled: AtomicBool,
    /// What was begun for a request is finished, also when its client has gone away.
    pub(super) deeds: TaskTracker,
    /// How long jobs take.
    pub(super) experience: Experience,
    /// The files that came with jobs.
    pub(super) uploads: Uploads,
    /// Held while the parameters of a job are read, changed and written: of two such requests none may be lost.
    pub(super) negotiation: tokio::sync::Mutex<()>,
}

impl Shared {
    pub(super) fn set_stage(&self, id: JobId, stage: Option<Stage>) {
        let mut stages = self.stages.lock().unwrap_or_else(PoisonError::into_inner);
        match stage {
            Some(stage) => stages.insert(id, stage),
            None => stages.remove(&id),
        };
    }
}

/// The supervisor's door for request handlers; cheap to clone.
#[derive(Clone)]
pub struct Handle {
    pub(super) shared: Arc<Shared>,
    inbox: mpsc::Sender<Message>,
}

impl Handle {
    pub(super) const fn new(shared: Arc<Shared>, inbox: mpsc::Sender<Message>) -> Self {
        Self { shared, inbox }
    }

    /// Accepts a job: it is durable and QUEUED, or PENDING, when this returns. A request that is sent again with its
    /// idempotency key is answered with the job that it made first.
    ///
    /// # Errors
    /// [`Denied::NoSuchService`], [`Denied::Unacceptable`], [`Denied::QueueFull`], [`Denied::Store`]; nothing is
    /// accepted then.
    pub async fn submit(
        &self,
        caller: &Caller,
        mut submission: Submission,
        staged: Option<Staged>,
    ) -> Result<Job, Denied> {
        let now = self.shared.clock.now();
        submission.work.uploads.extend(staged.iter().flat_map(|staged| staged.files().iter().cloned()));
        let job = self.accept(caller, submission, now)?;
        let shared = Arc::clone(&self.shared);
        self.finish(async move {
            let place = Place::reserve(&shared.waiting, shared.queue.max_queued)?;
            let id = job.id;
            let adopted = match &staged {
                Some(staged) => shared.uploads.adopt(id, staged).await.map_err(Denied::Upload),
                None => Ok(()),
            };
            let accepted = match adopted {
                Ok(()) => shared.store.submit(job).await.map_err(Denied::from),
                Err(denied) => Err(denied),
            };
            if !accepted.as_ref().is_ok_and(|accepted| !accepted.is_replay)
                && let Err(error) = shared.uploads.remove(id).await
            {
                tracing::warn!("the uploads of a request that made no job are still there: {error}");
            }
            let accepted = accepted?;
            if !accepted.is_replay {
                place.keep();
                shared.wake.notify_one();
            }
            Ok(accepted.job)
        })
        .await
    }

    /// Where the files of requests are put while they arrive.
    #[must_use]
    pub fn uploads(&self) -> &Uploads {
        &self.shared.uploads
    }

    /// Does `deed` to its end even if the caller stops waiting for it: a client that hangs up must leave nothing half
    /// done.
    pub(super) async fn finish<T: Send + 'static>(
        &self,
        deed: impl Future<Output = Result<T, Denied>> + Send + 'static,
    ) -> Result<T, Denied> {
        // An error here is a panic of the deed, or the end of the runtime.
        self.shared.deeds.spawn(deed).await.unwrap_or(Err(Denied::ShuttingDown))
    }

    fn accept(&self, caller: &Caller, submission: Submission, now: Timestamp) -> Result<NewJob, Denied> {
        let idempotency = submission.idempotency_key.clone();
        let idempotency = idempotency.map(|key| IdempotencyKey { key, fingerprint: fingerprint(&submission) });
        let Submission { service: name, run_id, work, is_run, execution_duration, destruction, .. } = submission;
        let Some(service) = self.shared.services.get(&name) else { return Err(Denied::NoSuchService(name)) };
        let work = acceptable::work(service, work)?;
        let work = if is_run { acceptable::complete(service, work)? } else { work };
        let reservation = self.check(service, &work)?;
        Ok(NewJob {
            id: JobId::new(now),
            service: name,
            owner: caller.owner(),
            run_id,
            phase: if is_run { Phase::Queued } else { Phase::Pending },
            created_at: now,
            execution_duration: match execution_duration {
                Asked::Default => service.execution_duration,
                Asked::For(asked) => limits::execution_duration(service, asked),
            },
            destruction: match destruction {
                Asked::Default => service.destruction.map(|after| now.after(after)),
                Asked::For(asked) => limits::destruction(service, asked, now),
            },
            reservation,
            work,
            idempotency,
        })
    }

    /// Refuses work that could never be done; returns what it reserves.
    pub(super) fn check(&self, service: &config::Service, work: &Work) -> Result<Reservation, Denied> {
        if work.size() > Work::MAX_SIZE {
            let why = format!(
                "command, url, commit_ref, environment and other parameters are {} bytes in all; {} is the most that one \
                 job can be given",
                work.size(),
                Work::MAX_SIZE
            );
            return Err(Denied::Unacceptable { field: "command".to_owned(), why });
        }
        if work.replicas == 0 || work.replicas > service.max_replicas {
            let why = format!("replicas is {}; give 1 to {}", work.replicas, service.max_replicas);
            return Err(Denied::Unacceptable { field: "replicas".to_owned(), why });
        }
        let reservation = Reservation {
            cpus: service.cpus * f64::from(work.replicas),
            memory: service.memory.saturating_mul(u64::from(work.replicas)),
        };
        let queue = &self.shared.queue;
        if reservation.cpus > queue.cpus || reservation.memory > queue.memory {
            let why = format!(
                "replicas: {} of them would reserve {} CPUs and {} bytes of memory; this host gives out {} and {}",
                work.replicas, reservation.cpus, reservation.memory, queue.cpus, queue.memory
            );
            return Err(Denied::Unacceptable { field: "replicas".to_owned(), why });
        }
        if let Some(source) = work.source.as_ref().filter(|source| !source.url.is_empty()) {
            self.shared.sources.check(source).map_err(|why| {
                let why = if why.contains("commit_ref") { why } else { format!("url: {why}") };
                Denied::Unacceptable { field: "url".to_owned(), why }
            })?;
        }
        Ok(reservation)
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
    pub fn stage(&self, id: JobId) -> Option<Stage> {
        self.shared.stages.lock().unwrap_or_else(PoisonError::into_inner).get(&id).copied()
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

/// A place in the queue, given back unless the job was accepted.
struct Place<'a> {
    waiting: Option<&'a AtomicU64>,
}

impl<'a> Place<'a> {
    fn reserve(waiting: &'a AtomicU64, max: u64) -> Result<Self, Denied> {
        let before = waiting.fetch_add(1, Ordering::Relaxed);
        let place = Self { waiting: Some(waiting) };
        if before >= max {
            return Err(Denied::QueueFull { waiting: before, retry_after: Duration::from_secs(10) });
        }
        Ok(place)
    }

    fn keep(mut self) {
        self.waiting = None;
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        if let Some(waiting) = self.waiting {
            waiting.fetch_sub(1, Ordering::Relaxed);
        }
    }
}
