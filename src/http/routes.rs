//! The routes of every resource, joined; what is asked most comes first.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use warp::Filter;
use warp::filters::BoxedFilter;
use warp::reply::Response;

use super::reply::ApiError;
use super::server::Api;
use super::{admin, availability, health, json, metrics, operations, uws};
use crate::domain::Timestamp;

/// Everything that this daemon answers.
///
/// `stop` ends requests that wait for something.
pub(super) fn all(api: &Arc<Api>, started: Timestamp, stop: CancellationToken) -> BoxedFilter<(Response,)> {
    let base = below(&api.config.get().server.base_path);
    json::routes(&base, api)
        .or(uws::routes(&base, api, started, stop))
        .unify()
        .or(health::routes(api))
        .unify()
        .or(metrics::route(api))
        .unify()
        .or(availability::route(base, api, started))
        .unify()
        .or(admin::routes(api))
        .unify()
        .or(operations::routes(api, started))
        .unify()
        .or(warp::any().map(|| ApiError::NoSuchPath.as_text()))
        .unify()
        .boxed()
}

/// Matches the segments of `path` at the beginning of a request's path.
fn below(path: &str) -> BoxedFilter<()> {
    let segments = path.split('/').filter(|segment| !segment.is_empty());
    segments.fold(warp::any().boxed(), |before, segment| before.and(warp::path(segment.to_owned())).boxed())
}
