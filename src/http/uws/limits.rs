//! `POST …/executionduration` and `POST …/destruction` (UWS 1.1 §2.2.3.3–4): clamped, not refused.

use warp::reply::Response;

use super::dispatch::Request;
use super::fields::Fields;
use super::work::{take_destruction, take_duration};
use crate::domain::JobId;
use crate::http::Api;
use crate::http::reply::{ApiError, see_other};
use crate::supervisor::Asked;

/// Sets how long the job may execute.
pub(super) async fn post_execution_duration(
    api: &Api,
    request: &Request,
    id: JobId,
    mut fields: Fields,
) -> Result<Response, ApiError> {
    let Asked::For(limit) = take_duration(&mut fields)? else {
        return Err(ApiError::Malformed("EXECUTIONDURATION is missing; give a whole number of seconds".to_owned()));
    };
    api.handle.set_execution_duration(&request.asked.caller, id, limit).await?;
    Ok(see_other(&request.links(api).job(id)))
}

/// Sets when the job is destroyed.
pub(super) async fn post_destruction(
    api: &Api,
    request: &Request,
    id: JobId,
    mut fields: Fields,
) -> Result<Response, ApiError> {
    let Asked::For(at) = take_destruction(&mut fields)? else {
        return Err(ApiError::Malformed("DESTRUCTION is missing; give an instant in UTC".to_owned()));
    };
    api.handle.set_destruction(&request.asked.caller, id, at).await?;
    Ok(see_other(&request.links(api).job(id)))
}
