//! Why the store could not do what it was asked.

use std::path::PathBuf;

use crate::domain::{JobId, Phase};

/// Why the store could not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The job is in another phase than the change expects; nothing was written.
    #[error("job {id} is in {actual}, from where it cannot go to {wanted}")]
    PhaseChanged {
        /// The job.
        id: JobId,
        /// The phase that it is in.
        actual: Phase,
        /// The phase that was wanted.
        wanted: Phase,
    },
    /// Another job of the service is on its way, and the service takes one at a time; nothing was written.
    #[error("job {0} is on its way, and this service takes one job at a time")]
    Busy(JobId),
    /// There is no such job.
    #[error("there is no job {0}")]
    NoSuchJob(JobId),
    /// The idempotency key was used for another request; nothing was written.
    #[error("the Idempotency-Key was used for another request, which made job {0}; give each request a key of its own")]
    KeyReused(JobId),
    /// There is no room on the disk; nothing was written.
    #[error("the job database has no room left while {doing}")]
    Full {
        /// What was being done.
        doing: &'static str,
    },
    /// It cannot be written for now: locked by another program, on a read-only file system or a failing disk. Nothing was
    /// written, and a later try may succeed.
    #[error("the job database cannot be written while {doing}: {why}")]
    Unwritable {
        /// What was being done.
        doing: &'static str,
        /// The words of the database.
        why: String,
    },
    /// Its file is not the one that was opened any more: what is written is lost once the daemon ends.
    #[error(
        "the job database {} was removed or replaced, and the daemon runs on with the old one; stop the daemon, and put it \
         back or restore a backup (uwsd restore FILE)", path.display()
    )]
    Replaced {
        /// The path where it was opened.
        path: PathBuf,
    },
    /// The store failed; nothing was written.
    #[error("the job database failed while {doing}")]
    Failed {
        /// What was being done.
        doing: &'static str,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The store has been closed.
    #[error("the job database is closed")]
    Closed,
}

impl StoreError {
    /// The same, if it tells of every write and not of the one that failed.
    pub(crate) fn of_every_write(&self) -> Option<Self> {
        match self {
            Self::Full { doing } => Some(Self::Full { doing }),
            Self::Unwritable { doing, why } => Some(Self::Unwritable { doing, why: why.clone() }),
            Self::PhaseChanged { .. }
            | Self::Busy(_)
            | Self::NoSuchJob(_)
            | Self::KeyReused(_)
            | Self::Replaced { .. }
            | Self::Failed { .. }
            | Self::Closed => None,
        }
    }
}
