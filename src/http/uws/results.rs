//! `…/results` and `…/results/{id}` (UWS 1.1 §2.2.2.3; contract §5).

use http::HeaderValue;
use http::header::CONTENT_TYPE;
use warp::reply::Response;

use super::dispatch::Request;
use super::main_result;
use super::negotiate::Format;
use super::result_id::{Named, named};
use super::{document, html, piece, xml};
use crate::domain::Job;
use crate::http::file::{self, Opened};
use crate::http::reply::{ApiError, see_other};
use crate::http::{Api, attachment, gone, log};
use crate::ports::JobDirs;

/// The list of results.
pub(super) fn get(api: &Api, request: &Request, job: &Job) -> Response {
    let results = document::results(api, &request.links(api), job);
    let format = Format::of(&request.headers);
    piece::document(format, &results, || xml::results(&results), || html::results(&results))
}

/// The result itself, or for `result` the way to the main one.
pub(super) async fn get_one(api: &Api, request: &Request, job: &Job, id: &str) -> Result<Response, ApiError> {
    gone::unless_kept(job)?;
    match named(job, id) {
        Some(Named::Log(log)) => log::respond(api, job, log, (&request.method, &request.headers)).await,
        Some(Named::File(path)) => {
            let opened = open(api, job, path).await?.ok_or(ApiError::NoSuchResult)?;
            let mut response = opened.respond(&request.method, &request.headers)?;
            attachment::describe(&mut response, path);
            let kind = HeaderValue::try_from(main_result::media_type(api, job, path).as_ref());
            response.headers_mut().insert(CONTENT_TYPE, kind.expect("a media type is a header's value"));
            Ok(response)
        }
        None if id == main_result::ALIAS => {
            let main = main_result::of(job).ok_or(ApiError::NoSuchResult)?;
            Ok(see_other(&request.links(api).result(job.id, &main)))
        }
        None => Err(ApiError::NoSuchResult),
    }
}

/// A file of the job, if there is one.
async fn open(api: &Api, job: &Job, path: &str) -> Result<Option<Opened>, ApiError> {
    let root = api.config.get().server.jobs_dir.clone();
    // Relative to the directory of all jobs, so that no component of it is taken on trust.
    let below = JobDirs { root: job.id.to_string().into() }.output();
    file::open_below(&api.files, root, below, path.to_owned()).await
}
