//! What a supervisor and the init of its sandbox say to each other, a line each.
//!
//! ```text
//! init: ready → supervisor: plan::Command → init: started | failed → supervisor: terminate … → init: ended
//! ```

use serde::{Deserialize, Serialize};

use crate::backend::process::record::Status;

/// The supervisor asks for TERM to everything in the sandbox.
pub(in crate::backend::process) const TERMINATE: &str = "terminate";

/// What init says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(in crate::backend::process) enum FromInit {
    /// The sandbox is made.
    Ready,
    /// The command runs.
    Started {
        /// Since when, in milliseconds since the epoch.
        at: i64,
    },
    /// The command could not be executed.
    Failed {
        /// Why.
        why: String,
    },
    /// The command ended.
    Ended {
        /// How.
        status: Status,
        /// When, in milliseconds since the epoch.
        at: i64,
    },
}
