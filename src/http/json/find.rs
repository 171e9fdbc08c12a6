//! The job that a path names, if this caller may see it.

use super::SERVICE;
use super::phase::{PhaseWord, shown};
use crate::domain::{Caller, Job, JobId, Timestamp};
use crate::http::Api;
use crate::http::reply::ApiError;

/// A job and what it shows.
pub(super) struct Found {
    /// The job.
    pub(super) job: Job,
    /// The phase that it shows.
    pub(super) phase: PhaseWord,
    /// When it was looked at.
    pub(super) now: Timestamp,
}

/// The job `id`, also one that was deleted and still tells of its end.
///
/// # Errors
/// [`ApiError::NoSuchJob`], also for what is no job id and for a job of somebody else's.
pub(super) async fn job(api: &Api, caller: &Caller, id: &str) -> Result<Found, ApiError> {
    let id: JobId = id.parse().map_err(|_| ApiError::NoSuchJob)?;
    let job = api.store.job(id).await?.ok_or(ApiError::NoSuchJob)?;
    if job.service != SERVICE || !caller.may_use(job.owner.as_ref()) {
        return Err(ApiError::NoSuchJob);
    }
    let now = api.clock.now();
    let phase = shown(&job, now, api.config.get().json.deletion_visible).ok_or(ApiError::NoSuchJob)?;
    Ok(Found { job, phase, now })
}

/// The job `id` if it was not deleted: its files are still there.
///
/// # Errors
/// [`ApiError::NoSuchJob`].
pub(super) async fn kept_job(api: &Api, caller: &Caller, id: &str) -> Result<Job, ApiError> {
    let found = job(api, caller, id).await?;
    if found.job.deletion.is_some() { Err(ApiError::NoSuchJob) } else { Ok(found.job) }
}
