//! A job's logs, also while they grow.

use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use warp::reply::Response;

use super::Api;
use super::file::{self, Opened};
use super::reply::{ApiError, text};
use crate::domain::{Job, Log};
use crate::ports::{JobDirs, RunRef};

/// What becomes of the rest of a long log, whose file has only its beginning so far. It is no part of the body: whoever
/// follows a log counts its bytes.
const REST: HeaderName = HeaderName::from_static("log-rest");

/// The log as an answer, as a whole or in the part that the headers ask for; empty where there is none.
///
/// # Errors
/// [`ApiError::NoSuchRange`], and those of [`open`].
pub(super) async fn respond(
    api: &Api,
    job: &Job,
    log: Log,
    (method, headers): (&Method, &HeaderMap),
) -> Result<Response, ApiError> {
    let mut response = match open(api, job, log).await? {
        Some(opened) => opened.respond(method, headers)?,
        // It never came to a command.
        None => text(StatusCode::OK, ""),
    };
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    if has_rest(api, job, log).await {
        let becomes = if job.phase.is_final() { "lost" } else { "shown when the job has ended" };
        response.headers_mut().insert(REST, HeaderValue::from_static(becomes));
    }
    Ok(response)
}

/// The log, if there is one.
///
/// # Errors
/// [`ApiError::File`], [`ApiError::Silent`].
pub(super) async fn open(api: &Api, job: &Job, log: Log) -> Result<Option<Opened>, ApiError> {
    open_beside(api, job, log, log.stream.to_owned()).await
}

/// Whether the end of the log is still beside it; it may belong to somebody else, and is not read.
async fn has_rest(api: &Api, job: &Job, log: Log) -> bool {
    let rest = JobDirs::rest_of(log.stream.as_ref()).to_string_lossy().into_owned();
    open_beside(api, job, log, rest).await.is_ok_and(|rest| rest.is_some())
}

async fn open_beside(api: &Api, job: &Job, log: Log, name: String) -> Result<Option<Opened>, ApiError> {
    let run = RunRef { job: job.id, replica: log.replica, replicas: job.work.replicas };
    let root = api.config.get().server.jobs_dir.clone();
    // Relative to the directory of all jobs, so that no component of it is taken on trust.
    let below = JobDirs { root: job.id.to_string().into() }.log(&run);
    file::open_below(&api.files, root, below, name).await
}
