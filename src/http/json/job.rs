//! `/v1/job/{id}`.

use std::sync::Arc;

use http::Method;
use serde::Serialize;
use utoipa::ToSchema;
use warp::Filter;
use warp::filters::BoxedFilter;
use warp::reply::Response;

use super::dress::dress;
use super::find;
use super::object::JobObject;
use super::phase::PhaseWord;
use crate::http::Api;
use crate::http::extract::{Asked, asked};
use crate::http::reply::{ApiError, json};
use crate::http::resource::{is_read, other};

const METHODS: &str = "GET, HEAD, DELETE, OPTIONS";

/// What a DELETE answers.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Deleted)]
pub(super) struct DeletedObject {
    /// Always `ok`.
    status: &'static str,
    /// Always empty.
    message: &'static str,
    /// Always 200.
    code: u16,
    /// The job.
    job_id: String,
    /// The phase that it is in: one that is not final changes to `aborted` once everything it started is gone.
    phase: PhaseWord,
}

/// One job.
pub(super) fn route(api: &Arc<Api>) -> BoxedFilter<(Response,)> {
    let api = Arc::clone(api);
    warp::path!("job" / String)
        .and(warp::method())
        .and(asked())
        .then(move |id: String, method: Method, asked: Asked| {
            let api = Arc::clone(&api);
            async move {
                dress(if is_read(&method) {
                    get(&api, &asked, &id).await
                } else if method == Method::DELETE {
                    delete(&api, &asked, &id).await
                } else {
                    other(&method, METHODS)
                })
            }
        })
        .boxed()
}

/// Shows a job.
#[utoipa::path(
    get,
    path = "/v1/job/{jobId}",
    operation_id = "getJob",
    tag = "jobs",
    params(("jobId" = String, Path, description = "The job's id")),
    responses(
        (status = 200, description = "The job", body = JobObject),
        (status = 404, description = "There is no such job", body = String, content_type = "application/json", example = ""),
    )
)]
pub(super) async fn get(api: &Api, asked: &Asked, id: &str) -> Result<Response, ApiError> {
    let found = find::job(api, &asked.caller, id).await?;
    Ok(json(&JobObject::new(api, &found.job, found.phase, found.now)))
}

/// Deletes a job and answers at once; an active one is stopped first and reads `executing` until it is verified gone.
#[utoipa::path(
    delete,
    path = "/v1/job/{jobId}",
    operation_id = "deleteJob",
    tag = "jobs",
    params(("jobId" = String, Path, description = "The job's id")),
    responses(
        (status = 200, description = "The job is deleted or being deleted", body = DeletedObject),
        (status = 403, description = "A web page of another origin asked", body = String, content_type = "text/plain"),
        (status = 404, description = "There is no such job", body = String, content_type = "application/json", example = ""),
    )
)]
pub(super) async fn delete(api: &Api, asked: &Asked, id: &str) -> Result<Response, ApiError> {
    // Looked at first, since what this API does not show, a job of another service, it must not delete either; and of
    // a job that was deleted before only the state before tells whether it is still there for this client.
    let found = find::job(api, &asked.caller, id).await?;
    let job = api.handle.delete(&asked.caller, found.job.id).await?.job;
    let phase = PhaseWord::of(job.phase, job.outcome.as_ref());
    Ok(json(&DeletedObject { status: "ok", message: "", code: 200, job_id: job.id.to_string(), phase }))
}
