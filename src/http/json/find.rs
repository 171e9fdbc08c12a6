//! The job that a path names, if this caller may see it.

use super::SERVICE;
use super::phase::{PhaseWord, shown};
use crate::domain::{Caller, Job, JobId, Timestamp};
use crate::http::reply::ApiError;
use crate::http::{Api, gone};

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
/// [`ApiError::Destroyed`]; [`ApiError::NoSuchJob`], also for what is no job id and for a job of somebody else's.
pub(super) async fn job(api: &Api, caller: &Caller, id: &str) -> Result<Found, ApiError> {
    let id: JobId = id.parse().map_err(|_| ApiError::NoSuchJob)?;
    let Some(job) = api.store.job(id).await? else { return Err(gone::job(api, caller, SERVICE, id).await) };
    if job.service != SERVICE || !caller.may_use(job.owner.as_ref()) {
        return Err(ApiError::NoSuchJob);
    }
    let now = api.clock.now();
    match shown(&job, now, api.config.get().json.deletion_visible) {
        Some(phase) => Ok(Found { job, phase, now }),
        None => Err(gone::job(api, caller, SERVICE, id).await),
    }
}

/// The job `id` if it was not deleted: its files are still there.
///
/// # Errors
/// As of [`job`].
pub(super) async fn kept_job(api: &Api, caller: &Caller, id: &str) -> Result<Job, ApiError> {
    let Found { job, .. } = job(api, caller, id).await?;
    if job.deletion.is_some() { Err(gone::job(api, caller, SERVICE, job.id).await) } else { Ok(job) }
}
