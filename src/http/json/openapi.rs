//! `/v1/openapi.json`: this API in OpenAPI 3.1, generated from the types that it is made of.

use std::sync::Arc;

use http::{Method, StatusCode};
use utoipa::OpenApi;
use utoipa::openapi::Server;
use warp::Filter;
use warp::filters::BoxedFilter;
use warp::reply::Response;

use super::dress::dress;
use super::{job, jobs, logs, property, result};
use crate::http::Api;
use crate::http::reply::{ApiError, with_type};
use crate::http::resource::{READ_ONLY, is_read, other};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "uwsd: OCPS JSON API",
        description = "Jobs of the service `ocps`: make, list, look at, take the results of, delete.",
    ),
    paths(
        jobs::get,
        jobs::put,
        job::get,
        job::delete,
        property::phase,
        property::results,
        property::parameters,
        logs::stdout,
        logs::stderr,
        result::get,
        get,
    )
)]
struct Document;

/// The document.
pub(super) fn route(api: &Arc<Api>) -> BoxedFilter<(Response,)> {
    let api = Arc::clone(api);
    warp::path!("openapi.json").and(warp::method()).map(move |method| dress(get(&api, &method))).boxed()
}

/// Shows this document.
#[utoipa::path(
    get,
    path = "/v1/openapi.json",
    operation_id = "getOpenApi",
    tag = "service",
    responses((status = 200, description = "An OpenAPI 3.1 document", body = Object, content_type = "application/json"))
)]
fn get(api: &Api, method: &Method) -> Result<Response, ApiError> {
    if is_read(method) {
        Ok(with_type(StatusCode::OK, "application/json", document(api).into()))
    } else {
        other(method, READ_ONLY)
    }
}

fn document(api: &Api) -> String {
    let config = api.config.get();
    let server = &config.server;
    let base = server.public_url.as_deref().unwrap_or(&server.base_path).trim_end_matches('/');
    let mut document = Document::openapi();
    document.servers = Some(vec![Server::new(if base.is_empty() { "/" } else { base })]);
    document.to_json().expect("a generated document has string keys and does not fail")
}
