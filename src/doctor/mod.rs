//! `uwsd doctor`: looks at the host for whatever keeps the daemon from its work, and says what to do about it.
//!
//! ```text
//! finding.rs      what is told of one thing: fine, odd or wrong, a sentence and a remedy
//! examine.rs      all looks, side by side, and the order in which they are told
//! access.rs       what a user may do to a path, by mode bits; users.rs, permissions.rs, secrets.rs ask it
//! patience.rs     a look that may hang gets a few seconds; program.rs so does a program
//! settings.rs     odd settings, listeners
//! engine.rs       the engine: reached, its limits; images.rs what jobs need of it and of registries
//! bubblewrap.rs   the process backend; cgroups.rs control groups, for both
//! sources.rs      git and its surroundings
//! disks.rs        room; database.rs what lies there
//! clock.rs        the time of day, which a daemon looks at when it starts, too; daemon.rs the daemon that runs, if one does
//! ```
//!
//! Facts come from the adapters; each look judges them in a function without I/O. Nothing is changed by looking, and what matters is
//! what the user of the daemon may do, not the one who looks.

mod access;
mod bubblewrap;
mod cgroups;
mod clock;
mod daemon;
mod database;
mod disks;
mod engine;
mod examine;
mod finding;
mod images;
mod patience;
mod permissions;
mod program;
mod room;
mod secrets;
mod settings;
mod sources;
mod users;

pub use clock::clock_not_followed;
pub use examine::{Question, examine};
pub use finding::{Finding, State, Subject};
