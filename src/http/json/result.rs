//! `/v1/job/result/{id}/{n}`: the files that a job left.

use std::sync::Arc;

use http::{HeaderMap, Method};
use warp::Filter;
use warp::filters::BoxedFilter;
use warp::reply::Response;

use super::find;
use crate::http::attachment;
use crate::http::extract::{Asked, asked};
use crate::http::file;
use crate::http::reply::ApiError;
use crate::http::resource::{READ_ONLY, is_read, other};
use crate::http::{Api, gone};
use crate::ports::JobDirs;

/// One result.
pub(super) fn route(api: &Arc<Api>) -> BoxedFilter<(Response,)> {
    let api = Arc::clone(api);
    warp::path!("job" / "result" / String / String)
        .and(warp::method())
        .and(asked())
        .and(warp::header::headers_cloned())
        .then(move |id: String, number: String, method: Method, asked: Asked, headers: HeaderMap| {
            let api = Arc::clone(&api);
            async move {
                let answer = if is_read(&method) {
                    get(&api, &asked, &id, &number, &method, &headers).await
                } else {
                    other(&method, READ_ONLY)
                };
                // Here the original answers text throughout.
                answer.unwrap_or_else(|error| error.as_text())
            }
        })
        .boxed()
}

/// Sends a file that a job left.
#[utoipa::path(
    get,
    path = "/v1/job/result/{jobId}/{resultId}",
    operation_id = "getResult",
    tag = "jobs",
    params(
        ("jobId" = String, Path, description = "The job's id"),
        ("resultId" = u32, Path, description = "The result's number"),
        ("Range" = Option<String>, Header, description = "One range of bytes"),
        ("If-None-Match" = Option<String>, Header, description = "The `ETag` of an earlier answer"),
    ),
    responses(
        (status = 200, description = "The file", body = Vec<u8>, content_type = "application/octet-stream"),
        (status = 206, description = "A part of it", body = Vec<u8>, content_type = "application/octet-stream"),
        (status = 304, description = "The client has it already"),
        (status = 404, description = "There is no such result, or not any more; the text says since when", body = String, content_type = "text/plain"),
        (status = 416, description = "No byte of it is in the range", body = String, content_type = "text/plain"),
    )
)]
pub(super) async fn get(
    api: &Api,
    asked: &Asked,
    id: &str,
    number: &str,
    method: &Method,
    headers: &HeaderMap,
) -> Result<Response, ApiError> {
    let is_number = number.bytes().all(|b| b.is_ascii_digit());
    let number: usize = number.parse().ok().filter(|_| is_number).ok_or(ApiError::NoSuchResult)?;
    let job = find::kept_job(api, &asked.caller, id).await.map_err(no_result)?;
    gone::unless_kept(&job)?;
    let path = &job.results.get(number).ok_or(ApiError::NoSuchResult)?.path;
    let root = api.config.get().server.jobs_dir.clone();
    let below = JobDirs { root: job.id.to_string().into() }.output();
    let opened = file::open_below(&api.files, root, below, path.clone()).await?;
    let mut response = opened.ok_or(ApiError::NoSuchResult)?.respond(method, headers)?;
    attachment::describe(&mut response, path);
    Ok(response)
}

/// The original tells only of the result.
fn no_result(error: ApiError) -> ApiError {
    if matches!(error, ApiError::NoSuchJob) { ApiError::NoSuchResult } else { error }
}
