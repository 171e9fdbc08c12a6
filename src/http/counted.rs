//! Every answer counted, by a kind of resource: what a client chooses in a path is no part of it.

use std::sync::Arc;
use std::time::Duration;

use http::{Method, Uri};

use crate::metrics::{Held, Method as Word, Metrics, Route};

/// What counts answers.
pub(super) struct Counted {
    metrics: Arc<Metrics>,
    base_path: String,
}

impl Counted {
    pub(super) fn new(metrics: Arc<Metrics>, base_path: &str) -> Self {
        Self { metrics, base_path: base_path.trim_end_matches('/').to_owned() }
    }

    /// A connection, until it is dropped.
    pub(super) fn connection(&self) -> Held {
        self.metrics.http().connection()
    }

    /// Counts an answer to what was asked.
    pub(super) fn answered(&self, method: &Method, uri: &Uri, status: u16, took: Duration) {
        self.metrics.http().answered(word(method), route(&self.base_path, uri), status, took);
    }
}

fn word(method: &Method) -> Word {
    match *method {
        Method::GET => Word::Get,
        Method::HEAD => Word::Head,
        Method::POST => Word::Post,
        Method::PUT => Word::Put,
        Method::DELETE => Word::Delete,
        Method::OPTIONS => Word::Options,
        _ => Word::Other,
    }
}

/// The kind of resource that a path names, whether it is there or not.
fn route(base_path: &str, uri: &Uri) -> Route {
    let path = uri.path();
    let Some(below) = path.strip_prefix(base_path).and_then(|rest| rest.strip_prefix('/')) else {
        return outside(path);
    };
    let mut segments = below.split('/');
    match (segments.next(), segments.next()) {
        (Some("v1"), Some(_)) => Route::Json,
        (Some(_), Some("async")) => {
            if uri.query().is_some_and(waits) {
                Route::UwsWait
            } else {
                Route::Uws
            }
        }
        (Some(_), Some("sync")) => Route::Sync,
        (Some(_), Some("availability" | "capabilities" | "examples")) => Route::Vosi,
        _ => outside(path),
    }
}

fn outside(path: &str) -> Route {
    match path {
        "/healthz" | "/readyz" => Route::Health,
        "/metrics" => Route::Metrics,
        _ if path.starts_with("/admin/") => Route::Admin,
        _ => Route::Other,
    }
}

/// Whether a query asks to wait for a change.
fn waits(query: &str) -> bool {
    query.split('&').any(|field| field.split('=').next().is_some_and(|name| name.eq_ignore_ascii_case("WAIT")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_counted_by_its_kind_whatever_a_client_writes_into_it() {
        for (path, expected) in [
            ("/api/v1/job", Route::Json),
            ("/api/v1/job/0123?x=1", Route::Json),
            ("/api/ocps/async", Route::Uws),
            ("/api/ocps/async/0123/phase?PHASE=COMPLETED", Route::Uws),
            ("/api/anything/async/0123?phase=QUEUED&wait=5", Route::UwsWait),
            ("/api/ocps/async/0123?WAITS=5", Route::Uws),
            ("/api/ocps/sync/0123", Route::Sync),
            ("/api/ocps/availability", Route::Vosi),
            ("/readyz", Route::Health),
            ("/metrics", Route::Metrics),
            ("/admin/job/0123/hold", Route::Admin),
            ("/metrics/x", Route::Other),
            ("/apis/v1/job", Route::Other),
            ("/api/v1", Route::Other),
            ("/ocps/async", Route::Other),
            ("/", Route::Other),
        ] {
            assert_eq!(route("/api", &path.parse().expect("a path")), expected, "{path}");
        }
        for (path, expected) in [("/v1/job", Route::Json), ("/healthz", Route::Health), ("/ocps/async", Route::Uws)] {
            assert_eq!(route("", &path.parse().expect("a path")), expected, "{path}");
        }
    }
}
