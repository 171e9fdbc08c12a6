//! Runs as containers of a Docker engine, or of one that speaks its API (Podman).
//!
//! ```text
//! backend.rs   the adapter itself: what is asked of it, in the words of the port
//! begun.rs     whether a start that nobody answered may have happened
//! connect.rs   reaching the engine, and what it says of itself
//! spec.rs      from a run to the body of the request that creates it; pure
//! image.rs     fetching images
//! run.rs       create, start, find, remove
//! wait.rs      the end of a run; ending.rs reads it from the engine's words, drain.rs sees to the end of its logs
//! stop.rs      ending a run
//! logs.rs      both output streams into files; spool.rs one such file
//! memory.rs    how much a run used at most, by looks; parents.rs the groups above the containers, where that is counted
//! layer.rs     how much of the engine's disk a run takes
//! files.rs     who owns a job's directories; helper.rs for what only a container may do
//! archive.rs   files through the engine's archive API: secrets.rs, and remote.rs for engines without shared storage
//! doctor.rs    what `uwsd doctor` asks the engine
//! errand.rs    requests that outlive their callers, and what becomes of their containers
//! note.rs      what is left on disk for who removes the package
//! error.rs     the engine's errors in the words of the port
//! ```
//!
//! Nothing that must survive is in memory: names and labels lead back to every container.

mod archive;
mod backend;
mod begun;
mod connect;
mod credentials;
mod doctor;
mod drain;
mod ending;
mod errand;
mod error;
mod files;
mod helper;
mod image;
mod layer;
mod logs;
mod memory;
mod note;
mod parents;
mod pause;
mod pull;
mod reference;
mod remote;
mod run;
mod secrets;
mod spec;
mod spool;
mod stop;
mod tail;
mod wait;

pub use backend::DockerBackend;
pub(crate) use doctor::{EngineFigures, Examination, FromRegistry};
pub use note::note_engine;
pub use spec::Instance;
