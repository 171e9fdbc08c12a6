//! The ten phases of a job and the one table of transitions between them.
//!
//! ```text
//!            ┌────────► HELD ◄────┐
//!            │           │        │
//! PENDING ─► QUEUED ◄────┘   EXECUTING ⇄ SUSPENDED
//!     │        │   └─────────────►│
//!     │        │                  ├─► COMPLETED ─┐
//!     └────────┴──────────────────┼─► ERROR ─────┼─► ARCHIVED
//!                                 └─► ABORTED ───┘
//! ```

use std::fmt;
use std::str::FromStr;

/// The state of a job (UWS 1.1 §2.1.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Phase {
    /// Accepted, not yet committed by the client.
    Pending,
    /// Committed, waiting for its turn; fetching its image and source also happens here.
    Queued,
    /// Its command runs.
    Executing,
    /// Ended with exit code 0.
    Completed,
    /// Failed.
    Error,
    /// Stopped by the client, an operator or a limit.
    Aborted,
    /// The service cannot tell; never written by this daemon.
    Unknown,
    /// Will not start by itself.
    Held,
    /// Paused while executing.
    Suspended,
    /// Destroyed, its record kept.
    Archived,
}

/// A word that is no phase.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no phase")]
pub struct UnknownPhase(pub String);

impl Phase {
    /// Every phase, in the order of the standard.
    pub const ALL: [Self; 10] = [
        Self::Pending,
        Self::Queued,
        Self::Executing,
        Self::Completed,
        Self::Error,
        Self::Aborted,
        Self::Unknown,
        Self::Held,
        Self::Suspended,
        Self::Archived,
    ];

    /// Whether a job in `self` may go to `next` (UWS 1.1 §2.1.3). The only transition table.
    #[must_use]
    pub const fn may_become(self, next: Self) -> bool {
        use Phase::{Aborted, Archived, Completed, Error, Executing, Held, Pending, Queued, Suspended, Unknown};
        match self {
            Pending => matches!(next, Queued | Held | Error | Aborted),
            Queued => matches!(next, Executing | Held | Error | Aborted),
            Executing => matches!(next, Completed | Error | Aborted | Suspended),
            Suspended => matches!(next, Executing | Completed | Error | Aborted),
            Held => matches!(next, Queued | Error | Aborted),
            Completed | Error | Aborted => matches!(next, Archived),
            Unknown | Archived => false,
        }
    }

    /// Whether the job has ended and no command will run for it any more.
    #[must_use]
    pub const fn is_final(self) -> bool {
        match self {
            Self::Completed | Self::Error | Self::Aborted | Self::Archived => true,
            Self::Pending | Self::Queued | Self::Executing | Self::Unknown | Self::Held | Self::Suspended => false,
        }
    }

    /// The word of the standard, in upper case.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "PENDING",
            Self::Queued => "QUEUED",
            Self::Executing => "EXECUTING",
            Self::Completed => "COMPLETED",
            Self::Error => "ERROR",
            Self::Aborted => "ABORTED",
            Self::Unknown => "UNKNOWN",
            Self::Held => "HELD",
            Self::Suspended => "SUSPENDED",
            Self::Archived => "ARCHIVED",
        }
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Phase {
    type Err = UnknownPhase;

    /// The phase of a word of the standard, in upper case.
    fn from_str(text: &str) -> Result<Self, UnknownPhase> {
        Self::ALL.into_iter().find(|phase| phase.as_str() == text).ok_or_else(|| UnknownPhase(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_parse_back() {
        for phase in Phase::ALL {
            assert_eq!(phase.as_str().parse::<Phase>().expect("own word"), phase);
        }
        assert!("queued".parse::<Phase>().is_err());
    }

    #[test]
    fn a_final_phase_is_only_left_for_archived() {
        for from in Phase::ALL.into_iter().filter(|phase| phase.is_final()) {
            for to in Phase::ALL {
                assert!(!from.may_become(to) || to == Phase::Archived, "{from} to {to}");
            }
        }
    }

    #[test]
    fn every_active_phase_can_fail_and_be_aborted() {
        for from in [Phase::Pending, Phase::Queued, Phase::Executing, Phase::Held, Phase::Suspended] {
            assert!(from.may_become(Phase::Error) && from.may_become(Phase::Aborted), "{from}");
        }
    }

    #[test]
    fn nothing_becomes_unknown_or_itself() {
        for from in Phase::ALL {
            assert!(!from.may_become(Phase::Unknown) && !from.may_become(from), "{from}");
        }
    }
}
