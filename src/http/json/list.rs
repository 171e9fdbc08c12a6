//! The list of jobs, made while it is sent: a page of it is in memory at a time, however many jobs there are.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::stream;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderValue, StatusCode};
use warp::reply::Response;

use super::SERVICE;
use super::object::JobObject;
use super::phase::PhaseWord;
use crate::domain::{Caller, Job, JobFilter, Page, Phase};
use crate::http::Api;
use crate::http::reply::{ApiError, with_type};
use crate::http::resource::{StreamError, streamed};
use crate::ports::StoreError;

/// How many jobs are read at a time.
const PAGE: u32 = 100;

/// The jobs of `caller` in one of `phases` as a JSON array, newest first.
///
/// # Errors
/// [`ApiError::Store`] if not even the first page can be read; later the connection is cut.
pub(super) async fn respond(api: &Arc<Api>, caller: &Caller, phases: Vec<Phase>) -> Result<Response, ApiError> {
    let filter =
        JobFilter { service: Some(SERVICE.to_owned()), owner: Some(caller.owner()), phases, created_after: None };
    let list = List { api: Arc::clone(api), filter };
    let first = list.page(None).await?;
    let (begin, next) = list.piece(b'[', &first);
    let Some(next) = next else { return Ok(with_type(StatusCode::OK, "application/json", begin)) };
    let state = State::Piece { list, begin, next };
    let mut response = streamed(stream::try_unfold(state, |state| async move {
        match state {
            State::Piece { list, begin, next } => Ok(Some((begin, State::After { list, before: next }))),
            State::After { list, before } => list.next(before).await.map(Some),
            State::Done => Ok(None),
        }
    }));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

enum State {
    /// The first piece is made.
    Piece { list: List, begin: Bytes, next: i64 },
    /// The page before this job is next.
    After { list: List, before: i64 },
    /// The list is closed.
    Done,
}

struct List {
    api: Arc<Api>,
    filter: JobFilter,
}

impl List {
    async fn page(&self, before: Option<i64>) -> Result<Vec<Job>, StoreError> {
        self.api.store.jobs(&self.filter, Page { before, limit: PAGE }).await
    }

    async fn next(self, before: i64) -> Result<(Bytes, State), StreamError> {
        let page = self.page(Some(before)).await.inspect_err(|error| {
            tracing::error!(error = error as &dyn std::error::Error, "a list of jobs was cut");
        })?;
        let (piece, next) = self.piece(b',', &page);
        Ok((piece, next.map_or(State::Done, |before| State::After { list: self, before })))
    }

    /// A page in JSON, and after which job the next one begins, if there is one; else it closes the list.
    fn piece(&self, before: u8, page: &[Job]) -> (Bytes, Option<i64>) {
        let now = self.api.clock.now();
        let mut piece = Vec::with_capacity(page.len() * 1024 + 2);
        let mut separator = Some(before);
        for job in page {
            piece.extend(separator.replace(b','));
            let phase = PhaseWord::of(job.phase, job.outcome.as_ref());
            let object = JobObject::new(&self.api, job, phase, now);
            serde_json::to_writer(&mut piece, &object).expect("a job object has string keys and does not fail");
        }
        let is_full = u32::try_from(page.len()).is_ok_and(|length| length >= PAGE);
        let next = page.last().filter(|_| is_full).map(|job| job.seq);
        if next.is_none() {
            if page.is_empty() && before == b'[' {
                piece.push(b'[');
            }
            piece.push(b']');
        }
        (Bytes::from(piece), next)
    }
}
