//! Who asks.

use super::OwnerId;

/// The identity behind a request; every handler is given one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Caller {
    /// Nobody in particular: all that a listener with `trust = "anonymous"` knows.
    Anonymous,
    /// Whoever may open the administration socket: sees and changes every job.
    Operator,
}

impl Caller {
    /// The owner that a job of this caller gets.
    #[must_use]
    pub const fn owner(&self) -> Option<OwnerId> {
        match self {
            Self::Anonymous | Self::Operator => None,
        }
    }

    /// Whose jobs its lists show: the outer `None` is everybody's, the inner that of anonymous callers.
    #[must_use]
    pub const fn sees(&self) -> Option<Option<OwnerId>> {
        match self {
            Self::Anonymous => Some(None),
            Self::Operator => None,
        }
    }

    /// Whether this caller may see and change a job of `owner`.
    #[must_use]
    pub const fn may_use(&self, owner: Option<&OwnerId>) -> bool {
        match self {
            Self::Anonymous => owner.is_none(),
            Self::Operator => true,
        }
    }
}
