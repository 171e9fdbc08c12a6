//! The store in a SQLite database.
//!
//! One thread owns the writing connection and puts whatever waits for it into one transaction, so that many
//! submissions share one sync to the disk; each is answered after that commit. Reads use a few connections of their own.
//!
//! Beside the store there is what an operator does with the file as a whole, from another process: [`backup()`] at any time,
//! [`check()`], and [`restore()`] and [`vacuum()`] while no daemon uses it.

mod backup;
mod changes;
mod copy;
mod counts;
mod doctor;
mod error;
mod events;
mod file_system;
mod health;
mod idempotency;
mod images;
mod jobs;
mod list;
mod meta;
mod open;
mod opened;
mod readers;
mod reserve;
mod restore;
mod results;
mod retention;
mod rows;
mod schema;
mod store;
mod swap;
mod thread;
mod upgrade;
mod vacuum;

pub use backup::{BackedUp, backup};
pub(crate) use doctor::{DatabaseFacts, examine};
pub use error::{CareError, CopyError, OpenError};
pub(crate) use file_system::{file_system_of, network_type};
pub use health::{Health, JobCounts, Problem, check};
pub use restore::{Restored, restore};
pub use store::SqliteStore;
pub use vacuum::{Vacuumed, vacuum};
