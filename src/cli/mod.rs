//! The command line of `uwsd`, and the way from there to the daemon.

mod arguments;
mod check;
mod operate;
mod output;
mod serve;

pub use arguments::{command, main};
