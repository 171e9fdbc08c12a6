//! `/async/{job-id}`: the job (UWS 1.1 §2.2.2.2), and its deletion (§2.2.3.2).

use std::sync::Arc;

use warp::reply::Response;

use super::dispatch::Request;
use super::document::JobDocument;
use super::fields::Fields;
use super::negotiate::Format;
use super::query::Wait;
use super::routes::Uws;
use super::{html, piece, xml};
use crate::domain::{Job, JobFilter, JobId, Page};
use crate::http::Api;
use crate::http::reply::{ApiError, see_other};

/// A client that was sent back to the list gets at most so many jobs: a list may be very long.
const SHORT_LIST: u32 = 100;

/// The job, at once or when its phase has changed.
pub(super) async fn get(uws: &Arc<Uws>, request: &Request, found: Box<Job>) -> Result<Response, ApiError> {
    let api = &uws.api;
    let job = match Wait::parse(request.asked.query())? {
        None => found,
        Some(wait) => {
            let id = found.id;
            drop(found);
            uws.waits.changed(api, request, id, wait).await?
        }
    };
    let links = request.links(api);
    let quote = Box::pin(api.handle.quote(&job)).await?;
    let document = JobDocument::new(api, &links, &job, quote);
    let format = Format::of(&request.headers);
    Ok(piece::document(format, &document, || xml::job(&document), || html::job(&links, &document)))
}

/// `ACTION=DELETE`, for HTML forms.
pub(super) async fn post(api: &Api, request: &Request, id: JobId, mut fields: Fields) -> Result<Response, ApiError> {
    match fields.take("ACTION")? {
        Some(action) if action.eq_ignore_ascii_case("DELETE") => delete(api, request, id).await,
        Some(action) => Err(ApiError::Malformed(format!("ACTION is {action:?}; ACTION=DELETE expected"))),
        None => Err(ApiError::Malformed("ACTION=DELETE expected; parameters are posted to parameters".to_owned())),
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
