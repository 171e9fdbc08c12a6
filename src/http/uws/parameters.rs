//! `…/parameters` and `…/parameters/{name}` (UWS 1.1 §2.1.11, §2.2.2.4).

use http::StatusCode;
use warp::reply::Response;

use super::dispatch::Request;
use super::fields::Fields;
use super::negotiate::Format;
use super::query::is_digits;
use super::work::{Controls, Posted};
use super::{document, html, piece, xml};
use crate::domain::{Job, JobId};
use crate::http::Api;
use crate::http::reply::{ApiError, see_other, text};
use crate::supervisor::Asked;

/// The list of parameters.
pub(super) fn get(api: &Api, request: &Request, job: &Job) -> Response {
    let parameters = document::parameters(&request.links(api), job);
    let format = Format::of(&request.headers);
    piece::document(format, &parameters, || xml::parameters(&parameters), || html::parameters(&parameters))
}

/// The values of a parameter, one a line; with `VALUE=n` only the n-th, from 1.
pub(super) fn get_one(request: &Request, job: &Job, name: &str) -> Result<Response, ApiError> {
    let mut values: Vec<_> =
        document::values(job).into_iter().filter(|(given, _)| given.eq_ignore_ascii_case(name)).collect();
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

/// Changes the parameters of a job that is PENDING: ENVIRONMENT is added to, any other name replaced (DALI 1.1 §2.1).
pub(super) async fn post(api: &Api, request: &Request, id: JobId, mut fields: Fields) -> Result<Response, ApiError> {
    if fields.take("PHASE")?.is_some() {
        return Err(ApiError::Malformed("PHASE is no parameter; post it to phase".to_owned()));
    }
    let controls = Controls::take(&mut fields)?;
    let posted = Posted::of(fields)?;
    let caller = &request.asked.caller;
    api.handle.change_work(caller, id, |work| Ok::<_, ApiError>(posted.applied_to(work))).await?;
    if let Some(run_id) = controls.run_id {
        api.handle.set_run_id(caller, id, run_id).await?;
    }
    if let Asked::For(limit) = controls.execution_duration {
        api.handle.set_execution_duration(caller, id, limit).await?;
    }
    if let Asked::For(at) = controls.destruction {
        api.handle.set_destruction(caller, id, at).await?;
    }
    Ok(see_other(&request.links(api).job(id)))
}
