//! `/admin/…`: what an operator orders, on the administration socket only. Elsewhere there is nothing at these addresses.

use std::sync::Arc;

use http::Method;
use serde::Serialize;
use warp::Filter;
use warp::filters::BoxedFilter;
use warp::reply::Response;

use super::Api;
use super::extract::{Asked, asked};
use super::reply::{ApiError, json};
use super::resource::other;
use crate::domain::Caller;

const METHODS: &str = "POST, OPTIONS";

/// The job after an order.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Ordered {
    job_id: String,
    phase: &'static str,
}

/// `POST /admin/job/{id}/{hold|release|suspend|resume}`.
pub(super) fn routes(api: &Arc<Api>) -> BoxedFilter<(Response,)> {
    let api = Arc::clone(api);
    warp::path!("admin" / "job" / String / String)
        .and(warp::method())
        .and(asked())
        .then(move |id: String, order: String, method: Method, asked: Asked| {
            let api = Arc::clone(&api);
            async move { answer(&api, &id, &order, &method, &asked.caller).await.unwrap_or_else(|error| error.as_text()) }
        })
        .boxed()
}

async fn answer(api: &Api, id: &str, order: &str, method: &Method, caller: &Caller) -> Result<Response, ApiError> {
    if *caller != Caller::Operator || !matches!(order, "hold" | "release" | "suspend" | "resume") {
        return Err(ApiError::NoSuchPath);
    }
    let id = id.parse().map_err(|_| ApiError::NoSuchJob)?;
    if method != Method::POST {
        return other(method, METHODS);
    }
    let job = match order {
        "hold" => api.handle.hold(caller, id).await?,
        "release" => api.handle.release(caller, id).await?,
        "suspend" => api.handle.suspend(caller, id).await?,
        _ => api.handle.resume(caller, id).await?,
    };
    Ok(json(&Ordered { job_id: job.id.to_string(), phase: job.phase.as_str() }))
}
