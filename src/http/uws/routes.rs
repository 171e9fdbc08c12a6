//! The two filters of this dialect.

use std::sync::Arc;

use bytes::Buf;
use futures_util::Stream;
use http::{HeaderMap, Method};
use tokio_util::sync::CancellationToken;
use warp::Filter;
use warp::filters::BoxedFilter;
use warp::path::Tail;
use warp::reply::Response;

use super::capabilities;
use super::dispatch::{Request, answer};
use super::wait::Waits;
use crate::domain::Timestamp;
use crate::http::Api;
use crate::http::extract::{Asked, asked};

/// What the resources of this dialect work with.
pub(super) struct Uws {
    /// What every handler works with.
    pub(super) api: Arc<Api>,
    /// The requests that wait.
    pub(super) waits: Waits,
}

/// The UWS API of every service below `base`; `stop` ends what waits.
pub(in crate::http) fn routes(
    base: &BoxedFilter<()>,
    api: &Arc<Api>,
    started: Timestamp,
    stop: CancellationToken,
) -> BoxedFilter<(Response,)> {
    let uws = Arc::new(Uws { api: Arc::clone(api), waits: Waits::new(stop) });
    let tree = base
        .clone()
        .and(warp::path::param())
        .and(warp::path("async"))
        .and(warp::path::tail())
        .and(warp::method())
        .and(asked())
        .and(warp::header::headers_cloned())
        .and(warp::body::stream())
        .then(move |service: String, tail: Tail, method: Method, asked: Asked, headers: HeaderMap, body| {
            respond(Arc::clone(&uws), Request { service, method, asked, headers }, tail, body)
        });
    tree.or(capabilities::route(base.clone(), api, started)).unify().boxed()
}

async fn respond<B: Buf>(
    uws: Arc<Uws>,
    request: Request,
    tail: Tail,
    body: impl Stream<Item = Result<B, warp::Error>> + Send,
) -> Response {
    answer(&uws, request, tail.as_str(), body).await.unwrap_or_else(|error| error.as_text())
}
