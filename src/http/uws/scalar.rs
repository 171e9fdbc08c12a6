//! The values of a job that are text (UWS 1.1 §2.2.2): the same as in the job's document, without a newline.

use http::StatusCode;
use serde::Serialize;
use warp::reply::Response;

use super::dispatch::Request;
use super::document;
use super::negotiate::Format;
use crate::domain::{Job, OwnerId, Timestamp};
use crate::http::reply::{json, text};

/// `phase`.
pub(super) fn phase(request: &Request, job: &Job) -> Response {
    answer(request, &job.phase.as_str(), job.phase.as_str().to_owned())
}

/// `executionduration`, in seconds; 0 is without limit.
pub(super) fn execution_duration(request: &Request, job: &Job) -> Response {
    let seconds = document::execution_duration(job);
    answer(request, &seconds, seconds.to_string())
}

/// `destruction`; empty if there is none.
pub(super) fn destruction(request: &Request, job: &Job) -> Response {
    optional(request, job.destruction.map(Timestamp::to_iso).as_deref())
}

/// `quote`; empty, which means that nobody knows (UWS 1.1 §2.1.6).
pub(super) fn quote(request: &Request, quote: Option<Timestamp>) -> Response {
    optional(request, quote.map(Timestamp::to_iso).as_deref())
}

/// `owner`; empty if the creator was anonymous.
pub(super) fn owner(request: &Request, job: &Job) -> Response {
    optional(request, job.owner.as_ref().map(OwnerId::as_str))
}

fn optional(request: &Request, value: Option<&str>) -> Response {
    answer(request, &value, value.unwrap_or_default().to_owned())
}

fn answer<T: Serialize>(request: &Request, value: &T, plain: String) -> Response {
    match Format::of(&request.headers) {
        Format::Json => json(value),
        Format::Xml | Format::Html => text(StatusCode::OK, plain),
    }
}
