//! `/metrics`: what is counted and measured, for Prometheus and whatever else scrapes.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use http::header::{ACCEPT, VARY};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use warp::Filter;
use warp::filters::BoxedFilter;
use warp::reply::Response;

use super::health::readiness;
use super::reply::{ApiError, text, with_type};
use super::resource::{READ_ONLY, is_read, other};
use super::server::Api;
use crate::domain::chain;
use crate::metrics::{DatabaseState, Format, Moment, Process, QueueState};
use crate::supervisor::{Figures, Taken};

/// `/metrics`, for everybody who may ask for `/healthz`.
pub(super) fn route(api: &Arc<Api>) -> BoxedFilter<(Response,)> {
    let api = Arc::clone(api);
    warp::path!("metrics")
        .and(warp::method())
        .and(warp::header::headers_cloned())
        .then(move |method: Method, headers: HeaderMap| {
            let api = Arc::clone(&api);
            async move {
                if is_read(&method) {
                    return answer(&api, format(&headers)).await;
                }
                other(&method, READ_ONLY).unwrap_or_else(|error: ApiError| error.as_text())
            }
        })
        .boxed()
}

/// OpenMetrics, but for a scraper that names the older format and not this one.
fn format(headers: &HeaderMap) -> Format {
    let accepts = |kind: &str| {
        let values = headers.get_all(ACCEPT).iter();
        values.filter_map(|value| value.to_str().ok()).any(|value| value.to_ascii_lowercase().contains(kind))
    };
    if accepts("text/plain") && !accepts("application/openmetrics-text") {
        Format::Prometheus
    } else {
        Format::OpenMetrics
    }
}

async fn answer(api: &Api, format: Format) -> Response {
    let moment = moment(api).await;
    let mut response = match api.metrics.exposition(&moment, format) {
        Ok(told) => with_type(StatusCode::OK, format.content_type(), Bytes::from(told)),
        Err(error) => {
            tracing::error!("metrics cannot be written: {error}");
            text(StatusCode::INTERNAL_SERVER_ERROR, "metrics cannot be written")
        }
    };
    response.headers_mut().insert(VARY, HeaderValue::from_static("Accept"));
    response
}

/// How the daemon is now. What cannot be had is left out: a scrape is there to tell of trouble, and does not end in it.
async fn moment(api: &Api) -> Moment {
    let config = api.config.get();
    let database = config.store.path.clone();
    let looked = tokio::task::spawn_blocking(move || (Process::look(), sizes(&database)));
    let (jobs, looked) = tokio::join!(api.metrics.count(&*api.store), looked);
    let jobs = jobs.inspect_err(|error| tracing::warn!("jobs cannot be counted for the metrics: {}", chain(error)));
    let (process, files) = looked.unwrap_or_default();
    let Figures { waiting, taken, rooms, backend_answers, store_is_writable } = api.handle.figures();
    let Taken { jobs: running, cpus: reserved_cpus, memory: reserved_memory } = taken;
    let queue = &config.queue;
    Moment {
        instance: config.server.instance.clone(),
        services: config.services.keys().cloned().collect(),
        is_ready: readiness(api).is_ok(),
        accepts_jobs: api.handle.trouble().is_none(),
        backend_answers,
        jobs: jobs.ok(),
        queue: QueueState {
            is_drained: api.handle.drained().is_some(),
            waiting,
            max_waiting: queue.max_queued,
            running,
            max_running: queue.max_running.into(),
            reserved_cpus,
            cpus: queue.cpus,
            reserved_memory,
            memory: queue.memory,
        },
        disks: rooms,
        disk_refuse_below: config.disk.refuse_below,
        database: DatabaseState { is_writable: store_is_writable, files },
        max_connections: config.server.max_connections.into(),
        max_waiting_requests: config.uws.max_waiting.into(),
        process,
    }
}

/// The size of the database and of its write-ahead log, in bytes; what is not there has none.
fn sizes(database: &Path) -> Vec<(&'static str, u64)> {
    let mut log = database.as_os_str().to_owned();
    log.push("-wal");
    let files = [("db", database.to_owned()), ("wal", PathBuf::from(log))];
    files.into_iter().filter_map(|(file, path)| Some((file, path.metadata().ok()?.len()))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_older_format_is_for_those_who_name_it_and_not_the_newer_one() {
        let prometheus = "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,\
                          text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
        for (accept, expected) in [
            (prometheus, Format::OpenMetrics),
            ("*/*", Format::OpenMetrics),
            ("text/html", Format::OpenMetrics),
            ("text/plain; version=0.0.4", Format::Prometheus),
            ("Text/Plain, */*", Format::Prometheus),
        ] {
            let headers = HeaderMap::from_iter([(ACCEPT, HeaderValue::from_static(accept))]);
            assert_eq!(format(&headers), expected, "{accept}");
        }
        assert_eq!(format(&HeaderMap::new()), Format::OpenMetrics);
    }
}
