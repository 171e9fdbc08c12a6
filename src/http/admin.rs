//! `/admin/…`: what an operator orders, on the administration socket only. Elsewhere there is nothing at these addresses.

use std::sync::Arc;

use http::Method;
use serde::Serialize;
use warp::Filter;
use warp::filters::BoxedFilter;
use warp::reply::Response;

use super::Api;
use super::extract::{Asked, asked};
use super::form;
use super::reply::{ApiError, json};
use super::resource::other;
use crate::domain::Caller;

/// The highest priority of a job or a service.
const HIGHEST: u32 = 100;
const METHODS: &str = "POST, OPTIONS";

/// The job after an order.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Ordered {
    job_id: String,
    phase: &'static str,
}

/// `POST /admin/job/{id}/{hold|release|suspend|resume}` and `POST /admin/job/{id}/priority?value={0…100}`.
pub(super) fn routes(api: &Arc<Api>) -> BoxedFilter<(Response,)> {
    let api = Arc::clone(api);
    warp::path!("admin" / "job" / String / String)
        .and(warp::method())
        .and(asked())
        .then(move |id: String, order: String, method: Method, asked: Asked| {
            let api = Arc::clone(&api);
            async move { answer(&api, &id, &order, &method, &asked).await.unwrap_or_else(|error| error.as_text()) }
        })
        .boxed()
}

async fn answer(api: &Api, id: &str, order: &str, method: &Method, asked: &Asked) -> Result<Response, ApiError> {
    let caller = &asked.caller;
    if *caller != Caller::Operator || !matches!(order, "hold" | "release" | "suspend" | "resume" | "priority") {
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
        "priority" => api.handle.prioritize(caller, id, priority(asked.query())?).await?,
        _ => api.handle.resume(caller, id).await?,
    };
    Ok(json(&Ordered { job_id: job.id.to_string(), phase: job.phase.as_str() }))
}

/// The priority that a query asks for.
fn priority(query: &str) -> Result<u32, ApiError> {
    let fields = form::urlencoded(query.as_bytes())?;
    let value = fields.iter().rfind(|(name, _)| name.eq_ignore_ascii_case("value")).map(|(_, value)| value.as_str());
    value.and_then(|text| text.parse().ok()).filter(|priority| *priority <= HIGHEST).ok_or_else(|| {
        let given = value.map_or_else(|| "not given".to_owned(), |text| format!("{text:?}"));
        ApiError::Malformed(format!("value is {given}; give a priority from 0 to {HIGHEST}, as in ?value=10"))
    })
}
