//! What the core needs from the world outside: traits, with the contract in their documentation.

mod backend;
mod backoff;
mod clock;
mod images;
mod quota;
mod run;
mod source;
mod store;
mod store_error;

pub use backend::{Backend, BackendError, Fetching, ImageRemoval, Progress};
pub(crate) use backoff::Backoff;
pub use clock::{Clock, SystemClock};
pub use images::{ImageOfFiles, Images, PulledImage};
pub use quota::{QuotaError, Quotas, Room};
pub use run::{
    Arrival, Ending, EngineFacts, FoundRun, How, ImageFacts, JobDirs, LogLoss, Mount, MountKind, Network, Pull, RunRef,
    RunSpec, RunState, Secret, User,
};
pub use source::{Checkout, SourceError, Sources, UnfitSource};
pub use store::{
    Accepted, Change, Changed, DeletedJob, Destroyed, Destruction, End, Event, JobCount, Launch, QueuedJob, Store,
    Totals, Update,
};
pub use store_error::StoreError;
