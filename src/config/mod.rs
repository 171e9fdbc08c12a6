//! The configuration: read, checked, typed.
//!
//! One table of keys (`table`) drives everything: reading and its type checks, the environment variables (`variables`),
//! the sample file (`sample`), the manual page (`manual`) and what `uwsd check` prints (`show`). The layers are, from low
//! to high: default, main file, drop-ins in name order, environment, flags. [`load()`] reports all problems at once.

mod files;
mod host;
mod keys;
mod kind;
mod live;
mod load;
mod manual;
mod mask;
mod outline;
mod problem;
mod reader;
mod reload;
mod sample;
mod sections;
mod service_table;
mod settings;
mod show;
mod table;
#[cfg(feature = "test-support")]
pub mod testing;
#[cfg(test)]
mod tests;
mod types;
mod units;
mod variables;

pub use host::Host;
pub use live::Live;
pub use load::{LoadRequest, Loaded, load};
pub use manual::manual;
pub use problem::{ConfigErrors, Origin, Problem};
pub use reader::Effective;
pub use reload::{ReloadOutcome, ReloadWishes, Reloaded, Reloads, carry_over};
pub use sample::sample;
pub use sections::handed_on;
pub use show::show;
pub use types::{
    Backend, BackendKind, Config, Disk, Docker, Example, Json, ListenAddress, Listener, Log, LogFormat, Process,
    Program, Queue, Server, Service, Sources, Store, Trust, Uploads, Uws,
};
