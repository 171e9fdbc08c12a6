//! What a job is and what may happen to it: values only, no I/O, no clock, no wire shapes.

mod caller;
mod chain;
mod environment;
mod filter;
mod id;
mod image;
mod instant;
pub mod jdl;
mod job;
mod log;
mod outcome;
mod phase;
mod reason;
mod redact;
mod room;
mod size;
mod time;
mod work;

pub use caller::Caller;
pub use chain::chain;
pub use environment::{SOURCE_URL, own_variables};
pub use filter::{JobFilter, JobRef, Page, Place};
pub use id::{BadId, JobId, OwnerId, RunId};
pub use image::{HUB, ImagePattern, full_name, in_registry, repository_of, tag_of, tagged, with_tag};
pub use job::{Deletion, Facts, IdempotencyKey, Job, NewJob, Overuse, Reservation, Stage, Standing, Suspension};
pub use log::Log;
pub use outcome::{JobResult, LogBytes, Outcome, PeakMemory, ReplicaEnd, Summary, SummaryKind};
pub use phase::{Phase, UnknownPhase};
pub use reason::{Reason, UnknownReason};
pub use redact::strip_credentials;
pub use room::DiskRoom;
pub use size::shown_bytes;
pub use time::Timestamp;
pub use work::{BadEnvironmentName, Parameter, Source, Upload, Variable, Work};
