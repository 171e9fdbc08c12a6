//! One contract, every backend. See `suite.rs`.

mod process;
mod suite;
