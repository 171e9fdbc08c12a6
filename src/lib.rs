//! uwsd.

pub mod config;
pub mod domain;
pub mod http;
pub mod ports;
pub mod supervisor;
