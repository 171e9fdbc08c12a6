//! The routes of every resource, joined; what is asked most comes first.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use warp::Filter;
use warp::filters::BoxedFilter;
use warp::filters::path::FullPath;
use warp::reply::Response;

use super::reply::ApiError;
use super::server::Api;
use super::{admin, availability, front, health, json, metrics, operations, uws};
use crate::domain::Timestamp;

/// Everything that this daemon answers.
///
/// `stop` ends requests that wait for something.
pub(super) fn all(api: &Arc<Api>, started: Timestamp, stop: CancellationToken) -> BoxedFilter<(Response,)> {
    let base_path = api.config.get().server.base_path.clone();
    let base = below(&base_path);
    json::routes(&base, api)
        .or(uws::routes(&base, api, started, stop))
        .unify()
        .or(front::route(api))
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
        .or(warp::path::full().map(move |path: FullPath| nothing_at(path.as_str(), &base_path).as_text()))
        .unify()
        .boxed()
}

/// Why there is nothing at `path`.
fn nothing_at(path: &str, base_path: &str) -> ApiError {
    let base = base_path.trim_end_matches('/');
    match path.strip_prefix(base) {
        Some(rest) if rest.is_empty() || rest.starts_with('/') => ApiError::NoSuchPath,
        _ => ApiError::OutsideBase(base.to_owned()),
    }
}

/// Matches the segments of `path` at the beginning of a request's path.
fn below(path: &str) -> BoxedFilter<()> {
    let segments = path.split('/').filter(|segment| !segment.is_empty());
    segments.fold(warp::any().boxed(), |before, segment| before.and(warp::path(segment.to_owned())).boxed())
}
