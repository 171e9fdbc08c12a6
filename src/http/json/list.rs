//! The list of jobs, made while it is sent: a page of it is in memory at a time, however many and large the jobs are.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::stream;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderValue, StatusCode};
use warp::reply::Response;

use super::SERVICE;
use super::object::JobObject;
use super::phase::PhaseWord;
use crate::domain::{Caller, Job, JobFilter, Page, Phase, Place};
use crate::http::Api;
use crate::http::reply::{ApiError, with_type};
use crate::http::resource::{StreamError, streamed};
use crate::ports::StoreError;

/// How many jobs are read at a time, fewer if they are large.
const PAGE: u32 = 100;

/// The jobs of `caller` in one of `phases` as a JSON array, newest first.
///
/// # Errors
/// [`ApiError::Store`] if not even the first page can be read; later the connection is cut.
pub(super) async fn respond(api: &Arc<Api>, caller: &Caller, phases: Vec<Phase>) -> Result<Response, ApiError> {
    let filter = JobFilter { service: Some(SERVICE.to_owned()), owner: caller.sees(), phases, created_after: None };
    let list = List { api: Arc::clone(api), filter };
    let first = list.page(None).await?;
    let Some(after) = first.last().map(Job::place) else {
        return Ok(with_type(StatusCode::OK, "application/json", Bytes::from_static(b"[]")));
    };
    let begin = list.piece(b'[', &first);
    drop(first);
    let mut response = streamed(stream::try_unfold(State::Begin { list, begin, after }, |state| async move {
        match state {
            State::Begin { list, begin, after } => Ok(Some((begin, State::After { list, after }))),
            State::After { list, after } => list.next(after).await.map(Some),
            State::Done => Ok(None),
        }
    }));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

enum State {
    /// The first piece is made; `after` is the last job in it.
    Begin { list: List, begin: Bytes, after: Place },
    /// The page after this job is next.
    After { list: List, after: Place },
    /// The list is closed.
    Done,
}

struct List {
    api: Arc<Api>,
    filter: JobFilter,
}

impl List {
    async fn page(&self, after: Option<Place>) -> Result<Vec<Job>, StoreError> {
        self.api.store.jobs(&self.filter, Page { after, limit: PAGE }).await
    }

    async fn next(self, after: Place) -> Result<(Bytes, State), StreamError> {
        let page = self.page(Some(after)).await.inspect_err(|error| {
            tracing::error!(error = error as &dyn std::error::Error, "a list of jobs was cut");
        })?;
        let Some(after) = page.last().map(Job::place) else { return Ok((Bytes::from_static(b"]"), State::Done)) };
        Ok((self.piece(b',', &page), State::After { list: self, after }))
    }

    /// The jobs of a page in JSON, after the bracket or comma `before`.
    fn piece(&self, before: u8, page: &[Job]) -> Bytes {
        let now = self.api.clock.now();
        let mut piece = Vec::with_capacity(page.len() * 1024 + 2);
        let separators = std::iter::once(before).chain(std::iter::repeat(b','));
        for (separator, job) in separators.zip(page) {
            piece.push(separator);
            let phase = PhaseWord::of(job.phase, job.outcome.as_ref());
            let object = JobObject::new(&self.api, job, phase, now);
            serde_json::to_writer(&mut piece, &object).expect("a job object has string keys and does not fail");
        }
        Bytes::from(piece)
    }
}
