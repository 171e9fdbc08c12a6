//! What is told of a job that is not there, and of files that are not there any more.

use super::Api;
use super::reply::ApiError;
use crate::domain::{Caller, Job, JobId, Phase};
use crate::ports::Destruction;

/// Why there is no job `id` in this service: whoever could have looked at it is told when it was destroyed.
pub(super) async fn job(api: &Api, caller: &Caller, service: &str, id: JobId) -> ApiError {
    match api.store.destroyed(id).await {
        Ok(Some(was)) if was.service == service && caller.may_use(was.owner.as_ref()) => match was.progress {
            Destruction::Deleted => ApiError::BeingDestroyed(was.at),
            Destruction::Expired => ApiError::Expiring(was.at),
            Destruction::Done => ApiError::Destroyed(was.at),
        },
        Ok(_) => ApiError::NoSuchJob,
        Err(error) => error.into(),
    }
}

/// Nothing, as long as the files of a job were not given up.
///
/// # Errors
/// [`ApiError::FilesDestroyed`], [`ApiError::FilesRemoved`].
pub(super) const fn unless_kept(job: &Job) -> Result<(), ApiError> {
    match (job.cleaned_at, job.phase) {
        (None, _) => Ok(()),
        (Some(at), Phase::Archived) => Err(ApiError::FilesDestroyed(at)),
        (Some(at), _) => Err(ApiError::FilesRemoved(at)),
    }
}
