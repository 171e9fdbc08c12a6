//! A typed client of the UWS API, and the commands of `uwsctl` over it.
//!
//! [`Client`] knows the URLs and documents (contract §4, §7); [`commands`] what a user asks for; [`mod@print`]
//! how it is shown.

pub mod commands;
mod connect;
mod document;
mod error;
mod http;
mod jobs;
mod operations;
pub mod print;
#[cfg(test)]
mod scripted;
mod server_url;
mod stream;
mod wait;

pub use document::{Job, JobResult, Submission, Variable};
pub use error::ClientError;
pub use http::Client;
pub use jobs::{Log, Order};
pub use operations::{Prefetched, ReloadAnswer, Running, Status};
pub use server_url::DEFAULT_URL;
