//! `…/error`: why a job failed, in more words than its summary has (UWS 1.1 §2.1.7; DALI 1.1 §4.2).

use std::fmt::Write as _;

use http::StatusCode;
use warp::reply::Response;

use super::dispatch::Request;
use super::document::JobInfo;
use crate::domain::{Job, Log};
use crate::http::reply::{ApiError, text};
use crate::http::{Api, log};

/// How much of a log is shown.
const TAIL: usize = 8 << 10;

/// The summary's sentence on the first line; of a job whose command began also its type, the facts and the end of its log.
///
/// # Errors
/// [`ApiError::NoSuchPath`] for a job that has no summary.
pub(super) async fn get(api: &Api, request: &Request, job: &Job) -> Result<Response, ApiError> {
    let summary = job.outcome.as_ref().and_then(|outcome| outcome.summary.as_ref()).ok_or(ApiError::NoSuchPath)?;
    let mut report = summary.message.clone();
    if job.started_at.is_none() || !job.has_files() {
        return Ok(text(StatusCode::OK, report));
    }
    let _ = write!(report, "\n\nerrorType: {}\n", summary.kind.as_str()); // a string takes all
    for (name, value) in &JobInfo::new(api, job).0 {
        let _ = writeln!(report, "{name}: {}", value.as_text());
    }
    let links = request.links(api);
    for log in Log::all(job) {
        let _ = writeln!(report, "{}: {}", log.id(), links.result(job.id, &log.id()));
    }
    if job.work.replicas == 1 {
        let stderr = Log { replica: 0, stream: "stderr" };
        let tail = match log::open(api, job, stderr).await? {
            Some(opened) => opened.tail(TAIL).await?,
            None => Vec::new(),
        };
        if !tail.is_empty() {
            let _ = write!(report, "\nstderr ends with:\n{}", String::from_utf8_lossy(&tail));
        }
    }
    Ok(text(StatusCode::OK, report))
}
