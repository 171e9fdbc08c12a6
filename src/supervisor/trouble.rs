//! Why no job is accepted at the moment, and when that may be over.

use std::time::Duration;

/// After how long whoever was refused may try again.
const RETRY_AFTER: Duration = Duration::from_secs(60);

/// Why no job is accepted at the moment: a sentence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trouble {
    /// An operator drains the daemon, and is the only one who ends it.
    Drained(String),
    /// There is too little room on a disk.
    LackOfRoom {
        /// The sentence.
        why: String,
        /// Whether only an operator can make some.
        is_stuck: bool,
    },
    /// The database cannot be written.
    Unwritable(String),
    /// The file of the database is not there any more, and only an operator can put it back.
    Replaced(String),
}

impl Trouble {
    /// The sentence.
    #[must_use]
    pub fn why(&self) -> &str {
        match self {
            Self::Drained(why) | Self::LackOfRoom { why, .. } | Self::Unwritable(why) | Self::Replaced(why) => why,
        }
    }

    /// When a request that is refused for it may be sent again (`Retry-After`).
    #[must_use]
    pub const fn retry_after(&self) -> Duration {
        RETRY_AFTER
    }

    /// After how long it may be over (`backAt` of VOSI 1.1 §3.2); `None` where that is for an operator to say.
    #[must_use]
    pub const fn over_after(&self) -> Option<Duration> {
        match self {
            Self::Drained(_) | Self::LackOfRoom { is_stuck: true, .. } | Self::Replaced(_) => None,
            Self::LackOfRoom { is_stuck: false, .. } | Self::Unwritable(_) => Some(self.retry_after()),
        }
    }
}
