//! The blocking GET of a job (UWS 1.1 §2.2.1.2): woken by committed changes, never by polling.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::find::Seeker;
use super::query::Wait;
use crate::config::Live;
use crate::domain::{Job, JobId, Phase};
use crate::http::Api;
use crate::http::reply::ApiError;

/// The requests that wait.
pub(super) struct Waits {
    waiting: AtomicU32,
    config: Live,
    stop: CancellationToken,
}

impl Waits {
    /// Nobody waits yet; `stop` ends every wait.
    pub(super) fn new(config: Live, stop: CancellationToken) -> Self {
        Self { waiting: AtomicU32::new(0), config, stop }
    }

    /// The job `id` when its phase is not any more what it is now, or when the wait is over.
    ///
    /// # Errors
    /// [`ApiError::NoSuchJob`] as soon as it is deleted.
    pub(super) async fn changed(
        &self,
        api: &Api,
        seeker: &Seeker,
        id: JobId,
        wait: Wait,
    ) -> Result<Box<Job>, ApiError> {
        let longest = self.config.get().uws.max_wait;
        let patience = wait.patience.map_or(longest, |patience| patience.min(longest));
        let mut began = None;
        let is_over = |job: &Job| {
            let began = *began.get_or_insert(job.phase);
            job.phase != began || !is_active(began) || wait.phase.is_some_and(|phase| phase != began)
        };
        self.until(api, seeker, id, patience, is_over).await
    }

    /// The job `id` once it has ended, or as it is after `patience`.
    ///
    /// # Errors
    /// [`ApiError::NoSuchJob`] as soon as it is deleted.
    pub(super) async fn ended(
        &self,
        api: &Api,
        seeker: &Seeker,
        id: JobId,
        patience: Duration,
    ) -> Result<Box<Job>, ApiError> {
        self.until(api, seeker, id, patience, |job| job.phase.is_final()).await
    }

    /// A place among those that wait, if there is one.
    fn place(&self) -> Option<Place<'_>> {
        let place = Place(&self.waiting);
        let before = self.waiting.fetch_add(1, Ordering::Relaxed);
        (before < self.config.get().uws.max_waiting).then_some(place)
    }

    /// Nothing but the subscription and a place is held meanwhile.
    async fn until(
        &self,
        api: &Api,
        seeker: &Seeker,
        id: JobId,
        patience: Duration,
        mut is_over: impl FnMut(&Job) -> bool,
    ) -> Result<Box<Job>, ApiError> {
        let until = Instant::now() + patience;
        // Subscribed before the job is read: a change between the two is heard.
        let mut waiter = api.handle.subscribe(id);
        let job = Box::pin(seeker.job(api, id)).await?;
        if is_over(&job) {
            return Ok(job);
        }
        let Some(_place) = self.place() else { return Ok(job) };
        let _counted = api.metrics.http().waiting();
        drop(job);
        loop {
            // Each branch may be dropped: a change that was not heard is read from the store.
            let is_late = tokio::select! {
                () = waiter.changed() => false,
                () = tokio::time::sleep_until(until) => true,
                () = self.stop.cancelled() => true,
            };
            let job = Box::pin(seeker.job(api, id)).await?;
            if is_late || is_over(&job) {
                return Ok(job);
            }
        }
    }
}

/// A place among those that wait, given back when it is dropped.
struct Place<'a>(&'a AtomicU32);

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Whether a wait may block in this phase.
const fn is_active(phase: Phase) -> bool {
    match phase {
        Phase::Pending | Phase::Queued | Phase::Executing => true,
        Phase::Completed
        | Phase::Error
        | Phase::Aborted
        | Phase::Unknown
        | Phase::Held
        | Phase::Suspended
        | Phase::Archived => false,
    }
}
