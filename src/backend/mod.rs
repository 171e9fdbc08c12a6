//! Where jobs run: the adapters of [`crate::ports::Backend`].

pub mod docker;
#[cfg(feature = "test-support")]
pub mod fake;
pub mod process;
