//! `/v1/job`: the list, and the making of jobs.

use std::sync::Arc;

use bytes::Buf;
use futures_util::Stream;
use http::{HeaderMap, Method};
use warp::Filter;
use warp::filters::BoxedFilter;
use warp::reply::Response;

use super::decode;
use super::dress::dress;
use super::list;
use super::object::JobObject;
use super::phase::{PhaseWord, asked_for, words};
use super::request::JobRequest;
use crate::domain::Phase;
use crate::http::Api;
use crate::http::extract::{Asked, asked};
use crate::http::reply::{ApiError, json};
use crate::http::resource::{is_read, other};
use crate::http::{form, idempotency};

const METHODS: &str = "GET, HEAD, PUT, OPTIONS";

/// The jobs.
pub(super) fn route(api: &Arc<Api>) -> BoxedFilter<(Response,)> {
    let api = Arc::clone(api);
    warp::path!("job")
        .and(warp::method())
        .and(asked())
        .and(warp::header::headers_cloned())
        .and(warp::body::stream())
        .then(move |method: Method, asked: Asked, headers: HeaderMap, body| {
            let api = Arc::clone(&api);
            async move {
                dress(if method == Method::PUT {
                    put(&api, &asked, &headers, body).await
                } else if is_read(&method) {
                    get(&api, &asked).await
                } else {
                    other(&method, METHODS)
                })
            }
        })
        .boxed()
}

/// Makes a job: it is committed, and waits for its turn, when the answer comes.
///
/// The fields may also come as a form, `environment` then as repeated `NAME=VALUE` or as a list in JSON.
#[utoipa::path(
    put,
    path = "/v1/job",
    operation_id = "makeJob",
    tag = "jobs",
    params(("Idempotency-Key" = Option<String>, Header, description = "Sent again with its key, a request makes no second job: the first is the answer")),
    request_body(
        content((JobRequest = "application/json"), (JobRequest = "application/x-www-form-urlencoded"), (JobRequest = "multipart/form-data")),
    ),
    responses(
        (status = 200, description = "The job", body = JobObject),
        (status = 400, description = "A field is missing or malformed", body = String, content_type = "text/plain"),
        (status = 403, description = "A web page of another origin asked", body = String, content_type = "text/plain"),
        (status = 408, description = "The body did not arrive in time", body = String, content_type = "text/plain"),
        (status = 409, description = "The service takes one job at a time and is busy", body = String, content_type = "text/plain"),
        (status = 413, description = "The body is too large", body = String, content_type = "text/plain"),
        (status = 415, description = "The body is neither JSON nor a form", body = String, content_type = "text/plain"),
        (status = 422, description = "The Idempotency-Key was used for another request", body = String, content_type = "text/plain"),
        (
            status = 503,
            description = "The queue is full, or too many large bodies are being read; see `Retry-After`",
            body = String,
            content_type = "text/plain",
        ),
    )
)]
pub(super) async fn put<B: Buf>(
    api: &Api,
    asked: &Asked,
    headers: &HeaderMap,
    body: impl Stream<Item = Result<B, warp::Error>> + Send,
) -> Result<Response, ApiError> {
    let body = api.bodies.read(headers, body).await?;
    let request = decode::job_request(headers, asked.query(), body).await?;
    let submission = request.into_submission(idempotency::key(headers)?)?;
    let job = api.handle.submit(&asked.caller, submission, None).await?;
    let phase = PhaseWord::of(job.phase, job.outcome.as_ref());
    Ok(json(&JobObject::new(api, &job, phase, api.clock.now())))
}

/// Lists jobs, newest first.
#[utoipa::path(
    get,
    path = "/v1/job",
    operation_id = "listJobs",
    tag = "jobs",
    params(("phase" = Option<PhaseWord>, Query, description = "Only jobs in this phase; may be repeated")),
    responses(
        (status = 200, description = "The jobs", body = [JobObject]),
        (status = 400, description = "There is no such phase", body = String, content_type = "text/plain"),
    )
)]
pub(super) async fn get(api: &Arc<Api>, asked: &Asked) -> Result<Response, ApiError> {
    list::respond(api, &asked.caller, phases(asked.query())?).await
}

/// The phases that the query asks for; none: all.
fn phases(query: &str) -> Result<Vec<Phase>, ApiError> {
    let mut phases = Vec::new();
    for (_, value) in form::urlencoded(query.as_bytes())?.iter().filter(|(name, _)| name.eq_ignore_ascii_case("phase"))
    {
        for word in value.split(',').map(str::trim).filter(|word| !word.is_empty()) {
            let asked = asked_for(word);
            phases.extend(
                asked.ok_or_else(|| ApiError::Malformed(format!("phase is {word:?}; give one of {}", words())))?,
            );
        }
    }
    Ok(phases)
}
