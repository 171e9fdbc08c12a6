//! `POST …/phase` (UWS 1.1 §2.2.3.5–6).

use warp::reply::Response;

use super::dispatch::Request;
use super::fields::Fields;
use crate::domain::JobId;
use crate::http::Api;
use crate::http::reply::{ApiError, see_other};

/// Runs or aborts the job. The change is committed when this is answered, or, of a job that executes, the wish.
pub(super) async fn post(api: &Api, request: &Request, id: JobId, mut fields: Fields) -> Result<Response, ApiError> {
    let expected = "PHASE=RUN or PHASE=ABORT expected";
    let word = fields.take("PHASE")?.ok_or_else(|| ApiError::Malformed(expected.to_owned()))?;
    let caller = &request.asked.caller;
    if word.eq_ignore_ascii_case("RUN") {
        api.handle.run(caller, id).await?;
    } else if word.eq_ignore_ascii_case("ABORT") {
        api.handle.abort(caller, id).await?;
    } else {
        return Err(ApiError::Malformed(format!("PHASE is {word:?}; {expected}")));
    }
    Ok(see_other(&request.links(api).job(id)))
}
