//! uwsd.

pub mod backend;
pub mod config;
pub mod crash;
pub mod domain;
pub mod http;
pub mod ports;
pub mod sqlite;
pub mod supervisor;
