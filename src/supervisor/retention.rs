//! Destroys jobs in time, removes the files of deleted ones, forgets them.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;
use tracing::{debug, error, info, warn};

use crate::domain::{Job, JobId, Phase, Timestamp, chain};
use crate::ports::{BackendError, Change, StoreError};

use super::context::Context;
use super::message::{Message, StopWhy};
use crate::ports::Backoff;

/// How many jobs are handled at a time.
const BATCH: u32 = 100;
/// The longest time between two looks: a clock that was set meanwhile is noticed.
const LONGEST: Duration = Duration::from_secs(30);
/// How soon files that could not be removed are tried again.
const AGAIN: Duration = Duration::from_secs(5);

/// The task that destroys jobs in time.
pub struct Retention {
    context: Arc<Context>,
}

impl Retention {
    pub(super) const fn new(context: Arc<Context>) -> Self {
        Self { context }
    }

    /// Runs for ever; dropping it is safe at any time.
    pub async fn run(self) {
        let mut backoff = Backoff::new();
        loop {
            match self.round().await {
                Ok(next) => {
                    backoff = Backoff::new();
                    tokio::select! {
                        () = tokio::time::sleep(next) => {}
                        () = self.context.shared.swept.notified() => {}
                    }
                }
                Err(error) => {
                    error!("jobs cannot be destroyed or forgotten: {}", chain(&error));
                    backoff.wait().await;
                }
            }
        }
    }

    /// One look at everything; returns how long nothing is due.
    async fn round(&self) -> Result<Duration, StoreError> {
        // A full disk may keep a destruction from being written down: what is to be removed already makes room for it.
        let destroyed = self.destroy_due().await;
        let is_left = self.remove_files().await?;
        let next_destruction = destroyed?;
        let next_forget = self.forget().await?;
        let now = self.context.shared.clock.now();
        let next = [next_destruction, next_forget].into_iter().flatten().min();
        let pause = next.map_or(LONGEST, |next| next.since(now) + Duration::from_millis(1)).min(LONGEST);
        Ok(if is_left { pause.min(AGAIN) } else { pause })
    }

    /// Deletes every job whose destruction time has come; returns the next such time.
    async fn destroy_due(&self) -> Result<Option<Timestamp>, StoreError> {
        loop {
            let now = self.context.shared.clock.now();
            let (due, next) = self.context.shared.store.due_for_destruction(now, BATCH).await?;
            if due.is_empty() {
                return Ok(next);
            }
            for id in due {
                self.destroy(id, now).await?;
            }
        }
    }

    async fn destroy(&self, id: JobId, now: Timestamp) -> Result<(), StoreError> {
        let store = &self.context.shared.store;
        let Some(job) = store.job(id).await? else { return Ok(()) };
        let archive = self.context.shared.config.get().services.get(&job.service).and_then(|service| service.archive);
        let job = match (archive, job.phase) {
            // The time of the record itself has come, or there is none to be kept.
            (None, _) | (Some(_), Phase::Archived) => store.request_deletion(id, now).await?,
            (Some(archive), phase) if phase.is_final() => return self.archive(&job, now, archive).await,
            // First it ends, then it is archived.
            (Some(_), _) => store.request_expiry(id).await?,
        };
        let Some(job) = job else { return Ok(()) };
        self.context.shared.waiters.ring(id);
        info!(job.id = %id, "the destruction time of job {id} has come");
        if !job.phase.is_final() {
            let (reply, _) = oneshot::channel();
            // If the supervisor is gone the wish is stored: the next start meets it.
            drop(self.context.inbox.send(Message::Stop { id, why: StopWhy::Expired, reply }).await);
        }
        Ok(())
    }

    /// Keeps the record of a job, not its results (UWS 1.1 §2.1.3).
    async fn archive(&self, job: &Job, now: Timestamp, keep: Duration) -> Result<(), StoreError> {
        // The record is kept from the time on at which the job was to be destroyed, however late this comes.
        let until = job.destruction.unwrap_or(now).after(keep);
        match self.context.shared.store.change(job.id, Change::Archive { until }, now).await {
            Ok(changed) => self.context.changed(&changed),
            Err(StoreError::PhaseChanged { .. } | StoreError::NoSuchJob(_)) => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// Removes the files of deleted and archived jobs; returns whether some could not be.
    async fn remove_files(&self) -> Result<bool, StoreError> {
        let (store, noted) = (&self.context.shared.store, &self.context.shared.noted);
        let (mut is_left, mut after) = (false, 0);
        loop {
            let jobs = store.deleted(after, BATCH).await?;
            let Some(last) = jobs.last() else { return Ok(is_left) };
            after = last.seq;
            for job in jobs {
                let dirs = self.context.dirs(job.id);
                let removed = self.context.remove_files(job.id, &dirs, job.image.as_deref()).await;
                let doing = "removing the job's uploads";
                let uploads = self.context.shared.uploads.remove(job.id).await;
                match removed.and(uploads.map_err(|source| BackendError::Io { doing, source })) {
                    Ok(()) => {
                        crate::crash::point("files-removed");
                        store.files_removed(job.id).await?;
                        noted.removal(job.id, true);
                    }
                    Err(error) => {
                        warn!(job.id = %job.id, "the files of job {} are still there: {}", job.id, chain(&error));
                        is_left = true;
                        noted.removal(job.id, false);
                        if let BackendError::Image { image, .. } = &error {
                            self.context.refetch(job.id, image).await?;
                        }
                    }
                }
            }
        }
    }

    /// Forgets what may be forgotten; returns when the next job is due.
    async fn forget(&self) -> Result<Option<Timestamp>, StoreError> {
        loop {
            let now = self.context.shared.clock.now();
            let (forgotten, next) = self.context.shared.store.forget(now, BATCH).await?;
            if next.is_none_or(|next| next > now) {
                return Ok(next);
            }
            debug!("forgot {forgotten} deleted jobs");
        }
    }
}
