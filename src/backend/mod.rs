//! Where jobs run: the adapters of [`crate::ports::Backend`].

mod capped;
mod cgroup;
pub mod docker;
#[cfg(feature = "test-support")]
pub mod fake;
mod files;
pub mod process;
mod system;
