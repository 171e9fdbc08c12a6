//! The configuration: read, checked, typed.

#[cfg(feature = "test-support")]
pub mod testing;
mod types;

pub use types::{
    Backend, BackendKind, Config, Docker, Json, ListenAddress, Listener, Log, LogFormat, Process, Queue, Server,
    Service, Sources, Store, Trust,
};
