//! `/v1/job/{id}/stdout` and `/v1/job/{id}/stderr`: what a job's command wrote, also while it runs.

use http::{HeaderMap, Method};
use warp::reply::Response;

use super::find;
use crate::domain::{Job, Log};
use crate::http::extract::Asked;
use crate::http::form;
use crate::http::reply::ApiError;
use crate::http::{Api, gone, log};

/// What is asked of a log.
#[derive(Debug, Clone, Copy)]
pub(super) struct Query<'a> {
    /// Who asks, and for which replica.
    pub(super) asked: &'a Asked,
    /// The job's id as the path has it.
    pub(super) id: &'a str,
    /// GET or HEAD.
    pub(super) method: &'a Method,
    /// The range.
    pub(super) headers: &'a HeaderMap,
}

/// Sends what the command has written to standard output so far; with `Range` only what is new.
///
/// Before the start it is empty. Of a job with replicas it is the log of the one that `?replica=` names, else of number 0.
#[utoipa::path(
    get,
    path = "/v1/job/{jobId}/stdout",
    operation_id = "getStdout",
    tag = "jobs",
    params(
        ("jobId" = String, Path, description = "The job's id"),
        ("replica" = Option<u32>, Query, description = "Which of several replicas, from 0"),
        ("Range" = Option<String>, Header, description = "One range of bytes"),
    ),
    responses(
        (status = 200, description = "The log so far", body = String, content_type = "text/plain"),
        (status = 206, description = "A part of it", body = String, content_type = "text/plain"),
        (status = 400, description = "There is no such replica", body = String, content_type = "text/plain"),
        (status = 404, description = "There is no such job", body = String, content_type = "application/json", example = ""),
        (status = 416, description = "Nothing is there yet", body = String, content_type = "text/plain"),
    )
)]
pub(super) async fn stdout(api: &Api, query: Query<'_>) -> Result<Response, ApiError> {
    send(api, query, "stdout").await
}

/// Sends what the command has written to standard error so far; otherwise like `stdout`.
#[utoipa::path(
    get,
    path = "/v1/job/{jobId}/stderr",
    operation_id = "getStderr",
    tag = "jobs",
    params(
        ("jobId" = String, Path, description = "The job's id"),
        ("replica" = Option<u32>, Query, description = "Which of several replicas, from 0"),
        ("Range" = Option<String>, Header, description = "One range of bytes"),
    ),
    responses(
        (status = 200, description = "The log so far", body = String, content_type = "text/plain"),
        (status = 206, description = "A part of it", body = String, content_type = "text/plain"),
        (status = 400, description = "There is no such replica", body = String, content_type = "text/plain"),
        (status = 404, description = "There is no such job", body = String, content_type = "application/json", example = ""),
        (status = 416, description = "Nothing is there yet", body = String, content_type = "text/plain"),
    )
)]
pub(super) async fn stderr(api: &Api, query: Query<'_>) -> Result<Response, ApiError> {
    send(api, query, "stderr").await
}

async fn send(api: &Api, query: Query<'_>, stream: &'static str) -> Result<Response, ApiError> {
    let Query { asked, id, method, headers } = query;
    let job = find::kept_job(api, &asked.caller, id).await?;
    gone::unless_kept(&job)?;
    if job.phase.is_final() && !job.has_files() {
        return Err(ApiError::NoSuchResult);
    }
    let log = Log { replica: replica(&job, asked.query())?, stream };
    log::respond(api, &job, log, (method, headers)).await
}

fn replica(job: &Job, query: &str) -> Result<u32, ApiError> {
    let fields = form::urlencoded(query.as_bytes())?;
    let Some((_, text)) = fields.into_iter().rfind(|(name, _)| name == "replica") else { return Ok(0) };
    let replicas = job.work.replicas;
    text.parse().ok().filter(|replica| *replica < replicas).ok_or_else(|| {
        ApiError::Malformed(format!(
            "replica is {text:?}; this job has the replicas 0 to {}",
            replicas.saturating_sub(1)
        ))
    })
}
