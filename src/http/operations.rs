//! `/admin/status`, `/admin/drain`, `/admin/undrain`, `/admin/reload`, `/admin/prefetch`: orders to the daemon as a whole, on
//! the administration socket only.

use std::sync::Arc;

use bytes::Bytes;
use http::{Method, StatusCode};
use serde::Serialize;
use warp::Filter;
use warp::filters::BoxedFilter;
use warp::reply::Response;

use super::Api;
use super::extract::{Asked, asked};
use super::form;
use super::reply::{ApiError, json, text};
use super::resource::{READ_ONLY, is_read, other, streamed};
use crate::domain::{Caller, Job, RunId, Timestamp};
use crate::supervisor::{Prefetched, Readiness};

const METHODS: &str = "POST, OPTIONS";

/// How the daemon does.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct StatusObject {
    version: &'static str,
    instance: String,
    pid: u32,
    up_since: String,
    accepts: bool,
    runs: bool,
    backend: String,
    note: Option<String>,
    drained_since: Option<String>,
    waiting: u64,
    running_total: u64,
    running: Vec<RunningObject>,
}

/// A job that runs.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct RunningObject {
    job_id: String,
    service: String,
    phase: &'static str,
    owner: Option<String>,
    run_id: Option<String>,
    started: Option<String>,
    elapsed_seconds: Option<u64>,
}

impl RunningObject {
    fn of(job: &Job, now: Timestamp) -> Self {
        let elapsed = job.started_at.map(|at| now.millis().saturating_sub(at.millis()).max(0).unsigned_abs() / 1000);
        Self {
            job_id: job.id.to_string(),
            service: job.service.clone(),
            phase: job.phase.as_str(),
            owner: job.owner.as_ref().map(|owner| owner.as_str().to_owned()),
            run_id: job.run_id.as_ref().map(RunId::as_str).map(str::to_owned),
            started: job.started_at.map(Timestamp::to_iso),
            elapsed_seconds: elapsed,
        }
    }
}

/// What a reload changed.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct ReloadedObject {
    changed: Vec<String>,
    at_restart: Vec<String>,
    warnings: Vec<String>,
}

/// `GET /admin/status`, `POST /admin/drain`, `POST /admin/undrain`, `POST /admin/reload`, `POST /admin/prefetch?what=…`.
pub(super) fn routes(api: &Arc<Api>, started: Timestamp) -> BoxedFilter<(Response,)> {
    let api = Arc::clone(api);
    warp::path!("admin" / String)
        .and(warp::method())
        .and(asked())
        .then(move |order: String, method: Method, asked: Asked| {
            let api = Arc::clone(&api);
            async move { answer(&api, &order, &method, &asked, started).await.unwrap_or_else(|error| error.as_text()) }
        })
        .boxed()
}

async fn answer(
    api: &Api,
    order: &str,
    method: &Method,
    asked: &Asked,
    started: Timestamp,
) -> Result<Response, ApiError> {
    if asked.caller != Caller::Operator {
        return Err(ApiError::NoSuchPath);
    }
    let allowed = match order {
        "status" => READ_ONLY,
        "drain" | "undrain" | "reload" | "prefetch" => METHODS,
        _ => return Err(ApiError::NoSuchPath),
    };
    let is_meant = if allowed == READ_ONLY { is_read(method) } else { method == Method::POST };
    if !is_meant {
        return other(method, allowed);
    }
    match order {
        "drain" => api.handle.drain().await?,
        "undrain" => api.handle.undrain().await?,
        "reload" => return Ok(reload(api).await),
        "prefetch" => return prefetch(api, asked.query()),
        _ => {}
    }
    status(api, started).await
}

async fn status(api: &Api, started: Timestamp) -> Result<Response, ApiError> {
    let status = api.handle.status().await?;
    let (runs, backend, why) = match status.readiness {
        Readiness::Ready { backend } => (true, backend, None),
        Readiness::Starting(why) | Readiness::Unreachable(why) => (false, String::new(), Some(why)),
    };
    let now = api.clock.now();
    Ok(json(&StatusObject {
        version: env!("CARGO_PKG_VERSION"),
        instance: api.config.get().server.instance.clone(),
        pid: std::process::id(),
        up_since: started.to_iso(),
        accepts: status.trouble.is_none(),
        runs: runs && status.drained.is_none(),
        backend,
        note: status.trouble.map(|trouble| trouble.why().to_owned()).or(why),
        drained_since: status.drained.map(Timestamp::to_iso),
        waiting: status.waiting,
        running_total: status.running_total,
        running: status.running.iter().map(|job| RunningObject::of(job, now)).collect(),
    }))
}

/// A line of JSON for each step, `{"progress": …}`, and at the end `{"done": …}` or `{"failed": …}`.
fn prefetch(api: &Api, query: &str) -> Result<Response, ApiError> {
    let fields = form::urlencoded(query.as_bytes())?;
    let what = fields.into_iter().rfind(|(name, _)| name == "what").map(|(_, what)| what).unwrap_or_default();
    if what.is_empty() {
        return Err(ApiError::Malformed(
            "what is missing; give the name of an image or the URL of a repository".to_owned(),
        ));
    }
    let told = api.handle.prefetch(what);
    let lines = futures_util::stream::unfold(told, async |mut told| {
        let line = match told.recv().await? {
            Prefetched::Progress(line) => serde_json::json!({ "progress": line }),
            Prefetched::Done(what) => serde_json::json!({ "done": what }),
            Prefetched::Failed(why) => serde_json::json!({ "failed": why }),
        };
        Some((Ok(Bytes::from(format!("{line}\n"))), told))
    });
    Ok(streamed(lines))
}

/// A configuration that is refused is the caller's to correct, but no fault of the request.
async fn reload(api: &Api) -> Response {
    match api.reloads.reload().await {
        Ok(done) => {
            json(&ReloadedObject { changed: done.changed, at_restart: done.at_restart, warnings: done.warnings })
        }
        Err(why) => text(StatusCode::CONFLICT, why),
    }
}
