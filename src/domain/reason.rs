//! Why a job ended: the vocabulary that the documents, the logs and the store share.

use std::fmt;
use std::str::FromStr;

use super::{Phase, SummaryKind};

/// Why a job ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reason {
    /// Exit code 0.
    Ok,
    /// Exit code other than 0.
    Nonzero,
    /// Killed by a signal that the daemon did not send and that was no OOM.
    Signal,
    /// Out of its memory limit.
    Oom,
    /// The execution limit was reached.
    Timeout,
    /// The output quota was exceeded.
    OutputTooLarge,
    /// It waited longer in the queue than allowed.
    QueueTimeout,
    /// Its image took longer to fetch than allowed.
    PullTimeout,
    /// Its source took longer to fetch than allowed.
    CloneTimeout,
    /// Its image could not be had.
    PullFailed,
    /// Its source could not be had.
    CloneFailed,
    /// The engine refused or failed to run it.
    EngineError,
    /// No room to go on.
    DiskFull,
    /// Its run vanished without a trace.
    Lost,
    /// The host or the engine stopped it.
    HostRestart,
    /// A client or operator asked.
    Aborted,
    /// Its destruction time came first.
    Expired,
}

/// A word that is no reason.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no reason")]
pub struct UnknownReason(pub String);

impl Reason {
    /// Every reason.
    pub const ALL: [Self; 17] = [
        Self::Ok,
        Self::Nonzero,
        Self::Signal,
        Self::Oom,
        Self::Timeout,
        Self::OutputTooLarge,
        Self::QueueTimeout,
        Self::PullTimeout,
        Self::CloneTimeout,
        Self::PullFailed,
        Self::CloneFailed,
        Self::EngineError,
        Self::DiskFull,
        Self::Lost,
        Self::HostRestart,
        Self::Aborted,
        Self::Expired,
    ];

    /// The word that documents show.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Nonzero => "nonzero",
            Self::Signal => "signal",
            Self::Oom => "oom",
            Self::Timeout => "timeout",
            Self::OutputTooLarge => "output-too-large",
            Self::QueueTimeout => "queue-timeout",
            Self::PullTimeout => "pull-timeout",
            Self::CloneTimeout => "clone-timeout",
            Self::PullFailed => "pull-failed",
            Self::CloneFailed => "clone-failed",
            Self::EngineError => "engine-error",
            Self::DiskFull => "disk-full",
            Self::Lost => "lost",
            Self::HostRestart => "host-restart",
            Self::Aborted => "aborted",
            Self::Expired => "expired",
        }
    }

    /// The final phase that the reason leads to.
    #[must_use]
    pub const fn phase(self) -> Phase {
        match self {
            Self::Ok => Phase::Completed,
            Self::Timeout | Self::OutputTooLarge | Self::Aborted | Self::Expired => Phase::Aborted,
            Self::Nonzero
            | Self::Signal
            | Self::Oom
            | Self::QueueTimeout
            | Self::PullTimeout
            | Self::CloneTimeout
            | Self::PullFailed
            | Self::CloneFailed
            | Self::EngineError
            | Self::DiskFull
            | Self::Lost
            | Self::HostRestart => Phase::Error,
        }
    }

    /// The type of the error summary: whether the same job may succeed if tried again.
    ///
    /// A fetch that failed is transient only if the network did: those who know say so, this is the other case.
    #[must_use]
    pub const fn summary_kind(self) -> SummaryKind {
        match self {
            Self::QueueTimeout
            | Self::PullTimeout
            | Self::CloneTimeout
            | Self::EngineError
            | Self::DiskFull
            | Self::Lost
            | Self::HostRestart => SummaryKind::Transient,
            Self::Ok
            | Self::Nonzero
            | Self::Signal
            | Self::Oom
            | Self::Timeout
            | Self::OutputTooLarge
            | Self::PullFailed
            | Self::CloneFailed
            | Self::Aborted
            | Self::Expired => SummaryKind::Fatal,
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Reason {
    type Err = UnknownReason;

    fn from_str(text: &str) -> Result<Self, UnknownReason> {
        Self::ALL.into_iter().find(|reason| reason.as_str() == text).ok_or_else(|| UnknownReason(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_parse_back_and_lead_to_a_final_phase() {
        for reason in Reason::ALL {
            assert_eq!(reason.as_str().parse::<Reason>().expect("own word"), reason);
            assert!(reason.phase().is_final());
        }
    }

    #[test]
    fn each_word_leads_to_its_phase_and_type() {
        let table = [
            ("ok", "COMPLETED", "fatal"), // it has no summary
            ("nonzero", "ERROR", "fatal"),
            ("signal", "ERROR", "fatal"),
            ("oom", "ERROR", "fatal"),
            ("timeout", "ABORTED", "fatal"),
            ("output-too-large", "ABORTED", "fatal"),
            ("queue-timeout", "ERROR", "transient"),
            ("pull-timeout", "ERROR", "transient"),
            ("clone-timeout", "ERROR", "transient"),
            ("pull-failed", "ERROR", "fatal"),  // unless the network failed
            ("clone-failed", "ERROR", "fatal"), // likewise
            ("engine-error", "ERROR", "transient"),
            ("disk-full", "ERROR", "transient"),
            ("lost", "ERROR", "transient"),
            ("host-restart", "ERROR", "transient"),
            ("aborted", "ABORTED", "fatal"),
            ("expired", "ABORTED", "fatal"),
        ];
        let told = Reason::ALL.map(|reason| (reason.as_str(), reason.phase().as_str(), reason.summary_kind().as_str()));
        assert_eq!(told, table);
    }
}
