//! The filters of this dialect.

use std::sync::Arc;

use bytes::Buf;
use futures_util::Stream;
use http::{HeaderMap, Method};
use tokio_util::sync::CancellationToken;
use warp::filters::BoxedFilter;
use warp::path::Tail;
use warp::reply::Response;
use warp::{Filter, Rejection};

use super::dispatch::{self, Answered, Request};
use super::wait::Waits;
use super::{capabilities, examples, sync};
use crate::domain::Timestamp;
use crate::http::Api;
use crate::http::extract::{Asked, asked};
use crate::http::reply::ApiError;

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
    let uws = Arc::new(Uws { api: Arc::clone(api), waits: Waits::new(api.config.clone(), stop) });
    let (tree, sync) = (Arc::clone(&uws), uws);
    let tree = below(base, "async").then(move |service, tail: Tail, method, asked, headers, body| {
        let request = Request { service, method, asked, headers };
        // Boxed, so that what it took is given back before anybody waits.
        let answered = Box::pin(dispatch::answer(Arc::clone(&tree), request, tail, body));
        async move {
            let answered = answered.await;
            or_text(match answered {
                Ok(Answered::Now(response)) => Ok(response),
                Ok(Answered::Reading(reading)) => Box::pin(reading.answer()).await,
                Err(error) => Err(error),
            })
        }
    });
    let sync = below(base, "sync").then(move |service, tail: Tail, method, asked, headers, body| {
        let request = Request { service, method, asked, headers };
        // Boxed, so that a request for another resource has no room for this in it.
        let answered = Box::pin(sync::answer(Arc::clone(&sync), request, tail, body));
        async move { or_text(answered.await) }
    });
    let others = capabilities::route(base.clone(), api, started).or(examples::route(base.clone(), api)).unify();
    tree.or(sync).unify().or(others).unify().boxed()
}

/// What is asked of the resource `name` of a service, or of anything below it.
fn below(
    base: &BoxedFilter<()>,
    name: &'static str,
) -> impl Filter<
    Extract = (
        String,
        Tail,
        Method,
        Asked,
        HeaderMap,
        impl Stream<Item = Result<impl Buf + use<>, warp::Error>> + Send + use<>,
    ),
    Error = Rejection,
> + Clone
+ use<> {
    base.clone()
        .and(warp::path::param())
        .and(warp::path(name))
        .and(warp::path::tail())
        .and(warp::method())
        .and(asked())
        .and(warp::header::headers_cloned())
        .and(warp::body::stream())
}

fn or_text(answer: Result<Response, ApiError>) -> Response {
    answer.unwrap_or_else(|error| error.as_text())
}
