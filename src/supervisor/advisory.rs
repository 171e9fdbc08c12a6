//! Limits of jobs that can only be asked for and not enforced: told of a service before anybody uses it.

use std::sync::PoisonError;

use crate::config::Service;
use crate::domain::Timestamp;

use super::context::Context;
use super::handle::Handle;
use super::plan;

/// Which limits are advisory.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Advisory {
    /// Which, and why; `None`: all are kept.
    pub why: Option<String>,
    /// Since when that is so; `None`: since the start, as far as it is not the configuration's doing.
    pub since: Option<Timestamp>,
}

impl Context {
    /// Notes what the backend, which has just answered, tells of its limits.
    pub(super) fn note_advisory_limits(&self) {
        let why = self.backend.advisory_limits();
        let mut noted = self.shared.noted.advisory.lock().unwrap_or_else(PoisonError::into_inner);
        if noted.why != why {
            *noted = Advisory { why, since: Some(self.shared.clock.now()) };
        }
    }
}

impl Handle {
    /// Which limits of the service's jobs are advisory, as far as the backend has told; asks nobody.
    #[must_use]
    pub fn advisory(&self, service: &Service) -> Advisory {
        let Advisory { why, since } = self.shared.noted.advisory.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let is_unseen = service.max_output.is_some() && !self.context.sees_files(plan::user(service));
        let unseen = is_unseen.then(|| "what a job's files take cannot be seen while it runs".to_owned());
        let all: Vec<String> = why.into_iter().chain(unseen).collect();
        Advisory { why: (!all.is_empty()).then(|| all.join("; ")), since }
    }
}
