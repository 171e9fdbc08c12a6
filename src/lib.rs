//! uwsd.

pub mod config;
pub mod domain;
pub mod ports;
pub mod sqlite;
pub mod supervisor;
