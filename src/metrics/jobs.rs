//! What becomes of jobs, counted as it is committed.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

use super::buckets::{Bounds, JOB};
use crate::domain::{Phase, Reason};
use crate::ports::{Accepted, Changed};

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfService {
    service: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfEnd {
    service: String,
    phase: &'static str,
    reason: &'static str,
}

impl OfEnd {
    fn new(service: &str, reason: Reason) -> Self {
        Self { service: service.to_owned(), phase: reason.phase().as_str(), reason: reason.as_str() }
    }
}

/// Jobs that came and went, how long they waited and ran.
#[derive(Debug)]
pub(super) struct JobMetrics {
    submitted: Family<OfService, Counter>,
    ended: Family<OfEnd, Counter>,
    queue: Family<OfService, Histogram, Bounds>,
    run: Family<OfService, Histogram, Bounds>,
}

impl JobMetrics {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let this = Self {
            submitted: Family::default(),
            ended: Family::default(),
            queue: Family::new_with_constructor(JOB),
            run: Family::new_with_constructor(JOB),
        };
        registry.register("uwsd_jobs_submitted", "Jobs that were accepted", this.submitted.clone());
        registry.register("uwsd_jobs_ended", "Jobs that ended, by the reason of their end", this.ended.clone());
        let help = "How long jobs were QUEUED before their command was started";
        registry.register_with_unit("uwsd_job_queue", help, Unit::Seconds, this.queue.clone());
        let help = "How long jobs that ended had run, from the start of their command; the time SUSPENDED counts";
        registry.register_with_unit("uwsd_job_run", help, Unit::Seconds, this.run.clone());
        this
    }

    /// Of each of these services everything is told from now on, at 0: a rate misses the first increase of what is not.
    pub(super) fn know(&self, services: &[String]) {
        for service in services {
            let of_service = OfService { service: service.clone() };
            drop(self.submitted.get_or_create(&of_service));
            drop(self.queue.get_or_create(&of_service));
            drop(self.run.get_or_create(&of_service));
            for reason in Reason::ALL {
                drop(self.ended.get_or_create(&OfEnd::new(service, reason)));
            }
        }
    }

    /// Counts a job that was accepted; one that an earlier request made was counted then.
    pub(super) fn accepted(&self, accepted: &Accepted) {
        if !accepted.is_replay {
            self.submitted.get_or_create(&OfService { service: accepted.job.service.clone() }).inc();
        }
    }

    /// Counts what a change of a phase tells.
    pub(super) fn changed(&self, changed: &Changed) {
        let Changed { job, from, waited } = changed;
        let of_service = || OfService { service: job.service.clone() };
        if let Some(waited) = waited
            && job.phase == Phase::Executing
        {
            self.queue.get_or_create(&of_service()).observe(waited.as_secs_f64());
        }
        let has_ended = job.phase.is_final() && !from.is_final();
        if let Some(outcome) = job.outcome.as_ref().filter(|_| has_ended) {
            self.ended.get_or_create(&OfEnd::new(&job.service, outcome.reason)).inc();
            if let (Some(_), Some(ran)) = (job.started_at, job.ran) {
                self.run.get_or_create(&of_service()).observe(ran.as_secs_f64());
            }
        }
    }
}
