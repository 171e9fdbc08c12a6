//! `POST /async`: a new job (UWS 1.1 §2.2.3.1).

use warp::reply::Response;

use super::dispatch::Request;
use super::fields::Fields;
use super::work::{Controls, Posted};
use crate::http::Api;
use crate::http::reply::{ApiError, see_other};
use crate::supervisor::Submission;

/// Makes the job, PENDING, or QUEUED with `PHASE=RUN`: one step, so that a refusal leaves nothing behind.
pub(super) async fn post(api: &Api, request: &Request, mut fields: Fields) -> Result<Response, ApiError> {
    let is_run = match fields.take("PHASE")? {
        None => false,
        Some(word) if word.eq_ignore_ascii_case("RUN") => true,
        Some(word) => {
            return Err(ApiError::Malformed(format!("PHASE is {word:?}; a new job takes PHASE=RUN or none")));
        }
    };
    let Controls { run_id, execution_duration, destruction } = Controls::take(&mut fields)?;
    let submission = Submission {
        service: request.service.clone(),
        run_id,
        work: Posted::of(fields)?.into_work(),
        is_run,
        execution_duration,
        destruction,
    };
    let job = api.handle.submit(&request.asked.caller, submission).await?;
    Ok(see_other(&request.links(api).job(job.id)))
}
