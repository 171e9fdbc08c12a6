//! One contract, every backend. See `suite.rs`.

mod docker;
mod process;
mod suite;
