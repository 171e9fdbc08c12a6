//! A job comes in: it is made once and durable, or refused and leaves nothing behind.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::config::Service;
use crate::domain::{Caller, IdempotencyKey, Job, JobId, NewJob, OwnerId, Phase, Reservation, RunId, Timestamp, Work};
use crate::ports::UnfitSource;

use super::acceptable;
use super::denied::Denied;
use super::handle::{Handle, service_named};
use super::idempotency::fingerprint;
use super::limits;
use super::uploads::Staged;

/// A limit that a client may leave to the service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Asked<T> {
    /// The service's default.
    #[default]
    Default,
    /// This value; it is clamped to what the service allows.
    For(T),
}

impl<T> Asked<T> {
    /// The value, if one was asked for.
    #[must_use]
    pub fn value(self) -> Option<T> {
        match self {
            Self::Default => None,
            Self::For(value) => Some(value),
        }
    }
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

impl Handle {
    /// Accepts a job: it is durable and QUEUED, or PENDING, when this returns. A request that is sent again with its
    /// idempotency key is answered with the job that it made first, also if nothing more would be accepted.
    ///
    /// # Errors
    /// [`Denied::NoSuchService`], [`Denied::Unacceptable`], [`Denied::QueueFull`], [`Denied::NotAccepting`],
    /// [`Denied::Store`]; nothing is accepted then.
    pub async fn submit(
        &self,
        caller: &Caller,
        mut submission: Submission,
        staged: Option<Staged>,
    ) -> Result<Job, Denied> {
        let key = key(&submission, staged.as_ref());
        if let Some(first) = self.made_by(caller, key.as_ref()).await? {
            return Ok(first);
        }
        self.has_room()?;
        submission.work.uploads.extend(staged.iter().flat_map(|staged| staged.files().iter().cloned()));
        let job = self.accept(caller, submission, key)?;
        let shared = Arc::clone(&self.shared);
        self.finish(async move {
            let place = Place::reserve(&shared.waiting, shared.config.get().queue.max_queued)?;
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
                log(&accepted.job);
            }
            Ok(accepted.job)
        })
        .await
    }

    /// Looks at a submission before the files that it names by URL are fetched: returns the job that it made already, if
    /// it was sent before with its idempotency key.
    ///
    /// # Errors
    /// What refuses it, whatever is in those files: [`Denied::NoSuchService`], [`Denied::Unacceptable`],
    /// [`Denied::Store`].
    pub async fn foresee(
        &self,
        caller: &Caller,
        submission: &Submission,
        arrived: Option<&Staged>,
    ) -> Result<Option<Job>, Denied> {
        if let Some(first) = self.made_by(caller, key(submission, arrived).as_ref()).await? {
            return Ok(Some(first));
        }
        self.has_room()?;
        let config = self.shared.config.get();
        let service = service_named(&config, &submission.service)?;
        let work = acceptable::values(service, submission.work.clone())?;
        let work = if submission.is_run { acceptable::complete(service, work)? } else { work };
        self.check(service, &work).map(|_| None)
    }

    fn has_room(&self) -> Result<(), Denied> {
        // A database that is locked would keep each request waiting for as long as it waits for the lock.
        self.trouble().map_or(Ok(()), |trouble| Err(Denied::NotAccepting(trouble)))
    }

    /// The job that a request with this key made before.
    async fn made_by(&self, caller: &Caller, key: Option<&IdempotencyKey>) -> Result<Option<Job>, Denied> {
        match key {
            Some(key) => Ok(self.shared.store.made_by(caller.owner().as_ref(), key).await?),
            None => Ok(None),
        }
    }

    fn accept(
        &self,
        caller: &Caller,
        submission: Submission,
        idempotency: Option<IdempotencyKey>,
    ) -> Result<NewJob, Denied> {
        let now = self.shared.clock.now();
        let Submission { service: name, run_id, work, is_run, execution_duration, destruction, .. } = submission;
        let config = self.shared.config.get();
        let service = service_named(&config, &name)?;
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
            since_boot: self.shared.clock.since_boot(),
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
            is_exclusive: service.one_at_a_time,
        })
    }

    /// Refuses work that could never be done; returns what it reserves.
    pub(super) fn check(&self, service: &Service, work: &Work) -> Result<Reservation, Denied> {
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
        let queue = &self.shared.config.get().queue;
        if reservation.cpus > queue.cpus || reservation.memory > queue.memory {
            let why = format!(
                "replicas: {} of them would reserve {} CPUs and {} bytes of memory; this host gives out {} and {}",
                work.replicas, reservation.cpus, reservation.memory, queue.cpus, queue.memory
            );
            return Err(Denied::Unacceptable { field: "replicas".to_owned(), why });
        }
        if let Some(source) = work.source.as_ref().filter(|source| !source.url.is_empty()) {
            self.shared.sources.check(source).map_err(|UnfitSource { field, why }| Denied::Unacceptable {
                field: field.to_owned(),
                why: format!("{field}: {why}"),
            })?;
        }
        Ok(reservation)
    }
}

fn log(job: &Job) {
    let owner = job.owner.as_ref().map(OwnerId::as_str);
    let run_id = job.run_id.as_ref().map(RunId::as_str);
    tracing::info!(
        job.id = %job.id, service = job.service, owner, job.run_id = run_id, job.phase = %job.phase,
        "job {} was accepted and is {}", job.id, job.phase
    );
}

/// What tells this request from others, if its client gave it a key.
fn key(submission: &Submission, arrived: Option<&Staged>) -> Option<IdempotencyKey> {
    let key = submission.idempotency_key.clone()?;
    Some(IdempotencyKey { key, fingerprint: fingerprint(submission, arrived) })
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
