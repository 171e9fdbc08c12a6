//! Where jobs run: the adapters of [`crate::ports::Backend`].

mod capped;
pub mod docker;
#[cfg(feature = "test-support")]
pub mod fake;
mod files;
pub mod process;
mod system;
