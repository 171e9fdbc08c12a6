//! uwsd.

pub mod client;
pub mod config;
pub mod domain;
pub mod ports;
pub mod sources;
