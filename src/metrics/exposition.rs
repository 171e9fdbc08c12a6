//! Everything that is counted, and the text that tells it.

use std::fmt;

use prometheus_client::encoding::{prometheus_text, text};
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;

use super::counts::Counts;
use super::database::DatabaseMetrics;
use super::engine::EngineMetrics;
use super::http::HttpMetrics;
use super::jobs::JobMetrics;
use super::moment::Moment;
use crate::domain::Timestamp;
use crate::ports::{JobCount, Store, StoreError};

/// A format that a scraper understands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// OpenMetrics 1.0.
    OpenMetrics,
    /// Prometheus' own text format, 0.0.4: of before OpenMetrics, with the same samples.
    Prometheus,
}

impl Format {
    /// The media type.
    #[must_use]
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::Prometheus => prometheus_text::CONTENT_TYPE,
        }
    }
}

/// Everything that is counted.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    backend: &'static str,
    started: Timestamp,
    counts: Counts,
    pub(super) jobs: JobMetrics,
    pub(super) engine: EngineMetrics,
    pub(super) database: DatabaseMetrics,
    http: HttpMetrics,
}

impl Metrics {
    /// Nothing has been counted yet, by a daemon `started` then with a backend of that kind.
    #[must_use]
    pub fn new(backend: &'static str, started: Timestamp) -> Self {
        let mut registry = Registry::default();
        let build = Info::new([("version", env!("CARGO_PKG_VERSION"))]);
        registry.register("uwsd_build", "The version of the daemon", build);
        Self {
            jobs: JobMetrics::register(&mut registry),
            engine: EngineMetrics::register(&mut registry),
            database: DatabaseMetrics::register(&mut registry),
            http: HttpMetrics::register(&mut registry),
            counts: Counts::default(),
            registry,
            backend,
            started,
        }
    }

    /// Requests over HTTP.
    #[must_use]
    pub const fn http(&self) -> &HttpMetrics {
        &self.http
    }

    /// How many jobs there are by service and phase; of those that have ended as it was some seconds ago, if they are many.
    ///
    /// # Errors
    /// What the store failed with.
    pub async fn count(&self, store: &dyn Store) -> Result<Vec<JobCount>, StoreError> {
        self.counts.of(store).await
    }

    /// What was counted so far, and what is at this moment.
    ///
    /// # Errors
    /// None that writing to a string could have.
    pub fn exposition(&self, moment: &Moment, format: Format) -> Result<String, fmt::Error> {
        self.jobs.know(&moment.services);
        let moment = moment.registry(self.backend, self.started);
        let mut told = String::new();
        match format {
            Format::OpenMetrics => {
                text::encode_registry(&mut told, &self.registry)?;
                text::encode_registry(&mut told, &moment)?;
                text::encode_eof(&mut told)?;
            }
            Format::Prometheus => {
                prometheus_text::encode(&mut told, &self.registry)?;
                prometheus_text::encode(&mut told, &moment)?;
            }
        }
        Ok(told)
    }
}
