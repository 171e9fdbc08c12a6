//! The command line of `uwsd`, and the way from there to the daemon.

mod arguments;
mod backup;
mod check;
mod database;
mod doctor;
mod operate;
mod output;
mod place;
mod serve;

pub use arguments::{command, main};
