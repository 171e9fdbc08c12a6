//! One contract, every backend. See `suite.rs`.

mod docker;
mod fake;
mod process;
mod suite;
