//! Why the supervisor did not do what it was asked.

use std::time::Duration;

use crate::domain::{JobId, Phase};
use crate::ports::StoreError;

use super::trouble::Trouble;

/// Why the supervisor did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum Denied {
    /// There is no such service.
    #[error("there is no service {0:?}")]
    NoSuchService(String),
    /// There is no such job, or not for this caller.
    #[error("there is no job {0}")]
    NoSuchJob(JobId),
    /// The job asks for something that it cannot have: which field, and a sentence.
    #[error("{why}")]
    Unacceptable {
        /// The field or parameter.
        field: String,
        /// A sentence that names the field, what is wrong and what would do.
        why: String,
    },
    /// The job has ended: nothing can be changed any more.
    #[error("job {id} is {phase}: it has ended")]
    AlreadyFinal {
        /// The job.
        id: JobId,
        /// Its phase.
        phase: Phase,
    },
    /// The job is in a phase in which this cannot be done (UWS 1.1 §2.2).
    #[error("job {id} is {phase}: {why}")]
    WrongPhase {
        /// The job.
        id: JobId,
        /// Its phase.
        phase: Phase,
        /// A sentence.
        why: &'static str,
    },
    /// The backend did not do what an operator ordered.
    #[error("job {id} did not obey: {why}")]
    Backend {
        /// The job.
        id: JobId,
        /// The backend's words.
        why: String,
    },
    /// Too many jobs wait already.
    #[error("the queue is full: {waiting} jobs wait; try again later")]
    QueueFull {
        /// How many wait.
        waiting: u64,
        /// When to try again.
        retry_after: Duration,
    },
    /// No job is accepted at the moment: there is too little room on a disk, or an operator drains the daemon.
    #[error("{}; try again later", .0.why())]
    NotAccepting(Trouble),
    /// A file that came with the request could not be kept.
    #[error("a file that came with the request could not be kept")]
    Upload(#[source] std::io::Error),
    /// The daemon is going down.
    #[error("the service is shutting down; try again in a moment")]
    ShuttingDown,
    /// What was begun for it panicked.
    #[error("what was begun for a request panicked")]
    Panicked(#[source] tokio::task::JoinError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}
