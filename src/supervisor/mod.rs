//! The supervisor: the only writer of phases.
//!
//! ```text
//! request handlers ──Handle──► store            Supervisor (one task)
//!        │                       ▲                 │  admission: who starts
//!        └──── Message::Stop ────┼─────────────────┤
//!                                │                 ├─ Driver (one task a running job) ──► backend
//! retention (one task) ──────────┘                 └─ recovery at start
//! health (one task) ──► Readiness
//! store watch (one task) ──► whether anything can be written down
//! unused images (one task) ──► backend
//! disk (one task) ──► whether new jobs are accepted; old outputs given up
//! ```

mod acceptable;
mod admission;
mod adopted;
mod advisory;
mod cause;
mod context;
mod denied;
mod disk;
mod drain;
mod driver;
mod ending;
mod figures;
mod file_image;
mod files;
mod gate;
mod handle;
mod health;
mod idempotency;
mod image;
mod inputs;
mod layers;
mod limits;
mod measure;
mod message;
mod negotiate;
mod operator;
mod orders;
mod output;
mod overdue;
mod patience;
mod place;
mod plan;
mod prefetch;
mod prepare;
mod publish;
mod queue_loop;
mod quote;
mod recovery;
mod retention;
mod room;
mod run_clock;
mod store_watch;
mod submit;
mod trouble;
mod unused_images;
mod uploads;
mod watching;

pub use advisory::Advisory;
pub use context::{Parts, Started, start};
pub use denied::Denied;
pub use disk::DiskWatch;
pub use drain::Status;
pub use figures::{Figures, Taken};
pub use gate::{Gate, Silent};
pub use handle::{Deleted, Handle, Readiness};
pub use health::Health;
pub use negotiate::Terms;
pub use prefetch::Prefetched;
pub use publish::Waiter;
pub use queue_loop::QueueLoop;
pub use retention::Retention;
pub use store_watch::StoreWatch;
pub use submit::{Asked, Submission};
pub use trouble::Trouble;
pub use unused_images::UnusedImages;
pub use uploads::{Arriving, Staged, Uploads};
