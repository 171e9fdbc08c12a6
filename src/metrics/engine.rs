//! How the backend does what it is asked.

use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

use super::buckets::{Bounds, ENGINE};

/// What the backend is asked for. A wait for a run's end is none of them: it lasts as long as the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operation {
    Probe,
    Identify,
    FindRuns,
    FetchImage,
    FindImage,
    RemoveImage,
    HandOver,
    Create,
    Start,
    Pause,
    Resume,
    Stop,
    TakeBack,
    Remove,
    RemoveFiles,
}

impl Operation {
    const ALL: [Self; 15] = [
        Self::Probe,
        Self::Identify,
        Self::FindRuns,
        Self::FetchImage,
        Self::FindImage,
        Self::RemoveImage,
        Self::HandOver,
        Self::Create,
        Self::Start,
        Self::Pause,
        Self::Resume,
        Self::Stop,
        Self::TakeBack,
        Self::Remove,
        Self::RemoveFiles,
    ];

    /// The name of the method.
    const fn as_str(self) -> &'static str {
        match self {
            Self::Probe => "probe",
            Self::Identify => "identify",
            Self::FindRuns => "find_runs",
            Self::FetchImage => "fetch_image",
            Self::FindImage => "find_image",
            Self::RemoveImage => "remove_image",
            Self::HandOver => "hand_over",
            Self::Create => "create",
            Self::Start => "start",
            Self::Pause => "pause",
            Self::Resume => "resume",
            Self::Stop => "stop",
            Self::TakeBack => "take_back",
            Self::Remove => "remove",
            Self::RemoveFiles => "remove_files",
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfOperation {
    operation: &'static str,
}

/// How long the backend takes, and how often it fails.
#[derive(Debug)]
pub(super) struct EngineMetrics {
    requests: Family<OfOperation, Histogram, Bounds>,
    errors: Family<OfOperation, Counter>,
}

impl EngineMetrics {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let this = Self { requests: Family::new_with_constructor(ENGINE), errors: Family::default() };
        for operation in Operation::ALL {
            drop(this.errors.get_or_create(&OfOperation { operation: operation.as_str() }));
        }
        let help = "How long the backend took for what it was asked, failures too";
        registry.register_with_unit("uwsd_engine_request", help, Unit::Seconds, this.requests.clone());
        registry.register("uwsd_engine_errors", "What the backend was asked and failed to do", this.errors.clone());
        this
    }

    /// Counts one call.
    pub(super) fn asked(&self, operation: Operation, took: Duration, has_failed: bool) {
        let labels = OfOperation { operation: operation.as_str() };
        self.requests.get_or_create(&labels).observe(took.as_secs_f64());
        if has_failed {
            self.errors.get_or_create(&labels).inc();
        }
    }
}
