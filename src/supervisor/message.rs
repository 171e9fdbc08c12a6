//! What request handlers and timers send to the supervisor.

use tokio::sync::oneshot;

use crate::domain::{Job, JobId};

/// Why a job is to be stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum StopWhy {
    /// A client or operator asked.
    Aborted,
    /// Its destruction time came.
    Expired,
}

impl StopWhy {
    /// The wish that is stored with a job, for the time when nobody heard it.
    pub(super) fn stored(job: &Job) -> Option<Self> {
        let is_expired = matches!((job.deletion, job.destruction), (Some(deletion), Some(destruction))
            if destruction <= deletion.requested_at);
        job.abort_requested.then_some(if is_expired { Self::Expired } else { Self::Aborted })
    }
}

/// A wish to the supervisor.
#[derive(Debug)]
pub(super) enum Message {
    /// Stop a job that is not final. The wish is already stored.
    Stop {
        /// The job.
        id: JobId,
        /// Why.
        why: StopWhy,
        /// Receives the job if it could be ended at once; `None` if its driver does it.
        reply: oneshot::Sender<Option<Job>>,
    },
}
