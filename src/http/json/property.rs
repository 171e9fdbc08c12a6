//! `/v1/job/{id}/{property}`: one value of a job, or one of its logs.

use std::sync::Arc;

use http::{HeaderMap, Method, StatusCode};
use warp::Filter;
use warp::filters::BoxedFilter;
use warp::reply::Response;

use super::dress::dress;
use super::find;
use super::logs;
use super::object::{JobObject, ParametersObject, ResultObject};
use super::phase::PhaseWord;
use crate::domain::Caller;
use crate::http::Api;
use crate::http::extract::{Asked, asked};
use crate::http::reply::{ApiError, json};
use crate::http::resource::{READ_ONLY, is_read, other};

/// One property of one job.
pub(super) fn route(api: &Arc<Api>) -> BoxedFilter<(Response,)> {
    let api = Arc::clone(api);
    warp::path!("job" / String / String)
        .and(warp::method())
        .and(asked())
        .and(warp::header::headers_cloned())
        .then(move |id: String, property: String, method: Method, asked: Asked, headers: HeaderMap| {
            let api = Arc::clone(&api);
            async move {
                dress(if is_read(&method) {
                    let caller = &asked.caller;
                    let log = logs::Query { asked: &asked, id: &id, method: &method, headers: &headers };
                    match property.as_str() {
                        "phase" => phase(&api, caller, &id).await,
                        "results" => results(&api, caller, &id).await,
                        "parameters" => parameters(&api, caller, &id).await,
                        "stdout" => logs::stdout(&api, log).await,
                        "stderr" => logs::stderr(&api, log).await,
                        _ => Ok(unknown()),
                    }
                } else {
                    other(&method, READ_ONLY)
                })
            }
        })
        .boxed()
}

/// The refusal of the original: a JSON string.
fn unknown() -> Response {
    let message = "Invalid job property requested. Supported properties are phase, results, parameters, stdout, stderr";
    let mut response = json(message);
    *response.status_mut() = StatusCode::BAD_REQUEST;
    response
}

/// Shows the phase of a job.
#[utoipa::path(
    get,
    path = "/v1/job/{jobId}/phase",
    operation_id = "getPhase",
    tag = "jobs",
    params(("jobId" = String, Path, description = "The job's id")),
    responses(
        (status = 200, description = "The phase", body = PhaseWord),
        (status = 404, description = "There is no such job", body = String, content_type = "application/json", example = ""),
    )
)]
pub(super) async fn phase(api: &Api, caller: &Caller, id: &str) -> Result<Response, ApiError> {
    Ok(json(&find::job(api, caller, id).await?.phase))
}

/// Shows what a job left.
#[utoipa::path(
    get,
    path = "/v1/job/{jobId}/results",
    operation_id = "listResults",
    tag = "jobs",
    params(("jobId" = String, Path, description = "The job's id")),
    responses(
        (status = 200, description = "The results", body = [ResultObject]),
        (status = 404, description = "There is no such job", body = String, content_type = "application/json", example = ""),
    )
)]
pub(super) async fn results(api: &Api, caller: &Caller, id: &str) -> Result<Response, ApiError> {
    let found = find::job(api, caller, id).await?;
    Ok(json(&JobObject::new(api, &found.job, found.phase, found.now).results))
}

/// Shows what was asked of a job.
#[utoipa::path(
    get,
    path = "/v1/job/{jobId}/parameters",
    operation_id = "getParameters",
    tag = "jobs",
    params(("jobId" = String, Path, description = "The job's id")),
    responses(
        (status = 200, description = "The parameters", body = ParametersObject),
        (status = 404, description = "There is no such job", body = String, content_type = "application/json", example = ""),
    )
)]
pub(super) async fn parameters(api: &Api, caller: &Caller, id: &str) -> Result<Response, ApiError> {
    let found = find::job(api, caller, id).await?;
    Ok(json(&JobObject::new(api, &found.job, found.phase, found.now).parameters))
}
