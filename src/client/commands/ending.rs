//! How a command ends: its exit code (contract §2).

use std::io;

use serde_json::Value;

use crate::client::{ClientError, Job};
use crate::domain::{Phase, Reason};

/// How a command ended that did what it was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// It is done; for `run` and `wait`: the job is COMPLETED.
    Done,
    /// Some of it failed, and that was said.
    Failed,
    /// The job is in ERROR.
    Error,
    /// The job is ABORTED.
    Aborted,
}

impl Ending {
    /// The exit code.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Failed => 1,
            Self::Error => 3,
            Self::Aborted => 4,
        }
    }

    /// The ending of `run` and `wait` for a job that has ended; of one that is archived by now, as it ended then.
    pub(super) fn of(job: &Job) -> Self {
        let reason = job.info().and_then(|info| info.get("reason")).and_then(Value::as_str);
        let reason = reason.and_then(|word| word.parse::<Reason>().ok());
        match (job.phase, reason) {
            (Phase::Archived, Some(reason)) => Self::of_phase(reason.phase()),
            (phase, _) => Self::of_phase(phase),
        }
    }

    const fn of_phase(phase: Phase) -> Self {
        match phase {
            Phase::Completed => Self::Done,
            Phase::Error => Self::Error,
            Phase::Aborted => Self::Aborted,
            Phase::Pending
            | Phase::Queued
            | Phase::Executing
            | Phase::Unknown
            | Phase::Held
            | Phase::Suspended
            | Phase::Archived => Self::Failed,
        }
    }
}

/// Why a command could not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// Something given on the command line cannot be used.
    #[error("{0}")]
    Usage(String),
    /// The server, or the way to it.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// Standard output or standard error.
    #[error("the output could not be written")]
    Output(#[from] io::Error),
    /// A local file.
    #[error("failed to write {path}")]
    File {
        /// The file.
        path: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A result that the job does not have.
    #[error("the job has no result {0:?}; uwsctl results lists those it has")]
    NoResult(String),
    /// The job's files are there no more; the text says since when.
    #[error("{0}")]
    FilesGone(String),
    /// The name of a result would lead out of the directory.
    #[error("the result name {0:?} is no safe file name; fetch it with -o FILE")]
    UnsafeName(String),
}

impl Failure {
    /// The exit code.
    #[must_use]
    pub const fn code(&self) -> u8 {
        match self {
            Self::Usage(_) | Self::Client(ClientError::BadUrl { .. }) => 2,
            Self::Client(_)
            | Self::Output(_)
            | Self::File { .. }
            | Self::NoResult(_)
            | Self::FilesGone(_)
            | Self::UnsafeName(_) => 1,
        }
    }

    /// Whether the reader of the output went away: no reason to complain.
    #[must_use]
    pub fn is_broken_pipe(&self) -> bool {
        match self {
            Self::Output(error) | Self::Client(ClientError::Output(error)) => error.kind() == io::ErrorKind::BrokenPipe,
            Self::Usage(_)
            | Self::Client(_)
            | Self::File { .. }
            | Self::NoResult(_)
            | Self::FilesGone(_)
            | Self::UnsafeName(_) => false,
        }
    }
}
