//! `/healthz` and `/readyz`: for probes of whoever runs the daemon.

use std::sync::Arc;

use http::{Method, StatusCode};
use warp::Filter;
use warp::filters::BoxedFilter;
use warp::reply::Response;

use super::reply::{ApiError, text};
use super::resource::{READ_ONLY, is_read, other};
use super::server::Api;
use crate::supervisor::Readiness;

/// `/healthz`: 200 while the process answers; `/readyz`: 200 while it accepts jobs and can run them.
pub(super) fn routes(api: &Arc<Api>) -> BoxedFilter<(Response,)> {
    let api = Arc::clone(api);
    let healthz = warp::path!("healthz").and(warp::method()).map(|method| answer(&method, alive));
    let readyz = warp::path!("readyz").and(warp::method()).map(move |method| answer(&method, || ready(&api)));
    healthz.or(readyz).unify().boxed()
}

fn answer(method: &Method, state: impl FnOnce() -> Response) -> Response {
    if is_read(method) {
        return state();
    }
    other(method, READ_ONLY).unwrap_or_else(|error: ApiError| error.as_text())
}

fn alive() -> Response {
    text(StatusCode::OK, "ok")
}

fn ready(api: &Api) -> Response {
    match readiness(api) {
        Ok(backend) => text(StatusCode::OK, format!("ready: {backend}")),
        Err(why) => text(StatusCode::SERVICE_UNAVAILABLE, why),
    }
}

/// The backend that runs jobs, or why they are not accepted or cannot run.
pub(super) fn readiness(api: &Api) -> Result<String, String> {
    if let Some(trouble) = api.handle.trouble() {
        return Err(format!("not ready: {}", trouble.why()));
    }
    match api.handle.readiness() {
        Readiness::Ready { backend } => Ok(backend),
        Readiness::Starting(why) => Err(format!("starting: {why}")),
        Readiness::Unreachable(why) => Err(format!("not ready: {why}")),
    }
}
