//! A request that owns its head.
//!
//! What hyper hands out of a head are slices of its read buffer. A request that is held for long keeps that buffer, and
//! hyper, which goes on listening for the client's end, takes another one of 8 KiB beside it: for each of thousands of
//! requests that wait.

use http::{HeaderMap, HeaderName, HeaderValue, Request};

/// The same request, if it may be held for long with a head of its own: to be called before hyper reads on.
pub(super) fn detached<B>(request: Request<B>) -> Request<B> {
    let may_wait = request.method() == http::Method::GET && request.uri().query().is_some();
    if !may_wait {
        return request;
    }
    let (mut parts, body) = request.into_parts();
    if let Ok(uri) = parts.uri.to_string().parse() {
        parts.uri = uri;
    }
    let mut headers = HeaderMap::with_capacity(parts.headers.len());
    for (name, value) in &parts.headers {
        let copied = (HeaderName::from_bytes(name.as_str().as_bytes()), HeaderValue::from_bytes(value.as_bytes()));
        if let (Ok(name), Ok(value)) = copied {
            headers.append(name, value);
        }
    }
    parts.headers = headers;
    Request::from_parts(parts, body)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_of_the_request_is_lost() {
        let request = Request::get("/a%20b?WAIT=-1&x=%ff")
            .header("accept", "a")
            .header("accept", "b")
            .header("x-other", HeaderValue::from_bytes(b"\xff").expect("opaque"));
        let request = request.body(()).expect("a request");
        let (uri, headers) = (request.uri().clone(), request.headers().clone());
        let copied = detached(request);
        assert_eq!((copied.uri(), copied.headers()), (&uri, &headers));
    }
}
