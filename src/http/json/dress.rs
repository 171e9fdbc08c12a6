//! How this dialect words a refusal: as text, but a job that is not there as the JSON string `""`, like the original,
//! or with when it was destroyed in it.

use warp::reply::Response;

use crate::http::reply::{ApiError, json};
use crate::ports::StoreError;
use crate::supervisor::Denied;

/// The answer, good or bad.
pub(super) fn dress(result: Result<Response, ApiError>) -> Response {
    result.unwrap_or_else(|error| match error {
        ApiError::NoSuchJob
        | ApiError::Store(StoreError::NoSuchJob(_))
        | ApiError::Denied(Denied::NoSuchJob(_) | Denied::Store(StoreError::NoSuchJob(_))) => {
            error.respond(|_| json(""))
        }
        ApiError::Destroyed(_) | ApiError::BeingDestroyed(_) | ApiError::Expiring(_) => {
            error.respond(|verdict| json(&*verdict.message))
        }
        other => other.as_text(),
    })
}
