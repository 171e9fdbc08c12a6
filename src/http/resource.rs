//! What every resource has in common: its methods, and a stream as a body.

use std::pin::Pin;
use std::sync::Mutex;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::stream::{BoxStream, Stream, StreamExt};
use http::Method;
use warp::Reply;
use warp::reply::Response;

use super::reply::{ApiError, options};

/// The methods of a resource that can only be read.
pub(super) const READ_ONLY: &str = "GET, HEAD, OPTIONS";

/// The answer to a method that needs no handler: OPTIONS, and every one that the resource has not.
pub(super) fn other(method: &Method, allowed: &'static str) -> Result<Response, ApiError> {
    if method == Method::OPTIONS { Ok(options(allowed)) } else { Err(ApiError::NoSuchMethod(allowed)) }
}

/// Whether the method asks for the representation; hyper leaves the body of an answer to HEAD away.
pub(super) fn is_read(method: &Method) -> bool {
    method == Method::GET || method == Method::HEAD
}

/// What a body's stream fails with: the connection is cut, so that the client sees that something is missing.
pub(super) type StreamError = Box<dyn std::error::Error + Send + Sync>;

/// A stream that only its owner polls: the lock that makes it `Sync`, which warp wants of a body, is never taken.
struct Exclusive(Mutex<BoxStream<'static, Result<Bytes, StreamError>>>);

impl Stream for Exclusive {
    type Item = Result<Bytes, StreamError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let stream = self.0.get_mut().unwrap_or_else(std::sync::PoisonError::into_inner);
        stream.poll_next_unpin(cx)
    }
}

/// An answer whose body is made while it is sent, as fast as the client reads.
pub(super) fn streamed(stream: impl Stream<Item = Result<Bytes, StreamError>> + Send + 'static) -> Response {
    warp::reply::stream(Exclusive(Mutex::new(stream.boxed()))).into_response()
}
