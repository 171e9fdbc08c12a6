//! `/async`: the job list (UWS 1.1 §2.2.2.1), made while it is sent, newest first: a page of it is in memory at a time.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use futures_util::stream;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderValue, StatusCode};
use warp::reply::Response;

use super::dispatch::Request;
use super::negotiate::Format;
use super::piece::{ListWriter, describe};
use super::query::ListQuery;
use crate::domain::{Page, Place};
use crate::http::Api;
use crate::http::links::Links;
use crate::http::reply::{ApiError, with_type};
use crate::http::resource::{StreamError, streamed};
use crate::ports::StoreError;

/// How many jobs are read at a time.
const PAGE: u32 = 500;

/// The list that the query asks for.
///
/// # Errors
/// [`ApiError::Malformed`]; [`ApiError::Store`] if not even the first page can be read: later the connection is cut.
pub(super) async fn get(api: &Arc<Api>, request: &Request) -> Result<Response, ApiError> {
    let query = ListQuery::parse(&request.service, &request.asked.caller, request.asked.query())?;
    let format = Format::of(&request.headers);
    let left = query.last.unwrap_or(u64::MAX);
    let writer = ListWriter::new(format);
    let mut begin = BytesMut::from(&writer.begin(&request.service)[..]);
    let mut list = List { api: Arc::clone(api), links: request.links(api), query, left, after: None, writer };
    let (first, is_more) = list.next().await?;
    begin.extend_from_slice(&first);
    let begin = begin.freeze();
    let mut response = if is_more { list.stream(begin) } else { with_type(StatusCode::OK, format.media_type(), begin) };
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(format.media_type()));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    describe(format, headers);
    Ok(response)
}

struct List {
    api: Arc<Api>,
    links: Links,
    query: ListQuery,
    /// How many jobs may still come.
    left: u64,
    /// The last job that came.
    after: Option<Place>,
    writer: ListWriter,
}

impl List {
    /// The next piece, and whether there is another one after it; else it closes the list.
    async fn next(&mut self) -> Result<(Bytes, bool), StoreError> {
        let limit = u32::try_from(self.left).unwrap_or(PAGE).min(PAGE);
        let page = Page { after: self.after, limit };
        let jobs = self.api.store.job_refs(&self.query.filter, page).await?;
        let read = u32::try_from(jobs.len()).unwrap_or(limit);
        self.left -= u64::from(read.min(limit));
        self.after = jobs.last().map(|job| job.place);
        let piece = self.writer.jobs(&self.links, jobs.iter());
        let is_more = read == limit && self.left > 0;
        if is_more {
            return Ok((piece, true));
        }
        let mut closed = BytesMut::from(&piece[..]);
        closed.extend_from_slice(&self.writer.end());
        Ok((closed.freeze(), false))
    }

    fn stream(self, begin: Bytes) -> Response {
        streamed(stream::try_unfold((Some(begin), Some(self)), |(begin, list)| async move {
            if let Some(begin) = begin {
                return Ok::<_, StreamError>(Some((begin, (None, list))));
            }
            let Some(mut list) = list else { return Ok(None) };
            let (piece, is_more) = list.next().await.inspect_err(|error| {
                tracing::error!(error = error as &dyn std::error::Error, "a list of jobs was cut");
            })?;
            Ok(Some((piece, (None, is_more.then_some(list)))))
        }))
    }
}
