//! The blocking GET of a job (UWS 1.1 §2.2.1.2): woken by committed changes, never by polling.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::dispatch::Request;
use super::find;
use super::query::Wait;
use crate::domain::{Job, JobId, Phase};
use crate::http::Api;
use crate::http::reply::ApiError;

/// The longest that a request waits, below what proxies and TCP usually bear.
const LONGEST: Duration = Duration::from_secs(60);
/// How many requests wait at a time; one more is answered at once.
const PLACES: usize = 16_384;

/// The requests that wait.
pub(super) struct Waits {
    places: Arc<Semaphore>,
    stop: CancellationToken,
}

impl Waits {
    /// Nobody waits yet; `stop` ends every wait.
    pub(super) fn new(stop: CancellationToken) -> Self {
        Self { places: Arc::new(Semaphore::new(PLACES)), stop }
    }

    /// The job `id` when its phase is not any more what it is now, or when the wait is over.
    ///
    /// Nothing but the subscription and a place is held meanwhile.
    ///
    /// # Errors
    /// [`ApiError::NoSuchJob`] as soon as it is deleted.
    pub(super) async fn changed(&self, api: &Api, request: &Request, id: JobId, wait: Wait) -> Result<Job, ApiError> {
        let until = Instant::now() + wait.patience.map_or(LONGEST, |patience| patience.min(LONGEST));
        // Subscribed before the job is read: a change between the two is heard.
        let mut waiter = api.handle.subscribe(id);
        let job = find::job(api, request, id).await?;
        let began = job.phase;
        if !is_active(began) || wait.phase.is_some_and(|phase| phase != began) {
            return Ok(job);
        }
        let Ok(_place) = self.places.try_acquire() else { return Ok(job) };
        drop(job);
        loop {
            // Each branch may be dropped: a change that was not heard is read from the store.
            let is_over = tokio::select! {
                () = waiter.changed() => false,
                () = tokio::time::sleep_until(until) => true,
                () = self.stop.cancelled() => true,
            };
            let job = find::job(api, request, id).await?;
            if is_over || job.phase != began {
                return Ok(job);
            }
        }
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
