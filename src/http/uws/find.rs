//! The job that a path names, if this caller may see it here.

use crate::domain::{Caller, Job, JobId};
use crate::http::reply::ApiError;
use crate::http::{Api, gone};

/// Who looks for a job, and in which service: all that a request that waits has to keep.
#[derive(Debug, Clone)]
pub(super) struct Seeker {
    /// The service.
    pub(super) service: String,
    /// Who asks.
    pub(super) caller: Caller,
}

impl Seeker {
    /// The job `id` of the service. A deleted one is not there from the moment of its deletion (contract §7).
    ///
    /// # Errors
    /// [`ApiError::Destroyed`]; [`ApiError::NoSuchJob`], also for a job of another service or of somebody else's.
    pub(super) async fn job(&self, api: &Api, id: JobId) -> Result<Box<Job>, ApiError> {
        match api.store.job(id).await? {
            Some(job) if job.deletion.is_none() => {
                let is_here = job.service == self.service && self.caller.may_use(job.owner.as_ref());
                if is_here { Ok(Box::new(job)) } else { Err(ApiError::NoSuchJob) }
            }
            Some(_) | None => Err(gone::job(api, &self.caller, &self.service, id).await),
        }
    }
}
