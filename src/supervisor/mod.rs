//! The supervisor: the only writer of phases.
//!
//! ```text
//! request handlers ──Handle──► store            Supervisor (one task)
//!        │                       ▲                 │  admission: who starts
//!        └──── Message::Stop ────┼─────────────────┤
//!                                │                 ├─ Driver (one task a running job) ──► backend
//! retention (one task) ──────────┘                 └─ recovery at start
//! health (one task) ──► Readiness
//! ```

mod admission;
mod backoff;
mod context;
mod driver;
mod ending;
mod handle;
mod health;
mod limits;
mod message;
mod negotiate;
mod output;
mod plan;
mod prepare;
mod publish;
mod queue_loop;
mod recovery;
mod retention;
mod watching;

pub use context::{Parts, Started, start};
pub use handle::{Asked, Deleted, Denied, Handle, Readiness, Submission};
pub use health::Health;
pub use publish::Waiter;
pub use queue_loop::QueueLoop;
pub use retention::Retention;
