//! The job that a path names, if this caller may see it here.

use super::dispatch::Request;
use crate::domain::{Job, JobId};
use crate::http::Api;
use crate::http::reply::ApiError;

/// The job `id` of the request's service. A deleted one is not there from the moment of its deletion (contract §7).
///
/// # Errors
/// [`ApiError::NoSuchJob`], also for a job of another service or of somebody else's.
pub(super) async fn job(api: &Api, request: &Request, id: JobId) -> Result<Box<Job>, ApiError> {
    let job = api.store.job(id).await?.ok_or(ApiError::NoSuchJob)?;
    let is_here = job.service == request.service && job.deletion.is_none();
    if is_here && request.asked.caller.may_use(job.owner.as_ref()) {
        Ok(Box::new(job))
    } else {
        Err(ApiError::NoSuchJob)
    }
}
