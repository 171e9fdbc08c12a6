//! The tables of the file, read into their types and checked, one file a table or family of tables.

mod backend;
mod jdl;
mod mounts;
mod queue;
mod server;
mod service;
mod small;

pub(super) use backend::backend;
pub(super) use queue::queue;
pub(super) use server::server;
pub(super) use service::service;
pub use small::handed_on;
pub(super) use small::{disk, json, log, sources, store, uploads, uws};
