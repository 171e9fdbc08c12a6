//! uwsd.

pub mod backend;
pub mod config;
pub mod domain;
pub mod ports;
