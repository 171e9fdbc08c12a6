//! `/async/{job-id}`: the job (UWS 1.1 §2.2.2.2), and its deletion (§2.2.3.2).

use std::sync::Arc;

use warp::reply::Response;

use super::dispatch::Request;
use super::document::JobDocument;
use super::fields::Fields;
use super::find::Seeker;
use super::negotiate::Format;
use super::query::Wait;
use super::routes::Uws;
use super::{html, piece, xml};
use crate::domain::{Job, JobFilter, JobId, Page};
use crate::http::Api;
use crate::http::links::Links;
use crate::http::reply::{ApiError, see_other};

/// A client that was sent back to the list gets at most so many jobs: a list may be very long.
const SHORT_LIST: u32 = 100;

/// A request for a job, once it is found: all that it keeps while it waits, if it does.
pub(super) struct Reading {
    uws: Arc<Uws>,
    seeker: Seeker,
    id: JobId,
    /// How long it waits, or the job.
    wait: Result<Wait, Box<Job>>,
    links: Links,
    format: Format,
}

impl Reading {
    /// The reading of `found` that a request asks for.
    ///
    /// # Errors
    /// [`ApiError::Malformed`] for a wait that is none.
    pub(super) fn new(uws: &Arc<Uws>, request: &Request, found: Box<Job>) -> Result<Self, ApiError> {
        Ok(Self {
            uws: Arc::clone(uws),
            seeker: request.seeker(),
            id: found.id,
            wait: Wait::parse(request.asked.query())?.ok_or(found),
            links: request.links(&uws.api),
            format: Format::of(&request.headers),
        })
    }

    /// The job, at once or when its phase has changed.
    pub(super) async fn answer(self) -> Result<Response, ApiError> {
        let Self { uws, seeker, id, wait, links, format } = self;
        let job = match wait {
            Err(found) => found,
            Ok(wait) => uws.waits.changed(&uws.api, &seeker, id, wait).await?,
        };
        let quote = Box::pin(uws.api.handle.quote(&job)).await?;
        let document = JobDocument::new(&uws.api, &links, &job, quote);
        Ok(piece::document(format, &document, || xml::job(&document), || html::job(&links, &document)))
    }
}

/// `ACTION=DELETE`, for HTML forms.
pub(super) async fn post(api: &Api, request: &Request, id: JobId, mut fields: Fields) -> Result<Response, ApiError> {
    match fields.take("ACTION")? {
        Some(action) if action.eq_ignore_ascii_case("DELETE") => delete(api, request, id).await,
        Some(action) => Err(ApiError::Malformed(format!("ACTION is {action:?}; ACTION=DELETE expected"))),
        None => {
            let job = request.links(api).job(id);
            let why = format!("ACTION=DELETE expected; PHASE is posted to {job}/phase, parameters to {job}/parameters");
            Err(ApiError::Malformed(why))
        }
    }
}

/// Deletes the job: its URLs are 404 when this is answered.
pub(super) async fn delete(api: &Api, request: &Request, id: JobId) -> Result<Response, ApiError> {
    api.handle.delete(&request.asked.caller, id).await?;
    let filter = JobFilter {
        service: Some(request.service.clone()),
        owner: request.asked.caller.sees(),
        ..JobFilter::default()
    };
    let newest = api.store.job_refs(&filter, Page { after: None, limit: SHORT_LIST + 1 }).await?;
    let is_long = newest.len() > SHORT_LIST as usize;
    let links = request.links(api);
    Ok(see_other(&if is_long { links.last_jobs(SHORT_LIST) } else { links.jobs() }))
}
