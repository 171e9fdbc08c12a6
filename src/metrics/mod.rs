//! What is counted and measured of this daemon, and how `/metrics` tells it.
//!
//! ```text
//! supervisor ──► MeasuredBackend ──► a backend       each call timed
//!        └─────► MeasuredStore ────► the job store   each write timed, each committed change of a phase counted
//! http ────────► HttpMetrics                         each answer counted and timed
//! GET /metrics ► Moment                              what is read at that moment only: phases, queue, disks, process
//! ```
//!
//! Nothing here is global: `app` makes one [`Metrics`] and hands it to who counts. What cannot be known at a scrape has
//! no sample then, rather than an old one.

mod backend;
mod buckets;
mod counts;
mod database;
mod engine;
mod exposition;
mod http;
mod jobs;
mod moment;
mod process;
mod store;

pub use backend::MeasuredBackend;
pub use exposition::{Format, Metrics};
pub use http::{Held, HttpMetrics, Method, Route};
pub use moment::{DatabaseState, Moment, QueueState};
pub use process::Process;
pub use store::MeasuredStore;
