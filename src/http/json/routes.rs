//! The routes below `/v1`; those that clients poll come first.

use std::sync::Arc;

use warp::Filter;
use warp::filters::BoxedFilter;
use warp::reply::Response;

use super::{job, jobs, openapi, property, result};
use crate::http::Api;

/// The JSON API below `base`.
pub(in crate::http) fn routes(base: &BoxedFilter<()>, api: &Arc<Api>) -> BoxedFilter<(Response,)> {
    let below = job::route(api)
        .or(jobs::route(api))
        .unify()
        .or(property::route(api))
        .unify()
        .or(result::route(api))
        .unify()
        .or(openapi::route(api))
        .unify();
    base.clone().and(warp::path("v1")).and(below).boxed()
}
