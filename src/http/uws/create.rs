//! `POST /async`: a new job (UWS 1.1 §2.2.3.1).

use warp::reply::Response;

use super::dispatch::Request;
use super::fetch;
use super::intake::Intake;
use super::work::{Posted, take_terms};
use crate::config::Service;
use crate::domain::{Job, Work};
use crate::http::reply::{ApiError, see_other};
use crate::http::{Api, idempotency};
use crate::supervisor::{Submission, Terms};

/// Makes the job, PENDING, or QUEUED with `PHASE=RUN`: one step, so that a refusal leaves nothing behind.
pub(super) async fn post(
    api: &Api,
    request: &Request,
    service: &Service,
    mut intake: Intake,
) -> Result<Response, ApiError> {
    let is_run = match intake.fields.take("PHASE")? {
        None => false,
        Some(word) if word.eq_ignore_ascii_case("RUN") => true,
        Some(word) => {
            return Err(ApiError::Malformed(format!("PHASE is {word:?}; a new job takes PHASE=RUN or none")));
        }
    };
    let job = job(api, request, service, intake, is_run).await?;
    Ok(see_other(&request.links(api).job(job.id)))
}

/// Makes the job of what a request brought.
pub(super) async fn job(
    api: &Api,
    request: &Request,
    service: &Service,
    intake: Intake,
    is_run: bool,
) -> Result<Job, ApiError> {
    let Intake { mut fields, mut staged, _room } = intake;
    let Terms { run_id, execution_duration, destruction, kill_grace } = take_terms(&mut fields)?;
    let mut posted = Posted::of(service, fields)?;
    if let Some(staged) = &staged {
        posted.claim(service, staged.files());
    }
    let files = posted.files(service);
    let submission = Submission {
        service: request.service.clone(),
        run_id,
        work: Work { kill_grace: kill_grace.value(), ..posted.into_work(service) },
        is_run,
        execution_duration,
        destruction,
        idempotency_key: idempotency::key(&request.headers)?,
    };
    let caller = &request.asked.caller;
    if fetch::is_needed(&files)? {
        if let Some(first) = api.handle.foresee(caller, &submission, staged.as_ref()).await? {
            return Ok(first);
        }
        fetch::missing(api, &files, &mut staged).await?;
    }
    Ok(api.handle.submit(caller, submission, staged).await?)
}
