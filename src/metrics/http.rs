//! Requests over HTTP.

use std::time::Duration;

use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

use super::buckets::HTTP;

/// A kind of resource: few, and never with a part that a client chooses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Route {
    /// The OCPS JSON API.
    Json,
    /// The UWS tree of a service.
    Uws,
    /// A request of that tree that may wait for a change (`WAIT`): its time says nothing about how fast we are.
    UwsWait,
    /// `/sync`, which waits for the end of a job.
    Sync,
    /// `/availability`, `/capabilities`, `/examples`.
    Vosi,
    /// `/healthz`, `/readyz`.
    Health,
    /// `/metrics`.
    Metrics,
    /// What operators order.
    Admin,
    /// Anything else, also what is not there.
    Other,
}

impl Route {
    /// Every route.
    pub const ALL: [Self; 9] = [
        Self::Json,
        Self::Uws,
        Self::UwsWait,
        Self::Sync,
        Self::Vosi,
        Self::Health,
        Self::Metrics,
        Self::Admin,
        Self::Other,
    ];

    /// The label.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Uws => "uws",
            Self::UwsWait => "uws-wait",
            Self::Sync => "sync",
            Self::Vosi => "vosi",
            Self::Health => "health",
            Self::Metrics => "metrics",
            Self::Admin => "admin",
            Self::Other => "other",
        }
    }
}

impl EncodeLabelValue for Route {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> std::fmt::Result {
        self.as_str().encode(encoder)
    }
}

/// A method; those that no resource has are one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Method {
    /// GET.
    Get,
    /// HEAD.
    Head,
    /// POST.
    Post,
    /// PUT.
    Put,
    /// DELETE.
    Delete,
    /// OPTIONS.
    Options,
    /// Any other.
    Other,
}

impl EncodeLabelValue for Method {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> std::fmt::Result {
        let word = match self {
            Self::Get => "GET",
            Self::Head => "HEAD",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Delete => "DELETE",
            Self::Options => "OPTIONS",
            Self::Other => "other",
        };
        word.encode(encoder)
    }
}

/// Numbers only, since every request looks it up.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfRequest {
    method: Method,
    route: Route,
    status: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfRoute {
    route: Route,
}

/// What was answered and how soon, and who is connected.
#[derive(Debug)]
pub struct HttpMetrics {
    requests: Family<OfRequest, Counter>,
    /// By route, in the order of [`Route::ALL`].
    seconds: [Histogram; Route::ALL.len()],
    connections: Gauge,
    waiting: Gauge,
}

/// One of those that are counted as long as they are there.
#[derive(Debug)]
pub struct Held(Gauge);

impl Held {
    fn new(gauge: &Gauge) -> Self {
        gauge.inc();
        Self(gauge.clone())
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.0.dec();
    }
}

impl HttpMetrics {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let seconds = Family::<OfRoute, Histogram, _>::new_with_constructor(HTTP);
        let this = Self {
            requests: Family::default(),
            seconds: Route::ALL.map(|route| seconds.get_or_create_owned(&OfRoute { route })),
            connections: Gauge::default(),
            waiting: Gauge::default(),
        };
        registry.register("uwsd_http_requests", "Requests that were answered", this.requests.clone());
        let help = "How long requests took from their head to the head of their answer";
        registry.register_with_unit("uwsd_http_request", help, Unit::Seconds, seconds);
        registry.register("uwsd_http_connections", "Open connections", this.connections.clone());
        let help = "Requests that wait for a change of a job's phase";
        registry.register("uwsd_http_waiting_requests", help, this.waiting.clone());
        this
    }

    /// Counts an answer.
    pub fn answered(&self, method: Method, route: Route, status: u16, took: Duration) {
        self.requests.get_or_create(&OfRequest { method, route, status }).inc();
        // The histograms stand in the order of the variants.
        self.seconds[route as usize].observe(took.as_secs_f64());
    }

    /// A connection, until it is dropped.
    #[must_use]
    pub fn connection(&self) -> Held {
        Held::new(&self.connections)
    }

    /// A request that waits, until it is dropped.
    #[must_use]
    pub fn waiting(&self) -> Held {
        Held::new(&self.waiting)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn routes_stand_in_the_order_of_their_histograms() {
        for (position, route) in Route::ALL.into_iter().enumerate() {
            assert_eq!(route as usize, position, "{}", route.as_str());
        }
    }
}
