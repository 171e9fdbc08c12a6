//! `/{service}/sync` (DALI 1.1 §2.2; UWS 1.1 §5): a job that is made, run and waited for, in three steps of redirection.
//!
//! ```text
//! POST /sync ── 303 ──► /sync/{job-id}, waits ── 303 ──► /async/{job-id}/results/{main result}
//! ```
//! The job is one like any other: a client whose connection broke finds it in the job list, and goes on waiting.

use std::sync::Arc;

use bytes::Buf;
use futures_util::Stream;
use http::header::RETRY_AFTER;
use http::{HeaderValue, Method, StatusCode};
use warp::path::Tail;
use warp::reply::Response;

use super::dispatch::Request;
use super::intake::Intake;
use super::routes::Uws;
use super::{create, error, main_result};
use crate::domain::{Job, SummaryKind};
use crate::http::reply::{ApiError, see_other, text};
use crate::http::resource::{READ_ONLY, is_read, other};

const METHODS: &str = "POST, OPTIONS";
const METHODS_WITH_GET: &str = "GET, POST, OPTIONS";

/// The answer to a request for the path `tail` below `/sync`.
pub(super) async fn answer<B: Buf>(
    uws: Arc<Uws>,
    request: Request,
    tail: Tail,
    body: impl Stream<Item = Result<B, warp::Error>> + Send + 'static,
) -> Result<Response, ApiError> {
    let api = &uws.api;
    let config = api.config.get();
    let Some(service) = config.services.get(&request.service) else { return Err(ApiError::NoSuchPath) };
    let tail = tail.as_str();
    let tail = tail.strip_suffix('/').unwrap_or(tail);
    if !tail.is_empty() {
        let id = tail.parse().map_err(|_| ApiError::NoSuchJob)?;
        let seeker = request.seeker();
        seeker.job(api, id).await?;
        if !is_read(&request.method) {
            return other(&request.method, READ_ONLY);
        }
        let job = uws.waits.ended(api, &seeker, id, config.uws.sync_timeout).await?;
        return end(&uws, &request, &job).await;
    }
    let is_made = request.method == Method::POST || (request.method == Method::GET && config.uws.sync_get);
    if !is_made {
        return other(&request.method, if config.uws.sync_get { METHODS_WITH_GET } else { METHODS });
    }
    if !request.asked.may_change {
        return Err(ApiError::Foreign("a web page of another site may not make a job".to_owned()));
    }
    let mut intake: Intake = request.intake(api, service, body).await?;
    if let Some(word) = intake.fields.take("PHASE")?.filter(|word| !word.eq_ignore_ascii_case("RUN")) {
        return Err(ApiError::Malformed(format!("PHASE is {word:?}; a job of sync is run at once, leave it out")));
    }
    let job = create::job(api, &request, service, intake, true).await?;
    Ok(see_other(&request.links(api).sync(job.id)))
}

/// Where the job's one result is; why there is none; or that it takes longer.
async fn end(uws: &Arc<Uws>, request: &Request, job: &Job) -> Result<Response, ApiError> {
    let links = request.links(&uws.api);
    if !job.phase.is_final() {
        let line = format!("the job is {} and goes on; ask again here, or look at {}", job.phase, links.job(job.id));
        return Ok(later(text(StatusCode::SERVICE_UNAVAILABLE, line)));
    }
    let outcome = job.outcome.as_ref();
    match outcome.and_then(|outcome| outcome.summary.as_ref()) {
        Some(summary) => {
            let mut response = error::get(&uws.api, request, job).await?;
            match summary.kind {
                // The same request may succeed later.
                SummaryKind::Transient => {
                    *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
                    Ok(later(response))
                }
                SummaryKind::Fatal => {
                    *response.status_mut() = StatusCode::UNPROCESSABLE_ENTITY;
                    Ok(response)
                }
            }
        }
        None => match main_result::of(job).filter(|_| job.phase == crate::domain::Phase::Completed) {
            Some(main) => Ok(see_other(&links.result(job.id, &main))),
            None => Ok(text(StatusCode::CONFLICT, format!("the job is {}: it has no result", job.phase))),
        },
    }
}

fn later(mut response: Response) -> Response {
    response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
    response
}
