//! The supervisor: the only writer of phases.

mod handle;
mod message;

pub use handle::{Deleted, Denied, Handle, Readiness, Submission};
