//! The store in a SQLite database.
//!
//! One thread owns the writing connection and puts whatever waits for it into one transaction, so that many
//! submissions share one sync to the disk; each is answered after that commit. Reads use a few connections of their own.

mod changes;
mod counts;
mod error;
mod events;
mod file_system;
mod idempotency;
mod images;
mod jobs;
mod list;
mod meta;
mod open;
mod readers;
mod results;
mod retention;
mod rows;
mod store;
mod thread;

pub use error::OpenError;
pub use store::SqliteStore;
