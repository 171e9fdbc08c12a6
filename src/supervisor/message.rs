//! What request handlers and timers send to the supervisor.

use tokio::sync::oneshot;

use crate::domain::{Job, JobId};
use crate::ports::StoreError;

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
        let is_destroyed = matches!((job.deletion, job.destruction), (Some(deletion), Some(destruction))
            if destruction <= deletion.requested_at);
        let is_expired = is_destroyed || job.is_expired;
        job.abort_requested.then_some(if is_expired { Self::Expired } else { Self::Aborted })
    }
}

/// What an operator orders of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    /// That it does not start.
    Hold,
    /// That its runs are halted where they are.
    Suspend,
    /// That its halted runs go on.
    Resume,
}

impl Order {
    /// Why a job that is in no phase for it cannot obey.
    pub(super) const fn refusal(self) -> &'static str {
        match self {
            Self::Hold => "only a job that is PENDING or QUEUED can be held; suspend one that is EXECUTING",
            Self::Suspend => "only a job that is EXECUTING can be suspended; hold one that is PENDING or QUEUED",
            Self::Resume => "only a job that is SUSPENDED can be resumed; release one that is HELD",
        }
    }
}

/// Why an order was not obeyed.
#[derive(Debug)]
pub(super) enum Disobeyed {
    /// The job is in no phase for it.
    WrongPhase,
    /// The backend did not do it, with its words.
    Backend(String),
    /// It could not be written down, and was undone.
    Store(StoreError),
}

/// An order on its way to the one who can obey it.
#[derive(Debug)]
pub(super) struct Ordered {
    /// The order.
    pub(super) order: Order,
    /// Receives what became of it; closed without a word if the job ended meanwhile.
    pub(super) reply: oneshot::Sender<Result<(), Disobeyed>>,
}

impl Ordered {
    /// Answers; the one who ordered may have gone away.
    pub(super) fn answer(self, result: Result<(), Disobeyed>) {
        drop(self.reply.send(result));
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
    /// An operator's order. It is not stored: who gave it learns whether it was obeyed.
    Order {
        /// The job.
        id: JobId,
        /// The order.
        ordered: Ordered,
    },
}
