//! What a supervisor and the init of its sandbox say to each other, a line each.
//!
//! ```text
//! init: ready → supervisor: plan::Command → init: started | failed → supervisor: terminate …
//! → supervisor: pause | resume → init: obeyed → init: ended
//! ```

use serde::{Deserialize, Serialize};

use crate::backend::process::record::Status;

/// The supervisor asks for TERM to everything in the sandbox.
pub(in crate::backend::process) const TERMINATE: &str = "terminate";

/// The supervisor asks for everything in the sandbox to be halted where it is.
pub(in crate::backend::process) const PAUSE: &str = "pause";

/// The supervisor asks for everything in the sandbox to go on.
pub(in crate::backend::process) const RESUME: &str = "resume";

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
    /// What was to be halted is, or what was to go on does.
    Obeyed,
    /// The command ended.
    Ended {
        /// How.
        status: Status,
        /// When, in milliseconds since the epoch.
        at: i64,
    },
}
