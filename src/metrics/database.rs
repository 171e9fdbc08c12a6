//! How the job database does.

use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

use super::buckets::WRITE;
use crate::ports::StoreError;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfError {
    error: &'static str,
}

/// How long writes take, and what fails.
#[derive(Debug)]
pub(super) struct DatabaseMetrics {
    writes: Histogram,
    errors: Family<OfError, Counter>,
}

impl DatabaseMetrics {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let this = Self { writes: WRITE.histogram(), errors: Family::default() };
        for error in ["full", "unwritable", "failed", "closed"] {
            drop(this.errors.get_or_create(&OfError { error }));
        }
        let help = "How long writes to the job database took, from the asking until they were on the disk";
        registry.register_with_unit("uwsd_database_write", help, Unit::Seconds, this.writes.clone());
        registry.register("uwsd_database_errors", "What failed in the job database", this.errors.clone());
        this
    }

    /// Counts a write that took so long, failed or not.
    pub(super) fn wrote(&self, took: Duration) {
        self.writes.observe(took.as_secs_f64());
    }

    /// Counts what failed; what was refused did not.
    pub(super) fn failed(&self, error: &StoreError) {
        let error = match error {
            StoreError::Full { .. } => "full",
            StoreError::Unwritable { .. } | StoreError::Replaced { .. } => "unwritable",
            StoreError::Failed { .. } => "failed",
            StoreError::Closed => "closed",
            StoreError::PhaseChanged { .. }
            | StoreError::Busy(_)
            | StoreError::NoSuchJob(_)
            | StoreError::KeyReused(_) => return,
        };
        self.errors.get_or_create(&OfError { error }).inc();
    }
}
