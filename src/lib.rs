//! uwsd.

pub mod app;
pub mod cli;
pub mod config;
pub mod domain;
pub mod lifecycle;
pub mod ports;
pub mod telemetry;
