//! `…/parameters` and `…/parameters/{name}` (UWS 1.1 §2.1.11, §2.2.2.4).

use http::header::CONTENT_TYPE;
use http::{HeaderValue, StatusCode};
use warp::reply::Response;

use super::dispatch::Request;
use super::fetch;
use super::fields::Fields;
use super::intake::Intake;
use super::negotiate::Format;
use super::query::is_digits;
use super::work::{Posted, take_terms};
use super::{document, html, piece, xml};
use crate::config::Service;
use crate::domain::{Job, JobId, Upload};
use crate::http::file::open_below;
use crate::http::reply::{ApiError, see_other, text};
use crate::http::{Api, attachment};
use crate::supervisor::Uploads;

/// The list of parameters.
pub(super) fn get(api: &Api, request: &Request, job: &Job) -> Response {
    let parameters = document::parameters(api, &request.links(api), job);
    let format = Format::of(&request.headers);
    piece::document(format, &parameters, || xml::parameters(&parameters), || html::parameters(&parameters))
}

/// The values of a parameter, one a line; with `VALUE=n` only the n-th, from 1. Of a file that was handed in its bytes.
pub(super) async fn get_one(api: &Api, request: &Request, job: &Job, name: &str) -> Result<Response, ApiError> {
    if let Some(upload) = job.uploads().iter().find(|upload| upload.name == name) {
        return file(api, request, job, upload).await;
    }
    let mut values: Vec<_> =
        document::values(api, job).into_iter().filter(|(given, _)| given.eq_ignore_ascii_case(name)).collect();
    if let Some(number) = Fields::of_query(request.asked.query())?.take("VALUE")? {
        let number = number.parse().ok().filter(|_| is_digits(&number));
        let index = number.filter(|number| (1..=values.len()).contains(number)).ok_or(ApiError::NoSuchPath)? - 1;
        values = vec![values.swap_remove(index)];
    }
    if values.is_empty() {
        return Err(ApiError::NoSuchPath);
    }
    let lines: Vec<_> = values.into_iter().map(|(_, value)| value).collect();
    Ok(text(StatusCode::OK, lines.join("\n")))
}

/// A file that came with the job, of the media type that its client gave it.
async fn file(api: &Api, request: &Request, job: &Job, upload: &Upload) -> Result<Response, ApiError> {
    let uploads = api.handle.uploads();
    let (root, below) = (uploads.root().to_owned(), Uploads::below(job.id));
    let opened = open_below(uploads.gate(), root, below, upload.file.clone()).await?;
    let opened = opened.ok_or(ApiError::NoSuchPath)?;
    let mut response = opened.respond(&request.method, &request.headers)?;
    attachment::describe(&mut response, &upload.name);
    if let Some(kind) = upload.media_type.as_deref().and_then(|kind| HeaderValue::try_from(kind).ok()) {
        response.headers_mut().insert(CONTENT_TYPE, kind);
    }
    Ok(response)
}

/// Changes the parameters of a job that is PENDING: those with several values are added to, any other is replaced (DALI
/// 1.1 §2.1).
pub(super) async fn post(
    api: &Api,
    request: &Request,
    service: &Service,
    id: JobId,
    intake: Intake,
) -> Result<Response, ApiError> {
    let Intake { mut fields, mut staged, _room } = intake;
    if fields.take("PHASE")?.is_some() {
        return Err(ApiError::Malformed("PHASE is no parameter; post it to phase".to_owned()));
    }
    let terms = take_terms(&mut fields)?;
    let mut posted = Posted::of(service, fields)?;
    if let Some(staged) = &staged {
        posted.claim(service, staged.files());
    }
    let caller = &request.asked.caller;
    let files = posted.files(service);
    if fetch::is_needed(&files)? {
        api.handle.foresee_change(caller, id, |work| posted.clone().applied_to(service, work)).await?;
        fetch::missing(api, &files, &mut staged).await?;
    }
    let service = service.clone();
    let change = move |work| posted.applied_to(&service, work);
    api.handle.change_work(caller, id, (staged, terms), change).await?;
    Ok(see_other(&request.links(api).job(id)))
}
